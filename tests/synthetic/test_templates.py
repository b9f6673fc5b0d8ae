"""Takes what is written from templates, in each transfer syntax; checks it element by element."""

from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from header.windows import SYNTAXES
from pydicom import Dataset
from pydicom.config import RAISE
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import validate_value
from synthetic.reading import read_files

from dcmdask.synthetic import write_synthetic
from dcmdask.synthetic.patients import DATE
from dcmdask.synthetic.uids import TOKEN

pytestmark = pytest.mark.filterwarnings("error")

PLAIN = (int, float, bytes)


def test_file_meta_agrees_with_dataset(files: dict[str, Dataset]) -> None:
    """The file meta information names the instance and class of the dataset."""
    for dataset in files.values():
        meta = dataset.file_meta
        assert dataset.SOPInstanceUID == meta.MediaStorageSOPInstanceUID
        assert dataset.SOPClassUID == meta.MediaStorageSOPClassUID
        assert ExplicitVRLittleEndian == meta.TransferSyntaxUID


def plain(value: object) -> object:
    """Give text for what pydicom has made of text, and other values as they are."""
    return value if type(value) in PLAIN else str(value)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_value_is_valid(tmp_path: Path, syntax: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pydicom takes every value when told to refuse the invalid, read and checked one by one."""
    monkeypatch.setattr(pydicom.config.settings, "_reading_validation_mode", RAISE)
    write_synthetic(tmp_path, patients=2, slices=2, transfer_syntax=syntax, vendor_elements=500)
    for dataset in read_files(tmp_path).values():
        assert RAISE == pydicom.config.settings.reading_validation_mode
        # Reading checks numbers, dates and names only; the rest is asked for.
        for element in (*dataset.file_meta, *dataset.iterall()):
            for value in element.value if element.VM > 1 else [element.value]:
                if element.VR not in {"SQ", "AT"}:
                    validate_value(element.VR, plain(value), RAISE)


def test_no_template_is_left(out: Path) -> None:
    """Neither the token nor the date that stand for a patient in templates reaches a file."""
    for path in out.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert TOKEN.encode() not in content
        assert DATE.encode() not in content


def write_in(out: Path, syntax: str) -> dict[str, Dataset]:
    """Write a small data set in a transfer syntax, and read it."""
    write_synthetic(
        out, patients=1, slices=3, matrix=12, vendor_elements=400, transfer_syntax=syntax
    )
    return read_files(out)


def flatten(dataset: Dataset) -> Iterator[tuple[object, object]]:
    """Give tag and value of every element at any depth, but of pixels, and the lengths of lists."""
    for element in dataset:
        if element.VR == "SQ":
            yield element.tag, len(element.value)
            for item in element.value:
                yield from flatten(item)
        elif element.keyword != "PixelData":
            yield element.tag, element.value


@pytest.mark.parametrize("syntax", SYNTAXES[1:])
def test_transfer_syntaxes_say_the_same(tmp_path: Path, syntax: str) -> None:
    """Every element, private ones too, and every pixel is the same in each transfer syntax."""
    numpy = pytest.importorskip("numpy")
    first = write_in(tmp_path / "first", ExplicitVRLittleEndian)
    other = write_in(tmp_path / "other", syntax)
    assert list(first) == list(other)
    for name, expected in first.items():
        actual = other[name]
        assert syntax == actual.file_meta.TransferSyntaxUID
        assert list(flatten(expected)) == list(flatten(actual))
        assert ("PixelData" in expected) == ("PixelData" in actual)
        if "PixelData" in expected:
            assert numpy.array_equal(expected.pixel_array, actual.pixel_array)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_files_have_an_even_length(tmp_path: Path, syntax: str) -> None:
    """A file has an even number of bytes, deflated ones too."""
    write_synthetic(tmp_path, patients=2, slices=2, matrix=3, transfer_syntax=syntax)
    sizes = [path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()]
    assert [0] * len(sizes) == [size % 2 for size in sizes]


def test_some_lengths_are_undefined(first: dict[str, list[Dataset]]) -> None:
    """Beams, contours and frames stand in sequences that a reader has to walk."""
    assert first["RTPLAN"][0]["BeamSequence"].is_undefined_length
    assert first["RTSTRUCT"][0]["ROIContourSequence"].is_undefined_length
    assert first["SEG"][0]["PerFrameFunctionalGroupsSequence"].is_undefined_length
