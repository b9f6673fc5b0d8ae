"""Take what archives are read from; keep it from inflating, listing or describing without end."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from typing import IO, Any, cast

from dcmdask.errors import HeaderError
from dcmdask.source.archives.damage import TarCutOffError
from dcmdask.source.archives.streams import Over, Sized
from dcmdask.types import Kind, Place

LARGEST_INFLATED = 1024**3
"""Bytes that any file may be inflated to: a few seconds."""

MOST_TIMES = 500
"""Beyond that, how many times as large as what was read of it: images inflate to two or three
times as much, masks, which are mostly zeros, to some hundred; deflate reaches 1,032, xz 7,000 and
bzip2 20,000 with nothing but zeros. So an archive of terabytes is read to its end, a bomb is not.
"""

LARGEST_LISTED = 256 * 1024 * 1024
"""Bytes of the paths and URLs of one archive's members, which are held until its partition is
written: half a million members with paths of 150 letters."""

LARGEST_EXTENDED = 1024 * 1024
"""Bytes of the headers before one member of a tar: names, attributes, maps of sparse files."""

MOST_WORDS = 10_000
"""Words that the global headers of a tar may set: they are copied for every member."""

# tarfile looks for numbers in extended headers in a way that takes the square of their digits
# (CVE-2024-6232).
_DIGITS = re.compile(rb"[0-9]{256}")


# Public names that the type stubs of the standard library leave out.
_DAMAGED_HEADER: type[Exception] = getattr(tarfile, "InvalidHeaderError")  # noqa: B009
_CUT_HEADER: type[Exception] = getattr(tarfile, "TruncatedHeaderError")  # noqa: B009
_END_SEARCHED = 1024 * 1024
"""Bytes behind the end mark of a tar in which a member that it hides would show."""
_BLOCK = 64 * 1024


class Budget:
    """What has been read, inflated and listed of one file.

    Parameters
    ----------
    size : int or None
        Of the file, bytes: members that overlap are read more than once, and pay once.

    Attributes
    ----------
    read : int
        Bytes of the file.
    """

    def __init__(self, size: int | None = None) -> None:
        self.read = 0
        self._size = size
        self._inflated = 0
        self._listed = 0
        self._is_bomb = False

    def weigh(self, count: int) -> None:
        """Add bytes that were inflated.

        Raises
        ------
        HeaderError
            ``too_large``: it is a bomb.
        """
        self._inflated += count
        paid = self.read if self._size is None else min(self.read, self._size)
        large = self._inflated > LARGEST_INFLATED
        # Once it is, it stays so: otherwise what is read after it would buy more.
        self._is_bomb = self._is_bomb or (large and self._inflated > MOST_TIMES * paid)
        if self._is_bomb:
            words = (
                f"it inflates to more than {LARGEST_INFLATED} bytes and {MOST_TIMES} times its size"
            )
            raise HeaderError(Kind.TOO_LARGE, words)

    def list(self, place: Place) -> None:
        """Add a member.

        Raises
        ------
        HeaderError
            ``too_large``: there are too many of them, or they have names of megabytes.
        """
        self._listed += len(place.url) + len(place.path) + len(place.folder) + len(place.file_name)
        if self._listed > LARGEST_LISTED:
            words = f"the names of its members take more than {LARGEST_LISTED} bytes"
            raise HeaderError(Kind.TOO_LARGE, words)


class _Headers(Over):
    """A tar of which not more than so many bytes are read before the next member."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(stream)
        self._left: int | None = LARGEST_EXTENDED

    def limit(self) -> None:
        """Begin to look for a member."""
        self._left = LARGEST_EXTENDED

    def free(self) -> None:
        """Let the member that was found be read."""
        self._left = None

    def read(self, count: int = -1) -> bytes:
        if self._left is None:
            return self._stream.read(count)
        self._left -= count
        if self._left < 0:
            words = f"more than {LARGEST_EXTENDED} bytes of headers before a member"
            raise HeaderError(Kind.TOO_LARGE, words)
        found = self._stream.read(count)
        if count > tarfile.BLOCKSIZE and _DIGITS.search(found):
            raise tarfile.ReadError("a number of hundreds of digits in an extended header")
        return found


def open_tar(
    stream: IO[bytes], header: type[tarfile.TarInfo]
) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo | None]]:
    """Open a tar and walk through its members.

    Parameters
    ----------
    stream : file
        It is only read forward.
    header : type
        Of the members.

    Yields
    ------
    archive : tarfile.TarFile
        The same each time; `tarfile.TarFile.fileobj` may be read.
    member : tarfile.TarInfo or None
        None behind the last one.

    Raises
    ------
    HeaderError
        ``too_large``: headers without end.
    """
    headers = _Headers(stream)
    # Not tarfile's own mode for streams, "r|": it skips a member of the size that a damaged
    # header claims in steps of 10 kB, also beyond the end, for hours.
    with tarfile.open(fileobj=cast(IO[bytes], headers), mode="r:", tarinfo=header) as archive:
        member: tarfile.TarInfo | None = None
        while True:
            headers.limit()
            member = archive.next()
            headers.free()
            # The list that tarfile keeps of every member would grow with the archive.
            cast(Any, archive).members.clear()
            if len(archive.pax_headers) > MOST_WORDS:
                raise HeaderError(Kind.TOO_LARGE, f"more than {MOST_WORDS} words in global headers")
            yield archive, member
            if member is None:
                return


def section(stream: IO[bytes], start: int, size: int) -> IO[bytes]:
    """Return a stretch of a stream as a file: an archive that lies uncompressed in another.

    Parameters
    ----------
    stream : file
        That can be read anywhere; its position changes.
    start, size : int
        The stretch, bytes.
    """
    return cast(IO[bytes], _Section(stream, start, size))


class _Section(Sized):
    """A stretch of another stream."""

    def __init__(self, stream: IO[bytes], start: int, size: int) -> None:
        super().__init__(size)
        self._stream = stream
        self._start = start

    def read(self, count: int | None = -1) -> bytes:
        left = max(self._size - self._at, 0)
        wanted = left if count is None or count < 0 else min(count, left)
        if not wanted:
            return b""
        self._stream.seek(self._start + self._at)
        found = self._stream.read(wanted)
        self._at += len(found)
        return found


class StrictTarInfo(tarfile.TarInfo):
    """A tar header that says when it is damaged.

    `tarfile` takes a bad header after the first one for the end of the archive, and what follows
    would be lost without a word; and a negative size leads it back to where it was, for ever
    (CVE-2025-8194).

    The methods are those that the standard library leaves to subclasses; its stubs leave them out.
    """

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> StrictTarInfo:
        """Return the next header."""
        try:
            return super().fromtarfile(tarfile_)
        except _CUT_HEADER as error:
            raise TarCutOffError("the archive ends within a header") from error
        except _DAMAGED_HEADER as error:
            raise tarfile.ReadError("a header in the archive is damaged") from error

    def _block(self, count: int) -> int:
        if count < 0:
            raise tarfile.ReadError("a size in the archive is negative")
        return int(cast(Any, super())._block(count))  # noqa: SLF001 - its own base


def check_end(stream: IO[bytes]) -> None:
    """Raise where a tar goes on behind the mark that ends it: a header there was wiped out."""
    left = _END_SEARCHED
    while left > 0 and (piece := stream.read(min(left, _BLOCK))):
        if piece.strip(b"\0"):
            raise tarfile.ReadError("the archive goes on behind its end mark")
        left -= len(piece)
