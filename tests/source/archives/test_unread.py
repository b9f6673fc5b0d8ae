"""Archives that are not read: each is a failure that names its format, and nothing else is one."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from source.making import instance, read_file, read_folder, tar_of, zip_of

from dcmdask.source.archives.programs import end_of_program
from dcmdask.source.archives.unread import unread_format

TWO = {"in/1.dcm": instance(1), "in/2": instance(2)}
SECTOR = 2048


def image_of(volume: bytes, system_area: bytes = b"") -> bytes:
    """Give the image of a disc: sixteen sectors that are nobody's, and what it says it is."""
    return system_area.ljust(16 * SECTOR, b"\0") + volume.ljust(3 * SECTOR, b"\0")


def arj_of(name: bytes) -> bytes:
    """Give the beginning of an ARJ archive."""
    header = struct.pack("<BBBBBBBB22x", 30, 11, 1, 0, 0, 0, 2, 0) + name + b"\0\0"
    return b"\x60\xea" + struct.pack("<H", len(header)) + header + struct.pack("<L", zlib.crc32(header))  # fmt: skip


UNREAD = {
    "a 7z archive": b"7z\xbc\xaf\x27\x1c\0\4",
    "a RAR archive": b"Rar!\x1a\x07\x01\x00",
    "a cabinet (CAB)": b"MSCF\0\0\0\0\x10",
    "a zstd file": b"\x28\xb5\x2f\xfd\4",
    "an LZ4 file": b"\x04\x22\x4d\x18\x64",
    "an lzip file": b"LZIP\x01\x0c",
    "an LZMA file": lzma.compress(bytes(100_000), lzma.FORMAT_ALONE),
    "a file of compress (.Z)": b"\x1f\x9d\x90abc",
    "an ARJ archive": arj_of(b"a.arj"),
    "an LHA archive": b"\x19\x42-lh5-\x11\x22",
    "an ACE archive": b"\x12\x34\x31\0\0\0\x90**ACE**",
    "a cpio archive": b"070701000003E8",
    "an ISO 9660 image": image_of(b"\1CD001\1"),
    "a UDF image": image_of(b"\0BEA01\1"),
    "a raw image of a disc": b"\0" + b"\xff" * 10 + b"\0\0\2\0\1",
    "an image of a disk": b"\xeb\x52\x90NTFS    ".ljust(510, b"\1") + b"\x55\xaa",
    "a virtual disk (VHD)": b"conectix\0\0\0\2",
}


@pytest.mark.parametrize("words", UNREAD)
@pytest.mark.parametrize("name", ["a", "a.dcm", "a.zip"])
def test_a_format_that_is_not_read_is_a_failure_that_names_it(
    tmp_path: Path, words: str, name: str
) -> None:
    """By its content, whatever the file is called."""
    reading = read_file(tmp_path / "in", name, UNREAD[words] + bytes(600))
    assert {name: f"{words} is not read"} == reading.messages
    assert {name: "unread_archive"} == reading.kinds


@pytest.mark.parametrize("outer", ["o.zip", "o.tar", "o.tar.gz"])
def test_a_format_that_is_not_read_is_told_in_an_archive_too(tmp_path: Path, outer: str) -> None:
    """Every such member is a failure of its own; those beside it are read."""
    make = {"o.zip": zip_of, "o.tar": tar_of}.get(outer) or (lambda m: tar_of(m, "w:gz"))
    members = {words: content + bytes(600) for words, content in UNREAD.items()}
    reading = read_file(tmp_path / "in", outer, make({**members, "1.dcm": instance(1)}))
    assert {f"{outer}!{words}": f"{words} is not read" for words in UNREAD} == reading.messages
    assert [f"{outer}!1.dcm"] == reading.paths


@pytest.mark.parametrize(
    ("name", "system_area"),
    [
        ("a.iso", b"whatever stands there"),
        ("A.IMG", b"\x33\xed" * 100),
        ("hybrid", b"\x33\xed".ljust(510, b"\x90") + b"\x55\xaa"),
        ("apple", b"ER\x02\x00\x00\x01".ljust(3000, b"\x01")),
    ],
)
def test_an_image_is_told_whatever_stands_in_its_first_sectors(
    tmp_path: Path, name: str, system_area: bytes
) -> None:
    """Discs that machines start from have a program there, those for an Apple a map."""
    reading = read_file(tmp_path / "in", name, image_of(b"\1CD001\1", system_area))
    assert {name: "an ISO 9660 image is not read"} == reading.messages


