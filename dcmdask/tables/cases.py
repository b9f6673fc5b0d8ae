"""Take instances; give the rows of the case tables, and a row a case.

Seed A's rules: a case is an immediate subfolder of a source, a zip lying directly in it, or the
loose files lying there. An archive is one row, and so are the loose files of a case: of every column
the first value that is there, in order of path.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.dicom.values import INTEGER, TEXT
from dcmdask.table_types import (
    CaseRowsTable,
    CaseSeriesTable,
    CasesTable,
    CountsTable,
    FirstsTable,
    InstancesTable,
)
from dcmdask.tables.arrow import Column, Order, nulls, values_of
from dcmdask.tables.factorize import Codes, codes_of, first_rows, map_distinct, rows_with
from dcmdask.tables.privacy import hide, pseudonym
from dcmdask.tables.schema import CASE_ROWS, CASES, INSTANCES
from dcmdask.types import SKIPS

_NOT_READ = ("Folder", "FileName", "ImageCount", "SeriesCount")
_VALUES = tuple(name for name in CASE_ROWS.names[4:] if name not in _NOT_READ)
_AGED = ("PatientAge", "PatientBirthDate", "StudyDate")

COLUMNS = (
    "case",
    "path",
    "archive",
    "folder",
    "file_name",
    "SOPInstanceUID",
    *_VALUES,
)
"""Columns of the instances that the case tables need."""

PLACE_COLUMNS = ("case", "archive", "file_name", "path")
"""Columns of the instances, and of what is made of them, that decide the order of rows."""

FIRSTS = pa.schema(
    [
        *(INSTANCES.field(name) for name in COLUMNS if name != "PatientAge"),
        pa.field("PatientAge", INTEGER),
        pa.field("count", INTEGER),
    ]
)
"""Instances of which some row takes a value, and how many others each stands for."""

SERIES = pa.schema([*((name, TEXT) for name in (*PLACE_COLUMNS, "SeriesInstanceUID"))])
"""Series that a row has, each once."""

COUNTS = pa.schema([*((name, TEXT) for name in PLACE_COLUMNS), ("SeriesCount", INTEGER)])
"""How many series a row has, in as many parts as they were counted in."""

# A row of a case table is made of the instances that agree in these.
_ROW = ("case", "archive")
# What decides which value is the first: the path, then what differs between instances of one path.
_ORDER = ("path", "SeriesInstanceUID", "SOPInstanceUID")

# PS3.5 6.2 has three digits. A few more are forgiven; a file that has hundreds must not end the run.
_AGE = re.compile(r"\s*([0-9]{1,6})\s*([DWMY]?)\s*", re.IGNORECASE)
_NAME = "PatientName"
_MAY_NAME = ("PatientID", "Manufacturer")
_DAYS_A_YEAR = 365.25
_MONTHS_A_YEAR = 12

# Windows keeps these for devices, with or without a suffix.
_RESERVED = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\xb9\xb2\xb3]) *(\..*)?", re.IGNORECASE
)
# Separators and wildcards of any system, control characters, those that turn the direction of
# text, and halves of characters, which have no UTF-8.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\u2028-\u202e\u2066-\u2069\ud800-\udfff]')
_LONGEST_STEM = 120
DESENSITIZED = ".desensitized"
"""What the name of a case's file bears before its suffix, where names are pseudonyms in it."""

_DIGEST_DIGITS = 8


def age_in_years(age: str | None, born: dt.date | None, studied: dt.date | None) -> int | None:
    """Return a patient's age in whole years.

    Parameters
    ----------
    age : str or None
        PatientAge (AS): digits and a unit D, W, M or Y; without a unit years are meant.
    born, studied : datetime.date or None
        PatientBirthDate and StudyDate, asked where `age` is absent.

    Examples
    --------
    >>> age_in_years("063Y", None, None), age_in_years("018M", None, None)
    (63, 1)
    >>> age_in_years(None, dt.date(1980, 5, 2), dt.date(2004, 5, 1))
    23
    """
    if age is not None and age.strip():
        match = _AGE.fullmatch(age)
        return None if match is None else _whole_years(int(match[1]), match[2].upper())
    if born is None or studied is None or studied < born:
        return None
    before_birthday = (studied.month, studied.day) < (born.month, born.day)
    return studied.year - born.year - before_birthday


