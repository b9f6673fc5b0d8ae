"""Take a window; give the light attributes of its instance, read by pydicom with an early stop.

This is the reader of record: whatever else reads headers must give the same values.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag
from pydicom.uid import MediaStorageDirectoryStorage
from pydicom.valuerep import VR

from dcmdask.errors import HeaderError
from dcmdask.extract.items import UNDEFINED, is_sequence, pass_items
from dcmdask.header.deflate import plain_window
from dcmdask.header.notes import Remark
from dcmdask.schema import INSTANCES, LIGHT
from dcmdask.types import Kind, Note, Window
from dcmdask.values import MALFORMED, TEXT, convert
from dcmdask.windows import has_prefix

_LIGHT_TAGS = {word: tag_for_keyword(word) for word in LIGHT if word != "TransferSyntaxUID"}
_CHARSET = tag_for_keyword("SpecificCharacterSet")
_LAST = max(tag for tag in _LIGHT_TAGS.values() if tag is not None)
_WANTED: list[BaseTag | int] = [tag for tag in _LIGHT_TAGS.values() if tag is not None]
_VRS = {vr.value.encode() for vr in VR if len(vr.value) == 2}
# A first element longer than this is no group length, no UID and no character set.
_LONGEST_FIRST = 1024
# What explicit VR can say of a light attribute's length; implicit VR can claim gigabytes.
_LONGEST = 65_534

_MOST_NOTHING = 10_000
"""Zeros that are read as elements, eight bytes each, before they are taken for the end: what lies
behind is padding, or the hole of a sparse file. More than any scan of two windows passes."""

StopWhen = Callable[[BaseTag, str | None, int], bool]


@dataclass(frozen=True, slots=True)
class LightHeader:
    """The light attributes of one instance.

    Attributes
    ----------
    values : dict
        Keyword to value, as `dcmdask.schema.INSTANCES` wants it.
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
    stop = _AfterLight()
    dataset = read_until(window, stop, _WANTED)
    if _value(dataset.file_meta, "MediaStorageSOPClassUID", TEXT) == MediaStorageDirectoryStorage:
        raise HeaderError(Kind.DICOMDIR, "a directory of other files")
    values, malformed = _light_values(dataset)
    identified = values["SOPClassUID"] or values["SOPInstanceUID"]
    if not prefixed and not values["SOPClassUID"]:
        raise HeaderError(Kind.NOT_DICOM, "no DICM prefix and no SOPClassUID")
    cut = window.ended and (window.cut or window.is_past_end())
    if not identified and (cut or not stop.asked):
        raise HeaderError(Kind.TRUNCATED, "the file ends before its SOPClassUID")
    if syntax is not None:
        values["TransferSyntaxUID"] = syntax
    remarks = [Remark(Note.NOT_UNDERSTOOD, word) for word in malformed]
    if cut:
        remarks.insert(0, Remark(Note.CUT))
    return LightHeader(values, tuple(remarks))


def read_until(window: Window, stop: StopWhen, tags: list[BaseTag | int]) -> FileDataset:
    """Read a dataset with pydicom until `stop` says so.

    Parameters
    ----------
    window : Window
        The bytes; not deflated. Left where reading stopped.
    stop : callable
        (tag, VR, length) to bool, as pydicom's ``stop_when``.
    tags : list of int
        Top-level elements to keep; all others are passed over, whatever their length.

    Raises
    ------
    HeaderError
        ``corrupt`` where pydicom gives up, or what stopped the window's reads.
    """
    window.rewind()
    sequences = {int(tag) for tag in tags if dictionary_VR(tag) == "SQ"}
    sparing = _sparing(window, stop, sequences)
    try:
        return read_partial(window, sparing, force=True, specific_tags=tags)  # type: ignore[arg-type]
    except (HeaderError, MemoryError):
        # What there is memory for has nothing to do with the header.
        raise
    except RecursionError as error:
        raise HeaderError(Kind.CORRUPT, "sequences are nested too deeply") from error
    except Exception as error:
        window.raise_error()
        # pydicom's own words may quote a value: only the class of its error is kept.
        raise HeaderError(Kind.CORRUPT, f"pydicom gave up with {type(error).__name__}") from error


def _sparing(window: Window, stop: StopWhen, wanted: set[int]) -> StopWhen:
    """Give a `stop` that also weighs sequences, and moves the window past those nobody wants.

    pydicom asks it with the window at the value. What is left there is an empty sequence.
    """
    nothing = 0

    def sparing(tag: BaseTag, vr: str | None, length: int) -> bool:
        nonlocal nothing
        nothing = 0 if tag or length else nothing + 1
        if nothing > _MOST_NOTHING or stop(tag, vr, length):
            return True
        if tag == _CHARSET and length > _LONGEST and length != UNDEFINED:
            # pydicom decodes and splits it at once, at sixteen times its size.
            raise HeaderError(Kind.CORRUPT, "the character set is no name of any")
        if length == UNDEFINED and is_sequence(window, tag, vr):
            if tag in wanted:
                with window.looking_ahead():
                    pass_items(window, length, implicit=vr is None, build=True)
            else:
                pass_items(window, length, implicit=vr is None)
        return False

    return sparing


class _AfterLight:
    """Stops behind the last light attribute; knows whether there was any element at all."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, tag: BaseTag, _vr: str | None, _length: int) -> bool:
        self.asked = True
        return int(tag) > _LAST


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


def _light_values(dataset: FileDataset) -> tuple[dict[str, Any], list[str]]:
    values: dict[str, Any] = {}
    malformed = []
    for word in LIGHT:
        holder = dataset.file_meta if word == "TransferSyntaxUID" else dataset
        value = _value(holder, word, INSTANCES.field(word).type)
        if value is MALFORMED:
            malformed.append(word)
            value = None
        values[word] = value
    return values, malformed


def _value(holder: Dataset, word: str, kind: pa.DataType) -> Any:
    try:
        raw = holder.get_item(word)
        if isinstance(raw, RawDataElement) and raw.length > _LONGEST:
            return MALFORMED
        return convert(holder.get(word), kind)
    except MemoryError:
        raise
    except Exception:
        return MALFORMED