def test_an_apple_disk_image_is_told_by_its_end(tmp_path: Path) -> None:
    """Its beginning is compressed data like any other."""
    content = b"x\x01" + bytes(2000) + b"koly".ljust(512, b"\0")
    reading = read_file(tmp_path / "in", "a.dmg", content)
    assert {"a.dmg": "an Apple disk image is not read"} == reading.messages


def test_a_file_that_is_no_archive_costs_no_further_read(tmp_path: Path) -> None:
    """Its first window is all that is read of it: with others, and then by itself."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.bin").write_bytes(b"\1text" * 20_000)
    (folder / "plain.exe").write_bytes(program())
    reading = read_folder(folder)
    assert {"not_dicom"} == set(reading.kinds.values())
    assert 2 * (5 * 8192 + len(program())) == reading.tally.bytes_read


def test_a_dicom_file_whose_preamble_is_another_format_is_an_instance(tmp_path: Path) -> None:
    """The DICM prefix outranks what stands in the free preamble."""
    content = b"Rar!\x1a\x07\x01\x00" + instance(1)[8:]
    assert ["a.rar"] == read_file(tmp_path / "in", "a.rar", content).paths


@pytest.mark.parametrize("name", ["a.7z", "a.rar", "a.iso"])
def test_what_is_named_such_an_archive_and_is_none_is_a_failure(tmp_path: Path, name: str) -> None:
    """A file that was overwritten is not passed over as no DICOM."""
    assert {name: "corrupt_archive"} == read_file(tmp_path / "in", name, b"not that" * 99).kinds


# -- zips that were split --------------------------------------------------------------------------


def split(content: bytes, at: int) -> tuple[bytes, bytes]:
    """Cut a zip as zip -s does: marks in both parts say so, offsets count in their own part."""
    first, last = b"PK\x07\x08" + content[: at - 4], bytearray(content[at - 4 :])
    directory, end = last.index(b"PK\x01\x02"), last.index(b"PK\x05\x06")
    # The first member lies in part 0, behind the mark; the directory in part 1.
    struct.pack_into("<L", last, directory + 42, 4)
    struct.pack_into("<2H", last, end + 4, 1, 1)
    struct.pack_into("<L", last, end + 16, directory)
    return first, bytes(last)


def test_the_parts_of_a_split_zip_say_so(tmp_path: Path) -> None:
    """First, middle and last part are each a failure with what to do, not damage."""
    folder = tmp_path / "in"
    folder.mkdir()
    first, last = split(zip_of({"1.dcm": instance(1)}, zipfile.ZIP_STORED), 200)
    (folder / "a.z01").write_bytes(first)
    (folder / "a.z02").write_bytes(b"\x01middle" * 99)
    (folder / "a.zip").write_bytes(last)
    (folder / "b.7z.002").write_bytes(b"\x01middle" * 99)
    reading = read_folder(folder)
    assert {"unread_archive"} == set(reading.kinds.values())
    assert ["a.z01", "a.z02", "a.zip", "b.7z.002"] == sorted(reading.kinds)
    assert all("join its parts" in words for words in reading.messages.values())


def test_a_zip_that_counts_parts_where_there_are_none_is_read(tmp_path: Path) -> None:
    """Where the members lie where the directory says, it is whole, whatever its end record says."""
    content = bytearray(zip_of(TWO))
    struct.pack_into("<2H", content, content.index(b"PK\x05\x06") + 4, 1, 1)
    assert 2 == len(read_file(tmp_path / "in", "a.zip", bytes(content)).paths)


def test_a_zip_that_was_to_be_split_and_was_not_is_read(tmp_path: Path) -> None:
    """It begins with a mark of its own (APPNOTE 8.5.4)."""
    assert 2 == len(read_file(tmp_path / "in", "a", b"PK00" + zip_of(TWO)).paths)


# -- programs --------------------------------------------------------------------------------------


def program(behind: bytes = b"", *, section: bytes = b".text", signature: int = 0) -> bytes:
    """Give a Windows program of one section of 512 bytes, with something behind it."""
    optional = bytearray(240)
    optional[:2] = b"\x0b\x02"
    if signature:
        struct.pack_into("<2L", optional, 112 + 8 * 4, 1024, signature)
    head = b"MZ".ljust(60, b"\0") + struct.pack("<L", 128)
    head = head.ljust(128, b"\0") + b"PE\0\0" + struct.pack("<2H12x2H", 0x8664, 1, len(optional), 2)
    table = struct.pack("<8s4L16x", section, 512, 4096, 512, 512)
    code = (head + optional + table).ljust(512, b"\0") + b"\x90" * 512
    return code + bytes(signature) + behind


@pytest.mark.parametrize("name", ["a.exe", "patient"])
@pytest.mark.parametrize(
    "before", [b"", b"settings of the program\r\n" * 9], ids=["at once", "later"]
)
def test_a_zip_that_extracts_itself_is_read(tmp_path: Path, name: str, before: bytes) -> None:
    """Whatever it is called, and whatever the program keeps before the zip."""
    reading = read_file(tmp_path / "in", name, program(before + zip_of(TWO)))
    assert [f"{name}!in/1.dcm", f"{name}!in/2"] == reading.paths
    assert {} == reading.kinds


def test_a_zip_in_a_section_of_the_program_is_read(tmp_path: Path) -> None:
    """WinZip's self-extractors keep it there."""
    content = program(section=b"_winzip_")[:512] + zip_of(TWO)
    assert 2 == len(read_file(tmp_path / "in", "a.exe", content).paths)


