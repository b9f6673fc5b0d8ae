"""Take a window; return the elements at the top level of its dataset, one after the other.

What pydicom reads is read as pydicom reads it, sequences that lie about their length included. In
two things the walk goes on where pydicom does not, and says so: an element without a valid VR is
passed by the length that leads to another element, and the end of an item where none is open is
passed over.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import FileDataset
from pydicom.filereader import read_partial

from dcmdask.dicom.sequence_items import (
    ITEM,
    ITEM_END,
    SEQUENCE_END,
    UNDEFINED,
    is_sequence,
    pass_delimited,
    pass_items,
)
from dcmdask.errors import HeaderError
from dcmdask.header.bounds import LAST, LIGHT_TAGS
from dcmdask.header.columnar.elements import DELIMITERS, LONG_VRS, SHORT_VRS
from dcmdask.header.notes import Remark
from dcmdask.types import Kind, Note, Window

_SHORT: Final = {vr.encode(): vr for vr in SHORT_VRS}
_LONG: Final = {vr.encode(): vr for vr in (*LONG_VRS, "SQ")}

_LIGHT: Final = frozenset(LIGHT_TAGS.values())

_MOST_NOTHING: Final = 10_000
"""Zeros that are read as elements, eight bytes each, before they are taken for the end: what lies
behind is padding, or the hole of a sparse file. More than any scan of two windows passes."""

_INVALID_IN_A_ROW: Final = 16
"""Elements without a valid VR that may follow each other."""

_MOST_GUESSES: Final = 10_000
"""Elements without a valid VR of which it is asked what length leads on, some 50 us each."""

_FARTHEST: Final = 1 << 20
"""Bytes behind which another element is not looked for where the size of the file is not known."""


class Opened(NamedTuple):
    """A dataset before its first element.

    Attributes
    ----------
    file : FileDataset
        The meta group, and the command set if there is one.
    start : int
        Offset of the first element.
    implicit, little : bool
        How it is encoded.
    """

    file: FileDataset
    start: int
    implicit: bool
    little: bool


class Element(NamedTuple):
    """One element.

    Attributes
    ----------
    tag, length : int
        As they stand.
    vr : str or None
        None in implicit VR, and where it is none that is known.
    begin, start : int
        Offsets of the element and of its value.
    """

    tag: int
    vr: str | None
    begin: int
    start: int
    length: int

    @property
    def is_delimiter(self) -> bool:
        """Whether it is an item or the end of one or of a sequence."""
        return self.tag >> 16 == DELIMITERS


@contextmanager
def translated(window: Window) -> Iterator[None]:
    """Make a `HeaderError` of whatever pydicom raises while the block reads the window."""
    try:
        yield
    except (HeaderError, MemoryError):
        # What there is memory for has nothing to do with the header.
        raise
    except RecursionError as error:
        raise HeaderError(Kind.CORRUPT, "sequences are nested too deeply") from error
    except Exception as error:
        window.raise_error()
        # pydicom's own words may quote a value: only the class of its error is kept.
        raise HeaderError(Kind.CORRUPT, f"pydicom gave up with {type(error).__name__}") from error


def open_dataset(window: Window) -> Opened:
    """Read what stands before the dataset; tell how that is encoded, as pydicom does.

    Parameters
    ----------
    window : Window
        The bytes; not deflated.

    Raises
    ------
    HeaderError
        ``corrupt`` where pydicom gives up, or what stopped the window's reads.
    """
    window.rewind()
    with translated(window):
        file = read_partial(window, lambda *_: True, force=True)  # type: ignore[arg-type]
    start = window.tell()
    head = window.read(6)
    window.seek(start)
    implicit, little = file.original_encoding
    if len(head) == 6:
        # The letters of the first VR outweigh the transfer syntax.
        implicit = not all(0x40 < letter < 0x5B for letter in head[4:])
    return Opened(file, start, bool(implicit), bool(little))


class Walk:
    """Where a walk over a dataset stands.

    Parameters
    ----------
    stream : Window
        What is walked.
    begin : int
        Offset of the first element.
    implicit, little : bool
        How elements are encoded.
    size : int or None
        Bytes of the file, where that is known.

    Attributes
    ----------
    remarks : list of Remark
        What pydicom or others may read otherwise.
    """

    def __init__(
        self, stream: Window, begin: int, *, implicit: bool, little: bool, size: int | None = None
    ) -> None:
        self.remarks: list[Remark] = []
        self.implicit = implicit
        self._order = "<" if little else ">"
        self._stream = stream
        self._size = size
        self._at = begin
        self._nothing = 0
        self._guesses = 0
        self._tag = 0
        self._is_behind = False
        self._closed = True
        self._ended = False

    def next(self) -> Element | None:
        """Return the next element, the stream at its value; None at the end."""
        while True:
            begin = self._at
            self._stream.seek(begin)
            head = self._stream.read(8)
            element = self._parse(head, begin) if len(head) == 8 else None
            if element is None:
                self._ended = True
                return None
            nothing = not element.tag and not element.length
            self._nothing = self._nothing + 1 if nothing else 0
            if self._nothing > _MOST_NOTHING:
                return None
            if element.tag != ITEM_END:
                break
            # pydicom takes it for the end, wherever it is.
            if not self._leads_on(element.start, self._tag):
                return None
            self._say(Note.STRAY_DELIMITER, element.tag)
            self._at = element.start
        if element.is_delimiter:
            self._say(Note.STRAY_DELIMITER, element.tag)
        else:
            self._note_order(element.tag)
        return element

    def pass_value(self, element: Element, *, build: bool = False) -> int | None:
        """Move past the value of an element.

        Parameters
        ----------
        element : Element
            The last one.
        build : bool
            Whether pydicom will make objects of it: what is too much is refused.

        Returns
        -------
        int or None
            Where it ends; None where the stream ends before, delimiters included.

        Raises
        ------
        HeaderError
            ``too_large`` or ``corrupt`` where `build` is set, or what stopped the reads.
        """
        self._stream.seek(element.start)
        if element.length != UNDEFINED:
            self._at = element.start + element.length
        elif is_sequence(self._stream, element.tag, element.vr):
            if not pass_items(self._stream, UNDEFINED, implicit=self.implicit, build=build):
                self._say(Note.WRONG_LENGTH, element.tag)
            self._closed = len(self._stream.read(8)) == 8
            self._at = self._stream.tell()
        else:
            self._closed = pass_delimited(self._stream, self._order)
            self._at = self._stream.tell()
        return self._at if self._closed else None

    def cut(self) -> Remark | None:
        """Return what is to be said of the end, where it lies inside an element."""
        if not self._ended:
            return None
        stream = self._stream
        stream.seek(self._at)
        if not self._closed or stream.is_past_end():
            return Remark(Note.CUT, keyword_for_tag(self._tag) or None)
        return Remark(Note.CUT) if stream.read(1) else None

    def _note_order(self, tag: int) -> None:
        """Note the tag, and whether it is that of a light attribute behind where they end."""
        self._tag = tag
        if tag > LAST:
            self._is_behind = True
        elif self._is_behind and tag in _LIGHT:
            self._say(Note.OUT_OF_ORDER, tag)

    def _say(self, note: Note, tag: int) -> None:
        """Say one thing once, of the first element that it is true of."""
        if all(remark.note != note for remark in self.remarks):
            known = None if tag >> 16 == DELIMITERS else keyword_for_tag(tag)
            self.remarks.append(Remark(note, known or None))

    def _parse(self, head: bytes, begin: int) -> Element | None:
        """Return the element whose first eight bytes are these; None where it is not whole."""
        group, number, vr, short = struct.unpack(f"{self._order}HH2sH", head)
        tag, start = group << 16 | number, begin + 8
        if not self.implicit and vr in _SHORT:
            return Element(tag, _SHORT[vr], begin, start, short)
        if not self.implicit and vr in _LONG:
            more = self._stream.read(4)
            if len(more) < 4:
                return None
            return Element(tag, _LONG[vr], begin, start + 4, self._number(more))
        if self.implicit or group == DELIMITERS or not any(head):
            return Element(tag, None, begin, start, self._number(head[4:]))
        self._say(Note.INVALID_VR, tag)
        start, length = self._guessed(tag, vr, start, head[4:])
        self._stream.seek(start)
        return Element(tag, None, begin, start, length)

    def _guessed(self, tag: int, vr: bytes, start: int, rest: bytes) -> tuple[int, int]:
        """Return where the value of an element without a valid VR begins, and its length.

        With two bytes as DCMTK has it, else in implicit VR as pydicom has it, else with four: the
        first that leads to another element; if none does, as pydicom has it.
        """
        short = int(struct.unpack(f"{self._order}H", rest[2:])[0])
        if b"AA" <= vr <= b"ZZ":
            return start, short
        self._guesses += 1
        if self._guesses > _MOST_GUESSES:
            return start, self._number(rest)
        more = self._stream.read(4)
        choices = [(start, short), (start, self._number(rest))]
        choices += [(start + 4, self._number(more))] if len(more) == 4 else []
        fitting = (one for one in choices if one[1] != UNDEFINED and self._leads_on(sum(one), tag))
        return next(fitting, choices[1])

    def _number(self, four: bytes) -> int:
        return int(struct.unpack(f"{self._order}L", four)[0])

    def _leads_on(self, at: int, tag: int) -> bool:
        """Tell whether an element that may follow one of `tag` begins here, or the file ends."""
        farthest = self._stream.tell() + _FARTHEST if self._size is None else self._size
        with self._stream.looking_ahead():
            for _ in range(_INVALID_IN_A_ROW):
                if at > farthest:
                    return False
                self._stream.seek(at)
                head = self._stream.read(8)
                if len(head) < 8:
                    self._stream.seek(at)
                    return not head and not self._stream.is_past_end()
                group, number, vr, short = struct.unpack(f"{self._order}HH2sH", head)
                follows = group << 16 | number
                if self.implicit or group == DELIMITERS or vr in _SHORT or vr in _LONG:
                    return self._may_follow(follows, tag, head, farthest - at)
                if follows <= tag:
                    return False
                at, tag = at + 8 + short, follows
        return False

    def _may_follow(self, follows: int, tag: int, head: bytes, room: int) -> bool:
        """Tell whether what stands behind an element of `tag` is another one beyond doubt."""
        if follows in (ITEM_END, SEQUENCE_END):
            return not any(head[4:])
        return tag < follows != ITEM and (not self.implicit or self._number(head[4:]) <= room)
