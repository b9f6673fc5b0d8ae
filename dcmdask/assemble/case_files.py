"""Take case rows piece by piece, in order of ProjectID; write the files of each case."""

from __future__ import annotations

from contextlib import AbstractContextManager

import numpy as np
import pyarrow as pa

from dcmdask.assemble.rows import CASE_ROWS, Piece
from dcmdask.assemble.work import Output, Take, Work, Write
from dcmdask.assemble.writers import CSV_LINES
from dcmdask.formats.csv import render_header
from dcmdask.formats.json import as_list, render_records
from dcmdask.formats.text import Lines
from dcmdask.formats.xlsx import Workbook
from dcmdask.system.modes import private_folder, private_opener
from dcmdask.system.writing import writing


def case_files(mark: str, *, with_json: bool = False) -> Write:
    """Return a way to write files for each case, also for one without rows.

    Parameters
    ----------
    mark : str
        What their names bear before the suffix.
    with_json : bool
        Whether there is a JSON file among them, where such are asked for.
    """

    def write(work: Work, output: Output) -> AbstractContextManager[Take]:
        return _CaseFiles(work, output, mark, with_json=with_json and work.options.export_json)

    return write


class _CaseFiles:
    """The files of all cases, of which those of one at most are begun and not ended."""

    def __init__(self, work: Work, output: Output, mark: str, *, with_json: bool) -> None:
        self._cases = work.case_files
        self._ended = 0
        self._begun = False
        self._folder = work.store.staged(output.name)
        self._mark = mark
        self._columns = output.columns_of(work.options)
        self._render = CSV_LINES[work.options.excel_csv]
        self._header = render_header(self._columns, excel=work.options.excel_csv)
        self._with_json = with_json
        self._with_books = work.options.workbooks
        self._books: dict[str, Workbook] = {}
        self._scratch = work.scratch("workbooks")

    def __enter__(self) -> Take:
        if self._cases:
            private_folder(self._folder)
        return self._take

    def __exit__(self, kind: object, *_exception: object) -> None:
        try:
            if kind is None:
                self._write_up_to(None, Piece(CASE_ROWS.schema.empty_table()))
        finally:
            # Of an error: those that have ended are no longer among them.
            for book in self._books.values():
                book.drop()

    def _take(self, piece: Piece) -> None:
        """Write some rows. The last of their cases may have more."""
        if piece.rows.num_rows:
            self._write_up_to(piece.rows["ProjectID"][-1].as_py(), piece)

    def _write_up_to(self, last: int | None, piece: Piece) -> None:
        """Write the files of all cases that wait and come before `last`, and the first rows of it."""
        rows = piece.rows
        lines: Lines = piece.rendered(self._render, self._columns)
        records = render_records(rows, self._columns) if self._with_json else None
        ids = rows["ProjectID"].to_numpy()
        while self._ended < len(self._cases):
            number, stem = self._cases[self._ended]
            if last is not None and number > last:
                return
            start, stop = (int(np.searchsorted(ids, number, side)) for side in ("left", "right"))
            name, ends = f"{stem}{self._mark}", number != last
            self._add_lines(name, lines.between(start, stop))
            if records is not None:
                content = as_list(records, start, stop, begins=not self._begun, ends=ends)
                self._write(f"{name}.json", content)
            if self._with_books:
                self._add_to_workbook(name, rows.slice(start, stop - start), ends=ends)
            self._begun = not ends
            if self._begun:
                return
            self._ended += 1

    def _add_lines(self, name: str, lines: memoryview) -> None:
        self._write(f"{name}.csv", b"" if self._begun else self._header, lines)

    def _add_to_workbook(self, name: str, rows: pa.Table, *, ends: bool) -> None:
        if name not in self._books:
            path = self._folder / f"{name}.xlsx"
            self._books[name] = Workbook(path, self._columns, "case", self._scratch)
        self._books[name].add(rows)
        if ends:
            self._books[name].close()
            del self._books[name]

    def _write(self, name: str, *pieces: bytes | memoryview) -> None:
        path = f"{self._folder}/{name}"
        mode = "ab" if self._begun else "wb"
        with writing(path), open(path, mode, opener=private_opener) as stream:
            stream.writelines(pieces)
