"""Seed A's rules on tables: numbers, ages, rows of case tables, and file names of cases."""

from __future__ import annotations

import datetime as dt
import itertools
import random
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmdask.assemble.case_rows import case_row_ranges
from dcmdask.assemble.spill import Key, Stream, cut
from dcmdask.tables.cases import (
    COLUMNS,
    age_in_years,
    build_case_rows,
    build_cases,
    desensitized,
    file_stems,
    first_values,
    row_keys,
    with_ages,
)
from dcmdask.tables.schema import CASE_ROWS, INSTANCES, table_of

# -- PatientAge ----------------------------------------------------------------------------------

_BORN = dt.date(1980, 5, 2)
_STUDIED = dt.date(2004, 5, 1)


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        ("063Y", 63),
        ("63y", 63),
        ("063", 63),
        (" 063 Y ", 63),
        ("000Y", 0),
        ("011M", 0),
        ("012M", 1),
        ("999M", 83),
        ("052W", 0),
        ("053W", 1),
        ("365D", 0),
        ("366D", 1),
        ("730D", 1),
        ("999D", 2),
        ("Y", None),
        ("-63Y", None),
        ("63.5Y", None),
        ("063X", None),
        ("adult", None),
        ("063Y\\064Y", None),
        ("\u0660\u0666\u0663Y", None),
        ("9" * 20 + "Y", None),
        ("9" * 5_000, None),
    ],
)
def test_an_age_is_read_as_whole_years(age: str, expected: int | None) -> None:
    """Digits with Y or nothing are years, M, W and D are turned to years, nonsense is empty.

    What an element says counts, also where it says nonsense: dates are not asked then.
    """
    assert expected == age_in_years(age, _BORN, _STUDIED)


@pytest.mark.parametrize("age", [None, "", "   "])
@pytest.mark.parametrize(
    ("born", "studied", "expected"),
    [
        (_BORN, _STUDIED, 23),
        (_BORN, dt.date(2004, 5, 2), 24),
        (_BORN, _BORN, 0),
        (_BORN, dt.date(1980, 5, 1), None),
        (dt.date(2004, 2, 29), dt.date(2005, 2, 28), 0),
        (dt.date(2004, 2, 29), dt.date(2005, 3, 1), 1),
        (None, _STUDIED, None),
        (_BORN, None, None),
        (None, None, None),
    ],
)
def test_an_absent_age_comes_from_the_dates(
    age: str | None, born: dt.date | None, studied: dt.date | None, expected: int | None
) -> None:
    """Years count from birthday to birthday; a study before the birth has none."""
    assert expected == age_in_years(age, born, studied)


@given(st.none() | st.text(), st.none() | st.dates(), st.none() | st.dates())
def test_any_age_fits_a_column(age: str | None, born: dt.date | None, studied: dt.date) -> None:
    """Whatever a file holds, the answer is absent or a number that a column can hold."""
    years = age_in_years(age, born, studied)
    assert years is None or 0 <= years < 10**6


# -- rows of the case tables ---------------------------------------------------------------------


def instances(*rows: dict[str, Any]) -> pa.Table:
    """Give rows of instances: loose CT files of case ``a`` unless they say otherwise."""
    filled = [
        {
            "case": "a",
            "folder": f"in/{row['path'].rpartition('/')[0]}".rstrip("/"),
            "file_name": row["path"].rsplit("/", 1)[-1].rsplit("!", 1)[-1],
            **row,
        }
        for row in rows
    ]
    return table_of(filled, INSTANCES).select(list(COLUMNS))


def records(table: pa.Table, *names: str) -> list[tuple[Any, ...]]:
    """Give some columns, row by row."""
    return [tuple(row.values()) for row in table.select(list(names)).to_pylist()]


