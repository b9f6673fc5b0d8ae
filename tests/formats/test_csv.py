"""CSV as RFC 4180 has it, and as a spreadsheet may open it."""

from __future__ import annotations

import csv
import datetime as dt
import io
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmdask.formats.csv import render_header, render_lines
from dcmdask.formats.spreadsheet import is_taken_for_more
from dcmdask.formats.text import as_cell


def table(**columns: list[Any]) -> pa.Table:
    """Give a table of some columns."""
    return pa.table(columns)


def whole(rows: pa.Table, columns: list[str], *, excel: bool) -> bytes:
    """Give a whole file."""
    return render_header(columns, excel=excel) + lines(rows, columns, excel=excel)


def lines(rows: pa.Table, columns: list[str], *, excel: bool) -> bytes:
    """Give the lines of a table without its header."""
    return bytes(render_lines(rows, columns, excel=excel).content)


def parsed(content: bytes) -> list[list[str]]:
    """Give the cells as a reader of RFC 4180 sees them."""
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", b"plain"),
        ("a,b", b'"a,b"'),
        ('a"b', b'"a""b"'),
        ("a\nb", b'"a\nb"'),
        ("a\r\nb", b'"a\r\nb"'),
        ("a\rb", b'"a\rb"'),
        (" a ", b" a "),
        ("a;b", b"a;b"),
        ("山田^太郎", "山田^太郎".encode()),
        ("=1+1", b"=1+1"),
        (None, b""),
        (-7, b"-7"),
        (0.1, b"0.1"),
        (True, b"True"),
        (dt.date(804, 8, 6), b"08040806"),
        (dt.time(1, 2, 3), b"010203"),
        (dt.time(1, 2, 3, 40), b"010203.000040"),
        (["CT", "RTSTRUCT"], b"CT;RTSTRUCT"),
        ([1.5, None], b"1.5;"),
        ([], b""),
    ],
)
def test_a_value_is_a_cell(value: Any, expected: bytes) -> None:
    """Values as they are, quoted where RFC 4180 wants it; dates and times as DICOM writes them."""
    assert expected + b",1\r\n" == lines(table(x=[value], y=[1]), ["x", "y"], excel=False)


def test_columns_are_those_asked_for_in_their_order() -> None:
    """The table may hold others, in another order."""
    rows = table(b=[1, 2], hidden=["x", "y"], a=["p", "q"])
    assert whole(rows, ["a", "b"], excel=False) == b"a,b\r\np,1\r\nq,2\r\n"


def test_a_table_without_rows_is_its_header() -> None:
    """A case without DICOM has a file with the columns."""
    assert whole(table(a=[], b=[]), ["a", "b"], excel=False) == b"a,b\r\n"


def test_a_row_of_one_empty_cell_is_no_empty_line() -> None:
    """Readers skip empty lines: an absent value in an only column is quoted."""
    assert whole(table(a=["", None]), ["a"], excel=False) == b'a\r\n""\r\n""\r\n'


def test_pieces_join_to_the_whole() -> None:
    """A file may be written a piece at a time: one header, one BOM."""
    rows = table(a=["=x", "y", "z"])
    together = render_lines(rows, ["a"], excel=True)
    pieces = [lines(rows.slice(start, 1), ["a"], excel=True) for start in range(3)]
    slices = [bytes(together.between(start, start + 1)) for start in range(3)]
    assert pieces == slices
    assert whole(rows, ["a"], excel=True) == b"".join([render_header(["a"], excel=True), *pieces])


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"])
def test_excel_neutralises_formulas(start: str) -> None:
    """Text that a spreadsheet would run gets an apostrophe; numbers and inner signs do not."""
    rows = table(text=[f"{start}1"], inner=[f"a{start}1"], many=[[f"{start}1", "b"]], number=[-1])
    content = whole(rows, ["text", "inner", "many", "number"], excel=True)
    assert content.startswith(b"\xef\xbb\xbftext,")
    assert parsed(content)[1] == [f"'{start}1", f"a{start}1", f"'{start}1;b", "-1"]


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
_GRID = st.lists(st.tuples(_TEXT, _TEXT), max_size=6)


