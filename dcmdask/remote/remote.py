"""Take the URL of a container; give it as something to read, list and write, whatever its kind.

Here a read that fails for a reason that may pass is tried again, one that stalls is cut, and no more
than so many are under way at a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TypeVar

from dcmdask.config import RemoteOptions
from dcmdask.errors import HeaderError, StoreError, UsageError
from dcmdask.remote.address import DICOMWEB, WEB, Address, url_of
from dcmdask.remote.client import BehindEndError, Client, ConflictError, Level, Listed, PassingError
from dcmdask.remote.options import options_of
from dcmdask.remote.retry import ATTEMPTS, Health, pause_before
from dcmdask.remote.web_session import web_secrets
from dcmdask.types import Kind

Result = TypeVar("Result")
Read = tuple[str, int, int, str | None]
"""Key, start, stop and the entity tag that it must have."""

_FIRST_STALL = 2.5
"""Seconds of the first attempt; each further one gets twice as many, as far as the setting goes. A
store answers within a tenth of that, and of a read that hangs the next attempt makes nothing worse."""

_IN_ALL = 4
"""Times the longest stall after which no other attempt is begun: whoever watches over the process
that reads would take a longer silence for a hang."""

_NOWHERE = ".dcmdask/nowhere"
"""A key that is not there: of a store that is not down, this is said at once."""

_DOWN = 3
"""Times the longest stall in which nothing at all comes of a store before it is down."""

_PROBE = 3
"""Pauses between such questions are those before this attempt: some of a second."""

_LARGE = 1024 * 1024
_LARGE_AT_ONCE = 8
"""Large files that are written at a time: each gets its share of a line that may be slow."""

_EXTRAS = {"s3": "s3", "gs": "gcs", "az": "azure", **dict.fromkeys(WEB, "http")}


class Remote:
    """A container: a bucket, a web server.

    Parameters
    ----------
    root : str
        Its URL.
    options : RemoteOptions
        How to reach it.

    Attributes
    ----------
    root : str
        As given.
    """

    def __init__(self, root: str, options: RemoteOptions) -> None:
        self.root = root
        self._options = options
        self._client = _client(Address.parse(root), options)
        self._health = Health(root, _DOWN * options.stall)
        self._probing = threading.Lock()
        # First windows of thousands of objects, and all else, which must not wait behind them.
        self._many = ThreadPoolExecutor(options.requests, "dcmdask-windows")
        self._pool = ThreadPoolExecutor(max(options.requests // 2, 1), "dcmdask-reads")
        large = min(options.requests, _LARGE_AT_ONCE)
        self._large = ThreadPoolExecutor(large, "dcmdask-writes")

    def url(self, key: str) -> str:
        """Give the URL of a key."""
        return url_of(self.root, key)

    # -- reading ---------------------------------------------------------------------------------

    def begin(self, key: str, start: int, stop: int, etag: str | None = None) -> Future[bytes]:
        """Begin to read; many may be under way.

        Parameters
        ----------
        key : str
            What to read.
        start, stop : int
            Which bytes; fewer come at its end.
        etag : str or None
            The entity tag that it must have.

        Returns
        -------
        concurrent.futures.Future
            Of the bytes; or of `HeaderError` where the key cannot be read, `StoreError` where the
            whole store cannot.
        """
        return self._pool.submit(self.get, key, start, stop, etag)

    def get(self, key: str, start: int, stop: int, etag: str | None = None) -> bytes:
        """Read, and wait for it."""
        if stop <= start:
            return b""
        try:
            return self._plainly(
                lambda patience: self._client.get(key, start, stop, etag, patience)
            )
        except BehindEndError:
            return b""

    def get_many(
        self,
        reads: Iterable[Read],
        take: Callable[[int, bytes | HeaderError], None],
    ) -> list[Future[None]]:
        """Begin to read of many keys, so many at a time as may be under way.

        Parameters
        ----------
        reads : iterable of Read
            What to read.
        take : callable
            Number of a read, and its bytes or why there are none; called in another thread, each
            as it comes.

        Returns
        -------
        list of concurrent.futures.Future
            All done when all is; of `StoreError` where the whole store cannot be read.
        """
        numbered = _Shared(enumerate(reads))

        def work() -> None:
            while (one := numbered.next()) is not None:
                number, read = one
                try:
                    found: bytes | HeaderError = self.get(*read)
                except HeaderError as error:
                    found = error
                take(number, found)

        # A thread a read under way, not a task a read: there may be thousands of these.
        return [self._many.submit(work) for _ in range(self._options.requests)]

    def head(self, key: str) -> Listed:
        """Say what a listing would say of a key."""
        return self._plainly(lambda _patience: self._client.head(key))

    def renew(self) -> None:
        """Forget that the store was down."""
        self._health.renew()

    def check(self) -> None:
        """Raise `StoreError` where the store was down: whoever met that may not have passed it on."""
        self._health.check()

    # -- writing ---------------------------------------------------------------------------------

    def put(self, key: str, content: bytes | Path, only: str | None = None) -> str | None:
        """Write a key; give its entity tag.

        Parameters
        ----------
        key : str
            What to write.
        content : bytes or pathlib.Path
            Bytes, or a file that holds them.
        only : str or None
            A condition: the entity tag that it must have now; the empty text where it must not be
            there.

        Raises
        ------
        ConflictError
            The condition does not hold.
        """
        insist = self._plainly if only is None else self._insist
        return insist(lambda _patience: self._client.put(key, content, only))

    def begin_put(
        self, key: str, content: bytes | Path, only: str | None = None
    ) -> Future[str | None]:
        """Begin to write; many may be under way."""
        is_large = isinstance(content, Path) and content.stat().st_size > _LARGE
        return (self._large if is_large else self._pool).submit(self.put, key, content, only)

    def delete(self, keys: list[str]) -> None:
        """Remove keys, as far as they are there."""
        for future in [self._pool.submit(self._delete, key) for key in keys]:
            future.result()

    def _delete(self, key: str) -> None:
        self._plainly(lambda _patience: self._client.delete(key))

    # -- listing ---------------------------------------------------------------------------------

    def pages(self, prefix: str) -> Iterator[list[Listed]]:
        """List all keys below a prefix (empty, or with a slash at its end), in any order."""
        return self._listing(lambda: self._client.pages(prefix))

    def levels(self, prefix: str) -> Iterator[Level]:
        """List one level of keys below a prefix."""
        return self._listing(lambda: self._client.levels(prefix))

    def _listing(self, pages: Callable[[], Iterator[Result]]) -> Iterator[Result]:
        pending = pages()
        try:
            # The next page is under way while this one is looked at.
            with ThreadPoolExecutor(1, "dcmdask-page") as pool:
                following = pool.submit(next, pending, None)
                while (page := following.result()) is not None:
                    self._health.succeed()
                    following = pool.submit(next, pending, None)
                    yield page
        except PassingError as error:
            raise self._health.down(error.words) from error

    # -- trying again ----------------------------------------------------------------------------

    def _plainly(self, attempt: Callable[[float], Result]) -> Result:
        """Try as `_insist` what has no condition."""
        try:
            return self._insist(attempt)
        except ConflictError as error:
            # Of Azure: a blob that was archived must be brought back before it can be read.
            raise HeaderError(Kind.UNEXPECTED, "the store answers with status 409") from error

    def _insist(self, attempt: Callable[[float], Result]) -> Result:
        """Try until it comes to something."""
        words, tried = "", 0
        begun = time.monotonic()
        while tried < ATTEMPTS:
            if tried:
                time.sleep(pause_before(tried))
            if time.monotonic() - begun > _IN_ALL * self._options.stall:
                break
            self._health.check()
            try:
                found = attempt(min(self._options.stall, _FIRST_STALL * 2**tried))
            except PassingError as error:
                words = error.words
            except (HeaderError, ConflictError, BehindEndError):
                self._health.succeed()
                raise
            else:
                self._health.succeed()
                return found
            tried += 1
            self._health.fail()
            if self._health.is_silent:
                self._probe(words)
        self._probe(words)
        raise HeaderError(Kind.UNEXPECTED, f"given up after {tried} attempts: {words}")

    def _probe(self, words: str) -> None:
        """Wait until the store answers anything, so that it is this one key which it does not give.

        Raises
        ------
        StoreError
            It is down.
        """
        with self._probing:
            self._health.check()
            while not self._answers():
                self._health.fail()
                if self._health.is_silent:
                    raise self._health.lose(words)
                time.sleep(pause_before(_PROBE))
            self._health.succeed()

    def _answers(self) -> bool:
        try:
            self._client.get(_NOWHERE, 0, 1, None, min(self._options.stall, _FIRST_STALL))
        except PassingError:
            return False
        except (HeaderError, BehindEndError):
            # A refusal is an answer.
            pass
        return True


class _Shared:
    """Items that several threads take, each of them once."""

    def __init__(self, items: Iterator[tuple[int, Read]]) -> None:
        self._items = items
        self._lock = threading.Lock()

    def next(self) -> tuple[int, Read] | None:
        """Give the next; None behind the last."""
        with self._lock:
            return next(self._items, None)


def open_remote(root: str, options: RemoteOptions) -> Remote:
    """Give a container; the same for the same settings, so that all share its connections.

    Raises
    ------
    UsageError
        The protocol or an option is not known, or an extra is missing.
    """
    remote = _kept(root, options)
    remote.renew()
    return remote


_kept = cache(Remote)


def _client(address: Address, options: RemoteOptions) -> Client:
    given = options_of(address.protocol, options.storage, address.root)
    try:
        if address.protocol == "s3":
            from dcmdask.remote.s3 import S3Client

            return S3Client(address.container, given, options.stall)
        if address.protocol == "gs":
            from dcmdask.remote.clouds import gcs_client

            return gcs_client(address.container, given)
        if address.protocol == "az":
            from dcmdask.remote.clouds import azure_client

            return azure_client(address.container, given)
        secrets = web_secrets(address.root, options.storage)
        if address.protocol.startswith(DICOMWEB):
            from dcmdask.remote.dicomweb import DicomwebClient

            return DicomwebClient(
                address.protocol, address.container, given, options.stall, secrets
            )
        from dcmdask.remote.generic import FsspecClient

        return FsspecClient(address.protocol, address.container, given, options.stall, secrets)
    except ImportError as error:
        extra = _EXTRAS.get(address.protocol, address.protocol)
        words = f"{address.protocol}:// needs what is not installed"
        raise UsageError(words, f"pip install 'dcmdask[{extra}]'") from error
    except HeaderError as error:
        raise StoreError(address.root, error.message, "check the URL and the settings") from error
