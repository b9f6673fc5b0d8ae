"""Where links in a source lead, and which of them are followed.

A link that stays inside a source is followed to a file and not to a folder: what lies in that is
listed anyway. One that leads out is a row, unless all are asked for; then every folder is walked
once, by whichever way it is come to first.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Collection
from contextlib import suppress

from dcmdask.source.entries import shown
from dcmdask.source.folders.kernel import KernelFolders
from dcmdask.source.folders.not_entered import A_LINK, LEADS_OUT, OF_KERNEL

INSIDE, ALL, NONE = "inside", "all", "none"

ELSEWHERE = ""
"""Instead of why a folder is not entered: nothing is said, what lies in it is listed elsewhere."""


if sys.platform == "win32":

    def is_link(item: os.DirEntry[str]) -> bool:
        """Tell whether an entry of a folder is a link or a junction; nothing is asked of its target."""
        return item.is_symlink() or is_junction(item.stat(follow_symlinks=False))

else:
    is_link = os.DirEntry.is_symlink
    """Tell whether an entry of a folder is a link; nothing is asked of its target."""


def is_junction(status: os.stat_result) -> bool:
    """Tell whether what was looked at is a junction of Windows: a link that is none to `stat`."""
    tag = getattr(status, "st_reparse_tag", 0)
    return bool(tag) and tag == getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", None)


def lies_in(path: str, folders: Collection[str]) -> bool:
    """Tell whether a real path is one of some folders, or lies in one of them."""
    return any(path == one or path.startswith(one.rstrip(os.sep) + os.sep) for one in folders)


_HELD = 100_000
_DEEP = 200


class Targets:
    """Finds where links lead, as `os.path.realpath` does, and remembers folders on the way.

    A data set may be made of links: to look at every folder above each of them costs as much as
    reading what they lead to.
    """

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def of(self, path: str) -> str:
        """Return the real path that a link leads to, by its own absolute path."""
        if os.sep != "/":
            return os.path.realpath(path)
        try:
            text = os.readlink(path)
            target = text if text.startswith("/") else f"{os.path.dirname(path)}/{text}"
            folder, _, name = target.rpartition("/")
            if name in ("", ".", ".."):
                return self._folder(target)
            real = _joined(self._folder(folder), name)
            return os.path.realpath(path) if stat.S_ISLNK(os.lstat(real).st_mode) else real
        except OSError:
            return os.path.realpath(path)

    def _folder(self, folder: str) -> str:
        known = self._folders.get(folder)
        if known is None:
            holder, _, name = folder.rpartition("/")
            if not holder and not name:
                return "/"
            if folder.count("/") > _DEEP:
                return os.path.realpath(folder)
            known = self._folder(holder)
            if name == "..":
                known = os.path.dirname(known)
            elif name not in ("", "."):
                known = _joined(known, name)
                known = os.path.realpath(known) if os.path.islink(known) else known
            if len(self._folders) >= _HELD:
                self._folders.clear()
            self._folders[folder] = known
        return known


def _joined(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}"


class Links:
    """Decides about the links of one root, and remembers the folders that they led to.

    Parameters
    ----------
    follow : str
        `INSIDE`, `ALL` or `NONE`.
    inside : collection of str
        Real paths of the folders that are sources.
    leave_out : collection of str
        Real paths of folders that are never entered.
    kernel : KernelFolders
        Folders that no link is followed into.
    """

    def __init__(
        self,
        follow: str,
        inside: Collection[str],
        leave_out: Collection[str],
        kernel: KernelFolders,
    ) -> None:
        self.follow = follow
        self._inside = inside
        self._leave_out = leave_out
        self._kernel = kernel
        self._targets = Targets()
        # By device and number: a folder that is mounted twice has two paths.
        self._walked: dict[tuple[int, int] | str, str] = {}
        for path in inside if follow == ALL else ():
            # One that is gone is said by whoever lists it.
            with suppress(OSError):
                self._walked[_identity(path, os.stat(path))] = path

    def why_not_file(self, path: str, status: os.stat_result) -> str | None:
        """Return why a link to a file is not followed; None where it is.

        Parameters
        ----------
        path : str
            Of the link.
        status : os.stat_result
            Of what it leads to.
        """
        if self.follow == ALL:
            return OF_KERNEL if status.st_dev in self._kernel.devices else None
        return LEADS_OUT if self.leads_out(path) else None

    def leads_out(self, path: str) -> bool:
        """Tell whether a link leads out of the sources and is not followed for that."""
        return self.follow == INSIDE and not lies_in(self._targets.of(path), self._inside)

    def why_not_folder(self, path: str) -> str | None:
        """Return why a link to a folder is not followed; None where it is, for the first time."""
        if self.follow == NONE:
            return A_LINK
        real = self._targets.of(path)
        if lies_in(real, self._leave_out) or lies_in(real, self._inside):
            return ELSEWHERE
        return LEADS_OUT if self.follow == INSIDE else self.why_not_again(path)

    def why_not_again(self, path: str) -> str | None:
        """Return why a folder that a link led to, or one below it, is not walked; None if it is."""
        try:
            status = os.stat(path)
        except OSError:
            # Whoever lists it meets the same, and says so.
            return None
        if status.st_dev in self._kernel.devices:
            return OF_KERNEL
        identity = _identity(path, status)
        if identity not in self._walked:
            self._walked[identity] = path
            return None
        before = os.path.realpath(self._walked[identity])
        if os.path.realpath(path) == before:
            return ELSEWHERE
        # Mounted twice, or numbers of a file system that are none: what is not listed is said.
        return f"the same folder as {shown(before)}, which is listed"


def _identity(path: str, status: os.stat_result) -> tuple[int, int] | str:
    # Some file systems have no numbers.
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)
