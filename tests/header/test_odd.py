"""Headers that others read whole are read whole; what was guessed is said, and by both readers."""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest
from header.comparing import by_record, compare, scan
from header.oracle import light_values, read_to_pixels
from header.windows import element, file_of, window_of
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian, RTStructureSetStorage

from dcmdask.extract.registry import extractor_for
from dcmdask.header.deep import Description, describe_header
from dcmdask.header.light import LightHeader
from dcmdask.types import Note

pytestmark = pytest.mark.usefixtures("quiet")

ITEM_END, SEQUENCE_END = b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"
NAME_AT, ROWS_AT, PIXELS_AT = b"\x10\0\x10\0PN", b"\x28\0\x10\0US", b"\xe0\x7f\x10\0OW"


def ct(**values: Any) -> Dataset:
    """Give a CT slice that has all that is expected of one; None leaves an attribute out."""
    dataset = Dataset()
    defaults = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": "1.2.3.4",
        "StudyDate": "20200304",
        "Modality": "CT",
        "Manufacturer": "NOBODY",
        "PatientName": "Doe^Jane",
        "PatientID": "P1",
        "PatientBirthDate": "19700102",
        "PatientSex": "F",
        "KVP": "120",
        "SliceThickness": "1.5",
        "StudyInstanceUID": "1.2",
        "SeriesInstanceUID": "1.2.3",
        "SeriesNumber": "1",
        "AcquisitionNumber": "2",
        "InstanceNumber": "3",
        "ImagePositionPatient": [0, 0, 1],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "FrameOfReferenceUID": "1.2.0",
        "Rows": 4,
        "Columns": 5,
        "PixelSpacing": [2.5, 2.5],
        "BitsAllocated": 16,
    }
    for word, value in {**defaults, **values}.items():
        if value is not None:
            setattr(dataset, word, value)
    dataset.add_new(0x7FE00010, "OW", b"\0" * 8)
    return dataset


PLAIN = file_of(ct())


def with_inserted(piece: bytes, before: bytes = NAME_AT, content: bytes = PLAIN) -> bytes:
    """Put bytes into a file, before an element."""
    at = content.index(before)
    return content[:at] + piece + content[at:]


def moved(keyword: str, before: bytes, **values: Any) -> bytes:
    """Put an attribute that is out of order before another element."""
    dataset = ct(**values)
    piece = dataset[keyword]
    del dataset[keyword]
    other = Dataset()
    other.add(piece)
    raw = file_of(other)
    return with_inserted(
        raw[raw.rindex(struct.pack("<HH", piece.tag.group, piece.tag.elem)) :],
        before,
        file_of(dataset),
    )


def read(content: bytes) -> LightHeader:
    """Read one file by both readers: what the columns accept is what the other one reads."""
    compare([content, PLAIN, content])
    header = by_record(content)
    assert header is not None
    return header


def notes(content: bytes) -> list[tuple[Note, str | None]]:
    """Give what is said of a file that reads as the plain one does."""
    header = read(content)
    assert read(PLAIN).values == header.values
    return [tuple(remark) for remark in header.remarks]


def by_pydicom(content: bytes) -> dict[str, Any]:
    """Give what pydicom reads of all of a header."""
    dataset = read_to_pixels(content)
    assert dataset is not None
    return light_values(dataset)


# Elements without a valid VR


@pytest.mark.parametrize("vr", [b"  ", b"??", b"--", b"\0\0", b"\6\0", b"\xff\xfe", b"a1"])
@pytest.mark.parametrize("count", [1, 3])
def test_an_element_without_a_valid_vr_is_passed(vr: bytes, count: int) -> None:
    """What stands behind it is what stands there without it."""
    odd = b"".join(
        struct.pack("<HH2sH", 0x0010, 0x0005 + number, vr, 4) + b"abcd" for number in range(count)
    )
    assert [(Note.INVALID_VR, None)] == notes(with_inserted(odd))