def test_a_loose_file_is_a_row_without_counts() -> None:
    """Every value is the file's own; the two counts belong to archives."""
    rows = build_case_rows(
        instances(
            {
                "path": "a/x/1.dcm",
                "PatientName": "Doe^Jane",
                "PatientID": "7",
                "StudyDate": dt.date(2004, 5, 1),
                "PatientBirthDate": dt.date(1980, 5, 2),
                "PatientSex": "F",
                "StudyInstanceUID": "1.2",
                "SeriesInstanceUID": "1.3",
                "Modality": "CT",
                "Manufacturer": "M",
                "Rows": 4,
                "Columns": 5,
            }
        ),
        {"a": 9},
        by_file=True,
    )
    assert rows.to_pylist() == [
        {
            "ProjectID": 9,
            "case": "a",
            "path": "a/x/1.dcm",
            "Folder": "in/a/x",
            "FileName": "1.dcm",
            "PatientName": "Doe^Jane",
            "PatientID": "7",
            "StudyDate": dt.date(2004, 5, 1),
            "PatientBirthDate": dt.date(1980, 5, 2),
            "PatientAge": 23,
            "PatientSex": "F",
            "StudyInstanceUID": "1.2",
            "SeriesInstanceUID": "1.3",
            "Modality": "CT",
            "Manufacturer": "M",
            "Rows": 4,
            "Columns": 5,
            "ImageCount": None,
            "SeriesCount": None,
        }
    ]
    assert rows.schema.equals(CASE_ROWS)


def test_an_archive_is_one_row_of_its_members() -> None:
    """First value that is there in order of paths; members and distinct series are counted."""
    own = {"archive": "a/x.zip"}
    rows = build_case_rows(
        instances(
            {**own, "path": "a/x.zip!2", "PatientID": "two", "PatientAge": "9Y", "Rows": 2},
            {**own, "path": "a/x.zip!1", "Modality": "MR", "SeriesInstanceUID": "1.1"},
            {**own, "path": "a/x.zip!3", "PatientID": "3", "Rows": 3, "SeriesInstanceUID": "1.1"},
            {**own, "path": "a/x.zip!10", "Modality": "CT", "SeriesInstanceUID": "1.9"},
        ),
        {"a": 1},
    )
    names = ("path", "FileName", "PatientID", "PatientAge", "Modality", "SeriesInstanceUID", "Rows")
    assert records(rows, *names) == [("a/x.zip", "x.zip", "two", 9, "MR", "1.1", 2)]
    assert records(rows, "ImageCount", "SeriesCount") == [(4, 2)]


def test_the_loose_files_of_a_case_are_one_row() -> None:
    """Named after the case, with the first value that is there in order of path, and both counts."""
    rows = build_case_rows(
        instances(
            {"path": "a/2", "PatientID": "two", "PatientAge": "9Y", "SeriesInstanceUID": "1.1"},
            {"path": "a/10", "Modality": "MR", "SeriesInstanceUID": "1.1", "PatientAge": "?"},
            {"path": "a/sub/1", "PatientID": "3", "Modality": "CT", "Rows": 3},
            {"path": "a/x.zip!0", "archive": "a/x.zip", "PatientID": "zip"},
        ),
        {"a": 1},
    )
    names = ("FileName", "PatientID", "PatientAge", "Modality", "SeriesInstanceUID", "Rows")
    expected = [
        ("a.dir", "two", 9, "MR", "1.1", 3),
        ("x.zip", "zip", None, None, None, None),
    ]
    assert expected == records(rows, *names)
    assert records(rows, "ImageCount", "SeriesCount") == [(3, 1), (1, 0)]
    assert records(rows, "Folder") == [("in",), ("in/a",)]


