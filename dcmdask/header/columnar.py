"""Take the first bytes of many files; give their light attributes as Arrow columns, in numpy only.

All files are walked in lockstep: one position a file, and every step reads tag, VR and length of
the element at each position with a few array operations, notes offset and length where the tag is
wanted, and moves all positions on. A step costs the same for a thousand files as for one, so that
an element of a header costs some tens of nanoseconds.

Only what is certain is accepted. A file that departs from the plain way in anything (no prefix,
big endian, a VR that does not fit, an odd length, a header that is cut or outgrows its windows) is
left to pydicom, with the reason, and so is every value that is not of the plainest form.
"""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.filereader import read_dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from dcmdask.schema import INSTANCES, LIGHT
from dcmdask.values import MALFORMED, convert
from dcmdask.windows import WINDOW, More, Windows

Int = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

_META_AT = 132
_UNDEFINED = 0xFFFFFFFF
_DEEPEST = 16
_LONGEST_VALUE = 0xFFFE  # what explicit VR has room for; a longer one is judged by pydicom's reader
_NO_END = np.iinfo(np.int64).max
_META = 0x0002
_DELIMITERS = 0xFFFE
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_CHARSET = "SpecificCharacterSet"
_DIRECTORY = "MediaStorageSOPClassUID"
_SYNTAX = "TransferSyntaxUID"


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    return int(tag)


_KEYWORDS = (_SYNTAX, _DIRECTORY, _CHARSET, *(word for word in LIGHT if word != _SYNTAX))
_SLOT = {word: number for number, word in enumerate(_KEYWORDS)}
_TAGS = np.array([_tag(word) for word in _KEYWORDS], dtype=np.int64)
_VRS = np.array(
    [int.from_bytes(dictionary_VR(int(tag)).encode()[:2], "little") for tag in _TAGS], np.uint16
)
_LAST = int(_TAGS.max())

_SHORT = [
    "AE",
    "AS",
    "AT",
    "CS",
    "DA",
    "DS",
    "DT",
    "FD",
    "FL",
    "IS",
    "LO",
    "LT",
    "PN",
    "SH",
    "SL",
    "SS",
    "ST",
    "TM",
    "UI",
    "UL",
    "US",
]
_LONG = ["OB", "OD", "OF", "OL", "OW", "OV", "UC", "UR", "UT", "SV", "UV"]
_OTHER, _IS_SHORT, _IS_LONG, _IS_SEQUENCE = 0, 1, 2, 3


def _vr_kinds() -> Bytes:
    """Give, for every two bytes that may stand where a VR stands, what length follows them."""
    kinds = np.full(1 << 16, _OTHER, np.uint8)
    for names, kind in ((_SHORT, _IS_SHORT), ([*_LONG, "UN"], _IS_LONG), (["SQ"], _IS_SEQUENCE)):
        for name in names:
            kinds[int.from_bytes(name.encode(), "little")] = kind
    return kinds


def _slots() -> npt.NDArray[np.int8]:
    """Give, for the hash of a tag, the one slot whose tag it may be."""
    table = np.full(1 << 16, -1, np.int8)
    hashes = _hash(_TAGS)
    assert len(set(hashes.tolist())) == len(_TAGS)
    table[hashes] = np.arange(len(_TAGS))
    return table


def _hash(tags: Int) -> Int:
    return ((tags >> 16) * 419 + tags) & 0xFFFF


def _is_public_sequence(tag: int) -> bool:
    try:
        return dictionary_VR(tag) == "SQ"
    except KeyError:
        return False


_KIND_OF_VR = _vr_kinds()
_SLOT_OF_HASH = _slots()


@dataclass(frozen=True, slots=True)
class Scan:
    """What the walk gave.

    Attributes
    ----------
    accepted : numpy.ndarray of bool
        Files whose values stand in `columns`, shape (files,).
    columns : dict
        Keyword to Arrow array of the accepted files' values, in order.
    malformed : int
        Values of accepted files that stood there and could not be understood.
    reasons : Counter
        Why the others were left to pydicom.
    """

    accepted: Flags
    columns: dict[str, pa.Array]
    malformed: int
    reasons: Counter[str]


