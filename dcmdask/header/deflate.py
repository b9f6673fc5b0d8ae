"""Take a window of a deflated dataset (PS3.5 A.5); give one of what it inflates to.

Only what is read is inflated, and no more than a header may have.
"""

from __future__ import annotations

import struct
import zlib

from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from dcmdask.errors import HeaderError
from dcmdask.types import Kind, Window

LARGEST = 64 * 1024 * 1024
"""Bytes a deflated header may inflate to."""

_STEP = 64 * 1024
_META_AT = 132
_GROUP_LENGTH = b"\x02\x00\x00\x00UL\x04\x00"
_DEFLATED = DeflatedExplicitVRLittleEndian.encode()
# Same length, so that the group length of the meta group stays true (UI is padded with NUL).
_PLAIN = ExplicitVRLittleEndian.encode().ljust(len(_DEFLATED), b"\0")


def plain_window(window: Window) -> tuple[Window, str | None]:
    """Give a window that pydicom reads without inflating the whole file.

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
    """
    head = window.head
    if _DEFLATED not in head[:1024] or head[_META_AT : _META_AT + 8] != _GROUP_LENGTH:
        return window, None
    end = _META_AT + 12 + int(struct.unpack_from("<L", head, _META_AT + 8)[0])
    meta = window.fetch(0, end)
    if len(meta) != end or _DEFLATED not in meta:
        return window, None
    meta = meta.replace(_DEFLATED, _PLAIN)
    stream = _Inflated(window, end)

    def fetch(offset: int, count: int) -> bytes:
        if offset < end:
            return meta[offset : offset + count]
        return stream.read(offset - end, count)

    # Its size is not that of the file: a window without a size cannot be said to be cut by it.
    first = meta + stream.read(0, _STEP)
    plain = Window(window.place, first, fetch, LARGEST)
    return plain, str(DeflatedExplicitVRLittleEndian)


class _Inflated:
    """A raw deflate stream, inflated as far as it has been read."""

    def __init__(self, window: Window, start: int) -> None:
        self._window = window
        self._at = start
        self._state = zlib.decompressobj(-zlib.MAX_WBITS)
        self._kept = bytearray()

    def read(self, offset: int, count: int) -> bytes:
        while len(self._kept) < offset + count and not self._state.eof:
            if len(self._kept) > LARGEST:
                raise HeaderError(Kind.TOO_LARGE, "the deflated header outgrows its bound")
            raw = self._state.unconsumed_tail
            if not raw:
                raw = self._window.fetch(self._at, _STEP)
                self._at += len(raw)
            if not raw:
                break
            try:
                self._kept += self._state.decompress(raw, _STEP)
            except zlib.error as error:
                raise HeaderError(Kind.CORRUPT, "the deflated dataset is damaged") from error
        return bytes(self._kept[offset : offset + count])