def test_a_zip_that_extracts_itself_is_read_within_an_archive(tmp_path: Path) -> None:
    """One level deep, as any archive in another."""
    reading = read_file(tmp_path / "in", "o.zip", zip_of({"a.exe": program(zip_of(TWO))}))
    assert ["o.zip!a.exe!in/1.dcm", "o.zip!a.exe!in/2"] == reading.paths


def test_a_program_of_dos_with_a_zip_behind_it_is_read(tmp_path: Path) -> None:
    """Its header has pages of 512 bytes for a size."""
    code = (b"MZ" + struct.pack("<2H", 100, 2)).ljust(612, b"\x90")
    assert 2 == len(read_file(tmp_path / "in", "a.exe", code + zip_of(TWO)).paths)


@pytest.mark.parametrize("packed", [UNREAD["a 7z archive"], UNREAD["a RAR archive"]])
def test_another_archive_that_extracts_itself_is_a_failure(tmp_path: Path, packed: bytes) -> None:
    """It holds files that are not read."""
    reading = read_file(tmp_path / "in", "a.exe", program(packed + bytes(99)))
    assert {"a.exe": "unread_archive"} == reading.kinds


@pytest.mark.parametrize(
    "content",
    [
        program(),
        program(signature=64),
        program(b"PK\x05\x06" + bytes(99)),
        program(b"code that unpacks PK\x05\x06 and more" + bytes(99)),
        program(zip_of({})),
        program(b"Nullsoft" * 40),
        b"MZ" + bytes(80),
        b"MZ" + b"\xff" * 9000,
    ],
)
def test_any_other_program_is_no_dicom(tmp_path: Path, content: bytes) -> None:
    """A plain program is a skip, also where it is signed or names the end of a zip."""
    assert {"a.exe": "not_dicom"} == read_file(tmp_path / "in", "a.exe", content).kinds


def test_behind_a_signature_the_program_ends() -> None:
    """A signature at the end of a program is nothing that is worth a read."""
    assert end_of_program(program(signature=64), len(program(signature=64))) is None
    assert 1024 + 64 == end_of_program(program(bytes(99), signature=64), 1024 + 64 + 99)


@given(st.binary(max_size=9000), st.sampled_from([b"", b"MZ", b"\x60\xea", b"\x5d\0\0", b"-lh"]))
def test_telling_fails_of_nothing(content: bytes, begin: bytes) -> None:
    """Whatever stands there, it is told or not."""
    head = begin + content
    assert unread_format(head) is None or isinstance(unread_format(head), str)
    assert end_of_program(head, len(head)) is None or end_of_program(head, len(head)) >= 0
