"""Take the first bytes of a file or member; say which archive it is, and whether it is read.

Content decides. A name helps where the first bytes do not tell, and where it promises an archive
that is none.
"""

from __future__ import annotations

import zipfile
from typing import IO, cast

from dcmdask.dicom.windows import has_prefix
from dcmdask.source.archives.metered_file import Counted
from dcmdask.source.archives.programs import end_of_program
from dcmdask.source.archives.sniff import archive_kind
from dcmdask.source.archives.unread import (
    ReadAt,
    is_named_unread,
    is_split_name,
    unread_by_place,
    unread_format,
)
from dcmdask.source.entries import ARCHIVE_SUFFIXES
from dcmdask.types import WHOLE, Kind

_LEAST_TAR = 2 * 512
_LARGEST_PROGRAM = 4 * 1024 * 1024
"""Bytes of a program that unpacks what stands behind it: they have some hundred thousand."""

_MAGIC = 16
_READ_NAMES = (*ARCHIVE_SUFFIXES, ".gz", ".bz2", ".xz")

Told = tuple[Kind, str]
"""The kind of a failure, and its words."""


def kind_of_file(stream: Counted, head: bytes, name: str, size: int | None) -> str | None:
    """Return which archive a file is, as `dcmdask.source.archives.sniff.archive_kind` does.

    Further reads are made of a program that something follows, and where the name says zip.
    """
    kind = archive_kind(head)
    if kind is not None or has_prefix(head):
        return kind
    lower = name.lower()
    if lower.endswith(".zip"):
        return "zip" if zipfile.is_zipfile(cast(IO[bytes], stream)) else None
    if lower.endswith(".tar") and len(head) >= _LEAST_TAR and not head.strip(b"\0"):
        return "tar"
    kind = kind_behind_program(head, size, stream.read_at)
    if kind is None and size is not None and end_of_program(head, size) is not None:
        # Told by its end: a program may hold whatever it likes before the zip.
        return "zip" if stream.prepare(WHOLE, size) else None
    return kind


def kind_behind_program(head: bytes, size: int | None, read_at: ReadAt) -> str | None:
    """Return ``zip`` for a program that a zip follows at once."""
    return "zip" if archive_kind(_behind_program(head, size, read_at)) == "zip" else None


def _behind_program(head: bytes, size: int | None, read_at: ReadAt) -> bytes:
    end = end_of_program(head, size)
    return b"" if end is None or end > _LARGEST_PROGRAM else read_at(end, _MAGIC)


def unread(head: bytes, name: str, size: int | None, read_at: ReadAt) -> Told | None:
    """Return the failure that a file or member is for being an archive of a format not read.

    Parameters
    ----------
    head : bytes
        The first window of what is no archive that is read.
    name : str
        Of the file.
    size : int or None
        Of the file, bytes.
    read_at : callable
        Offset and count to bytes of it.
    """
    if has_prefix(head):
        return None
    words = unread_format(head) or unread_by_place(head, name, size, read_at)
    if words is None and (behind := unread_format(_behind_program(head, size, read_at))):
        words = f"a program that unpacks {behind}"
    if words is not None:
        return Kind.UNREAD_ARCHIVE, f"{words} is not read"
    return None


def misnamed(head: bytes, name: str) -> Told | None:
    """Return the failure that a file is for the name of an archive which its content is not."""
    if has_prefix(head):
        return None
    if is_split_name(name):
        return Kind.UNREAD_ARCHIVE, "a part of a split archive is not read: join its parts"
    if is_named_unread(name) or name.lower().endswith(_READ_NAMES):
        return Kind.CORRUPT_ARCHIVE, "named an archive, is none"
    return None
