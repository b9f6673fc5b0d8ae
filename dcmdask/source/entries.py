"""What listing gives, wherever it lists: roots, and entries of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NamedTuple

from dcmdask.remote.address import Address, is_url

OUTPUTS = ".imgtools"
"""Folder beside sources that catalogs go to where nothing else is asked for."""

ARCHIVE_SUFFIXES = (
    ".zip",
    ".tar",
    ".tar.gz",
    ".tgz",
    ".tar.bz2",
    ".tbz2",
    ".tar.xz",
    ".txz",
)
"""Names that make a file in the root of a source a case of its own; content decides the rest."""


@dataclass(frozen=True, slots=True)
class Root:
    """One source: a folder of this machine, or what lies below a prefix of a container.

    Attributes
    ----------
    path : str
        Absolute path of the folder; or the URL of the prefix, without a slash at its end.
    name : str
        What folders of its instances start with.
    only : tuple of str
        Names in the folder that were named as sources themselves; empty for the whole folder.
    """

    path: str
    name: str
    only: tuple[str, ...] = ()

    @property
    def is_remote(self) -> bool:
        """Whether it is no folder of this machine."""
        return is_url(self.path)

    @property
    def container(self) -> str | None:
        """The URL of its container; None for a folder of this machine."""
        return Address.parse(self.path).root if self.is_remote else None

    @property
    def real(self) -> str:
        """Its path without links, by which two names of one source are told to be that; or its URL."""
        return self.path if self.is_remote else os.path.realpath(self.path)

    def before(self, real: str) -> str:
        """Return what the real paths of all that lies in it begin with, by its own."""
        if not self.is_remote:
            return real.rstrip(os.sep) + os.sep
        return real if real.endswith("://") else f"{real}/"


class Entry(NamedTuple):
    """One line of the manifest; `dcmdask.tables.schema.MANIFEST` without its root.

    The location is a path as the system wants it; in a container, a key. A large archive is several
    lines, one after the other: `dcmdask.types.Piece`. Of no case is what lies in the root itself and is
    not entered.
    """

    path: str
    location: bytes
    case: str | None
    size: int | None
    modified: int | None
    kind: str | None = None
    message: str | None = None
    etag: str | None = None
    piece: int = 0
    pieces: int = 1
    access: bytes | None = None


def shown(path: str) -> str:
    """Return a path as valid text: bytes that are no UTF-8 become a backslash and their number."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def top_level_case(name: str, root: str) -> str:
    """Return the case of a file lying directly in a root: its own for an archive, else the root's.

    Examples
    --------
    >>> top_level_case("P7.zip", "exports"), top_level_case("scan.dcm", "exports")
    ('P7', 'exports')
    """
    lower = name.lower()
    for suffix in sorted(ARCHIVE_SUFFIXES, key=len, reverse=True):
        if lower.endswith(suffix) and len(lower) > len(suffix):
            return shown(name[: -len(suffix)])
    return root