@pytest.mark.parametrize("by_file", [False, True])
def test_rows_are_cut_where_they_are_sorted(by_file: bool) -> None:
    """The keys of ranges order instances as the case tables do."""
    rows = instances(
        {"path": "b/2", "case": "b"},
        {"path": "a/z/1"},
        {"path": "a/x.zip!1", "archive": "a/x.zip"},
        {"path": "a/b/1"},
        {"path": "a/y/x.zip!0", "archive": "a/y/x.zip"},
        {"path": "a/x.zip!1", "archive": "a/x.zip", "case": "c"},
        {"path": "a/a.dir!1", "archive": "a/a.dir"},
    )
    numbers = {"a": 10, "b": 9, "c": 2}
    columns = row_keys(rows, numbers, by_file=by_file)
    keys = list(zip(*(column.to_pylist() for column in columns), strict=True))
    table = build_case_rows(rows, numbers, by_file=by_file)
    found = records(table, "ProjectID", "FileName", "path")
    assert [(int(number), name, path) for number, name, path in sorted(set(keys))] == found


def test_an_archive_without_series_counts_none() -> None:
    """Members without SeriesInstanceUID are images of no series."""
    rows = build_case_rows(instances({"path": "x.zip!1", "archive": "x.zip"}), {"a": 1})
    assert records(rows, "ImageCount", "SeriesCount") == [(1, 0)]


def test_archives_of_two_cases_stay_apart() -> None:
    """Two sources may hold archives of one path: their cases tell them apart."""
    rows = build_case_rows(
        instances(
            {"path": "x.zip!1", "archive": "x.zip", "PatientID": "first"},
            {"path": "x.zip!1", "archive": "x.zip", "PatientID": "second", "case": "b"},
        ),
        {"a": 2, "b": 1},
    )
    expected = [(1, "b", "second", 1), (2, "a", "first", 1)]
    assert expected == records(rows, "ProjectID", "case", "PatientID", "ImageCount")


def test_rows_are_sorted_by_project_name_path() -> None:
    """ProjectID decides, then FileName, then, for files of one name, the path."""
    rows = build_case_rows(
        instances(
            {"path": "a/z"},
            {"path": "a/2/m"},
            {"path": "a/b.zip!z", "archive": "a/b.zip"},
            {"path": "a/1/m"},
            {"path": "b/y", "case": "b"},
        ),
        {"a": 2, "b": 1},
        by_file=True,
    )
    assert records(rows, "ProjectID", "path") == [
        (1, "b/y"),
        (2, "a/b.zip"),
        (2, "a/1/m"),
        (2, "a/2/m"),
        (2, "a/z"),
    ]


def test_no_instances_give_no_rows() -> None:
    """A table of the declared shape, as ever."""
    assert build_case_rows(instances(), {"a": 1}).equals(CASE_ROWS.empty_table())


_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "case": st.sampled_from("ab"),
            "archive": st.sampled_from([None, "x.zip", "y.tar"]),
            "PatientID": st.sampled_from([None, "1", "2"]),
            "PatientAge": st.sampled_from([None, "007Y", "?"]),
            "SeriesInstanceUID": st.sampled_from([None, "1.1", "1.2"]),
            "Rows": st.sampled_from([None, 1, 2]),
        }
    ),
    max_size=12,
)


def of(rows: list[dict[str, Any]]) -> pa.Table:
    """Give instances of the rows that Hypothesis makes up; some share a path, some are alike."""
    for number, row in enumerate(rows):
        name = f"{number % 7}"
        row["path"] = f"{row['archive']}!{name}" if row["archive"] else name
    return instances(*rows)


def shuffled(table: pa.Table, order: random.Random) -> pa.Table:
    """Give the rows of a table in another order."""
    return table.take(pa.array(order.sample(range(len(table)), len(table)), pa.int64()))