@dataclass(frozen=True, slots=True)
class _Elements:
    """The element at which each active file stands.

    Attributes
    ----------
    tag, length : numpy.ndarray of int64
        Of the element.
    vr : numpy.ndarray of uint16 or None
        Its two letters; None in implicit VR.
    header : numpy.ndarray of int64 or int
        Bytes before the value.
    long, strange : numpy.ndarray of bool
        Whether its length takes four bytes; whether its VR is none.
    """

    tag: Int
    vr: npt.NDArray[np.uint16] | None
    length: Int
    header: Int | int
    long: Flags
    strange: Flags

    def of(self, chosen: Flags) -> _Elements:
        """Give the elements of some of the files."""
        header = self.header if isinstance(self.header, int) else self.header[chosen]
        vr = None if self.vr is None else self.vr[chosen]
        return _Elements(
            self.tag[chosen],
            vr,
            self.length[chosen],
            header,
            self.long[chosen],
            self.strange[chosen],
        )


def scan_windows(windows: Windows, more: More) -> Scan:
    """Scan some files, with a second window for those that outgrow their first.

    Parameters
    ----------
    windows : Windows
        First windows are filled.
    more : More
        How to read on.
    """
    walk = Walk(windows)
    walk.first_pass()
    last = np.zeros(len(walk.outgrown), bool)
    needed = zip(walk.outgrown.tolist(), walk.resume_at.tolist(), strict=True)
    for spot, (number, offset) in enumerate(needed):
        row = windows.files + number
        windows.filled[row] = more(number, offset, windows.row(row))
        last[spot] = windows.filled[row] < WINDOW
    walk.second_pass(last)
    return walk.finish()


