"""The light attributes of any file are what pydicom reads of it; damage is a HeaderError."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from header.datasets import damages, datasets
from header.oracle import light_values, read_to_pixels
from header.windows import SYNTAXES, element, file_of, place_of, read_whole, window_of
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)
from support import examples

from dcmdask.errors import HeaderError
from dcmdask.header.light import LightHeader, scan_header
from dcmdask.header.notes import Remark
from dcmdask.synthetic import write_synthetic
from dcmdask.tables.schema import INSTANCES, LIGHT
from dcmdask.types import MOST_READS, Kind, Note, Window

pytestmark = pytest.mark.usefixtures("quiet")

ITEM, ITEM_END, SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0"
OPEN, NONE = b"\xff\xff\xff\xff", b"\0\0\0\0"
UNDEFINED = 0xFFFFFFFF
properties = settings(
    max_examples=examples(120),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def scan(data: bytes, **options: Any) -> LightHeader:
    """Scan some bytes."""
    window, _ = window_of(data, **options)
    return scan_header(window)


def outcome(window: Window) -> LightHeader | Kind:
    """Give what a window gives: a header, or the kind of error it is."""
    try:
        return scan_header(window)
    except HeaderError as error:
        return Kind(error.kind)


def refusal(data: bytes, **options: Any) -> Kind:
    """Give the kind of error that some bytes are."""
    found = outcome(window_of(data, **options)[0])
    assert isinstance(found, Kind)
    return found


def members(data: Path) -> Iterator[tuple[str, bytes]]:
    """Give every file of the sample data, and every member of its archives."""
    for folder, _, names in sorted(os.walk(data)):
        for name in sorted(names):
            path = Path(folder) / name
            content = path.read_bytes()
            if content.startswith(b"PK\x03\x04") and content[128:132] != b"DICM":
                with zipfile.ZipFile(path) as archive:
                    for info in archive.infolist():
                        yield f"{path}!{info.filename}", archive.read(info)
            elif content.startswith(b"\x1f\x8b"):
                yield f"{path}!", gzip.decompress(content)
            else:
                yield str(path), content


def ct(**values: Any) -> Dataset:
    """Give a small CT dataset."""
    dataset = Dataset()
    defaults = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": "1.2.3.4",
        "Modality": "CT",
        "PatientID": "P1",
        "SeriesInstanceUID": "1.2.3",
        "Rows": 4,
        "Columns": 5,
    }
    for word, value in {**defaults, **values}.items():
        if value is not None:
            setattr(dataset, word, value)
    return dataset


# What pydicom reads


@pytest.mark.data
def test_sample_data_reads_as_pydicom_reads_it(data: Path) -> None:
    """Each light value of each file equals what pydicom reads of the whole file."""
    seen = 0
    for name, content in members(data):
        header = outcome(window_of(content)[0])
        if isinstance(header, Kind):
            assert header in (Kind.NOT_DICOM, Kind.DICOMDIR), name
            continue
        assert light_values(read_whole(content)) == header.values, name
        assert not header.cut, name
        seen += 1
    assert 1134 == seen


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_synthetic_data_reads_as_pydicom_reads_it(syntax: str, tmp_path: Path) -> None:
    """Each modality in each transfer syntax gives the values of the whole file."""
    write_synthetic(
        tmp_path / "in", patients=1, slices=2, matrix=8, transfer_syntax=syntax, vendor_elements=9
    )
    files = [path for path in sorted((tmp_path / "in").rglob("*")) if path.is_file()]
    for path in files:
        content = path.read_bytes()
        header = scan(content)
        assert light_values(read_whole(content)) == header.values
        assert () == header.remarks
    assert 11 == len(files)


@properties
@given(
    datasets(),
    st.sampled_from(SYNTAXES),
    st.booleans(),
    st.sampled_from((132, 200, 1000, 8192)),
)
def test_any_dataset_reads_as_pydicom_reads_it(
    dataset: Dataset, syntax: str, undefined: bool, head: int
) -> None:
    """Nesting, private blocks, character sets and empty values change no light value."""
    content = file_of(dataset, syntax, undefined=undefined)
    expected = light_values(read_whole(content))
    assert expected == scan(content, head=max(head, 1000) if syntax == SYNTAXES[3] else head).values


@pytest.mark.parametrize("syntax", SYNTAXES[:3])
def test_without_preamble_and_without_meta_group(syntax: str) -> None:
    """A dataset that begins with group 0002 or 0008 is told by its first element."""
    content = file_of(ct(), syntax)
    expected = light_values(read_whole(content))
    assert expected == scan(content[132:]).values
    stream = DicomBytesIO()
    stream.is_implicit_VR = syntax == ImplicitVRLittleEndian
    stream.is_little_endian = syntax != ExplicitVRBigEndian
    write_dataset(stream, ct())
    bare = scan(stream.getvalue()).values
    assert {**expected, "TransferSyntaxUID": None} == bare


@pytest.mark.parametrize("charset", ["utf-7", "unicode_escape", "zlib", "rot13", "punycode", "x"])
def test_odd_character_sets_do_no_harm(charset: str) -> None:
    """A character set that is a Python codec gives text that a column holds, or none."""
    content = file_of(ct(PatientName="+2AA-"))
    odd = element(0x00080005, "CS", charset.encode() + b" " * (len(charset) % 2))
    at = content.index(b"\x08\x00\x16\x00UI")
    header = scan(content[:at] + odd + content[at:])
    table = pa.table({word: [value] for word, value in header.values.items()}, _LIGHT_SCHEMA)
    assert 1 == table.num_rows


_LIGHT_SCHEMA = pa.schema([INSTANCES.field(word) for word in LIGHT])


# Damage


BASES = [
    file_of(ct(PatientName="Doe^Jane", ImagePositionPatient=[1, 2, 3]), syntax)
    for syntax in SYNTAXES
]


def nested() -> Dataset:
    """Give a dataset with public and private sequences before its light attributes."""
    inner = ct(ReferencedImageSequence=Sequence([ct(), ct()]))
    dataset = ct(ReferencedSeriesSequence=Sequence([inner, ct()]))
    dataset.private_block(0x0019, "ACME", create=True).add_new(0x10, "SQ", Sequence([inner]))
    return dataset


BASES += [file_of(nested(), syntax, undefined=True) for syntax in SYNTAXES]


@settings(properties, max_examples=examples(400))
@given(st.sampled_from(BASES).flatmap(damages), st.sampled_from((132, 300, 8192)))
def test_damage_is_a_header_or_an_error_of_ours(content: bytes, head: int) -> None:
    """A damaged file gives an error within its budget, or a row in which nothing is made up."""
    window, store = window_of(content, head=head, budget=100_000)
    header = outcome(window)
    assert store.fetched <= 100_000
    if isinstance(header, LightHeader):
        pa.table({word: [value] for word, value in header.values.items()}, _LIGHT_SCHEMA)
        said = {remark.note for remark in header.remarks}
        theirs = read_to_pixels(content)
        if theirs is not None and not said & GUESSED:
            held = light_values(theirs)
            # Of text in a character set that is none, pydicom makes nothing at all.
            for word, value in header.values.items():
                assert value in (None, held[word]), word


GUESSED = {Note.INVALID_VR, Note.STRAY_DELIMITER, Note.CHARACTER_SET}
"""Where more is read than pydicom reads, or other text."""


@settings(properties, max_examples=examples(200))
@given(st.binary(max_size=400), st.booleans(), st.booleans())
@example(b"", False, False)
@example(b"\x08\x00", False, False)
def test_any_bytes_are_a_header_or_an_error_of_ours(
    content: bytes, prefixed: bool, grouped: bool
) -> None:
    """Bytes of no meaning end as an error, with a prefix or a plausible first element too."""
    content = (b"\x08\x00\x16\x00UI\x06\x00" if grouped else b"") + content
    content = (b"\0" * 128 + b"DICM" if prefixed else b"") + content
    window, _ = window_of(content)
    assert isinstance(outcome(window), LightHeader | Kind)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", Kind.NOT_DICOM),
        (b"A text, not a scan.\n" * 50, Kind.NOT_DICOM),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 500, Kind.NOT_DICOM),
        (b"\0" * 10_000, Kind.NOT_DICOM),
        (b"\x08\x00", Kind.NOT_DICOM),
        (element(0x00080005, "CS", b"ISO_IR 100"), Kind.NOT_DICOM),
        (b"\0" * 128 + b"DICM", Kind.TRUNCATED),
        (file_of(Dataset()), Kind.TRUNCATED),
        (file_of(ct())[: len(file_of(Dataset())) + 12], Kind.TRUNCATED),
        (file_of(ct(SOPClassUID=MediaStorageDirectoryStorage)), Kind.DICOMDIR),
        (file_of(ct(SOPClassUID=MediaStorageDirectoryStorage))[132:], Kind.DICOMDIR),
    ],
    ids=(
        "empty",
        "text",
        "picture",
        "zeros",
        "two bytes",
        "an element and no SOP class",
        "prefix only",
        "meta group only",
        "cut before the SOP class",
        "directory",
        "directory without preamble",
    ),
)
def test_what_is_no_instance(content: bytes, kind: Kind) -> None:
    """Every file that gives no instance says why."""
    assert kind == refusal(content)


def test_cut_behind_its_identity_is_an_instance() -> None:
    """A file that ends inside a later element keeps what stands before, and is counted."""
    whole = file_of(ct(SeriesDescription="A long description"))
    at = whole.index(b"A long")
    header = scan(whole[: at + 4])
    assert ("1.2.3.4", True) == (header.values["SOPInstanceUID"], header.cut)
    assert "A lo" == header.values["SeriesDescription"]


@pytest.mark.parametrize("sized", [True, False])
def test_cut_inside_a_skipped_element_is_noticed(sized: bool) -> None:
    """The position behind the end tells, also where a stream does not know its size."""
    content = file_of(ct(Rows=None, Columns=None)) + element(0x00211010, "OB", b"xy", 1000)
    assert scan(content, sized=sized).cut


def test_an_end_between_elements_is_no_cut() -> None:
    """An object without pixels ends where its last element ends."""
    assert not scan(file_of(ct(Rows=None, Columns=None))).cut


def test_a_value_of_an_unknown_vr_is_read_by_the_dictionary() -> None:
    """Letters that are no VR cost nothing: what the attribute is the data dictionary says."""
    content = file_of(ct()).replace(b"\x18\x00UI", b"\x18\x00ZZ")
    header = scan(content)
    assert ("1.2.3.4", "P1") == (header.values["SOPInstanceUID"], header.values["PatientID"])
    assert (Remark(Note.INVALID_VR, "SOPInstanceUID"),) == header.remarks


def test_a_light_attribute_that_is_a_sequence_is_malformed() -> None:
    """Items where text belongs are not built and give no text."""
    items = (ITEM + NONE) * 1000
    content = file_of(ct(PatientID=None))
    at = content.index(b"\x20\x00\x0e\x00UI")
    header = scan(content[:at] + element(0x00100020, "SQ", items) + content[at:])
    assert (None, ["PatientID"]) == (header.values["PatientID"], header.malformed)


def test_a_light_value_of_megabytes_is_malformed() -> None:
    """Implicit VR can claim any length: no light value is longer than explicit VR allows."""
    content = file_of(ct(PatientID="x" * 70_000), ImplicitVRLittleEndian)
    header = scan(content)
    assert (None, ["PatientID"]) == (header.values["PatientID"], header.malformed)
    assert 5 == header.values["Columns"]


def test_a_length_that_lies_in_a_small_file() -> None:
    """An element that claims gigabytes of a small file takes the rest of it."""
    content = file_of(ct(), ImplicitVRLittleEndian) + b"\0" * 10_000
    at = content.index(struct.pack("<HHL", 0x0010, 0x0020, 2))
    content = content[: at + 4] + struct.pack("<L", 2**31) + content[at + 8 :]
    header = scan(content)
    assert ("1.2.3.4", True) == (header.values["SOPInstanceUID"], header.cut)
    assert None is header.values["PatientID"]


# Bounds


def test_a_header_that_outgrows_its_window_is_read_on() -> None:
    """Elements before group 0028 may fill any number of blocks."""
    dataset = ct(Rows=None, Columns=None)
    block = dataset.private_block(0x0019, "ACME", create=True)
    for number in range(0x10, 0x40):
        block.add_new(number, "OB", b"x" * 5000)
    content = file_of(dataset) + element(0x00280010, "US", b"\4\0")
    window, store = window_of(content)
    assert 4 == scan_header(window).values["Rows"]
    assert store.fetched <= len(content)


def test_a_large_private_element_is_skipped_not_read() -> None:
    """100 MB before group 0028 cost one block behind them."""
    size = 100 * 2**20
    before = file_of(ct(Rows=None, Columns=None)) + element(0x00211010, "OB", b"", size)
    behind = element(0x00280010, "US", b"\4\0") + element(0x00280011, "US", b"\4\0")
    ranges = []

    def fetch(offset: int, count: int) -> bytes:
        found = behind[offset - len(before) - size :][:count]
        ranges.append((offset, len(found)))
        return found

    head = before + b"\0" * 8
    total = len(before) + size + len(behind)
    window = Window(place_of(size=total), head, fetch, 2**20)
    assert 4 == scan_header(window).values["Columns"]
    assert sum(count for _, count in ranges) <= len(behind)


def test_a_value_that_claims_a_megabyte_is_not_read() -> None:
    """No light value is longer than explicit VR allows: its bytes cost nothing."""
    content = file_of(ct(PatientID=None, Rows=None, Columns=None), ImplicitVRLittleEndian)
    claim = struct.pack("<HHL", 0x0020, 0x4000, 0) + struct.pack("<HHL", 0x0028, 0x0010, 2**20)
    window, store = window_of(content + claim + b"\0" * 2**20, budget=100_000)
    assert ["Rows"] == scan_header(window).malformed
    assert 1 >= store.fetched


def test_a_header_without_end_is_too_large() -> None:
    """What would have to be read beyond the budget is given up."""
    content = file_of(ct(Rows=None, Columns=None)) + element(0x00211010, "LO", b"") * 50_000
    assert Kind.TOO_LARGE == refusal(content, budget=100_000)


@pytest.mark.parametrize("implicit", [False, True])
def test_items_without_end_are_passed_not_built(
    implicit: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sequence of 100,000 items that nobody wants makes no object at all."""
    built = count_datasets(monkeypatch)
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    content = file_of(ct(Rows=None, Columns=None), syntax)
    head = struct.pack("<HHL", 0x0021, 0x1010, UNDEFINED)
    open_sequence = head if implicit else element(0x00211010, "SQ", b"", UNDEFINED)
    content += open_sequence + (ITEM + NONE) * 100_000 + SEQUENCE_END + NONE
    rows = struct.pack("<HHLH", 0x0028, 0x0010, 2, 4)
    content += rows if implicit else element(0x00280010, "US", b"\4\0")
    assert 4 == scan(content).values["Rows"]
    assert len(built) <= 4  # meta group, command set, dataset, and the sequence passed


