"""Take instances; give ProjectIDs, the rows of the case tables, and a row a case.

Seed A's rules: a case is an immediate subfolder of a source, a zip lying directly in it, or the
loose files lying there; an archive is one row, aggregated over its members.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.codes import codes_of, count_distinct, first_rows, map_distinct
from dcmdask.errors import ProjectIdMapError
from dcmdask.privacy import pseudonym
from dcmdask.schema import CASE_ROWS, CASES, TEMPLATE
from dcmdask.types import SKIPS
from dcmdask.values import INTEGER, TEXT

COLUMNS = (
    "case",
    "path",
    "archive",
    "file_name",
    "SOPInstanceUID",
    *(name for name in TEMPLATE if name not in ("FileName", "ImageCount", "SeriesCount")),
)
"""Columns of the instances that the case tables need."""

PLACE_COLUMNS = COLUMNS[:4]
"""Columns of the instances that decide the order of rows."""

MEMBER_COLUMNS = ("path", "SeriesInstanceUID", "SOPInstanceUID")
"""Columns of the instances that decide the order of the members of an archive."""

# PS3.5 6.2 has three digits. A few more are forgiven; a file that has hundreds must not end the run.
_AGE = re.compile(r"\s*([0-9]{1,6})\s*([DWMY]?)\s*", re.IGNORECASE)
_DAYS_A_YEAR = 365.25
_MONTHS_A_YEAR = 12
_COUNTED = ("ImageCount", "SeriesCount")
_AGED = ("PatientAge", "PatientBirthDate", "StudyDate")
# What decides between instances of one path.
_TIES = ("SeriesInstanceUID", "SOPInstanceUID")
_VALUES = tuple(name for name in TEMPLATE if name not in ("FileName", *_COUNTED))

# Windows keeps these for devices, with or without a suffix.
_RESERVED = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\xb9\xb2\xb3]) *(\..*)?", re.IGNORECASE
)
# Separators and wildcards of any system, control characters, those that turn the direction of
# text, and halves of characters, which have no UTF-8.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\u2028-\u202e\u2066-\u2069\ud800-\udfff]')
_LARGEST_NUMBER = 2**63 - 1
_LONGEST_STEM = 120
_DIGEST_DIGITS = 8


def read_projectid_map(path: Path) -> dict[str, int]:
    """Read a ProjectID map; an absent file is an empty one.

    Raises
    ------
    ProjectIdMapError
        It cannot be read, or is not an object of distinct positive integers.
    """
    fix = "mend the file, or name another --projectid-map"
    try:
        # As pairs: an object in which one case stands twice has no meaning that could be kept.
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=tuple)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ProjectIdMapError(str(path), error.strerror or "cannot be read", fix) from error
    except (ValueError, RecursionError) as error:
        raise ProjectIdMapError(str(path), "it is no JSON", fix) from error
    if not isinstance(content, tuple):
        raise ProjectIdMapError(str(path), "it is no JSON object", fix)
    numbers = dict(content)
    if len(numbers) != len(content):
        raise ProjectIdMapError(str(path), "a case stands in it twice", fix)
    for number in numbers.values():
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise ProjectIdMapError(str(path), "a number in it is no positive integer", fix)
        if number > _LARGEST_NUMBER:
            raise ProjectIdMapError(str(path), "a number in it is too large", fix)
    if len(set(numbers.values())) != len(numbers):
        raise ProjectIdMapError(str(path), "two cases in it have one number", fix)
    return numbers


def assign_project_ids(cases: Iterable[str], known: Mapping[str, int]) -> dict[str, int]:
    """Give every case its number: known ones keep theirs, new ones get the next free from 1.

    Examples
    --------
    >>> assign_project_ids(["b", "c", "a"], {"b": 2})
    {'b': 2, 'a': 1, 'c': 3}
    """
    numbers = dict(known)
    taken = set(known.values())
    free = 1
    for case in sorted(set(cases) - set(known)):
        while free in taken:
            free += 1
        numbers[case] = free
        taken.add(free)
    return numbers


def age_in_years(age: str | None, born: dt.date | None, studied: dt.date | None) -> int | None:
    """Give a patient's age in whole years.

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


def build_case_rows(instances: pa.Table, project_ids: Mapping[str, int]) -> pa.Table:
    """Give the rows of the case tables.

    Parameters
    ----------
    instances : pyarrow.Table
        `COLUMNS` of all instances of some cases, in any order.
    project_ids : mapping
        ProjectID of every case.

    Returns
    -------
    pyarrow.Table
        `dcmdask.schema.CASE_ROWS`: a row a loose file or archive, sorted by ProjectID, FileName,
        path.
    """
    numbers = map_distinct(project_ids.__getitem__, INTEGER, instances["case"])
    ages = map_distinct(age_in_years, INTEGER, *(instances[name] for name in _AGED))
    rows = instances.drop_columns("PatientAge")
    rows = rows.append_column("ProjectID", numbers).append_column("PatientAge", ages)
    if rows["archive"].null_count == rows.num_rows:
        return _loose_rows(rows)
    loose = pc.is_null(rows["archive"])
    tables = [_loose_rows(rows.filter(loose)), _archive_rows(rows.filter(pc.invert(loose)))]
    return pa.concat_tables(tables).sort_by(_ascending("ProjectID", "FileName", "path"))


