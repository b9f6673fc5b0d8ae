"""Take a window; give a short file of only those elements that are wanted, for pydicom to read.

pydicom looks at every element of a header, wanted or not, at some microseconds each. Of a plain
file the wanted ones can be cut out: it is the same to it, and costs a fraction. Where a file is not
plain in any way there is no excerpt, and pydicom reads the file itself.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    PrivateTransferSyntaxes,
)

from dcmdask.dicom.sequence_items import UNDEFINED, is_sequence, pass_items
from dcmdask.dicom.windows import META_AT, has_prefix
from dcmdask.errors import HeaderError
from dcmdask.header.bounds import LAST
from dcmdask.header.columnar.elements import LONG_VRS, LONGEST_HEAD, SHORT_VRS
from dcmdask.header.stated_charset import clean_charset
from dcmdask.types import MOST_READS, Window

_META = 0x0002
_DELIMITERS = 0xFFFE
_SYNTAX = 0x00020010
_CHARSET = 0x00080005
_HEAD = struct.Struct("<HH2sH")
_LONG_LENGTH = struct.Struct("<L")
_END_OF_ITEMS = b"\xfe\xff\xdd\xe0\0\0\0\0"
_LONGEST_META = 64 * 1024
_SHORT = {vr.encode(): vr for vr in SHORT_VRS}
_LONG = {vr.encode(): vr for vr in (*LONG_VRS, "SQ")}
_STRANGE: Final = frozenset(
    (DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, *PrivateTransferSyntaxes)
)


class _NotPlainError(Exception):
    """The file is for pydicom to judge."""


def excerpt(window: Window, last: int, wanted: frozenset[int]) -> bytes | None:
    """Cut the wanted elements out of a plain file.

    Parameters
    ----------
    window : Window
        At any position. Left at the element at which reading stopped, or at the end.
    last : int
        Tag of the element to stop before.
    wanted : frozenset of int
        Tags of top-level elements.

    Returns
    -------
    bytes or None
        A file with the same meta group, in the same encoding, without what is not wanted; None
        where the file is not plain.

    Raises
    ------
    HeaderError
        What stopped the window's reads.
    """
    if not has_prefix(window.head):
        return None
    window.rewind()
    window.seek(META_AT)
    try:
        start, syntax = _pass_meta(window)
        implicit = _is_implicit(window, start, syntax)
        pieces = list(_cut(window, last, wanted, implicit=implicit))
    except _NotPlainError:
        return None
    return b"".join([window.fetch(0, start), *pieces])


def _pass_meta(window: Window) -> tuple[int, bytes]:
    """Move past the meta group (PS3.10 section 7.1); give where it ends, and the transfer syntax."""
    syntax = b""
    while (at := window.tell()) < _LONGEST_META:
        group, number, vr, length = _HEAD.unpack(_read(window, 8))
        if group != _META:
            window.seek(at)
            return at, syntax
        if vr in _LONG:
            length = _LONG_LENGTH.unpack(_read(window, 4))[0]
        elif vr not in _SHORT:
            break
        if group << 16 | number == _SYNTAX:
            syntax = _read(window, length).rstrip(b"\0 ")
        else:
            window.seek(length, 1)
    raise _NotPlainError


def _is_implicit(window: Window, start: int, syntax: bytes) -> bool:
    """Tell the encoding, where the transfer syntax and the first element agree on it."""
    group, _, vr, _ = _HEAD.unpack(_read(window, 8))
    window.seek(start)
    implicit = syntax == ImplicitVRLittleEndian.encode()
    known = syntax.startswith(b"1.2.840.10008.1.2") and syntax.decode("latin-1") not in _STRANGE
    looks_explicit = b"AA" <= vr <= b"ZZ"
    if not known or not group or looks_explicit == implicit:
        raise _NotPlainError
    return implicit


def _cut(window: Window, last: int, wanted: frozenset[int], *, implicit: bool) -> Iterator[bytes]:
    """Yield the wanted elements, and the first one, by which pydicom knows the encoding."""
    first, is_behind = True, False
    at, begun = window.tell(), window.head
    for _ in range(MOST_READS):
        # Most of it lies in the first window: bytes in memory cost less than a read of them.
        head = begun[at : at + LONGEST_HEAD]
        if len(head) < LONGEST_HEAD:
            window.seek(at)
            head = window.read(LONGEST_HEAD)
            if not head:
                if window.is_past_end():
                    break
                return
        tag, vr, size, length = _parse(head, implicit=implicit)
        if tag >> 16 == _DELIMITERS or not tag:
            break
        if tag > LAST:
            is_behind = True
        elif is_behind:
            break
        if tag >= last:
            window.seek(at)
            return
        end = at + size + length
        if length == UNDEFINED:
            if first:
                break
            window.seek(at + size)
            end = _pass_sequence(window, tag, vr, kept=tag in wanted)
        if tag in wanted or first:
            piece = begun[at:end]
            if len(piece) < end - at:
                window.seek(at)
                piece = _read(window, end - at)
            yield _cleaned(piece, size, implicit=implicit) if tag == _CHARSET else piece
        at = end
        first = False
    raise _NotPlainError


def _cleaned(piece: bytes, size: int, *, implicit: bool) -> bytes:
    """Return the character set as pydicom can follow it."""
    names, _ = clean_charset(piece[size:])
    tag, length = piece[:4], len(names)
    return (
        tag
        + (_LONG_LENGTH.pack(length) if implicit else struct.pack("<2sH", b"CS", length))
        + names
    )


def _parse(head: bytes, *, implicit: bool) -> tuple[int, str | None, int, int]:
    """Return tag, VR, bytes before the value and length of an element."""
    if len(head) < 8:
        raise _NotPlainError
    group, number, vr, length = _HEAD.unpack_from(head)
    tag = group << 16 | number
    if implicit:
        return tag, None, 8, _LONG_LENGTH.unpack_from(head, 4)[0]
    if vr in _SHORT:
        return tag, _SHORT[vr], 8, length
    if vr in _LONG and len(head) == LONGEST_HEAD:
        return tag, _LONG[vr], 12, _LONG_LENGTH.unpack_from(head, 8)[0]
    raise _NotPlainError


def _pass_sequence(window: Window, tag: int, vr: str | None, *, kept: bool) -> int:
    """Move past a value of undefined length, its delimiter included; give where it ends."""
    # An unknown VR of undefined length is implicit inside (PS3.5 section 6.2.2).
    if vr == "UN" or not is_sequence(window, tag, vr):
        raise _NotPlainError
    try:
        # pydicom parses what it keeps, and may find another end if items do not end as they say.
        plain = pass_items(window, UNDEFINED, implicit=vr is None, build=kept)
    except HeaderError as error:
        window.raise_error()
        raise _NotPlainError from error
    if not plain or _read(window, 8) != _END_OF_ITEMS:
        raise _NotPlainError
    return window.tell()


def _read(window: Window, count: int) -> bytes:
    found = window.read(count)
    if len(found) < count:
        raise _NotPlainError
    return found