@given(_GRID)
def test_any_text_is_read_back(grid: list[tuple[str, str]]) -> None:
    """Whatever stands in the cells, a reader of RFC 4180 gets it back."""
    rows = table(
        a=pa.array([a for a, _ in grid], pa.string()), b=pa.array([b for _, b in grid], pa.string())
    )
    expected = [["a", "b"], *map(list, grid)]
    assert expected == parsed(whole(rows, ["a", "b"], excel=False))


@given(_GRID)
def test_excel_changes_nothing_but_an_apostrophe(grid: list[tuple[str, str]]) -> None:
    """No text cell begins like a formula; one apostrophe taken off the front it is what it was."""
    rows = table(
        a=pa.array([a for a, _ in grid], pa.string()), b=pa.array([b for _, b in grid], pa.string())
    )
    cells = parsed(lines(rows, ["a", "b"], excel=True))
    assert not [cell for row in cells for cell in row if cell.startswith(tuple("=+-@\t\r"))]
    for row, before in zip(cells, grid, strict=True):
        for cell, text in zip(row, before, strict=True):
            assert text == cell.removeprefix("'")


_WORD = st.none() | st.text(
    st.characters(exclude_categories=["Cs"])
    | st.sampled_from("=+-@\t\r\n\",; '\\\0\x7f\x85\u2028\ufeff山😀")
)
_COLUMNS = {
    "text": (_WORD, pa.string()),
    "number": (st.none() | st.integers(-(2**63), 2**63 - 1), pa.int64()),
    "day": (st.none() | st.dates(), pa.date32()),
    "hour": (st.none() | st.times(), pa.time64("us")),
    "real": (st.none() | st.floats(allow_nan=False), pa.float64()),
    "true": (st.none() | st.booleans(), pa.bool_()),
    "words": (st.none() | st.lists(_WORD, max_size=3), pa.list_(pa.string())),
    "reals": (st.none() | st.lists(st.floats(), max_size=3), pa.list_(pa.float64())),
}


@given(st.data(), st.sets(st.sampled_from(list(_COLUMNS)), min_size=1), st.booleans())
def test_lines_are_those_of_the_library(data: st.DataObject, names: set[str], excel: bool) -> None:
    """Every byte is what `csv.writer` writes of the same cells, whatever they hold."""
    columns = sorted(names)
    grid = data.draw(st.lists(st.tuples(*(_COLUMNS[name][0] for name in columns)), max_size=5))
    schema = pa.schema([(name, _COLUMNS[name][1]) for name in columns])
    cut = data.draw(st.integers(0, len(grid)))
    pieces = [
        pa.table({n: [row[i] for row in part] for i, n in enumerate(columns)}, schema=schema)
        for part in (grid[:cut], grid[cut:])
    ]
    stream = io.StringIO(newline="")
    for row in grid:
        cells = [as_cell(value) for value in row]
        if excel:
            cells = [
                f"'{cell}"
                if isinstance(value, (str, list))
                and is_taken_for_more(pa.array([cell], pa.large_string()))[0].as_py()
                else cell
                for value, cell in zip(row, cells, strict=True)
            ]
        csv.writer(stream, lineterminator="\r\n").writerow(cells)
    assert stream.getvalue().encode() == lines(pa.concat_tables(pieces), columns, excel=excel)


def test_pandas_reads_both_forms() -> None:
    """The BOM is not part of the first column's name, and absent values are absent."""
    rows = table(ProjectID=[1, 2], PatientName=["Doe^Jane", None])
    for excel in (False, True):
        content = whole(rows, ["ProjectID", "PatientName"], excel=excel)
        frame = pd.read_csv(io.BytesIO(content))
        assert list(frame.columns) == ["ProjectID", "PatientName"]
        assert frame["ProjectID"].tolist() == [1, 2]
        assert frame["PatientName"].isna().tolist() == [False, True]
