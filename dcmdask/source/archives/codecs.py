"""Take a compressed stream; give the plain one. One line a format.

Not the files of the standard library: these let an xz file choose how much memory it takes, and
read the name in the header of a gzip file byte by byte, however long it is.
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, Protocol, cast

from dcmdask.errors import HeaderError
from dcmdask.source.archives.damage import FollowedError
from dcmdask.source.archives.streams import Readable
from dcmdask.types import Kind

LARGEST_DICTIONARY = 160 * 1024 * 1024
"""Bytes of memory an xz file may ask for: it may say up to 4 GiB, ``xz -9`` says 64 MiB."""

_READ = 64 * 1024
_BUFFER = 128 * 1024
_STEP = 1024 * 1024


class _Inflating(Protocol):
    """What bz2 and lzma call a decompressor."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    """zlib in the manner of bz2 and lzma."""

    def __init__(self) -> None:
        self._state = zlib.decompressobj(16 + zlib.MAX_WBITS)

    @property
    def eof(self) -> bool:
        return self._state.eof

    @property
    def needs_input(self) -> bool:
        return not self._state.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._state.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._state.decompress(self._state.unconsumed_tail + data, max_length)


class _Xz:
    """lzma with a bound on its memory that says what it is."""

    def __init__(self) -> None:
        self._state = lzma.LZMADecompressor(lzma.FORMAT_XZ, LARGEST_DICTIONARY)

    @property
    def eof(self) -> bool:
        return self._state.eof

    @property
    def needs_input(self) -> bool:
        return self._state.needs_input

    @property
    def unused_data(self) -> bytes:
        return self._state.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        try:
            return self._state.decompress(data, max_length)
        except lzma.LZMAError as error:
            # There is no other way to tell: it has no number and no class of its own.
            if "limit" not in str(error):
                raise
            words = f"it asks for more than {LARGEST_DICTIONARY} bytes of memory to be inflated"
            raise HeaderError(Kind.TOO_LARGE, words) from error


@dataclass(frozen=True, slots=True)
class _Format:
    """How a format is read.

    Attributes
    ----------
    magic : bytes
        Of every stream of it: several may follow each other.
    new : callable
        Gives what inflates one stream.
    strict : bool
        Whether what follows a stream and is none is damage. Tools pass over it elsewhere.
    """

    magic: bytes
    new: Callable[[], _Inflating]
    strict: bool


_FORMATS = {
    "gzip": _Format(b"\x1f\x8b", _Gzip, strict=True),
    "bz2": _Format(b"BZh", bz2.BZ2Decompressor, strict=False),
    "xz": _Format(b"\xfd7zXZ\0", _Xz, strict=False),
}


class _Plain(Readable):
    """The plain bytes of a compressed stream, inflated as they are read."""

    def __init__(self, stream: IO[bytes], way: _Format) -> None:
        super().__init__()
        self._stream = stream
        self._way = way
        self._begin()

    def _begin(self) -> None:
        self._inflating: _Inflating | None = self._way.new()
        self._waiting = b""
        self._at = 0

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        piece = self._inflate(len(buffer))
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move the position: forward by reading, back by beginning again."""
        if whence == 2:
            while self._pass(_STEP):
                pass
        target = offset + self._at if whence else offset
        if target < self._at:
            self._stream.seek(0)
            self._begin()
        while self._at < target and self._pass(min(_STEP, target - self._at)):
            pass
        return self._at

    def _pass(self, most: int) -> int:
        """Inflate some bytes for nobody; give how many."""
        count = len(self._inflate(most))
        self._at += count
        return count

    def _inflate(self, most: int) -> bytes:
        while self._inflating is not None and most:
            if self._inflating.eof:
                self._next_stream()
                continue
            raw = b""
            if self._inflating.needs_input:
                raw = self._waiting or self._stream.read(_READ)
                self._waiting = b""
            piece = self._inflating.decompress(raw, most)
            if piece:
                return piece
            if not raw and not self._inflating.eof:
                raise EOFError("the compressed stream ends before its end mark")
        return b""

    def _next_stream(self) -> None:
        """Begin the stream that follows, behind any padding, or end."""
        assert self._inflating is not None
        rest = self._inflating.unused_data.lstrip(b"\0")
        while len(rest) < len(self._way.magic) and (more := self._stream.read(_READ)):
            rest = (rest + more).lstrip(b"\0")
        self._inflating = None
        if rest.startswith(self._way.magic):
            self._inflating, self._waiting = self._way.new(), rest
        elif rest and self._way.strict:
            raise FollowedError("something else follows the compressed stream")


def _opener(way: _Format) -> Callable[[IO[bytes]], IO[bytes]]:
    return lambda stream: cast(IO[bytes], io.BufferedReader(_Plain(stream, way), _BUFFER))


OPENERS = {name: _opener(way) for name, way in _FORMATS.items()}
"""How each compressed format is opened for reading."""
