"""What the streams of this room have in common: they are read, most of them over another stream."""

from __future__ import annotations

import io
from typing import IO, Any


class Readable(io.RawIOBase):
    """A stream that is read and moved in; `read` is what it is made of."""

    def readable(self) -> bool:
        """Tell that it is read."""
        return True

    def seekable(self) -> bool:
        """Tell that its position can be moved."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as there are bytes; give how many."""
        piece = self.read(len(buffer)) or b""
        buffer[: len(piece)] = piece
        return len(piece)


class Sized(Readable):
    """A stream of so many bytes, with a position of its own.

    Parameters
    ----------
    size : int
        Bytes.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._at = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move the position; beyond the end is allowed, as for any file."""
        if whence:
            offset += self._at if whence == 1 else self._size
        if offset < 0:
            # Of a file shorter than the end of a zip, `zipfile` expects what a system says.
            raise (OSError if whence == 2 else ValueError)("an offset before the beginning")
        self._at = offset
        return offset

    def tell(self) -> int:
        """Return the position."""
        return self._at


class Over(Readable):
    """A stream at the position of another.

    Parameters
    ----------
    stream : file
        The other one.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self._stream = stream

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move the position."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._stream.tell()

    def read(self, count: int = -1) -> bytes:
        """Return bytes from the position on."""
        return self._stream.read(count)
