"""Take a window; give the light attributes of its instance, read one element after the other.

This is the reader of record: whatever else reads headers must give the same values. pydicom decides
what each of them means.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.uid import MediaStorageDirectoryStorage
from pydicom.valuerep import VR

from dcmdask.dicom.sequence_items import UNDEFINED
from dcmdask.dicom.texts import is_ended
from dcmdask.dicom.values import MALFORMED, TEXT, convert, vr_of
from dcmdask.dicom.windows import WINDOW, has_prefix
from dcmdask.errors import HeaderError
from dcmdask.header.bounds import CLASS, LAST, LIGHT_TAGS, PIXELS, is_expected, is_settled
from dcmdask.header.deflate import plain_window
from dcmdask.header.meaning import LONGEST, encodings_in, meaning_of
from dcmdask.header.notes import Remark
from dcmdask.header.stated_charset import clean_charset
from dcmdask.header.walk import Element, Opened, Walk, open_dataset
from dcmdask.types import Kind, Note, Window

_CHARSET: Final = 0x00080005
_WANTED: Final = frozenset((*LIGHT_TAGS.values(), _CHARSET))
_VRS = {vr.value.encode() for vr in VR if len(vr.value) == 2}
# A first element longer than this is no group length, no UID and no character set.
_LONGEST_FIRST = 1024


@dataclass(frozen=True, slots=True)
class LightHeader:
    """The light attributes of one instance.

    Attributes
    ----------
    values : dict
        Keyword to value, as `dcmdask.tables.schema.INSTANCES` wants it.
    remarks : tuple of Remark
        What is not whole of it.
    """

    values: dict[str, Any]
    remarks: tuple[Remark, ...] = ()

    @property
    def malformed(self) -> list[str]:
        """Keywords of the values that stood there and became None."""
        return [one.attribute or "" for one in self.remarks if one.note == Note.NOT_UNDERSTOOD]

    @property
    def cut(self) -> bool:
        """Whether the file ends inside an element of its header."""
        return any(one.note == Note.CUT for one in self.remarks)


def scan_header(window: Window) -> LightHeader:
    """Read the light attributes of one window.

    Parameters
    ----------
    window : Window
        At any position.

    Returns
    -------
    LightHeader

    Raises
    ------
    HeaderError
        ``not_dicom``, ``dicomdir``, ``truncated``, ``corrupt`` or ``too_large``.
    """
    prefixed = has_prefix(window.head)
    if not prefixed and not _first_element_parses(window.head):
        raise HeaderError(Kind.NOT_DICOM, _why_not(window.head))
    window, syntax = plain_window(window)
    opened = open_dataset(window)
    meta = opened.file.file_meta
    found = _collect(window, opened)
    if _meta_value(meta, "MediaStorageSOPClassUID", TEXT) == MediaStorageDirectoryStorage:
        raise HeaderError(Kind.DICOMDIR, "a directory of other files")
    values = found.values()
    identified = values["SOPClassUID"] or values["SOPInstanceUID"]
    if not prefixed and not values["SOPClassUID"]:
        raise HeaderError(Kind.NOT_DICOM, "no DICM prefix and no SOPClassUID")
    header = LightHeader(values, tuple(found.remarks))
    if not identified and (header.cut or not found.elements):
        raise HeaderError(Kind.TRUNCATED, "the file ends before its SOPClassUID")
    values["TransferSyntaxUID"] = syntax or found.checked(
        "TransferSyntaxUID", _meta_value(meta, "TransferSyntaxUID", TEXT)
    )
    return LightHeader(values, tuple(dict.fromkeys(found.remarks)))


def _first_element_parses(head: bytes) -> bool:
    """Tell whether the first bytes are an element of group 0002 or 0008 in any encoding."""
    if len(head) < 8:
        return False
    for order in "<>":
        group, _, vr, short = struct.unpack(f"{order}HH2sH", head[:8])
        if group not in (2, 8):
            continue
        if vr in _VRS:
            return bool(short <= _LONGEST_FIRST)
        return bool(struct.unpack(f"{order}L", head[4:8])[0] <= _LONGEST_FIRST)
    return False


def _why_not(head: bytes) -> str:
    return "neither a DICM prefix nor a first DICOM element" if head else "the file is empty"


def _meta_value(meta: Dataset, word: str, kind: pa.DataType) -> Any:
    try:
        return convert(meta.get(word), kind, vr_of(word))
    except MemoryError:
        raise
    except Exception:
        return MALFORMED


@dataclass(slots=True)
class _Found:
    """What was found of the light attributes of one file.

    Attributes
    ----------
    little : bool
        How numbers are encoded.
    raw : dict
        Tag to element, as it stands.
    remarks : list of Remark
        What is not whole.
    elements : int
        Elements seen, wanted or not.
    """

    little: bool
    raw: dict[int, RawDataElement] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)
    elements: int = 0

    def take(self, walk: Walk, window: Window, element: Element) -> None:
        """Keep an element if it is wanted; the window stands at its value."""
        self.elements += 1
        if element.tag not in _WANTED:
            return
        length = element.length
        value = window.read(length) if length <= LONGEST else b""
        if length == UNDEFINED and window.read(4) in (b"\xfe\xff\xdd\xe0", b"\xff\xfe\xe0\xdd"):
            length = 0
        self.raw[element.tag] = RawDataElement(
            BaseTag(element.tag), element.vr, length, value, 0, walk.implicit, self.little
        )

    def say(self, remarks: Iterable[Remark], cut: Remark | None = None) -> None:
        """Add what is said of a walk, and of its end."""
        self.remarks += remarks
        if cut is not None:
            self.remarks.append(cut)

    def is_settled(self) -> bool:
        """Tell whether nothing is missing that an instance must have."""
        held = {tag for tag, raw in self.raw.items() if raw.length}
        return is_settled(held, self.raw[CLASS].value or b"" if CLASS in held else b"")

    def values(self) -> dict[str, Any]:
        """Return the values by keyword, as `dcmdask.tables.schema.INSTANCES` wants them."""
        encodings = self._encodings()
        values: dict[str, Any] = {"TransferSyntaxUID": None}
        for word, tag in LIGHT_TAGS.items():
            raw = self.raw.get(tag)
            value = None if raw is None else meaning_of(raw, encodings, word)
            values[word] = self.checked(word, value)
        return values

    def checked(self, word: str, value: Any) -> Any:
        """Say what is odd of a value; return what its column holds."""
        if value is MALFORMED:
            self.remarks.append(Remark(Note.NOT_UNDERSTOOD, word))
            return None
        if is_ended(value):
            self.remarks.append(Remark(Note.NUL_IN_TEXT, word))
        return value

    def _encodings(self) -> tuple[str, ...]:
        raw = self.raw.get(_CHARSET)
        value = b"" if raw is None or not raw.length else raw.value or b""
        if raw is not None and (raw.length > LONGEST or not clean_charset(value)[1]):
            self.remarks.append(Remark(Note.CHARACTER_SET, "SpecificCharacterSet"))
        return encodings_in(value)


def _collect(window: Window, opened: Opened) -> _Found:
    """Find the light attributes, as far as they may stand."""
    found = _Found(opened.little)
    walk = _walk(window, opened, opened.start, window.place.size)
    said: list[Remark] = []
    while (element := walk.next()) is not None:
        if element.tag > LAST and not element.is_delimiter:
            break
        found.take(walk, window, element)
        walk.pass_value(element)
        said = list(walk.remarks)
    if element is None:
        found.say(walk.remarks, walk.cut())
        return found
    found.elements += 1
    if element.tag < PIXELS and (
        not found.is_settled()
        or (not is_expected(found.raw) and _is_out_of_order(window, opened, element.begin))
    ):
        _read_on(window, walk, element, found)
        found.say(walk.remarks)
    else:
        # Of the element that ends the reading nothing is said: only its tag was looked at.
        found.say(one for one in walk.remarks if one in said or one.note != Note.INVALID_VR)
    return found


def _walk(stream: Window, opened: Opened, begin: int, size: int | None = None) -> Walk:
    return Walk(stream, begin, implicit=opened.implicit, little=opened.little, size=size)


def _is_out_of_order(window: Window, opened: Opened, begin: int) -> bool:
    """Tell whether a lower element stands behind the one here, as far as that costs nothing.

    That is as far as the first bytes reach, over plain elements. Exactly so far look the columns
    too: which files are read on is the same for both.
    """
    head = Window(window.place, window.head[:WINDOW], None, 0)
    walk = _walk(head, opened, begin)
    while (one := walk.next()) is not None:
        is_odd = any(remark.note != Note.OUT_OF_ORDER for remark in walk.remarks)
        if one.tag <= LAST and not is_odd:
            return True
        # Undefined lengths are odd.
        if one.tag >= PIXELS or one.length & 1 or is_odd:
            break
        walk.pass_value(one)
    return False


def _read_on(window: Window, walk: Walk, element: Element, found: _Found) -> None:
    """Read on to the pixel data for elements that stand behind others of a higher tag."""
    # What stands before is known, and was all that an ordered file has: too much of the rest
    # costs neither it nor whoever reads deeply.
    with window.looking_ahead(), suppress(HeaderError):
        walk.pass_value(element)
        while (one := walk.next()) is not None:
            if one.tag >= PIXELS and not one.is_delimiter:
                break
            found.take(walk, window, one)
            walk.pass_value(one)
        found.say([], walk.cut())