@given(_ROWS, st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_instances_decides_nothing(
    rows: list[dict[str, Any]], order: random.Random, by_file: bool
) -> None:
    """Instances in any order give the same case tables, and every one is in them."""
    numbers = {"a": 2, "b": 1}
    table = build_case_rows(of(rows), numbers, by_file=by_file)
    again = build_case_rows(shuffled(of(rows), order), numbers, by_file=by_file)
    assert table.equals(again)
    counts = table["ImageCount"].to_pylist()
    assert len(rows) == sum(1 if count is None else count for count in counts)
    assert by_file or None not in counts


@given(_ROWS, st.randoms(use_true_random=False), st.lists(st.integers(0, 12), max_size=4))
def test_first_values_of_parts_are_those_of_the_whole(
    rows: list[dict[str, Any]], order: random.Random, cuts: list[int]
) -> None:
    """The reduction is associative and commutative: cut and ordered in any way it gives the same."""
    whole = first_values(with_ages(of(rows)))
    parts = with_ages(shuffled(of(rows), order))
    ends = [0, *sorted(cuts), len(rows)]
    pieces = [
        first_values(parts.slice(start, max(0, stop - start)))
        for start, stop in itertools.pairwise(ends)
    ]
    assert whole.equals(first_values(pa.concat_tables(order.sample(pieces, len(pieces)))))
    folded = with_ages(of([]))
    for piece in pieces:
        folded = first_values(pa.concat_tables([piece, folded]))
    assert whole.equals(folded)


@given(_ROWS, st.integers(1, 9), st.booleans())
def test_ranges_give_the_rows_of_the_whole(
    rows: list[dict[str, Any]], most: int, by_file: bool
) -> None:
    """However few instances may be held, the case tables are those of all at once."""
    numbers = {"a": 2, "b": 1}
    with tempfile.TemporaryDirectory() as folder:

        def ranges(name: str, streams: dict[str, Stream], key: Key) -> Iterator[dict[str, Stream]]:
            return iter(cut(streams, key, most, Path(folder, "cut", name)))

        pieces = case_row_ranges(
            Stream.of(of(rows)),
            numbers,
            ranges,
            lambda name: Path(folder, name),
            by_file=by_file,
            most=most,
        )
        found = pa.concat_tables(pieces).combine_chunks()
    assert found.equals(build_case_rows(of(rows), numbers, by_file=by_file).combine_chunks())


def test_desensitized_rows_hold_pseudonyms() -> None:
    """Names become hashes, absent ones stay absent, nothing else changes."""
    rows = build_case_rows(
        instances({"path": "1", "PatientName": "Doe^Jane", "PatientID": "7"}, {"path": "2"}),
        {"a": 1},
        by_file=True,
    )
    hidden = desensitized(rows)
    assert hidden["PatientName"].to_pylist() == ["hash:ff37cfdaa95116a3", None]
    named = rows.set_column(
        rows.column_names.index("PatientID"), "PatientID", [["DOE_JANE 7", "X"]]
    )
    assert desensitized(named)["PatientID"].to_pylist() == ["hash:ff37cfdaa95116a3 7", "X"]
    assert rows.drop_columns("PatientName").equals(hidden.drop_columns("PatientName"))
    assert rows.schema.equals(hidden.schema)


# -- cases ---------------------------------------------------------------------------------------


def test_cases_are_counted() -> None:
    """Files, instances, series, failures, bytes and skips of each case, sorted by ProjectID."""
    outcomes = {
        ("a", "not_dicom"): 1,
        ("a", "dicomdir"): 1,
        ("a", "truncated"): 1,
        ("b", "corrupt"): 1,
    }
    table = build_cases(
        {"a": (5, 500), "b": (1, 10), "empty": (0, 0)},
        {"a": 2},
        {"a": 1},
        outcomes,
        {"a": 3, "b": 1, "empty": 2},
    )
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        (1, "b", 1, 0, 0, 1, 10, 0),
        (2, "empty", 0, 0, 0, 0, 0, 0),
        (3, "a", 5, 2, 1, 1, 500, 2),
    ]


def test_no_cases_give_an_empty_table() -> None:
    """An empty source has no case."""
    assert build_cases({}, {}, {}, {}, {}).num_rows == 0


