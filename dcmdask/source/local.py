"""Take folders and files of this machine; give manifest entries, one stat a file, none opened.

Folders that hold a catalog are not entered: their files are not anybody's data. Symbolic links to
folders are followed once each and never into a source; FIFOs, sockets and devices
are listed as skips and never opened.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from dcmdask.errors import SourceError
from dcmdask.source.entries import OUTPUTS, Entry, Root, shown, top_level_case
from dcmdask.types import PRIVATE, Kind

_SPECIAL = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)


def root_of(source: str) -> Root:
    """Give the root that a source on this machine names.

    Raises
    ------
    SourceError
        It does not exist or cannot be read.
    """
    path = os.path.abspath(os.path.expanduser(source))
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            os.scandir(path).close()
        elif stat.S_ISREG(mode):
            with open(path, "rb"):
                pass
    except FileNotFoundError as error:
        raise SourceError(source, "no such file or folder", "check the path") from error
    except PermissionError as error:
        raise SourceError(
            source, "permission denied", "grant read access or leave it out"
        ) from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SourceError(source, reason, "check the path and the mount") from error
    if stat.S_ISDIR(mode):
        return Root(path, shown(os.path.basename(path)) or "root")
    if stat.S_ISREG(mode):
        parent = os.path.dirname(path)
        name = shown(os.path.basename(parent)) or "root"
        return Root(parent, name, (os.path.basename(path),))
    raise SourceError(source, "neither a file nor a folder", "name a file, a folder or an archive")


def list_root(
    root: Root,
    *,
    leave_out: frozenset[str] = frozenset(),
    inside: tuple[str, ...] = (),
    wanted: Callable[[str], bool] = lambda _path: True,
    found_case: Callable[[str], None] = lambda _case: None,
) -> Iterator[Entry]:
    """List what lies in a root, in order of names.

    Parameters
    ----------
    root : Root
        Where to begin.
    leave_out : frozenset of str
        Real paths of folders that are never entered: the output.
    inside : tuple of str
        Real paths of all roots: links into them are not followed, their files are listed anyway.
    wanted : callable
        Relative posix path to whether a file is listed.
    found_case : callable
        Told of every case, also of one without files.

    Yields
    ------
    Entry
        A file, or a folder that could not be read as a failure.
    """
    walk = _Walk(root, leave_out, inside, wanted)
    for item in walk.names():
        path = shown(item.name)
        try:
            folder = item.is_dir()
        except OSError:
            folder = False
        if folder and item.name == OUTPUTS:
            # Where catalogs go by default: of an archive that lies here, say.
            continue
        if folder:
            yield from walk.tree(item, path, found_case)
        else:
            case = top_level_case(item.name, root.name)
            for entry in walk.file(item, path, case):
                found_case(case)
                yield entry


class _Walk:
    """A walk through one root that remembers which linked folders it has been in."""

    def __init__(
        self,
        root: Root,
        leave_out: frozenset[str],
        inside: tuple[str, ...],
        wanted: Callable[[str], bool],
    ) -> None:
        self._root = root
        self._leave_out = leave_out
        # A folder that is no link keeps its last name when links above it are resolved: resolving
        # costs a call to the system for each folder above it, and is done only under these names.
        self._left_out_names = {os.path.basename(path).casefold() for path in leave_out}
        self._inside = inside
        self._wanted = wanted
        self._linked: set[str] = set()

    def names(self) -> list[os.DirEntry[str]]:
        try:
            items = _sorted_scan(self._root.path)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise SourceError(self._root.path, reason, "check the path and the mount") from error
        only = self._root.only
        return [item for item in items if item.name in only] if only else items

    def tree(
        self, item: os.DirEntry[str], case: str, found_case: Callable[[str], None]
    ) -> Iterator[Entry]:
        # A stack, not recursion: a folder may be nested deeper than Python likes to call.
        waiting: list[tuple[os.DirEntry[str], str, bool]] = [(item, case, False)]
        while waiting:
            folder, path, linked = waiting.pop()
            linked = linked or folder.is_symlink()
            if not self._enters(folder, linked):
                continue
            try:
                items = _sorted_scan(folder.path)
            except OSError as error:
                if folder is item:
                    found_case(case)
                yield self._refused(folder, path, case, error)
                continue
            if any(child.name == PRIVATE for child in items):
                continue
            if folder is item:
                found_case(case)
            below: list[tuple[os.DirEntry[str], str, bool]] = []
            for child in items:
                child_path = f"{path}/{shown(child.name)}"
                if _is_folder(child):
                    below.append((child, child_path, linked))
                else:
                    yield from self.file(child, child_path, case)
            waiting.extend(reversed(below))

    def _enters(self, folder: os.DirEntry[str], linked: bool) -> bool:
        if not linked and folder.name.casefold() not in self._left_out_names:
            return True
        real = os.path.realpath(folder.path)
        if any(_lies_in(real, other) for other in self._leave_out):
            return False
        if not linked:
            return True
        # A tree reached through a link is walked once, and not at all where it is a source's own.
        if real in self._linked or any(_lies_in(real, other) for other in self._inside):
            return False
        self._linked.add(real)
        return True

    def file(self, item: os.DirEntry[str], path: str, case: str) -> Iterator[Entry]:
        if not self._wanted(path):
            return
        location = os.fsencode(item.path)
        try:
            status = item.stat()
        except OSError as error:
            if isinstance(error, FileNotFoundError) or error.errno == errno.ELOOP:
                words = "the link leads nowhere"
                yield Entry(path, location, case, None, None, Kind.VANISHED, words)
                return
            yield self._refused(item, path, case, error)
            return
        modified = status.st_mtime_ns // 1000
        if stat.S_ISREG(status.st_mode):
            yield Entry(path, location, case, status.st_size, modified)
            return
        what = next((words for test, words in _SPECIAL if test(status.st_mode)), "no regular file")
        yield Entry(path, location, case, None, modified, Kind.NOT_DICOM, f"{what} is not opened")

    @staticmethod
    def _refused(item: os.DirEntry[str], path: str, case: str, error: OSError) -> Entry:
        kind = Kind.ACCESS_DENIED if isinstance(error, PermissionError) else Kind.UNEXPECTED
        reason = error.strerror or type(error).__name__
        return Entry(path, os.fsencode(item.path), case, None, None, kind, f"listing: {reason}")


def _sorted_scan(path: str) -> list[os.DirEntry[str]]:
    with os.scandir(path) as items:
        return sorted(items, key=lambda item: item.name)


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:
        return False


def _lies_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def move_archives_into_folders(root: Root) -> list[tuple[str, str]]:
    """Move each ``root/x.zip`` to ``root/x/x.zip`` (seed A's --move-top-level-zips).

    Returns
    -------
    list of (str, str)
        From and to, in order of names. Nothing is overwritten: a taken name gets a suffix.

    Raises
    ------
    SourceError
        A file cannot be moved; what was moved before it stays moved.
    """
    moved = []
    for item in _sorted_scan(root.path):
        if not item.name.lower().endswith(".zip") or not item.is_file(follow_symlinks=False):
            continue
        if root.only and item.name not in root.only:
            continue
        try:
            moved.append((item.path, _move_into_folder(Path(item.path))))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise SourceError(item.path, reason, "free the name or drop the option") from error
    return moved


def _move_into_folder(archive: Path) -> str:
    folder = archive.with_suffix("")
    number = 1
    while folder.exists() and not folder.is_dir():
        folder = archive.with_name(f"{archive.stem}_{number}")
        number += 1
    folder.mkdir(exist_ok=True)
    target = folder / archive.name
    number = 1
    while True:
        try:
            # Taking the name first keeps two movers from overwriting each other's file.
            target.touch(exist_ok=False)
            break
        except FileExistsError:
            target = folder / f"{archive.stem}_{number}{archive.suffix}"
            number += 1
    os.replace(archive, target)
    return str(target)
