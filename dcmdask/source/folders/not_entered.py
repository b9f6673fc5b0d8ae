"""What of a source is named and counted, and not entered: its words, and names that decide it.

One row stands for each such place, of kind `Kind.NOT_ENTERED`: a folder of a file server, a catalog
of this package, a link, a file system of the system itself. No other name hides anything.
"""

from __future__ import annotations

import re

from dcmdask.own_names import KEPT
from dcmdask.source.entries import OUTPUTS, Entry
from dcmdask.types import CATALOG_FOLDER, PRIVATE, Kind

SERVER_FOLDERS = frozenset(
    {
        # Synology: thumbnails and indexes, recycle bin, snapshots.
        "@eaDir",
        "#recycle",
        "#snapshot",
        # QNAP: the same.
        ".@__thumb",
        "@Recycle",
        "@Recently-Snapshot",
        # NetApp and Isilon over NFS, NetApp over SMB, ZFS, Btrfs and Storage Scale, CephFS and UFS,
        # GlusterFS.
        ".snapshot",
        "~snapshot",
        ".zfs",
        ".snapshots",
        ".snap",
        ".snaps",
        # Recycle bin of Samba; that of GlusterFS, and its second name of every file.
        ".recycle",
        ".trashcan",
        ".glusterfs",
        # Windows: recycle bin as it is written by its releases, restore points, replication.
        "$RECYCLE.BIN",
        "$Recycle.Bin",
        "RECYCLER",
        "System Volume Information",
        "DfsrPrivate",
        # macOS and its file servers.
        ".Trashes",
        ".Spotlight-V100",
        ".fseventsd",
        ".TemporaryItems",
        ".DocumentRevisions-V100",
        ".AppleDouble",
        "Network Trash Folder",
        # Linux: recycle bins of desktops (with the number of a user: `is_of_server`), pieces of files
        # that a check of the disk found.
        ".Trash",
        "lost+found",
    }
)
"""Folders that file servers and systems keep for themselves, as they spell them."""

A_CATALOG = "a catalog of dcmdask"
OF_SERVER = "a folder of the file server: --include-server-folders enters it"
LEADS_OUT = "a link that leads out of the source: --follow-links all follows it"
A_LINK = "a link: --follow-links inside or all follows it"
OF_KERNEL = "no files of a disk but what the system says of itself"

_TRASH_OF_USER = re.compile(r"\.Trash-[0-9]+")

# What runs write, by names and suffixes that none but they give: a listing of a store does not say
# what a file holds.
_PUBLISHED = re.compile(
    r"[a-z_-]+\.(?:csv|json(?:\.greatest)?|parquet|html|xlsx)|cases/[^/]+\.(?:csv|json|xlsx)"
)


def not_entered(path: str, location: bytes, case: str | None, words: str) -> Entry:
    """Return the row of a place that is not entered, and why.

    It has neither size nor time: what changes in there changes nothing here.
    """
    return Entry(path, location, case, None, None, Kind.NOT_ENTERED, words)


def prefix_not_entered(before: str, path: str, words: str) -> Entry:
    """Return the row of a prefix in a container of which nothing is read.

    Parameters
    ----------
    before : str
        What stands before paths of the root in a key.
    path : str
        Of the prefix, relative to the root.
    words : str
        Why.
    """
    location = f"{before}{path}".encode("utf-8", "surrogatepass")
    return not_entered(path, location, case_of_place(path), words)


def case_of_place(path: str) -> str | None:
    """Return the case of a place that is not entered.

    Found in the root itself it is of none; nor is a catalog where they go by default.
    """
    case, slash, _ = path.lstrip("/").partition("/")
    return case if slash and case != OUTPUTS else None


def is_of_server(name: str) -> bool:
    """Tell whether a folder of this name is one that a file server keeps for itself.

    Examples
    --------
    >>> is_of_server("@eaDir"), is_of_server(".Trash-1000"), is_of_server("@eaDirectory")
    (True, True, False)
    """
    return name in SERVER_FOLDERS or _TRASH_OF_USER.fullmatch(name) is not None


def catalog_of_key(path: str) -> str | None:
    """Return the catalog that a key is a file of, by its path; None for anybody's data.

    A catalog that begins at the root itself is named by the folder that runs keep for themselves.

    Examples
    --------
    >>> catalog_of_key("P1/out/.dcmdask/state-0123456789abcdef.json")
    'P1/out'
    >>> catalog_of_key("P1/.dcmdask/scan.dcm") is None
    True
    """
    folders = path.split("/")
    for depth, folder in enumerate(folders[:-1]):
        rest = "/".join(folders[depth + 1 :])
        if folder == PRIVATE:
            own = KEPT.fullmatch(rest)
        elif CATALOG_FOLDER.fullmatch(folder):
            own = _PUBLISHED.fullmatch(rest)
        else:
            continue
        if own:
            return "/".join(folders[:depth]) or PRIVATE
    return None


def place_of_key(path: str, *, server_folders: bool) -> tuple[str, str] | None:
    """Return which place holds a key that is not read, and why; None for a key to be read.

    Parameters
    ----------
    path : str
        Of the key, relative to the root.
    server_folders : bool
        Whether folders of file servers are entered: a bucket may hold the copy of one.
    """
    if f"{PRIVATE}/" in path or "catalog-" in path:
        holder = catalog_of_key(path)
        if holder is not None:
            return holder, A_CATALOG
    if server_folders:
        return None
    folders = path.split("/")[:-1]
    if SERVER_FOLDERS.isdisjoint(folders) and ".Trash-" not in path:
        return None
    found = next((depth for depth, name in enumerate(folders) if is_of_server(name)), None)
    return None if found is None else ("/".join(folders[: found + 1]), OF_SERVER)
