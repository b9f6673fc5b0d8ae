"""Members of zips: read with one read each, those of many archives together, and as zipfile has them."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source.making import instance, manifest_of, read_folder, zip_of
from support import examples

from dcmdask.dicom.windows import WINDOW, Heads
from dcmdask.source.archives import walk, zip_members
from dcmdask.source.archives.zip_members import ends_of, quick_head
from dcmdask.source.fetch import Fetcher
from dcmdask.source.places import Roots
from dcmdask.source.watch import RowWatch

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def large(number: int, size: int = 3 * WINDOW) -> bytes:
    """Give an instance that is larger than a window and does not compress."""
    noise = random.Random(number).randbytes(size)
    return instance(number) + b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<L", size) + noise


def quick(content: bytes, spot: int = 0) -> bytes | None:
    """Read one member of a zip quickly."""
    stream = io.BytesIO(content)
    archive = zipfile.ZipFile(stream)
    info = archive.infolist()[spot]
    return quick_head(stream, info, ends_of(archive)[info.header_offset])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["a.dcm", "Müller/ä.dcm", "x" * 300, ""])
def test_a_large_member_is_read_at_once(method: int, name: str) -> None:
    """Whatever its name, the first bytes are those that zipfile reads."""
    content = zip_of({"first": b"1", name: large(1)}, method)
    assert large(1)[:WINDOW] == quick(content, 1)


@given(
    method=st.sampled_from(METHODS),
    size=st.integers(WINDOW - 300, WINDOW + 300),
    extra=st.integers(0, 400),
)
def test_what_is_read_at_once_is_what_zipfile_reads(method: int, size: int, extra: int) -> None:
    """Members about the size of a window, with extra fields of any length."""
    stream = io.BytesIO()
    whole = large(size, size)[:size]
    with zipfile.ZipFile(stream, "w") as archive:
        info = zipfile.ZipInfo("a.dcm")
        info.extra = struct.pack("<HH", 0x7777, extra) + bytes(extra)
        archive.writestr(info, whole, method)
    found = quick(stream.getvalue())
    assert found in (None, whole[:WINDOW])
    assert (found is not None) == (size > WINDOW) or extra > 60


@settings(max_examples=examples(300))
@given(st.data())
def test_damage_is_left_to_zipfile(data: st.DataObject) -> None:
    """Whatever is flipped: what is read is what zipfile reads, if it reads it."""
    content = bytearray(zip_of({"a.dcm": large(1), "b.dcm": large(2)}))
    for _ in range(data.draw(st.integers(1, 4))):
        # Headers are where it matters; the rest is noise.
        at = data.draw(st.one_of(st.integers(0, 60), st.integers(-250, -1)))
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    stream = io.BytesIO(bytes(content))
    try:
        archive = zipfile.ZipFile(stream)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError, UnicodeError):
        return
    for info in archive.infolist():
        found = quick_head(stream, info, ends_of(archive)[info.header_offset])
        if found is not None:
            with archive.open(info) as member:
                assert member.read(WINDOW) == found


def test_what_only_zipfile_can_tell_is_left_to_it() -> None:
    """Flags of formats that are not read, and a member that is all here: its checksum is asked."""
    content = bytearray(zip_of({"a.dcm": large(1)}))
    entry = content.index(b"PK\x01\x02")
    for flag in (0x01, 0x20, 0x40):
        changed = bytearray(content)
        changed[6] |= flag
        changed[entry + 8] |= flag
        assert quick(bytes(changed)) is None
    assert quick(zip_of({"a.dcm": large(1)[:WINDOW]})) is None
    lies = bytearray(zip_of({"a.dcm": large(1)[:WINDOW]}))
    struct.pack_into("<L", lies, lies.index(b"PK\x01\x02") + 24, 50_000)
    assert quick(bytes(lies)) is None
    stored = bytearray(zip_of({"a.dcm": large(1)[:WINDOW]}, zipfile.ZIP_STORED))
    struct.pack_into("<L", stored, stored.index(b"PK\x01\x02") + 24, 50_000)
    assert quick(bytes(stored)) is None


def test_whoever_watches_is_told_of_no_row_where_several_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Members of several archives are nobody's row; the archive that goes on is told of again."""
    monkeypatch.setattr(walk, "AT_ONCE", 4)
    monkeypatch.setattr(zip_members, "AT_ONCE", 4)
    for name in ("0.zip", "1.zip"):
        (tmp_path / name).write_bytes(zip_of({f"{n}.dcm": large(n) for n in (1, 2, 3)}))
    name, rows = manifest_of(tmp_path)
    told: list[int] = []
    fetcher = Fetcher(Roots((name,)), RowWatch(told.append))
    assert [-1, -1] == [told[-1] for _ in fetcher.fetch_windows(rows)]
    assert [0, 1, -1, 1, -1, -1, -1] == told


