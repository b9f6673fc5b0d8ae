"""Archives: every kind is read in place, and every way in which one can be damaged is a row."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
from source.making import (
    COMPRESSIONS,
    bulky,
    checksummed,
    instance,
    old_tar_of,
    read_file,
    read_folder,
    tar_of,
    zip_of,
)

from dcmdask.source import fetch
from dcmdask.source.archives import limits, member_stream, walk

METHODS = {
    "stored": zipfile.ZIP_STORED,
    "deflated": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}
TAR_MODES = {"a.tar": "w", "a.tar.gz": "w:gz", "a.tgz": "w:gz", "a.tar.bz2": "w:bz2"}
TAR_MODES |= {"a.tbz2": "w:bz2", "a.tar.xz": "w:xz", "a.txz": "w:xz"}
TWO = {"in/1.dcm": instance(1), "in/2": instance(2)}


# -- zip -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_members_of_a_zip_are_instances(tmp_path: Path, method: int) -> None:
    """A member is an instance however it is compressed, and is placed under its archive."""
    reading = read_file(tmp_path / "in", "a.zip", zip_of(TWO, method))
    assert ["a.zip!in/1.dcm", "a.zip!in/2"] == reading.paths
    assert (1, 2, 1) == (reading.tally.files, reading.tally.members, reading.tally.containers)
    one = reading.instances[0]
    assert ("in/a.zip!in", "1.dcm", "a.zip", "a") == (
        one["folder"],
        one["file_name"],
        one["archive"],
        one["case"],
    )
    assert len(TWO["in/1.dcm"]) == one["size"]


def test_zip64_members_are_instances(tmp_path: Path) -> None:
    """The extra fields of large archives are understood."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(stream, "w") as archive,
        archive.open("1.dcm", "w", force_zip64=True) as member,
    ):
        member.write(instance(1))
    assert ["a.zip!1.dcm"] == read_file(tmp_path / "in", "a.zip", stream.getvalue()).paths


