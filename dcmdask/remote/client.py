"""What every kind of store gives: the small Protocol that a client of one fulfils.

A client makes one attempt of everything it is asked for. What fails for a reason that may pass is a
`PassingError`; `dcmdask.remote.remote.Remote` tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


def quoted(etag: str | None) -> str | None:
    """Return an entity tag as a header has it (RFC 9110 section 8.8.3): listings of Azure do not.

    Examples
    --------
    >>> quoted("0x1D"), quoted('"abc"'), quoted(None)
    ('"0x1D"', '"abc"', None)
    """
    if not etag or etag.endswith('"'):
        return etag or None
    return f'"{etag}"'


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


class BehindEndError(Exception):
    """A range begins behind the end of a key."""


def denied() -> HeaderError:
    """Say that a store refuses."""
    return HeaderError(Kind.ACCESS_DENIED, "the store denies access")


def vanished() -> HeaderError:
    """Say that there is no such key, any more."""
    return HeaderError(Kind.VANISHED, "the file was there when it was listed")


def changed() -> HeaderError:
    """Say that there is another object under the key than the listing said."""
    return HeaderError(Kind.VANISHED, CHANGED)


_MEANING: dict[int, Callable[[], Exception]] = {
    401: denied,
    403: denied,
    404: vanished,
    408: lambda: PassingError("status 408"),
    409: ConflictError,
    410: vanished,
    412: changed,
    416: BehindEndError,
    425: lambda: PassingError("status 425"),
    429: lambda: PassingError("status 429"),
}


def of_status(status: int) -> Exception:
    """Say what a store means by a status of HTTP (RFC 9110 section 15) that is no success."""
    if status in _MEANING:
        return _MEANING[status]()
    if status >= 500:
        return PassingError(f"status {status}")
    return HeaderError(Kind.UNEXPECTED, f"the store answers with status {status}")


class Client(Protocol):
    """A client of one container.

    Notes
    -----
    Methods are called in many threads at a time. All raise `PassingError`; or `HeaderError` of kind ``access_denied``, ``vanished`` or, for what
    a store cannot do, ``unexpected``; or `BehindEndError`.
    """

    def get(self, key: str, start: int, stop: int, etag: str | None, patience: float) -> bytes:
        """Return bytes of a key, fewer at its end; `changed` where its entity tag is another.

        `patience` is for how many seconds nothing may come, as far as a client can see to that.
        """
        ...

    def head(self, key: str) -> Listed:
        """Say what a listing would say of a key."""
        ...

    def put(self, key: str, content: bytes | Path, only: str | None) -> str | None:
        """Write a key; give its entity tag.

        `only` is a condition: an entity tag that it must have now, or the empty text where it must
        not be there. Raises `ConflictError` where that does not hold.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove a key, if it is there."""
        ...

    def pages(self, prefix: str) -> Iterator[list[Listed]]:
        """List all keys below a prefix (empty, or with a slash at its end), in any order."""
        ...

    def levels(self, prefix: str) -> Iterator[Level]:
        """List one level of keys below a prefix, page by page."""
        ...
