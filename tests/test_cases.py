"""Seed A's rules on tables: numbers, ages, rows of case tables, and file names of cases."""

from __future__ import annotations

import datetime as dt
import itertools
import random
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmdask.cases import (
    COLUMNS,
    age_in_years,
    assign_project_ids,
    build_case_rows,
    build_cases,
    desensitized,
    file_stems,
    joined_archive,
    read_projectid_map,
    row_keys,
)
from dcmdask.errors import ProjectIdMapError
from dcmdask.schema import CASE_ROWS, INSTANCES, table_of

# -- ProjectID -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cases", "known", "expected"),
    [
        ([], {}, {}),
        (["c", "a", "b"], {}, {"a": 1, "b": 2, "c": 3}),
        (["P10", "P2"], {}, {"P10": 1, "P2": 2}),
        (["a", "b"], {"b": 1}, {"b": 1, "a": 2}),
        (["a", "b", "c"], {"gone": 2, "b": 4}, {"gone": 2, "b": 4, "a": 1, "c": 3}),
        (["a", "a"], {}, {"a": 1}),
        (["é", "z", "Z"], {}, {"Z": 1, "z": 2, "é": 3}),
    ],
)
def test_new_cases_get_the_next_free_numbers(
    cases: list[str], known: dict[str, int], expected: dict[str, int]
) -> None:
    """New ones in sorted order of name fill what is free from 1; known ones keep theirs."""
    assert expected == assign_project_ids(cases, known)


_KNOWN = st.dictionaries(st.text(max_size=3), st.integers(1, 40), max_size=8).map(
    lambda found: {name: number for number, name in {v: k for k, v in found.items()}.items()}
)


@given(st.lists(st.text(max_size=3), max_size=12), _KNOWN)
def test_numbers_are_stable_distinct_and_dense(cases: list[str], known: dict[str, int]) -> None:
    """Known numbers stay, no two are alike, and new ones leave no gap below them."""
    numbers = assign_project_ids(cases, known)
    assert known == {name: numbers[name] for name in known}
    assert set(numbers) == set(known) | set(cases)
    assert len(numbers) == len(set(numbers.values()))
    new = {name: number for name, number in numbers.items() if name not in known}
    assert set(range(1, max(new.values(), default=0) + 1)) <= set(numbers.values())
    assert sorted(new) == sorted(new, key=new.__getitem__)


@given(st.sets(st.text(max_size=3)), st.sets(st.text(max_size=3)), _KNOWN)
def test_a_later_run_changes_no_number(
    first: set[str], second: set[str], known: dict[str, int]
) -> None:
    """Whatever cases come and go, a number once given is kept."""
    before = assign_project_ids(first, known)
    assert before.items() <= assign_project_ids(second, before).items()


def test_an_absent_map_is_empty(tmp_path: Path) -> None:
    """The first run has no map."""
    assert read_projectid_map(tmp_path / "none.json") == {}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"{}", {}),
        (b'{"a": 1, "b": 9223372036854775807}', {"a": 1, "b": 9223372036854775807}),
        ('{"山田": 3}'.encode(), {"山田": 3}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
    ],
)
def test_a_map_is_read(tmp_path: Path, content: bytes, expected: dict[str, int]) -> None:
    """Any UTF-8 JSON object of numbers, also one that an editor gave a BOM."""
    path = tmp_path / "map.json"
    path.write_bytes(content)
    assert expected == read_projectid_map(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is no JSON"),
        (b'{"a": 1', "it is no JSON"),
        (b'\xff\xfe{\x00"\x00', "it is no JSON"),
        (b"[" * 100_000, "it is no JSON"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "it is no JSON"),
        (b'["a"]', "it is no JSON object"),
        (b"7", "it is no JSON object"),
        (b'{"a": "1"}', "a number in it is no positive integer"),
        (b'{"a": 1.0}', "a number in it is no positive integer"),
        (b'{"a": true}', "a number in it is no positive integer"),
        (b'{"a": null}', "a number in it is no positive integer"),
        (b'{"a": {"b": 1}}', "a number in it is no positive integer"),
        (b'{"a": 0}', "a number in it is no positive integer"),
        (b'{"a": 9223372036854775808}', "a number in it is too large"),
        (b'{"a": 1, "b": 1}', "two cases in it have one number"),
        (b'{"a": 1, "a": 2}', "a case stands in it twice"),
    ],
)
def test_a_bad_map_is_one_clear_error(tmp_path: Path, content: bytes, reason: str) -> None:
    """What the file is not is said with its path and what to do."""
    path = tmp_path / "map.json"
    path.write_bytes(content)
    expected = f"ProjectID map {path}: {reason}; mend the file, or name another --projectid-map"
    with pytest.raises(ProjectIdMapError) as caught:
        read_projectid_map(path)
    assert expected == str(caught.value)