def test_a_zip_with_the_end_record_of_large_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond 65,535 members the end of a zip looks another way."""
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    archive = zip_of(TWO)
    monkeypatch.undo()
    assert b"PK\x06\x06" in archive
    assert 2 == len(read_file(tmp_path / "in", "a.zip", archive).paths)


def test_a_zip_with_a_comment_is_read(tmp_path: Path) -> None:
    """The end record is found before a long comment."""
    archive = zip_of(TWO, comment=b"c" * 65_000)
    assert 2 == len(read_file(tmp_path / "in", "a.zip", archive).paths)


class _OneWay(io.RawIOBase):
    """A sink that cannot seek, so that zipfile writes sizes behind the data."""

    def __init__(self) -> None:
        super().__init__()
        self.content = b""

    def writable(self) -> bool:
        return True

    def write(self, piece: bytes) -> int:
        self.content += bytes(piece)
        return len(piece)


def test_a_zip_with_data_descriptors_is_read(tmp_path: Path) -> None:
    """A zip that was written to a pipe has its sizes only in the directory at its end."""
    sink = _OneWay()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in TWO.items():
            archive.writestr(name, content)
    assert 0x08 == sink.content[6] & 0x08
    assert 2 == len(read_file(tmp_path / "in", "a.zip", sink.content).paths)


@pytest.mark.parametrize("name", ["ä/日本.dcm", "caf\u00e9.dcm"])
def test_names_that_are_not_ascii_are_kept(tmp_path: Path, name: str) -> None:
    """Names are read as UTF-8 where the zip says so."""
    assert [f"a.zip!{name}"] == read_file(
        tmp_path / "in", "a.zip", zip_of({name: TWO["in/2"]})
    ).paths


@pytest.mark.parametrize("name", ["a", "a.dcm", "a.tar", "a.ZIP", "a.bin"])
def test_an_archive_is_told_by_its_content(tmp_path: Path, name: str) -> None:
    """No name and no extension keeps a zip from being read."""
    assert 2 == len(read_file(tmp_path / "in", name, zip_of(TWO)).paths)


def test_a_zip_behind_another_format_is_read_by_its_name(tmp_path: Path) -> None:
    """A program before a zip, as in archives that extract themselves, does not hide it."""
    assert 2 == len(read_file(tmp_path / "in", "a.zip", b"MZ" + bytes(3000) + zip_of(TWO)).paths)


def test_a_dicom_file_whose_preamble_is_a_zip_magic_is_an_instance(tmp_path: Path) -> None:
    """The DICM prefix outranks what stands in the free preamble, whatever the name says."""
    content = b"PK\x03\x04" + instance(1)[4:]
    assert ["a.zip"] == read_file(tmp_path / "in", "a.zip", content).paths


@pytest.mark.parametrize("content", [zip_of({}), zip_of({"folder/": b""})], ids=["none", "folder"])
def test_an_empty_zip_is_a_skip(tmp_path: Path, content: bytes) -> None:
    """An archive without files is accounted for by itself."""
    reading = read_file(tmp_path / "in", "a.zip", content)
    assert {"a.zip": "not_dicom"} == reading.kinds
    assert {"a.zip": "the archive holds no file"} == reading.messages


def _flagged(archive: bytes, flag: int) -> bytes:
    """Set a general purpose flag of the first member, in both of its headers."""
    changed = bytearray(archive)
    changed[6] |= flag
    changed[archive.index(b"PK\x01\x02") + 8] |= flag
    return bytes(changed)


def test_an_encrypted_member_is_a_failure_of_its_own(tmp_path: Path) -> None:
    """The other members of the archive are read."""
    reading = read_file(tmp_path / "in", "a.zip", _flagged(zip_of(TWO), 1))
    assert ["a.zip!in/2"] == reading.paths
    assert {"a.zip!in/1.dcm": "encrypted_archive"} == reading.kinds


def test_a_member_in_a_format_of_patches_is_a_failure_of_its_own(tmp_path: Path) -> None:
    """What zipfile does not implement costs the one member that needs it."""
    reading = read_file(tmp_path / "in", "a.zip", _flagged(zip_of(TWO), 0x20))
    assert ["a.zip!in/2"] == reading.paths
    assert {"a.zip!in/1.dcm": "corrupt_archive"} == reading.kinds


def test_an_unknown_compression_method_is_a_failure_that_names_it(tmp_path: Path) -> None:
    """A member that cannot be inflated is a row with the number of its method."""
    changed = bytearray(zip_of(TWO))
    struct.pack_into("<H", changed, 8, 97)
    struct.pack_into("<H", changed, changed.index(b"PK\x01\x02") + 10, 97)
    reading = read_file(tmp_path / "in", "a.zip", bytes(changed))
    assert ["a.zip!in/2"] == reading.paths
    words = "it is compressed by method 97, which is not read"
    assert {"a.zip!in/1.dcm": words} == reading.messages


def test_a_zip_version_of_the_future_is_a_failure(tmp_path: Path) -> None:
    """A zip that asks for a version that does not exist is one row."""
    changed = bytearray(zip_of(TWO))
    struct.pack_into("<H", changed, changed.index(b"PK\x01\x02") + 6, 250)
    assert {"a.zip": "corrupt_archive"} == read_file(tmp_path / "in", "a.zip", bytes(changed)).kinds


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
def test_a_truncated_zip_is_a_failure(tmp_path: Path, share: float) -> None:
    """A zip without its directory says that it is cut off, and what to do."""
    archive = zip_of(TWO)
    cut = archive[: int(len(archive) * share)]
    reading = read_file(tmp_path / "in", "a.zip", cut)
    assert {"a.zip": "corrupt_archive"} == reading.kinds
    words = "cut off: it has no directory at its end; copy it again"
    assert {"a.zip": words} == reading.messages


def test_a_damaged_directory_of_a_zip_is_a_failure(tmp_path: Path) -> None:
    """A zip whose central directory is overwritten is one row."""
    changed = bytearray(zip_of(TWO))
    spot = changed.index(b"PK\x01\x02")
    changed[spot : spot + 20] = b"\xff" * 20
    assert {"a.zip": "corrupt_archive"} == read_file(tmp_path / "in", "a.zip", bytes(changed)).kinds


def test_a_directory_that_lies_before_the_beginning_is_a_failure(tmp_path: Path) -> None:
    """An offset that leads before the file is damage of the archive, no error of the disk."""
    changed = bytearray(zip_of(TWO))
    end = changed.index(b"PK\x05\x06")
    struct.pack_into("<L", changed, end + 16, 2**32 - 2)
    reading = read_file(tmp_path / "in", "a.zip", bytes(changed))
    assert {"corrupt_archive"} == set(reading.kinds.values())


def test_a_member_without_a_name_is_an_instance(tmp_path: Path) -> None:
    """An empty name does not end the reading of an archive."""
    changed = bytearray(zip_of({"x": TWO["in/2"]}))
    changed[30] = changed[changed.index(b"PK\x01\x02") + 46] = 0
    reading = read_file(tmp_path / "in", "a.zip", bytes(changed))
    assert ["a.zip!unnamed"] == reading.paths


def test_a_damaged_member_is_a_failure_of_its_own(tmp_path: Path) -> None:
    """A wrong checksum costs one member."""
    archive = bytearray(zip_of(TWO, zipfile.ZIP_STORED))
    archive[archive.index(b"DICM") + 60] ^= 0xFF
    reading = read_file(tmp_path / "in", "a.zip", bytes(archive))
    assert ["a.zip!in/2"] == reading.paths
    assert {"a.zip!in/1.dcm": "corrupt_archive"} == reading.kinds


def test_duplicate_member_names_are_both_read(tmp_path: Path) -> None:
    """Two members of one name are two instances, as they are two objects."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("same.dcm", instance(1))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("same.dcm", instance(2))
    reading = read_file(tmp_path / "in", "a.zip", stream.getvalue())
    assert {"1.2.3.4.1", "1.2.3.4.2"} == {row["SOPInstanceUID"] for row in reading.instances}


