"""Take a stream at the value of a sequence; move it to the end without building an item.

pydicom builds every item of a sequence of undefined length, wanted or not: a dataset of a kilobyte
for eight bytes of a file. Here an item costs a microsecond and no memory, nesting costs no stack,
and what is about to be built can be weighed first.
"""

from __future__ import annotations

import struct
from typing import Final, Protocol

from pydicom.datadict import dictionary_VR
from pydicom.tag import Tag
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from dcmdask.errors import HeaderError
from dcmdask.types import Kind

UNDEFINED: Final = 0xFFFFFFFF
"""Length of a value that ends with a delimiter (PS3.5 section 7.5)."""

LARGEST: Final = 1_000_000
"""Elements that may be built of one sequence, an item counting as four: some 400 MB of objects."""

DEEPEST: Final = 100
"""Sequences that may be nested, where they are to be built: pydicom takes five frames for each."""

ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_ITEM_COST = 4
_CHUNK = 4096
_LONG = {vr.value.encode() for vr in EXPLICIT_VR_LENGTH_32}


class Stream(Protocol):
    """What is read: a window, or a value in memory."""

    def read(self, count: int, /) -> bytes:
        """Return so many bytes, fewer at the end."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move the position."""

    def tell(self) -> int:
        """Return the position."""


def is_sequence(stream: Stream, tag: int, vr: str | None) -> bool:
    """Tell whether pydicom takes a value of undefined length for a sequence.

    Parameters
    ----------
    stream : Stream
        At the value; left there.
    tag : int
        Of the element.
    vr : str or None
        As it stands in the file; None in implicit VR.
    """
    if vr is not None:
        return vr in ("SQ", "UN")
    try:
        return dictionary_VR(Tag(tag)) == "SQ"
    except KeyError:
        start = stream.read(4)
        stream.seek(-len(start), 1)
        return start in (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")


def pass_items(stream: Stream, length: int, *, implicit: bool, build: bool = False) -> bool:
    """Move past the items of a sequence (PS3.5 section 7.5).

    Parameters
    ----------
    stream : Stream
        At the value. Left at the sequence's delimiter where the length is undefined, else at its
        end; or where the stream ends before.
    length : int
        Of the value, bytes; `UNDEFINED` for one that is delimited.
    implicit : bool
        Whether the dataset is in implicit VR.
    build : bool
        Whether the sequence is to be built afterwards: all that pydicom would make an object of
        is counted, and what is too much is refused.

    Returns
    -------
    bool
        Whether all that was walked through began and ended as it said it would.

    Raises
    ------
    HeaderError
        ``too_large`` or ``corrupt`` where `build` is set and memory or stack would not suffice.
    """
    start = stream.read(4)
    stream.seek(-len(start), 1)
    walk = _Walk(stream, ">" if start[:2] == b"\xff\xfe" else "<", build)
    walk.enter(None if length == UNDEFINED else stream.tell() + length, implicit)
    while walk.open:
        walk.step()
    return walk.plain


class _Walk:
    """Where a walk over items stands: what is open, from the outermost sequence inwards."""

    def __init__(self, stream: Stream, order: str, build: bool) -> None:
        self.open: list[tuple[bool, int | None, bool]] = []  # is an item, where it ends, implicit
        self.plain = True
        self._stream = stream
        self._order = order
        self._build = build
        self._cost = 0

    def enter(self, end: int | None, implicit: bool, *, item: bool = False) -> None:
        self.open.append((item, end, implicit))
        if self._build and len(self.open) > 2 * DEEPEST:
            raise HeaderError(Kind.CORRUPT, "sequences are nested too deeply")

    def step(self) -> None:
        item, end, implicit = self.open[-1]
        if end is not None and self._stream.tell() >= end:
            self.plain &= self._stream.tell() == end
            self.open.pop()
            return
        head = self._stream.read(8)
        if len(head) < 8:
            self._give_up()
            return
        group, element, length = struct.unpack(f"{self._order}HHL", head)
        tag = group << 16 | element
        self._weigh(1 if item else _ITEM_COST)
        if item:
            self._pass_element(head, tag, length, implicit)
        else:
            self._pass_item(tag, length, implicit)

    def _weigh(self, cost: int) -> None:
        self._cost += cost
        if self._build and self._cost > LARGEST:
            raise HeaderError(Kind.TOO_LARGE, "a sequence holds too many items")

    def _pass_item(self, tag: int, length: int, implicit: bool) -> None:
        if tag == SEQUENCE_END:
            self.open.pop()
            if not self.open:
                self._stream.seek(-8, 1)
            return
        self.plain &= tag == ITEM
        if length == UNDEFINED:
            self.enter(None, implicit or self._turns_implicit(), item=True)
        elif length:
            # Element by element, as pydicom does: an item may end before or behind its length.
            end = self._stream.tell() + length
            self.enter(end, implicit or self._turns_implicit(), item=True)

    def _turns_implicit(self) -> bool:
        """Tell whether an item of an explicit dataset is in implicit VR (PS3.5 section 6.2.2)."""
        start = self._stream.read(6)
        self._stream.seek(-len(start), 1)
        return len(start) == 6 and not all(0x40 < byte < 0x5B for byte in start[4:])

    def _pass_element(self, head: bytes, tag: int, length: int, implicit: bool) -> None:
        vr = None if implicit else head[4:6]
        if vr in _LONG:
            more = self._stream.read(4)
            if len(more) < 4:
                self._give_up()
                return
            length = struct.unpack(f"{self._order}L", more)[0]
        elif vr is not None and b"AA" <= vr <= b"ZZ":
            length = struct.unpack(f"{self._order}H", head[6:8])[0]
        else:
            vr = None
        if tag == ITEM_END:
            _, end, _ = self.open.pop()
            self.plain &= end is None
        elif length != UNDEFINED:
            self._stream.seek(length, 1)
        elif is_sequence(self._stream, tag, vr.decode("latin-1") if vr else None):
            self.enter(None, implicit)
        elif not pass_delimited(self._stream, self._order):
            self._give_up()

    def _give_up(self) -> None:
        """End where the stream does."""
        self.plain = False
        self.open.clear()


def pass_delimited(stream: Stream, order: str) -> bool:
    """Move past a value of undefined length that is no sequence: to behind its delimiter.

    Parameters
    ----------
    stream : Stream
        At the value. Left at the end where there is no delimiter.
    order : str
        ``<`` or ``>``.

    Returns
    -------
    bool
        Whether there was one.
    """
    begin = stream.tell()
    if _pass_fragments(stream, order):
        return True
    stream.seek(begin)
    mark = struct.pack(f"{order}HH", SEQUENCE_END >> 16, SEQUENCE_END & 0xFFFF)
    kept = b""
    while piece := stream.read(_CHUNK):
        kept = kept[-3:] + piece
        at = kept.find(mark)
        if at >= 0:
            stream.seek(stream.tell() - len(kept) + at + 8)
            return True
    return False


def _pass_fragments(stream: Stream, order: str) -> bool:
    """Move past items up to a delimiter (PS3.5 section A.4), if that is what stands there."""
    while len(head := stream.read(8)) == 8:
        group, number, length = struct.unpack(f"{order}HHL", head)
        tag = group << 16 | number
        if tag == SEQUENCE_END:
            return True
        if tag != ITEM:
            return False
        stream.seek(length, 1)
    return False
