"""Cutting the wanted elements out of a file changes nothing of what pydicom says of them."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import pydicom
import pytest
from header.datasets import damages, datasets
from header.windows import element, file_of, window_of
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from support import examples

from dcmdask.errors import HeaderError
from dcmdask.extract.registry import EXTRACTORS, extractor_for
from dcmdask.extract.table import Extractor
from dcmdask.header import deep
from dcmdask.header.deep import Description, describe_header
from dcmdask.header.excerpt import excerpt
from dcmdask.header.reader import quiet_pydicom

LAST = 0x52009230
pytestmark = pytest.mark.usefixtures("quiet")


def described(data: bytes, extractor: Extractor) -> Description | str:
    """Describe a file, or say how that failed."""
    with quiet_pydicom():
        try:
            return describe_header(window_of(data)[0], extractor, attributes=True)
        except HeaderError as error:
            return str(error.kind)


def both(data: bytes, extractor: Extractor) -> tuple[Any, Any]:
    """Describe a file by its excerpt, and as if there were none."""
    quick = described(data, extractor)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deep, "excerpt", lambda *_: None)
        return quick, described(data, extractor)


def has_excerpt(data: bytes, tag: int = 0x00080060) -> bool:
    """Tell whether a file is plain, as far as one element is wanted of it."""
    return excerpt(window_of(data)[0], LAST, frozenset({tag})) is not None


@pytest.mark.data
def test_the_sample_data_is_described_alike(data: Path) -> None:
    """Every real file says the same either way, and nearly all are plain."""
    plain = files = 0
    for path in sorted(data.rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        if content[128:132] != b"DICM":
            continue
        with quiet_pydicom():
            head = pydicom.dcmread(path, specific_tags=["Modality", "SOPClassUID"], force=True)
        quick, slow = both(content, extractor_for(head.get("SOPClassUID"), head.get("Modality")))
        assert quick == slow, path
        files += 1
        plain += has_excerpt(content)
    assert plain > 0.9 * files


@settings(max_examples=examples(150))
@given(
    datasets(),
    st.sampled_from(EXTRACTORS),
    st.sampled_from((ExplicitVRLittleEndian, ImplicitVRLittleEndian)),
    st.booleans(),
)
def test_generated_files_are_described_alike(
    dataset: Dataset, extractor: Extractor, syntax: str, undefined: bool
) -> None:
    """Any content, nested sequences of either length, private blocks, both encodings."""
    data = file_of(dataset, syntax, undefined=undefined)
    quick, slow = both(data, extractor)
    assert quick == slow
    assert has_excerpt(data) or syntax == ImplicitVRLittleEndian


@settings(max_examples=examples(300))
@given(
    datasets().flatmap(lambda one: damages(file_of(one))),
    st.sampled_from(EXTRACTORS),
)
def test_damaged_files_are_described_alike(data: bytes, extractor: Extractor) -> None:
    """Bits that flipped, ends that are missing, lengths that lie: no difference, no crash."""
    quick, slow = both(data, extractor)
    assert quick == slow


ITEM_END, SEQUENCE_END = (struct.pack("<HHL", 0xFFFE, number, 0) for number in (0xE00D, 0xE0DD))


def file_with(content: bytes) -> bytes:
    """Give a file that has some more elements behind its SOP class and modality."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.Modality = "1.2", "MR"
    return file_of(dataset) + content


STRANGE = {
    "item end at the top": ITEM_END + element(0x00180080, "DS", b"12"),
    "item end in an item of defined length": element(0x00081140, "SQ", b"", 0xFFFFFFFF)
    + struct.pack("<HHL", 0xFFFE, 0xE000, 16)
    + ITEM_END
    + SEQUENCE_END
    + SEQUENCE_END
    + element(0x00180080, "DS", b"12"),
}


@pytest.mark.parametrize("content", STRANGE.values(), ids=STRANGE)
def test_what_pydicom_ends_elsewhere_is_left_to_it(content: bytes) -> None:
    """Where delimiters stand that belong nowhere, pydicom says what they end."""
    for extractor in EXTRACTORS:
        quick, slow = both(file_with(content), extractor)
        assert quick == slow
    assert not has_excerpt(file_with(content), 0x00081140)


def test_what_is_not_plain_has_no_excerpt() -> None:
    """Big endian, a missing prefix and a header that is cut are for pydicom to judge."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.Modality = "1.2", "CT"
    whole = file_of(dataset)
    assert has_excerpt(whole)
    assert not has_excerpt(file_of(dataset, ExplicitVRBigEndian))
    assert not has_excerpt(whole[132:])
    assert not has_excerpt(whole[:-1])


def test_only_what_is_wanted_is_kept() -> None:
    """The excerpt is a file of the wanted elements and the first; the window is where reading ended."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.Modality, dataset.PatientID = "1.2", "CT", "somebody"
    dataset.add_new(0x00091001, "OB", b"\1" * 50_000)
    dataset.Rows = 7
    dataset.PerFrameFunctionalGroupsSequence = [Dataset()]
    data = file_of(dataset)
    window, store = window_of(data)
    content = excerpt(window, LAST, frozenset({0x00280010}))
    assert content is not None
    assert data.index(b"\x00\x52\x30\x92") == window.tell()
    assert store.fetched < len(data)
    found = pydicom.dcmread(io.BytesIO(content))
    assert ["SOPClassUID", "Rows"] == [element.keyword for element in found]