def test_a_local_header_that_says_something_else_is_for_zipfile() -> None:
    """Another name, method or signature there, or a member that reaches into the next."""
    content = zip_of({"a.dcm": large(1), "b.dcm": large(2)})
    assert quick(content) is not None
    for at in (0, 8, 30):
        wrong = bytearray(content)
        wrong[at] ^= 1
        assert quick(bytes(wrong)) is None
    stream = io.BytesIO(content)
    archive = zipfile.ZipFile(stream)
    first, second = archive.infolist()
    assert quick_head(stream, first, second.header_offset - 1) is None


def test_members_of_many_archives_are_read_together(tmp_path: Path) -> None:
    """A hundred archives of two members are two lots, not a hundred, and nothing is mixed up."""
    for number in range(100):
        content = zip_of({f"{n}.dcm": large(10 * number + n) for n in (1, 2)})
        (tmp_path / f"{number:03d}.zip").write_bytes(content)
    (tmp_path / "no.txt").write_bytes(b"no DICOM")
    name, rows = manifest_of(tmp_path)
    found = Fetcher(Roots((name,))).fetch_windows(rows)
    lots = [len(one.places) for one in found if isinstance(one, Heads)]
    assert [2 * zip_members._MOST_ARCHIVES, 200 - 2 * zip_members._MOST_ARCHIVES] == lots
    reading = read_folder(tmp_path)
    assert reading.accounted
    assert {"no.txt": "not_dicom"} == reading.kinds
    expected = {f"{n:03d}.zip!{m}.dcm": 10 * n + m for n in range(100) for m in (1, 2)}
    assert expected == {row["path"]: row["InstanceNumber"] for row in reading.instances}


def test_more_members_than_are_read_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One archive is read in as many lots as it needs."""
    monkeypatch.setattr(walk, "AT_ONCE", 4)
    monkeypatch.setattr(zip_members, "AT_ONCE", 4)
    (tmp_path / "a.zip").write_bytes(zip_of({f"{n}.dcm": large(n) for n in range(1, 11)}))
    (tmp_path / "b.zip").write_bytes(zip_of({f"{n}.dcm": large(n) for n in range(11, 14)}))
    reading = read_folder(tmp_path)
    assert set(range(1, 14)) == {row["InstanceNumber"] for row in reading.instances}
    assert (2, 13, 2) == (reading.tally.files, reading.tally.members, reading.tally.containers)


def test_an_archive_that_fails_half_way_keeps_what_it_gave(tmp_path: Path) -> None:
    """Members before the damage are instances, and those of other archives too."""
    good = zip_of({f"{n}.dcm": large(n) for n in (1, 2)})
    for name in ("a.zip", "c.zip"):
        (tmp_path / name).write_bytes(good)
    encrypted = bytearray(zip_of({f"{n}.dcm": large(n) for n in (3, 4)}))
    encrypted[encrypted.rindex(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "b.zip").write_bytes(encrypted)
    reading = read_folder(tmp_path)
    assert reading.accounted
    assert {"b.zip!4.dcm": "encrypted_archive"} == reading.kinds
    assert [1, 1, 2, 2, 3] == sorted(row["InstanceNumber"] for row in reading.instances)


def test_a_header_longer_than_a_window_is_read_on(tmp_path: Path) -> None:
    """The second window of a member is read from the archive that is still open."""
    long = instance(1)
    at = long.index(b"\x20\x00\x13\x00IS")
    filler = b"\x09\x00\x01\x10OB\0\0" + struct.pack("<L", 2 * WINDOW) + bytes(2 * WINDOW)
    (tmp_path / "a.zip").write_bytes(zip_of({"a.dcm": long[:at] + filler + long[at:]}))
    (tmp_path / "b.zip").write_bytes(zip_of({"b.dcm": large(2)}))
    assert [1, 2] == sorted(row["InstanceNumber"] for row in read_folder(tmp_path).instances)
