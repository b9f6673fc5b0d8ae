"""Take a window of a deflated dataset (PS3.5 A.5); give one of what it inflates to.

Only what is read is inflated, and no more than a header may have.
"""

from __future__ import annotations

import zlib
from dataclasses import replace

from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from dcmdask.dicom.windows import META_AT, has_prefix
from dcmdask.errors import HeaderError
from dcmdask.types import Kind, Window

LARGEST = 64 * 1024 * 1024
"""Bytes a deflated header may inflate to."""

_STEP = 64 * 1024
_META_GROUP = b"\x02\x00"
_SYNTAX = b"\x02\x00\x10\x00"
_LONGEST_META = 64 * 1024
_LONG = {vr.value.encode() for vr in EXPLICIT_VR_LENGTH_32}
_DEFLATED = DeflatedExplicitVRLittleEndian.encode()
# Same length, so that the group length of the meta group stays true (UI is padded with NUL).
_PLAIN = ExplicitVRLittleEndian.encode().ljust(len(_DEFLATED), b"\0")


def plain_window(window: Window) -> tuple[Window, str | None]:
    """Return a window that pydicom reads without inflating the whole file.

    Parameters
    ----------
    window : Window
        Of any file.

    Returns
    -------
    window : Window
        The same one, or one of the inflated dataset behind the meta group.
    syntax : str or None
        The true transfer syntax where the window is another one.

    Raises
    ------
    HeaderError
        ``corrupt`` or ``too_large``: of the first bytes that are inflated; later ones say so when
        the window is read.
    """
    if _DEFLATED not in window.head[:1024]:
        return window, None
    end, syntax_at = _walk_meta(window)
    meta = window.fetch(0, min(end, _LONGEST_META))
    if len(meta) != end or meta[syntax_at:][: len(_DEFLATED)] != _DEFLATED:
        return window, None
    meta = meta[:syntax_at] + _PLAIN + meta[syntax_at + len(_PLAIN) :]
    stream = _Inflated(window, end)

    def fetch(offset: int, count: int) -> bytes:
        return stream.read(offset - end, count)

    # The size of the file is not that of what it inflates to.
    place = replace(window.place, size=None)
    plain = Window(place, meta + stream.read(0, _STEP), fetch, LARGEST)
    return plain, str(DeflatedExplicitVRLittleEndian)


def _walk_meta(window: Window) -> tuple[int, int]:
    """Return where the meta group ends (PS3.10 section 7.1), and where its transfer syntax stands.

    Its elements are counted, as pydicom does: the group length may lie or be missing, and there
    may be no preamble before it. Without a transfer syntax its place is behind all.
    """
    at = META_AT if has_prefix(window.head) else 0
    syntax_at = _LONGEST_META
    while at < _LONGEST_META:
        head = window.fetch(at, 12)
        if len(head) < 8 or not head.startswith(_META_GROUP):
            break
        start, length = (12, head[8:12]) if head[4:6] in _LONG else (8, head[6:8])
        if head[:4] == _SYNTAX:
            syntax_at = at + start
        at += start + int.from_bytes(length, "little")
    return at, syntax_at


class _Inflated:
    """A raw deflate stream, inflated as far as it has been read."""

    def __init__(self, window: Window, start: int) -> None:
        self._window = window
        self._at = start
        self._state = zlib.decompressobj(-zlib.MAX_WBITS)
        self._kept = bytearray()

    def read(self, offset: int, count: int) -> bytes:
        while len(self._kept) < offset + count and self._inflate_more():
            if len(self._kept) > LARGEST:
                raise HeaderError(Kind.TOO_LARGE, "the deflated header outgrows its bound")
        return bytes(self._kept[offset : offset + count])

    def _inflate_more(self) -> bool:
        """Inflate one step; tell whether there may be another."""
        if self._state.eof:
            return False
        raw = self._state.unconsumed_tail
        if not raw:
            raw = self._window.fetch(self._at, _STEP)
            self._at += len(raw)
        try:
            more = self._state.decompress(raw, _STEP)
        except zlib.error as error:
            raise HeaderError(Kind.CORRUPT, "the deflated dataset is damaged") from error
        self._kept += more
        # Without input there may still be output: zlib holds back what its bound cut off.
        return bool(raw or more)