@dataclass(slots=True)
class Walk:
    """A lockstep walk over the windows of some files.

    Parameters
    ----------
    windows : Windows
        The bytes; first windows are filled.

    Attributes
    ----------
    outgrown : numpy.ndarray of int64
        Files that need a second window, after `first_pass`.
    resume_at : numpy.ndarray of int64
        Offset in the file where that window begins, for each of them.
    """

    windows: Windows
    outgrown: Int = field(init=False)
    resume_at: Int = field(init=False)
    _u16: npt.NDArray[np.uint16] = field(init=False)
    _position: Int = field(init=False)
    _end: Int = field(init=False)
    _depth: npt.NDArray[np.int16] = field(init=False)
    _item_end: Int = field(init=False)
    _implicit: Flags = field(init=False)
    _final: Flags = field(init=False)
    _offsets: Int = field(init=False)
    _lengths: Int = field(init=False)
    _vr: npt.NDArray[np.uint16] = field(init=False)
    _reason: npt.NDArray[np.object_] = field(init=False)
    _pending: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        files = self.windows.files
        self._u16 = self.windows.buffer.view("<u2")
        start = np.arange(files, dtype=np.int64) * WINDOW
        self._position = start + _META_AT
        self._end = start + self.windows.filled[:files]
        self._depth = np.zeros(files, np.int16)
        self._item_end = np.full((_DEEPEST + 1, files), _NO_END, np.int64)
        self._implicit = np.zeros(files, bool)
        self._final = self.windows.whole.copy()
        self._offsets = np.full((len(_TAGS), files), -1, np.int64)
        self._lengths = np.zeros((len(_TAGS), files), np.int64)
        self._vr = np.zeros((len(_TAGS), files), np.uint16)
        self._reason = np.full(files, "", object)
        self._pending = {}
        self.outgrown = np.empty(0, np.int64)
        self.resume_at = np.empty(0, np.int64)

    # -- passes ----------------------------------------------------------------------------------

    def first_pass(self) -> None:
        """Walk all files as far as their first windows reach."""
        files = np.arange(self.windows.files, dtype=np.int64)
        prefix = self._gather(self._position - 4, 4).view("S4").ravel() == b"DICM"
        files = self._keep(files, prefix & (self._end - self._position >= 8), "no_prefix")
        self._walk(files, meta=True)
        files = files[self._reason[files] == ""]
        # A meta group that outgrows its window would have to be resumed as one: it is not worth it.
        for number in list(self._pending):
            self._reason[number] = "outgrown"
        self._pending = {}
        files = files[self._reason[files] == ""]
        files = self._choose_encoding(files)
        self._walk(files[~self._implicit[files]], meta=False)
        self._walk(files[self._implicit[files]], meta=False)
        waiting = sorted(self._pending)
        self.outgrown = np.array(waiting, np.int64)
        self.resume_at = np.array([self._pending[number] for number in waiting], np.int64)

    def second_pass(self, last: Flags) -> None:
        """Walk on the outgrown files in their second windows.

        Parameters
        ----------
        last : numpy.ndarray of bool
            For each of `outgrown`: whether the file ends with this window.
        """
        count = self.windows.files
        rows = count + self.outgrown
        self._pending = {}
        self._position[self.outgrown] = rows * WINDOW
        # Ends of items that are still open move with the window.
        held = self._item_end[:, self.outgrown]
        moved = held - self.outgrown * WINDOW - self.resume_at + rows * WINDOW
        self._item_end[:, self.outgrown] = np.where(held == _NO_END, held, moved)
        self._end[self.outgrown] = rows * WINDOW + self.windows.filled[rows]
        self._final[self.outgrown] = last
        self._walk(self.outgrown[~self._implicit[self.outgrown]], meta=False)
        self._walk(self.outgrown[self._implicit[self.outgrown]], meta=False)
        for number in self._pending:
            self._reason[number] = "outgrown"
        self._pending = {}

    def _keep(self, files: Int, good: Flags, reason: str) -> Int:
        self._reason[files[~good]] = reason
        return files[good]

    def _gather(self, start: Int, count: int) -> Bytes:
        """Give `count` bytes from each position, shape (positions, count)."""
        found: Bytes = self.windows.buffer[start[:, None] + np.arange(count)]
        return found

    def _choose_encoding(self, files: Int) -> Int:
        """Sort files by transfer syntax; those in encodings the walk does not know are left."""
        slot = _SLOT[_SYNTAX]
        length = self._lengths[slot, files]
        known = (self._offsets[slot, files] >= 0) & (length > 0) & (length <= 64)
        files = self._keep(files, known, "syntax")
        texts = self._texts(slot, files)
        plain = np.array([_is_walkable(text) for text in texts], bool)
        implicit = np.array([text == ImplicitVRLittleEndian for text in texts], bool)
        self._implicit[files] = implicit
        files = self._keep(files, plain, "syntax")
        slot = _SLOT[_DIRECTORY]
        texts = self._texts(slot, files)
        is_image = np.array([text != MediaStorageDirectoryStorage for text in texts], bool)
        files = self._keep(files, is_image, "directory")
        # What pydicom looks at before it trusts the transfer syntax: the first element's VR, and
        # whether a command set (group 0000) stands first.
        room = self._end[files] - self._position[files] >= 8
        files = self._keep(files, room, "cut")
        head = self._gather(self._position[files], 6)
        letters = ((head[:, 4:6] > 0x40) & (head[:, 4:6] < 0x5B)).all(axis=1)
        command = (head[:, 0] == 0) & (head[:, 1] == 0)
        return self._keep(files, (letters != self._implicit[files]) & ~command, "encoding")

    def _texts(self, slot: int, files: Int) -> list[str]:
        buffer = self.windows.buffer
        texts = []
        for start, count in zip(
            self._offsets[slot, files].tolist(), self._lengths[slot, files].tolist(), strict=True
        ):
            text = buffer[start : start + count].tobytes() if start >= 0 else b""
            texts.append(text.rstrip(b"\0 ").decode("latin-1"))
        return texts

    # -- the lockstep ----------------------------------------------------------------------------

    def _walk(self, active: Int, *, meta: bool) -> None:
        """Walk files of one encoding until all have retired."""
        explicit = meta or (len(active) > 0 and not self._implicit[active[0]])
        while len(active):
            inside = self._depth[active] > 0
            if inside.any():
                self._leave_items(active[inside])
                active = active[self._reason[active] == ""]
            active = self._with_room(active, 8)
            at = self._position[active] >> 1
            if meta:
                inside = self._u16[at] == _META
                active, at = active[inside], at[inside]
            elements = self._read_elements(at, explicit=explicit)
            # The length of a long element stands four bytes further on: pydicom reads it before
            # it stops, whatever the tag.
            if elements.long.any():
                ends = self._position[active] + 12 > self._end[active]
                lacking = elements.long & ends
                if lacking.any():
                    self._at_end(active[lacking])
                    active = active[~lacking]
                    elements = self._read_elements(at[~lacking], explicit=explicit)
            active = self._step(active, elements)

    def _with_room(self, active: Int, count: int) -> Int:
        room = self._position[active] + count <= self._end[active]
        if room.all():
            return active
        self._at_end(active[~room])
        return active[room]

    def _read_elements(self, at: Int, *, explicit: bool) -> _Elements:
        """Read tag, VR and length of the element at each position (in units of two bytes)."""
        group = self._u16[at].astype(np.int64)
        tag = (group << 16) | self._u16[at + 1]
        third, fourth = self._u16[at + 2], self._u16[at + 3].astype(np.int64)
        if not explicit:
            none = np.zeros(len(at), bool)
            return _Elements(tag, None, third | (fourth << 16), 8, none, none)
        kind = _KIND_OF_VR[third]
        long = kind >= _IS_LONG
        length, header = fourth, np.full(len(at), 8)
        if long.any():
            far = at[long]
            length[long] = self._u16[far + 4] | (self._u16[far + 5].astype(np.int64) << 16)
            header[long] = 12
        return _Elements(tag, third, length, header, long, kind == _OTHER)

    def _step(self, active: Int, elements: _Elements) -> Int:
        """Move every active file one element on; give those that go on."""
        tag, length = elements.tag, elements.length
        position = self._position[active]
        depth = self._depth[active]
        delimiter = (tag >> 16) == _DELIMITERS
        top = depth == 0
        finished = top & (tag > _LAST) & ~delimiter
        special = elements.strange | delimiter | (length == _UNDEFINED) | ((depth & 1) == 1)
        special &= ~finished
        if special.any():
            self._pass_special(active[special], elements.of(special))
        plain = ~(special | finished)
        odd = plain & ((length & 1) == 1)
        if odd.any():
            self._reason[active[odd]] = "odd_length"
            plain &= ~odd
        slot = _SLOT_OF_HASH[_hash(tag)]
        wanted = plain & top & (slot >= 0)
        wanted[wanted] = _TAGS[slot[wanted]] == tag[wanted]
        begin = position + elements.header
        after = begin + length
        over = plain & (after > self._end[active])
        if over.any():
            # A wanted value is read again from its element on, any other is passed over.
            self._over_end(active[over], np.where(wanted, position, after)[over])
            plain &= ~over
            wanted &= plain
        if wanted.any():
            files, slots = active[wanted], slot[wanted]
            self._offsets[slots, files] = begin[wanted]
            self._lengths[slots, files] = length[wanted]
            self._vr[slots, files] = _VRS[slots] if elements.vr is None else elements.vr[wanted]
        self._position[active[plain]] = after[plain]
        going_on: Int = active[plain | (special & (self._reason[active] == ""))]
        return going_on

    def _leave_items(self, files: Int) -> None:
        """Leave items of defined length that have been walked to their end.

        pydicom parses such an item element by element too, so that one whose elements do not fit
        its length reads differently from one that is passed over.
        """
        depth = self._depth[files]
        files = files[(depth & 1) == 0]
        ends = self._item_end[self._depth[files], files]
        position = self._position[files]
        self._reason[files[position > ends]] = "items"
        self._depth[files[position == ends]] -= 1

    def _pass_special(self, files: Int, elements: _Elements) -> None:
        """Move files on that stand at an item, a delimiter, or an element of undefined length.

        Depth is odd inside a sequence, where items follow each other, and even inside an item.
        """
        for spot, number in enumerate(files.tolist()):
            tag, depth = int(elements.tag[spot]), int(self._depth[number])
            if depth & 1:
                self._pass_item(number, tag)
            elif tag == _ITEM_END and depth:
                self._depth[number] -= 1
                self._position[number] += 8
            elif tag >> 16 == _DELIMITERS:
                self._reason[number] = "items"
            elif int(elements.length[spot]) == _UNDEFINED:
                vr = None if elements.vr is None else int(elements.vr[spot])
                self._enter(number, tag, vr)
            else:
                self._reason[number] = "vr"

    def _pass_item(self, number: int, tag: int) -> None:
        """Move one file into the next item of a sequence, or out of the sequence."""
        where = int(self._position[number])
        if tag == _ITEM:
            at = where >> 1
            count = int(self._u16[at + 2]) | int(self._u16[at + 3]) << 16
            self._depth[number] += 1
            end = _NO_END if count == _UNDEFINED else where + 8 + count
            self._item_end[self._depth[number], number] = end
        elif tag == _SEQUENCE_END:
            self._depth[number] -= 1
        else:
            self._reason[number] = "items"
        self._position[number] = where + 8

    def _enter(self, number: int, tag: int, vr: int | None) -> None:
        """Enter a sequence of undefined length, if it is one beyond doubt."""
        if vr is None:
            is_sequence, header = _is_public_sequence(tag), 8
        else:
            is_sequence, header = bool(_KIND_OF_VR[vr] == _IS_SEQUENCE), 12
        if not is_sequence:
            self._reason[number] = "undefined_length"
        elif self._depth[number] + 2 > _DEEPEST:
            self._reason[number] = "depth"
        else:
            self._depth[number] += 1
            self._position[number] += header

    def _at_end(self, files: Int) -> None:
        """Retire files whose window ends: the header too, or a second window is needed."""
        position, end = self._position[files], self._end[files]
        final = self._final[files]
        clean = final & (position == end) & (self._depth[files] == 0)
        self._reason[files[final & ~clean]] = "cut"
        for number, where in zip(files[~final].tolist(), position[~final].tolist(), strict=True):
            self._pending[number] = self._file_offset(number, where)

    def _over_end(self, files: Int, resume: Int) -> None:
        """Retire files with an element that ends beyond the window."""
        final = self._final[files]
        self._reason[files[final]] = "cut"
        for number, where in zip(files[~final].tolist(), resume[~final].tolist(), strict=True):
            self._pending[number] = self._file_offset(number, where)

    def _file_offset(self, number: int, where: int) -> int:
        # Only first windows are resumed, and these begin at the start of their file.
        return where - number * WINDOW

    # -- values ----------------------------------------------------------------------------------

    def finish(self) -> Scan:
        """Give the values of the files that were walked to the end."""
        good = self._reason == ""
        fits = np.ones(len(good), bool)
        for slot in range(1, len(_TAGS)):
            filled = self._lengths[slot] > 0
            fits &= ~filled | (self._vr[slot] == _VRS[slot])
            fits &= self._lengths[slot] <= _LONGEST_VALUE
        self._reason[good & ~fits] = "value_vr"
        files = np.flatnonzero(good & fits)
        columns, malformed = self._columns(files)
        accepted = np.zeros(len(good), bool)
        accepted[files] = True
        reasons = Counter(str(reason) for reason in self._reason.tolist() if reason)
        return Scan(accepted, columns, malformed, reasons)

    def _columns(self, files: Int) -> tuple[dict[str, pa.Array], int]:
        charsets = self._raw(_SLOT[_CHARSET], files)
        malformed = 0
        columns = {}
        implicit = self._implicit[files]
        for word in LIGHT:
            raw = self._raw(_SLOT[word], files)
            column, bad = convert_column(word, raw, charsets, implicit)
            columns[word] = column
            malformed += bad
        return columns, malformed

    def _raw(self, slot: int, files: Int) -> pa.Array:
        """Gather the bytes of one attribute; null where it is absent or empty."""
        start = self._offsets[slot, files]
        length = np.where(start >= 0, self._lengths[slot, files], 0)
        ends = np.cumsum(length)
        total = int(ends[-1]) if len(ends) else 0
        begins = ends - length
        index = np.arange(total) + np.repeat(start - begins, length)
        data = self.windows.buffer[index]
        offsets = np.concatenate([[0], ends]).astype(np.int32)
        valid = pa.array(length > 0)
        buffers = [valid.buffers()[1], pa.py_buffer(offsets), pa.py_buffer(data)]
        return pa.Array.from_buffers(pa.binary(), len(files), buffers)


