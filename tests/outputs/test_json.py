"""JSON records, as pandas and jq read them."""

from __future__ import annotations

import datetime as dt
import io
import json

import pandas as pd
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from dcmdask.outputs.json import render_records


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
    assert expected == render_records(table, columns).decode()


def test_no_rows_are_an_empty_list() -> None:
    """A case without DICOM has a file that readers of JSON take."""
    assert render_records(pa.table({"a": pa.array([], pa.string())}), ["a"]) == b"[]\n"


@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]))))
def test_any_text_is_read_back(values: list[str | None]) -> None:
    """Quotes, controls and emoji are escaped as JSON wants it."""
    content = render_records(pa.table({"a": pa.array(values, pa.string())}), ["a"])
    assert [{"a": value} for value in values] == json.loads(content)


def test_pandas_reads_records() -> None:
    """`pandas.read_json` gives the table."""
    content = render_records(pa.table({"a": [1, 2], "b": ["x", "y"]}), ["a", "b"])
    frame = pd.read_json(io.BytesIO(content))
    assert frame.to_dict("list") == {"a": [1, 2], "b": ["x", "y"]}