def test_an_attribute_without_a_valid_vr_has_that_of_the_dictionary() -> None:
    """Its value is read, and the attribute is named."""
    content = PLAIN.replace(b"\x10\0\x10\0PN", b"\x10\0\x10\0??")
    assert [(Note.INVALID_VR, "PatientName")] == notes(content)


def test_an_element_in_implicit_vr_among_explicit_ones_is_read_as_pydicom_reads_it() -> None:
    """Where four bytes are the length that leads on, they are taken for it."""
    odd = struct.pack("<HHL", 0x0010, 0x0005, 4) + b"abcd"
    content = with_inserted(odd)
    assert by_pydicom(content) == read(content).values
    assert [(Note.INVALID_VR, None)] == notes(content)


def test_a_long_length_behind_a_damaged_vr() -> None:
    """A VR of two reserved bytes that was damaged keeps its length of four."""
    odd = struct.pack("<HH2sHL", 0x0009, 0x1001, b"\0\0", 0, 300) + b"x" * 300
    assert [(Note.INVALID_VR, None)] == notes(with_inserted(odd))


def test_nothing_is_made_up_where_no_length_leads_on() -> None:
    """Then it is read as pydicom reads it, and the file is named."""
    odd = struct.pack("<HH2sH", 0x0010, 0x0005, b"??", 0x7FFF) + b"abcd"
    header = read(with_inserted(odd))
    assert header.values["PatientName"] is None
    assert {Note.INVALID_VR, Note.CUT} <= {remark.note for remark in header.remarks}


# Delimiters that close nothing


@pytest.mark.parametrize("delimiter", [ITEM_END, SEQUENCE_END, ITEM_END + SEQUENCE_END])
@pytest.mark.parametrize("before", [NAME_AT, ROWS_AT, b"\x28\0\x30\0DS"])
@pytest.mark.parametrize("implicit", [False, True])
def test_a_stray_delimiter_is_passed_over(delimiter: bytes, before: bytes, implicit: bool) -> None:
    """It ends nothing, wherever it stands."""
    content = PLAIN
    if implicit:
        content = file_of(ct(), ImplicitVRLittleEndian)
        before = before[:4]
    assert [(Note.STRAY_DELIMITER, None)] == notes_of_syntax(
        with_inserted(delimiter, before, content), content
    )


def notes_of_syntax(content: bytes, plain: bytes) -> list[tuple[Note, str | None]]:
    """Give what is said of a file that reads as another one does."""
    header = read(content)
    assert read(plain).values == header.values
    return [tuple(remark) for remark in header.remarks]


def test_behind_a_delimiter_that_leads_nowhere_nothing_is_read() -> None:
    """What no element can follow is the end, as for pydicom."""
    content = PLAIN[: PLAIN.index(NAME_AT)] + ITEM_END + b"\x01\x02" * 40
    header = read(content)
    assert header.values["PatientName"] is None


# Lengths that lie


def sequence(body: bytes, length: int | None = None) -> bytes:
    """Give a sequence of one item whose length may lie."""
    item = b"\xfe\xff\x00\xe0" + struct.pack("<L", len(body) if length is None else length) + body
    return element(0x00081140, "SQ", item + SEQUENCE_END, 0xFFFFFFFF)


CODE = element(0x00081150, "UI", b"1.2.3\0")


@pytest.mark.parametrize(
    "odd",
    [
        sequence(CODE + ITEM_END, 0x7FFFFFFF),
        sequence(CODE, len(CODE) - 2),
        sequence(CODE * 2 + ITEM_END, len(CODE) + 1),
    ],
    ids=("too long", "too short", "in the middle of an element"),
)
def test_an_item_whose_length_lies_is_read_as_pydicom_reads_it(odd: bytes) -> None:
    """The sequence ends where pydicom finds its end, and the file is named."""
    content = with_inserted(odd)
    assert by_pydicom(content) == read(content).values
    assert [(Note.WRONG_LENGTH, "ReferencedImageSequence")] == notes(content)