def _is_walkable(syntax: str) -> bool:
    """Tell whether a dataset in this transfer syntax is plain little endian."""
    if syntax in (ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian):
        return False
    return syntax.startswith("1.2.840.10008.1.2")


# -- conversion ----------------------------------------------------------------------------------

_FEW = 64
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
_INTEGER = r"^-?[0-9]{1,10}$"
_DECIMAL = r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$"


def convert_column(
    word: str, raw: pa.Array, charsets: pa.Array, implicit: Flags
) -> tuple[pa.Array, int]:
    """Convert the raw values of one attribute.

    Parameters
    ----------
    word : str
        Its keyword.
    raw, charsets : pyarrow.Array of binary
        Values of it and of SpecificCharacterSet; null where absent.
    implicit : numpy.ndarray of bool
        Which files are implicit VR.

    Returns
    -------
    column : pyarrow.Array
        Of the type that `dcmdask.schema.INSTANCES` declares.
    malformed : int
        Values that stood there and became null.
    """
    kind = INSTANCES.field(word).type
    if not raw.null_count < len(raw):
        return pa.nulls(len(raw), kind), 0
    encoded = raw.dictionary_encode()
    if len(encoded.dictionary) <= _FEW:
        return _convert_distinct(word, encoded, charsets, implicit, kind)
    column, plain = _convert_plain(word, raw, charsets, kind)
    rest = np.flatnonzero(~plain)
    if not len(rest):
        return column, 0
    spots = pa.array(rest)
    others = raw.take(spots).dictionary_encode()
    slow, malformed = _convert_distinct(word, others, charsets.take(spots), implicit[rest], kind)
    order = np.arange(len(raw))
    order[rest] = len(raw) + np.arange(len(rest))
    return pa.concat_arrays([column, slow]).take(pa.array(order)), malformed


