"""Take an open file; give it as one whose reads are counted, weighed and heard of."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import IO, cast

from dcmdask.errors import HeaderError
from dcmdask.source.archives.limits import Budget
from dcmdask.source.archives.member_stream import DAMAGE, reason
from dcmdask.source.archives.streams import Readable
from dcmdask.source.archives.zip_directory import Opened, open_zips
from dcmdask.source.archives.zip_members import ends_of, spans_of
from dcmdask.source.source_reader import Span, expect
from dcmdask.types import Piece


class Counted(Readable):
    """A file whose reads are counted and whose errors are translated.

    Attributes
    ----------
    raw : file
        The file itself.
    budget : Budget
        Of what is read and inflated of it.
    zips : iterator of Opened, or None
        What it holds, where it was opened as a zip ahead of time.
    lost : HeaderError or None
        Why nothing more can be had of it.
    """

    def __init__(
        self,
        stream: IO[bytes],
        count: Callable[[int], None] | None,
        budget: Budget,
        beat: Callable[[], None],
        refused: Callable[[], None],
    ) -> None:
        super().__init__()
        self.raw = stream
        self.budget = budget
        self.zips: Iterator[Opened] | None = None
        self._stream = stream
        self._count = count
        self._beat = beat
        self._refused = refused

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move the position."""
        if whence == 0 and offset < 0:
            # The system's own words for it would pass for an error of the disk.
            raise ValueError("an offset before the beginning")
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._stream.tell()

    def read(self, count: int | None = -1) -> bytes:
        """Return bytes from the position on."""
        found = bytearray()
        while count is None or count < 0 or len(found) < count:
            wanted = -1 if count is None or count < 0 else count - len(found)
            try:
                piece = self._stream.read(wanted)
            except (OSError, HeaderError):
                # Whoever reads an archive may take it for damage, and says so.
                self._refused()
                raise
            if not piece:
                break
            self._beat()
            found += piece
        if self._count is not None:
            self._count(len(found))
        self.budget.read += len(found)
        return bytes(found)

    @property
    def lost(self) -> HeaderError | None:
        """Why nothing more can be had of it, if that is so."""
        return getattr(self._stream, "lost", None)

    def expect(self, spans: Sequence[Span]) -> None:
        """Tell what will be read."""
        expect(self._stream, spans)

    def prepare(self, piece: Piece, size: int) -> bool:
        """Open it as a zip; what of it comes first is fetched from now on.

        What is wrong with it shows again when it is its turn.

        Returns
        -------
        bool
            Whether it is one that holds something.
        """
        try:
            zips = open_zips(cast(IO[bytes], self), piece, size)
            first = next(zips)
            self.expect(spans_of(first.members, ends_of(first.archive)))
        except (HeaderError, *DAMAGE, OSError, MemoryError, StopIteration):
            return False
        self.zips = itertools.chain([first], zips)
        return bool(first.members)

    def read_at(self, offset: int, count: int) -> bytes:
        """Return bytes at an offset, as `Window` wants them."""
        try:
            self._stream.seek(offset)
            return self.read(count)
        except OSError as error:
            kind, words = reason(error)
            raise HeaderError(kind, words) from error