def test_overlapping_members_are_failures(tmp_path: Path) -> None:
    """A bomb of members that share their bytes is refused member by member."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("1.dcm", instance(1))
        archive.writestr("2.dcm", instance(2))
    changed = bytearray(stream.getvalue())
    second = changed.index(b"PK\x01\x02", changed.index(b"PK\x01\x02") + 4)
    struct.pack_into("<L", changed, second + 42, 0)
    reading = read_file(tmp_path / "in", "a.zip", bytes(changed))
    assert "corrupt_archive" == reading.kinds["a.zip!2.dcm"]


def test_a_size_beyond_all_bounds_is_unknown(tmp_path: Path) -> None:
    """A directory that claims more bytes than a table can hold does not end the reading."""
    extra = struct.pack("<HHQQ", 1, 16, 2**64 - 1, 2**64 - 1)
    archive = zip_of({"1": instance(1)}, zipfile.ZIP_STORED)
    spot = archive.index(b"PK\x01\x02")
    entry = bytearray(archive[spot : spot + 47])
    struct.pack_into("<LL", entry, 20, 2**32 - 1, 2**32 - 1)
    struct.pack_into("<H", entry, 30, len(extra))
    end = bytearray(archive[spot + 47 :])
    struct.pack_into("<L", end, 12, len(entry) + len(extra))
    reading = read_file(tmp_path / "in", "a.zip", archive[:spot] + entry + extra + end)
    assert [None] == [row["size"] for row in (*reading.instances, *reading.failures)]


# -- tar -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TAR_MODES)
def test_members_of_a_tar_are_instances(tmp_path: Path, name: str) -> None:
    """A tar is read however it is compressed, from its first member to its last."""
    many = {f"in/{number}.dcm": instance(number) for number in range(1, 41)}
    reading = read_file(tmp_path / "in", name, tar_of(many, TAR_MODES[name]))
    assert sorted(f"{name}!{member}" for member in many) == reading.paths
    assert {} == reading.kinds


@pytest.mark.parametrize("layout", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_tar_format_is_read(tmp_path: Path, layout: int) -> None:
    """The three formats of tar give the same members, long names too."""
    name = "/".join(["folder"] * 20) + "/1.dcm"
    reading = read_file(tmp_path / "in", "a.tar", tar_of({name: instance(1)}, layout=layout))
    assert [f"a.tar!{name}"] == reading.paths


@pytest.mark.parametrize("name", ["a.tar", "a", "a.dcm"])
def test_a_tar_without_magic_is_told_by_its_checksum(tmp_path: Path, name: str) -> None:
    """Tars from before 1988 are read, whatever they are called."""
    assert 2 == len(read_file(tmp_path / "in", name, old_tar_of(TWO)).paths)


@pytest.mark.parametrize("blocks", [2, 20])
def test_an_empty_tar_is_a_skip(tmp_path: Path, blocks: int) -> None:
    """A tar of nothing but its end mark is an archive without files."""
    reading = read_file(tmp_path / "in", "a.tar", bytes(512 * blocks))
    assert {"a.tar": "the archive holds no file"} == reading.messages


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("wipe", [b"\xff", b"\0"], ids=["rubbish", "zeros"])
def test_a_damaged_header_in_the_middle_of_a_tar_is_reported(
    tmp_path: Path, mode: str, wipe: bytes
) -> None:
    """Members before the damage are instances; that there may be more behind it is a failure."""
    archive = bytearray(tar_of({f"{n}.dcm": instance(n) for n in range(1, 6)}))
    spot = archive.index(b"3.dcm")
    archive[spot : spot + 512] = wipe * 512
    content = gzip.compress(archive) if mode == "w:gz" else bytes(archive)
    reading = read_file(tmp_path / "in", "a.tar", content)
    assert ["a.tar!1.dcm", "a.tar!2.dcm"] == reading.paths
    assert {"a.tar": "corrupt_archive"} == reading.kinds


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_truncated_tar_gives_what_is_there_and_a_failure(tmp_path: Path, mode: str) -> None:
    """What lies before the end is read; the archive is a row as well."""
    archive = tar_of({f"{n}.dcm": os.urandom(20_000) + instance(n) for n in range(5)}, mode)
    reading = read_file(tmp_path / "in", "a", archive[: len(archive) * 3 // 4])
    assert "corrupt_archive" == reading.kinds["a"]
    assert "cut off: it ends before its end mark; copy it again" == reading.messages["a"]
    # bzip2 gives nothing of a block before it is whole.
    assert len(reading.kinds) > (0 if mode == "w:bz2" else 3)


def test_a_negative_size_in_a_tar_does_not_lead_in_a_circle(tmp_path: Path) -> None:
    """A size that leads back to an earlier header is damage (CVE-2025-8194)."""
    archive = bytearray(tar_of(TWO))
    spot = archive.index(b"in/2")
    archive[spot + 124 : spot + 136] = b"\xff" * 11 + b"\x00"
    archive[spot : spot + 512] = checksummed(bytes(archive[spot : spot + 512]))
    reading = read_file(tmp_path / "in", "a.tar", bytes(archive))
    assert ["a.tar!in/1.dcm"] == reading.paths
    assert {"a.tar": "corrupt_archive"} == reading.kinds


@pytest.mark.timeout(20)
@pytest.mark.parametrize("outer", ["a.tar", "a.tar.gz", "a.zip"])
def test_a_size_of_exabytes_in_a_tar_does_not_hang(tmp_path: Path, outer: str) -> None:
    """Skipping what a damaged header claims takes no longer than there are bytes."""
    archive = bytearray(tar_of(TWO))
    archive[124:136] = b"\x80\0\0\0\x7f" + b"\xff" * 7
    archive[:512] = checksummed(bytes(archive[:512]))
    content = {"a.tar": bytes, "a.tar.gz": gzip.compress, "a.zip": lambda b: zip_of({"n": b})}
    reading = read_file(tmp_path / "in", outer, content[outer](bytes(archive)))
    assert "corrupt_archive" in reading.kinds.values()


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_bomb_in_an_extended_header_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: bytes
) -> None:
    """A name of gigabytes is not read into memory."""
    monkeypatch.setattr(limits, "LARGEST_EXTENDED", 100_000)
    info = tarfile.TarInfo("1.dcm")
    info.type, info.size = kind, 200_000
    content = gzip.compress(info.tobuf() + bytes(200_192) + tar_of(TWO))
    assert {"a.tgz": "too_large"} == read_file(tmp_path / "in", "a.tgz", content).kinds


def test_links_and_special_files_in_a_tar_are_skips(tmp_path: Path) -> None:
    """What is no file in a tar is a row and is not followed."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, kind in (("link", tarfile.SYMTYPE), ("fifo", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("folder")
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
    reading = read_file(tmp_path / "in", "a.tar", stream.getvalue())
    assert {"a.tar!link": "not_dicom", "a.tar!fifo": "not_dicom"} == reading.kinds


