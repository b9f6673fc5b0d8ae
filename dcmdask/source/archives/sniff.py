"""Take the first bytes of a file; say which archive it is, if any. Names are not asked."""

from __future__ import annotations

import tarfile

from dcmdask.dicom.windows import has_prefix
from dcmdask.source.archives.zip_format import (
    BEHIND_SIGNATURE,
    END_SIGNATURE,
    LOCAL_SIGNATURE,
    UNSPLIT,
)

_MAGIC = (
    (LOCAL_SIGNATURE, "zip"),
    (END_SIGNATURE, "zip"),
    (BEHIND_SIGNATURE, "zip"),
    (UNSPLIT + LOCAL_SIGNATURE, "zip"),
    (b"\x1f\x8b\x08", "gzip"),
    (b"\xfd7zXZ\x00", "xz"),
)
_BLOCK = 512


def archive_kind(head: bytes) -> str | None:
    """Return ``zip``, ``tar``, ``gzip``, ``bz2``, ``xz``, or None.

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