def _whole_years(count: int, unit: str) -> int:
    if unit == "M":
        return count // _MONTHS_A_YEAR
    if unit == "W":
        return int(count * 7 / _DAYS_A_YEAR)
    if unit == "D":
        return int(count / _DAYS_A_YEAR)
    return count


def build_case_rows(
    instances: InstancesTable, project_ids: Mapping[str, int], *, by_file: bool = False
) -> CaseRowsTable:
    """Return the rows of the case tables.

    Parameters
    ----------
    instances : pyarrow.Table
        `COLUMNS` of all instances of some cases, in any order.
    project_ids : mapping
        ProjectID of every case.
    by_file : bool
        Whether every loose file is a row, and not all of a case together.

    Returns
    -------
    pyarrow.Table
        `dcmdask.tables.schema.CASE_ROWS`, sorted by ProjectID, FileName, path.
    """
    rows = with_ages(instances)
    joint, loose = parted(rows) if by_file else (rows, rows[:0])
    counts = count_series(series_of(joint))
    return join_case_rows(first_values(joint), counts, loose, project_ids)


def with_ages(instances: InstancesTable) -> FirstsTable:
    """Return `FIRSTS` of instances with `COLUMNS`, each for itself: ages in whole years."""
    ages = map_distinct(age_in_years, INTEGER, *(instances[name] for name in _AGED))
    columns: dict[str, Any] = {name: instances[name] for name in COLUMNS}
    columns |= {"PatientAge": ages, "count": np.ones(instances.num_rows, np.int64)}
    return FirstsTable(pa.table({name: columns[name] for name in FIRSTS.names}, FIRSTS))


def parted(rows: FirstsTable) -> tuple[FirstsTable, FirstsTable]:
    """Return the members of archives, and the loose files."""
    loose = pc.is_null(rows["archive"])
    return rows.filter(pc.invert(loose)), rows.filter(loose)


def first_values(rows: FirstsTable) -> FirstsTable:
    """Return those instances of which a row takes a value: the first that is there, by path.

    Parameters
    ----------
    rows : pyarrow.Table
        `FIRSTS`, in any order: instances, or what this function made of some of them. It makes the
        same of the whole as of what it made of the parts, however they were cut.

    Returns
    -------
    pyarrow.Table
        `FIRSTS`, with the counts of all others added to the first instance of each row.
    """
    # By everything in the end: what is alike in all of it may stand in any order.
    rest = (name for name in FIRSTS.names if name not in (*_ROW, *_ORDER))
    rows = rows.take(pc.sort_indices(rows, sort_keys=_ascending(*_ROW, *_ORDER, *rest)))
    group = codes_of(*(rows[name] for name in _ROW))
    heads = first_rows(group)
    spots = [heads, *(_first_there(rows[name], group) for name in _VALUES)]
    chosen = np.unique(np.concatenate(spots))
    counts = np.zeros(rows.num_rows, np.int64)
    counts[heads] = np.bincount(group, rows["count"].to_numpy(), len(heads))
    rows = rows.set_column(rows.column_names.index("count"), "count", pa.array(counts))
    return rows.take(pa.array(chosen)).cast(FIRSTS)


def _first_there(column: Column, group: Codes) -> Codes:
    """Return the first row of every group, of those that have one, in which a value stands."""
    there = np.flatnonzero(pc.is_valid(column).to_numpy(zero_copy_only=False))
    _, first = np.unique(group[there], return_index=True)
    return there[first]


def series_of(rows: FirstsTable) -> CaseSeriesTable:
    """Return `SERIES` of some instances."""
    rows = rows_with(rows, "SeriesInstanceUID").select([*_ROW, "SeriesInstanceUID"])
    first = first_rows(codes_of(*rows.columns))
    return CaseSeriesTable(_placed(rows.take(pa.array(first)), SERIES))


def count_series(series: CaseSeriesTable) -> CountsTable:
    """Return `COUNTS` of `SERIES`, of which each may stand there several times."""
    rows = series.take(
        pa.array(first_rows(codes_of(*(series[n] for n in (*_ROW, "SeriesInstanceUID")))))
    )
    group = codes_of(*(rows[name] for name in _ROW))
    counted = rows.take(pa.array(first_rows(group))).select(list(_ROW))
    counted = counted.append_column("SeriesCount", pa.array(np.bincount(group)))
    return CountsTable(_placed(counted, COUNTS))


