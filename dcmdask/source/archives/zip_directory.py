"""Take a zip of any number of members; give it as archives of a few thousand members each.

`zipfile` reads the whole central directory and makes an object of every member, at ten times the
bytes that it takes in the file. Of a large directory it is shown one part after the other, each as
a zip of its own: the same bytes, a part of the directory, and an end that says so. For one piece of
a zip, it is shown the entries of that piece.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import IO, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from dcmdask.source.archives.damage import ArchiveError, cut_off_zip, split_zip
from dcmdask.source.archives.salvage import salvaged_directory
from dcmdask.source.archives.streams import Over, Sized
from dcmdask.source.archives.zip_format import (
    BEHIND_SIGNATURE,
    END,
    END64,
    END64_SIGNATURE,
    END_SIGNATURE,
    ENTRY_SIGNATURE,
    ENTRY_SIZE,
    FULL,
    LOCAL_SIGNATURE,
    LOCATOR,
    LOCATOR_SIGNATURE,
    UNICODE_PATH,
    UTF8,
    WIDE,
)
from dcmdask.source.archives.zip_names import Naming, Survey, is_folder, naming_of, repaired
from dcmdask.source.source_reader import Span, expect
from dcmdask.types import WHOLE, Kind, Piece

LARGE = 4 * 1024 * 1024
"""Bytes of a directory that is read at once: some fifty thousand members."""

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]

_PART = 1024 * 1024
_FIELDS = np.dtype(
    {
        "names": ["version", "flags", "packed", "size", "name", "extra", "offset"],
        "formats": ["u1", "<u2", "<u4", "<u4", "<u2", "<u2", "<u4"],
        "offsets": [6, 8, 20, 24, 28, 30, 42],
        "itemsize": ENTRY_SIZE,
    }
)
"""What is read of an entry (APPNOTE 4.3.12)."""

_HEAD = struct.Struct("<4s24x3H")
_MOST_FIELDS = 16
_LARGEST_OFFSET = 1 << 62
_NO_DISK = 0xFFFF
"""Instead of the number of a part: the end record of large zips has it."""


class Opened(NamedTuple):
    """A part of a zip.

    Attributes
    ----------
    archive : zipfile.ZipFile
        That opens its members. It may list one more, where the last one has to end.
    members : list of zipfile.ZipInfo
        In order of the directory, folders too.
    elsewhere : int
        Files that the directory names between these, and that are of other pieces.
    naming : Naming
        What they are called.
    """

    archive: zipfile.ZipFile
    members: list[zipfile.ZipInfo]
    elsewhere: int
    naming: Naming


def open_zips(stream: IO[bytes], piece: Piece = WHOLE, size: int = 0) -> Iterator[Opened]:
    """Open a zip, or a piece of it, in as many parts as its directory needs.

    Parameters
    ----------
    stream : file
        Of the archive; its position changes.
    piece : Piece
        Whose members are wanted.
    size : int
        Bytes of the archive, as the listing has them: what the pieces are shares of.

    Yields
    ------
    Opened
        Some of the members, in order.

    Raises
    ------
    zipfile.BadZipFile
        The end or the directory is damaged: the same for every piece, behind the same members.
    """
    watch = _Watch(stream, LARGE if piece.count == 1 else 0)
    try:
        archive = zipfile.ZipFile(cast(IO[bytes], watch))
    except _DirectoryError as found:
        place = _Directory(stream, found.start, found.start + found.size, watch)
        yield from _open_parts(place, piece, size)
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:
        yield from _open_damaged(stream, watch, piece, size, error)
    else:
        archive.fp = stream
        _refuse_part(archive, watch, stream)
        yield _sifted(archive, piece, size, naming_of(archive))


def _open_damaged(
    stream: IO[bytes], watch: _Watch, piece: Piece, size: int, error: Exception
) -> Iterator[Opened]:
    """Open a zip that `zipfile` refuses, as far as it can be."""
    found = watch.directory and _repaired_zip(stream, *watch.directory, watch.offset)
    if found:
        archive, naming = found
        _refuse_part(archive, watch, stream)
        yield _sifted(archive, piece, size, naming)
        return
    better = _better(watch, stream)
    if better is None:
        raise error
    if better.kind == Kind.CORRUPT_ARCHIVE and not piece.is_further:
        # The first piece answers for all of it: without a directory nobody knows what is whose.
        end = stream.seek(0, io.SEEK_END)
        archive = _zip_of(stream, end, salvaged_directory(stream), end)
        yield Opened(archive, archive.infolist(), 0, replace(naming_of(archive), opens=False))
    raise better from error


def _repaired_zip(
    stream: IO[bytes], start: int, data: bytes, offset: int
) -> tuple[zipfile.ZipFile, Naming] | None:
    """Open a zip with what makes `zipfile` refuse it repaired; None where that is something else."""
    starts = _whole_entries(data)
    found = repaired(data, starts) if starts[-1] == len(data) else None
    if found is None:
        return None
    archive = _zip_of(stream, start, found, offset)
    survey = Survey()
    survey.add(data, starts)
    return archive, survey.naming(0, archive.infolist())


@dataclass(frozen=True, slots=True)
class _Directory:
    """A directory that is read in parts.

    Attributes
    ----------
    stream : file
        Of the archive.
    start, stop : int
        Where it lies.
    watch : _Watch
        What the end of the archive says.
    """

    stream: IO[bytes]
    start: int
    stop: int
    watch: _Watch

    @property
    def concat(self) -> int:
        """Bytes before the zip: what is to be added to the offsets that it names."""
        return self.start - self.watch.offset

    def zip_of(self, entries: bytes) -> zipfile.ZipFile:
        """Open the zip as if its directory held some entries only."""
        return _zip_of(self.stream, self.start, entries, self.watch.offset)

    def whole(self) -> tuple[bytes, list[int]]:
        """Return all of it at once."""
        self.stream.seek(self.start)
        data = self.stream.read(self.stop - self.start)
        return data, _whole_entries(data)

    def parts(self) -> Iterator[tuple[bytes, list[int]]]:
        """Yield it in parts of whole entries, with where these begin, and behind the last one."""
        at = self.start
        while at < self.stop:
            self.stream.seek(at)
            part = self.stream.read(min(_PART, self.stop - at))
            starts = _whole_entries(part)
            yield part[: starts[-1]], starts
            at += starts[-1]


def _open_parts(directory: _Directory, piece: Piece, size: int) -> Iterator[Opened]:
    """Open a zip whose directory is large, or of which one piece is wanted."""
    whole = directory.stop - directory.start <= LARGE
    # A large one is read twice, so that no more than a part of it is held.
    held = [directory.whole()] if whole else None
    survey = Survey()
    # Of damage that comes later nothing is said before the members that lie before it.
    with suppress(zipfile.BadZipFile):
        for part, starts in held or directory.parts():
            survey.add(part, starts)
    number = 0
    for part, starts in held or directory.parts():
        if whole and starts[-1] != len(part):
            # Damaged: `zipfile` says how.
            yield _sifted(zipfile.ZipFile(directory.stream), piece, size, Naming())
            return
        fixed = None if survey.opens else repaired(part, starts)
        data = part if fixed is None else fixed
        entries = None if piece.count == 1 else _Entries.of(data, starts, directory.concat)
        if entries is None:
            # With something that is seldom seen: `zipfile` judges it.
            as_it_is = whole and fixed is None
            archive = zipfile.ZipFile(directory.stream) if as_it_is else directory.zip_of(data)
            _refuse_part(archive, directory.watch, directory.stream)
            naming = survey.naming(number, archive.infolist())
            yield _sifted(archive, piece, size, naming)
        else:
            yield _opened(directory, entries, piece, size, survey, number)
        number += len(starts) - 1


def _better(watch: _Watch, stream: IO[bytes]) -> ArchiveError | None:
    """Return what is wrong with a zip that `zipfile` cannot open, where more can be said."""
    if watch.spans:
        return split_zip()
    if watch.has_end or watch.refused:
        return None
    stream.seek(0)
    return split_zip() if stream.read(4) == BEHIND_SIGNATURE else cut_off_zip()


def _refuse_part(archive: zipfile.ZipFile, watch: _Watch, stream: IO[bytes]) -> None:
    """Raise where a zip is the last part of one that was split: its members lie in other files."""
    if watch.disk in (0, _NO_DISK):
        return
    elsewhere = (info for info in archive.infolist() if info.volume != watch.disk)
    info = next(elsewhere, None)
    if info is not None:
        stream.seek(max(info.header_offset, 0))
        # Some writers count parts where there are none: then the member is where it should be.
        if stream.read(4) != LOCAL_SIGNATURE:
            raise split_zip()


def _zip_of(stream: IO[bytes], start: int, entries: bytes, offset: int) -> zipfile.ZipFile:
    """Open a zip as if its directory, which begins at `start`, held some entries only."""
    tail = entries + _end_of(len(entries), offset, start + len(entries))
    return zipfile.ZipFile(cast(IO[bytes], _Part(stream, start, tail)))


def _sifted(archive: zipfile.ZipFile, piece: Piece, size: int, naming: Naming) -> Opened:
    """Return the members of a piece, of an archive that has all."""
    members = archive.infolist()
    if piece.count == 1:
        return Opened(archive, members, 0, naming)
    begin, behind = piece.bounds(size)
    own = [
        info
        for info in members
        if (begin is None or info.header_offset >= begin)
        and (behind is None or info.header_offset < behind)
    ]
    files = sum(not is_folder(info) for info in members)
    return Opened(archive, own, files - sum(not is_folder(info) for info in own), naming)


def _opened(
    directory: _Directory,
    entries: _Entries,
    piece: Piece,
    size: int,
    survey: Survey,
    number: int,
) -> Opened:
    """Open a zip as if its directory held the members of a piece only.

    The first of the entries has a number in the whole directory.
    """
    begin, behind = piece.bounds(size)
    offsets = entries.offsets
    own = np.ones(len(offsets), bool)
    if begin is not None:
        own &= offsets >= begin
    if behind is not None:
        own &= offsets < behind
    shown = np.flatnonzero(own)
    count = len(shown)
    later = offsets > offsets[shown].max(initial=np.iinfo(np.int64).min)
    if count and later.any():
        # The next member is where the last own one has to end.
        shown = np.append(shown, np.flatnonzero(later)[np.argmin(offsets[later])])
    begins, ends = entries.starts[:-1], entries.starts[1:]
    chosen = [entries.data[begins[number] : ends[number]] for number in shown]
    archive = directory.zip_of(b"".join(chosen))
    if number == 0:
        _refuse_part(archive, directory.watch, directory.stream)
    elsewhere = int(np.count_nonzero(~own & ~entries.folders))
    members = archive.infolist()[:count]
    naming = survey.naming_of_numbers((shown[:count] + number).tolist(), members)
    return Opened(archive, members, elsewhere, naming)


class _DirectoryError(Exception):
    """The directory of a zip is not to be read by `zipfile`."""

    def __init__(self, start: int, size: int) -> None:
        super().__init__()
        self.start = start
        self.size = size


class _Watch(Over):
    """A zip that does not give its directory; it notes where that is said to begin.

    Parameters
    ----------
    stream : file
        Of the archive.
    largest : int
        Bytes of a directory that it does give.

    Attributes
    ----------
    offset : int
        As the end records say it: less than the true one where something stands before the zip.
    has_end : bool
        Whether there is an end record.
    disk : int
        Number of this part of a zip that was split, as the end record has it; 0 for a whole one.
    spans : bool
        Whether the end records of a large zip say that it was split.
    refused : bool
        Whether a read failed: what is missing then says nothing of the zip.
    directory : tuple of int and bytes, or None
        Where the directory begins, and what it is, if that was read.
    """

    def __init__(self, stream: IO[bytes], largest: int) -> None:
        super().__init__(stream)
        self.offset = 0
        self.has_end = self.spans = self.refused = False
        self.disk = 0
        self.directory: tuple[int, bytes] | None = None
        self._size = 0
        self._largest = largest

    def read(self, count: int = -1) -> bytes:
        start = self._stream.tell()
        # Before it is read, unless it may as well be an end record.
        if count > LARGE or count == self._size > max(self._largest, END64.size):
            raise _DirectoryError(start, count)
        try:
            found = self._stream.read(count)
        except OSError:
            # `zipfile` takes it for the end of the file.
            self.refused = True
            raise
        if found.startswith(LOCATOR_SIGNATURE) and len(found) == LOCATOR.size:
            _, disk, _, disks = LOCATOR.unpack(found)
            self.spans = disk != 0 or disks > 1
        elif found.startswith(END64_SIGNATURE) and len(found) == END64.size:
            self._size, self.offset = END64.unpack(found)[-2:]
        elif count == self._size > self._largest:
            raise _DirectoryError(start, count)
        elif count == self._size and found.startswith(ENTRY_SIGNATURE):
            self.directory = start, found
        elif 0 <= (at := found.rfind(END_SIGNATURE)) <= len(found) - END.size:
            self.has_end = True
            _, self.disk, *_, self._size, self.offset, _ = END.unpack_from(found, at)
        return found


class _Entries:
    """Entries of a directory of which it is certain that `zipfile` takes all of them.

    Parameters
    ----------
    data : bytes
        Whole entries.
    starts : numpy.ndarray of int64
        Where they begin in it, and behind the last one.
    concat : int
        What is to be added to their offsets: bytes before the zip.

    Attributes
    ----------
    data, starts, concat
        As given.
    offsets : numpy.ndarray of int64
        Of the members in the archive.
    folders : numpy.ndarray of bool
        Which of them are no files.
    """

    def __init__(self, data: bytes, starts: Numbers, concat: int) -> None:
        self.data, self.starts, self.concat = data, starts, concat
        self._bytes: Bytes = np.frombuffer(data, np.uint8)
        self._heads = sliding_window_view(self._bytes, ENTRY_SIZE)[starts[:-1]].view(_FIELDS)[:, 0]
        self._names = starts[:-1] + ENTRY_SIZE
        self._extras = self._names + self._heads["name"]
        last = np.where(self._extras > self._names, self._bytes[self._extras - 1], 0)
        self.folders = last == ord("/")
        self.offsets = self._heads["offset"].astype(np.int64)

    @classmethod
    def of(cls, data: bytes, starts: list[int], concat: int) -> _Entries | None:
        """Take whole entries apart; None where `zipfile` has to judge."""
        entries = cls(data, np.array(starts, np.int64), concat)
        is_plain = entries._has_plain_names() and entries._has_plain_extras()
        return entries if is_plain else None

    def _numbers(self, spots: Numbers, kind: str) -> Numbers:
        """Return little-endian numbers that begin at some places."""
        raw = sliding_window_view(self._bytes, np.dtype(kind).itemsize)[spots]
        return raw.view(kind)[:, 0].astype(np.int64)

    def _has_plain_names(self) -> bool:
        if (self._heads["version"] > zipfile.MAX_EXTRACT_VERSION).any():
            return False
        if self._any_in_names(self._bytes == 0).any():
            return False
        odd = self._any_in_names(self._bytes > 127) & ((self._heads["flags"] & UTF8) != 0)
        try:
            for number in np.flatnonzero(odd):
                self.data[self._names[number] : self._extras[number]].decode()
        except UnicodeDecodeError:
            return False
        return True

    def _any_in_names(self, marked: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        edges = np.stack([self._names, self._extras], 1).ravel()
        found: npt.NDArray[np.bool_] = np.logical_or.reduceat(np.append(marked, False), edges)[::2]
        # Of no bytes at all it gives the next one.
        found &= self._extras > self._names
        return found

    def _has_plain_extras(self) -> bool:
        """Walk through extra fields, all entries at once (APPNOTE 4.5); take large offsets there."""
        wide = np.zeros(len(self._heads), bool)
        at, end = self._extras.copy(), self._extras + self._heads["extra"]
        for _ in range(_MOST_FIELDS):
            here = np.flatnonzero(at + 4 <= end)
            if not len(here):
                break
            kind, length = (self._numbers(at[here] + field, "<u2") for field in (0, 2))
            is_wide = kind == WIDE
            if (at[here] + 4 + length > end[here]).any() or (kind == UNICODE_PATH).any():
                return False
            if wide[here[is_wide]].any() or not self._take_wide(here[is_wide], at, length[is_wide]):
                return False
            wide[here[is_wide]] = True
            at[here] += 4 + length
        else:
            return False
        self.offsets += self.concat
        return True

    def _take_wide(self, here: Numbers, at: Numbers, length: Numbers) -> bool:
        """Take the offsets of some entries from their field of 64-bit numbers (APPNOTE 4.5.3)."""
        sizes = [self._heads[name][here] == FULL for name in ("size", "packed")]
        before = 8 * (sizes[0].astype(np.int64) + sizes[1])
        full = self.offsets[here] == FULL
        if (before + 8 * full > length).any():
            return False
        taken = self._numbers((at[here] + 4 + before)[full], "<i8")
        self.offsets[here[full]] = taken
        return bool(((taken >= 0) & (taken < _LARGEST_OFFSET)).all())


class _Part(Sized):
    """The bytes of a zip before its directory, then another end."""

    def __init__(self, stream: IO[bytes], start: int, tail: bytes) -> None:
        super().__init__(start + len(tail))
        self._stream = stream
        self._start = start
        self._tail = tail

    def expect(self, spans: Sequence[Span]) -> None:
        """Tell what will be read."""
        expect(self._stream, spans)

    def read(self, count: int = -1) -> bytes:
        inside = self._at - self._start
        if inside < 0:
            self._stream.seek(self._at)
            piece = self._stream.read(-inside if count < 0 else min(count, -inside))
        else:
            piece = self._tail[inside:] if count < 0 else self._tail[inside : inside + count]
        self._at += len(piece)
        return piece


def _whole_entries(part: bytes) -> list[int]:
    """Return where whole entries begin, and behind the last one; the one there is cut."""
    at = 0
    starts = [at]
    # For every member of a large archive, and again for each of its pieces: 0.3 us.
    unpack, last, size = _HEAD.unpack_from, len(part) - ENTRY_SIZE, len(part)
    while at <= last:
        signature, name, extra, comment = unpack(part, at)
        at += ENTRY_SIZE + name + extra + comment
        if signature != ENTRY_SIGNATURE or at > size:
            break
        starts.append(at)
    if len(starts) == 1:
        raise zipfile.BadZipFile("the directory holds something else")
    return starts


def _end_of(size: int, offset: int, at: int) -> bytes:
    """Return the end records (APPNOTE 4.3.14 to 4.3.16) of a directory; `at`: where they stand."""
    record = END64.pack(END64_SIGNATURE, END64.size - 12, 45, 45, 0, 0, 0, 0, size, offset)
    locator = LOCATOR.pack(LOCATOR_SIGNATURE, 0, at, 1)
    few, many = 0xFFFF, 0xFFFFFFFF
    return record + locator + END.pack(END_SIGNATURE, 0, 0, few, few, many, many, 0)
