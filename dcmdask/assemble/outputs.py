"""All that a run publishes, as a list: what is added here is published.

A new format is a function in `dcmdask.formats`, which takes a table and the names of columns and gives
`dcmdask.formats.text.Lines`, and a line here: ``Output(name, rows, text(function), layouts, columns)``.
A test then asks for the name in the README, and for a new suffix where catalogs are recognised.
"""

from __future__ import annotations

from collections.abc import Callable

from dcmdask.assemble import rows
from dcmdask.assemble.case_files import case_files
from dcmdask.assemble.rows import Rows
from dcmdask.assemble.work import Columns, Output, always
from dcmdask.assemble.writers import (
    csv,
    json_object,
    parquet,
    parts_as_they_are,
    series_json,
    workbook,
)
from dcmdask.config import RunOptions
from dcmdask.formats.imgtools import INDEX_COLUMNS, render_sop_map
from dcmdask.tables import cases
from dcmdask.tables.schema import TEMPLATE

_IMGTOOLS = ("imgtools", "all")
_CASES = ("cases", "all")

Wanted = Callable[[RunOptions], bool]


def _with_workbook(
    name: str,
    its_rows: Rows,
    layouts: tuple[str, ...],
    columns: Columns,
    title: str,
    wanted: Wanted = always,
) -> tuple[Output, Output]:
    """Return a CSV file and the workbook beside it."""

    def is_book_wanted(options: RunOptions) -> bool:
        return options.workbooks and wanted(options)

    return (
        Output(f"{name}.csv", its_rows, csv, layouts, columns, wanted),
        Output(f"{name}.xlsx", its_rows, workbook(title), layouts, columns, is_book_wanted),
    )


def _case_columns(options: RunOptions) -> tuple[str, ...]:
    """Return the columns of the case tables: a loose file is told by the folder it lies in."""
    return ("ProjectID", *(("Folder",) if options.case_rows == "file" else ()), *TEMPLATE)


def _each_case(options: RunOptions) -> bool:
    return not options.only_merged


def _all_cases(options: RunOptions) -> bool:
    return options.merge_all and not options.only_merged


def _each_case_hidden(options: RunOptions) -> bool:
    # With --desensitize the names are pseudonyms already, and no original is written.
    return _all_cases(options) and not options.desensitize


def _originals(options: RunOptions) -> bool:
    return (options.merge_all or options.only_merged) and not options.desensitize


def _hidden(options: RunOptions) -> bool:
    return options.only_merged or _each_case_hidden(options)


OUTPUTS: tuple[Output, ...] = (
    Output("instances", rows.PARTS, parts_as_they_are),
    Output("crawl_db.parquet", rows.SERIES, parquet),
    Output("index.parquet", rows.INDEX, parquet),
    Output("references.parquet", rows.REFERENCES, parquet),
    Output("failures.parquet", rows.FAILURES, parquet),
    Output("notes.parquet", rows.NOTES, parquet),
    Output("cases.parquet", rows.CASES, parquet),
    *_with_workbook("index", rows.INDEX_LINES, _IMGTOOLS, INDEX_COLUMNS, "index"),
    Output(
        "crawl_db.json",
        rows.SERIES_AND_INSTANCES,
        series_json,
        _IMGTOOLS,
        also=("crawl-cache.json",),
    ),
    Output(
        "sop_map.json",
        rows.NAMED_INSTANCES,
        json_object(render_sop_map),
        _IMGTOOLS,
        ("SOPInstanceUID", "SeriesInstanceUID"),
    ),
    Output(
        "cases",
        rows.CASE_ROWS,
        case_files("", with_json=True),
        _CASES,
        _case_columns,
        _each_case,
    ),
    Output(
        "cases",
        rows.HIDDEN_CASE_ROWS,
        case_files(cases.DESENSITIZED),
        _CASES,
        _case_columns,
        _each_case_hidden,
    ),
    *_with_workbook("all_cases", rows.CASE_ROWS, _CASES, _case_columns, "cases", _all_cases),
    *_with_workbook(
        "all_cases_original", rows.CASE_ROWS, _CASES, _case_columns, "cases", _originals
    ),
    *_with_workbook(
        "all_cases_desensitized", rows.HIDDEN_CASE_ROWS, _CASES, _case_columns, "cases", _hidden
    ),
)

PUBLISHED = tuple(dict.fromkeys(name for output in OUTPUTS for name in output.names))
"""Names that a run answers for in OUT."""


def wanted_outputs(options: RunOptions) -> list[Output]:
    """Return what a run publishes."""
    return [one for one in OUTPUTS if options.layout in one.layouts and one.wanted(options)]


def names_written(options: RunOptions) -> frozenset[str]:
    """Return the names in OUT that a run may write: none of them may be taken by what is not ours."""
    return frozenset(name for output in wanted_outputs(options) for name in output.names)
