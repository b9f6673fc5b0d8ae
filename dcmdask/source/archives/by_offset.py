"""Take the URL of a member by where its header begins; give the member, as fsspec wants it.

A name does not open every member: two may have the same, a zip may be cut off before its directory,
and some names are none that a URL can hold. Registered under ``fsspec.specs``:
``member://000000001234/in/b.dcm::file:///a.zip``. What stands behind the number is for people.
"""

from __future__ import annotations

from typing import IO, cast

from dcmdask.dicom.windows import WINDOW
from dcmdask.source.archives.codecs import OPENERS
from dcmdask.source.archives.compressed import InnerFileSystem
from dcmdask.source.archives.limits import StrictTarInfo, open_tar
from dcmdask.source.archives.opening import open_info
from dcmdask.source.archives.sniff import archive_kind
from dcmdask.source.archives.zip_directory import open_zips
from dcmdask.source.places import BY_OFFSET


class MemberFileSystem(InnerFileSystem):
    """A file system of the members of a zip or tar, compressed or not, by their offsets."""

    protocol = BY_OFFSET

    def give(self, path: str) -> IO[bytes]:
        """Return the member whose header begins at the number that a path begins with."""
        number, _, _ = path.partition("/")
        if not number.isdecimal():
            raise FileNotFoundError(path)
        stream = cast(IO[bytes], self.fo)
        kind = archive_kind(stream.read(WINDOW))
        stream.seek(0)
        if kind in OPENERS:
            stream = OPENERS[kind](stream)
            kind = "tar"
        found = _of_tar(stream, int(number)) if kind == "tar" else _of_zip(stream, int(number))
        if found is None:
            raise FileNotFoundError(path)
        return found


def _of_zip(stream: IO[bytes], offset: int) -> IO[bytes] | None:
    for archive, members, *_ in open_zips(stream):
        for info in members:
            if info.header_offset == offset:
                return open_info(archive, info)
    return None


def _of_tar(stream: IO[bytes], offset: int) -> IO[bytes] | None:
    for archive, info in open_tar(stream, StrictTarInfo):
        if info is not None and info.offset == offset:
            return archive.extractfile(info)
    return None
