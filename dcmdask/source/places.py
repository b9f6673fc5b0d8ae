"""Take rows of a manifest and names of members; say where each is: path, folder, URL."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dcmdask.config import AS_USUAL, RemoteOptions
from dcmdask.remote.address import before_keys
from dcmdask.source.entries import shown
from dcmdask.types import Place

_LARGEST_SIZE = 2**63 - 1

BY_OFFSET = "member"
"""Protocol of members that no name opens: by where their header begins in the archive."""

# What fsspec's tar understands by a name's end alone, whatever the file is.
_INFERRED = {
    ".gz": "gzip",
    ".bz2": "bz2",
    ".xz": "xz",
    ".lzma": "lzma",
    ".zip": "zip",
    ".zst": "zstd",
    ".lz4": "lz4",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """How the tables name the files of a root.

    Attributes
    ----------
    container : str or None
        The URL that their locations are shown below; None for files of this machine.
    has_tags : bool
        Whether their entity tags are the store's own, and are shown.
    """

    container: str | None
    has_tags: bool = True

    @property
    def before(self) -> str:
        """What stands before a location in a URL."""
        return "file://" if self.container is None else before_keys(self.container)


HERE = Shown(None)
"""Files of this machine."""


@dataclass(frozen=True, slots=True)
class Roots:
    """Names of the source roots, by number; what turns a manifest row into a place.

    Attributes
    ----------
    names : tuple of str
        Of the roots.
    containers : tuple of (str or None)
        URLs of their containers; None for a folder of this machine. Empty where all are that.
    remote : RemoteOptions
        How containers are reached.
    """

    names: tuple[str, ...]
    containers: tuple[str | None, ...] = ()
    remote: RemoteOptions = AS_USUAL

    def container(self, number: int) -> str | None:
        """Return the URL of a root's container; None for a folder of this machine."""
        return self.containers[number] if self.containers else None

    def place(self, row: Mapping[str, Any], number: int, shown_as: Shown = HERE) -> Place:
        """Return the place of a manifest row, which has a number in its partition."""
        path = row["path"]
        parent, _, name = path.rpartition("/")
        root = self.names[row["root"]]
        # As `place_columns` has it, whatever a key looks like.
        folder = f"{root}/{parent}" if parent else root
        if shown_as.container is None:
            location = shown(os.fsdecode(row["location"])).replace(os.sep, "/")
            url = f"file://{location}" if location.startswith("/") else f"file:///{location}"
        else:
            url = f"{shown_as.before}{row['location'].decode()}"
        return Place(
            url,
            row["case"],
            path,
            folder,
            name,
            archive=None,
            size=row["size"],
            modified=row["modified"],
            etag=row["etag"] if shown_as.has_tags else None,
            row=number,
        )


def tar_url(place: Place, kind: str | None, *, nested: bool) -> str:
    """Return the URL by which fsspec's tar finds the archive in a file, perhaps compressed.

    fsspec infers from the name alone how a tar is compressed, for one inside another archive even
    from that one's name. Where that is wrong, the name is hidden behind the file system of a single
    compressed file, which looks at the content.
    """
    stem, suffix = posixpath.splitext(place.file_name)
    if not nested and _INFERRED.get(suffix.lower()) == kind:
        return place.url
    return f"{kind or 'gzip'}://{stem}.tar::{place.url}"


def url_by_name(protocol: str, name: str | None, url: str) -> str | None:
    """Return the URL by which fsspec opens a member under its name; None where it would not.

    Parameters
    ----------
    protocol : str
        Of the archive.
    name : str or None
        By which the archive gives the member; None where it gives another.
    url : str
        Of the archive.
    """
    if name is None or not name or "::" in name or name[0] == "/" or name[-1] in ":/":
        return None
    if name.startswith(f"{protocol}://") or shown(name) != name:
        return None
    if protocol == "tar" and "//" in name:
        # Versions of fsspec differ in what they make of it.
        return None
    return f"{protocol}://{name}::{url}"


def url_by_offset(offset: int, name: str, url: str) -> str:
    """Return the URL of a member by where its header begins, which `MemberFileSystem` opens.

    The name is there for people only. The number has zeros before it, so that URLs of one archive
    are in the order of its members.
    """
    return f"{BY_OFFSET}://{offset:012}/{shown(name).replace(':', '%3A').strip('/')}::{url}"


def member_place(archive: Place, name: str, size: int | None, url: str) -> Place:
    """Return the place of a member, by its name and its URL."""
    inside = shown(name)
    tidy = inside.removeprefix("./").lstrip("/") or "unnamed"
    holder, _, file_name = tidy.rpartition("/")
    folder = f"{archive.folder.partition('/')[0]}/{archive.path}"
    return Place(
        url=url,
        case=archive.case,
        path=f"{archive.path}!{tidy}",
        folder=f"{folder}!{posixpath.dirname(tidy)}" if holder else folder,
        file_name=file_name,
        archive=archive.path if archive.archive is None else archive.archive,
        size=size if size is None or size <= _LARGEST_SIZE else None,
        modified=archive.modified,
        etag=archive.etag,
        row=archive.row,
    )
