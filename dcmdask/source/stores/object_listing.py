"""Take a root in a container of a store; give manifest entries, from pages of its listing.

Nothing is asked of a single object. Keys come in any order: a store may list them as it likes. One
listing gives a page after the other, at a round trip each; where it turns out to be long, what lies
below is listed prefix by prefix, many at a time, and no more pages are held than are waited for.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from dcmdask.config import RemoteOptions
from dcmdask.errors import HeaderError, SourceError, UsageError
from dcmdask.remote.address import Address, before_keys, below
from dcmdask.remote.client import Level, Listed
from dcmdask.remote.remote import Remote, open_remote
from dcmdask.source.entries import Entry, Root, top_level_case
from dcmdask.source.folders.not_entered import place_of_key, prefix_not_entered
from dcmdask.source.source_listing import EVERYTHING, Asked
from dcmdask.types import Kind

LONG = 20_000
"""Keys of one listing after which it is divided: twenty pages."""

_AT_ONCE = 16
_WAITING = 64
_MOST_PREFIXES = 10_000
_MOST_FOUND = 50_000
_DEADLINE = 10.0
"""Seconds for one level of keys: of one with millions of keys and no end, the first pages say so."""
_BLINK = 0.2


class StoreListing:
    """Containers of stores.

    Parameters
    ----------
    options : RemoteOptions
        How they are reached.
    """

    walks = True

    def __init__(self, options: RemoteOptions) -> None:
        self._options = options

    def root_of(self, source: str) -> Root:
        """Return the container, prefix or object that a URL names."""
        return container_root(source, self._options)

    def list_root(self, root: Root, asked: Asked) -> Iterator[Entry]:
        """List what lies in a root, in any order."""
        return list_container(root, self._options, asked)


def container_root(source: str, options: RemoteOptions) -> Root:
    """Return the root that a URL names: a container, a prefix in it, or one object.

    Raises
    ------
    SourceError
        There is nothing, or it cannot be listed.
    UsageError, StoreError
        The URL or the settings cannot be used; the store does not answer.
    """
    address = Address.parse(source)
    if not address.container and address.protocol in ("s3", "gs", "az"):
        raise UsageError(f"source {source} names no bucket", "write it as in s3://bucket/exports")
    remote = open_remote(address.root, options)
    is_folder = source.endswith("/") or not address.key
    if not is_folder and _is_object(remote, address):
        # Empty parts of a key belong to the name: an address has none at its end.
        holder = address.key.rpartition("/")[0].rstrip("/")
        name = address.key.removeprefix(_prefix(holder))
        parent = Address(address.protocol, address.container, holder)
        return Root(parent.url, parent.name, (name,))
    try:
        holds_any = any(remote.pages(_prefix(address.key)))
    except HeaderError as error:
        raise _refusal(source, error) from error
    if address.key and not holds_any:
        raise SourceError(source, "no such object, and none below it", "check the URL")
    return Root(address.url, address.name)


def _prefix(key: str) -> str:
    return f"{key}/" if key else ""


def _is_object(remote: Remote, address: Address) -> bool:
    try:
        remote.head(address.key)
    except HeaderError as error:
        # Whoever may not list is not told either that there is no such key.
        if error.kind in (Kind.VANISHED, Kind.ACCESS_DENIED):
            return False
        raise _refusal(address.url, error) from error
    return True


def _refusal(source: str, error: HeaderError) -> SourceError:
    if error.kind == Kind.ACCESS_DENIED:
        remedy = (
            "check the credentials (environment, profile, --storage-option), or add "
            "--storage-option anon=true for public data"
        )
        return SourceError(source, error.message, remedy)
    return SourceError(source, error.message, "check the URL and --storage-option")


def list_container(
    root: Root, options: RemoteOptions, asked: Asked = EVERYTHING
) -> Iterator[Entry]:
    """List what lies in a root, in any order.

    What lies in folders of a file server is left out unless asked for: a bucket may hold a copy of one.

    Yields
    ------
    Entry
        An object; a prefix of which nothing is read as a skip.

    Raises
    ------
    SourceError, StoreError
        The listing does not come to its end: a part of it would be a wrong catalog.
    """
    address = Address.parse(root.path)
    remote = open_remote(address.root, options)
    prefix = _prefix(address.key)
    own = before_keys(remote.root)
    left_out = tuple(
        f"{url.removeprefix(own).rstrip('/')}/" for url in asked.leave_out if url.startswith(own)
    )
    told: set[str] = set()
    try:
        for page in _pages(root, remote, prefix):
            for found in page:
                path = found.key.removeprefix(prefix)
                if _is_marker(path, found) or (left_out and found.key.startswith(left_out)):
                    continue
                # What was named as a source is read as it is named.
                place = (
                    None if root.only else place_of_key(path, server_folders=asked.server_folders)
                )
                if place is not None:
                    if place[0] not in told:
                        told.add(place[0])
                        skip = prefix_not_entered(prefix, *place)
                        if skip.case is not None:
                            asked.found_case(skip.case)
                        yield skip
                elif asked.wanted(path):
                    yield _entry(root, path, found, asked.found_case)
    except HeaderError as error:
        raise _refusal(root.path, error) from error


def _entry(root: Root, path: str, found: Listed, found_case: Callable[[str], None]) -> Entry:
    tidy = path.lstrip("/")
    first, slash, _ = tidy.partition("/")
    case = first if slash else top_level_case(tidy, root.name)
    found_case(case)
    location = found.key.encode("utf-8", "surrogatepass")
    return Entry(path, location, case, found.size, found.modified, etag=found.etag)


def _pages(root: Root, remote: Remote, prefix: str) -> Iterator[list[Listed]]:
    if root.only:
        return iter([[remote.head(below(prefix.rstrip("/"), name)) for name in root.only]])
    return list_keys(remote, prefix)


def _is_marker(path: str, found: Listed) -> bool:
    """Tell whether a key only says that there is a folder."""
    return not path or (path.endswith("/") and not found.size)


def list_keys(remote: Remote, prefix: str) -> Iterator[list[Listed]]:
    """Yield all keys below a prefix, page by page, each once.

    Parameters
    ----------
    remote : Remote
        The container.
    prefix : str
        Empty, or with a slash at its end.

    Raises
    ------
    HeaderError, StoreError
        A page cannot be had.
    """
    divided = yield from _list_prefix(remote, prefix, frozenset(), lambda: True)
    if divided:
        yield from _Listing(remote, divided).pages()


@dataclass(frozen=True, slots=True)
class _Prefix:
    """A prefix that is still to be listed, and which of its keys were listed before."""

    prefix: str
    seen: frozenset[str]


def _list_prefix(
    remote: Remote, prefix: str, seen: frozenset[str], divides: Callable[[], bool]
) -> Generator[list[Listed], None, list[_Prefix]]:
    """Yield the keys below a prefix that were not seen; return what is left, where it is divided.

    Whether it is, is asked once, when it turns out to be long: so no more keys are remembered.
    """
    pages = remote.pages(prefix)
    mine: set[str] = set()
    for page in pages:
        yield [found for found in page if found.key not in seen]
        mine.update(found.key for found in page)
        if len(mine) >= LONG:
            break
    level = _divided(remote, prefix) if len(mine) >= LONG and divides() else None
    if level is None:
        for page in pages:
            yield [found for found in page if found.key not in seen]
        return []
    before = mine | seen
    yield [found for found in level.found if found.key not in before]
    below_it = {one: set[str]() for one in level.prefixes}
    at = level.prefixes[0][:-1].rfind("/") + 1
    for key in before:
        own = below_it.get(f"{key[: key.find('/', at)]}/")
        if own is not None:
            own.add(key)
    return [_Prefix(one, frozenset(own)) for one, own in below_it.items()]


def _divided(remote: Remote, prefix: str) -> Level | None:
    """Return the level of keys at which a long listing goes on; None where it has none of use."""
    found: list[Listed] = []
    while True:
        level = _whole_level(remote, prefix)
        if level is None or not level.prefixes:
            return None
        found += level.found
        if len(level.prefixes) > 1:
            return Level(level.prefixes, found)
        # One folder that holds all.
        prefix = level.prefixes[0]


def _whole_level(remote: Remote, prefix: str) -> Level | None:
    deadline = time.monotonic() + _DEADLINE
    level = Level([], [])
    for page in remote.levels(prefix):
        level.prefixes.extend(page.prefixes)
        level.found.extend(page.found)
        too_many = len(level.prefixes) > _MOST_PREFIXES or len(level.found) > _MOST_FOUND
        if too_many or time.monotonic() > deadline:
            return None
    return level


class _Listing:
    """Many prefixes that are listed at a time.

    Parameters
    ----------
    remote : Remote
        The container.
    prefixes : list of _Prefix
        What to list.
    """

    def __init__(self, remote: Remote, prefixes: list[_Prefix]) -> None:
        self._remote = remote
        self._prefixes = prefixes[::-1]
        self._busy = 0
        self._changed = threading.Condition()
        self._ended = False
        self._found: queue.Queue[list[Listed] | Exception | None] = queue.Queue(_WAITING)

    def pages(self) -> Iterator[list[Listed]]:
        """Yield the pages as they come."""
        threads = [
            threading.Thread(target=self._work, daemon=True, name="dcmdask-listing")
            for _ in range(_AT_ONCE)
        ]
        for thread in threads:
            thread.start()
        ended = 0
        try:
            while ended < len(threads):
                found = self._found.get()
                if isinstance(found, Exception):
                    raise found
                if found is None:
                    ended += 1
                else:
                    yield found
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _work(self) -> None:
        try:
            while (prefix := self._next()) is not None:
                self._list(prefix)
                with self._changed:
                    self._busy -= 1
                    self._changed.notify_all()
        except Exception as error:  # noqa: BLE001 - whoever waits for the pages gets it
            self._put(error)
        finally:
            self._put(None)

    def _next(self) -> _Prefix | None:
        """Return a prefix to list; None when there is none and will be none."""
        with self._changed:
            while not self._prefixes and self._busy and not self._ended:
                self._changed.wait()
            if self._ended or not self._prefixes:
                return None
            self._busy += 1
            return self._prefixes.pop()

    def _list(self, prefix: _Prefix) -> None:
        pages = _list_prefix(self._remote, prefix.prefix, prefix.seen, self._has_room)
        while True:
            try:
                self._put(next(pages))
            except StopIteration as end:
                divided: list[_Prefix] = end.value
                break
        with self._changed:
            self._prefixes.extend(reversed(divided))
            self._changed.notify_all()

    def _has_room(self) -> bool:
        return len(self._prefixes) < _AT_ONCE

    def _put(self, found: list[Listed] | Exception | None) -> None:
        while not self._ended:
            try:
                self._found.put(found, timeout=_BLINK)
            except queue.Full:
                continue
            return
