"""Take the window of one file; give how its elements follow each other, for others to be held against.

A file whose element headers are, byte for byte, those of another at the same distances has the same
elements: where the first is equal, its length says that the second begins at the same distance, and
so on. So one comparison passes a whole stretch of elements, and proves it.
"""

from __future__ import annotations

import struct
from bisect import bisect_right, insort
from typing import NamedTuple

import numpy as np

from dcmdask.dicom.sequence_items import ITEM, ITEM_END, SEQUENCE_END, UNDEFINED
from dcmdask.header.bounds import LAST
from dcmdask.header.columnar.elements import (
    DEEPEST,
    DELIMITERS,
    IS_LONG,
    IS_SEQUENCE,
    KIND_OF_VR,
    LONGEST_HEAD,
    META,
    NO_END,
    Int,
    Words,
    is_public_sequence,
    slot_of,
)

_HEAD = struct.Struct("<HHHH")
_LONG_LENGTH = struct.Struct("<L")
_KINDS: bytes = KIND_OF_VR.tobytes()
_TAG_AND_VR = 0xFFFFFFFFFFFF
_TAG = 0xFFFFFFFF


class Element(NamedTuple):
    """One element of the file that leads; `at` is relative to where its layout begins."""

    at: int
    tag: int
    vr: int
    header: int
    length: int
    depth: int


class Segment(NamedTuple):
    """A stretch of elements that is passed at once.

    Attributes
    ----------
    stop : int
        Number of the element behind it.
    lanes, expected : numpy.ndarray
        Offsets (in bytes, from the first element) of the eight bytes that have to be equal, and
        these; shape (lanes,).
    elements : numpy.ndarray of int64
        Number of the element that each lane belongs to.
    last : int
        Offset of what is behind the strict part: the last element if that is loose, else the next.
    loose : Element or None
        The last element, if it may have any length.
    mask, head : numpy.uint64
        Which bits of its first eight bytes say what it is, not how long; and these.
    """

    stop: int
    lanes: Int
    expected: Words
    elements: Int
    last: int
    loose: Element | None
    mask: np.uint64
    head: np.uint64


class Layout:
    """Elements of one file, in order, from a top-level element on.

    Parameters
    ----------
    elements : list of Element
        In order; ends at the top level.
    words : numpy.ndarray of uint64
        The eight bytes at every even offset from the first element on.
    implicit, meta : bool
        As for the lockstep.

    Attributes
    ----------
    tags : dict
        Tag of each top-level element to its number.
    """

    def __init__(
        self, elements: list[Element], words: Words, *, implicit: bool, meta: bool
    ) -> None:
        self.implicit = implicit
        self.meta = meta
        self.tags: dict[int, int] = {}
        self._elements = elements
        self._segments: dict[int, Segment] = {}
        lanes: list[int] = []
        owners: list[int] = []
        first = []
        stops = []
        for number, element in enumerate(elements):
            first.append(len(lanes))
            lanes.append(element.at)
            owners.append(number)
            if element.header > 8:
                # The length of a long element: the eight bytes that end with it.
                lanes.append(element.at + 4)
                owners.append(number)
            if not element.depth:
                self.tags.setdefault(element.tag, number)
                if slot_of(element.tag, meta=meta) is not None:
                    stops.append(number + 1)
        self._stops = stops
        self._first_lane = np.array([*first, len(lanes)], np.int64)
        self._lanes = np.array(lanes, np.int64)
        self._expected = words[self._lanes >> 1]
        self._owners = np.array(owners, np.int64)

    def __len__(self) -> int:
        return len(self._elements)

    def top_of(self, number: int) -> int:
        """Return the top-level element that one belongs to."""
        while self._elements[number].depth:
            number -= 1
        return number

    def distance(self, start: int, stop: int) -> int:
        """Return the bytes from one element to another."""
        return self._elements[stop].at - self._elements[start].at

    def loosen(self, number: int) -> bool:
        """Let a top-level element have any length from now on; tell whether it can."""
        element = self._elements[number]
        if element.depth or element.length == UNDEFINED:
            return False
        if number + 1 not in self._stops:
            insort(self._stops, number + 1)
            self._segments.clear()
        return True

    def segment(self, start: int) -> Segment:
        """Return the stretch from a top-level element to the next one that may have any length."""
        if start not in self._segments:
            spot = bisect_right(self._stops, start)
            ends_loose = spot < len(self._stops)
            stop = self._stops[spot] if ends_loose else len(self)
            begin, end = self._first_lane[start], self._first_lane[stop - ends_loose]
            base = self._elements[start].at
            tail = self._elements[stop - 1]
            mask = np.uint64(_TAG if self.implicit else _TAG_AND_VR)
            self._segments[start] = Segment(
                stop,
                self._lanes[begin:end] - base,
                self._expected[begin:end],
                self._owners[begin:end],
                (tail.at if ends_loose else tail.at + tail.header + _inner(tail)) - base,
                tail if ends_loose else None,
                mask,
                self._expected[self._first_lane[stop - 1]] & mask,
            )
        return self._segments[start]