def test_a_file_that_ends_inside_a_sequence_is_an_instance() -> None:
    """What stands before it is there, and the sequence is named."""
    content = with_inserted(sequence(CODE * 40))
    header = read(content[: content.index(NAME_AT) - 60])
    assert ("1.2.3.4", None) == (header.values["SOPInstanceUID"], header.values["PatientName"])
    assert (Note.CUT, "ReferencedImageSequence") in header.remarks


# Elements out of order

PRIVATE = element(0x00290010, "LO", b"ACME") + element(0x00291010, "OB", b"x" * 20)


@pytest.mark.parametrize("size", [20, 20_000])
def test_private_groups_before_the_image_are_read_over(size: int) -> None:
    """An image has Rows: they are looked for, however far behind they stand."""
    private = element(0x00290010, "LO", b"ACME") + element(0x00291010, "OB", b"x" * size)
    content = with_inserted(private, ROWS_AT)
    assert by_pydicom(content) == read(content).values
    assert [(Note.OUT_OF_ORDER, "Rows")] == notes(content)


@pytest.mark.parametrize(
    "tag", [0x00290010, 0x00400253, 0x52009229, 0x60000010], ids=lambda tag: f"{tag:08x}"
)
@pytest.mark.parametrize("before", [NAME_AT, ROWS_AT, b"\x20\0\x0e\0UI", b"\x28\0\x30\0DS"])
def test_one_element_of_a_high_tag_ends_nothing(tag: int, before: bytes) -> None:
    """UIDs, name and geometry stand behind it and are read."""
    content = with_inserted(element(tag, "SH", b"ab"), before)
    assert by_pydicom(content) == read(content).values
    assert [Note.OUT_OF_ORDER] == [note for note, _ in notes(content)]


@pytest.mark.parametrize("keyword", ["PatientID", "PixelSpacing", "AcquisitionNumber"])
def test_what_is_appended_is_found_in_the_first_bytes(keyword: str) -> None:
    """Whoever appends an attribute that an image has loses nothing."""
    content = moved(keyword, PIXELS_AT)
    assert {"order": 2} == dict(scan([content, content]).reasons)
    assert by_pydicom(content) == read(content).values
    assert [(Note.OUT_OF_ORDER, keyword)] == notes(content)


def test_an_optional_attribute_alone_is_not_looked_for() -> None:
    """The one thing that is left: a description that stands alone behind all others."""
    content = moved("SeriesDescription", PIXELS_AT, SeriesDescription="late")
    assert "late" == by_pydicom(content)["SeriesDescription"]
    assert [] == notes(content)
    assert (Note.OUT_OF_ORDER, "SeriesDescription") in describe(content).walked


def test_columns_read_a_low_disorder_themselves() -> None:
    """Among the light attributes any order will do."""
    content = moved("SOPInstanceUID", ROWS_AT)
    assert {} == scan([content]).reasons
    assert [] == notes(content)


def test_reading_on_is_bounded() -> None:
    """An instance without its UIDs costs no more than may be read of a header, and stays."""
    dataset = ct(SeriesInstanceUID=None)
    content = with_inserted(element(0x00290010, "LO", b"") * 50_000, PIXELS_AT, file_of(dataset))
    window, store = window_of(content, budget=100_000)
    from dcmdask.header.light import scan_header

    header = scan_header(window)
    assert ("1.2.3.4", 4) == (header.values["SOPInstanceUID"], header.values["Rows"])
    assert store.fetched <= 100_000


# Character sets


