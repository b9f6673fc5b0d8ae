"""Take a flat folder of files that are written once, on this machine or in a store; give its files.

Of a folder in a store what is read is fetched when it is first asked for, and what is written is
written here first: a mirror, which is a folder of this machine, holds both.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TypeVar

from dcmdask.config import RemoteOptions
from dcmdask.errors import HeaderError, OutputDownError, OutputError
from dcmdask.remote.address import Address, below, is_url
from dcmdask.remote.client import Listed, vanished
from dcmdask.remote.remote import Remote, open_remote
from dcmdask.system import scratch
from dcmdask.system.writing import writing
from dcmdask.types import Kind

Item = TypeVar("Item")

_PIECE = 8 * 1024 * 1024
"""Bytes of one read: of a large file many are under way."""

_PIECES = 8
"""Reads of one file under way at a time: so much of it is held."""

_AHEAD = 16
"""Files that are fetched at a time."""

_AT_ONCE = 64
"""Files that are written or removed at a time: whoever says that the run lives is not kept waiting."""


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """Turn what a store says of one of its keys into an `OutputError` with its remedy."""
    try:
        yield
    except HeaderError as error:
        raise _refused(url, error) from error


def _refused(url: str, error: HeaderError) -> OutputError:
    if error.kind == Kind.ACCESS_DENIED:
        remedy = "look at the credentials and at what they allow, or choose another --out"
        return OutputError(url, error.message, remedy)
    if is_absent(error):
        return OutputError(url, "it is not there any more", "run again")
    if error.kind == Kind.VANISHED:
        return OutputError(url, error.message, "make it, or choose another --out")
    return OutputDownError(url, error.message, "the same command goes on where it stopped")


def is_absent(error: HeaderError) -> bool:
    """Tell whether a store says that there is no such key; a bucket that is missing is another thing."""
    return error.kind == Kind.VANISHED and error.message == vanished().message


class StoreFolder:
    """The files right below a prefix of a store.

    Parameters
    ----------
    url : str
        Of the prefix.
    options : RemoteOptions
        How to reach it.
    mirror : pathlib.Path
        A folder of this machine that nothing else uses but what writes into the same prefix, and
        that goes when they end. Made if it is not there.
    grows : bool
        Whether others write into it while it is used.

    Attributes
    ----------
    url : str
        As given, without a slash at the end.
    mirror : pathlib.Path
        As given.
    may_remove : callable
        Asked before anything is removed: a run that is no longer the one that writes there removes
        nothing.
    """

    def __init__(
        self, url: str, options: RemoteOptions, mirror: Path, *, grows: bool = False
    ) -> None:
        address = Address.parse(url)
        self.url = address.url
        self.mirror = mirror
        self.may_remove: Callable[[], bool] = lambda: True
        self._remote: Remote = open_remote(address.root, options)
        self._prefix = address.key
        self._grows = grows
        self._sizes: dict[str, int] | None = None
        self._stems: set[str] = set()
        self._looked_for: set[str] = set()
        self._coming: dict[str, Future[None]] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        with writing(mirror):
            mirror.mkdir(parents=True, exist_ok=True)

    def _key(self, name: str) -> str:
        return below(self._prefix, name)

    # -- what is there ---------------------------------------------------------------------------

    def sizes(self) -> dict[str, int]:
        """Return names and sizes, as they were when first asked, and what was kept since."""
        return self.look_again() if self._sizes is None else self._sizes

    def look_again(self) -> dict[str, int]:
        """Return names and sizes as they are now."""
        self._sizes = self._list()
        self._stems = set(map(_stem, self._sizes))
        return self._sizes

    def _list(self) -> dict[str, int]:
        prefix = f"{self._prefix}/" if self._prefix else ""
        found: dict[str, int] = {}
        with reaching(self.url):
            try:
                for level in self._remote.levels(prefix):
                    for one in level.found:
                        found[one.key[len(prefix) :]] = one.size or 0
            except HeaderError as error:
                # A folder of a file system that nobody has written into.
                if not is_absent(error):
                    raise
        return found

    def size(self, name: str) -> int | None:
        """Return the size of a file; None where there is none.

        Of what others have written since, all that is of one stem (to the first dot) is seen when
        the first of it is asked for.
        """
        sizes = self.sizes()
        stem = _stem(name)
        if self._grows and stem not in self._stems and stem not in self._looked_for:
            self._looked_for.add(stem)
            sizes = self.look_again()
        return sizes.get(name)

    # -- reading ---------------------------------------------------------------------------------

    def path(self, name: str) -> Path:
        """Return a file as one of this machine; if there is none, a path that does not exist.

        Raises
        ------
        OutputError
            The store does not give it.
        StoreError
            The store does not answer.
        """
        size = self.size(name)
        path = self.mirror / name
        if size is None:
            return self.mirror / f"{name}.absent"
        if not _has(path, size):
            self._begin(name, size).result()
        return path

    def fetch(self, names: Iterable[str]) -> None:
        """Begin to fetch files, as far as they are there; whoever asks for one waits for it."""
        for name in names:
            size = self.size(name)
            if size is not None and not _has(self.mirror / name, size):
                self._begin(name, size)

    def _begin(self, name: str, size: int) -> Future[None]:
        with self._lock:
            if name not in self._coming:
                self._pool = self._pool or ThreadPoolExecutor(_AHEAD, "dcmdask-mirror")
                self._coming[name] = self._pool.submit(self._bring, name, size)
            return self._coming[name]

    def _bring(self, name: str, size: int) -> None:
        download(self._remote, self._key(name), size, self.mirror / name)

    def read(self, name: str) -> bytes | None:
        """Return the content of a small file; None where there is none."""
        path = self.path(name)
        return path.read_bytes() if path.exists() else None

    def close(self) -> None:
        """Fetch nothing any more."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    # -- writing ---------------------------------------------------------------------------------

    def keep(self, names: Iterable[str]) -> None:
        """Put files of the mirror into the store.

        Raises
        ------
        OutputError
            The store does not take them.
        StoreError
            The store does not answer.
        """
        wanted = list(names)
        upload(self._remote, [(self._key(name), self.mirror / name) for name in wanted])
        if self._sizes is not None:
            self._sizes |= {name: (self.mirror / name).stat().st_size for name in wanted}
            self._stems.update(map(_stem, wanted))

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, in order: those of one call are gone before the next one begins.

        What cannot be removed stays.
        """
        wanted = [name for name in names if self.size(name) is not None]
        if not wanted or not self.may_remove():
            return
        with suppress(HeaderError):
            discard(self._remote, map(self._key, wanted))
        for name in wanted:
            with suppress(OSError):
                (self.mirror / name).unlink(missing_ok=True)
            if self._sizes is not None:
                self._sizes.pop(name, None)


Folder = Path | StoreFolder
"""A flat folder: of this machine, or of a store."""


@contextmanager
def opened(place: str, options: RemoteOptions, mirror: str) -> Iterator[Folder]:
    """Give a folder by its path or its URL.

    Parameters
    ----------
    place : str
        Path or URL.
    options : RemoteOptions
        How to reach it.
    mirror : str
        Where its mirror is, if this is the machine that it is on.
    """
    if not is_url(place):
        yield Path(place)
    elif mirror and os.path.isdir(mirror):
        yield StoreFolder(place, options, Path(mirror))
    else:
        with scratch.folder() as own:
            yield StoreFolder(place, options, own)


def home_of(folder: Folder) -> Path:
    """Return where on this machine files of a folder are written."""
    return folder if isinstance(folder, Path) else folder.mirror


def file_of(folder: Folder, name: str) -> Path:
    """Return a file to be read; if there is none, a path that does not exist."""
    return folder / name if isinstance(folder, Path) else folder.path(name)


def size_of(folder: Folder, name: str) -> int | None:
    """Return the size of a file; None where there is none."""
    if isinstance(folder, StoreFolder):
        return folder.size(name)
    try:
        return (folder / name).stat().st_size
    except FileNotFoundError:
        return None


def names_of(folder: Folder) -> list[str]:
    """Return the names of all files, in any order."""
    if isinstance(folder, StoreFolder):
        return list(folder.sizes())
    with suppress(FileNotFoundError), os.scandir(folder) as items:
        return [item.name for item in items]
    return []


def keep(folder: Folder, names: Iterable[str]) -> None:
    """See that files which were written where a folder has its files are in it."""
    if isinstance(folder, StoreFolder):
        folder.keep(names)


def fetch(folder: Folder, names: Iterable[str]) -> None:
    """Begin to fetch files that will be asked for."""
    if isinstance(folder, StoreFolder):
        folder.fetch(names)


def remove(folder: Folder, names: Iterable[str]) -> None:
    """Remove files, as far as that can be."""
    if isinstance(folder, StoreFolder):
        folder.remove(names)
        return
    for name in names:
        with suppress(OSError):
            os.unlink(folder / name)


def read_now(remote: Remote, key: str) -> tuple[bytes, Listed] | None:
    """Return what a key that others write holds now, and what a listing says of just that.

    None where there is no such key.

    Raises
    ------
    HeaderError
        The store does not give it.
    """
    while True:
        try:
            now = remote.head(key)
        except HeaderError as error:
            if is_absent(error):
                return None
            raise
        try:
            return remote.get(key, 0, now.size or 0, now.etag), now
        except HeaderError as error:
            # Another one has taken its place in that moment.
            if error.kind != Kind.VANISHED:
                raise


def read_whole(url: str, options: RemoteOptions) -> bytes:
    """Return the content of a key."""
    address = Address.parse(url)
    remote = open_remote(address.root, options)
    with reaching(url):
        return remote.get(address.key, 0, remote.head(address.key).size or 0)


# -- whole files -------------------------------------------------------------------------------------


def download(remote: Remote, key: str, size: int, path: Path) -> None:
    """Fetch a file; under its name it is there whole or not at all."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with reaching(remote.url(key)), writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(fresh, "wb") as stream:
            for starts in _by(_PIECES, range(0, size, _PIECE)):
                pieces = [remote.begin(key, start, min(start + _PIECE, size)) for start in starts]
                stream.writelines(piece.result() for piece in pieces)
        os.replace(fresh, path)


def upload(remote: Remote, files: Iterable[tuple[str, Path]]) -> list[str | None]:
    """Put files under their keys, many at a time; return their entity tags, in order."""
    tags: list[str | None] = []
    for some in _by(_AT_ONCE, files):
        begun = [(key, remote.begin_put(key, path)) for key, path in some]
        try:
            for key, future in begun:
                with reaching(remote.url(key)):
                    tags.append(future.result())
        finally:
            # Where one was refused, or the user has had enough: else the others would still arrive
            # when what is there already has been removed.
            for _, future in begun:
                future.cancel()
    return tags


def discard(remote: Remote, keys: Iterable[str]) -> None:
    """Remove keys, many at a time."""
    for some in _by(_AT_ONCE, keys):
        remote.delete(some)


def _by(count: int, items: Iterable[Item]) -> Iterator[list[Item]]:
    rest = iter(items)
    while some := list(islice(rest, count)):
        yield some


def _stem(name: str) -> str:
    return name.partition(".")[0]


def _has(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