# -- single files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_a_compressed_file_is_an_instance(tmp_path: Path, suffix: str) -> None:
    """The one file in a compressed file is its member, named without the suffix."""
    content = COMPRESSIONS[suffix](instance(1, ImageComments="x" * 9000))
    reading = read_file(tmp_path / "in", f"1.dcm.{suffix}", content)
    assert [f"1.dcm.{suffix}!1.dcm"] == reading.paths
    assert (1, 1, 1) == (reading.tally.files, reading.tally.members, reading.tally.containers)


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_a_compressed_file_is_told_by_its_content(tmp_path: Path, suffix: str) -> None:
    """A compressed file needs no suffix."""
    reading = read_file(tmp_path / "in", "1", COMPRESSIONS[suffix](instance(1)))
    assert ["1!1.content"] == reading.paths


@pytest.mark.parametrize("suffix", COMPRESSIONS)
@pytest.mark.parametrize("damage", ["cut", "rubbish"])
def test_a_damaged_compressed_file_is_a_failure(tmp_path: Path, suffix: str, damage: str) -> None:
    """A stream that ends early or makes no sense is one row."""
    content = COMPRESSIONS[suffix](instance(1, ImageComments=os.urandom(4500).hex()))
    content = content[:300] if damage == "cut" else content[:12] + b"\xff" * 200
    assert ["corrupt_archive"] == list(
        read_file(tmp_path / "in", f"1.{suffix}", content).kinds.values()
    )


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tgz", "a.dcm.gz", "a.dcm.xz"])
def test_what_is_named_an_archive_and_is_none_is_a_failure(tmp_path: Path, name: str) -> None:
    """A name that promises members is not passed over as no DICOM."""
    assert {name: "corrupt_archive"} == read_file(tmp_path / "in", name, b"not that" * 200).kinds


