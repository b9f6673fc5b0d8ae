"""Makes archives of every kind, and lists and reads a folder of them without a child process."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from support import encode

from dcmdask.header.reader import read_headers
from dcmdask.source.archives.tar_names import with_urls
from dcmdask.source.fetch import Fetcher
from dcmdask.source.folders.local import list_root, root_of
from dcmdask.source.places import Roots
from dcmdask.source.watch import Tally
from dcmdask.tables.schema import MANIFEST

Members = Mapping[str, bytes]

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


def instance(number: int = 1, **values: Any) -> bytes:
    """Give an instance that its number tells from others."""
    return encode({"SOPInstanceUID": f"1.2.3.4.{number}", "InstanceNumber": number, **values})


def bulky(number: int, size: int = 2_000_000) -> bytes:
    """Give an instance with pixel data of some size behind its header."""
    return instance(number) + b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<L", size) + bytes(size)


def noise(number: int, size: int = 40_000) -> bytes:
    """Give an instance with pixel data that no compression makes smaller."""
    content = random.Random(number).randbytes(size)
    return instance(number) + b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<L", size) + content


def zip_of(
    members: Members, compression: int = zipfile.ZIP_DEFLATED, comment: bytes = b""
) -> bytes:
    """Give a zip of some members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.comment = comment
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return stream.getvalue()


def tar_of(members: Members, mode: str = "w", layout: int = tarfile.PAX_FORMAT) -> bytes:
    """Give a tar of some members; a mode of ``w:gz`` and the like compresses it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode, format=layout) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def checksummed(header: bytes) -> bytes:
    """Give a tar header with the checksum of what stands in it."""
    blank = header[:148] + b" " * 8 + header[156:]
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]


def old_tar_of(members: Members) -> bytes:
    """Give a tar of 1979: no magic, no version, only a checksum."""
    blocks = []
    for name, content in members.items():
        header = bytearray(512)
        header[:100] = name.encode().ljust(100, b"\0")
        numbers = b"%07o\0%07o\0%07o\0%011o\0%011o\0"
        header[100:148] = numbers % (0o644, 0, 0, len(content), 0)
        blocks += [checksummed(bytes(header)), content, bytes(-len(content) % 512)]
    return b"".join(blocks) + bytes(1024)


@dataclass(frozen=True)
class Reading:
    """What came of a folder.

    Attributes
    ----------
    tally : Tally
        What fetching counted.
    instances, failures : list of dict
        Rows of the two tables.
    """

    tally: Tally
    instances: list[dict[str, Any]]
    failures: list[dict[str, Any]]

    @property
    def paths(self) -> list[str]:
        """Paths of the instances, sorted: the order of rows is no promise."""
        return sorted(row["path"] for row in self.instances)

    @property
    def kinds(self) -> dict[str, str]:
        """Path to kind of everything that gave no instance."""
        return {row["path"]: row["kind"] for row in self.failures}

    @property
    def messages(self) -> dict[str, str]:
        """Path to message of everything that gave no instance."""
        return {row["path"]: row["message"] for row in self.failures}

    @property
    def accounted(self) -> bool:
        """Whether files and members listed are instances and failures."""
        listed = self.tally.files + self.tally.members - self.tally.containers
        return listed == len(self.instances) + len(self.failures)


def manifest_of(folder: Path) -> tuple[str, list[dict[str, Any]]]:
    """Give the name of a root and its manifest rows."""
    root = root_of(str(folder))
    rows = [dict(zip(MANIFEST.names, (0, *entry), strict=True)) for entry in list_root(root)]
    return root.name, rows


def read_rows(name: str, rows: Sequence[Mapping[str, Any]], *, singly: bool = False) -> Reading:
    """Read manifest rows in this process, as a worker does or every file by itself."""
    fetcher = Fetcher(Roots((name,)))
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=MANIFEST)
    found = fetcher.fetch_windows(rows) if singly else fetcher.fetch(table)
    tables = with_urls(read_headers(found, desensitize=False), fetcher.renamed)
    return Reading(fetcher.tally, tables.instances.to_pylist(), tables.failures.to_pylist())


def read_folder(folder: Path) -> Reading:
    """List and read a folder in this process."""
    reading = read_rows(*manifest_of(folder))
    assert reading.accounted
    return reading


def read_file(folder: Path, name: str, content: bytes) -> Reading:
    """Write one file and read its folder."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return read_folder(folder)
