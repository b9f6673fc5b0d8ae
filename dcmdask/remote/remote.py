"""Take the URL of a container; give it as something to read, list and write, whatever its kind.

Here a read that fails for a reason that may pass is tried again, one that stalls is cut, and no more
than so many are under way at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dcmdask.config import RemoteOptions
from dcmdask.errors import HeaderError, StoreError, UsageError
from dcmdask.remote.address import Address, url_of
from dcmdask.remote.client import Client, ConflictError, Level, Listed, PassingError
from dcmdask.remote.loop import begin
from dcmdask.remote.options import options_of
from dcmdask.remote.retry import ATTEMPTS, Health, pause_before
from dcmdask.types import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Result = TypeVar("Result")

_FIRST_STALL = 2.5
"""Seconds of the first attempt; each further one gets twice as many, as far as the setting goes. A
store answers within a tenth of that, and of a read that hangs the next attempt makes nothing worse."""

_SLOWEST = 128 * 1024
"""Bytes a second that a transfer may take for granted: a large one gets time by its size."""

_EXTRAS = {"s3": "s3", "gs": "gcs", "az": "azure"}


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
        self._health = Health(root)
        self._room: asyncio.Semaphore | None = None

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
        return begin(self._get(key, start, stop, etag))

    def get(self, key: str, start: int, stop: int, etag: str | None = None) -> bytes:
        """Read, and wait for it."""
        return self.begin(key, start, stop, etag).result()

    def head(self, key: str) -> Listed:
        """Say what a listing would say of a key."""
        return begin(self._insist(lambda: self._client.head(key))).result()

    async def _get(self, key: str, start: int, stop: int, etag: str | None) -> bytes:
        if stop <= start:
            return b""
        return await self._insist(lambda: self._client.get(key, start, stop, etag), stop - start)

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
        return self.begin_put(key, content, only).result()

    def begin_put(
        self, key: str, content: bytes | Path, only: str | None = None
    ) -> Future[str | None]:
        """Begin to write."""
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        return begin(self._insist(lambda: self._client.put(key, content, only), size))

    def delete(self, keys: list[str]) -> None:
        """Remove keys, as far as they are there."""
        attempts = [partial(self._client.delete, key) for key in keys]
        for future in [begin(self._insist(attempt)) for attempt in attempts]:
            future.result()

    # -- listing ---------------------------------------------------------------------------------

    def pages(self, prefix: str) -> Iterator[list[Listed]]:
        """List all keys below a prefix (empty, or with a slash at its end), in any order."""
        return self._listing(lambda: self._client.pages(prefix))

    def levels(self, prefix: str) -> Iterator[Level]:
        """List one level of keys below a prefix."""
        return self._listing(lambda: self._client.levels(prefix))

    def _listing(self, pages: Callable[[], Iterator[Result]]) -> Iterator[Result]:
        try:
            for page in pages():
                self._health.succeed()
                yield page
        except PassingError as error:
            raise self._health.down(error.words) from error

    # -- trying again ----------------------------------------------------------------------------

    async def _insist(self, attempt: Callable[[], Awaitable[Result]], size: int = 0) -> Result:
        """Try until it comes to something."""
        words = ""
        for number in range(ATTEMPTS):
            if number:
                await asyncio.sleep(pause_before(number))
            patience = min(self._options.stall, _FIRST_STALL * 2**number) + size / _SLOWEST
            try:
                async with self._under_way(), asyncio.timeout(patience):
                    found = await attempt()
            except PassingError as error:
                words = error.words
            except TimeoutError:
                words = f"nothing came for {patience:.3g} s"
            except (HeaderError, ConflictError):
                self._health.succeed()
                raise
            else:
                self._health.succeed()
                return found
            self._health.fail(words)
        raise HeaderError(Kind.UNEXPECTED, f"not read in {ATTEMPTS} attempts: {words}")

    @asynccontextmanager
    async def _under_way(self) -> AsyncIterator[None]:
        if self._room is None:
            self._room = asyncio.Semaphore(self._options.requests)
        async with self._room:
            yield


@cache
def open_remote(root: str, options: RemoteOptions) -> Remote:
    """Give a container; the same for the same settings, so that all share its connections.

    Raises
    ------
    UsageError
        The protocol or an option is not known, or an extra is missing.
    """
    return Remote(root, options)


def _client(address: Address, options: RemoteOptions) -> Client:
    given = options_of(address.protocol, options.storage)
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
        from dcmdask.remote.generic import FsspecClient

        return FsspecClient(address.protocol, address.container, given)
    except ImportError as error:
        extra = _EXTRAS.get(address.protocol, address.protocol)
        words = f"{address.protocol}:// needs what is not installed"
        raise UsageError(words, f"pip install 'dcmdask[{extra}]'") from error
    except HeaderError as error:
        raise StoreError(address.root, error.message, "check the URL and the settings") from error