def case_keys(instances: Any, project_ids: Mapping[str, int]) -> Any:
    """Give, of a table or batch with ``case``, text that sorts as ProjectIDs do."""
    return map_distinct(lambda case: f"{project_ids[case]:019d}", TEXT, instances["case"])


def row_keys(instances: Any, project_ids: Mapping[str, int]) -> list[Any]:
    """Give, of a table or batch with `PLACE_COLUMNS`, what `build_case_rows` sorts by, as text."""
    archived = pc.is_valid(instances["archive"])
    archives = pc.replace_substring_regex(instances["archive"], r"(?s)^.*/", "")
    return [
        case_keys(instances, project_ids),
        pc.if_else(archived, archives, instances["file_name"]),
        pc.if_else(archived, instances["archive"], instances["path"]),
    ]


def _ascending(*names: str) -> list[tuple[str, str]]:
    return [(name, "ascending") for name in names]


def _loose_rows(rows: pa.Table) -> pa.Table:
    keys = _ascending("ProjectID", "file_name", "path", *_TIES)
    order = pc.sort_indices(rows, sort_keys=keys)
    rows = rows.select(["ProjectID", "case", "path", "file_name", *_VALUES]).take(order)
    columns: dict[str, Any] = dict(zip(rows.column_names, rows.columns, strict=True))
    columns["FileName"] = columns["file_name"]
    columns |= dict.fromkeys(_COUNTED, pa.nulls(rows.num_rows, INTEGER))
    return pa.table({name: columns[name] for name in CASE_ROWS.names}, CASE_ROWS)


def _archive_rows(rows: pa.Table) -> pa.Table:
    """Aggregate members: the first value that is there, in order of paths, and the two counts."""
    rows = rows.sort_by(_ascending("case", "path", *_TIES))
    group = codes_of(rows["case"], rows["archive"])
    first = rows.take(first_rows(group))
    archives = first["archive"].to_pylist()
    columns: dict[str, Any] = {
        "ProjectID": first["ProjectID"],
        "case": first["case"],
        "path": archives,
        "FileName": [archive.rsplit("/", 1)[-1] for archive in archives],
        "ImageCount": np.bincount(group),
        "SeriesCount": count_distinct(rows["SeriesInstanceUID"], group, len(archives)),
    }
    for name in _VALUES:
        columns[name] = _first_values(rows[name], group, len(archives))
    return pa.table({name: columns[name] for name in CASE_ROWS.names}, CASE_ROWS)


def joined_archive(pieces: Iterable[tuple[pa.Table, pa.ChunkedArray]]) -> pa.Table:
    """Give the row of one archive whose members come in pieces, for one too large to be held.

    Parameters
    ----------
    pieces : iterable of (pyarrow.Table, pyarrow.ChunkedArray)
        What `build_case_rows` gives of some members, in order of path, SeriesInstanceUID and
        SOPInstanceUID; and the SeriesInstanceUIDs of these members, which are held once each.
    """
    rows = []
    uids = pa.chunked_array([], TEXT)
    for row, own in pieces:
        rows.append(row)
        uids = pa.chunked_array([pc.unique(pa.chunked_array([*uids.chunks, *own.chunks], TEXT))])
    found = pa.concat_tables(rows)
    columns: dict[str, Any] = {name: found[name].drop_null()[:1] for name in CASE_ROWS.names}
    columns["ImageCount"] = [pc.sum(found["ImageCount"]).as_py()]
    columns["SeriesCount"] = [len(uids.drop_null())]
    return pa.table({name: column or [None] for name, column in columns.items()}, CASE_ROWS)


def _first_values(column: pa.ChunkedArray, group: Any, groups: int) -> pa.Array:
    there = pc.is_valid(column).to_numpy(zero_copy_only=False)
    spots = np.flatnonzero(there)
    found, first = np.unique(group[spots], return_index=True)
    take = np.full(groups, -1, dtype=np.int64)
    take[found] = spots[first]
    indices = pa.array(take, mask=take < 0)
    return column.combine_chunks().take(indices)


def desensitized(rows: pa.Table) -> pa.Table:
    """Give case rows with PatientName replaced by its pseudonym."""
    position = rows.column_names.index("PatientName")
    return rows.set_column(
        position, "PatientName", map_distinct(pseudonym, TEXT, rows["PatientName"])
    )


def build_cases(
    listed: Mapping[str, tuple[int, int]],
    instances: Mapping[str, int],
    series: Mapping[str, int],
    outcomes: Mapping[tuple[str, str], int],
    project_ids: Mapping[str, int],
) -> pa.Table:
    """Give `dcmdask.schema.CASES`, sorted by ProjectID.

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
    return pa.table(arrays, schema=CASES)


def file_stems(cases: Iterable[str]) -> dict[str, str]:
    """Give every case a file name without suffix, safe on any system, none like another.

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
    """Give what names have in common that are the same to a file system (Unicode 3.13, D145)."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def _is_safe(name: str) -> bool:
    return (
        bool(name)
        and not _UNSAFE.search(name)
        and not _RESERVED.fullmatch(name)
        and name == name.strip(" .")
        and not name.startswith("-")
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