def _convert_distinct(
    word: str, encoded: pa.DictionaryArray, charsets: pa.Array, implicit: Flags, kind: pa.DataType
) -> tuple[pa.Array, int]:
    """Convert every distinct value once, by pydicom itself."""
    sets = charsets.dictionary_encode()
    names = [b"", *sets.dictionary.to_pylist()]
    values = [None, *encoded.dictionary.to_pylist()]
    which_set = pc.fill_null(sets.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64) + 1
    which = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64) + 1
    code = (which * len(names) + which_set) * 2 + implicit
    distinct, back = np.unique(code, return_inverse=True)
    converted = []
    bad = np.zeros(len(distinct), bool)
    for number, one in enumerate(distinct.tolist()):
        value = values[one // 2 // len(names)]
        found = None
        if value is not None:
            found = _by_pydicom(word, value, names[one // 2 % len(names)], bool(one % 2))
            bad[number] = found is MALFORMED
        converted.append(None if found is MALFORMED else found)
    column = pa.array(converted, kind).take(pa.array(back))
    return column, int(bad[back].sum())


@lru_cache(maxsize=8192)
def _by_pydicom(word: str, value: bytes, charset: bytes, implicit: bool) -> Any:
    """Convert one value as pydicom reads it from a file: the slow and certain way."""
    tag, slot = _tag(word), _SLOT[word]
    elements = []
    if charset:
        elements.append(_element(_tag(_CHARSET), b"CS", charset, implicit))
    vr = int(_VRS[slot]).to_bytes(2, "little")
    own = _element(tag, vr, value, implicit)
    elements = [own] if tag < _tag(_CHARSET) else [*elements, own]
    try:
        dataset = read_dataset(io.BytesIO(b"".join(elements)), implicit, is_little_endian=True)
        return convert(dataset.get(word), INSTANCES.field(word).type)
    except Exception:
        return MALFORMED


def _element(tag: int, vr: bytes, value: bytes, implicit: bool) -> bytes:
    head = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
    if implicit:
        return head + len(value).to_bytes(4, "little") + value
    return head + vr + len(value).to_bytes(2, "little") + value


def _convert_plain(
    word: str, raw: pa.Array, charsets: pa.Array, kind: pa.DataType
) -> tuple[pa.Array, Flags]:
    """Convert values of the plainest form, all at once; tell which ones were."""
    vr = int(_VRS[_SLOT[word]]).to_bytes(2, "little").decode()
    nothing = np.asarray(raw.is_null())
    if not _is_ascii(raw):
        return pa.nulls(len(raw), kind), nothing
    text = pc.utf8_rtrim(raw.cast(pa.string()), characters=" \0")
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
    return pa.nulls(len(raw), kind), nothing


def _is_ascii(raw: pa.Array) -> bool:
    data = raw.buffers()[2]
    return data is None or not (np.frombuffer(data, np.uint8) & 0x80).any()


def _fits(text: pa.Array, pattern: str) -> Flags:
    fits = pc.match_substring_regex(text, pattern)
    return np.asarray(pc.fill_null(fits, False))


def _plain_decimals(text: pa.Array, kind: pa.DataType, nothing: Flags) -> tuple[pa.Array, Flags]:
    """Convert multi-valued DS; a row is plain if each of its values is."""
    parts = pc.split_pattern(text, "\\")
    flat = pc.utf8_trim(pc.list_flatten(parts), characters=" ")
    good = _fits(flat, _DECIMAL)
    parents = np.asarray(pc.list_parent_indices(parts))
    bad_rows = np.zeros(len(text), bool)
    bad_rows[parents[~good]] = True
    plain = ~bad_rows & ~nothing
    numbers = pc.if_else(pa.array(good), flat, None).cast(pa.float64())
    lengths = np.asarray(pc.fill_null(pc.list_value_length(parts), 0))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), numbers)
    return pc.if_else(pa.array(plain), lists, pa.scalar(None, lists.type)).cast(
        kind
    ), plain | nothing
