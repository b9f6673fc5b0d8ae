"""Take folders and files of this machine; give manifest entries, one stat a file, none opened.

Catalogs, folders of a file server and links that lead out of the source are skips and not entered,
unless they are asked for; FIFOs, sockets and devices are skips and never opened.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from dcmdask.config import RemoteOptions
from dcmdask.errors import SourceError
from dcmdask.marks import is_output
from dcmdask.remote.address import local_path
from dcmdask.source.entries import OUTPUTS, Entry, Root, shown, top_level_case
from dcmdask.source.folders.kernel import KernelFolders, kernel_folders
from dcmdask.source.folders.links import (
    ELSEWHERE,
    NONE,
    Links,
    is_junction,
    is_link,
    lies_in,
)
from dcmdask.source.folders.not_entered import (
    A_CATALOG,
    A_LINK,
    LEADS_OUT,
    OF_KERNEL,
    OF_SERVER,
    is_of_server,
    not_entered,
)
from dcmdask.source.source_listing import EVERYTHING, Asked
from dcmdask.types import PRIVATE, Kind

_SPECIAL = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)

_NOWHERE = (FileNotFoundError, NotADirectoryError)


class FolderListing:
    """Folders and files of this machine."""

    walks = True

    def __init__(self, _options: RemoteOptions) -> None:
        pass

    def root_of(self, source: str) -> Root:
        """Return the folder or file that a path or ``file://`` URL names."""
        return root_of(local_path(source))

    def list_root(self, root: Root, asked: Asked) -> Iterator[Entry]:
        """List what lies in a root, in order of names."""
        return list_root(root, asked)


def root_of(source: str) -> Root:
    """Return the root that a source on this machine names.

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


def list_root(root: Root, asked: Asked = EVERYTHING) -> Iterator[Entry]:
    """List what lies in a root, in order of names.

    Yields
    ------
    Entry
        A file; a folder that could not be read as a failure; a place that is not entered as a skip.
    """
    real = os.path.realpath(root.path)
    kernel = kernel_folders()
    inside = {*asked.inside, *(() if root.only else (real,))}
    links = Links(asked.follow_links, inside, asked.leave_out, kernel)
    walk = _Walk(root, asked, links, _as_walked(kernel, real, root.path))
    for item in walk.names():
        path = shown(item.name)
        if path == OUTPUTS and walk.is_folder(item):
            # Where catalogs go by default, of an archive that lies here, say: no case of anybody.
            yield from _of_root(walk.tree(item, path, lambda _case: None), asked.found_case)
        elif walk.is_folder(item):
            yield from walk.tree(item, path, asked.found_case)
        else:
            case = top_level_case(item.name, root.name)
            yield from _of_root(walk.file(item, path, case), asked.found_case)


def _of_root(entries: Iterator[Entry], found_case: Callable[[str], None]) -> Iterator[Entry]:
    """Yield entries whose case is one as soon as anything is listed of it."""
    for entry in entries:
        if entry.kind == Kind.NOT_ENTERED:
            yield entry._replace(case=None)
            continue
        if entry.case is not None:
            found_case(entry.case)
        yield entry


def _as_walked(kernel: KernelFolders, real: str, path: str) -> frozenset[str]:
    """Return the folders of the system that lie in a root, by the paths that a walk has for them."""
    return frozenset(
        os.path.join(path, os.path.relpath(folder, real))
        for folder in kernel.paths
        if folder != real and lies_in(folder, (real,))
    )


class _Walk:
    """A walk through one root."""

    def __init__(
        self,
        root: Root,
        asked: Asked,
        links: Links,
        kernel: frozenset[str],
    ) -> None:
        self._root = root
        self._leave_out = asked.leave_out
        # A folder that is no link keeps its last name when links above it are resolved: resolving
        # costs a call to the system for each folder above it, and is done only under these names.
        self._left_out_names = {os.path.basename(path).casefold() for path in asked.leave_out}
        self._links = links
        self._kernel = kernel
        # What was named as a source is read as it is named.
        self._asks_no_link = links.follow == NONE and not root.only
        self.is_folder = _is_own_folder if self._asks_no_link else _is_folder
        self._server_folders = asked.server_folders
        self._wanted = asked.wanted

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
            why = self._why_not(folder, linked)
            if why is not None:
                if why != ELSEWHERE:
                    yield _not_entered(folder, path, None if folder is item else case, why)
                continue
            linked = linked or is_link(folder)
            items, error = _scanned(folder.path)
            if error is not None:
                if folder is item:
                    found_case(case)
                yield _refused(folder, path, case, error)
            folders: list[os.DirEntry[str]] = []
            files: list[os.DirEntry[str]] = []
            is_folder = self.is_folder
            for child in items:
                (folders if is_folder(child) else files).append(child)
            if any(child.name == PRIVATE for child in folders) and is_output(folder.path):
                yield _not_entered(folder, path, None if folder is item else case, A_CATALOG)
                continue
            if folder is item:
                found_case(case)
            for child in files:
                yield from self.file(child, f"{path}/{shown(child.name)}", case)
            waiting.extend(
                (child, f"{path}/{shown(child.name)}", linked) for child in reversed(folders)
            )

    def _why_not(self, folder: os.DirEntry[str], linked: bool) -> str | None:
        """Return why a folder is not entered; None where it is."""
        name = folder.name
        if is_link(folder):
            return self._links.why_not_folder(folder.path)
        if not self._server_folders and is_of_server(name):
            return OF_SERVER
        if name.casefold() in self._left_out_names:
            real = os.path.realpath(folder.path)
            if lies_in(real, self._leave_out):
                return ELSEWHERE
        if name == PRIVATE and is_output(os.path.dirname(folder.path)):
            # Below the root itself, which was named: any other output is not come this far into.
            return A_CATALOG
        if self._kernel and folder.path in self._kernel:
            return OF_KERNEL
        return self._links.why_not_again(folder.path) if linked else None

    def file(self, item: os.DirEntry[str], path: str, case: str) -> Iterator[Entry]:
        if not self._wanted(path):
            return
        location = os.fsencode(item.path)
        linked = is_link(item) and not self._root.only
        if linked and self._asks_no_link:
            yield not_entered(path, location, case, A_LINK)
            return
        try:
            status = item.stat()
        except OSError as error:
            if isinstance(error, _NOWHERE) or error.errno == errno.ELOOP:
                words = "the link leads nowhere" if is_link(item) else "it was gone a moment later"
                yield Entry(path, location, case, None, None, Kind.VANISHED, words)
            elif linked and self._links.leads_out(item.path):
                yield not_entered(path, location, case, LEADS_OUT)
            else:
                yield _refused(item, path, case, error)
            return
        why = self._links.why_not_file(item.path, status) if linked else None
        if why is not None:
            yield not_entered(path, location, case, why)
            return
        modified = status.st_mtime_ns // 1000
        if stat.S_ISREG(status.st_mode):
            yield Entry(path, location, case, status.st_size, modified)
            return
        if stat.S_ISDIR(status.st_mode):
            # When it was asked whether it is one, the system did not say.
            words = "listing: a folder that was away for a moment"
            yield Entry(path, location, case, None, None, Kind.UNEXPECTED, words)
            return
        what = next((words for test, words in _SPECIAL if test(status.st_mode)), "no regular file")
        yield Entry(path, location, case, None, modified, Kind.NOT_DICOM, f"{what} is not opened")


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:
        return False


def _is_own_folder(item: os.DirEntry[str]) -> bool:
    """Tell whether something is a folder and no link to one; nothing is asked of a link's target."""
    return not is_link(item) and _is_folder(item)