# -- file names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("P1", "P1"),
        ("Müller 7 (2)", "Müller 7 (2)"),
        ("山田", "山田"),
        ("a.b", "a.b"),
        ("second/P1", "second_P1-7ded4b2b"),
        ("..", "5ec1f7e7"),
        ("", "e3b0c442"),
        (".hidden", "hidden-16924190"),
        ("end.", "end-2e18562d"),
        ("-rf", "rf-686c39ac"),
        ("- x", "x-11bf3bad"),
        ("a\nb", "a_b-7e18f737"),
        ("con", "con-1143da2b"),
        ("NUL.txt", "_NUL.txt-0241e4ee"),
        ("COM\xb9", "COM\xb9-844eb874"),
        ("\\xff", "_xff-776a63db"),
        ("\u202egnp", "_gnp-b07cbe76"),
        ("\ud800", "_-91a681b9"),
        ("P1.desensitized", "P1.desensitized-9af73202"),
    ],
)
def test_a_case_has_a_safe_file_name(case: str, expected: str) -> None:
    """A safe name is kept; separators, controls and reserved names are not, and get a digest."""
    assert {case: expected} == file_stems([case])


def test_a_long_name_is_cut() -> None:
    """120 bytes leave room for suffixes and folders on any system, and no letter is cut in two."""
    stems = file_stems(["x" * 120, "x" * 121, "山" * 41])
    assert stems["x" * 120] == "x" * 120
    assert stems["x" * 121] == "x" * 111 + "-79072a47"
    assert stems["山" * 41] == "山" * 37 + "-33c97c55"


@pytest.mark.parametrize(
    ("cases", "expected"),
    [
        (("P1", "p1"), ("P1-fbeae7c1", "p1-f64551fc")),
        (("Straße", "STRASSE"), ("Straße-58a3778c", "STRASSE-b97805af")),
        (("Mu\u0308ller", "M\u00fcller"), ("Mu\u0308ller-fa6a2313", "M\u00fcller-a7842989")),
    ],
)
def test_names_that_a_file_system_takes_for_one_are_told_apart(
    cases: tuple[str, str], expected: tuple[str, str]
) -> None:
    """Letter case and the way accents are written differ on one system and not on another."""
    assert dict(zip(cases, expected, strict=True)) == file_stems(cases)


def test_a_case_cannot_take_the_made_name_of_another() -> None:
    """Even folders that are called what would be made of another case keep their own file."""
    cases = ["a/b"]
    for _ in range(4):
        cases.append(file_stems(cases)["a/b"])
    stems = file_stems(cases)
    assert len(set(stems.values())) == 5
    assert cases[1:] == [stems[case] for case in cases[1:]]


_NAMES = st.text(max_size=6) | st.text("aAbB._- /\\:\x00e\u0301\u00e9ßs", max_size=6)
_DEVICES = st.sampled_from(
    ["con", "NUL.txt", "Com1", "lpt9.x.y", "aux .z", "conin$", "..", "x" * 130]
)
_RESERVED = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³"
}


def is_safe(stem: str) -> bool:
    """Tell whether a stem names a file on Windows, macOS, Linux and in a bucket."""
    return (
        0 < len(stem.encode()) <= 120
        and not re.search(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*]', stem)
        and stem[-1] not in " ."
        and stem[0] not in " .-"
        and stem.partition(".")[0].rstrip(" ").lower() not in _RESERVED
    )


@given(st.lists(_NAMES | _DEVICES, max_size=8), st.randoms(use_true_random=False))
def test_file_names_are_safe_distinct_stable(cases: list[str], order: random.Random) -> None:
    """Any set of cases has one safe file each, none like another, whatever their order."""
    cases += list(file_stems(cases).values())[:3]
    stems = file_stems(cases)
    assert set(cases) == set(stems)
    assert [] == [stem for stem in stems.values() if not is_safe(stem)]
    assert len(stems) == len({stem.casefold() for stem in stems.values()})
    assert stems == file_stems(order.sample(cases, len(cases)))
