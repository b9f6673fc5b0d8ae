"""Take an object of a store; give it as a file of which only the ranges that are asked for are fetched.

Every request costs a round trip, so what is known to come is fetched ahead, many ranges at a time:
those that a reader announces, those that follow in the pattern of the last ones, and, where a file
is read on and on, more and more of it.
"""

from __future__ import annotations

import bisect
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from dcmdask.errors import HeaderError
from dcmdask.remote.remote import Remote
from dcmdask.source.archives.streams import Sized
from dcmdask.source.source_reader import Span

LARGEST = 1024 * 1024
"""Bytes of ranges that are joined: more would keep readers of the first ones waiting."""

_FIRST = 16 * 1024
"""Bytes of a read that nobody announced: the header of a tar's member and the first window of it."""

_MOST = 4 * 1024 * 1024
"""Bytes of a read in a file that is read on and on."""

_AHEAD = 16 * 1024 * 1024
"""Bytes that are under way or wait to be read, of one file."""

_KEPT = 2 * 1024 * 1024
"""Bytes that stay after they were read: whoever looks at a member's head may look again."""

_LARGEST_END = 64 * 1024
_LEAST_END = 4 * 1024
_END_PART = 512
"""A zip's directory takes some 130 bytes a member: of archives of images less than a 512th."""

_MOST_STRIDES = 32


@dataclass(slots=True)
class _Piece:
    """A range that is fetched."""

    start: int
    stop: int
    future: Future[bytes] | None
    content: bytes = b""
    used: bool = False