@pytest.mark.parametrize(
    ("charset", "note"),
    [
        (b"ISO_IR 192\0\0", None),
        (b" ISO_IR 192 ", None),
        (b"ISO_IR 192\0\0x\0", Note.CHARACTER_SET),
        (b"ISO_IR 192 \\ISO 2022 IR 87", None),
    ],
)
def test_padding_of_a_character_set_costs_nothing(charset: bytes, note: Note | None) -> None:
    """Blanks and NULs are no part of a name; what stands behind a NUL is left out and named."""
    content = with_charset(charset, "Müller^Jörg".encode())
    header = read(content)
    assert "Müller^Jörg" == header.values["PatientName"]
    assert [note] * (note is not None) == [remark.note for remark in header.remarks]


@pytest.mark.parametrize("charset", [b"\0ISO\0IR 100", b"KLINGON ", b"x" * 1100, b"hex\\\0\0a\0"])
def test_a_character_set_that_is_none_costs_text_beyond_ascii(charset: bytes) -> None:
    """UIDs, codes, dates and numbers are read all the same, and the file is named."""
    content = with_charset(charset, b"Doe^Jane")
    assert [(Note.CHARACTER_SET, "SpecificCharacterSet")] == notes(content)


def with_charset(charset: bytes, name: bytes) -> bytes:
    """Put a character set and a name of bytes into a file."""
    content = PLAIN.replace(
        element(0x00100010, "PN", b"Doe^Jane"),
        element(0x00100010, "PN", name + b" " * (len(name) % 2)),
    )
    odd = element(0x00080005, "CS", charset + b" " * (len(charset) % 2))
    return with_inserted(odd, b"\x08\0\x16\0UI", content)


def test_deep_reading_follows_the_cleaned_character_set() -> None:
    """What describes a series is read in it too."""
    content = with_charset(b"ISO_IR\x00100", b"Doe^Jane")
    description = describe(content)
    assert (120.0, True, True) == (
        description.attributes["KVP"],
        description.whole,
        description.complete,
    )


def test_names_in_chinese_keep_no_escape() -> None:
    """ISO 2022 IR 58 is switched to in every group and component; the text holds no escape."""
    name = b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab="
    content = with_charset(b"\\ISO 2022 IR 58", name)
    assert "Zhang^XiaoDong=张^小东" == read(content).values["PatientName"]


# Values


@pytest.mark.parametrize(
    ("tag", "vr", "value", "word", "expected"),
    [
        (0x00280030, "UT", b"2.5\\2.5 ", "PixelSpacing", [2.5, 2.5]),
        (0x00280030, "LO", b"2.5\\2.5 ", "PixelSpacing", [2.5, 2.5]),
        (0x00200013, "LO", b"3 ", "InstanceNumber", 3),
        (0x00200013, "SH", b"003 ", "InstanceNumber", 3),
        (0x00280010, "IS", b"4 ", "Rows", 4),
        (0x00280010, "LO", b"4 ", "Rows", 4),
        (0x00100030, "LO", b"19700102", "PatientBirthDate", None),
        (0x00200013, "LO", b"3a", "InstanceNumber", None),
        (0x00280030, "UT", b"1_0\\2.5 ", "PixelSpacing", None),
    ],
)
def test_an_attribute_of_another_vr_is_read_where_there_is_no_doubt(
    tag: int, vr: str, value: bytes, word: str, expected: Any
) -> None:
    """Numbers that stand as text are numbers; what is none is said to be none."""
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    at = PLAIN.index(head, 400)
    size = struct.unpack("<H", PLAIN[at + 6 : at + 8])[0]
    content = PLAIN[:at] + element(tag, vr, value) + PLAIN[at + 8 + size :]
    header = read(content)
    if word == "PatientBirthDate":
        assert read(PLAIN).values[word] == header.values[word]
        return
    assert expected == header.values[word]
    assert [word] * (expected is None) == header.malformed


