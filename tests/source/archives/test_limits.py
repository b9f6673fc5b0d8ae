"""What an archive may be inflated to, list and describe: both sides of every bound."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from source.making import COMPRESSIONS, bulky, instance, read_file, tar_of, zip_of

from dcmdask.errors import HeaderError
from dcmdask.source.archives import codecs, limits, member_stream, zip_directory
from dcmdask.source.archives.codecs import OPENERS
from dcmdask.source.archives.limits import Budget, section
from dcmdask.source.archives.zip_directory import open_zips

KINDS = {"gz": "gzip", "bz2": "bz2", "xz": "xz"}
MANY = {f"in/{number:03d}.dcm": instance(number) for number in range(40)}


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
def test_a_bomb_is_told_by_size_and_ratio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """Zeros beyond the bound are given up; as many bytes that do not shrink so far are read."""
    monkeypatch.setattr(limits, "LARGEST_INFLATED", 1_000_000)
    bomb = tar_of({"1.dcm": instance(1), "zeros": bytes(40_000_000), "2.dcm": instance(2)})
    honest = tar_of({"1.dcm": instance(1), "noise": os.urandom(2_000_000), "2.dcm": instance(2)})
    found = read_file(tmp_path / "bomb", f"a.tar.{suffix}", COMPRESSIONS[suffix](bomb))
    assert "too_large" == found.kinds[f"a.tar.{suffix}"]
    assert [f"a.tar.{suffix}!1.dcm"] == found.paths
    found = read_file(tmp_path / "honest", f"a.tar.{suffix}", COMPRESSIONS[suffix](honest))
    assert 2 == len(found.paths)
    assert f"a.tar.{suffix}" not in found.kinds


def test_a_bomb_stays_one() -> None:
    """What is read after it was told to be one does not buy more."""
    budget = Budget()
    with pytest.raises(HeaderError):
        budget.weigh(limits.LARGEST_INFLATED + 1)
    budget.read += limits.LARGEST_INFLATED
    with pytest.raises(HeaderError):
        budget.weigh(0)


def test_an_archive_of_a_ratio_like_masks_is_read() -> None:
    """Four hundred times as large as what was read, a file may be of any size."""
    budget = Budget()
    budget.read = 1 << 40
    budget.weigh(400 << 40)


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tgz"])
def test_members_are_listed_up_to_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What was listed is kept, and the archive says that there is more."""
    monkeypatch.setattr(limits, "LARGEST_LISTED", 10 * 4 * (len(str(tmp_path)) + 40))
    make = {"a.zip": zip_of, "a.tar": tar_of, "a.tgz": lambda them: tar_of(them, "w:gz")}[name]
    reading = read_file(tmp_path / "in", name, make(MANY))
    assert {name: "too_large"} == reading.kinds
    assert 5 < len(reading.paths) < 40


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_headers_in_a_chain_are_damage_or_too_large(tmp_path: Path, kind: bytes) -> None:
    """Tarfile calls itself for each of them: that ends in a row."""
    info = tarfile.TarInfo("x")
    info.type = kind
    content = tar_of({"1.dcm": instance(1)})[:-1024].rstrip(b"\0")
    content += bytes(-len(content) % 512) + info.tobuf() * 5_000 + tar_of({"2.dcm": instance(2)})
    reading = read_file(tmp_path / "in", "a.tar", content)
    assert "a.tar!1.dcm" in reading.paths
    assert reading.kinds.get("a.tar") in ("corrupt_archive", "too_large", None)


def test_a_number_without_end_is_damage(tmp_path: Path) -> None:
    """An extended header of digits would be searched for hours (CVE-2024-6232)."""
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 512 * 1024
    content = info.tobuf() + b"1" * info.size + tar_of({"1.dcm": instance(1)})
    assert {"a.tar": "corrupt_archive"} == read_file(tmp_path / "in", "a.tar", content).kinds


