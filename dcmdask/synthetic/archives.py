"""Take the files of a patient; write them as a folder or as an archive.

Each way takes the path of a patient without a suffix, and gives how many files there are of it now and
their bytes.
"""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO, Final, TypeAlias

Member: TypeAlias = tuple[str, bytes]
"""Name, with slashes, and content."""

_UNIX: Final = 3
_MODE: Final = 0o644


def _write_folder(base: Path, members: Iterable[Member]) -> tuple[int, int]:
    files = size = 0
    made = set()
    for name, content in members:
        folder, _, last = name.partition("/")
        if folder not in made:
            (base / folder).mkdir(parents=True)
            made.add(folder)
        with open(f"{base}/{folder}/{last}", "wb") as file:
            size += file.write(content)
        files += 1
    return files, size


def _write_zip(base: Path, members: Iterable[Member]) -> tuple[int, int]:
    path = base.with_name(f"{base.name}.zip")
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            member = zipfile.ZipInfo(name)  # its time is 1980-01-01
            member.compress_type = zipfile.ZIP_DEFLATED
            member.create_system = _UNIX
            member.external_attr = _MODE << 16
            archive.writestr(member, content)
    return 1, path.stat().st_size


def _write_tar(base: Path, members: Iterable[Member]) -> tuple[int, int]:
    path = base.with_name(f"{base.name}.tar")
    with path.open("wb") as file:
        _fill_tar(file, members)
    return 1, path.stat().st_size


def _write_tar_gz(base: Path, members: Iterable[Member]) -> tuple[int, int]:
    path = base.with_name(f"{base.name}.tar.gz")
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed,
    ):
        _fill_tar(packed, members)
    return 1, path.stat().st_size


def _fill_tar(file: IO[bytes] | gzip.GzipFile, members: Iterable[Member]) -> None:
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)  # of time 0, user 0, group 0
            member.size = len(content)
            member.mode = _MODE
            archive.addfile(member, io.BytesIO(content))


ARCHIVES: Final[Mapping[str, Callable[[Path, Iterable[Member]], tuple[int, int]]]] = (
    MappingProxyType(
        {"none": _write_folder, "zip": _write_zip, "tar": _write_tar, "tar.gz": _write_tar_gz}
    )
)
"""How files of a patient are kept, by the name that a user gives it."""