def count_datasets(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the datasets that pydicom's reader makes."""
    from pydicom import filereader

    built: list[int] = []
    original = filereader.read_dataset

    def counted(*args: Any, **kwargs: Any) -> Dataset:
        built.append(1)
        return original(*args, **kwargs)

    monkeypatch.setattr(filereader, "read_dataset", counted)
    return built


@pytest.mark.parametrize("tag", [0x00020001, 0x00000001, 0x00080005])
def test_items_where_pydicom_asks_nobody_are_bounded(
    tag: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Items in the meta group, the command set or the character set end with the reads allowed."""
    monkeypatch.setattr("dcmdask.types.MOST_READS", 20_000)
    built = count_datasets(monkeypatch)
    items = (ITEM + NONE) * 50_000
    head = element(0x00020010, "UI", ExplicitVRLittleEndian.encode() + b"\0")
    if tag >> 16:
        bomb = element(tag, "SQ", items, UNDEFINED)
    else:
        bomb = struct.pack("<HHL", 0, tag, UNDEFINED) + items
    content = b"\0" * 128 + b"DICM" + (head + bomb if tag >> 16 != 2 else bomb)
    assert refusal(content) in (Kind.TOO_LARGE, Kind.CORRUPT)
    assert len(built) < 10_000


def test_deep_nesting_is_passed() -> None:
    """10,000 sequences in each other, which end pydicom, cost nothing where nobody wants them."""
    depth = 10_000
    head = ITEM + OPEN + element(0x00081140, "SQ", b"", UNDEFINED)
    tail = SEQUENCE_END + NONE + ITEM_END + NONE
    content = file_of(ct(Rows=None, Columns=None)) + element(0x00211010, "SQ", b"", UNDEFINED)
    content += head * depth + tail * depth + SEQUENCE_END + NONE
    content += element(0x00280010, "US", b"\4\0")
    assert 4 == scan(content).values["Rows"]


def test_deep_nesting_where_pydicom_asks_nobody_is_corrupt() -> None:
    """Nesting in the meta group ends pydicom's recursion, not the reader."""
    head = ITEM + OPEN + element(0x00081140, "SQ", b"", UNDEFINED)
    content = b"\0" * 128 + b"DICM" + element(0x00020001, "SQ", head * 10_000, UNDEFINED)
    assert Kind.CORRUPT == refusal(content)


def test_many_elements_are_read_in_time() -> None:
    """The bound of reads is far above the largest header seen."""
    dataset = ct(Rows=None, Columns=None)
    content = file_of(dataset) + element(0x00211010, "LO", b"") * 100_000
    assert not scan(content).cut
    assert 100_000 < MOST_READS


def test_messages_carry_no_value() -> None:
    """What pydicom says of an error could quote a patient: only its class is kept."""
    content = file_of(ct(PatientName="Doe^Jane")) + element(0x00280010, "US", b"\4\0")
    broken = content.replace(b"\x16\x00UI", b"\x16\x00SQ", 1)
    with pytest.raises(HeaderError) as caught:
        scan(broken.replace(b"Doe^Jane", b"\xfe\xff\x00\xe0Jane", 1)[:-40])
    assert "Jane" not in str(caught.value)
    assert "Doe" not in str(caught.value)


def test_directory_is_told_by_its_class_alone() -> None:
    """A DICOMDIR of any name and without records is a directory."""
    stream = io.BytesIO(file_of(ct(SOPClassUID=MediaStorageDirectoryStorage, SOPInstanceUID=None)))
    assert Kind.DICOMDIR == refusal(stream.getvalue())


@pytest.mark.parametrize("syntax", SYNTAXES[:2])
def test_a_hole_behind_a_header_is_its_end(syntax: str) -> None:
    """Some zeros are passed over, megabytes of them are padding, and cost no more than those."""
    content = file_of(ct(Rows=None, Columns=None), syntax)
    late = b"\x28\x00\x10\x00" + (b"US\x02\0" if syntax == SYNTAXES[0] else b"\x02\0\0\0") + b"\4\0"
    assert 4 == scan(content + bytes(8_000) + late).values["Rows"]
    found = scan(content + bytes(20_000_000) + late)
    assert (None, False) == (found.values["Rows"], found.cut)


def test_a_character_set_of_megabytes_is_none() -> None:
    """Pydicom would split it into millions of names; everything else is read."""
    content = file_of(ct())
    at = content.index(b"\x08\x00\x16\x00UI")
    charset = element(0x00080005, "UN", b"A\\" * 40_000)
    header = scan(content[:at] + charset + content[at:])
    assert ("1.2.3.4", "P1") == (header.values["SOPInstanceUID"], header.values["PatientID"])
    assert (Remark(Note.CHARACTER_SET, "SpecificCharacterSet"),) == header.remarks
