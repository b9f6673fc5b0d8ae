"""Take manifest rows; give a window for every file and member, or the failure it already is.

Archives are read in place: of a member only the bytes that are asked for are inflated, nothing is
written to disk, and an archive inside an archive is opened one level deep.
"""

from __future__ import annotations

import io
import lzma
import os
import posixpath
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Any, cast

from dcmdask.errors import HeaderError
from dcmdask.source.codecs import OPENERS
from dcmdask.source.local import ARCHIVE_SUFFIXES, shown
from dcmdask.source.sniff import archive_kind, is_tar, unread_format
from dcmdask.types import Failure, Kind, Place, Window

HEAD = 8 * 1024
"""Bytes of a first window: the last light attribute comes before the bulky private groups."""

LARGEST_HEADER = 64 * 1024 * 1024
"""Bytes of a header, read or inflated, before it is given up."""

LARGEST_NESTED = 512 * 1024 * 1024
"""Bytes of a zip inside another archive, which has to be held in memory to be read."""

_STAGE = "fetch"
_READ_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOCTTY", 0)
    # Should a FIFO have taken the place of a listed file: opening it does not wait.
    | getattr(os, "O_NONBLOCK", 0)
)
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    UnicodeError,
    ValueError,
)
_DAMAGED_HEADERS: tuple[type[Exception], ...] = tuple(
    # Public names that the type stubs of the standard library leave out.
    getattr(tarfile, name)
    for name in ("InvalidHeaderError", "TruncatedHeaderError")
)
# What fsspec's tar understands by a name's end alone.
_INFERRED = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz"}

Found = Window | Failure


@dataclass(slots=True)
class Tally:
    """What fetching has seen, counted apart from what reading makes of it.

    Attributes
    ----------
    files, members, containers : int
        Manifest rows; members of archives; archives that only stand for their members.
    bytes_read : int
        Bytes read of files, before any inflation.
    """

    files: int = 0
    members: int = 0
    containers: int = 0
    bytes_read: int = 0


@dataclass(frozen=True, slots=True)
class Roots:
    """Names of the source roots, by number; what turns a manifest row into a place."""

    names: tuple[str, ...]

    def place(self, row: Mapping[str, Any]) -> Place:
        """Give the place of a manifest row."""
        path = row["path"]
        parent, name = posixpath.split(path)
        folder = (
            posixpath.join(self.names[row["root"]], parent) if parent else self.names[row["root"]]
        )
        location = shown(os.fsdecode(row["location"])).replace(os.sep, "/")
        url = f"file://{location}" if location.startswith("/") else f"file:///{location}"
        return Place(url, row["case"], path, folder, name, None, row["size"], row["modified"])