def _not_entered(item: os.DirEntry[str], path: str, case: str | None, words: str) -> Entry:
    return not_entered(path, os.fsencode(item.path), case, words)


def _refused(item: os.DirEntry[str], path: str, case: str, error: OSError) -> Entry:
    kind = Kind.ACCESS_DENIED if isinstance(error, PermissionError) else Kind.UNEXPECTED
    reason = error.strerror or type(error).__name__
    return Entry(path, os.fsencode(item.path), case, None, None, kind, f"listing: {reason}")


def _sorted_scan(path: str) -> list[os.DirEntry[str]]:
    items, error = _scanned(path)
    if error is not None:
        raise error
    return items


def _scanned(path: str) -> tuple[list[os.DirEntry[str]], OSError | None]:
    """Return what a folder holds, as far as the system says it, and what kept it from the rest."""
    found: list[os.DirEntry[str]] = []
    failed = None
    try:
        with os.scandir(path) as items:
            found.extend(items)
    except OSError as error:
        failed = error
    return sorted(found, key=lambda item: item.name), failed


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
    # Made or found by one call: a link is a taken name, for it may lead anywhere.
    while not _makes_folder(folder):
        folder = archive.with_name(f"{archive.stem}_{number}")
        number += 1
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
    try:
        os.replace(archive, target)
    except BaseException:
        target.unlink()
        raise
    return str(target)


def _makes_folder(folder: Path) -> bool:
    """Make a folder, or tell whether what has its name is one and no link."""
    try:
        folder.mkdir()
    except FileExistsError:
        status = os.lstat(folder)
        return stat.S_ISDIR(status.st_mode) and not is_junction(status)
    return True
