"""Ways to write an output: each opens it and gives what takes the pieces of its rows.

A format of text is a function of rows and columns; `text` makes a way to write of it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import pyarrow as pa

from dcmdask._version import __version__
from dcmdask.assemble.rows import Piece
from dcmdask.assemble.work import Output, Take, Work, Write
from dcmdask.formats.csv import render_header, render_lines
from dcmdask.formats.imgtools import SeriesFiles, SeriesRenderer
from dcmdask.formats.parquet import ParquetWriter
from dcmdask.formats.text import Lines
from dcmdask.formats.xlsx import Workbook
from dcmdask.publish.output import Check
from dcmdask.table_types import SeriesTable
from dcmdask.tables.schema import stamped

Render = Callable[[Any, Sequence[str]], Lines]
"""Takes rows of the table that its output is declared with, and which columns; gives them as text."""

CSV_LINES: dict[bool, Render] = {
    excel: partial(render_lines, excel=excel) for excel in (False, True)
}
"""Renders lines of CSV, made for a spreadsheet or not."""


@contextmanager
def parts_as_they_are(work: Work, _output: Output) -> Iterator[Take]:
    """Publish the parts of instances: nothing is written anew."""
    work.files.extend(work.store.publish_instances(work.parts))
    yield lambda _piece: None


@contextmanager
def parquet(work: Work, output: Output) -> Iterator[Take]:
    """Write a Parquet file, which says by what it was written."""
    schema = pa.schema([output.rows.schema.field(name) for name in output.columns_of(work.options)])
    own = stamped(schema, __version__, work.options.digest())
    with work.store.open_output(output.name) as stream, ParquetWriter(stream, own) as writer:
        yield lambda piece: writer.add(piece.rows.select(schema.names))


def text(
    render: Render,
    begin: Callable[[Sequence[str]], bytes] = lambda _columns: b"",
    end: bytes = b"",
    *,
    between: int = 0,
) -> Write:
    """Return a way to write a file of text.

    Parameters
    ----------
    render : callable
        Gives rows as text.
    begin : callable
        Takes the columns; gives what stands before all rows.
    end : bytes
        What stands behind them.
    between : int
        Bytes that every row begins with and the first goes without.
    """

    @contextmanager
    def write(work: Work, output: Output) -> Iterator[Take]:
        columns = output.columns_of(work.options)
        left_out = between

        def take(piece: Piece) -> None:
            nonlocal left_out
            content = piece.rendered(render, columns).content
            if content:
                stream.write(content[left_out:])
                left_out = 0

        with work.store.open_output(output.name) as stream:
            stream.write(begin(columns))
            yield take
            stream.write(end)

    return write


def json_object(render: Render) -> Write:
    """Return a way to write one JSON object, whose members are rendered with a comma before each."""
    return text(render, lambda _columns: b"{", b"\n}\n", between=len(","))


def csv(work: Work, output: Output) -> AbstractContextManager[Take]:
    """Write a CSV file."""
    excel = work.options.excel_csv
    return text(CSV_LINES[excel], partial(render_header, excel=excel))(work, output)


def workbook(title: str) -> Write:
    """Return a way to write a workbook, whose sheets have a title."""

    @contextmanager
    def write(work: Work, output: Output) -> Iterator[Take]:
        path, columns = work.store.staged(output.name), output.columns_of(work.options)
        with Workbook(path, columns, title, work.scratch("workbooks")) as book:
            yield lambda piece: book.add(piece.rows)

    return write


@contextmanager
def series_json(work: Work, output: Output) -> Iterator[Take]:
    """Write crawl_db.json and crawl-cache.json; learn what Med-ImageTools makes of the latter."""
    renderer = SeriesRenderer()
    rewritten = dict.fromkeys(("crawl_db.json", "index.csv"), Check(0, 0))
    names = output.names
    with work.store.open_output(names[0]) as crawl_db, work.store.open_output(names[1]) as cache:

        def write(one: SeriesFiles) -> None:
            crawl_db.write(one.crawl_db)
            cache.write(one.crawl_cache)
            contents = (one.crawl_cache, one.rewritten_index)
            for (name, check), content in zip(list(rewritten.items()), contents, strict=True):
                crc = zlib.crc32(content, check.crc or 0)
                rewritten[name] = Check(check.size + len(content), crc)

        def take(piece: Piece) -> None:
            for one in renderer.render(SeriesTable(piece.rows), piece.instances):
                write(one)

        write(renderer.begin())
        yield take
        write(renderer.end())
    work.rewritten.update(rewritten)