def _inner(element: Element) -> int:
    """Return the bytes to the next element: what an item of undefined length holds is walked."""
    is_frame = element.length == UNDEFINED or element.tag >> 16 == DELIMITERS
    return 0 if is_frame else element.length


def lay_out(row: memoryview, start: int, words: Words, *, implicit: bool, meta: bool) -> Layout:
    """Lay out a file from a top-level element to the last that is wanted or plain.

    Parameters
    ----------
    row : memoryview
        The bytes of its window that hold something.
    start : int
        Offset in the row at which the element begins.
    words : numpy.ndarray of uint64
        The eight bytes at every even offset from `start` on.
    implicit, meta : bool
        As for the lockstep.

    Returns
    -------
    Layout
        It ends, at the top level, before what is not plain or not whole in the window.
    """
    elements: list[Element] = []
    nesting = _Nesting(implicit=implicit, meta=meta)
    whole, at = 0, start
    while at + LONGEST_HEAD <= len(row):
        if not nesting.depth:
            whole = len(elements)
        element = _read(row, at, nesting, start)
        if not nesting.depth and _is_behind(element.tag, meta=meta):
            break
        if not nesting.enter(element, at):
            break
        elements.append(element)
        at += element.header + _inner(element)
        if not nesting.leave(at):
            break
    if not nesting.depth and at <= len(row):
        whole = len(elements)
    return Layout(elements[:whole], words, implicit=implicit, meta=meta)


def _is_behind(tag: int, *, meta: bool) -> bool:
    """Tell whether a top-level element lies behind all that is wanted."""
    group = tag >> 16
    return (meta and group != META) or (tag > LAST and group != DELIMITERS)


def _read(row: memoryview, at: int, nesting: _Nesting, start: int) -> Element:
    group, number, third, fourth = _HEAD.unpack_from(row, at)
    header, length, vr = 8, fourth, third
    if nesting.implicit or group == DELIMITERS:
        length, vr = third | fourth << 16, 0
    elif _KINDS[third] >= IS_LONG:
        header, length = 12, _LONG_LENGTH.unpack_from(row, at + 8)[0]
    return Element(at - start, group << 16 | number, vr, header, length, nesting.depth)


class _Nesting:
    """The sequences and items that are open; `depth` is odd between items."""

    def __init__(self, *, implicit: bool, meta: bool) -> None:
        self.implicit = implicit
        self.meta = meta
        self.depth = 0
        self._ends = [NO_END] * (DEEPEST + 2)

    def enter(self, element: Element, at: int) -> bool:
        """Take an element in; tell whether it is plain, as the lockstep would have it."""
        tag, length = element.tag, element.length
        if self.depth & 1:
            return self._pass_item(tag, length, at)
        if tag == ITEM_END and self.depth and self._ends[self.depth] == NO_END:
            self.depth -= 1
            return True
        if tag >> 16 == DELIMITERS or not (self.implicit or _KINDS[element.vr]):
            return False
        if length != UNDEFINED:
            return not length & 1
        if not self.depth and slot_of(tag, meta=self.meta) is not None:
            return False
        is_open = is_public_sequence(tag) if self.implicit else _KINDS[element.vr] == IS_SEQUENCE
        self.depth += is_open
        return is_open and self.depth < DEEPEST

    def _pass_item(self, tag: int, length: int, at: int) -> bool:
        if tag == ITEM:
            self.depth += 1
            self._ends[self.depth] = NO_END if length == UNDEFINED else at + 8 + length
        elif tag == SEQUENCE_END:
            self.depth -= 1
        return tag in (ITEM, SEQUENCE_END)

    def leave(self, at: int) -> bool:
        """Leave the item that ends here; tell whether it ends where it said it would."""
        if self.depth and not self.depth & 1:
            end = self._ends[self.depth]
            self.depth -= at == end
            return at <= end
        return True