class RangeFile(Sized):
    """An object of a store as a file.

    Parameters
    ----------
    remote : Remote
        Its container.
    key : str
        Its key.
    size : int
        Bytes.
    etag : str or None
        The entity tag that it must have.
    gap : int
        Bytes between two ranges below which they are read as one.
    told : callable
        Told of the bytes that came, each once.
    beat : callable
        Told that something came.

    Attributes
    ----------
    lost : HeaderError or None
        Why nothing more can be had of it.
    """

    def __init__(
        self,
        remote: Remote,
        key: str,
        size: int,
        etag: str | None,
        gap: int,
        told: Callable[[int], None] = lambda _count: None,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(size)
        self.lost: HeaderError | None = None
        self._remote = remote
        self._key = key
        self._etag = etag
        self._gap = gap
        self._told = told
        self._beat = beat
        self._starts: list[int] = []
        self._pieces: dict[int, _Piece] = {}
        self._read: OrderedDict[int, int] = OrderedDict()
        self._kept = 0
        self._waiting: deque[Span] = deque()
        self._under_way = 0
        self._step = _FIRST
        self._last_end = -1
        self._strides = _Strides()

    def hold(self, start: int, content: bytes) -> None:
        """Take bytes that are there already."""
        if content:
            self._add(_Piece(start, start + len(content), None, content))

    # -- what is to come -------------------------------------------------------------------------

    def expect(self, spans: Iterable[Span]) -> None:
        """Fetch ahead what will be read, in about this order; neighbours as one."""
        # Before what waits already: whoever asks now reads now.
        self._waiting.extendleft(reversed(list(joined(spans, self._gap, self._size))))
        self._top_up()

    def _end(self) -> Span:
        wanted = min(max(self._size // _END_PART, _LEAST_END), _LARGEST_END)
        return max(self._size - wanted, 0), self._size

    def _top_up(self) -> None:
        """Begin with what waits, as far as there is room."""
        while self._waiting and self._under_way < _AHEAD:
            start, stop = self._waiting.popleft()
            if not self._covers(start, stop):
                self._begin(start, stop)

    def _covers(self, start: int, stop: int) -> bool:
        piece = self._find(start)
        return piece is not None and piece.stop >= stop

    def _begin(self, start: int, stop: int) -> _Piece:
        future = self._remote.begin(self._key, start, stop, self._etag)
        piece = _Piece(start, stop, future)
        self._under_way += stop - start
        self._add(piece)
        return piece

    def _add(self, piece: _Piece) -> None:
        before = self._pieces.get(piece.start)
        if before is None:
            bisect.insort(self._starts, piece.start)
        else:
            self._forget(before)
        self._pieces[piece.start] = piece

    # -- reading ---------------------------------------------------------------------------------

    def read(self, count: int | None = -1) -> bytes:
        """Return bytes from the position on; fewer only at the end.

        Raises
        ------
        HeaderError
            They cannot be had.
        """
        if self.lost is not None:
            # Another part would be tried as long, and be of another object maybe.
            raise self.lost
        left = max(self._size - self._at, 0)
        wanted = left if count is None or count < 0 else min(count, left)
        found = bytearray()
        while len(found) < wanted:
            piece = self._piece_at(self._at, wanted - len(found))
            inside = self._at - piece.start
            part = piece.content[inside : inside + wanted - len(found)]
            if not part:
                break
            found += part
            self._at += len(part)
        return bytes(found)

    def read_at(self, offset: int, count: int) -> bytes:
        """Return bytes at an offset."""
        self.seek(offset)
        return self.read(count)

    def _find(self, offset: int) -> _Piece | None:
        """Return the piece that holds an offset, and most of what follows."""
        spot = bisect.bisect_right(self._starts, offset) - 1
        # One that begins before the next one may still reach further.
        for start in reversed(self._starts[max(spot - 1, 0) : spot + 1]):
            piece = self._pieces[start]
            if piece.start <= offset < piece.stop:
                return piece
        return None

    def _piece_at(self, offset: int, wanted: int) -> _Piece:
        piece = self._find(offset)
        if piece is None:
            piece = self._fetch(offset, wanted)
        self._take(piece)
        return piece

    def _fetch(self, offset: int, wanted: int) -> _Piece:
        """Fetch what nobody has announced."""
        end, size = self._end()
        if offset >= end:
            return self._begin(end, size)
        near = 0 <= offset - self._last_end <= self._gap
        self._step = min(2 * self._step, _MOST) if near else _FIRST
        stop = min(offset + max(wanted, self._step), self._size)
        behind = bisect.bisect_right(self._starts, offset)
        if behind < len(self._starts):
            # Up to what is there: the end of a directory whose beginning is not.
            stop = min(stop, max(self._starts[behind], offset + 1))
        self._last_end = stop
        piece = self._begin(offset, stop)
        if near and self._step > LARGEST:
            # While this is read, the next comes.
            self._last_end = min(stop + self._step, self._size)
            if stop < self._size and not self._covers(stop, stop + 1):
                self._begin(stop, self._last_end)
        elif not near:
            self._follow(offset, stop - offset)
        return piece

    def _follow(self, offset: int, length: int) -> None:
        """Fetch what comes next if reads go on in the steps of the last ones."""
        for start in self._strides.follow(offset, self._size):
            if not self._covers(start, start + 1):
                self._begin(start, min(start + length, self._size))

    def _take(self, piece: _Piece) -> None:
        """Wait for a piece."""
        first = not piece.used
        piece.used = True
        if piece.future is not None:
            try:
                piece.content = self._wait(piece.future)
            except HeaderError as error:
                self.lost = error
                self._drop(piece)
                raise
            piece.future = None
            self._under_way -= piece.stop - piece.start
            self._told(len(piece.content))
        if first:
            if self._strides.is_next(piece.start):
                self._last_end = piece.stop
                self._follow(piece.start, piece.stop - piece.start)
            self._kept += len(piece.content)
        self._read[piece.start] = len(piece.content)
        self._read.move_to_end(piece.start)
        while self._kept > _KEPT and len(self._read) > 1:
            start, _ = next(iter(self._read.items()))
            self._drop(self._pieces[start])
        if first:
            self._top_up()

    def _wait(self, future: Future[bytes]) -> bytes:
        content = future.result()
        self._beat()
        return content

    def _drop(self, piece: _Piece) -> None:
        self._forget(piece)
        del self._pieces[piece.start]
        self._starts.remove(piece.start)

    def _forget(self, piece: _Piece) -> None:
        if piece.future is not None:
            self._under_way -= piece.stop - piece.start
            if not piece.future.cancel() and piece.future.done() and not piece.future.exception():
                self._told(len(piece.future.result()))
        self._kept -= self._read.pop(piece.start, 0)

    def close(self) -> None:
        """Let go of all that was fetched."""
        self._waiting.clear()
        for piece in list(self._pieces.values()):
            self._drop(piece)
        super().close()


class _Strides:
    """Tells in which steps a file is read, as the members of a tar that have one size.

    A tar has no directory: its members are found one after the other, a round trip each. Where two
    steps are equal, so may be the next ones: the places they lead to are fetched ahead, more of them
    each time that was right.
    """

    def __init__(self) -> None:
        self._last = -1
        self._step = 0
        self._right = 0
        self._next: list[int] = []

    def is_next(self, offset: int) -> bool:
        """Tell whether an offset was foreseen."""
        return offset in self._next

    def follow(self, offset: int, size: int) -> list[int]:
        """Take the offset of a read; give those that are foreseen behind it."""
        step = offset - self._last if self._last >= 0 else 0
        self._right = self._right + 1 if step > 0 and step == self._step else 0
        self._last, self._step = offset, step
        if not self._right:
            self._next = []
            return []
        many = min(2**self._right, _MOST_STRIDES)
        stops = (offset + step * number for number in range(1, many + 1))
        self._next = [start for start in stops if start < size]
        return self._next


def joined(spans: Iterable[Span], gap: int, size: int) -> Iterator[Span]:
    """Join neighbouring ranges whose gap costs less than a request.

    Parameters
    ----------
    spans : iterable of (int, int)
        Start and stop, in order of starts as far as they are to be joined.
    gap : int
        Bytes between two of them up to which they are joined.
    size : int
        Bytes of the file.

    Examples
    --------
    >>> list(joined([(0, 10), (15, 20), (90, 120)], 8, 100))
    [(0, 20), (90, 100)]
    """
    begun: Span | None = None
    for first, last in spans:
        start, stop = max(first, 0), min(last, size)
        if stop <= start:
            continue
        if begun is None:
            begun = (start, stop)
        elif begun[0] <= start <= begun[1] + gap and stop - begun[0] <= LARGEST:
            begun = (begun[0], max(begun[1], stop))
        else:
            yield begun
            begun = (start, stop)
    if begun is not None:
        yield begun