def test_an_xz_that_asks_for_much_memory_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a preset asks for is given, more is not."""
    content = lzma.compress(instance(1), preset=3)
    assert 1 == len(read_file(tmp_path / "a", "1.xz", content).paths)
    monkeypatch.setattr(codecs, "LARGEST_DICTIONARY", 1 << 20)
    kinds = read_file(tmp_path / "b", "1.xz", content).kinds
    assert ["too_large"] == list(kinds.values())


@pytest.mark.parametrize("suffix", KINDS)
def test_streams_that_follow_each_other_are_one(suffix: str) -> None:
    """With zeros between them or without; it can be read again from its start."""
    pack = COMPRESSIONS[suffix]
    whole = os.urandom(300_000)
    content = pack(whole[:1000]) + bytes(8) + pack(b"") + pack(whole[1000:])
    stream = OPENERS[KINDS[suffix]](io.BytesIO(content))
    assert whole == stream.read()
    assert 100 == stream.seek(100)
    assert whole[100:400] == stream.read(300)
    assert 200_400 == stream.seek(200_000, 1)
    assert whole[200_400:] == stream.read()
    assert len(whole) == stream.seek(0, 2)


def test_what_follows_a_gzip_and_is_none_is_damage() -> None:
    """As gzip says."""
    with pytest.raises(EOFError):
        OPENERS["gzip"](io.BytesIO(gzip.compress(b"1") + b"rubbish")).read()
    assert b"1" == OPENERS["bz2"](io.BytesIO(COMPRESSIONS["bz2"](b"1") + b"rubbish")).read()


@pytest.mark.parametrize("before", [b"", b"a program\n" * 50])
def test_a_large_directory_is_read_in_parts(monkeypatch: pytest.MonkeyPatch, before: bytes) -> None:
    """The same members at the same places, also where something stands before the zip."""
    content = before + zip_of(MANY, comment=b"what it is")
    expected = [
        (info.filename, info.header_offset, info.CRC)
        for info in zipfile.ZipFile(io.BytesIO(content)).infolist()
    ]
    monkeypatch.setattr(zip_directory, "LARGE", 1000)
    monkeypatch.setattr(zip_directory, "_PART", 500)
    archives = [part.archive for part in open_zips(io.BytesIO(content))]
    assert 1 < len(archives)
    infos = [(archive, info) for archive in archives for info in archive.infolist()]
    assert expected == [(info.filename, info.header_offset, info.CRC) for _, info in infos]
    assert list(MANY.values()) == [archive.read(info) for archive, info in infos]


def test_a_large_directory_that_is_damaged_keeps_what_stands_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first members are instances, the archive is a row."""
    monkeypatch.setattr(zip_directory, "LARGE", 1000)
    monkeypatch.setattr(zip_directory, "_PART", 500)
    content = bytearray(zip_of(MANY))
    at = content.rindex(b"PK\x01\x02")
    content[at : at + 4] = b"none"
    reading = read_file(tmp_path / "in", "a.zip", bytes(content))
    assert {"a.zip": "corrupt_archive"} == reading.kinds
    assert 30 < len(reading.paths) < 40


@pytest.mark.parametrize("outer", ["o.zip", "o.tar"])
def test_a_stored_zip_in_an_archive_is_read_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outer: str
) -> None:
    """However large it is: of twenty megabytes little is read, and nothing is held."""
    monkeypatch.setattr(member_stream, "LARGEST_NESTED", 10_000)
    inner = zip_of({f"{n}.dcm": bulky(n) for n in range(10)}, zipfile.ZIP_STORED)
    members = {"n.zip": inner, "z.dcm": instance(50)}
    content = tar_of(members) if outer == "o.tar" else zip_of(members, zipfile.ZIP_STORED)
    reading = read_file(tmp_path / "in", outer, content)
    assert 11 == len(reading.paths)
    assert reading.tally.bytes_read < len(content) / 50


def test_a_section_ends_where_it_is_said_to() -> None:
    """Seen from inside it is a file of its own."""
    stream = section(io.BytesIO(b"0123456789"), 2, 5)
    assert b"23456" == stream.read()
    assert b"" == stream.read(3)
    assert 3 == stream.seek(-2, 2)
    assert b"56" == stream.read(100)
    assert 4 == stream.seek(-1, 1)
    with pytest.raises(ValueError, match="before"):
        stream.seek(-1)
