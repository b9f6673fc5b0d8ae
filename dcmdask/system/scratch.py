"""Temporary folders of this machine: for their owner alone, and swept up where one was left behind.

What lies in them may name patients. So each is readable by its owner only, says in its name whose it
is, on which host and of which process, and holds a mark that this process keeps locked as long as it
lives. The system lets go of the lock however the process ends, and whoever comes next finds it free:
no number of a process has to be trusted, and no clock.
"""

from __future__ import annotations

import atexit
import errno
import json
import os
import re
import shutil
import stat
import sys
import tempfile
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from dcmdask.errors import OutputError

_MARK = ".dcmdask-owner"
_NAME = re.compile(r"dcmdask-(\d+)-[\w.-]+-\d+-[a-z0-9_]{8}")
_BOOT = "/proc/sys/kernel/random/boot_id"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_MOST = 4096
"""Bytes of a mark."""

_own: dict[Path, tuple[int, int]] = {}
"""Folders of this process: the handles of their locked marks, and the process, as one that it has
forked did not make them."""

_swept = False


def make() -> Path:
    """Make a folder; it stays until it is discarded, or this process ends.

    Raises
    ------
    OutputError
        There is no place for one.
    """
    if not _swept:
        # Once a process: a worker makes one a task.
        sweep()
    host = re.sub(r"[^\w.-]", "_", _host()) or "_"
    name = f"dcmdask-{_user()}-{host}-{os.getpid()}-"
    with writing():
        path = Path(tempfile.mkdtemp(prefix=name))
        _own[path] = _write_mark(path / _MARK), os.getpid()
    return path


def make_for(owner: object) -> Path:
    """Make a folder that goes when its owner does, or this process."""
    path = make()
    weakref.finalize(owner, discard, path)
    return path


@contextmanager
def folder() -> Iterator[Path]:
    """Make a folder that goes with the context."""
    path = make()
    try:
        yield path
    finally:
        discard(path)


def nameless_file() -> IO[bytes]:
    """Open a file that has no name, and so goes with its last user."""
    with writing():
        return tempfile.TemporaryFile()


def discard(path: Path) -> None:
    """Remove a folder that this process has made."""
    mark, maker = _own.pop(path, (-1, -1))
    if maker != os.getpid():
        return
    if os.name == "nt":
        os.close(mark)
    shutil.rmtree(path, ignore_errors=True)
    if os.name != "nt":
        os.close(mark)


@atexit.register
def discard_all() -> None:
    """Remove all folders of this process; for one that ends without a word, before it does."""
    for path in [*_own]:
        discard(path)


def sweep() -> None:
    """Remove what processes of this user, on this machine, have left that were killed."""
    global _swept  # noqa: PLW0603 - of this process
    _swept = True
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as items:
        left = [item.path for item in items if _is_name_of_ours(item.name)]
        for path in left:
            if Path(path) not in _own:
                # One that cannot be removed is the next run's.
                with suppress(OSError, ValueError):
                    _sweep(path)


@contextmanager
def writing() -> Iterator[None]:
    """Turn what the system says of a write to a temporary folder into an `OutputError`."""
    try:
        yield
    except OSError as error:
        place = tempfile.tempdir or os.environ.get("TMPDIR") or "the temporary folder"
        words = "no space left" if error.errno in _FULL else error.strerror or str(error)
        remedy = "set TMPDIR to a folder with space that you may write to"
        raise OutputError(str(place), words, remedy) from error


def _host() -> str:
    return os.uname().nodename if sys.platform != "win32" else os.environ.get("COMPUTERNAME", "")


def _user() -> int:
    return os.geteuid() if sys.platform != "win32" else 0


def _is_name_of_ours(name: str) -> bool:
    found = _NAME.fullmatch(name)
    return found is not None and int(found[1]) == _user()


# -- the mark --------------------------------------------------------------------------------------


def _write_mark(path: Path) -> int:
    """Write a mark and keep it locked; return its handle."""
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    try:
        # One without a word is of a process that has not locked it yet: it is left alone. Where the
        # file system knows no locks, nobody will ever get this one.
        with suppress(OSError):
            _lock(handle)
        said = {"pid": os.getpid(), "host": _host(), "boot": _boot()}
        os.write(handle, json.dumps(said).encode())
    except BaseException:
        os.close(handle)
        raise
    return handle


def _boot() -> str | None:
    """Return what names this start of this machine, in all its containers; Linux says it."""
    with suppress(OSError):
        return Path(_BOOT).read_text().strip()
    return None


def _is_of_this_machine(mark: os.stat_result, said: Any) -> bool:
    """Tell whether a lock of this machine says that the process which wrote a mark has ended."""
    boot = _boot()
    if boot is not None and said["boot"] == boot:
        return True
    if said["host"] != _host():
        return False
    # Of an earlier start of this machine, not of another one of the same name.
    began = time.time() - _uptime()
    return boot is None or mark.st_mtime < began


def _uptime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else 0.0


if sys.platform == "win32":
    import msvcrt

    _BEYOND = 1 << 20

    def _lock(handle: int) -> None:
        """Lock a mark; raise OSError where another process has."""
        # A byte beyond its end: a locked one could not be read.
        os.lseek(handle, _BEYOND, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)

    def _sweep(path: str) -> None:
        """Remove a folder of a process that has ended."""
        mark = os.path.join(path, _MARK)
        if any(map(_leads_elsewhere, (path, mark))):
            return
        handle = os.open(mark, os.O_RDWR)
        try:
            said = json.loads(os.read(handle, _MOST))
            if not _is_of_this_machine(os.fstat(handle), said):
                return
            _lock(handle)
        finally:
            os.close(handle)
        shutil.rmtree(path, ignore_errors=True)

    def _leads_elsewhere(path: str) -> bool:
        attributes = os.lstat(path).st_file_attributes
        return bool(attributes & stat.FILE_ATTRIBUTE_REPARSE_POINT)

else:
    import fcntl

    def _lock(handle: int) -> None:
        """Lock a mark; raise OSError where another process has."""
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _sweep(path: str) -> None:
        """Remove a folder of a process that has ended.

        Whatever its name may have become meanwhile, what is emptied is the folder that was looked
        at: one of this user, which nobody else may enter, with a mark that nobody holds.
        """
        place = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if not _is_private(os.fstat(place)):
                return
            handle = os.open(_MARK, os.O_RDWR | os.O_NOFOLLOW, dir_fd=place)
            try:
                mark = os.fstat(handle)
                if not (_is_private(mark) and stat.S_ISREG(mark.st_mode)):
                    return
                if not _is_of_this_machine(mark, json.loads(os.read(handle, _MOST))):
                    return
                _lock(handle)
                _empty(place)
            finally:
                os.close(handle)
            os.rmdir(path)
        finally:
            os.close(place)

    def _is_private(found: os.stat_result) -> bool:
        return found.st_uid == _user() and not found.st_mode & 0o077

    def _empty(place: int) -> None:
        """Remove all in a folder, the mark last."""
        with os.scandir(place) as items:
            names = [(item.name, item.is_dir(follow_symlinks=False)) for item in items]
        for name, is_folder in sorted(names, key=lambda one: one[0] == _MARK):
            if is_folder:
                shutil.rmtree(name, ignore_errors=True, dir_fd=place)
            else:
                os.unlink(name, dir_fd=place)
