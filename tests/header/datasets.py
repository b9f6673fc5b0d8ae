"""Hypothesis strategies for datasets of any content, and for damage to their bytes."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

ASCII = st.text(
    st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="\\"), max_size=16
)
UIDS = st.from_regex(r"1\.2\.[1-9][0-9]{0,6}(\.[1-9][0-9]{0,8}){0,3}", fullmatch=True)
NUMBERS = st.floats(-1e6, 1e6).map(lambda number: f"{number:.8g}")
CHARSETS: tuple[tuple[Any, str], ...] = (
    (None, "Doe^Jane"),
    ("ISO_IR 6", "Doe^Jane"),
    ("ISO_IR 100", "Buc^Jérôme"),
    ("ISO_IR 144", "Яйцо"),
    ("ISO_IR 166", "ไทย"),
    ("ISO_IR 192", "Wang^XiaoDong=王^小东"),
    ("GB18030", "Wang^XiaoDong=王^小东"),
    (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
    (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞"),
)

LIGHT = {
    "SOPClassUID": UIDS,
    "SOPInstanceUID": UIDS,
    "Modality": st.sampled_from(("CT", "MR", "RTSTRUCT", "")),
    "PatientID": ASCII,
    "PatientBirthDate": st.dates().map(lambda date: f"{date:%Y%m%d}".rjust(8, "0")),
    "PatientSex": st.sampled_from(("M", "F", "O", "")),
    "PatientAge": st.sampled_from(("054Y", "003W", "", "x")),
    "StudyInstanceUID": UIDS,
    "StudyDate": st.sampled_from(("20040826", "", "2004.08.26", "yesterday")),
    "StudyDescription": ASCII,
    "SeriesInstanceUID": UIDS,
    "SeriesNumber": st.integers(-(2**31), 2**31 - 1).map(str),
    "SeriesDescription": ASCII,
    "AcquisitionNumber": st.sampled_from(("", "1", "7", "1.5")),
    "InstanceNumber": st.integers(0, 9999).map(str),
    "FrameOfReferenceUID": UIDS,
    "ImagePositionPatient": st.lists(NUMBERS, min_size=3, max_size=3),
    "ImageOrientationPatient": st.lists(NUMBERS, min_size=6, max_size=6),
    "PixelSpacing": st.lists(NUMBERS, min_size=2, max_size=2),
    "SliceThickness": NUMBERS,
    "NumberOfFrames": st.sampled_from(("", "1", "300")),
    "Rows": st.integers(0, 65535),
    "Columns": st.integers(0, 65535),
    "Manufacturer": ASCII,
}
"""Light attributes with values that a file may hold."""

OTHERS = {
    "ImageType": st.lists(
        st.sampled_from(("ORIGINAL", "PRIMARY", "AXIAL")), min_size=2, max_size=3
    ),
    "StudyTime": st.sampled_from(("", "101112", "101112.5")),
    "EchoTime": NUMBERS,
    "ImageComments": ASCII,
    "DiffusionBValue": st.floats(allow_nan=False, allow_infinity=False),
    "PixelAspectRatio": st.sampled_from((["1", "1"], ["2", "1"])),
    "SmallestImagePixelValue": st.integers(0, 32767),
}
"""Attributes beside them."""

SEQUENCES = (
    "ReferencedImageSequence",
    "ReferencedSeriesSequence",
    "ProcedureCodeSequence",
    "RequestAttributesSequence",
    "SharedFunctionalGroupsSequence",
)
PRIVATE = st.sampled_from((0x0009, 0x0019, 0x0021, 0x0027))


def _values(choices: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={word: choices[word] for word in choices})


@st.composite
def items(draw: st.DrawFn, depth: int) -> Dataset:
    """Give an item of a sequence; nested items are at most so deep."""
    dataset = Dataset()
    chosen = {"PatientID": ASCII, "ReferencedSOPInstanceUID": UIDS, "Rows": LIGHT["Rows"], **OTHERS}
    for word, value in draw(_values(chosen)).items():
        setattr(dataset, word, value)
    if depth:
        add_sequences(draw, dataset, depth)
    return dataset


def add_sequences(draw: st.DrawFn, dataset: Dataset, depth: int) -> None:
    """Add sequences, public and private, of defined and of undefined length."""
    for word in draw(st.lists(st.sampled_from(SEQUENCES), max_size=2, unique=True)):
        nested = draw(st.lists(items(depth - 1), max_size=3))
        for item in nested:
            item.is_undefined_length_sequence_item = draw(st.booleans())
        setattr(dataset, word, Sequence(nested))
        dataset[word].is_undefined_length = draw(st.booleans())
    if draw(st.booleans()):
        block = dataset.private_block(draw(PRIVATE), "ACME 1.0", create=True)
        nested = draw(st.lists(items(depth - 1), max_size=2))
        block.add_new(0x10, "SQ", Sequence(nested))
        block[0x10].is_undefined_length = draw(st.booleans())
        block.add_new(0x11, "UN", draw(st.binary(max_size=20).filter(lambda b: len(b) % 2 == 0)))
        block.add_new(0x12, "LO", draw(ASCII))


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    """Give a dataset with any of the light attributes among others, nested ones and private ones."""
    dataset = Dataset()
    charset, name = draw(st.sampled_from(CHARSETS))
    if charset is not None:
        dataset.SpecificCharacterSet = charset
    dataset.PatientName = name
    for word, value in draw(_values({**LIGHT, **OTHERS})).items():
        setattr(dataset, word, value)
    dataset.SOPClassUID = draw(UIDS)
    add_sequences(draw, dataset, 2)
    return dataset


@st.composite
def damages(draw: st.DrawFn, data: bytes) -> bytes:
    """Give bytes that were flipped, cut, overwritten with lying lengths, or had some inserted."""
    found = bytearray(data)
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(("flip", "cut", "length", "insert", "delete", "delimiter")))
        at = draw(st.integers(0, max(0, len(found) - 1)))
        if kind == "flip" and found:
            found[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del found[at:]
        elif kind == "length":
            lie = draw(
                st.sampled_from(
                    (b"\xff\xff\xff\xff", b"\xfe\xff\xff\x7f", b"\0\0\0\0", b"\xff\xff")
                )
            )
            found[at : at + len(lie)] = lie
        elif kind == "insert":
            found[at:at] = draw(st.binary(max_size=16))
        elif kind == "delete":
            del found[at : at + draw(st.integers(1, 16))]
        else:
            tag = draw(st.sampled_from((b"\x00\xe0", b"\x0d\xe0", b"\xdd\xe0")))
            found[at:at] = (
                b"\xfe\xff" + tag + draw(st.sampled_from((b"\0\0\0\0", b"\xff\xff\xff\xff")))
            )
    return bytes(found)
