"""A large zip is read in pieces, by tasks of their own, and comes to what it is read whole."""

from __future__ import annotations

import io
import os
import random
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from source.making import bulky, instance, manifest_of, noise, read_rows, tar_of, zip_of
from support import crawl, encode, examples, published, rows
from test_incremental import OPTIONS, assert_as_full, changes, counts, spoil

from dcmdask.catalog.catalog import Catalog
from dcmdask.config import RunOptions
from dcmdask.execution.plan import plan
from dcmdask.listing import listing
from dcmdask.listing.listing import Listing, open_roots, write_manifest
from dcmdask.source.archives import zip_directory
from dcmdask.state.manifest import PieceWriter, read_manifest
from dcmdask.state.parts import list_stems, read_part
from dcmdask.state.previous_runs import Known
from dcmdask.types import Kind, Piece

MANY = {f"{number % 3}/{number}.dcm": noise(number, 500 * number) for number in range(1, 12)}
CUT = 8_000
"""Bytes of a piece where all is small."""


def shuffled(archive: bytes, seed: int = 1) -> bytes:
    """Give a zip with its directory in another order than its members."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        start = opened.start_dir
    end = archive.index(b"PK\x05\x06", start)
    entries = []
    at = start
    while at < end:
        size = 46 + sum(struct.unpack_from("<3H", archive, at + 28))
        entries.append(archive[at : at + size])
        at += size
    random.Random(seed).shuffle(entries)
    return archive[:start] + b"".join(entries) + archive[end:]


def zip64_of() -> bytes:
    """Give a zip with the end record of large ones, and sizes in extra fields."""
    stream = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
        with zipfile.ZipFile(stream, "w") as archive:
            for name, content in MANY.items():
                with archive.open(name, "w", force_zip64=True) as member:
                    member.write(content)
    return stream.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def duplicates() -> bytes:
    """Give a zip in which two members have one name each time."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(1, 9):
            # Not by `writestr`, which warns.
            info = zipfile.ZipInfo(f"{number % 4}.dcm")
            archive.NameToInfo.clear()
            archive.writestr(info, noise(number, 3000))
    return stream.getvalue()


def at_offsets(change: Callable[[int, int], int]) -> bytes:
    """Give a zip whose directory says other offsets, by number of the member."""
    archive = bytearray(zip_of(MANY, zipfile.ZIP_STORED))
    at = archive.index(b"PK\x01\x02")
    for number in range(len(MANY)):
        (offset,) = struct.unpack_from("<L", archive, at + 42)
        struct.pack_into("<L", archive, at + 42, change(number, offset))
        at += 46 + sum(struct.unpack_from("<3H", archive, at + 28))
    return bytes(archive)


