"""Take the first bytes of a Windows program; say whether an archive may lie behind it, and where.

Archives that extract themselves are programs with an archive at their end. Of a program that has
nothing there, which is nearly every one, nothing more is read.
"""

from __future__ import annotations

import struct

_SECTION = struct.Struct("<8s2L2L16x")
_SECTIONS_MOST = 96
_CERTIFICATES = 4
_LEAST = 22
"""Bytes of the end of a zip, the least that an archive takes."""

_ALIGNED = 8
_IN_A_SECTION = b"_winzip_"
"""Name of the section in which WinZip's self-extractors keep their zip."""


def end_of_program(head: bytes, size: int | None) -> int | None:
    """Return where a program ends in its file and something else begins.

    Parameters
    ----------
    head : bytes
        The first window of a file.
    size : int or None
        Of the file, bytes.

    Returns
    -------
    int or None
        None where it is no program, or where nothing but a signature follows it.
    """
    if head[:2] != b"MZ" or len(head) < 64:
        return None
    end = _end_of_sections(head)
    return None if end is None or (size is not None and end + _LEAST > size) else end


def _end_of_sections(head: bytes) -> int | None:
    start = struct.unpack_from("<L", head, 0x3C)[0]
    if head[start : start + 4] != b"PE\0\0":
        # A program of DOS: its header says how many pages of 512 bytes it takes, the last not full.
        last, pages = struct.unpack_from("<2H", head, 2)
        return int(max(512 * pages - (512 - last if last else 0), 0))
    try:
        count, optional = struct.unpack_from("<H12xH", head, start + 6)
        table = start + 24 + optional
        sections = [
            _SECTION.unpack_from(head, table + number * _SECTION.size)
            for number in range(min(count, _SECTIONS_MOST))
        ]
    except struct.error:
        return None
    for name, _, _, _, begin in sections:
        if name == _IN_A_SECTION:
            return int(begin)
    end = max((begin + length for *_, length, begin in sections), default=0)
    return _behind_certificates(head, start + 24, optional, end)


def _behind_certificates(head: bytes, header: int, optional: int, end: int) -> int:
    """Pass over a signature that follows the last section (PE format, attribute certificates)."""
    wide = head[header : header + 2] == b"\x0b\x02"
    at = header + (112 if wide else 96) + 8 * _CERTIFICATES
    if at + 8 > min(header + optional, len(head)):
        return end
    start, length = struct.unpack_from("<2L", head, at)
    return start + length if end <= start < end + _ALIGNED and length else end
