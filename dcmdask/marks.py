"""Take a folder; tell whether it is an output of this package: by what lies in it, not by a name.

An output has a folder named ``.dcmdask``. So may a folder of anybody, and nothing of theirs may be
passed over or removed for its name. What decides is a mark in it, a small file of fixed content, or,
in an output of an earlier release, the files that a run has left there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from dcmdask.own_names import MARK, OWN, STATE, UNFINISHED
from dcmdask.types import PRIVATE

_TEXT = b'{"dcmdask": "output", "about": "what a crawl keeps for the next one; safe to delete"}\n'
_ANEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_ANEW |= getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
_KEPT_BEGINS = b'{"reading": "'
"""What a run leaves for the next one begins so, in every release."""

_CATALOG_BEGINS = b'{\n  "dcmdask": "'


def is_output(folder: str | os.PathLike[str]) -> bool:
    """Tell whether a folder is an output of a run, be it that the run ended well or on the way.

    Parameters
    ----------
    folder : path
        The folder that has, or may have, an entry named ``.dcmdask``.

    Returns
    -------
    bool
        Where ``.dcmdask`` is another user's and closed, whether ``catalog.json`` is one of ours. A
        link is never followed.

    Notes
    -----
    One file is opened where there is a mark; of an output of an earlier release a few names are
    listed and one file is opened.
    """
    private = os.path.join(folder, PRIVATE)
    try:
        if not stat.S_ISDIR(os.lstat(private).st_mode):
            return False
        if _begins(os.path.join(private, MARK), _TEXT):
            return True
        with os.scandir(private) as items:
            kept = sorted(item.name for item in items if _is_of_a_run(item.name))
        return any(_begins(os.path.join(private, name), _KEPT_BEGINS) for name in kept)
    except PermissionError:
        return _begins(os.path.join(folder, "catalog.json"), _CATALOG_BEGINS)
    except OSError:
        return False


def has_only_own_names(names: Iterable[str]) -> bool:
    """Tell whether all that lies in a folder named ``.dcmdask`` has a name that runs give.

    Examples
    --------
    >>> has_only_own_names(["lock", "parts"]), has_only_own_names([]), has_only_own_names(["a.dcm"])
    (True, True, False)
    """
    # A store of folders lists an empty one as a key without a name.
    return all(OWN.fullmatch(name.rstrip("/")) for name in names if name.strip("/"))


def names_an_output(names: Iterable[str]) -> bool:
    """Tell whether any of the names in a folder ``.dcmdask`` of a store is one that runs give.

    Examples
    --------
    >>> names_an_output(["state-0123456789abcdef.json"]), names_an_output(["a.dcm"])
    (True, False)
    """
    return any(name == MARK or _is_of_a_run(name) for name in names)


def write_mark(private: Path) -> None:
    """Write the mark into the folder ``.dcmdask`` of an output, if it is not there.

    A run that is killed meanwhile leaves a part of it, which is no mark; the next run writes it.

    Raises
    ------
    OSError
        It cannot be written.
    """
    if _begins(private / MARK, _TEXT):
        return
    handle = os.open(private / MARK, _ANEW, 0o600)
    with open(handle, "wb") as stream:
        stream.write(_TEXT)


def _is_of_a_run(name: str) -> bool:
    return name == UNFINISHED or STATE.fullmatch(name) is not None


def _begins(path: str | os.PathLike[str], text: bytes) -> bool:
    """Tell whether a file, and no link or FIFO, begins with some bytes."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return False
        with open(path, "rb") as stream:
            return stream.read(len(text)) == text
    except OSError:
        return False
