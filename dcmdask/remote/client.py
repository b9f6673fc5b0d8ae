"""What every kind of store gives: the small Protocol that a client of one fulfils.

A client makes one attempt of everything it is asked for. What fails for a reason that may pass is a
`PassingError`; `dcmdask.remote.remote.Remote` tries again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from dcmdask.errors import HeaderError
from dcmdask.types import Kind

CHANGED = "it has changed since it was listed"


class Listed(NamedTuple):
    """One key of a listing: bytes, microseconds since 1970 UTC, and the store's entity tag."""

    key: str
    size: int | None
    modified: int | None
    etag: str | None


@dataclass(frozen=True, slots=True)
class Level:
    """A page of one level of keys.

    Attributes
    ----------
    prefixes : list of str
        What goes on below, each with its slash.
    found : list of Listed
        What lies at this level.
    """

    prefixes: list[str]
    found: list[Listed]


class PassingError(Exception):
    """An attempt failed for a reason that may pass.

    Parameters
    ----------
    words : str
        What, in words that hold no key and no value.
    """

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class ConflictError(Exception):
    """Somebody else has written there: a condition of a write does not hold."""


def denied() -> HeaderError:
    """Say that a store refuses."""
    return HeaderError(Kind.ACCESS_DENIED, "the store denies access")


def vanished() -> HeaderError:
    """Say that there is no such key, any more."""
    return HeaderError(Kind.VANISHED, "the file was there when it was listed")


def changed() -> HeaderError:
    """Say that there is another object under the key than the listing said."""
    return HeaderError(Kind.VANISHED, CHANGED)


class Client(Protocol):
    """A client of one container.

    Notes
    -----
    Methods of reading and writing are coroutines of one attempt; listing blocks, in any thread.
    All raise `PassingError`; or `HeaderError` of kind ``access_denied``, ``vanished`` or, for what
    a store cannot do, ``unexpected``.
    """

    async def get(self, key: str, start: int, stop: int, etag: str | None) -> bytes:
        """Give bytes of a key, fewer at its end; `vanished` where its entity tag is another."""
        ...

    async def head(self, key: str) -> Listed:
        """Say what a listing would say of a key."""
        ...

    async def put(self, key: str, content: bytes | Path, only: str | None) -> str | None:
        """Write a key; give its entity tag.

        `only` is a condition: an entity tag that it must have now, or the empty text where it must
        not be there. Raises `ConflictError` where that does not hold.
        """
        ...

    async def delete(self, key: str) -> None:
        """Remove a key, if it is there."""
        ...

    def pages(self, prefix: str) -> Iterator[list[Listed]]:
        """List all keys below a prefix (empty, or with a slash at its end), in any order."""
        ...

    def levels(self, prefix: str) -> Iterator[Level]:
        """List one level of keys below a prefix, page by page."""
        ...
