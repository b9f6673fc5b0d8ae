"""Take the metadata of an instance as DICOM JSON; give the bytes of the file that has that header.

What reads headers of files reads these, and nothing needs to know where they came from. pydicom gives
the same, and needs ten times as long.
"""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from dcmdask.errors import HeaderError
from dcmdask.source.dicomweb.json_model import INSTANCE, SOP_CLASS, Match, matches_of, uid_of
from dcmdask.types import Kind

_SYNTAXES = ("00020010", "00083002")
"""TransferSyntaxUID, where a service gives the file meta group, and AvailableTransferSyntaxUID."""

_CHARSET = "00080005"
_UTF8 = b"ISO_IR 192"
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_FIRST, _LAST = "00030000", "7FE0"
"""Between the file meta group and what a header ends before."""

_LONG = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"])
"""Value representations whose length has four bytes (PS3.5 section 7.1.2)."""

_LONGEST_SHORT = 0xFFFE
_BINARY = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "UN"])
_NUMBERS = {
    "US": "H", "SS": "h", "UL": "L", "SL": "l", "UV": "Q", "SV": "q", "FL": "f", "FD": "d",
}  # fmt: skip
_COMPONENTS = ("Alphabetic", "Ideographic", "Phonetic")
_ITEM = (0xFFFE, 0xE000)


def file_of(answer: bytes) -> bytes:
    """Return a file (PS3.10) with the header that an answer holds.

    Values that are given by a URI are not fetched, and empty; so is what is not as PS3.18 annex F
    has it.

    Raises
    ------
    HeaderError
        It holds the metadata of no instance.
    """
    matches = matches_of(answer)
    if len(matches) != 1:
        words = f"the metadata are of {len(matches)} instances, not of one"
        raise HeaderError(Kind.UNEXPECTED, words)
    match = matches[0]
    syntax = next((uid for tag in _SYNTAXES if (uid := uid_of(match, tag))), None)
    how = _Encoding.of(syntax)
    try:
        body = how.dataset(_with_charset(match))
    except RecursionError as error:
        raise HeaderError(Kind.CORRUPT, "the metadata nest too deep") from error
    if syntax == DeflatedExplicitVRLittleEndian:
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        body = deflate.compress(body) + deflate.flush()
    return _meta(match, syntax) + body


def _with_charset(match: Match) -> Match:
    """Return a match that says that its texts are in UTF-8, as those of JSON are."""
    if _CHARSET in match or str(match).isascii():
        return match
    return {_CHARSET: {"vr": "CS", "Value": ["?"]}, **match}


def _meta(match: Match, syntax: str | None) -> bytes:
    """Return what stands before the dataset (PS3.10 section 7.1)."""
    found = [
        (1, "OB", b"\0\1"),
        *((n, "UI", _even((uid or "").encode(), b"\0")) for n, uid in (
            (2, uid_of(match, SOP_CLASS)), (3, uid_of(match, INSTANCE)), (0x10, syntax),
        ) if uid),
    ]  # fmt: skip
    explicit = _Encoding("<", implicit=False)
    group = b"".join(explicit.element(2, number, vr, value) for number, vr, value in found)
    length = explicit.element(2, 0, "UL", struct.pack("<L", len(group)))
    return bytes(128) + b"DICM" + length + group


@dataclass(frozen=True, slots=True)
class _Encoding:
    """How elements are written.

    Attributes
    ----------
    order : str
        Of bytes, as `struct` has it.
    implicit : bool
        Whether value representations are left out.
    """

    order: str
    implicit: bool

    @classmethod
    def of(cls, syntax: str | None) -> _Encoding:
        """Return that of a transfer syntax; of what is encapsulated the header is explicit."""
        return cls(">" if syntax == ExplicitVRBigEndian else "<", syntax == ImplicitVRLittleEndian)

    def dataset(self, said: Match) -> bytes:
        """Return the elements of a dataset or item, in order of tags."""
        tags = sorted(tag for tag in said if _FIRST <= tag < _LAST and _TAG.fullmatch(tag))
        return b"".join(self._element(tag, said[tag]) for tag in tags if tag[4:] != "0000")

    def _element(self, tag: str, said: Any) -> bytes:
        vr = said.get("vr") if isinstance(said, Mapping) else None
        if not isinstance(vr, str) or not re.fullmatch("[A-Z]{2}", vr):
            return b""
        try:
            value = _UTF8 if tag == _CHARSET else self._value(vr, said)
        except (ValueError, TypeError, AttributeError, OverflowError, struct.error):
            value = b""
        if vr not in _LONG and len(value) > _LONGEST_SHORT:
            # PS3.5 section 6.2.2, note 4.
            vr = "UN"
        return self.element(int(tag[:4], 16), int(tag[4:], 16), vr, value)

    def element(self, group: int, number: int, vr: str, value: bytes) -> bytes:
        """Return one element."""
        if self.implicit:
            return struct.pack(f"{self.order}HHL", group, number, len(value)) + value
        if vr in _LONG:
            form = f"{self.order}HH2sHL"
            return struct.pack(form, group, number, vr.encode(), 0, len(value)) + value
        form = f"{self.order}HH2sH"
        return struct.pack(form, group, number, vr.encode(), len(value)) + value

    def _value(self, vr: str, said: Mapping[str, Any]) -> bytes:
        if "InlineBinary" in said:
            return _even(base64.b64decode(said["InlineBinary"]), b"\0")
        values = said.get("Value") or []
        if vr == "SQ":
            return b"".join(map(self._item, values))
        if vr in _NUMBERS:
            numbers = [_number(vr, value) for value in values if value is not None]
            return struct.pack(f"{self.order}{len(numbers)}{_NUMBERS[vr]}", *numbers)
        if vr == "AT":
            pairs = ((int(value[:4], 16), int(value[4:], 16)) for value in values if value)
            return b"".join(struct.pack(f"{self.order}HH", *pair) for pair in pairs)
        if vr in _BINARY:
            # Numbers instead of bytes: what is so long is nothing that a header is read for.
            return b""
        text = "\\".join(map(_TEXTS.get(vr, _text), values)).encode("utf-8", "replace")
        return _even(text, b"\0" if vr == "UI" else b" ")

    def _item(self, said: Match | None) -> bytes:
        body = b"" if said is None else self.dataset(dict(said))
        return struct.pack(f"{self.order}HHL", *_ITEM, len(body)) + body


def _even(value: bytes, pad: bytes) -> bytes:
    return value + pad if len(value) % 2 else value


def _number(vr: str, value: Any) -> int | float:
    return float(value) if vr in ("FL", "FD") else int(value)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _whole(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else _text(value)


def _name(value: Any) -> str:
    if not isinstance(value, Mapping):
        return _text(value)
    return "=".join(_text(value.get(one)) for one in _COMPONENTS).rstrip("=")


_TEXTS: dict[str, Callable[[Any], str]] = {"PN": _name, "IS": _whole}
