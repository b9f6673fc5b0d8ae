"""What every stage of assembling needs: parts, settings, room for ranges, and the outputs that take rows."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from dcmdask.assemble.rows import Piece, Rows
from dcmdask.assemble.spill import Key, Stream, cut, one_by_one
from dcmdask.config import LAYOUTS, RunOptions
from dcmdask.publish.output import Check
from dcmdask.publish.staging import Staging
from dcmdask.state.parts import Parts
from dcmdask.tables import cases

Take = Callable[[Piece], Any]
"""Takes the pieces of some rows, one after another."""

Write = Callable[["Work", "Output"], AbstractContextManager[Take]]
"""Opens an output; gives what takes its rows. At the end it is written."""

Columns = Sequence[str] | Callable[[RunOptions], Sequence[str]]
"""Names, or what gives them by the settings."""


def always(_options: RunOptions) -> bool:
    """Tell that an output is wanted whatever the settings are."""
    return True


@dataclass(frozen=True, slots=True)
class Output:
    """Something that is published: a file, or a folder of files.

    Attributes
    ----------
    name : str
        In OUT.
    rows : Rows
        What it is made of.
    write : callable
        How: see `dcmdask.assemble.writers`.
    layouts : tuple of str
        Layouts that have it, of `dcmdask.config.LAYOUTS`.
    columns : tuple of str or callable
        Which columns it has; a callable gives them by the settings. None for all of the rows.
    wanted : callable
        Tells of settings whether they ask for it, where a layout has it.
    also : tuple of str
        Names of further files that come of the same rows and are written with it.
    """

    name: str
    rows: Rows
    write: Write
    layouts: tuple[str, ...] = LAYOUTS
    columns: Columns | None = None
    wanted: Callable[[RunOptions], bool] = always
    also: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names in OUT that it writes."""
        return (self.name, *self.also)

    def columns_of(self, options: RunOptions) -> tuple[str, ...]:
        """Return its columns."""
        found = self.columns or self.rows.schema.names
        return tuple(found(options) if callable(found) else found)


class Takers:
    """The outputs that take some rows, opened.

    Parameters
    ----------
    takes : sequence of callable
        What takes a piece, of each output.
    """

    def __init__(self, takes: Sequence[Take]) -> None:
        self._takes = takes

    def __bool__(self) -> bool:
        return bool(self._takes)

    def add(self, rows: pa.Table, instances: Sequence[Stream] = ()) -> None:
        """Return them some rows behind those that they have."""
        piece = Piece(rows, instances)
        for take in self._takes:
            take(piece)


# Without slots: `case_files` is kept when it is first asked for.
@dataclass(frozen=True)
class Work:
    """What every stage needs.

    Attributes
    ----------
    store : Staging
        Where outputs are prepared.
    parts : Parts
        What partitions left.
    project_ids : mapping
        ProjectID of every case.
    options : RunOptions
        What to write.
    outputs : sequence of Output
        All that these settings ask for.
    most : int
        Instances held at once.
    files : list of str
        Instance parts, by published name, when they are.
    rewritten : dict
        Published name to `Check` of what Med-ImageTools makes of the file when it takes the crawl.
    """

    store: Staging
    parts: Parts
    project_ids: Mapping[str, int]
    options: RunOptions
    outputs: Sequence[Output]
    most: int
    files: list[str] = field(default_factory=list)
    rewritten: dict[str, Check] = field(default_factory=dict)

    def scratch(self, name: str) -> Path:
        """Return the folder for what is kept under a name until it was read again."""
        return self.store.staging / "spill" / name

    def drop(self, name: str) -> None:
        """Remove what is kept under a name."""
        shutil.rmtree(self.scratch(name), ignore_errors=True)

    def ranges(
        self, name: str, streams: Mapping[str, Stream], key: Key
    ) -> Iterator[dict[str, Stream]]:
        """Yield the ranges of a key; their files are gone when the last was taken."""
        yield from one_by_one(cut(streams, key, self.most, self.scratch(name)))
        self.drop(name)

    def stream_of(self, kind: str, schema: pa.Schema, weight: int = 1) -> Stream:
        """Return ``described``, ``failures`` or ``notes`` of all parts."""

        def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
            return (batch.select(list(columns)) for batch in self.parts.batches(kind))

        rows = sum(batch.num_rows for batch in self.parts.batches(kind))
        return Stream(schema, rows, read, weight)

    def outputs_of(self, *rows: Rows) -> list[Output]:
        """Return the outputs that take any of these rows."""
        return [one for one in self.outputs if one.rows in rows]

    @contextmanager
    def takers(self, rows: Rows) -> Iterator[Takers]:
        """Open all outputs that take some rows; they are written when it ends."""
        with ExitStack() as stack:
            opened = (one.write(self, one) for one in self.outputs_of(rows))
            yield Takers([stack.enter_context(one) for one in opened])

    @cached_property
    def case_files(self) -> list[tuple[int, str]]:
        """ProjectID of every case, sorted, and the name of its files without suffix."""
        stems = cases.file_stems(self.project_ids)
        return sorted((number, stems[case]) for case, number in self.project_ids.items())
