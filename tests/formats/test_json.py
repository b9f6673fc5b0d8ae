"""JSON records, as pandas and jq read them."""

from __future__ import annotations

import datetime as dt
import io
import json
from typing import Any

import pandas as pd
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from dcmdask.formats.json import as_list, render_records
from dcmdask.formats.text import as_json


def rendered(table: pa.Table, columns: list[str]) -> bytes:
    """Give a whole file."""
    return as_list(render_records(table, columns), 0, table.num_rows)


def test_rows_are_a_list_of_records() -> None:
    """A record a line, keys as asked for, UTF-8 as it is, absent values null, dates as DICOM's."""
    table = pa.table(
        {
            "hidden": [1, 2],
            "Rows": [4, None],
            "PatientName": ["山田^太郎", 'Doe "J"'],
            "StudyDate": [dt.date(2004, 8, 26), None],
            "PatientSex": [None, "F"],
            "ReferencedModality": [["CT", "PT"], None],
        }
    )
    columns = ["PatientName", "PatientSex", "StudyDate", "Rows", "ReferencedModality"]
    expected = """[
{"PatientName": "山田^太郎", "PatientSex": null, "StudyDate": "20040826", "Rows": 4, \
"ReferencedModality": ["CT", "PT"]},
{"PatientName": "Doe \\"J\\"", "PatientSex": "F", "StudyDate": null, "Rows": null, \
"ReferencedModality": null}
]
"""
    assert expected == rendered(table, columns).decode()


def test_no_rows_are_an_empty_list() -> None:
    """A case without DICOM has a file that readers of JSON take."""
    assert rendered(pa.table({"a": pa.array([], pa.string())}), ["a"]) == b"[]\n"


@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]))))
def test_any_text_is_read_back(values: list[str | None]) -> None:
    """Quotes, controls and emoji are escaped as JSON wants it."""
    content = rendered(pa.table({"a": pa.array(values, pa.string())}), ["a"])
    assert [{"a": value} for value in values] == json.loads(content)


_WORD = st.none() | st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\/\0\b\t\n\f\r\x1f\x7f\u2028山😀')
)
_ROW = st.tuples(
    _WORD,
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.dates(),
    st.none() | st.floats(),
    st.none() | st.lists(_WORD, max_size=3),
    st.none() | st.lists(st.none() | st.floats(), max_size=3),
)
_SCHEMA = pa.schema(
    {
        "text": pa.string(),
        'a "name"': pa.int64(),
        "day": pa.date32(),
        "real": pa.float64(),
        "words": pa.list_(pa.string()),
        "reals": pa.list_(pa.float64()),
    }
)


@given(st.lists(_ROW, max_size=5), st.data())
def test_records_are_those_of_the_library(rows: list[tuple[Any, ...]], data: st.DataObject) -> None:
    """Every byte is what `json` writes of the same values; any run of rows is a file."""
    start = data.draw(st.integers(0, len(rows)))
    stop = data.draw(st.integers(start, len(rows)))
    columns = {name: [row[n] for row in rows] for n, name in enumerate(_SCHEMA.names)}
    content = as_list(render_records(pa.table(columns, schema=_SCHEMA), _SCHEMA.names), start, stop)
    records = [
        json.dumps(dict(zip(_SCHEMA.names, map(as_json, row), strict=True)), ensure_ascii=False)
        for row in rows[start:stop]
    ]
    expected = "[\n" + ",\n".join(records) + "\n]\n" if records else "[]\n"
    assert expected.encode() == content


def test_pandas_reads_records() -> None:
    """`pandas.read_json` gives the table."""
    content = rendered(pa.table({"a": [1, 2], "b": ["x", "y"]}), ["a", "b"])
    frame = pd.read_json(io.BytesIO(content))
    assert frame.to_dict("list") == {"a": [1, 2], "b": ["x", "y"]}
