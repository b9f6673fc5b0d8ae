"""Take a zip that has no directory; give one of the members that are whole, from its beginning.

Every member has a header before it (APPNOTE 4.3.7), and most say there how long they are. A zip that
was written as it was sent says so only behind each member (APPNOTE 4.3.9): there the end is looked
for, and is one where the length that stands there is the way that was gone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO, NamedTuple

from dcmdask.source.archives.zip_format import (
    BEHIND_SIGNATURE,
    ENTRY,
    ENTRY_SIGNATURE,
    FULL,
    LOCAL,
    LOCAL_SIGNATURE,
    UNSPLIT,
    WIDE,
)

_BEHIND = struct.Struct("<4s3L")
_BEHIND_WIDE = struct.Struct("<4sL2Q")
_MARKS = (UNSPLIT, BEHIND_SIGNATURE)
_SENT = 0x8
_VERSION = 45
_MOST = 64 * 1024 * 1024
"""Bytes of a directory that is made up: half a million members."""

_STEP = 1024 * 1024


class _Member(NamedTuple):
    """A member that is whole.

    Attributes
    ----------
    offset, end : int
        Where its header begins, and the next one may.
    flags, method, time, date, checksum, packed, size : int
        As its header has them, or what stands behind it.
    name : bytes
        Of it.
    """

    offset: int
    end: int
    flags: int
    method: int
    time: int
    date: int
    checksum: int
    packed: int
    size: int
    name: bytes


def salvaged_directory(stream: IO[bytes]) -> bytes:
    """Return the directory of the members that are whole, as far as one follows the other.

    Parameters
    ----------
    stream : file
        Of the archive; its position changes.
    """
    entries = bytearray()
    for member in _members(stream):
        entries += _entry(member)
        if len(entries) > _MOST:
            break
    return bytes(entries)


def _members(stream: IO[bytes]) -> Iterator[_Member]:
    size = stream.seek(0, 2)
    stream.seek(0)
    at = 4 if stream.read(4) in _MARKS else 0
    while (member := _member_at(stream, at, size)) is not None:
        yield member
        at = member.end


def _member_at(stream: IO[bytes], at: int, size: int) -> _Member | None:
    """Return the member whose header begins at an offset, if it is whole."""
    stream.seek(at)
    raw = stream.read(LOCAL.size)
    if len(raw) < LOCAL.size or not raw.startswith(LOCAL_SIGNATURE):
        return None
    _, _, flags, method, time, date, checksum, packed, length, of_name, of_extra = LOCAL.unpack(raw)
    name, extra = stream.read(of_name), stream.read(of_extra)
    begin = at + LOCAL.size + of_name + of_extra
    if FULL in (packed, length):
        length, packed = _wide_sizes(extra, length, packed)
    if flags & _SENT:
        found = _find_end(stream, begin, packed, size)
        if found is None:
            return None
        checksum, packed, length, end = found
    else:
        end = begin + packed
    if end > size:
        return None
    return _Member(at, end, flags, method, time, date, checksum, packed, length, name)


def _wide_sizes(extra: bytes, length: int, packed: int) -> tuple[int, int]:
    """Return the sizes in the extra field of large members (APPNOTE 4.5.3)."""
    at = 0
    while at + 4 <= len(extra):
        kind, count = struct.unpack_from("<2H", extra, at)
        if kind == WIDE and count >= 16 and at + 20 <= len(extra):
            wide = struct.unpack_from("<2Q", extra, at + 4)
            return wide[0], wide[1]
        at += 4 + count
    return length, packed


def _find_end(
    stream: IO[bytes], begin: int, packed: int, size: int
) -> tuple[int, int, int, int] | None:
    """Look for what stands behind a member that was sent; return its checksum, sizes and end."""
    # Where its header knows, it need not be looked for.
    at = begin + packed if packed != FULL else begin
    stream.seek(at)
    window = b""
    while piece := stream.read(_STEP):
        window += piece
        spot = -1
        while 0 <= (spot := window.find(BEHIND_SIGNATURE, spot + 1)):
            if spot + _BEHIND_WIDE.size > len(window) and at + len(window) < size:
                break
            found = _judge_end(window, spot, at + spot - begin)
            if found is not None:
                checksum, packed, length, used = found
                return checksum, packed, length, at + spot + used
        # What may be the beginning of one is kept.
        kept = len(window) - (spot if spot >= 0 else max(len(window) - _BEHIND_WIDE.size, 0))
        at += len(window) - kept
        window = window[len(window) - kept :]
    return None


def _judge_end(window: bytes, spot: int, way: int) -> tuple[int, int, int, int] | None:
    """Return checksum, sizes and own length of what stands behind a member; None where it is data."""
    for form in (_BEHIND, _BEHIND_WIDE):
        if spot + form.size <= len(window):
            _, checksum, packed, length = form.unpack_from(window, spot)
            if packed == way:
                return checksum, packed, length, form.size
    return None


def _entry(member: _Member) -> bytes:
    """Return the entry of a member in a directory (APPNOTE 4.3.12), with large numbers."""
    extra = struct.pack("<2H3Q", WIDE, 24, member.size, member.packed, member.offset)
    head = ENTRY.pack(
        ENTRY_SIGNATURE,
        _VERSION,
        _VERSION,
        member.flags,
        member.method,
        member.time,
        member.date,
        member.checksum,
        FULL,
        FULL,
        len(member.name),
        len(extra),
        0,
        0,
        0,
        0,
        FULL,
    )
    return head + member.name + extra
