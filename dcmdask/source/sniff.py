"""Take the first bytes of a file; say which archive it is, if any. Names are not asked."""

from __future__ import annotations

import tarfile

from dcmdask.windows import has_prefix

_MAGIC = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"PK\x07\x08", "zip"),
    (b"\x1f\x8b\x08", "gzip"),
    (b"\xfd7zXZ\x00", "xz"),
)
_UNREAD = (
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
)
_BLOCK = 512


def archive_kind(head: bytes) -> str | None:
    """Give ``zip``, ``tar``, ``gzip``, ``bz2``, ``xz``, or None.

    A DICM prefix outranks everything: PS3.10 leaves the preamble before it free, and dual-format
    files put another format's magic there.
    """
    if has_prefix(head):
        return None
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[:3] == b"BZh" and head[4:10] == b"1AY&SY":
        return "bz2"
    return "tar" if is_tar(head) else None


def is_tar(head: bytes) -> bool:
    """Tell whether the first block is a tar header: magic, or a true checksum (old archives)."""
    if head[257:262] == b"ustar":
        return True
    if len(head) < _BLOCK or not head[:1].strip(b"\0"):
        return False
    try:
        tarfile.TarInfo.frombuf(head[:_BLOCK], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def unread_format(head: bytes) -> str | None:
    """Name an archive format that is recognised and not read."""
    return next((words for magic, words in _UNREAD if head.startswith(magic)), None)