def _placed(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return rows with the place columns that a row of many instances does not have."""
    columns: dict[str, Any] = {
        name: rows[name] if name in rows.column_names else nulls(rows.num_rows, TEXT)
        for name in schema.names
    }
    return pa.table(columns, schema)


def join_case_rows(
    firsts: FirstsTable,
    counts: CountsTable,
    loose: FirstsTable,
    project_ids: Mapping[str, int],
) -> CaseRowsTable:
    """Return the rows of the case tables from what was made of the instances of some rows.

    Parameters
    ----------
    firsts : pyarrow.Table
        What `first_values` gives of any parts of them.
    counts : pyarrow.Table
        What `count_series` gives of series that have no part in common.
    loose : pyarrow.Table
        What `with_ages` gives of files that are a row each.
    project_ids : mapping
        ProjectID of every case.
    """
    tables = [_joint_rows(first_values(firsts), counts), _loose_rows(loose)]
    rows = CaseRowsTable(pa.concat_tables(tables))
    numbers = map_distinct(project_ids.__getitem__, INTEGER, rows["case"])
    rows = rows.set_column(0, "ProjectID", numbers)
    return rows.sort_by(_ascending("ProjectID", "FileName", "path"))


def _joint_rows(rows: FirstsTable, counts: CountsTable) -> CaseRowsTable:
    """Return a row for the members of each archive, and for the loose files of each case."""
    group = codes_of(*(rows[name] for name in _ROW))
    heads = rows.take(pa.array(first_rows(group)))
    cases, archives = (values_of(heads[name]) for name in _ROW)
    roots = [folder.partition("/")[0] for folder in values_of(heads["folder"])]
    ways = [posixpath.dirname(archive or "") for archive in archives]
    columns: dict[str, Any] = {
        "case": cases,
        "path": [archive or "" for archive in archives],
        "Folder": [f"{root}/{way}".rstrip("/") for root, way in zip(roots, ways, strict=True)],
        "FileName": [
            f"{case}.dir" if archive is None else archive.rpartition("/")[2]
            for case, archive in zip(cases, archives, strict=True)
        ],
        "ImageCount": np.bincount(group, rows["count"].to_numpy(), len(cases)),
        "SeriesCount": _counts_of(cases, archives, counts),
    }
    for name in _VALUES:
        columns[name] = _first_values(rows[name], group, len(cases))
    return _case_rows(columns, len(cases))


def _counts_of(cases: list[str], archives: list[str | None], counts: CountsTable) -> list[int]:
    """Return how many series each row has."""
    found: Counter[tuple[str, str | None]] = Counter()
    for case, archive, count in zip(
        *(counts[n].to_pylist() for n in (*_ROW, "SeriesCount")), strict=True
    ):
        found[case, archive] += count
    return [found[row] for row in zip(cases, archives, strict=True)]


def _loose_rows(rows: FirstsTable) -> CaseRowsTable:
    """Return a row for each loose file, those of one path in order: the counts are for archives."""
    rows = rows.sort_by(_ascending(*_ORDER))
    columns: dict[str, Any] = {name: rows[name] for name in ("case", "path", *_VALUES)}
    columns |= {"Folder": rows["folder"], "FileName": rows["file_name"]}
    return _case_rows(columns, rows.num_rows)


def _case_rows(columns: Mapping[str, Any], count: int) -> CaseRowsTable:
    none = {name: nulls(count, CASE_ROWS.field(name).type) for name in CASE_ROWS.names}
    return CaseRowsTable(pa.table({**none, **columns}, CASE_ROWS))


def case_keys(rows: Any, project_ids: Mapping[str, int]) -> Any:
    """Give, of a table or batch with ``case``, text that sorts as ProjectIDs do."""
    return map_distinct(lambda case: f"{project_ids[case]:019d}", TEXT, rows["case"])


def row_keys(rows: Any, project_ids: Mapping[str, int], *, by_file: bool = False) -> list[Any]:
    """Give, of a table or batch with `PLACE_COLUMNS`, what the case tables are sorted by, as text."""
    archived = pc.is_valid(rows["archive"])
    archives = pc.replace_substring_regex(rows["archive"], r"(?s)^.*/", "")
    together = pc.binary_join_element_wise(rows["case"], ".dir", "")
    return [
        case_keys(rows, project_ids),
        pc.if_else(archived, archives, rows["file_name"] if by_file else together),
        pc.if_else(archived, rows["archive"], rows["path"] if by_file else ""),
    ]


def _ascending(*names: str) -> Order:
    return [(name, "ascending") for name in names]


def _first_values(column: Column, group: Codes, groups: int) -> Column:
    spots = _first_there(column, group)
    take = np.full(groups, -1, dtype=np.int64)
    take[group[spots]] = spots
    return column.take(pa.array(take, mask=take < 0))


def desensitized(rows: CaseRowsTable) -> CaseRowsTable:
    """Return case rows with the pseudonym of PatientName for it, wherever it stands."""
    names = rows[_NAME]
    changed = {word: map_distinct(_hidden, TEXT, rows[word], names) for word in _MAY_NAME}
    changed[_NAME] = map_distinct(pseudonym, TEXT, names)
    for word, values in changed.items():
        rows = rows.set_column(rows.column_names.index(word), word, values)
    return rows


def _hidden(text: str | None, name: str | None) -> str | None:
    return text if text is None or name is None else hide(text, [name])[0]


def build_cases(
    listed: Mapping[str, tuple[int, int]],
    instances: Mapping[str, int],
    series: Mapping[str, int],
    outcomes: Mapping[tuple[str, str], int],
    project_ids: Mapping[str, int],
) -> CasesTable:
    """Return `dcmdask.tables.schema.CASES`, sorted by ProjectID.

    Parameters
    ----------
    listed : mapping
        Case to its files and their bytes.
    instances, series : mapping
        Case to how many it has.
    outcomes : mapping
        Case and kind to how many failures and skips there are of it.
    project_ids : mapping
        ProjectID of every case.
    """
    skips: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for (case, kind), count in outcomes.items():
        counts = skips if kind in SKIPS else failed
        counts[case] += count
    rows = [
        (
            project_ids[case],
            case,
            files,
            instances.get(case, 0),
            series.get(case, 0),
            failed[case],
            size,
            skips[case],
        )
        for case, (files, size) in listed.items()
    ]
    columns = list(zip(*sorted(rows), strict=True)) or [()] * len(CASES)
    arrays = dict(zip(CASES.names, map(list, columns), strict=True))
    return CasesTable(pa.table(arrays, schema=CASES))


def file_stems(cases: Iterable[str]) -> dict[str, str]:
    """Return every case a file name without suffix, safe on any system, none like another.

    A name that is safe and unlike all others is kept. Any other becomes a safe form of it and a
    digest of the name, so that it does not depend on the other cases' order. Names are alike that
    some file system takes for one: those that differ in letter case or in how an accent is written.

    Examples
    --------
    >>> file_stems(["P1", "a/b"])
    {'P1': 'P1', 'a/b': 'a_b-c14cddc0'}
    """
    names = sorted(set(cases))
    forms = Counter(_form(name) for name in names)
    kept = {name for name in names if _is_safe(name) and forms[_form(name)] == 1}
    taken = {_form(name) for name in kept}
    stems = {}
    for name in names:
        if name in kept:
            stems[name] = name
            continue
        made = (_made_safe(name, attempt) for attempt in itertools.count())
        stems[name] = next(stem for stem in made if _form(stem) not in taken)
        taken.add(_form(stems[name]))
    return stems


def _form(name: str) -> str:
    """Return what names have in common that are the same to a file system (Unicode 3.13, D145)."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def _is_safe(name: str) -> bool:
    return (
        bool(name)
        and not _UNSAFE.search(name)
        and not _RESERVED.fullmatch(name)
        and name == name.strip(" .")
        and not name.startswith("-")
        # It would be the desensitized file of another case.
        and not name.casefold().endswith(DESENSITIZED)
        and len(name.encode()) <= _LONGEST_STEM
    )


def _made_safe(name: str, attempt: int) -> str:
    content = ("\0" * attempt + name).encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(content).hexdigest()[:_DIGEST_DIGITS]
    safe = _UNSAFE.sub("_", name).lstrip(" .-").rstrip(" .")
    if _RESERVED.fullmatch(f"{safe}-{digest}"):
        # NUL.txt-1a2b3c4d would still be the device.
        safe = f"_{safe}"
    while len(safe.encode()) > _LONGEST_STEM - _DIGEST_DIGITS - 1:
        safe = safe[:-1]
    return f"{safe}-{digest}" if safe else digest
