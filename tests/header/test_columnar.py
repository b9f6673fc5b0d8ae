"""The lockstep scan equals pydicom's reading wherever it accepts a file, and never does worse."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from header.comparing import compare
from header.windows import element
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import config
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)
from support import encode, examples

from dcmdask.dicom.windows import WINDOW
from dcmdask.header import meaning
from dcmdask.header.columnar import columns, follow
from dcmdask.header.reader import quiet_pydicom
from dcmdask.synthetic import write_synthetic


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Read as a worker does, and write what pydicom would rather not."""
    monkeypatch.setattr(config.settings, "writing_validation_mode", config.IGNORE)
    # So that what passes whole stretches of headers is tried with a handful of files.
    monkeypatch.setattr(follow, "_FEWEST", 2)
    with quiet_pydicom():
        yield


def written(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Encode a dataset as a file."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    stream = io.BytesIO()
    dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def contents(paths: Iterable[Path]) -> list[bytes]:
    """Read whole files."""
    return [path.read_bytes() for path in paths if path.is_file()]


@pytest.mark.data
def test_the_sample_data_reads_as_pydicom_reads_it(data: Path) -> None:
    """Of all real files, those that are accepted have pydicom's values, and most are."""
    files = contents(sorted(data.rglob("*")))
    found = compare(files)
    assert int(found.accepted.sum()) >= 1075


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_synthetic_files_are_all_accepted(tmp_path: Path, syntax: str) -> None:
    """Both little endian encodings, every modality, vendor elements: nothing goes to pydicom."""
    write_synthetic(
        tmp_path / "in", patients=2, slices=3, transfer_syntax=syntax, vendor_elements=40
    )
    found = compare(contents(sorted((tmp_path / "in").rglob("*"))))
    assert {} == found.reasons
    assert found.accepted.all()


@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_other_encodings_are_left_to_pydicom(tmp_path: Path, syntax: str) -> None:
    """Big endian and deflated files are not accepted, and the reason is counted."""
    write_synthetic(tmp_path / "in", patients=1, slices=2, transfer_syntax=syntax)
    files = contents(sorted((tmp_path / "in").rglob("*")))
    assert {"syntax": len(files)} == compare(files).reasons


def test_an_encapsulated_syntax_is_explicit() -> None:
    """A compressed image has an explicit little endian header."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.Modality, dataset.Rows = CTImageStorage, "CT", 7
    dataset.file_meta = FileMetaDataset()
    content = written(dataset)
    old, new = ExplicitVRLittleEndian.encode() + b"\0", JPEGBaseline8Bit.encode()
    content = content.replace(
        b"UI" + len(old).to_bytes(2, "little") + old, b"UI" + len(new).to_bytes(2, "little") + new
    )
    found = compare([content])
    assert [JPEGBaseline8Bit] == found.columns["TransferSyntaxUID"].to_pylist()


def test_a_second_window_is_read_where_the_first_ends() -> None:
    """An element of 100 kB before the wanted ones is passed over, not read."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.Modality = CTImageStorage, "CT"
    dataset.add_new(0x00091001, "OB", b"\1" * 100_000)
    dataset.add_new(0x00090010, "LO", "SOMEBODY")
    dataset.Rows, dataset.PixelSpacing, dataset.InstanceNumber = 5, [1.5, 2.25], 9
    found = compare([written(dataset), written(dataset, ImplicitVRLittleEndian)])
    assert [5, 5] == found.columns["Rows"].to_pylist()


def test_a_wanted_value_across_the_border_of_windows() -> None:
    """A value that begins in one window and ends in the next is read whole, at every offset."""
    files = []
    for length in range(WINDOW - 700, WINDOW, 2):
        dataset = Dataset()
        dataset.SOPClassUID, dataset.Modality = CTImageStorage, "CT"
        dataset.add_new(0x00090010, "LO", "SOMEBODY")
        dataset.add_new(0x00091001, "OB", b"\1" * length)
        dataset.PatientID, dataset.SeriesInstanceUID = "SOMEONE", "1.2.3.4.5.6"
        dataset.ImagePositionPatient = [1, -2.5, 3e-5]
        files.append(written(dataset))
    found = compare(files)
    assert found.accepted.all()


def nested(depth: int, *, undefined: bool) -> Dataset:
    """Give a dataset with sequences before and between the wanted elements."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.Modality, dataset.Rows = CTImageStorage, "CT", 3
    inner = Dataset()
    inner.PatientID, inner.Rows = "NOT THIS", 99
    for _ in range(depth):
        outer = Dataset()
        outer.ReferencedSOPInstanceUID = "1.2"
        outer.ReferencedImageSequence = Sequence([inner, Dataset(), inner])
        outer["ReferencedImageSequence"].is_undefined_length = undefined
        for item in outer.ReferencedImageSequence:
            item.is_undefined_length_sequence_item = undefined
        inner = outer
    dataset.ReferencedStudySequence = Sequence([inner])
    dataset["ReferencedStudySequence"].is_undefined_length = undefined
    return dataset


def test_sequences_of_undefined_length_are_walked() -> None:
    """Nested sequences and items of either length form are passed in both encodings."""
    files = [
        written(nested(depth, undefined=undefined), syntax)
        for depth in range(1, 6)
        for undefined in (True, False)
        for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    ]
    found = compare(files)
    assert found.accepted.all()
    assert [3] * len(files) == found.columns["Rows"].to_pylist()


ODD = [
    ("InstanceNumber", "IS", "+7"),
    ("InstanceNumber", "IS", " 12 "),
    ("InstanceNumber", "IS", "1.0"),
    ("InstanceNumber", "IS", "many"),
    ("InstanceNumber", "IS", "1\\2"),
    ("ImagePositionPatient", "DS", "1\\2"),
    ("ImagePositionPatient", "DS", " 1.5 \\-2.\\.5"),
    ("ImagePositionPatient", "DS", "1e3\\1E-2\\nan"),
    ("ImagePositionPatient", "DS", "1,5\\2\\3"),
    ("ImagePositionPatient", "DS", "1e400\\2\\3"),
    ("ImagePositionPatient", "DS", "-1e999\\2\\-0.0"),
    ("PatientName", "PN", "Müller^Jörg"),
    ("PatientName", "PN", "A=B=C"),
    ("PatientName", "PN", "A\\B"),
    ("PatientID", "LO", " leading and trailing "),
    ("StudyDate", "DA", "2004.08.26"),
    ("StudyDate", "DA", "20040231"),
    ("SeriesDescription", "LO", "a\\b"),
    ("SOPInstanceUID", "UI", "1.2.3 "),
    ("SOPInstanceUID", "UI", "1.2\\1.3"),
]


@pytest.mark.parametrize(("keyword", "vr", "value"), ODD)
@pytest.mark.parametrize("copies", [0, 100])
def test_odd_values_read_as_pydicom_reads_them(
    keyword: str, vr: str, value: str, copies: int
) -> None:
    """Values that are not plain, alone or among a hundred plain ones."""
    files = [
        encode(
            {
                "SpecificCharacterSet": "ISO_IR 100",
                "SOPInstanceUID": f"1.2.3.{number}",
                "InstanceNumber": number,
                "PatientName": f"Plain^{number}",
                "PatientID": f"ID{number}",
                "ImagePositionPatient": [number, 0.5, -number],
                "SeriesDescription": f"series {number}",
            }
        )
        for number in range(copies)
    ]
    raw = value.encode("latin-1")
    raw += b" " * (len(raw) % 2)
    mark = b"LO\x02\x00zz"
    odd = Dataset()
    odd.SpecificCharacterSet, odd.SOPClassUID, odd.Modality = "ISO_IR 100", CTImageStorage, "CT"
    odd.add_new(keyword, "LO", "zz")
    content = written(odd)
    assert mark in content
    content = content.replace(mark, vr.encode() + len(raw).to_bytes(2, "little") + raw)
    assert compare([*files, content]).accepted.all()


CHARSETS = {
    "ISO_IR 100": "Äneas^Rüdiger",
    "ISO_IR 101": "Wałęsa",
    "ISO_IR 144": "Люкceмдypж",
    "ISO_IR 126": "Διονυσιος",
    "ISO_IR 192": "Wang^XiaoDong=王^小东=",
    "GB18030": "Wang^XiaoDong=王^小东=",
    "GBK": "王^小东",
    "ISO 2022 IR 87": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "ISO 2022 IR 149": "Hong^Gildong=洪^吉洞=홍^길동",
    "ISO_IR 13": "ﾔﾏﾀﾞ^ﾀﾛｳ",
}


@pytest.mark.parametrize("charset", CHARSETS)
@pytest.mark.parametrize("others", [0, 100])
def test_character_sets(charset: str, others: int) -> None:
    """Names decode as SpecificCharacterSet says, alone and beside a hundred of another set."""
    files = []
    for number in range(others + 1):
        dataset = Dataset()
        own = "ISO_IR 100" if number else charset
        dataset.SpecificCharacterSet = ["", own] if own.startswith("ISO 2022") else own
        dataset.SOPClassUID, dataset.Modality = CTImageStorage, "CT"
        dataset.PatientName = f"Other^{number}" if number else CHARSETS[charset]
        dataset.SeriesDescription = f"plain {number}"
        files.append(written(dataset))
    assert compare(files).accepted.all()


SOP = element(0x00080016, "UI", CTImageStorage.encode() + b"\0") + element(
    0x00080018, "UI", b"1.2\0"
)
PIXELS = element(0x7FE00010, "OW", b"")
UNDEFINED = 0xFFFFFFFF


def item(content: bytes) -> bytes:
    """Give an item of defined length."""
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content


def file_with(content: bytes) -> bytes:
    """Give a file of a meta group, a SOP class, these elements, and pixels."""
    dataset = Dataset()
    dataset.SOPClassUID = CTImageStorage
    whole = written(dataset)
    return whole[: whole.index(b"\x08\0\x16\0")] + SOP + content + PIXELS


SEQUENCE_END, ITEM_END = (
    struct.pack("<HHL", 0xFFFE, 0xE0DD, 0),
    struct.pack("<HHL", 0xFFFE, 0xE00D, 0),
)
STRANGE = {
    # The delimiter of an open item inside one whose length is defined, and elements behind it.
    "item end": element(0x00081140, "SQ", b"", UNDEFINED)
    + item(ITEM_END + SEQUENCE_END + element(0x00100020, "LO", b"EVIL") + PIXELS)
    + SEQUENCE_END
    + element(0x00100020, "LO", b"GOOD"),
    # A wanted attribute that comes again as a sequence, or is one.
    "again": element(0x00100020, "LO", b"ABCD")
    + element(0x00100020, "SQ", b"", UNDEFINED)
    + SEQUENCE_END,
    "sequence": element(0x00100020, "SQ", b"", UNDEFINED) + item(SOP) + SEQUENCE_END,
    # An element of the meta group in the dataset.
    "syntax": element(0x00020010, "UI", b"1.2.3.4\0"),
}


@pytest.mark.parametrize("content", STRANGE.values(), ids=STRANGE)
@pytest.mark.parametrize("copies", [1, 3])
def test_what_only_pydicom_can_judge_is_left_to_it(content: bytes, copies: int) -> None:
    """Structures that read otherwise than they look; each was once accepted and misread."""
    compare([file_with(content)] * copies)


@pytest.mark.parametrize("missing", [0, 1, 2, 5_000, 60_000])
def test_a_large_value_that_is_cut_is_seen(missing: int) -> None:
    """The file ends inside an element that is passed over, in the first window or far behind it."""
    whole = file_with(element(0x00091001, "OB", b"\1" * 100_000))[: -len(PIXELS)]
    assert compare([whole[: len(whole) - missing]]).accepted.all() == (not missing)


@pytest.mark.parametrize("vr", ["OB", "UL", "UR", "LO"])
def test_a_transfer_syntax_under_another_vr_is_left_to_pydicom(vr: str) -> None:
    """What such a value comes to depends on the VR."""
    plain = file_with(b"")
    start = plain.index(b"\x02\0\x10\0UI")
    stop = start + 8 + len(ExplicitVRLittleEndian) + 1
    other = element(0x00020010, vr, ExplicitVRLittleEndian.encode() + b"\0")
    assert not compare([plain[:start] + other + plain[stop:]]).accepted.any()


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "SpecificCharacterSet": st.sampled_from(["ISO_IR 100", "ISO_IR 192", "ISO_IR 6", ""]),
        "SOPInstanceUID": st.sampled_from(["1.2.3", "1.2.3.4.5", ""]),
        "Modality": st.sampled_from(["CT", "MR", "", "rubbish "]),
        "PatientName": st.text("ABCdef^=\\ äö", max_size=12),
        "PatientID": st.text("AB12 _-", max_size=12),
        "StudyDate": st.sampled_from(["20200101", "2020", "", "20201399", "2020.01.02"]),
        "InstanceNumber": st.sampled_from(["1", "-3", " 7", "", "0012"]),
        "AcquisitionNumber": st.sampled_from(["1", "2", ""]),
        "ImagePositionPatient": st.sampled_from(["1\\2\\3", "", "1", "0.1\\-5e3\\ 7 "]),
        "SliceThickness": st.sampled_from(["1.5", "", ".5", "1."]),
        "Rows": st.integers(0, 65535),
        "NumberOfFrames": st.sampled_from(["1", "", "300"]),
    },
)


def build(values: dict[str, Any], private: int, depth: int, *, undefined: bool) -> Dataset:
    """Build a dataset of values, private elements and nested sequences."""
    dataset = nested(depth, undefined=undefined) if depth else Dataset()
    dataset.SOPClassUID = CTImageStorage
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.4", "1.2.5"
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    if private:
        dataset.add_new(0x00190010, "LO", "SOMEBODY")
        for number in range(private):
            dataset.add_new(0x00191000 + number, "UN", b"\1" * (2 * number))
    return dataset


@settings(max_examples=examples(100))
@given(
    st.lists(
        st.tuples(VALUES, st.integers(0, 40), st.integers(0, 3), st.booleans(), st.booleans()),
        min_size=1,
        max_size=10,
    )
)
def test_generated_datasets_read_as_pydicom_reads_them(
    made: list[tuple[dict[str, Any], int, int, bool, bool]],
) -> None:
    """Random elements, private blocks, nested sequences, odd and empty values, both encodings."""
    files = []
    for values, private, depth, undefined, implicit in made:
        syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        try:
            files.append(written(build(values, private, depth, undefined=undefined), syntax))
        except UnicodeError:
            continue  # the character set has no such letter: there is no such file
    if files:
        assert compare(files).accepted.all()


def vary(dataset: Dataset, chance: random.Random) -> None:
    """Change a slice as slices of a series differ: values, elements more and less, nested ones."""
    dataset.InstanceNumber = chance.choice([7, 77, 777])
    dataset.SOPInstanceUID = f"1.2.{chance.randrange(10 ** chance.randint(1, 8))}"
    dataset.SliceLocation = chance.choice(["1", "-12.5", ""])
    for word in chance.sample(["AcquisitionTime", "ImageComments", "KVP", "WindowWidth"], 2):
        if chance.random() < 0.3:
            setattr(dataset, word, chance.choice(["1", "22", ""]))
    if chance.random() < 0.2:
        dataset.add_new(0x00190010, "LO", "SOMEBODY")
        dataset.add_new(0x00191001, "OB", b"\1" * 2 * chance.randrange(5))
    for nest in [one for one in dataset if one.VR == "SQ"]:
        if chance.random() < 0.2:
            nest.is_undefined_length = not nest.is_undefined_length
        if chance.random() < 0.2:
            nest.value.append(Dataset())
        if chance.random() < 0.1:
            del dataset[nest.tag]
    if chance.random() < 0.1 and "Rows" in dataset:
        del dataset.Rows


@settings(max_examples=examples(60))
@given(
    seed=st.integers(0, 2**32 - 1),
    kinds=st.lists(
        st.tuples(VALUES, st.integers(0, 3), st.booleans(), st.booleans()), min_size=1, max_size=3
    ),
    damage=st.sampled_from([0.0, 0.0, 0.3]),
)
def test_files_that_are_nearly_alike_read_as_pydicom_reads_them(
    seed: int, kinds: list[tuple[dict[str, Any], int, bool, bool]], damage: float
) -> None:
    """Slices of some series, each a little different, among them damaged ones."""
    chance = random.Random(seed)
    files = []
    for number in range(60):
        values, depth, undefined, implicit = kinds[number % len(kinds)]
        syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        dataset = build(values, 3, depth, undefined=undefined)
        vary(dataset, chance)
        try:
            content = bytearray(written(dataset, syntax))
        except UnicodeError:
            return  # the character set has no such letter: there is no such file
        if chance.random() < damage:
            at = chance.randrange(132, len(content))
            content[at] ^= 1 << chance.randrange(8)
            if chance.random() < 0.3:
                del content[at:]
        files.append(bytes(content))
    found = compare(files)
    # An image without Rows may have them behind others.
    assert damage or set(found.reasons) <= {"unfinished"}


@settings(max_examples=examples(250))
@given(seed=st.integers(0, 2**32 - 1), implicit=st.booleans(), depth=st.integers(0, 3))
def test_damaged_headers_never_crash_nor_differ(seed: int, implicit: bool, depth: int) -> None:
    """Flipped bits, lying lengths, cut files: what is accepted is what pydicom reads."""
    chance = random.Random(seed)
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    values = {"PatientID": "P", "InstanceNumber": "1", "Rows": 4, "Modality": "CT"}
    content = bytearray(written(build(values, 4, depth, undefined=True), syntax))
    for _ in range(chance.randint(1, 4)):
        kind = chance.randrange(3)
        at = chance.randrange(len(content))
        if kind == 0:
            content[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            content[at : at + 4] = chance.randbytes(4)
        elif len(content) > 140:
            del content[chance.randrange(140, len(content)) :]
    compare([bytes(content), encode()])


def test_lack_of_memory_says_nothing_of_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the reading, and is not what is remembered of the value."""
    asked = ("PatientName", b"Once^Only", b"", False, ())

    def fail(*_args: Any, **_more: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(meaning, "convert_raw_data_element", fail)
        with pytest.raises(MemoryError):
            columns._by_pydicom(*asked)
    assert columns._by_pydicom(*asked) == "Once^Only"
