"""Archives in a bucket: the same rows as of the same files in a folder, and the same members."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from pathlib import Path

import fsspec
import pytest
from buckets.reading import read_bucket, read_url, remote_options, without_place
from servers import Bucket, Seaweed, fresh
from source.making import (
    Reading,
    bulky,
    instance,
    noise,
    old_tar_of,
    read_folder,
    tar_of,
    zip_of,
)

MEMBERS = {
    "a.dcm": instance(1),
    "in/b.dcm": noise(2),
    "in/\u00e4\u65e5 #%?.dcm": noise(3, 100),
    "in/deep/c.dcm": bulky(4, 300_000),
    "notes.txt": b"text",
    "empty": b"",
    "long.dcm": instance(5, StudyDescription="x" * 60, ImageComments="y" * 9000, KVP="120"),
}


def _zip64() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in MEMBERS.items():
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                member.write(content)
    return stream.getvalue()


class _Unseekable(io.RawIOBase):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:
        self.parts.append(bytes(data))
        return len(data)


def _with_descriptors() -> bytes:
    stream = _Unseekable()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in MEMBERS.items():
            archive.writestr(name, content)
    return b"".join(stream.parts)


def _encrypted() -> bytes:
    content = bytearray(zip_of({"a.dcm": noise(1), "b.dcm": noise(2)}))
    for signature, spot in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + spot] |= 1
    return bytes(content)


def _many() -> bytes:
    return zip_of({f"{n}.dcm": instance(n) for n in range(700)}, zipfile.ZIP_STORED)


ZIP, STORED = zip_of(MEMBERS), zip_of(MEMBERS, zipfile.ZIP_STORED)
FILES = {
    "deflated.zip": ZIP,
    "stored.zip": STORED,
    "comment.zip": zip_of(MEMBERS, comment=b"c" * 60_000),
    "zip64.zip": _zip64(),
    "descriptors.zip": _with_descriptors(),
    "many.zip": _many(),
    "\u00e4 name.zip": ZIP,
    "scan.dcm": ZIP,
    "tar.zip": tar_of(MEMBERS),
    "self-extracting.zip": b"#!/bin/sh\n" * 2000 + STORED,
    "encrypted.zip": _encrypted(),
    "truncated.zip": STORED[:-5000],
    "cut in the middle.zip": ZIP[: len(ZIP) // 2],
    "changed inside.zip": STORED.replace(b"DICM", b"DICX"),
    "no members.zip": zip_of({}),
    "none.zip": b"text",
    "empty.zip": b"",
    "nested.zip": zip_of(
        {"in.zip": ZIP, "in.tar": tar_of(MEMBERS), "in.tgz": tar_of(MEMBERS, "w:gz")}
    ),
    "nested stored.zip": zip_of({"in.zip": STORED, "x.dcm": instance(9)}, zipfile.ZIP_STORED),
    "nested twice.zip": zip_of({"in.zip": zip_of({"in.zip": ZIP})}),
    "plain.tar": tar_of(MEMBERS),
    "equal.tar": tar_of({f"{n}.dcm": noise(n, 70_000) for n in range(20)}),
    "old.tar": old_tar_of({"a.dcm": instance(1), "b.dcm": noise(2)}),
    "nested.tar": tar_of({"in.zip": STORED, "in.tar.xz": tar_of(MEMBERS, "w:xz")}),
    "truncated.tar": tar_of(MEMBERS)[:200_000],
    "a.tar.gz": tar_of(MEMBERS, "w:gz"),
    "a.tgz": tar_of(MEMBERS, "w:gz"),
    "a.tar.bz2": tar_of(MEMBERS, "w:bz2"),
    "a.tar.xz": tar_of(MEMBERS, "w:xz"),
    "truncated.tar.gz": tar_of(MEMBERS, "w:gz")[:-3000],
    "one.dcm.gz": gzip.compress(noise(1)),
    "one.dcm.bz2": bz2.compress(bulky(2)),
    "one.dcm.xz": lzma.compress(instance(3)),
    "loose.dcm": noise(77),
    "long.dcm": MEMBERS["long.dcm"],
    "short": instance(1)[:100],
    "cut.dcm": instance(1)[:200],
}


@pytest.fixture(scope="module")
def place(seaweed: Seaweed) -> Bucket:
    """Give a bucket of all of them, below a name as the folder has it."""
    parent = fresh(seaweed)
    below = Bucket(parent.server, parent.name, f"{parent.prefix}in/")
    for name, content in FILES.items():
        below.put(name, content)
    return below


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Reading:
    """Give what is read of them in a folder."""
    folder = tmp_path_factory.mktemp("local") / "in"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return read_folder(folder)


@pytest.mark.parametrize("settings", [{}, {"join_gap": 0, "requests": 1}], ids=["usual", "narrow"])
def test_rows_are_those_of_a_folder(
    place: Bucket, local: Reading, settings: dict[str, int]
) -> None:
    """Instances and failures, row for row, of every kind of archive and damage."""
    reading = read_bucket(place, **settings)
    for name in ("instances", "failures"):
        expected, actual = (_by_file(getattr(one, name)) for one in (local, reading))
        assert expected.keys() == actual.keys()
        for file, rows in expected.items():
            assert rows == actual[file], file


def _by_file(rows: list[dict[str, object]]) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = {}
    for row in without_place(rows):
        row.pop("row", None)
        found.setdefault(str(row["path"]).partition("!")[0], []).append(row)
    return found


def test_rows_are_the_same_one_at_a_time(place: Bucket) -> None:
    """As where one file was found to end the process that reads it."""
    together, singly = (
        read_url(place.url, remote_options(place.options), singly=singly)
        for singly in (False, True)
    )
    assert without_place(together.instances) == without_place(singly.instances)
    assert without_place(together.failures) == without_place(singly.failures)


def test_urls_of_members_open(place: Bucket) -> None:
    """What a table calls a member is what fsspec gives, out of the bucket."""
    seen: set[str] = set()
    content = {f"1.2.3.4.{n}" for n in range(10)}
    for row in read_bucket(place).instances:
        file = row["path"].partition("!")[0]
        # One member of each kind of archive; one that is damaged cannot be opened.
        if (
            file in seen
            or file.startswith(("many", "equal", "trunc", "cut"))
            or row["SOPInstanceUID"] not in content
        ):
            continue
        seen.add(file)
        s3 = place.options if row["url"].startswith("s3:") else {"s3": place.options}
        with fsspec.open(row["url"], **s3) as stream:
            head = stream.read(2000)
        assert row["SOPInstanceUID"].encode() in head, row["url"]
    assert len(seen) > 15


@pytest.mark.parametrize("name", ["deflated.zip", "plain.tar", "a.tar.gz"])
def test_one_archive_is_a_source(place: Bucket, tmp_path: Path, name: str) -> None:
    """Named by its url, its rows are those of the file named by its path."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(FILES[name])
    expected = read_folder(tmp_path / "in")
    reading = read_url(f"{place.url}/{name}", remote_options(place.options))
    assert without_place(expected.instances) == without_place(reading.instances)
    assert expected.kinds == reading.kinds
