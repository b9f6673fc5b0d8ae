"""Items are passed as pydicom passes them, and weighed before they are built."""

from __future__ import annotations

import io
import struct

import pytest
from header.datasets import items
from header.windows import element, leave_lengths_open
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_sequence
from pydicom.filewriter import write_sequence
from pydicom.sequence import Sequence
from support import examples

from dcmdask.dicom.sequence_items import DEEPEST, UNDEFINED, is_sequence, pass_items
from dcmdask.errors import HeaderError
from dcmdask.types import Kind

ITEM, ITEM_END, SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0"
OPEN, NONE = b"\xff\xff\xff\xff", b"\0\0\0\0"
BEHIND = b"behind the sequence"


def encode(nested: list[Dataset], *, implicit: bool, little: bool) -> bytes:
    """Give the items of a sequence, without a delimiter."""
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = implicit, little
    write_sequence(stream, DataElement(0x00081140, "SQ", Sequence(nested)), ["iso8859"])
    return stream.getvalue()


@settings(max_examples=examples(40))
@given(
    st.lists(items(2), max_size=4),
    st.sampled_from(((False, True), (True, True), (False, False))),
    st.booleans(),
    st.booleans(),
)
def test_what_is_passed_is_what_pydicom_reads(
    nested: list[Dataset], encoding: tuple[bool, bool], undefined: bool, build: bool
) -> None:
    """The walk ends where pydicom's reading of the same items ends."""
    implicit, little = encoding
    holder = Dataset()
    holder.ReferencedImageSequence = Sequence(nested)
    if undefined:
        leave_lengths_open(holder)
    value = encode(list(holder.ReferencedImageSequence), implicit=implicit, little=little)
    end = struct.pack("<HHL" if little else ">HHL", 0xFFFE, 0xE0DD, 0) if undefined else b""
    length = UNDEFINED if undefined else len(value)
    theirs = io.BytesIO(value + end + BEHIND)
    assert len(nested) == len(read_sequence(theirs, implicit, little, length, "iso8859"))
    ours = io.BytesIO(value + end + BEHIND)
    pass_items(ours, length, implicit=implicit, build=build)
    assert end + BEHIND == ours.read()
    assert BEHIND == theirs.read()


def test_an_item_in_implicit_vr_inside_explicit() -> None:
    """The items of an unknown sequence keep the encoding they came in (PS3.5 section 6.2.2)."""
    inner = struct.pack("<HHL", 0x0008, 0x1155, 6) + b"1.2.3\0"
    value = ITEM + OPEN + inner + ITEM_END + NONE
    stream = io.BytesIO(value + SEQUENCE_END + NONE + BEHIND)
    pass_items(stream, UNDEFINED, implicit=False)
    assert SEQUENCE_END + NONE + BEHIND == stream.read()


def test_a_delimited_value_that_is_no_sequence() -> None:
    """Other data of undefined length inside an item ends with its delimiter, wherever it is."""
    odd = element(0x00091010, "OB", b"x" * 5000 + SEQUENCE_END + NONE, 0xFFFFFFFF)
    value = ITEM + OPEN + odd + element(0x00100020, "LO", b"P1") + ITEM_END + NONE
    stream = io.BytesIO(value + SEQUENCE_END + NONE + BEHIND)
    pass_items(stream, UNDEFINED, implicit=False)
    assert SEQUENCE_END + NONE + BEHIND == stream.read()


def nest(depth: int) -> bytes:
    """Give the value of a sequence that holds so many others, one in another."""
    head = ITEM + OPEN + element(0x00081140, "SQ", b"", UNDEFINED)
    tail = SEQUENCE_END + NONE + ITEM_END + NONE
    return head * depth + tail * depth


def test_deep_nesting_is_passed() -> None:
    """Ten thousand sequences in each other take no stack."""
    stream = io.BytesIO(nest(10_000) + SEQUENCE_END + NONE + BEHIND)
    pass_items(stream, UNDEFINED, implicit=False)
    assert SEQUENCE_END + NONE + BEHIND == stream.read()


def test_deep_nesting_is_not_built() -> None:
    """What pydicom's recursion could not build is refused before it begins."""
    pass_items(io.BytesIO(nest(DEEPEST - 1)), UNDEFINED, implicit=False, build=True)
    with pytest.raises(HeaderError) as caught:
        pass_items(io.BytesIO(nest(10_000)), UNDEFINED, implicit=False, build=True)
    assert Kind.CORRUPT == caught.value.kind


@pytest.mark.parametrize(
    "value",
    [
        (ITEM + NONE) * 251,
        ITEM + OPEN + element(0x00100020, "LO", b"") * 1001,
        ITEM + struct.pack("<L", 8 * 1001) + element(0x00100020, "LO", b"") * 1001,
    ],
    ids=("items", "elements", "elements of an item of known length"),
)
def test_too_many_items_are_not_built(value: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would take gigabytes as objects is refused; passing it costs nothing."""
    monkeypatch.setattr("dcmdask.dicom.sequence_items.LARGEST", 1000)
    pass_items(io.BytesIO(value), len(value), implicit=False)
    with pytest.raises(HeaderError) as caught:
        pass_items(io.BytesIO(value), len(value), implicit=False, build=True)
    assert Kind.TOO_LARGE == caught.value.kind


@settings(max_examples=examples(200))
@given(
    st.lists(
        st.one_of(
            st.sampled_from((ITEM, ITEM_END, SEQUENCE_END, OPEN, NONE, b"\x08\0\x40\x11SQ\0\0")),
            st.binary(max_size=9),
        ),
        max_size=30,
    ).map(b"".join),
    st.sampled_from((UNDEFINED, 0, 40, 2**31)),
    st.booleans(),
    st.booleans(),
)
def test_any_bytes_come_to_an_end(value: bytes, length: int, implicit: bool, build: bool) -> None:
    """A walk over anything ends, and raises nothing but that it is too much."""
    stream = io.BytesIO(value)
    pass_items(stream, length, implicit=implicit, build=build)
    assert 0 <= stream.tell()


@pytest.mark.parametrize(
    ("tag", "vr", "start", "expected"),
    [
        (0x00081140, "SQ", b"", True),
        (0x00091010, "UN", b"", True),
        (0x7FE00010, "OW", ITEM, False),
        (0x00081140, None, b"", True),
        (0x00100020, None, ITEM, False),
        (0x00091010, None, ITEM, True),
        (0x00091010, None, b"\xff\xfe\xe0\x00", True),
        (0x00091010, None, b"abcd", False),
        (0x00091010, None, b"", False),
    ],
)
def test_which_values_of_undefined_length_are_sequences(
    tag: int, vr: str | None, start: bytes, expected: bool
) -> None:
    """The VR says so; without one the dictionary; of an unknown element its first bytes."""
    stream = io.BytesIO(start)
    assert expected == is_sequence(stream, tag, vr)
    assert 0 == stream.tell()
