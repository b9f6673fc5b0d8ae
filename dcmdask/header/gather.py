"""Take a window; return a dataset of the wanted elements, where the file is not plain.

What is odd at the top level is mended before pydicom reads it: elements without a valid VR get that
of the data dictionary, delimiters that close nothing are left out, the character set is cleaned.
"""

from __future__ import annotations

import io
import struct
from typing import Final, NamedTuple

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from dcmdask.dicom.sequence_items import UNDEFINED
from dcmdask.header.columnar.elements import SHORT_VRS
from dcmdask.header.notes import Remark
from dcmdask.header.stated_charset import LONGEST, clean_charset
from dcmdask.header.walk import Element, Opened, Walk, open_dataset, translated
from dcmdask.types import Window

CHARSET: Final = 0x00080005


class Gathered(NamedTuple):
    """What was read of some elements of a file.

    Attributes
    ----------
    dataset : Dataset
        Of them.
    remarks : tuple of Remark
        What is odd of the file, as far as it was walked.
    whole : bool
        Whether none of them was left out.
    """

    dataset: Dataset
    remarks: tuple[Remark, ...] = ()
    whole: bool = True


def gather(window: Window, last: int, wanted: frozenset[int]) -> Gathered:
    """Read the wanted elements of a file up to one of another tag.

    Parameters
    ----------
    window : Window
        At any position; not deflated. Left at the element at which reading stopped, or at the end.
    last : int
        Tag of the element to stop before.
    wanted : frozenset of int
        Tags of top-level elements.

    Raises
    ------
    HeaderError
        ``corrupt`` where pydicom gives up, ``too_large`` where a sequence or value is too much, or
        what stopped the window's reads.
    """
    opened = open_dataset(window)
    walk = Walk(
        window,
        opened.start,
        implicit=opened.implicit,
        little=opened.little,
        size=window.place.size,
    )
    pieces, whole = [_first_element(opened)], True
    while (element := walk.next()) is not None:
        if element.tag >= last and not element.is_delimiter:
            window.seek(element.begin)
            break
        if element.tag in wanted or element.tag == CHARSET:
            piece = _piece(window, walk, element, opened)
            whole &= piece is not None
            pieces.append(piece or b"")
        else:
            walk.pass_value(element)
    cut = walk.cut()
    with translated(window):
        dataset = read_dataset(io.BytesIO(b"".join(pieces)), opened.implicit, opened.little)
    return Gathered(dataset, (*walk.remarks, *([cut] if cut else [])), whole)


def _first_element(opened: Opened) -> bytes:
    """Return an element by which pydicom knows the encoding, and which nobody asks for."""
    order = "<" if opened.little else ">"
    if opened.implicit:
        return struct.pack(f"{order}HHLL", 8, 0, 4, 0)
    return struct.pack(f"{order}HH2sHL", 8, 0, b"UL", 4, 0)


def _piece(window: Window, walk: Walk, element: Element, opened: Opened) -> bytes | None:
    """Return the bytes of one element, the walk behind it; None where they are not all there."""
    if element.tag == CHARSET:
        walk.pass_value(element)
        window.seek(element.start)
        value = window.read(element.length) if element.length <= LONGEST else b""
        names, _ = clean_charset(value)
        return _head(opened, CHARSET, "CS", len(names)) + names
    with window.looking_ahead():
        # Walked once to weigh it, and read once.
        end = walk.pass_value(element, build=element.length == UNDEFINED)
    if end is None:
        return None
    if opened.implicit or element.vr is not None:
        window.seek(element.begin)
        return window.read(end - element.begin)
    vr = dictionary_VR(element.tag)[:2]
    if vr in SHORT_VRS and element.length > 0xFFFF:
        return None
    window.seek(element.start)
    return _head(opened, element.tag, vr, element.length) + window.read(end - element.start)


def _head(opened: Opened, tag: int, vr: str, length: int) -> bytes:
    """Return what stands before a value."""
    order = "<" if opened.little else ">"
    group, number = tag >> 16, tag & 0xFFFF
    if opened.implicit:
        return struct.pack(f"{order}HHL", group, number, length)
    if vr in SHORT_VRS:
        return struct.pack(f"{order}HH2sH", group, number, vr.encode(), length)
    return struct.pack(f"{order}HH2sHL", group, number, vr.encode(), 0, length)
