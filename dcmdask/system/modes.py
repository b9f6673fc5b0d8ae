"""Take files and folders; let nobody but their owner reach them, where the system has modes (POSIX)."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

POSIX = os.name == "posix"

_OTHERS = 0o077
_FILE = 0o600
_FOLDER = 0o700


def private_opener(path: str, flags: int) -> int:
    """Open a file for `open`; one that is made is its owner's alone."""
    return os.open(path, flags, _FILE)


def private_file(path: Path) -> Path:
    """Make an empty file that is its owner's alone, for whoever opens it by name; return its path."""
    with open(path, "wb", opener=private_opener):
        return path


def private_folder(path: Path) -> None:
    """Make a folder, and those above it, that are their owner's alone, if they are not there."""
    if not path.is_dir():
        private_folder(path.parent)
        path.mkdir(mode=_FOLDER, exist_ok=True)


def is_closed(path: str | os.PathLike[str]) -> bool:
    """Tell whether nobody but the owner of a file or folder reaches it; True where nobody can say."""
    return not POSIX or not os.lstat(path).st_mode & _OTHERS


def close(path: str | os.PathLike[str]) -> None:
    """Take away what the mode of a file or folder allows to others; what else it says stays.

    Raises
    ------
    OSError
        It is somebody else's, say.
    """
    if POSIX:
        mode = os.lstat(path).st_mode
        if mode & _OTHERS and not stat.S_ISLNK(mode):
            os.chmod(path, stat.S_IMODE(mode) & ~_OTHERS)


def close_tree(folder: Path) -> None:
    """Close a folder and all that lies in it, as far as that can be."""
    if not POSIX:
        return
    for path, _, names in os.walk(folder):
        for one in (path, *(os.path.join(path, name) for name in names)):
            with suppress(OSError):
                close(one)


def usual_modes(folder: Path) -> tuple[int, int]:
    """Return the modes that new files and folders have there: the umask decides, or the folder.

    Parameters
    ----------
    folder : pathlib.Path
        A folder in which two entries are made and removed.
    """
    file, inner = folder / "mode-of-a-file", folder / "mode-of-a-folder"
    with open(file, "wb"):
        pass
    inner.mkdir()
    modes = tuple(os.lstat(path).st_mode & 0o777 for path in (file, inner))
    file.unlink()
    inner.rmdir()
    return modes[0], modes[1]


def open_tree(folder: Path, modes: tuple[int, int]) -> None:
    """Return a folder's content, at every depth, the modes of files and of folders."""
    if not POSIX:
        return
    for path, folders, files in os.walk(folder):
        for names, mode in ((files, modes[0]), (folders, modes[1])):
            for name in names:
                one = os.path.join(path, name)
                # Another file of somebody else's, linked: as it is.
                with suppress(OSError):
                    os.chmod(one, (os.lstat(one).st_mode & 0o7000) | mode)