@pytest.mark.parametrize(
    "name", ["Doe^Jane", " Doe^Jane", "Doe^Jane^^ ", "Doe^Jane==", "Doe^Jane^="]
)
@pytest.mark.parametrize("number", ["00123", " 00123", "00123  "])
@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian])
def test_one_patient_is_one(name: str, number: str, syntax: str | None) -> None:
    """Padding and trailing delimiters make no other patient, in either reader."""
    values = {"PatientName": name, "PatientID": number, "StudyDescription": " a  b "}
    content = file_of(ct(**values), *([syntax] if syntax else []))
    found = scan([content] * 3)
    assert found.accepted.all()
    told = {word: set(found.columns[word].to_pylist()) for word in values}
    expected = {"PatientName": {"Doe^Jane"}, "PatientID": {"00123"}, "StudyDescription": {"a  b"}}
    assert expected == told
    read(content)


@pytest.mark.parametrize("text", [b"00123\0\x7fx", b"00123\0\0\x011", b"\0\x0000123\0y"])
def test_a_nul_ends_a_text(text: bytes) -> None:
    """The rest of some buffer makes no other patient and reaches no table; the file is named."""
    padded = text + b"\0" * (len(text) % 2)
    content = PLAIN.replace(element(0x00100020, "LO", b"P1"), element(0x00100020, "LO", padded))
    header = read(content)
    assert "00123" == header.values["PatientID"]
    assert [(Note.NUL_IN_TEXT, "PatientID")] == [tuple(remark) for remark in header.remarks]


# Reading deeply


def describe(content: bytes, **options: bool) -> Description:
    """Describe a series by one file."""
    window, _ = window_of(content)
    return describe_header(window, extractor_for(CTImageStorage, "CT"), attributes=True, **options)


@pytest.mark.parametrize("vr", [b"??", b"\0\0"])
def test_metadata_behind_an_invalid_vr_are_read(vr: bytes) -> None:
    """What describes a series is that of the same file without it."""
    odd = struct.pack("<HH2sH", 0x0010, 0x0005, vr, 4) + b"abcd"
    found = describe(with_inserted(odd))
    assert describe(PLAIN).attributes == found.attributes
    assert [Note.INVALID_VR] == [remark.note for remark in found.walked]


def test_metadata_out_of_order_are_looked_for_up_to_the_pixels() -> None:
    """Per-frame groups that stand first do not end the reading of a file known to be out of order."""
    frames = element(0x52009230, "SQ", b"")
    content = with_inserted(frames, NAME_AT)
    assert describe(PLAIN).attributes == describe(content, thorough=True).attributes


def test_references_of_a_file_that_is_cut_are_those_before() -> None:
    """A structure set that ends inside a later sequence names what it names before."""
    dataset = ct(SOPClassUID=RTStructureSetStorage, Modality="RTSTRUCT", Rows=None, Columns=None)
    item = Dataset()
    item.ReferencedSOPInstanceUID = "1.2.9"
    dataset.ReferencedImageSequence = Sequence([item])
    content = file_of(dataset)
    content = with_inserted(
        element(0x00081199, "SQ", b"\xfe\xff\0\xe0\xff\xff\xff\xff", 0xFFFFFFFF), NAME_AT, content
    )[: content.index(NAME_AT) + 30]
    window, _ = window_of(content)
    extractor = extractor_for(RTStructureSetStorage, "RTSTRUCT")
    found = describe_header(window, extractor, attributes=True)
    assert ["1.2.9"] == [reference.uid for reference in found.references]
    assert Note.CUT in [remark.note for remark in found.walked]


def test_an_excerpt_is_not_made_of_what_is_out_of_order() -> None:
    """It stands for a plain file; any other is walked, with what is odd of it."""
    from dcmdask.header.excerpt import excerpt

    window, _ = window_of(with_inserted(PRIVATE, ROWS_AT))
    assert excerpt(window, 0x52009230, frozenset({0x00280010})) is None
    plain = excerpt(window_of(PLAIN)[0], 0x52009230, frozenset({0x00280010}))
    assert plain is not None
    assert io.BytesIO(plain).read(132).endswith(b"DICM")
