"""Take a pydicom element and an Arrow type; give the typed value, None, or `MALFORMED`.

pydicom decides what an element says; this module decides how that stands in a column. A value that
the column's type cannot hold becomes `MALFORMED`, which tables hold as null and runs count.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from functools import lru_cache, partial
from typing import Any, Final

import pyarrow as pa
from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from dcmdask.dicom.texts import EndedText, plain_text

TEXT: pa.DataType = pa.string()
TEXTS: pa.DataType = pa.list_(pa.string())
INTEGER: pa.DataType = pa.int64()
INTEGERS: pa.DataType = pa.list_(pa.int64())
NUMBER: pa.DataType = pa.float64()
NUMBERS: pa.DataType = pa.list_(pa.float64())
DATE: pa.DataType = pa.date32()
TIME: pa.DataType = pa.time64("us")


class _Malformed:
    """The one value that says: something stood there and could not be understood."""

    def __repr__(self) -> str:
        return "MALFORMED"


MALFORMED: Final = _Malformed()

# PS3.5 section 6.2. DT stays text: one value may carry an offset and a precision of its own, and a
# timestamp would lose either.
_SCALARS: dict[str, pa.DataType] = {
    **dict.fromkeys(("IS", "US", "SS", "UL", "SL", "UV", "SV"), INTEGER),
    **dict.fromkeys(("DS", "FL", "FD"), NUMBER),
    "DA": DATE,
    "TM": TIME,
}
_LISTS = {INTEGER: INTEGERS, NUMBER: NUMBERS, TEXT: TEXTS}

# The forms with dots and colons are those of ACR-NEMA 300, which old files keep.
_DATE = re.compile(r"(\d{4})(?:(\d\d)(\d\d)|\.(\d\d)\.(\d\d))", re.ASCII)
_TIME = re.compile(r"(\d\d)(?:(:?)(\d\d)(?:\2(\d\d)(?:\.(\d{0,6}))?)?)?", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_LEAP_SECOND = 60


def arrow_type(keyword: str) -> pa.DataType:
    """Return the column type of an attribute from its VR and VM in the data dictionary (PS3.6).

    Parameters
    ----------
    keyword : str
        A DICOM keyword.

    Returns
    -------
    pyarrow.DataType
        Integer, float, date, time or text; a list of one of them where the VM exceeds 1.

    Examples
    --------
    >>> str(arrow_type("PixelSpacing"))
    'list<item: double>'
    >>> arrow_type("StudyDate")
    DataType(date32[day])
    """
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(f"{keyword} is not a keyword of the data dictionary")
    scalar = _SCALARS.get(dictionary_VR(tag).split(" ")[0], TEXT)
    if dictionary_VM(tag) == "1":
        return scalar
    return _LISTS.get(scalar, TEXTS)


@lru_cache(maxsize=4096)
def vr_of(keyword: str) -> str | None:
    """Return the VR of an attribute in the data dictionary; None where it names several or none."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        return None
    vr = dictionary_VR(tag)
    return vr if len(vr) == 2 else None


def convert(value: Any, kind: pa.DataType, vr: str | None = None) -> Any:
    """Return a value as `kind` wants it.

    Numbers that stand as text, because the element has another VR than the dictionary's, are read
    where they are numbers beyond doubt.

    Parameters
    ----------
    value : object
        What pydicom's ``DataElement.value`` says: text, number, `MultiValue`, or None; or
        `MALFORMED`, which stays.
    kind : pyarrow.DataType
        One of the types of this module.
    vr : str or None
        What the data dictionary says of the attribute: which spaces and delimiters of a text are
        insignificant.

    Returns
    -------
    object
        A Python value for the column, None where nothing stood there, or `MALFORMED`.

    Examples
    --------
    >>> convert("20040826", DATE)
    datetime.date(2004, 8, 26)
    >>> convert("2004-08-26", DATE)
    MALFORMED
    """
    if value is None or value is MALFORMED:
        return value
    if isinstance(value, (bytes, Sequence)):
        # An explicit VR that is not the attribute's: bytes and items are no value of any column.
        return MALFORMED if value else None
    if pa.types.is_list(kind):
        return _convert_list(value, kind.value_type, vr)
    if isinstance(value, (list, tuple, MultiValue)):
        # Several values where the standard allows one: text keeps all, as it stood; a number
        # cannot, and none of them is picked.
        if not kind.equals(TEXT):
            return MALFORMED if len(value) else None
        return _joined([plain_text(str(item), vr) for item in value])
    return _text(value, vr) if kind.equals(TEXT) else _CONVERTERS[kind](value)


