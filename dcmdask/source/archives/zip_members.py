"""Take members of open zips; give their first bytes, one positioned read each, many at once.

The central directory says where a member is. What is certain of it is read here: a bounded part of
its compressed bytes, inflated as far as a window goes. Anything else (a small member, whose checksum
can be told; another method; a local header that says something else) goes by `zipfile`.
"""

from __future__ import annotations

import itertools
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import IO, cast

from dcmdask.dicom.windows import WINDOW, Heads, Windows
from dcmdask.source.archives.limits import Budget
from dcmdask.source.archives.zip_format import LOCAL, LOCAL_SIGNATURE, UTF8
from dcmdask.source.archives.zip_names import is_folder
from dcmdask.source.heads import AT_ONCE, place_table
from dcmdask.source.source_reader import Span, deep_reach, expect
from dcmdask.types import Failure, Place, Window

_NOT_READ = 0x1 | 0x20 | 0x40  # encrypted, patches, strongly encrypted (APPNOTE 4.4.4)
_EXTRA = 64
"""Bytes of extra fields that are read along; a member with many more is left to `zipfile`."""

_SLACK = 512
"""Compressed bytes beyond a window: what does not compress grows a little."""

_MOST_ARCHIVES = 64
"""Archives that are held open for their members to be read together."""

Member = tuple[zipfile.ZipFile, zipfile.ZipInfo, Place, Budget]
"""With what may be inflated of its archive."""


def ends_of(archive: zipfile.ZipFile) -> dict[int, int]:
    """Give, for the offset of every member, that of what lies behind it: it may not reach further."""
    offsets = sorted({info.header_offset for info in archive.infolist()})
    return dict(itertools.pairwise([*offsets, archive.start_dir]))


