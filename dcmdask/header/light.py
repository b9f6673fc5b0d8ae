"""Take a window; give the light attributes of its instance, read by pydicom with an early stop.

This is the reader of record: whatever else reads headers must give the same values.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag
from pydicom.uid import MediaStorageDirectoryStorage
from pydicom.valuerep import VR

from dcmdask.errors import HeaderError
from dcmdask.header.deflate import plain_window
from dcmdask.schema import INSTANCES, LIGHT
from dcmdask.types import Kind, Window
from dcmdask.values import MALFORMED, convert

_PREFIX_AT = 128
_PREFIX = b"DICM"
_LIGHT_TAGS = {word: tag_for_keyword(word) for word in LIGHT if word != "TransferSyntaxUID"}
_LAST = max(tag for tag in _LIGHT_TAGS.values() if tag is not None)
_WANTED: list[BaseTag | int] = [tag for tag in _LIGHT_TAGS.values() if tag is not None]
_VRS = {vr.value.encode() for vr in VR if len(vr.value) == 2}
# A first element longer than this is no group length, no UID and no character set.
_LONGEST_FIRST = 1024

StopWhen = Callable[[BaseTag, str | None, int], bool]


@dataclass(frozen=True, slots=True)
class LightHeader:
    """The light attributes of one instance.

    Attributes
    ----------
    values : dict
        Keyword to value, as `dcmdask.schema.INSTANCES` wants it.
    malformed : int
        Values that stood there and became None.
    cut : bool
        The file ends inside an element of its header.
    """

    values: dict[str, Any]
    malformed: int
    cut: bool


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
    dataset = read_until(window, _after_light, _WANTED)
    _refuse_directory(dataset)
    if not prefixed and not dataset.get("SOPClassUID"):
        raise HeaderError(Kind.NOT_DICOM, "no DICM prefix and no SOPClassUID")
    cut = _is_cut(window)
    if cut and not dataset.get("SOPClassUID") and not dataset.get("SOPInstanceUID"):
        raise HeaderError(Kind.TRUNCATED, "the file ends before its SOPClassUID")
    values, malformed = _light_values(dataset)
    if syntax is not None:
        values["TransferSyntaxUID"] = syntax
    return LightHeader(values, malformed, cut)


def has_prefix(head: bytes) -> bool:
    """Tell whether a file begins as PS3.10 section 7.1 says."""
    return head[_PREFIX_AT : _PREFIX_AT + 4] == _PREFIX


def read_until(window: Window, stop: StopWhen, tags: list[BaseTag | int] | None) -> FileDataset:
    """Read a dataset with pydicom until `stop` says so.

    Parameters
    ----------
    window : Window
        The bytes; not deflated. Left where reading stopped.
    stop : callable
        (tag, VR, length) to bool, as pydicom's ``stop_when``.
    tags : list of int or None
        Top-level elements to keep; None for all.

    Raises
    ------
    HeaderError
        ``corrupt`` where pydicom gives up, or what stopped the window's reads.
    """
    window.rewind()
    try:
        return read_partial(window, stop, force=True, specific_tags=tags)  # type: ignore[arg-type]
    except HeaderError:
        raise
    except RecursionError as error:
        raise HeaderError(Kind.CORRUPT, "sequences are nested too deeply") from error
    except Exception as error:
        window.raise_error()
        # pydicom's own words may quote a value: only the class of its error is kept.
        raise HeaderError(Kind.CORRUPT, f"pydicom gave up with {type(error).__name__}") from error


def _after_light(tag: BaseTag, _vr: str | None, _length: int) -> bool:
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


def _refuse_directory(dataset: FileDataset) -> None:
    meta = getattr(dataset, "file_meta", None)
    if meta is not None and meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        raise HeaderError(Kind.DICOMDIR, "a directory of other files")


def _is_cut(window: Window) -> bool:
    """Tell whether a read ran past the end of the file inside an element."""
    size = window.place.size
    return window.ended and (window.cut or (size is not None and window.tell() > size))


def _light_values(dataset: FileDataset) -> tuple[dict[str, Any], int]:
    values: dict[str, Any] = {}
    malformed = 0
    meta = getattr(dataset, "file_meta", Dataset())
    for word in LIGHT:
        holder = meta if word == "TransferSyntaxUID" else dataset
        try:
            value = convert(holder.get(word), INSTANCES.field(word).type)
        except Exception:
            value = MALFORMED
        if value is MALFORMED:
            malformed += 1
            value = None
        values[word] = value
    return values, malformed
