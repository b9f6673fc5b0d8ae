"""Take case rows range by range, in order of ProjectID; write seed A's tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from dcmdask.config import RunOptions
from dcmdask.formats.csv import render_header, render_lines
from dcmdask.formats.json import as_list, render_records
from dcmdask.formats.text import Lines
from dcmdask.formats.xlsx import Workbook
from dcmdask.publish.staging import Staging
from dcmdask.system.modes import private_folder, private_opener
from dcmdask.system.writing import writing
from dcmdask.tables import cases
from dcmdask.tables.schema import CASE_ROWS, TEMPLATE

Change = Callable[[pa.Table], pa.Table]


@dataclass(frozen=True, slots=True)
class _View:
    """The case tables in one form.

    Attributes
    ----------
    change : callable
        What is done to their rows.
    merged : tuple of str
        Files of all cases, without suffix.
    mark : str or None
        What the name of a case's file bears before its suffix; None where cases have no files.
    as_json : bool
        Whether a case is also written as JSON.
    """

    change: Change
    merged: tuple[str, ...]
    mark: str | None
    as_json: bool = False


def write_cases(
    store: Staging,
    ranges: Iterable[pa.Table],
    project_ids: Mapping[str, int],
    options: RunOptions,
) -> None:
    """Write a table a case and the merged ones, as far as they are asked for.

    Parameters
    ----------
    store : Staging
        Where they are prepared.
    ranges : iterable of pyarrow.Table
        `dcmdask.tables.schema.CASE_ROWS`, sorted by ProjectID, FileName and path over all ranges.
    project_ids : mapping
        ProjectID of every case; one without rows has a table as well.
    options : RunOptions
        What to write.
    """
    columns = _columns(options)
    views = _views(options)
    with ExitStack() as stack:
        merged = [_Merged(store, view, columns, options, stack) for view in views]
        files = stack.enter_context(_CaseFiles(store, views, project_ids, options))
        for rows in ranges:
            shown = [_Shown.of(view.change(rows), columns, options) for view in views]
            for tables, own in zip(merged, shown, strict=True):
                tables.add(own)
            files.add(shown)


def names_of_cases(options: RunOptions) -> set[str]:
    """Return the names in OUT of what a run writes of its cases."""
    views = _views(options)
    suffixes = (".csv", ".xlsx") if options.workbooks else (".csv",)
    names = {f"{name}{suffix}" for view in views for name in view.merged for suffix in suffixes}
    return names | ({"cases"} if any(view.mark is not None for view in views) else set())


@dataclass(frozen=True, slots=True)
class _Shown:
    """Rows in the form of a view.

    Attributes
    ----------
    rows : pyarrow.Table
        `dcmdask.tables.schema.CASE_ROWS`.
    lines : Lines
        What they are in a CSV file: of all cases, and of their own.
    """

    rows: pa.Table
    lines: Lines

    @classmethod
    def of(cls, rows: pa.Table, columns: Sequence[str], options: RunOptions) -> _Shown:
        """Render some rows."""
        return cls(rows, render_lines(rows, columns, excel=options.excel_csv))


class _Merged:
    """The tables of all cases in one form, which may have several names."""

    def __init__(
        self,
        store: Staging,
        view: _View,
        columns: Sequence[str],
        options: RunOptions,
        stack: ExitStack,
    ) -> None:
        self._streams = []
        self._books = []
        for name in view.merged:
            self._streams.append(stack.enter_context(store.open_output(f"{name}.csv")))
            self._streams[-1].write(render_header(columns, excel=options.excel_csv))
            if options.workbooks:
                path = store.staged(f"{name}.xlsx")
                book = Workbook(path, columns, "cases", _scratch(store))
                self._books.append(stack.enter_context(book))

    def add(self, shown: _Shown) -> None:
        """Write some rows."""
        for stream in self._streams:
            stream.write(shown.lines.content)
        for book in self._books:
            book.add(shown.rows)


def _scratch(store: Staging) -> Path:
    """Return the folder for what of a workbook is not in its file yet."""
    return store.staging / "workbooks"


def _columns(options: RunOptions) -> tuple[str, ...]:
    """Return the columns of the tables: a loose file is told by the folder it lies in."""
    return ("ProjectID", *(("Folder",) if options.case_rows == "file" else ()), *TEMPLATE)


def _same(rows: pa.Table) -> pa.Table:
    return rows


def _views(options: RunOptions) -> list[_View]:
    """Return the forms in which a run writes the case tables."""
    originals, hidden = "all_cases_original", "all_cases_desensitized"
    if options.only_merged:
        # With --desensitize the names are pseudonyms already, and no original is written.
        if options.desensitize:
            return [_View(_same, (hidden,), None)]
        return [_View(_same, (originals,), None), _View(cases.desensitized, (hidden,), None)]
    if not options.merge_all:
        return [_View(_same, (), "", options.export_json)]
    if options.desensitize:
        return [_View(_same, ("all_cases",), "", options.export_json)]
    return [
        _View(_same, ("all_cases", originals), "", options.export_json),
        _View(cases.desensitized, (hidden,), cases.DESENSITIZED),
    ]


class _CaseFiles:
    """The files of all cases, of which those of one at most are begun and not ended."""

    def __init__(
        self,
        store: Staging,
        views: list[_View],
        project_ids: Mapping[str, int],
        options: RunOptions,
    ) -> None:
        stems = cases.file_stems(project_ids)
        self._store = store
        self._books: dict[str, Workbook] = {}
        self._views = views
        is_wanted = any(view.mark is not None for view in views)
        numbers = sorted((number, stems[case]) for case, number in project_ids.items())
        self._waiting = numbers[::-1] if is_wanted else []
        self._options = options
        self._columns = _columns(options)
        self._folder = store.staged("cases")
        self._begun = False

    def __enter__(self) -> Self:
        if self._waiting:
            private_folder(self._folder)
        return self

    def __exit__(self, kind: object, *_exception: object) -> None:
        try:
            if kind is None:
                nothing = _Shown.of(CASE_ROWS.empty_table(), self._columns, self._options)
                self._write_up_to(None, [nothing] * len(self._views))
        finally:
            # Of an error: those that have ended are no longer among them.
            for book in self._books.values():
                book.drop()

    def add(self, shown: list[_Shown]) -> None:
        """Write some rows, in the form of every view. The last of their cases may have more."""
        if shown[0].rows.num_rows and self._waiting:
            self._write_up_to(shown[0].rows["ProjectID"][-1].as_py(), shown)

    def _write_up_to(self, last: int | None, shown: list[_Shown]) -> None:
        """Write the files of all cases that wait and come before `last`, and the first rows of it."""
        writers = [self._writer(*pair) for pair in zip(self._views, shown, strict=True)]
        ids = shown[0].rows["ProjectID"].to_numpy()
        while self._waiting and (last is None or self._waiting[-1][0] <= last):
            number, stem = self._waiting[-1]
            start, stop = (int(np.searchsorted(ids, number, side)) for side in ("left", "right"))
            for write in writers:
                write(stem, start, stop, number != last)
            self._begun = number == last
            if self._begun:
                return
            self._waiting.pop()

    def _writer(self, view: _View, shown: _Shown) -> Callable[[str, int, int, bool], None]:
        """Return what writes the rows of one case, of a view, into its files."""
        header = render_header(self._columns, excel=self._options.excel_csv)
        rows, lines = shown.rows, shown.lines
        records = render_records(rows, self._columns) if view.as_json else None

        def write(stem: str, start: int, stop: int, ends: bool) -> None:
            begins = not self._begun
            name = f"{stem}{view.mark}"
            self._write(f"{name}.csv", header if begins else b"", lines.between(start, stop))
            if records is not None:
                content = as_list(records, start, stop, begins=begins, ends=ends)
                self._write(f"{name}.json", content)
            if self._options.workbooks:
                self._add_to_workbook(name, rows.slice(start, stop - start), ends=ends)

        return write

    def _add_to_workbook(self, name: str, rows: pa.Table, *, ends: bool) -> None:
        if name not in self._books:
            path = self._folder / f"{name}.xlsx"
            self._books[name] = Workbook(path, self._columns, "case", _scratch(self._store))
        self._books[name].add(rows)
        if ends:
            self._books[name].close()
            del self._books[name]

    def _write(self, name: str, *pieces: bytes | memoryview) -> None:
        path = f"{self._folder}/{name}"
        mode = "ab" if self._begun else "wb"
        with writing(path), open(path, mode, opener=private_opener) as stream:
            stream.writelines(pieces)