def test_a_map_that_is_a_folder_is_an_error(tmp_path: Path) -> None:
    """A folder is no map, and says so before the crawl."""
    with pytest.raises(ProjectIdMapError, match="Is a directory"):
        read_projectid_map(tmp_path)


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
        {"case": "a", "file_name": row["path"].rsplit("/", 1)[-1].rsplit("!", 1)[-1], **row}
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
    )
    assert rows.to_pylist() == [
        {
            "ProjectID": 9,
            "case": "a",
            "path": "a/x/1.dcm",
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


def test_pieces_of_an_archive_are_one_row() -> None:
    """An archive too large to be held comes in pieces, in order of paths; it is the same row."""
    own = {"archive": "a/x.zip"}
    members = [
        {**own, "path": "a/x.zip!1", "SeriesInstanceUID": "1.1"},
        {**own, "path": "a/x.zip!2", "PatientID": "two"},
        {**own, "path": "a/x.zip!3", "PatientID": "3", "SeriesInstanceUID": "1.1", "Rows": 3},
        {**own, "path": "a/x.zip!4", "SeriesInstanceUID": "1.9", "Rows": 4},
    ]
    whole = build_case_rows(instances(*members), {"a": 1})
    for start, stop in itertools.combinations(range(1, 4), 2):
        cuts = (instances(*some) for some in (members[:start], members[start:stop], members[stop:]))
        pieces = ((build_case_rows(cut, {"a": 1}), cut["SeriesInstanceUID"]) for cut in cuts)
        assert whole.equals(joined_archive(pieces).combine_chunks())


def test_rows_are_cut_where_they_are_sorted() -> None:
    """The keys of ranges order instances as the case tables do."""
    rows = instances(
        {"path": "b/2", "case": "b"},
        {"path": "a/z/1"},
        {"path": "a/x.zip!1", "archive": "a/x.zip"},
        {"path": "a/b/1"},
        {"path": "a/y/x.zip!0", "archive": "a/y/x.zip"},
        {"path": "a/x.zip!1", "archive": "a/x.zip", "case": "c"},
    )
    numbers = {"a": 10, "b": 9, "c": 2}
    keys = list(zip(*(column.to_pylist() for column in row_keys(rows, numbers)), strict=True))
    table = build_case_rows(rows, numbers).select(["ProjectID", "FileName", "path"]).to_pylist()
    assert [(int(number), name, path) for number, name, path in sorted(set(keys))] == [
        tuple(row.values()) for row in table
    ]


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


@given(_ROWS, st.randoms(use_true_random=False))
def test_the_order_of_instances_decides_nothing(
    rows: list[dict[str, Any]], order: random.Random
) -> None:
    """Instances in any order give the same case tables, and every one is in them."""
    for number, row in enumerate(rows):
        row["path"] = f"{row['archive']}!{number}" if row["archive"] else f"{number}"
    shuffled = order.sample(rows, len(rows))
    numbers = {"a": 2, "b": 1}
    table = build_case_rows(instances(*rows), numbers)
    assert table.equals(build_case_rows(instances(*shuffled), numbers))
    counts = table["ImageCount"].to_pylist()
    assert len(rows) == sum(1 if count is None else count for count in counts)


def test_desensitized_rows_hold_pseudonyms() -> None:
    """Names become hashes, absent ones stay absent, nothing else changes."""
    rows = build_case_rows(
        instances({"path": "1", "PatientName": "Doe^Jane", "PatientID": "7"}, {"path": "2"}),
        {"a": 1},
    )
    hidden = desensitized(rows)
    assert hidden["PatientName"].to_pylist() == ["hash:ff37cfdaa95116a3", None]
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
