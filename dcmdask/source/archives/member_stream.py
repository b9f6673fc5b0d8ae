"""Take the stream of a member; give it as one that only goes on, with what was read of it kept."""

from __future__ import annotations

import errno
import io
import lzma
import tarfile
import zipfile
import zlib
from typing import IO, cast

from dcmdask.errors import HeaderError
from dcmdask.source.archives.damage import judged
from dcmdask.source.archives.limits import Budget
from dcmdask.source.archives.streams import Readable
from dcmdask.types import Kind

LARGEST_HEADER = 64 * 1024 * 1024
"""Bytes of a header, read or inflated, before it is given up."""

LARGEST_NESTED = 256 * 1024 * 1024
"""Bytes of a zip inside another archive, which has to be held in memory to be read where it is
compressed: with all else a reading process stays below 600 MiB. A stored one is read in place."""

NO_MEMORY = "there is not the memory to inflate it"

_PASSED = 16 * 1024 * 1024

DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    OverflowError,
    # tarfile calls itself for every extended header that follows another.
    RecursionError,
    UnicodeError,
    ValueError,
)
"""What those raise that unpack something which is damaged."""


class Forward:
    """A stream that only goes on, with all that was read of it kept, up to a bound.

    Parameters
    ----------
    stream : file
        Read forward.
    budget : Budget or None
        Of what is inflated, where that is weighed here.
    """

    def __init__(self, stream: IO[bytes], budget: Budget | None = None) -> None:
        self._stream = stream
        self._budget = budget
        self._kept = io.BytesIO()
        self._size = 0

    def fetch(self, offset: int, count: int) -> bytes:
        """Return bytes at an offset, which may have been read before."""
        self._fill(offset + count, LARGEST_HEADER)
        self._kept.seek(offset)
        return self._kept.read(count)

    def _fill(self, wanted: int, largest: int) -> None:
        if self._budget is not None:
            # Of a bomb nothing more is inflated, not even a first piece of each member.
            self._budget.weigh(0)
        self._kept.seek(self._size)
        while self._size < wanted:
            try:
                piece = self._stream.read(min(wanted - self._size, 1 << 20))
            except DAMAGE as error:
                raise HeaderError(*judged("member", error)) from error
            except MemoryError as error:
                raise HeaderError(Kind.TOO_LARGE, NO_MEMORY) from error
            except OSError as error:
                told = judged("member", error) if error.errno is None else reason(error)
                raise HeaderError(*told) from error
            if not piece:
                return
            if self._budget is not None:
                self._budget.weigh(len(piece))
            self._kept.write(piece)
            self._size += len(piece)
            if self._size > largest:
                raise HeaderError(Kind.TOO_LARGE, f"more than {largest} bytes would be inflated")

    def in_memory(self) -> IO[bytes]:
        """Return the whole member in memory, for a format that is read from its end."""
        self._fill(LARGEST_NESTED + 1, LARGEST_NESTED)
        return self._kept

    def from_start(self) -> IO[bytes]:
        """Return the member from its start, for formats that are read once."""
        return cast(IO[bytes], Replay(self._kept.getvalue(), self._stream, self._budget))


class Replay(Readable):
    """What was already read of a stream, then the rest of it; it seeks forward only."""

    def __init__(self, kept: bytes, rest: IO[bytes], budget: Budget | None = None) -> None:
        super().__init__()
        self._kept = memoryview(kept)
        self._rest = rest
        self._budget = budget
        self._at = 0

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move the position forward."""
        ahead = offset if whence == 1 else offset - self._at
        if whence == 2 or ahead < 0:
            raise io.UnsupportedOperation("a stream is not read backwards")
        kept = min(ahead, len(self._kept))
        self._kept = self._kept[kept:]
        if ahead > kept:
            self._pass(ahead - kept)
        self._at += ahead
        return self._at

    def _pass(self, count: int) -> None:
        """Pass over bytes; what has to be inflated for that is weighed as it goes."""
        if self._budget is None:
            self._rest.seek(count, 1)
            return
        passed = 1
        while count > 0 and passed > 0:
            before = self._rest.tell()
            self._rest.seek(min(count, _PASSED), 1)
            # Nothing where the stream has ended: a size may claim exabytes.
            passed = self._rest.tell() - before
            self._budget.weigh(passed)
            count -= passed

    def read(self, count: int | None = -1) -> bytes:
        """Return bytes from the position on, fewer only at the end."""
        # All that is asked for, unlike a raw stream: tarfile takes a short read for the end.
        whole = count is None or count < 0
        found = bytearray(self._kept if whole else self._kept[:count])
        self._kept = self._kept[len(found) :]
        while whole or len(found) < cast(int, count):
            piece = self._rest.read(-1 if whole else cast(int, count) - len(found))
            if not piece:
                break
            if self._budget is not None:
                self._budget.weigh(len(piece))
            found += piece
        self._at += len(found)
        return bytes(found)


def reason(error: OSError) -> tuple[Kind, str]:
    """Return what an error of the system makes of a file, and say why."""
    if isinstance(error, PermissionError):
        return Kind.ACCESS_DENIED, "permission denied"
    if isinstance(error, (FileNotFoundError, NotADirectoryError)) or error.errno == errno.ESTALE:
        return Kind.VANISHED, "the file was there when it was listed"
    return Kind.UNEXPECTED, error.strerror or type(error).__name__