# -- nested ----------------------------------------------------------------------------------------

INNER = {
    "n.zip": zip_of(TWO),
    "n.tar": tar_of(TWO),
    "n.tar.gz": tar_of(TWO, "w:gz"),
    "n.tgz": tar_of(TWO, "w:gz"),
    "n.tar.xz": tar_of(TWO, "w:xz"),
}
OUTER = {
    "o.zip": zip_of,
    "o.tar": tar_of,
    "o.tar.gz": lambda members: tar_of(members, "w:gz"),
}


@pytest.mark.parametrize("outer", OUTER)
def test_an_archive_in_an_archive_is_opened(tmp_path: Path, outer: str) -> None:
    """One level deep, members of every kind of archive in every other are instances."""
    members = {**INNER, "1.dcm.gz": gzip.compress(instance(1)), "2.dcm": instance(2)}
    reading = read_file(tmp_path / "in", outer, OUTER[outer](members))
    inside = [f"{outer}!{name}!{member}" for name in INNER for member in TWO]
    assert sorted([*inside, f"{outer}!1.dcm.gz!1.dcm", f"{outer}!2.dcm"]) == reading.paths
    assert {outer} == {row["archive"] for row in reading.instances}
    folders = {row["path"]: row["folder"] for row in reading.instances}
    assert f"in/{outer}!n.zip!in" == folders[f"{outer}!n.zip!in/2"]
    assert f"in/{outer}" == folders[f"{outer}!2.dcm"]


@pytest.mark.parametrize("outer", OUTER)
def test_an_archive_two_levels_deep_is_a_failure(tmp_path: Path, outer: str) -> None:
    """Nesting ends after one level, with a row for what is not opened."""
    members = {"n.zip": zip_of({"m.zip": zip_of(TWO), "x.dcm.gz": gzip.compress(instance(1))})}
    reading = read_file(tmp_path / "in", outer, OUTER[outer](members))
    inside = f"{outer}!n.zip"
    assert {f"{inside}!m.zip": "too_large", f"{inside}!x.dcm.gz": "too_large"} == reading.kinds