@dataclass(slots=True)
class Fetcher:
    """Opens what the manifest lists.

    Attributes
    ----------
    roots : Roots
        Of the crawl.
    tally : Tally
        What has been seen so far.
    """

    roots: Roots
    tally: Tally = field(default_factory=Tally)

    def fetch_windows(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[Found]:
        """Give a window or failure for every file and member of some manifest rows.

        A window can be read until the next one is asked for.
        """
        for row in rows:
            self.tally.files += 1
            place = self.roots.place(row)
            if row["kind"]:
                yield Failure(place, Kind(row["kind"]), row["message"], "list")
                continue
            try:
                handle = os.open(os.fsdecode(row["location"]), _READ_FLAGS)
            except OSError as error:
                yield _refusal(place, error)
                continue
            with io.FileIO(handle, closefd=True) as stream:
                yield from self._fetch_file(_Counted(stream, self.tally), place)

    def _fetch_file(self, stream: _Counted, place: Place) -> Iterator[Found]:
        try:
            head = stream.read_at(0, HEAD)
        except HeaderError as error:
            yield Failure(place, Kind(error.kind), error.message, _STAGE)
            return
        kind = archive_kind(head)
        if kind is not None:
            yield from self._fetch_archive(cast(IO[bytes], stream), kind, place, nested=False)
        elif _named_archive(place.file_name) and head[128:132] != b"DICM":
            yield Failure(place, Kind.CORRUPT_ARCHIVE, "named an archive, is none", _STAGE)
        elif unread := unread_format(head):
            yield Failure(place, Kind.NOT_DICOM, f"{unread} is not read", _STAGE)
        else:
            more = stream.read_at if len(head) == HEAD else None
            yield Window(place, head, more, LARGEST_HEADER)

    def _fetch_archive(
        self, stream: IO[bytes], kind: str, place: Place, *, nested: bool
    ) -> Iterator[Found]:
        """Give the members of an archive; where it fails, itself as a failure after them."""
        before = self.tally.members
        try:
            if kind == "zip":
                yield from self._fetch_zip(stream, place, nested=nested)
            elif kind == "tar":
                mode = "r|" if nested else "r:"
                yield from self._fetch_tar(stream, place, place.url, mode, nested=nested)
            else:
                yield from self._fetch_compressed(stream, kind, place, nested=nested)
        except HeaderError as error:
            yield Failure(place, Kind(error.kind), error.message, _STAGE)
        except _DAMAGE as error:
            yield Failure(place, Kind.CORRUPT_ARCHIVE, _damage(kind, error), _STAGE)
        except OSError as error:
            # bz2 and gzip say OSError without a number for damage, the system one with.
            if error.errno is None:
                yield Failure(place, Kind.CORRUPT_ARCHIVE, _damage(kind, error), _STAGE)
            else:
                yield _refusal(place, error)
        else:
            if self.tally.members == before:
                yield Failure(place, Kind.NOT_DICOM, "the archive holds no file", _STAGE)
            else:
                self.tally.containers += 1

    def _fetch_zip(self, stream: IO[bytes], place: Place, *, nested: bool) -> Iterator[Found]:
        with zipfile.ZipFile(stream) as archive:
            for info in archive.infolist():
                if info.is_dir():
                    continue
                member = _member_place(place, info.filename, info.file_size, "zip", place.url)
                self.tally.members += 1
                if info.flag_bits & 1:
                    yield Failure(member, Kind.ENCRYPTED_ARCHIVE, "the member is encrypted", _STAGE)
                    continue
                try:
                    opened = archive.open(info)
                except NotImplementedError:
                    words = f"compression method {info.compress_type} is not known"
                    yield Failure(member, Kind.CORRUPT_ARCHIVE, words, _STAGE)
                    continue
                except (*_DAMAGE, RuntimeError, OSError) as error:
                    yield Failure(member, Kind.CORRUPT_ARCHIVE, _damage("zip", error), _STAGE)
                    continue
                with opened:
                    yield from self._fetch_member(opened, member, nested=nested)

    def _fetch_tar(
        self, stream: IO[bytes], place: Place, url: str, mode: str, *, nested: bool
    ) -> Iterator[Found]:
        with tarfile.open(fileobj=stream, mode=cast(Any, mode), tarinfo=_StrictTarInfo) as archive:
            for info in archive:
                # The list that tarfile keeps of every member would grow with the archive.
                cast(Any, archive).members.clear()
                if info.isdir():
                    continue
                member = _member_place(place, info.name, info.size, "tar", url)
                self.tally.members += 1
                if not info.isreg():
                    words = "a link or special file inside an archive"
                    yield Failure(member, Kind.NOT_DICOM, words, _STAGE)
                    continue
                opened = archive.extractfile(info)
                assert opened is not None
                yield from self._fetch_member(opened, member, nested=nested)

    def _fetch_compressed(
        self, stream: IO[bytes], kind: str, place: Place, *, nested: bool
    ) -> Iterator[Found]:
        """Give the members of a compressed tar, or the one file that was compressed."""
        opened = OPENERS[kind](stream)
        head = opened.read(HEAD)
        inner = cast(IO[bytes], _Replay(head, opened))
        stem, suffix = posixpath.splitext(place.file_name)
        if is_tar(head) and head[128:132] != b"DICM":
            plain = _INFERRED.get(suffix.lower()) == kind
            url = place.url if plain else f"{kind}://{stem}.tar::{place.url}"
            yield from self._fetch_tar(inner, place, url, "r|", nested=nested)
            return
        name = stem if suffix else f"{place.file_name}.content"
        self.tally.members += 1
        member = _member_place(place, name, None, kind, place.url)
        yield from self._fetch_member(inner, member, nested=nested)

    def _fetch_member(self, opened: IO[bytes], member: Place, *, nested: bool) -> Iterator[Found]:
        stream = _Forward(opened)
        try:
            head = stream.fetch(0, HEAD)
        except HeaderError as error:
            yield Failure(member, Kind(error.kind), error.message, _STAGE)
            return
        kind = archive_kind(head)
        if kind is None and unread_format(head):
            yield Failure(member, Kind.NOT_DICOM, f"{unread_format(head)} is not read", _STAGE)
        elif kind is None:
            yield Window(member, head, stream.fetch if len(head) == HEAD else None, LARGEST_HEADER)
        elif nested:
            words = "an archive nested more than one level deep"
            yield Failure(member, Kind.TOO_LARGE, words, _STAGE)
        else:
            try:
                inner = stream.in_memory() if kind == "zip" else stream.from_start()
            except HeaderError as error:
                yield Failure(member, Kind(error.kind), error.message, _STAGE)
                return
            yield from self._fetch_archive(inner, kind, member, nested=True)


class _Counted(io.RawIOBase):
    """A file whose reads are counted and whose errors are translated."""

    def __init__(self, stream: io.FileIO, tally: Tally) -> None:
        super().__init__()
        self._stream = stream
        self._tally = tally

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def read(self, count: int | None = -1) -> bytes:
        found = bytearray()
        while count is None or count < 0 or len(found) < count:
            piece = self._stream.read(-1 if count is None or count < 0 else count - len(found))
            if not piece:
                break
            found += piece
        self._tally.bytes_read += len(found)
        return bytes(found)

    def readinto(self, buffer: Any) -> int:
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def read_at(self, offset: int, count: int) -> bytes:
        """Give bytes at an offset, as `Window` wants them."""
        try:
            self._stream.seek(offset)
            return self.read(count)
        except OSError as error:
            kind, words = _reason(error)
            raise HeaderError(kind, words) from error


class _Forward:
    """A stream that only goes on, with all that was read of it kept, up to a bound."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._kept = bytearray()

    def fetch(self, offset: int, count: int) -> bytes:
        self._fill(offset + count, LARGEST_HEADER)
        return bytes(self._kept[offset : offset + count])

    def _fill(self, wanted: int, largest: int) -> None:
        while len(self._kept) < wanted:
            if len(self._kept) > largest:
                raise HeaderError(Kind.TOO_LARGE, f"more than {largest} bytes would be inflated")
            try:
                piece = self._stream.read(min(wanted - len(self._kept), 1 << 20))
            except _DAMAGE as error:
                raise HeaderError(Kind.CORRUPT_ARCHIVE, _damage("member", error)) from error
            except OSError as error:
                if error.errno is None:
                    words = _damage("member", error)
                    raise HeaderError(Kind.CORRUPT_ARCHIVE, words) from error
                kind, words = _reason(error)
                raise HeaderError(kind, words) from error
            if not piece:
                return
            self._kept += piece

    def in_memory(self) -> IO[bytes]:
        """Give the whole member in memory, for a format that is read from its end."""
        self._fill(LARGEST_NESTED + 2, LARGEST_NESTED)
        return io.BytesIO(bytes(self._kept))

    def from_start(self) -> IO[bytes]:
        """Give the member from its start, for formats that are read once."""
        return cast(IO[bytes], _Replay(bytes(self._kept), self._stream))


class _Replay(io.RawIOBase):
    """What was already read of a stream, then the rest of it."""

    def __init__(self, kept: bytes, rest: IO[bytes]) -> None:
        super().__init__()
        self._kept = memoryview(kept)
        self._rest = rest
        self._at = 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        piece = bytes(self._kept[: len(buffer)])
        if piece:
            self._kept = self._kept[len(piece) :]
        else:
            piece = self._rest.read(len(buffer))
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


class _StrictTarInfo(tarfile.TarInfo):
    """A tar header that says when it is damaged.

    `tarfile` takes a bad header after the first one for the end of the archive, and what follows
    would be lost without a word.
    """

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _StrictTarInfo:
        try:
            return super().fromtarfile(tarfile_)
        except _DAMAGED_HEADERS as error:
            raise tarfile.ReadError("a header in the archive is damaged") from error


def _member_place(archive: Place, name: str, size: int | None, protocol: str, url: str) -> Place:
    inside = shown(name)
    tidy = inside.removeprefix("./").lstrip("/") or "unnamed"
    top = archive.archive if archive.archive is not None else archive.path
    parent, file_name = posixpath.split(tidy)
    holder = f"{archive.folder}/{archive.file_name}"
    folder = f"{holder}!{parent}" if parent else holder
    return replace(
        archive,
        url=f"{protocol}://{inside.lstrip('/')}::{url}",
        path=f"{archive.path}!{tidy}",
        folder=folder,
        file_name=file_name,
        archive=top,
        size=size,
    )


def _named_archive(name: str) -> bool:
    return name.lower().endswith((*ARCHIVE_SUFFIXES, ".gz"))


def _damage(kind: str, error: Exception) -> str:
    return f"the {kind} is damaged ({type(error).__name__})"


def _reason(error: OSError) -> tuple[Kind, str]:
    if isinstance(error, PermissionError):
        return Kind.ACCESS_DENIED, "permission denied"
    if isinstance(error, FileNotFoundError):
        return Kind.VANISHED, "the file was there when it was listed"
    return Kind.UNEXPECTED, error.strerror or type(error).__name__


def _refusal(place: Place, error: OSError) -> Failure:
    kind, words = _reason(error)
    return Failure(place, kind, words, _STAGE)
