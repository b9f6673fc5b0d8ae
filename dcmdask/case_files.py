"""Take case rows range by range, in order of ProjectID; write seed A's tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Self

import numpy as np
import pyarrow as pa

from dcmdask import cases
from dcmdask.config import RunOptions
from dcmdask.outputs.csv import render_header, render_lines
from dcmdask.outputs.json import as_list, render_records
from dcmdask.schema import CASE_ROWS, TEMPLATE
from dcmdask.staging import Staging
from dcmdask.writing import writing

_COLUMNS = ("ProjectID", *TEMPLATE)


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
        `dcmdask.schema.CASE_ROWS`, sorted by ProjectID, FileName and path over all ranges.
    project_ids : mapping
        ProjectID of every case; one without rows has a table as well.
    options : RunOptions
        What to write.
    """
    merged = _merged_files(options)
    for name in merged:
        with store.open_output(name) as stream:
            stream.write(render_header(_COLUMNS, excel=options.excel))
    with _CaseFiles(store, {} if options.only_merged else project_ids, options) as files:
        for rows in ranges:
            for name, change in merged.items():
                lines = render_lines(change(rows), _COLUMNS, excel=options.excel)
                with writing(name), open(store.staged(name), "ab") as stream:
                    stream.write(lines.content)
            files.add(rows)


def _merged_files(options: RunOptions) -> dict[str, Callable[[pa.Table], pa.Table]]:
    """Give the merged files of a run and what is done to their rows."""

    def same(rows: pa.Table) -> pa.Table:
        return rows

    if options.only_merged:
        # With --desensitize the names are pseudonyms already, and no original is written.
        if options.desensitize:
            return {"all_cases_desensitized.csv": same}
        return {
            "all_cases_original.csv": same,
            "all_cases_desensitized.csv": cases.desensitized,
        }
    return {"all_cases.csv": same} if options.merge_all else {}


class _CaseFiles:
    """The files of all cases, of which one at most is begun and not ended."""

    def __init__(self, store: Staging, project_ids: Mapping[str, int], options: RunOptions) -> None:
        stems = cases.file_stems(project_ids)
        self._waiting = sorted((number, stems[case]) for case, number in project_ids.items())[::-1]
        self._options = options
        self._folder = store.staged("cases")
        self._begun = False

    def __enter__(self) -> Self:
        if self._waiting:
            self._folder.mkdir(exist_ok=True)
        return self

    def __exit__(self, kind: object, *_exception: object) -> None:
        if kind is None:
            self._write_up_to(None, CASE_ROWS.empty_table())

    def add(self, rows: pa.Table) -> None:
        """Write some rows. The last of their cases may have more."""
        if rows.num_rows and self._waiting:
            self._write_up_to(rows["ProjectID"][-1].as_py(), rows)

    def _write_up_to(self, last: int | None, rows: pa.Table) -> None:
        """Write the files of all cases that wait and come before `last`, and the first rows of it."""
        excel = self._options.excel
        header = render_header(_COLUMNS, excel=excel)
        lines = render_lines(rows, _COLUMNS, excel=excel)
        records = render_records(rows, _COLUMNS) if self._options.export_json else None
        ids = rows["ProjectID"].to_numpy()
        while self._waiting and (last is None or self._waiting[-1][0] <= last):
            number, stem = self._waiting[-1]
            start, stop = (int(np.searchsorted(ids, number, side)) for side in ("left", "right"))
            begins, ends = not self._begun, number != last
            self._write(f"{stem}.csv", header if begins else b"", lines.between(start, stop))
            if records is not None:
                content = as_list(records, start, stop, begins=begins, ends=ends)
                self._write(f"{stem}.json", content)
            self._begun = not ends
            if not ends:
                return
            self._waiting.pop()

    def _write(self, name: str, *pieces: bytes | memoryview) -> None:
        path = f"{self._folder}/{name}"
        with writing(path), open(path, "ab" if self._begun else "wb") as stream:
            stream.writelines(pieces)