def test_a_damaged_archive_in_an_archive_costs_itself_only(tmp_path: Path) -> None:
    """The members beside it are read, and so is what of it is whole."""
    members = {"1.dcm": instance(1), "n.zip": zip_of(TWO)[:300], "z.dcm": instance(2)}
    reading = read_file(tmp_path / "in", "a.zip", zip_of(members))
    assert ["a.zip!1.dcm", "a.zip!n.zip!in/1.dcm", "a.zip!z.dcm"] == reading.paths
    assert {"a.zip!n.zip": "corrupt_archive"} == reading.kinds


def test_a_nested_zip_beyond_the_bound_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A zip that would have to be held in memory whole is given up at its bound."""
    monkeypatch.setattr(member_stream, "LARGEST_NESTED", 20_000)
    members = {"1.dcm": instance(1), "n.zip": zip_of({"x": bytes(40_000)}, zipfile.ZIP_STORED)}
    reading = read_file(tmp_path / "in", "a.zip", zip_of(members))
    assert {"a.zip!n.zip": "too_large"} == reading.kinds


# -- what reading costs ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
def test_only_headers_of_members_are_read(tmp_path: Path, name: str) -> None:
    """Of a stored archive of 20 MB less than a hundredth is read, and nothing is written."""
    members = {f"{n}.dcm": bulky(n) for n in range(10)}
    content = tar_of(members) if name == "a.tar" else zip_of(members, zipfile.ZIP_STORED)
    reading = read_file(tmp_path / "in", name, content)
    assert 10 == len(reading.paths)
    assert reading.tally.bytes_read < len(content) / 100
    assert [name] == os.listdir(tmp_path / "in")


def test_a_tar_in_a_tar_is_read_by_its_headers(tmp_path: Path) -> None:
    """Members of a nested archive are stepped over where the outer one can be stepped through."""
    inner = tar_of({f"{n}.dcm": bulky(n) for n in range(10)})
    reading = read_file(tmp_path / "in", "a.tar", tar_of({"n.tar": inner}))
    assert 10 == len(reading.paths)
    assert reading.tally.bytes_read < len(inner) / 50


def test_a_bomb_is_inflated_as_far_as_its_header_only(tmp_path: Path) -> None:
    """A member of a gigabyte of zeros costs the bytes of its first window."""
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = b"".join(packed.compress(bytes(1 << 20)) for _ in range(200)) + packed.flush()
    header = struct.pack(
        "<4sHHHHHLLLHH", b"PK\x03\x04", 20, 0, 8, 0, 0, 0, len(body), 200 << 20, 1, 0
    )
    entry = struct.pack(
        "<4sHHHHHHLLLHHHHHLL", b"PK\x01\x02", 20, 20, 0, 8, 0, 0, 0, len(body), 200 << 20, 1, 0, 0, 0, 0, 0, 0
    )  # fmt: skip
    start = len(header) + 1 + len(body)
    end = struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, 1, 1, len(entry) + 1, start, 0)
    content = header + b"b" + body + entry + b"b" + end
    reading = read_file(tmp_path / "in", "a.zip", content)
    assert {"a.zip!b": "not_dicom"} == reading.kinds
    assert reading.tally.bytes_read < 50_000


def test_a_header_that_never_ends_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member whose header outgrows the bound of inflated bytes is a row."""
    for room in (fetch, walk, member_stream):
        monkeypatch.setattr(room, "LARGEST_HEADER", 300_000)
    endless = instance(1)[:-40] + b"\x09\x00\x10\x00UN\0\0\xf0\xff\xff\x00" + bytes(1_000_000)
    reading = read_file(tmp_path / "in", "a.zip", zip_of({"1.dcm": endless, "2.dcm": instance(2)}))
    assert "a.zip!2.dcm" in reading.paths
    assert 2 == len(reading.paths) + len(reading.kinds)


def test_a_folder_of_every_kind_is_accounted_for(tmp_path: Path) -> None:
    """Files and members are as many as instances and failures."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name, mode in TAR_MODES.items():
        (folder / name).write_bytes(tar_of(TWO, mode))
    for name, content in INNER.items():
        (folder / f"x{name}").write_bytes(content[: len(content) // 2])
        (folder / f"z{name}.zip").write_bytes(zip_of({name: content, "no": b"text"}))
    assert read_folder(folder).accounted
