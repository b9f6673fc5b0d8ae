"""DICOM JSON to the header of a file: pydicom, which reads both, is the oracle."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from dcmdask.errors import HeaderError
from dcmdask.source.dicomweb.metadata import file_of

SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

ITEM = {
    "00081150": {"vr": "UI", "Value": ["1.2.3"]},
    "00080005": {"vr": "CS", "Value": ["ISO_IR 100"]},
    "00081199": {"vr": "SQ", "Value": [{}, {"00081155": {"vr": "UI", "Value": ["1.2"]}}]},
}
ALL = {
    "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
    "00080008": {"vr": "CS", "Value": ["ORIGINAL", "PRIMARY", None, "OTHER"]},
    "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
    "00080018": {"vr": "UI", "Value": ["1.2.3.4"]},
    "00081140": {"vr": "SQ", "Value": [ITEM]},
    "00090010": {"vr": "LO", "Value": ["MAKER"]},
    "00091001": {"vr": "OB", "InlineBinary": "AAEC"},
    "00091002": {"vr": "UN", "BulkDataURI": "http://host/bulk"},
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Müller^A", "Phonetic": "x"}, {}]},
    "00101010": {"vr": "AS", "Value": ["048Y"]},
    "00180050": {"vr": "DS", "Value": [1.25]},
    "00181063": {"vr": "DS"},
    "00189087": {"vr": "FD", "Value": [1.5]},
    "00200013": {"vr": "IS", "Value": [7]},
    "00200037": {"vr": "DS", "Value": [1, 0.5, -1e-07, 0.1, 0, 1]},
    "00280009": {"vr": "AT", "Value": ["00181063"]},
    "00280010": {"vr": "US", "Value": [512]},
    "00282000": {"vr": "OB", "BulkDataURI": "http://host/bulk"},
    "00400555": {"vr": "SQ"},
    "7FE00010": {"vr": "OW", "BulkDataURI": "http://host/pixels"},
}


def read(answer: list[dict[str, Any]]) -> pydicom.FileDataset:
    """Give the dataset of a file that is made of an answer."""
    return pydicom.dcmread(BytesIO(file_of(json.dumps(answer).encode())))


def values(dataset: Dataset) -> list[Any]:
    """Give the elements of a dataset, empty ones all alike, without encodings."""
    return [
        (
            int(element.tag),
            [values(item) for item in element.value] if element.VR == "SQ" else _plain(element),
        )
        for element in dataset
        if element.keyword != "SpecificCharacterSet"
    ]


def _plain(element: pydicom.DataElement) -> Any:
    if element.VR in ("OB", "OW", "UN") and element.value:
        return bytes(element.value).rstrip(b"\0")
    if element.VR == "DS" and not element.is_empty:
        return np.atleast_1d(np.array(element.value, float)).tolist()
    return None if element.is_empty else str(element.value)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_elements_are_those_that_pydicom_makes_of_json(syntax: str) -> None:
    """In every transfer syntax, which the file states; pixel data are not there."""
    said = {**ALL, "00083002": {"vr": "UI", "Value": [syntax]}}
    expected = Dataset.from_json(said, bulk_data_uri_handler=lambda _uri: None)
    del expected[0x7FE00010]
    found = read([said])
    assert values(expected) == values(found)
    assert "Müller^A==x" == str(found.PatientName[0])
    assert (syntax, "1.2.3.4") == (
        found.file_meta.TransferSyntaxUID,
        found.file_meta.MediaStorageSOPInstanceUID,
    )


@given(st.lists(st.floats(-1e9, 1e9), max_size=4), st.text("aé中-", max_size=70_000))
def test_numbers_and_long_texts_come_through(numbers: list[float], text: str) -> None:
    """Whatever their length; a text in another script is in UTF-8, also where nothing says so."""
    said = {"00200037": {"vr": "DS", "Value": numbers}, "00104000": {"vr": "LT", "Value": [text]}}
    found = read([said])
    held = found.get("ImageOrientationPatient")
    assert numbers == (
        [] if held is None else [held] if len(numbers) == 1 else list(map(float, held))
    )
    comments = found["PatientComments"]
    kept = comments.value.decode() if isinstance(comments.value, bytes) else comments.value or ""
    assert text.rstrip() == kept.rstrip()


ODD = [
    {"vr": "US", "Value": ["text"]},
    {"vr": "US", "Value": [70_000]},
    {"vr": "SQ", "Value": ["text"]},
    {"vr": "OW", "Value": [1.5]},
    {"vr": "OB", "InlineBinary": "?"},
    {"vr": "US", "Value": 7},
    {"vr": "AT", "Value": ["x"]},
    {"vr": 7},
    "text",
    None,
]


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_one_odd_value_costs_itself(odd: Any) -> None:
    """The others stand."""
    found = read([{**ALL, "00280030": odd, "0028": odd, "ZZZZ0010": odd}])
    assert found.get("PixelSpacing") in (None, "", b"") or not found.PixelSpacing
    assert (512, "1.2.3.4") == (found.Rows, found.SOPInstanceUID)


def test_metadata_that_nest_without_end_are_one_failure() -> None:
    """Whether JSON or the header gives up first."""
    for depth in (300, 100_000):
        item = b'{"00081140":{"vr":"SQ","Value":[' * depth
        with pytest.raises(HeaderError, match=r"nest too deep|not DICOM JSON"):
            file_of(b"[" + item + b"]}}" * depth + b"]")


@pytest.mark.parametrize("answer", [b"", b"[]", b"[{},{}]", b"<html>", b"[7]", b'"text"'])
def test_what_is_not_the_metadata_of_one_instance_is_said(answer: bytes) -> None:
    """None, two, or something else."""
    with pytest.raises(HeaderError, match=r"metadata are of|not DICOM JSON"):
        file_of(answer)
