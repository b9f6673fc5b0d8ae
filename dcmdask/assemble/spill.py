"""Take rows in any order, more than may be held; give them by ranges of a key, in order of ranges.

Rows go to files, one a range. The bounds come from a sample of the keys, so that neither keys nor
their counts are held; a range that comes out too large is cut again. Rows of one key stay together.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.system.modes import private_file, private_folder
from dcmdask.system.writing import writing
from dcmdask.tables.factorize import Codes, codes_of, first_rows

SCATTERED_ROWS = 65_536
"""Weight of the rows held while they are given to files."""

_FILES = 192
"""Files written at once; more ranges take a second step."""

_AIM = 1 / 2
"""Part of what a range may weigh that it is to weigh: sizes differ, as samples do, and what is made
of a range is held beside it."""

_SAMPLED = 16_384
"""Keys held to find the bounds."""

_LZ4 = pa.ipc.IpcWriteOptions(compression="lz4")

Read = Callable[[Sequence[str]], Iterator[pa.RecordBatch]]


@dataclass(frozen=True, slots=True)
class Stream:
    """Rows that can be read over again.

    Attributes
    ----------
    schema : pyarrow.Schema
        Of all columns.
    rows : int
        At most so many.
    read : callable
        Gives some columns, piece by piece.
    weight : int
        What a row costs, in rows of an instance.
    """

    schema: pa.Schema
    rows: int
    read: Read
    weight: int = 1

    @classmethod
    def of(cls, table: pa.Table, *, weight: int = 1) -> Stream:
        """Return rows that are held."""

        def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
            return iter(table.select(list(columns)).to_batches())

        return cls(table.schema, table.num_rows, read, weight)

    @classmethod
    def chain(cls, streams: Sequence[Stream], schema: pa.Schema, *, weight: int = 1) -> Stream:
        """Return the rows of several streams one after another."""

        def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
            return itertools.chain.from_iterable(one.read(columns) for one in streams)

        return cls(schema, sum(one.rows for one in streams), read, weight)

    def only(self, *columns: str) -> Stream:
        """Return a stream of some of the columns."""
        schema = pa.schema([self.schema.field(name) for name in columns])
        return Stream(schema, self.rows, self.read, self.weight)

    def renamed(self, *columns: str) -> Stream:
        """Return a stream of the same columns under other names."""
        own = dict(zip(columns, self.schema.names, strict=True))
        schema = pa.schema(list(zip(columns, self.schema.types, strict=True)))

        def read(wanted: Sequence[str]) -> Iterator[pa.RecordBatch]:
            for batch in self.read([own[name] for name in wanted]):
                yield batch.rename_columns(list(wanted))

        return Stream(schema, self.rows, read, self.weight)

    def having(self, column: str) -> Stream:
        """Return a stream of the rows that have a value in a column."""

        def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
            for batch in self.read(list(dict.fromkeys([*columns, column]))):
                there = (
                    batch.filter(pc.is_valid(batch[column])) if batch[column].null_count else batch
                )
                yield there.select(list(columns))

        return Stream(self.schema, self.rows, read, self.weight)

    def select(self, columns: Sequence[str]) -> pa.Table:
        """Return some columns of all rows, each in one piece."""
        schema = pa.schema([self.schema.field(name) for name in columns])
        return pa.Table.from_batches(self.read(columns), schema).combine_chunks()

    def table(self) -> pa.Table:
        """Return all columns of all rows, each in one piece."""
        return self.select(self.schema.names)


class Shelf:
    """Keeps tables to be read again: held as long as they are light, then in files.

    Parameters
    ----------
    folder : pathlib.Path
        Where files go.
    schema : pyarrow.Schema
        Of the tables.
    most : int
        Weight that is held.
    weight : int
        Of a row.
    """

    def __init__(self, folder: Path, schema: pa.Schema, most: int, *, weight: int = 1) -> None:
        self._folder = folder
        self._schema = schema
        self._weight = weight
        self._room = most
        self._kept: list[Stream] = []

    def put(self, table: pa.Table) -> Stream:
        """Keep one table; give its rows."""
        self._room -= table.num_rows * self._weight
        if self._room >= 0:
            self._kept.append(Stream.of(table, weight=self._weight))
        else:
            private_folder(self._folder)
            with _Sink(self._folder / f"{len(self._kept):05d}.arrow", self._schema) as sink:
                sink.write(table)
            self._kept.append(sink.stream(self._weight))
        return self._kept[-1]

    def stream(self) -> Stream:
        """Return all that is kept, in the order it came."""
        return Stream.chain(self._kept, self._schema, weight=self._weight)


@dataclass(frozen=True, slots=True)
class Key:
    """What rows are ordered by.

    Attributes
    ----------
    columns : tuple of str
        Of which columns it is made.
    of : callable
        Takes a batch or table with these columns; gives text without nulls.
    """

    columns: tuple[str, ...]
    of: Callable[[Any], Any]

    @classmethod
    def by(cls, *columns: str) -> Key:
        """Order by columns of text, the first before the others; null comes last."""
        return cls(columns, lambda rows: sort_text(*(rows[name] for name in columns)))


def sort_text(*columns: Any) -> Any:
    """Return text that sorts as some columns of text do, the first before the others, null last.

    Examples
    --------
    >>> sort_text(pa.array(["a", "a", None]), pa.array(["c", "b", "a"])).sort().to_pylist() == (
    ...     sort_text(pa.array(["a", "a", None]), pa.array(["b", "c", "a"])).to_pylist()
    ... )
    True
    """
    parts = [_marked(column) for column in columns]
    return pc.binary_join_element_wise(*parts, "")


def _marked(column: Any) -> Any:
    """Return text that sorts as before with any text behind it: NUL is escaped, and ends it."""
    escaped = pc.replace_substring(column, "\0", "\0\2")
    return pc.fill_null(pc.binary_join_element_wise("\1", escaped, "\0\1", ""), "\2")


def cut(
    streams: Mapping[str, Stream], key: Key, most: int, folder: Path
) -> list[dict[str, Stream]]:
    """Cut streams into ranges of a key.

    Parameters
    ----------
    streams : mapping
        Rows of several kinds, each with the key's columns, which are cut at the same bounds.
    key : Key
        What the ranges are ranges of.
    most : int
        Weight of a range. A key that alone is heavier is a range by itself.
    folder : pathlib.Path
        Where ranges are kept, as long as they are read. Where all is one range nothing is written.

    Returns
    -------
    list of dict
        For each range, in order, its rows of each kind; none of the ranges is empty, but one where
        there are no rows at all.
    """
    weight = sum(stream.rows * stream.weight for stream in streams.values())
    if weight <= most:
        return [dict(streams)]
    keys = _sample(streams.values(), key, max(1, weight // _SAMPLED))
    if keys.least == keys.greatest:
        return [dict(streams)]
    bounds = keys.bounds(min(_FILES, math.ceil(weight / (_AIM * most))))
    private_folder(folder)
    scattered = {
        name: _scatter(stream, key, bounds, folder / name) for name, stream in streams.items()
    }
    ranges = []
    for number in range(len(bounds) + 1):
        part = {name: files[number] for name, files in scattered.items()}
        if any(stream.rows for stream in part.values()):
            ranges += cut(part, key, most, folder / f"{number:03d}")
    return ranges


def one_by_one(ranges: Iterable[Any]) -> Iterator[Any]:
    """Yield ranges; hand back to the system, after each, the memory that Arrow keeps for the next.

    What several ranges leave in pieces would otherwise add up.
    """
    for one in ranges:
        yield one
        pa.default_memory_pool().release_unused()


@dataclass(slots=True)
class _Keys:
    """Some keys of a stream, sorted, and its least and greatest."""

    some: list[str]
    least: str
    greatest: str

    def bounds(self, ranges: int) -> list[str]:
        """Return the first keys of all ranges but the first, about so many of about one weight."""
        spots = [number * len(self.some) // ranges for number in range(1, ranges)]
        # What follows the least key immediately is the least with a NUL: that key is cut off.
        found = {max(self.some[spot], self.least + "\0") for spot in spots}
        return sorted(found) or [self.greatest]


def _sample(streams: Iterable[Stream], key: Key, step: int) -> _Keys:
    """Read all keys; keep one of each so many rows, of heavier rows so many times as many."""
    some: list[str] = []
    ends: list[str] = []
    for stream in streams:
        own = max(1, step // stream.weight)
        skipped = 0
        for batch in stream.read(key.columns):
            if batch.num_rows:
                keys = key.of(batch)
                some += keys.take(pa.array(np.arange(skipped, len(keys), own))).to_pylist()
                skipped = (skipped - len(keys)) % own
                ends = _ends([*ends, *pc.min_max(keys).as_py().values()])
    return _Keys(sorted(some), *(ends or ["", ""]))


def _ends(keys: list[str]) -> list[str]:
    return [min(keys), max(keys)]


def _scatter(stream: Stream, key: Key, bounds: list[str], folder: Path) -> list[Stream]:
    """Return every row to the file of its range."""
    private_folder(folder)
    sinks = [
        _Sink(folder / f"{number:03d}.arrow", stream.schema) for number in range(len(bounds) + 1)
    ]
    with contextlib.ExitStack() as stack:
        for sink in sinks:
            stack.enter_context(sink)
        for rows in _gathered(stream):
            numbers = _range_of(key.of(rows), bounds)
            order = np.argsort(numbers, kind="stable")
            moved = rows.take(pa.array(order))
            ends = np.searchsorted(numbers[order], np.arange(len(sinks) + 1)).tolist()
            for sink, start, stop in zip(sinks, ends, ends[1:], strict=False):
                if start < stop:
                    sink.write(moved.slice(start, stop - start))
    return [sink.stream(stream.weight) for sink in sinks]


def _gathered(stream: Stream) -> Iterator[pa.Table]:
    """Yield all rows in pieces that are large enough to be dealt out."""
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in stream.read(stream.schema.names):
        held.append(batch)
        rows += batch.num_rows
        if rows * stream.weight >= SCATTERED_ROWS:
            yield pa.Table.from_batches(held, stream.schema).combine_chunks()
            held, rows = [], 0
    if rows:
        yield pa.Table.from_batches(held, stream.schema).combine_chunks()


def _range_of(keys: Any, bounds: list[str]) -> Codes:
    """Return the range of every key; each distinct one is looked up once."""
    if not isinstance(keys, pa.ChunkedArray):
        keys = pa.chunked_array([keys])
    codes = codes_of(keys)
    distinct = keys.take(pa.array(first_rows(codes))).to_pylist()
    return np.array([bisect_right(bounds, one) for one in distinct], np.int64)[codes]


class _Sink:
    """A file that takes rows."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path = path
        self._schema = schema
        self._rows = 0
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with writing(self._path):
            file = self._open.enter_context(pa.OSFile(str(private_file(self._path)), "wb"))
            stream = pa.ipc.new_stream(file, self._schema, options=_LZ4)
            self._writer = self._open.enter_context(stream)
        return self

    def __exit__(self, *_exception: object) -> None:
        with writing(self._path):
            self._open.close()

    def write(self, table: pa.Table) -> None:
        with writing(self._path):
            self._writer.write_table(table)
        self._rows += table.num_rows

    def stream(self, weight: int) -> Stream:
        """Return what was written."""
        path, schema = str(self._path), self._schema

        def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
            fields = [schema.get_field_index(name) for name in columns]
            options = pa.ipc.IpcReadOptions(included_fields=fields)
            with pa.OSFile(path, "r") as file, pa.ipc.open_stream(file, options=options) as reader:
                for batch in reader:
                    yield batch.select(list(columns))

        return Stream(schema, self._rows, read, weight)
