"""Take where the values of many files stand; give them as Arrow columns, without an object a file.

Files of a series follow each other, so that most attributes change rarely from one file to the
next: only where a value changes is it converted. What is of the plainest form is converted for all
files at once, anything else by pydicom, each distinct value once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from dcmdask.dicom.charset import Encodings, current_default
from dcmdask.dicom.texts import is_ended
from dcmdask.dicom.values import MALFORMED
from dcmdask.dicom.windows import AHEAD
from dcmdask.header.columnar.elements import (
    CHARSET,
    SLOT,
    VRS,
    Bytes,
    Flags,
    Int,
    Words,
    tag_of,
)
from dcmdask.header.columnar.state import State
from dcmdask.header.meaning import encodings_in, meaning_of
from dcmdask.header.notes import Remark
from dcmdask.header.stated_charset import clean_charset
from dcmdask.tables.arrow import Array, buffer_of, nulls
from dcmdask.tables.factorize import codes_of, first_rows
from dcmdask.tables.schema import INSTANCES, LIGHT
from dcmdask.types import Note

_FEW = 64
_KEPT = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)
"""What is kept of eight bytes, by how many of them belong to a value."""

_CHARACTERS = {
    # What each VR's plainest values are made of; anything else goes the long way.
    "UI": r"^[0-9.]+$",
    "LO": r"^[!-\[\]-~]([ -\[\]-~]*[!-\[\]-~])?$",
    "SH": r"^[!-\[\]-~]([ -\[\]-~]*[!-\[\]-~])?$",
    "PN": r"^[!-<>-\[\]-~]([ -<>-\[\]-~]*[!-<>-\[\]-~])?$",
    "CS": r"^[A-Z0-9_]([A-Z0-9 _]*[A-Z0-9_])?$",
    "AS": r"^[0-9]{3}[DWMY]$",
}
# Character sets in which ASCII bytes mean themselves. ISO_IR 13 is none of them.
_ASCII_SAFE = (b"", b"ISO_IR 6", b"ISO_IR 100", b"ISO_IR 192", b"ISO_IR 101", b"ISO_IR 109")
# What may be odd of a value that was converted, as a number; 0 for nothing.
_NOTES = {1: Note.NOT_UNDERSTOOD, 2: Note.NUL_IN_TEXT}
_INTEGER = r"^-?[0-9]{1,10}$"
_DECIMAL = r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$"


Remarks = list[tuple[Remark, Int]]
"""Something that is said, and of which files."""


def columns_of(state: State, files: Int, implicit: Flags) -> tuple[dict[str, Array], Remarks]:
    """Convert the light attributes of some files.

    Parameters
    ----------
    state : State
        Of a walk that has ended.
    files : numpy.ndarray of int64
        Which.
    implicit : numpy.ndarray of bool
        Which files of the walk are implicit VR.

    Returns
    -------
    columns : dict
        Keyword to Arrow array, of the types that `dcmdask.tables.schema.INSTANCES` declares.
    remarks : list of (Remark, numpy.ndarray of int64)
        Which values stood there and became null, and the number of each such file among these.
    """
    charsets = _Values(state, SLOT[CHARSET], files)
    read_as = charsets.changes.copy()
    read_as[1:] |= np.diff(implicit[files])
    columns = {}
    remarks: Remarks = []
    for word in LIGHT:
        values = _Values(state, SLOT[word], files)
        # A value means the same as long as its bytes, its character set and its encoding do.
        heads, which = _runs(values.changes | read_as)
        raw = values.take(heads)
        column, odd = _convert(word, raw, charsets.take(heads), implicit[files[heads]])
        columns[word] = column if len(heads) == len(files) else column.take(pa.array(which))
        if odd.any():
            remarks += _remarks(word, odd[which])
    remarks += _odd_charsets(charsets)
    return columns, remarks


def _remarks(word: str, odd: Bytes) -> Remarks:
    """Return what is said of the values of one attribute."""
    found = ((note, np.flatnonzero(odd == code)) for code, note in _NOTES.items())
    return [(Remark(note, word), files) for note, files in found if len(files)]


def _odd_charsets(charsets: _Values) -> Remarks:
    """Return which files name a character set that is none."""
    heads, which = _runs(charsets.changes)
    values = charsets.take(heads).to_pylist()
    odd = np.array([not clean_charset(value or b"")[1] for value in values], bool)
    return [(Remark(Note.CHARACTER_SET, CHARSET), np.flatnonzero(odd[which]))] if odd.any() else []


def texts_of(state: State, slot: int, files: Int) -> tuple[list[str], Int]:
    """Return the values of a UID: those where it changes, and which of them each file has."""
    values = _Values(state, slot, files)
    heads, which = _runs(values.changes)
    raw = values.take(heads).to_pylist()
    return [(value or b"").rstrip(b"\0 ").decode("latin-1") for value in raw], which


def _runs(changes: Flags) -> tuple[Int, Int]:
    """Return where runs of one value begin, and which run each file is in."""
    return np.flatnonzero(changes), np.cumsum(changes) - 1


class _Values:
    """The bytes of one attribute of many files.

    Attributes
    ----------
    changes : numpy.ndarray of bool
        Where they are not those of the file before; always at the first.
    """

    def __init__(self, state: State, slot: int, files: Int) -> None:
        start = state.offsets[slot, files]
        self._length = np.where(start >= 0, state.lengths[slot, files], 0)
        self._start = np.where(self._length > 0, start, 0)
        self._buffer = state.windows.buffer
        self._block: Words | None = None
        self.changes = np.ones(len(files), bool)
        longest = int(self._length.max(initial=0))
        if longest > AHEAD:
            return
        # As words of eight bytes each: what lies behind a value is blanked out.
        lanes = np.arange(0, longest, 8)
        block = state.u64[(self._start[:, None] + lanes) >> 1]
        block &= _KEPT[np.clip(self._length[:, None] - lanes, 0, 8)]
        self._block = block
        self.changes[1:] = (block[1:] != block[:-1]).any(axis=1)
        self.changes[1:] |= self._length[1:] != self._length[:-1]

    def take(self, chosen: Int) -> Array:
        """Return some of the values; null where it is absent or empty."""
        length = self._length[chosen]
        offsets = np.concatenate([[0], np.cumsum(length)])
        if self._block is None:
            index = np.arange(offsets[-1]) + np.repeat(self._start[chosen] - offsets[:-1], length)
            data = self._buffer[index]
        else:
            table = self._block[chosen].view(np.uint8)
            data = table[np.arange(table.shape[1]) < length[:, None]]
        valid = pa.array(length > 0)
        buffers = [valid.buffers()[1], buffer_of(offsets.astype(np.int32)), buffer_of(data)]
        return pa.Array.from_buffers(pa.binary(), len(chosen), buffers)


def _convert(word: str, raw: Array, charsets: Array, implicit: Flags) -> tuple[Array, Bytes]:
    """Convert the raw values of one attribute; tell what is odd of each, by the codes of `_NOTES`."""
    kind = INSTANCES.field(word).type
    none = np.zeros(len(raw), np.uint8)
    if raw.null_count == len(raw):
        return nulls(len(raw), kind), none
    if len(raw) <= _FEW:
        return _convert_each(word, raw, charsets, implicit, kind)
    if pc.count_distinct(raw).as_py() <= _FEW:
        return _convert_distinct(word, raw, charsets, implicit, kind)
    column, plain = _convert_plain(word, raw, charsets, kind)
    rest = np.flatnonzero(~plain)
    if not len(rest):
        return column, none
    spots = pa.array(rest)
    slow, odd = _convert_distinct(word, raw.take(spots), charsets.take(spots), implicit[rest], kind)
    none[rest] = odd
    order = np.arange(len(raw))
    order[rest] = len(raw) + np.arange(len(rest))
    return pa.concat_arrays([column, slow]).take(pa.array(order)), none


def _convert_each(
    word: str, raw: Array, charsets: Array, implicit: Flags, kind: pa.DataType
) -> tuple[Array, Bytes]:
    """Convert a few values by pydicom itself; tell what is odd of each."""
    parts = zip(raw.to_pylist(), charsets.to_pylist(), implicit.tolist(), strict=True)
    default = current_default()
    found = [
        None if value is None else _by_pydicom(word, value, charset or b"", encoding, default)
        for value, charset, encoding in parts
    ]
    odd = [1 if value is MALFORMED else 2 * is_ended(value) for value in found]
    values = [None if value is MALFORMED else value for value in found]
    return pa.array(values, kind), np.array(odd, np.uint8)


def _convert_distinct(
    word: str, raw: Array, charsets: Array, implicit: Flags, kind: pa.DataType
) -> tuple[Array, Bytes]:
    """Convert every distinct value once, by pydicom itself; tell what is odd of each."""
    columns = (pa.chunked_array([raw]), pa.chunked_array([charsets]))
    codes = codes_of(*columns, implicit.astype(np.int64))
    first = first_rows(codes)
    spots = pa.array(first)
    column, odd = _convert_each(word, raw.take(spots), charsets.take(spots), implicit[first], kind)
    return column.take(pa.array(codes)), odd[codes]


@lru_cache(maxsize=8192)
def _by_pydicom(
    word: str,
    value: bytes,
    charset: bytes,
    implicit: bool,
    _default: Encodings,  # what is kept is kept for this default
) -> Any:
    """Convert one value as pydicom reads it from a file: the slow and certain way."""
    vr = None if implicit else _vr(word)
    tag = BaseTag(tag_of(word))
    raw = RawDataElement(tag, vr, len(value), value, 0, implicit, is_little_endian=True)
    return meaning_of(raw, encodings_in(charset), word)


def _vr(word: str) -> str:
    return int(VRS[SLOT[word]]).to_bytes(2, "little").decode()


def _convert_plain(
    word: str, raw: Array, charsets: Array, kind: pa.DataType
) -> tuple[Array, Flags]:
    """Convert values of the plainest form, all at once; tell which ones were."""
    vr = _vr(word)
    nothing = np.asarray(raw.is_null())
    if not _is_ascii(raw):
        return nulls(len(raw), kind), nothing
    # Trailing null components of a name and their delimiters are insignificant, as padding is.
    padding = " \0^" if vr == "PN" else " \0"
    text = pc.utf8_rtrim(raw.cast(pa.string()), characters=padding)
    if vr in _CHARACTERS and pa.types.is_string(kind):
        plain = _fits(text, _CHARACTERS[vr])
        if vr in ("LO", "SH", "PN"):
            safe = pc.is_in(pc.fill_null(charsets, b""), value_set=pa.array(_ASCII_SAFE))
            plain &= np.asarray(safe)
        return pc.if_else(pa.array(plain), text, None), plain | nothing
    if vr == "IS" and pa.types.is_integer(kind):
        text = pc.utf8_ltrim(text, characters=" ")
        plain = _fits(text, _INTEGER)
        return pc.if_else(pa.array(plain), text, None).cast(kind), plain | nothing
    if vr == "DS" and pa.types.is_list(kind):
        return _plain_decimals(text, kind, nothing)
    return nulls(len(raw), kind), nothing


def _is_ascii(raw: Array) -> bool:
    data: Any = raw.buffers()[2]
    return data is None or not (np.frombuffer(data, np.uint8) & 0x80).any()


def _fits(text: Array, pattern: str) -> Flags:
    fits = pc.match_substring_regex(text, pattern)
    return np.asarray(pc.fill_null(fits, False))


def _plain_decimals(text: Array, kind: pa.DataType, nothing: Flags) -> tuple[Array, Flags]:
    """Convert multi-valued DS; a row is plain if each of its values is."""
    parts = pc.split_pattern(text, "\\")
    flat = pc.utf8_trim(pc.list_flatten(parts), characters=" ")
    good = _fits(flat, _DECIMAL)
    values = pc.if_else(pa.array(good), flat, None).cast(pa.float64())
    # A number too large for a column is none.
    good &= np.asarray(pc.fill_null(pc.is_finite(values), False))
    parents = np.asarray(pc.list_parent_indices(parts))
    bad_rows = np.zeros(len(text), bool)
    bad_rows[parents[~good]] = True
    plain = ~bad_rows & ~nothing
    numbers: Array = pc.if_else(pa.array(good), values, None)
    lengths = np.asarray(pc.fill_null(pc.list_value_length(parts), 0))
    offsets: Any = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    lists = pa.ListArray.from_arrays(offsets, numbers)
    return pc.if_else(pa.array(plain), lists, pa.scalar(None, lists.type)).cast(
        kind
    ), plain | nothing