def in_order(members: Iterable[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    """Return members in order of where they lie: a disk and a store like that best."""
    return sorted(members, key=lambda info: info.header_offset)


def spans_of(members: Iterable[zipfile.ZipInfo], ends: dict[int, int]) -> list[Span]:
    """Return which bytes will be read of some members, in that order.

    Parameters
    ----------
    members : iterable of zipfile.ZipInfo
        Of one archive.
    ends : dict
        From `ends_of`.
    """
    return [
        span_of(info, ends[info.header_offset]) for info in in_order(members) if not is_folder(info)
    ]


def span_of(info: zipfile.ZipInfo, end: int, reach: int = WINDOW) -> Span:
    """Return which bytes will be read of a member, for so many of its own."""
    before = LOCAL.size + len(info.orig_filename.encode("utf-8", "replace")) + _EXTRA
    start = info.header_offset
    return start, min(start + before + min(info.compress_size, reach + _SLACK), end)


def quick_head(stream: IO[bytes], info: zipfile.ZipInfo, end: int) -> bytes | None:
    """Return the first bytes of a member that is larger than a window.

    Parameters
    ----------
    stream : file
        Of the archive; its position changes.
    info : zipfile.ZipInfo
        From its directory.
    end : int
        From `ends_of`.

    Returns
    -------
    bytes or None
        `dcmdask.dicom.windows.WINDOW` of them; None where `zipfile` has to judge.
    """
    method = info.compress_type
    known = method == zipfile.ZIP_DEFLATED or _is_stored(info)
    if not known or info.flag_bits & _NOT_READ or info.file_size <= WINDOW:
        return None
    data = _read_data(stream, info, end)
    if method == zipfile.ZIP_DEFLATED:
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data = inflate.decompress(data, WINDOW)
        except zlib.error:
            return None
        if inflate.eof:
            # All of it is here, which its size denies: the checksum will tell.
            return None
    return data[:WINDOW] if len(data) >= WINDOW else None


def data_offset(stream: IO[bytes], info: zipfile.ZipInfo) -> int | None:
    """Return where a member that is stored as it is begins in its archive; None for any other.

    Parameters
    ----------
    stream : file
        Of the archive; its position changes.
    info : zipfile.ZipInfo
        From its directory.
    """
    if not _is_stored(info) or info.flag_bits & _NOT_READ:
        return None
    stream.seek(info.header_offset)
    raw = stream.read(LOCAL.size)
    if len(raw) < LOCAL.size:
        return None
    *_, name_size, extra_size = LOCAL.unpack(raw)
    return info.header_offset + LOCAL.size + int(name_size) + int(extra_size)


def _is_stored(info: zipfile.ZipInfo) -> bool:
    return info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size


def _read_data(stream: IO[bytes], info: zipfile.ZipInfo, end: int) -> bytes:
    """Return the first compressed bytes of a member; none where its local header disagrees."""
    name = info.orig_filename.encode("utf-8" if info.flag_bits & UTF8 else "cp437", "replace")
    wanted = min(info.compress_size, WINDOW + _SLACK)
    try:
        stream.seek(info.header_offset)
        raw = stream.read(LOCAL.size + len(name) + _EXTRA + wanted)
    except (OSError, ValueError):
        return b""
    if len(raw) < LOCAL.size:
        return b""
    signature, _, flags, method, *_, name_size, extra_size = LOCAL.unpack_from(raw)
    begin = LOCAL.size + name_size + extra_size
    same = (signature, flags, method) == (LOCAL_SIGNATURE, info.flag_bits, info.compress_type)
    same = same and raw[LOCAL.size : LOCAL.size + name_size] == name
    fits = info.header_offset + begin + info.compress_size <= end
    return raw[begin : begin + wanted] if same and fits else b""


class Members:
    """Members that begin as DICOM does, of archives that are held open until they are read."""

    def __init__(self) -> None:
        self._windows: Windows | None = None
        self._members: list[Member] = []
        self._fresh = 0
        self._archives = 0
        self._open = ExitStack()

    def __len__(self) -> int:
        return len(self._members)

    @property
    def is_full(self) -> bool:
        """Whether they have to be read before another archive is opened."""
        return self._archives >= _MOST_ARCHIVES

    def add(self, member: Member, head: bytes) -> None:
        """Add one with its first bytes."""
        if self._windows is None:
            self._windows = Windows.empty(AT_ONCE)
        spot = len(self)
        self._windows.row(spot)[: len(head)] = head
        self._windows.filled[spot] = len(head)
        self._windows.whole[spot] = len(head) < WINDOW
        self._members.append(member)
        self._fresh += 1

    def hold(self, stream: IO[bytes]) -> None:
        """Keep open what members were just added of; close what none were."""
        if self._fresh:
            self._open.callback(stream.close)
            self._archives += 1
        else:
            stream.close()
        self._fresh = 0

    def heads(
        self,
        more: Callable[[Member, int, memoryview], int],
        reopen: Callable[[Member], AbstractContextManager[Window | Failure]],
    ) -> Heads:
        """Return them with their first windows.

        Parameters
        ----------
        more : callable
            Member, offset and row to bytes read: how one that outgrows its window is read on.
        reopen : callable
            Member to a context that gives its window, or the failure that it has become.
        """
        members, windows = self._members, self._windows
        assert windows is not None
        head = windows.first(len(members))

        def announce(wanted: Iterable[tuple[int, int]]) -> None:
            # Members of one archive follow each other.
            for _, own in itertools.groupby(wanted, key=lambda one: id(members[one[0]][0])):
                some = list(own)
                archive = members[some[0][0]][0]
                ends = ends_of(archive)
                infos = [(members[number][1], reach) for number, reach in some]
                spans = [span_of(info, ends[info.header_offset], reach) for info, reach in infos]
                expect(cast(IO[bytes], archive.fp), spans)

        def read_on(wanted: Sequence[tuple[int, int, memoryview]]) -> list[int]:
            announce((number, at + len(row)) for number, at, row in wanted)
            return [more(members[number], at, row) for number, at, row in wanted]

        return Heads(
            place_table([place for _, _, place, _ in members]),
            head,
            read_on,
            lambda number: reopen(members[number]),
            lambda numbers: announce((n, deep_reach(head, n)) for n in numbers),
        )

    def close(self) -> None:
        """Let go of members and archives."""
        self._members = []
        self._fresh = self._archives = 0
        self._open.close()