def with_entries(archive: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Give a zip with other entries in its directory."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        start = at = opened.start_dir
    end = archive.index(b"PK\x05\x06", start)
    entries = b""
    while at < end:
        size = 46 + sum(struct.unpack_from("<3H", archive, at + 28))
        entries += change(archive[at : at + size])
        at += size
    tail = bytearray(archive[end:])
    struct.pack_into("<L", tail, 12, len(entries))
    return archive[:start] + entries + tail


def wide(entry: bytes, more: int = 0) -> bytes:
    """Give an entry with its sizes and its offset, or more, in an extra field, among others."""
    packed, size = struct.unpack_from("<2L", entry, 20)
    name, _, _ = struct.unpack_from("<3H", entry, 28)
    (offset,) = struct.unpack_from("<L", entry, 42)
    extra = struct.pack("<HHBL", 0x5455, 5, 1, 0) + struct.pack(
        "<HH3Q", 1, 24, size, packed, offset + more
    )
    changed = bytearray(entry[: 46 + name] + extra + b"\0\0")
    struct.pack_into("<2L", changed, 20, *[0xFFFFFFFF] * 2)
    struct.pack_into("<H", changed, 30, len(extra) + 2)
    struct.pack_into("<L", changed, 42, 0xFFFFFFFF)
    return bytes(changed)


def extra(field: bytes) -> Callable[[bytes], bytes]:
    """Give what adds an extra field to an entry."""

    def change(entry: bytes) -> bytes:
        (name,) = struct.unpack_from("<H", entry, 28)
        changed = bytearray(entry[: 46 + name] + field)
        struct.pack_into("<H", changed, 30, len(field))
        return bytes(changed)

    return change


def damaged(archive: bytes, at: bytes, words: bytes) -> bytes:
    """Give an archive with other bytes where some stand."""
    spot = archive.index(at)
    return archive[:spot] + words + archive[spot + len(words) :]


_NESTED = {
    "a/in.zip": zip_of({"1": instance(21), "2": b"no"}),
    "b/in.tar.gz": tar_of({f"{n}": noise(n) for n in range(30, 33)}, "w:gz"),
    "c/none.zip": zip_of({}),
    "d.dcm": noise(40),
    "e/bad.zip": zip_of(MANY)[:700],
    "f/stored.zip": zip_of({"1": noise(41), "2": noise(42)}, zipfile.ZIP_STORED),
    "g/deep.zip": zip_of({"deeper.zip": zip_of({"1": instance(50)})}),
}
ARCHIVES: dict[str, bytes] = {
    "deflated": zip_of(MANY),
    "stored": zip_of(MANY, zipfile.ZIP_STORED),
    "zip64": zip64_of(),
    "comment": zip_of(MANY, comment=b"c" * 20_000),
    "behind a program": b"MZ" + bytes(30_000) + zip_of(MANY),
    "shuffled": shuffled(zip_of(MANY)),
    "duplicates": duplicates(),
    "nested": zip_of(_NESTED, zipfile.ZIP_STORED),
    "nested, deflated": zip_of(_NESTED),
    "folders": zip_of({"a/": b"", **MANY, "z/": b""}),
    "one": zip_of({"1.dcm": noise(1)}),
    "no instance": zip_of({f"{n}.txt": b"text" * n for n in range(900)}),
    "empty": zip_of({}, comment=b"c" * 9_000),
    "empty folders": zip_of({f"{n}/": b"" for n in range(200)}),
    "encrypted": damaged(damaged(zip_of(MANY), b"PK\x01\x02", b"PK\x01\x02\x14\0\x14\0\1"), b"PK\x03\x04", b"PK\x03\x04\x14\0\1"),
    "member damaged": damaged(zip_of(MANY, zipfile.ZIP_STORED), b"DICM", b"XXXX" * 30),
    "directory damaged": damaged(zip_of(MANY), b"PK\x01\x02", b"\xff" * 20),
    "end of directory damaged": damaged(shuffled(zip_of(MANY)), b"PK\x05\x06", b"\xff" * 10),
    "wide": with_entries(zip_of(MANY), wide),
    "wide beyond everything": with_entries(zip_of(MANY), lambda e: wide(e, e[46] % 2 * (2**64 - 90_000))),
    "wide behind a program": bytes(20_000) + with_entries(zip_of(MANY), wide),
    "wide field too short": with_entries(zip_of(MANY), lambda e: wide(e).replace(b"\1\0\x18\0", b"\1\0\x10\0")),
    "extra field cut": with_entries(zip_of(MANY), extra(b"\x55\x54\x09\0ab")),
    "many extra fields": with_entries(zip_of(MANY), extra(b"\x55\x54\0\0" * 20)),
    "unicode path": with_entries(zip_of(MANY), extra(struct.pack("<HHBL", 0x7075, 6, 1, 0) + b"x")),
    "version of the future": with_entries(zip_of(MANY), lambda e: e[:6] + b"\xfa" + e[7:]),
    "names": zip_of({f"{c}/{n}": noise(n) for n, c in enumerate("aäß日ø")}),
    "names that are none": with_entries(zip_of({f"ä{n}": noise(n) for n in range(9)}), lambda e: e.replace(b"\xc3", b"\xff")),
    "names with zeros": with_entries(zip_of(MANY), lambda e: e.replace(b".dcm", b"/\0cm")),
    "truncated": zip_of(MANY)[:-300],
    "half": zip_of(MANY)[: len(zip_of(MANY)) // 2],
    "zeros": bytes(10_000),
    "text": b"not that" * 2_000,
    "tar": tar_of(MANY),
    "tar.gz": tar_of(MANY, "w:gz"),
    "gzip of nothing": tar_of({}, "w:gz"),
    "DICOM": bulky(1, 9_000),
    "DICOM that begins as a zip": b"PK\x03\x04" + bulky(1, 9_000)[4:],
    "7z": b"7z\xbc\xaf\x27\x1c" + bytes(9_000),
    "same offset": at_offsets(lambda _number, offset: offset // 30_000 * 30_000),
    "behind the end": at_offsets(lambda number, offset: offset + number % 2 * 2**31),
    "before the beginning": zip_of(MANY)[900:],
}  # fmt: skip


def in_pieces(row: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Give the rows of one file for its row."""
    return [{**row, "piece": number, "pieces": count} for number in range(count)]


def told(reading: Any) -> tuple[Any, ...]:
    """Give what of a reading must not depend on how it was cut."""
    tables = (reading.instances, reading.failures)
    tally = (reading.tally.files, reading.tally.members, reading.tally.containers)
    return *(sorted(map(repr, without_row(table))) for table in tables), tally


def without_row(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give rows without the number of the row of the manifest."""
    return [{name: value for name, value in row.items() if name != "row"} for row in table]


# -- reading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("singly", [False, True], ids=["together", "singly"])
@pytest.mark.parametrize("count", [2, 3, 16])
@pytest.mark.parametrize("kind", ARCHIVES)
def test_pieces_come_to_the_whole(tmp_path: Path, kind: str, count: int, singly: bool) -> None:
    """Whatever lies in a zip or under its name: every row once, every word as without the cut."""
    (tmp_path / "a.zip").write_bytes(ARCHIVES[kind])
    name, [row] = manifest_of(tmp_path)
    whole = read_rows(name, [row], singly=singly)
    cut = read_rows(name, in_pieces(row, count), singly=singly)
    assert cut.accounted
    assert told(whole) == told(cut)
    parts = [read_rows(name, [one], singly=singly) for one in in_pieces(row, count)]
    assert all(part.accounted for part in parts)
    assert sum(len(part.instances) for part in parts) == len(whole.instances)
    assert 1 == sum(part.tally.files for part in parts)


@settings(max_examples=examples(60))
@given(
    sizes=st.lists(st.integers(0, 60_000), max_size=12),
    count=st.integers(1, 16),
    seed=st.integers(0, 9),
    before=st.integers(0, 50_000),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]),
)
def test_any_number_of_pieces_comes_to_the_whole(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    count: int,
    seed: int,
    before: int,
    method: int,
) -> None:
    """Members of any size, in any order, behind anything."""
    folder = tmp_path_factory.mktemp("pieces")
    members = {f"{n}.dcm": noise(n, size) for n, size in enumerate(sizes)}
    (folder / "a.zip").write_bytes(bytes(before) + shuffled(zip_of(members, method), seed))
    name, [row] = manifest_of(folder)
    assert told(read_rows(name, [row])) == told(read_rows(name, in_pieces(row, count)))


@given(st.integers(-(2**70), 2**70), st.integers(0, 2**63 - 1), st.integers(1, 16))
def test_every_offset_is_of_one_piece(offset: int, size: int, count: int) -> None:
    """Whatever a directory says, and shares are all of a file."""
    pieces = [Piece(number, count) for number in range(count)]
    bounds = [piece.bounds(size) for piece in pieces]
    held = [(a is None or a <= offset) and (b is None or offset < b) for a, b in bounds]
    assert 1 == sum(held)
    assert size == sum(piece.share(size) for piece in pieces)


@pytest.mark.parametrize("damage", [False, True])
def test_a_directory_that_is_read_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bool
) -> None:
    """What lies before damage in the middle of a large directory is read; the damage is told once."""
    monkeypatch.setattr(zip_directory, "LARGE", 300)
    monkeypatch.setattr(zip_directory, "_PART", 200)
    archive = zip_of(MANY)
    if damage:
        spot = archive.index(b"PK\x01\x02") + 400
        spot = archive.index(b"PK\x01\x02", spot)
        archive = archive[:spot] + b"\xff" * 30 + archive[spot + 30 :]
    (tmp_path / "a.zip").write_bytes(archive)
    name, [row] = manifest_of(tmp_path)
    whole, cut = read_rows(name, [row]), read_rows(name, in_pieces(row, 5))
    assert told(whole) == told(cut)
    assert (damage, 0 < len(whole.instances)) == (bool(whole.failures), True)


@pytest.mark.parametrize("seconds", [1, 2, 3])
def test_what_is_of_the_hour_each_piece_tells_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    """A piece that cannot be read is a row that says which, and the others are read."""
    (tmp_path / "a.zip").write_bytes(ARCHIVES["stored"])
    name, [row] = manifest_of(tmp_path)
    whole = read_rows(name, [row])
    real, calls = os.open, [0]

    def refuse(path: Any, *what: Any) -> int:
        if os.fsdecode(path).endswith("a.zip"):
            calls[0] += 1
            if calls[0] == seconds:
                raise PermissionError(13, "no")
        return real(path, *what)

    monkeypatch.setattr(os, "open", refuse)
    cut = read_rows(name, in_pieces(row, 3), singly=True)
    assert cut.accounted
    assert [("access_denied", f"piece {seconds} of 3: permission denied")] == [
        (row["kind"], row["message"]) for row in cut.failures
    ]
    assert 0 < len(cut.instances) < len(whole.instances)


def test_a_read_that_is_refused_is_not_taken_for_what_the_first_piece_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the disk keeps one piece from seeing that it is a zip, that piece says so."""
    (tmp_path / "a.zip").write_bytes(ARCHIVES["stored"])
    name, [row] = manifest_of(tmp_path)

    class Refusing(io.FileIO):
        def read(self, count: int | None = -1) -> bytes:
            if self.tell() > len(ARCHIVES["stored"]) - 1000:
                raise OSError(5, "I/O error")
            return super().read(-1 if count is None else count)

    first = read_rows(name, in_pieces(row, 3)[:1])
    monkeypatch.setattr("dcmdask.source.folders.disk.io.FileIO", Refusing)
    last = read_rows(name, in_pieces(row, 3)[2:])
    assert first.accounted
    assert last.accounted
    assert ["piece 3 of 3: the zip is damaged (BadZipFile)"] == [*last.messages.values()]


# -- listing ---------------------------------------------------------------------------------------


def listed(folder: Path, pieces: Path, partition_size: int = 4096) -> Listing:
    """List a folder where nothing is known."""
    pieces.mkdir()
    growing = write_manifest(
        open_roots([str(folder)]),
        Known(pieces, ""),
        PieceWriter(pieces),
        partition_size=partition_size,
        leave_out=frozenset(),
        wanted=RunOptions().wanted(),
    )
    return list(growing)[-1]


def test_large_zips_are_several_rows_and_one_file(tmp_path: Path) -> None:
    """Only a zip is cut, only by its size, and people see one file."""
    folder = tmp_path / "in"
    folder.mkdir()
    sizes = {"a.zip": 1024**3, "b.ZIP": 1024**3 + 1, "c.zip": 2**36, "d.tar": 2**36, "e": 2**36}
    for name, size in sizes.items():
        with open(folder / name, "wb") as file:
            file.truncate(size)
    found = listed(folder, tmp_path / "pieces")
    assert (5, 4, 5) == (found.files, found.archives, found.to_read)
    assert (sum(sizes.values()),) * 2 == (found.bytes, found.bytes_to_read)
    assert 1 + 2 + 16 + 1 + 1 == found.rows
    cuts = [read_manifest(partition).to_pylist() for partition in found.partitions]
    assert [1, 1, 1, *[1] * 16, 1, 1] == [len(rows) for rows in cuts]
    assert list(range(16)) == [row["piece"] for [row] in cuts if row["path"] == "c.zip"]
    positions = [partition.position for partition in found.partitions]
    assert sorted(set(positions)) == positions


# -- the catalog -----------------------------------------------------------------------------------


def fill(folder: Path) -> Path:
    """Write archives of every kind, and files beside them."""
    for number, (kind, content) in enumerate(ARCHIVES.items()):
        case = folder / f"case{number % 4}"
        case.mkdir(parents=True, exist_ok=True)
        (case / f"{kind}.zip").write_bytes(content)
        (case / f"{number}.dcm").write_bytes(encode({"SOPInstanceUID": f"1.2.9.{number}"}))
    (folder / "top.zip").write_bytes(ARCHIVES["deflated"])
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give archives of every kind, and files beside them."""
    return fill(tmp_path_factory.mktemp("pieces") / "exports")


@pytest.fixture(scope="module")
def uncut(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the catalog without pieces."""
    out = tmp_path_factory.mktemp("uncut") / "out"
    crawl(source, out, **OPTIONS)
    return out


@settings(max_examples=examples(10), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.sampled_from([1, 500, 4_000, 20_000, 100_000]),
    most=st.integers(2, 16),
    partition_size=st.sampled_from([1, 3, 7, 40, 5000]),
)
def test_pieces_and_partitions_decide_nothing(
    source: Path,
    uncut: Path,
    tmp_path_factory: pytest.TempPathFactory,
    size: int,
    most: int,
    partition_size: int,
) -> None:
    """However archives are cut and put into tasks, the catalog is the same, and so are its counts."""
    out = tmp_path_factory.mktemp("cut") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "PIECE_BYTES", size)
        patch.setattr(listing, "MOST_PIECES", most)
        catalog = crawl(source, out, partition_size=partition_size, **OPTIONS)
        files = sum(path.is_file() for path in source.rglob("*"))
        assert (files, 0, 0, 0) == changes(catalog)
        assert published(uncut) == published(out)
        assert rows(uncut).equals(rows(out))
        assert counts(Catalog(uncut)) == counts(catalog)
        again = crawl(source, out, partition_size=partition_size, **OPTIONS)
        assert (0, 0, 0, files) == changes(again)
        assert published(uncut) == published(out)
        # No file of the input is opened for that.
        found = plan([str(source)], RunOptions(out=str(out)), tmp_path_factory.mktemp("plan"))
        assert (0, files) == (found.listing.to_read, found.listing.files)


def pieces_of(out: Path) -> list[tuple[str, int, int]]:
    """Give path and piece of all rows that the parts of an output answer for."""
    parts = out / ".dcmdask" / "parts"
    columns = ("path", "piece", "pieces")
    found = [
        tuple(row[name] for name in columns)
        for stem in list_stems(parts)
        for row in read_part(parts, stem, "read", columns).to_pylist()
    ]
    return sorted(found)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut zips of kilobytes."""
    monkeypatch.setattr(listing, "PIECE_BYTES", CUT)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("partition_size", [1, 2, 50])
def test_a_changed_archive_drops_all_old_pieces(tmp_path: Path, partition_size: int) -> None:
    """It grows, shrinks, is cut in more pieces or in none: one file has changed."""
    source, out = tmp_path / "in", tmp_path / "out"
    (source / "P1").mkdir(parents=True)
    (source / "P1" / "1.dcm").write_bytes(instance(99))
    options = {**OPTIONS, "partition_size": partition_size, "allow_shrink": True}
    archive = source / "P1" / "a.zip"
    expected = [(2, 0, 0, 0), *[(0, 1, 0, 1)] * 4, (0, 0, 1, 1), (1, 0, 0, 1)]
    for number, members in enumerate([5, 11, 7, 1, 9, 0, 11]):
        archive.unlink(missing_ok=True)
        if members:
            chosen = dict([*MANY.items()][:members])
            archive.write_bytes(zip_of(chosen, zipfile.ZIP_STORED))
            os.utime(archive, (number, number))
        catalog = crawl(source, out, **options)
        assert expected[number] == changes(catalog)
        assert members + 1 == catalog.run["counts"]["instances"]
        found = {cut for path, _, cut in pieces_of(out) if path == "P1/a.zip"}
        assert found == ({max(-(-archive.stat().st_size // CUT), 1)} if members else set())
        assert_as_full(source, out, tmp_path)


@pytest.mark.usefixtures("small")
def test_a_representative_in_a_piece_is_read_again_there(tmp_path: Path) -> None:
    """Of an archive that has not changed only the piece with the next representative is read."""
    source, out = tmp_path / "in", tmp_path / "out"
    (source / "P1").mkdir(parents=True)
    members = {}
    for number in range(2, 12):
        values = {"SeriesInstanceUID": f"1.2.{number // 11}", "KVP": str(100 + number)}
        content = noise(number, 20_000)
        members[f"{number}.dcm"] = instance(number, **values) + content[len(instance(number)) :]
    first = source / "P1" / "0.dcm"
    first.write_bytes(instance(0, SeriesInstanceUID="1.2.1", KVP="90"))
    (source / "P1" / "a.zip").write_bytes(zip_of(members, zipfile.ZIP_STORED))
    options = {**OPTIONS, "partition_size": 1}
    crawl(source, out, **options)
    pieces = pieces_of(out)
    assert 1 + 16 == len(pieces)
    first.unlink()
    catalog = crawl(source, out, **options)
    assert (0, 0, 1, 1) == changes(catalog)
    assert pieces[1:] == pieces_of(out)
    assert {111.0, 102.0} == set(catalog.crawl_db["KVP"].to_pylist())
    assert_as_full(source, out, tmp_path)


@pytest.mark.usefixtures("small")
@pytest.mark.skipif(sys.platform == "win32", reason="children of POSIX")
def test_a_piece_that_hangs_costs_itself_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other pieces are read; the next run reads that one only, and all is well."""
    source, out = tmp_path / "in", tmp_path / "out"
    (source / "P1").mkdir(parents=True)
    archive = source / "P1" / "a.zip"
    archive.write_bytes(zip_of(MANY, zipfile.ZIP_STORED))
    (source / "P1" / "z.dcm").write_bytes(instance(99))
    hook = tmp_path / "site"
    hook.mkdir()
    # The third time it is opened (the first piece is opened twice), that hangs, once.
    (hook / "sitecustomize.py").write_text(
        "import os, sys, time\n"
        f"hung = {str(hook / 'hung')!r}\n"
        "seen = [0]\n"
        "def audit(event, args):\n"
        "    if event == 'open' and isinstance(args[0], (str, bytes)):\n"
        "        if os.fsencode(args[0]).endswith(b'a.zip'):\n"
        "            seen[0] += 1\n"
        "            if seen[0] == 3 and not os.path.exists(hung):\n"
        "                os.mkdir(hung)\n"
        "                time.sleep(600)\n"
        "sys.addaudithook(audit)\n"
    )
    options = {**OPTIONS, "partition_size": 50, "read_timeout": 2.0}
    with monkeypatch.context() as patch:
        patch.setattr(sys, "path", [str(hook), *sys.path])
        catalog = crawl(source, out, **options)
    (failure,) = catalog.failures.to_pylist()
    assert (Kind.TIMEOUT, "P1/a.zip") == (failure["kind"], failure["path"])
    count = len([one for one in pieces_of(out) if one[0] == "P1/a.zip"])
    assert f"piece 2 of {count}: no progress for 2 s while reading it" == failure["message"]
    assert (2, 1) == (catalog.run["counts"]["files"], catalog.run["counts"]["failures"])
    assert 1 < catalog.run["counts"]["instances"] < 12
    again = crawl(source, out, **options)
    assert (0, 1, 0, 1) == changes(again)
    assert (0, 12) == (again.failures.num_rows, again.run["counts"]["instances"])
    assert again.run["counts"]["bytes_read"] < catalog.run["counts"]["bytes_read"] / 2
    assert_as_full(source, out, tmp_path)


@pytest.mark.usefixtures("small")
def test_unchanged_pieces_are_not_opened(tmp_path: Path) -> None:
    """What the archive holds now does not matter, as of any file that has not changed."""
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for name in ("a.zip", "b.zip"):
        (source / name).write_bytes(zip_of(MANY, zipfile.ZIP_STORED))
    crawl(source, out, **OPTIONS)
    before = rows(out)
    spoil(source / "a.zip")
    (source / "b.zip").unlink()
    (source / "c.dcm").write_bytes(instance(99))
    again = crawl(source, out, **OPTIONS)
    assert (1, 0, 1, 1) == changes(again)
    assert before.num_rows // 2 + 1 == rows(out).num_rows
