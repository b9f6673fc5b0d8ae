"""Take a member of an archive; open it, and give its first bytes, or the failure that it is."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, cast

from dcmdask.dicom.windows import WINDOW
from dcmdask.errors import HeaderError
from dcmdask.source.archives.damage import judged
from dcmdask.source.archives.limits import section
from dcmdask.source.archives.member_stream import DAMAGE, LARGEST_HEADER, Forward, reason
from dcmdask.source.archives.metered_file import Counted
from dcmdask.source.archives.streams import Over
from dcmdask.source.archives.zip_format import LOCAL, LOCAL_SIGNATURE, UTF8
from dcmdask.source.archives.zip_members import Member, data_offset
from dcmdask.source.archives.zip_names import raw_name
from dcmdask.types import Failure, Kind, Place, Window

STAGE = "fetch"

_FLAGS_AT = 6
_LENGTH_AT = 26


def stored_in_zip(stream: IO[bytes], info: zipfile.ZipInfo) -> IO[bytes] | None:
    """Return a member of a zip where it lies as it is; None where it is compressed."""
    start = data_offset(stream, info)
    return None if start is None else section(stream, start, info.file_size)


def stored_in_tar(stream: IO[bytes], info: tarfile.TarInfo) -> IO[bytes] | None:
    """Return a member of a tar where it lies as it is; None where nothing can be read twice."""
    # Of a compressed tar nothing can be.
    if not isinstance(stream, Counted) or info.issparse():
        return None
    return section(stream, info.offset_data, info.size)


def not_stored() -> None:
    """Return nothing: what was compressed by itself does not lie anywhere as it is."""
    return


def head_of(stream: Forward, member: Place) -> bytes | Failure:
    """Return the first bytes of a member, or the failure that it is."""
    try:
        return stream.fetch(0, WINDOW)
    except HeaderError as error:
        return Failure(member, Kind(error.kind), error.message, STAGE)


def refusal(place: Place, error: OSError) -> Failure:
    """Return the failure of a file that the system does not give."""
    kind, words = reason(error)
    return Failure(place, kind, words, STAGE)


def open_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, member: Place, beat: Callable[[], None]
) -> IO[bytes] | Failure:
    """Open a member of a zip.

    Parameters
    ----------
    archive, info, member
        Which one.
    beat : callable
        Told that the archive goes on: of one that lies in memory nothing else tells.
    """
    beat()
    if info.flag_bits & 1:
        return Failure(member, Kind.ENCRYPTED_ARCHIVE, "the member is encrypted", STAGE)
    try:
        return open_info(archive, info)
    except HeaderError as error:
        return Failure(member, Kind(error.kind), error.message, STAGE)
    except NotImplementedError:
        words = f"it is compressed by method {info.compress_type}, which is not read"
        return Failure(member, Kind.CORRUPT_ARCHIVE, words, STAGE)
    except (*DAMAGE, RuntimeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            return refusal(member, error)
        return Failure(member, *judged("zip", error), STAGE)


def open_info(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    """Open a member of a zip, also where only the marks of its name differ in its two headers.

    Raises
    ------
    Exception
        Whatever `zipfile` raises.
    """
    try:
        return archive.open(info)
    except (zipfile.BadZipFile, UnicodeDecodeError):
        name = _local_name(archive, info)
        if name is None or name.replace(b"\\", b"/") != raw_name(info).replace(b"\\", b"/"):
            raise
    stream, stored = archive.fp, info.orig_filename
    try:
        archive.fp = cast(IO[bytes], _Unmarked(cast(IO[bytes], stream), info.header_offset))
        info.orig_filename = name.decode("cp437")
        return archive.open(info)
    finally:
        archive.fp, info.orig_filename = stream, stored


def _local_name(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes | None:
    """Return the name in the header before a member."""
    stream = cast(IO[bytes], archive.fp)
    stream.seek(info.header_offset)
    head = stream.read(LOCAL.size)
    if len(head) < LOCAL.size or not head.startswith(LOCAL_SIGNATURE):
        return None
    return stream.read(int.from_bytes(head[_LENGTH_AT : _LENGTH_AT + 2], "little"))


class _Unmarked(Over):
    """A zip in which the header of one member does not mark its name as UTF-8."""

    def __init__(self, stream: IO[bytes], offset: int) -> None:
        super().__init__(stream)
        self._offset = offset

    def read(self, count: int = -1) -> bytes:
        at = self._stream.tell()
        found = self._stream.read(count)
        if at != self._offset or len(found) < LOCAL.size:
            return found
        changed = bytearray(found)
        changed[_FLAGS_AT + 1] &= ~(UTF8 >> 8) & 0xFF
        return bytes(changed)


def more_of_member(found: Member, offset: int, row: memoryview, beat: Callable[[], None]) -> int:
    """Read on in a member of a zip; return how many bytes came."""
    archive, info, place, budget = found
    opened = open_member(archive, info, place, beat)
    if isinstance(opened, Failure):
        return 0
    with opened:
        try:
            piece = Forward(opened, budget).fetch(offset, len(row))
        except HeaderError:
            return 0
    row[: len(piece)] = piece
    return len(piece)


@contextmanager
def reopen_member(found: Member, beat: Callable[[], None]) -> Iterator[Window | Failure]:
    """Open a member of a zip again; give its window, or the failure that it has become."""
    archive, info, place, budget = found
    opened = open_member(archive, info, place, beat)
    if isinstance(opened, Failure):
        yield opened
        return
    with opened:
        stream = Forward(opened, budget)
        head = head_of(stream, place)
        if isinstance(head, Failure):
            yield head
            return
        yield Window(place, head, stream.fetch if len(head) == WINDOW else None, LARGEST_HEADER)