def _convert_list(value: Any, kind: pa.DataType, vr: str | None) -> Any:
    if type(value) is str:
        # Of a VR that has one value only, where the attribute has several.
        value = value.split("\\")
    several = isinstance(value, (list, tuple, MultiValue))
    items = list(value) if several else [value]
    converter = partial(_text, vr=vr) if kind.equals(TEXT) else _CONVERTERS[kind]
    # pydicom leaves the padding of all but the last of several values.
    bare = (item.rstrip(" \0") if type(item) is str else item for item in items)
    converted = [None if item is None else converter(item) for item in bare]
    if MALFORMED in converted:
        return MALFORMED
    # A list of nothing but empty values is an empty element.
    return converted if any(item is not None for item in converted) else None


def _text(value: Any, vr: str | None) -> Any:
    return _writable(plain_text(value if isinstance(value, str) else str(value), vr))


def _joined(texts: list[str]) -> Any:
    """Return several values as the one text that they stood as."""
    joined = "\\".join(texts)
    is_ended = any(isinstance(text, EndedText) for text in texts)
    return _writable(EndedText(joined) if is_ended else joined)


def _writable(text: str) -> Any:
    if not text.isascii():
        # Some character sets that pydicom accepts (utf-7) decode to what no Arrow column holds.
        try:
            text.encode()
        except UnicodeEncodeError:
            return MALFORMED
    return text or None


def _is_blank(value: Any) -> bool:
    """Tell whether a numeric value is an empty one of several: pydicom leaves its padding."""
    return isinstance(value, str) and not value.strip(" \0")


def _integer(value: Any) -> Any:
    if _is_blank(value):
        return None
    try:
        if isinstance(value, str):
            text = value.strip(" \0")
            value = int(text) if _WHOLE.fullmatch(text) else _number(text)
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return MALFORMED
    return number if number == value and -(2**63) <= number < 2**63 else MALFORMED


def _number(value: Any) -> Any:
    if _is_blank(value):
        return None
    if isinstance(value, str):
        value = value.strip(" \0")
        if not _DECIMAL.fullmatch(value):
            return MALFORMED
    try:
        number = float(value)
    except (TypeError, ValueError):
        return MALFORMED
    return number if math.isfinite(number) else MALFORMED


def _date(value: Any) -> Any:
    text = str(value).strip(" \0")
    if not text:
        return None
    match = _DATE.fullmatch(text)
    if match is None:
        return MALFORMED
    year, month, day, old_month, old_day = match.groups()
    try:
        return dt.date(int(year), int(month or old_month), int(day or old_day))
    except ValueError:
        return MALFORMED


def _time(value: Any) -> Any:
    text = str(value).strip(" \0")
    if not text:
        return None
    match = _TIME.fullmatch(text)
    if match is None:
        return MALFORMED
    hour, _, minute, second, fraction = match.groups()
    seconds = int(second or 0)
    if seconds == _LEAP_SECOND:
        seconds = 59  # as pydicom does: no column holds a leap second, and null would say less
    try:
        return dt.time(int(hour), int(minute or 0), seconds, int((fraction or "0").ljust(6, "0")))
    except ValueError:
        return MALFORMED


_CONVERTERS = {INTEGER: _integer, NUMBER: _number, DATE: _date, TIME: _time}
