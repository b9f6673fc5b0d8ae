"""Take a store of obstore; give the client of it. Google Cloud Storage and Azure; S3 builds on it.

obstore (the Rust crate object_store) reads ranges at three to four times the rate of s3fs, and in
threads faster than by its coroutines: `benchmarks/store_clients.py`. These also abort a process, now
and then, that ends soon after them. Its keys are paths: one with an empty segment, a ``.`` or a
control character cannot be asked for, and ends a listing.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcmdask.errors import HeaderError
from dcmdask.remote.client import (
    ConflictError,
    Level,
    Listed,
    PassingError,
    changed,
    denied,
    of_status,
    quoted,
    vanished,
)
from dcmdask.types import Kind

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_STATUS = re.compile(r"status code: (\d{3})")
_CONNECT = 5
_PATIENT = 10.0
_BRIEF = 5.0
"""Seconds for an answer that has no body."""
_SENDING = 120.0
"""Seconds for a piece of a file that is written: the time counts from its first byte on, and several
share what may be a slow line."""
_PIECES = 2
"""Pieces of one file that are written at a time."""
_LONGEST = 3600
"""Seconds that a transfer may take of which something comes again and again."""
_ONCE: Any = {"max_retries": 0}
_AGAIN: Any = {"max_retries": 10, "retry_timeout": dt.timedelta(minutes=5)}
_ILLEGAL = re.compile(r"[\x00-\x1f\x7f]")
_DOTS = (".", "..", "")


def is_plain(key: str) -> bool:
    """Tell whether obstore asks for this very key.

    Examples
    --------
    >>> is_plain("a/b.dcm"), is_plain("a//b.dcm"), is_plain("a/../b.dcm")
    (True, False, False)
    """
    return not (_ILLEGAL.search(key) or any(part in _DOTS for part in key.split("/")))


class UnnamableError(Exception):
    """A listing holds a key that obstore cannot name."""


class ObstoreClient:
    """A client over obstore.

    Parameters
    ----------
    make : callable
        Makes the store of the container, with settings of its HTTP client and of its retries.

    Notes
    -----
    What is one request is tried once. A listing and a file that is written are many requests, and
    one of them that fails is made again here: begun anew, a long one might never come to its end.
    """

    def __init__(self, make: Callable[[dict[str, str], Any], ObjectStore]) -> None:
        self._of_patience = lru_cache(maxsize=8)(lambda patience: make(_times(patience), _ONCE))
        self._store = self._of_patience(_PATIENT)
        self._lister = cache(lambda: make(_times(_PATIENT), _AGAIN))
        self._sender = cache(lambda: make(_times(_SENDING), _AGAIN))

    def get(self, key: str, start: int, stop: int, etag: str | None, patience: float) -> bytes:
        """Return bytes of a key."""
        import obstore

        options: Any = {"range": (start, stop)}
        if etag is not None:
            options["if_match"] = etag
        with translated():
            found = obstore.get(self._of_patience(patience), key, options=options)
            # A store may not know conditions, or a proxy drop them.
            if etag is not None and quoted(found.meta["e_tag"]) not in (etag, None):
                raise changed()
            return bytes(found.bytes())

    def head(self, key: str) -> Listed:
        """Say what a listing would say of a key."""
        import obstore

        with translated():
            return _listed(obstore.head(self._of_patience(_BRIEF), key))

    def put(self, key: str, content: bytes | Path, only: str | None) -> str | None:
        """Write a key."""
        import obstore

        mode: Any = "overwrite"
        if only is not None:
            mode = {"e_tag": only} if only else "create"
        # A condition is on the whole, not on parts of an upload.
        multipart = False if only is not None else None
        store = self._sender() if isinstance(content, Path) and only is None else self._store
        try:
            with translated():
                done = obstore.put(
                    store,
                    key,
                    content,
                    mode=mode,
                    use_multipart=multipart,
                    max_concurrency=_PIECES,
                )
        except HeaderError as error:
            if only is not None and error.kind == Kind.VANISHED:
                raise ConflictError from error
            raise
        return quoted(done["e_tag"])

    def delete(self, key: str) -> None:
        """Remove a key, if it is there."""
        import obstore

        try:
            with translated():
                obstore.delete(self._store, key)
        except HeaderError as error:
            if error.kind != Kind.VANISHED:
                raise

    def pages(self, prefix: str) -> Iterator[list[Listed]]:
        """List all keys below a prefix."""
        import obstore

        with translated():
            for page in obstore.list(self._lister(), prefix=prefix or None, chunk_size=1000):
                yield [_listed(found) for found in page]

    def levels(self, prefix: str) -> Iterator[Level]:
        """List one level of keys, in one page: obstore gives no less."""
        import obstore

        with translated():
            found = obstore.list_with_delimiter(self._lister(), prefix=prefix or None)
        prefixes = [f"{name}/" for name in found["common_prefixes"]]
        yield Level(prefixes, [_listed(one) for one in found["objects"]])


def _times(patience: float) -> dict[str, str]:
    return {
        "connect_timeout": f"{_CONNECT}s",
        "read_timeout": f"{patience}s",
        "timeout": f"{_LONGEST}s",
    }


def _listed(found: Mapping[str, Any]) -> Listed:
    modified = round(found["last_modified"].timestamp() * 1_000_000)
    return Listed(found["path"], found["size"], modified, quoted(found["e_tag"]))


@contextmanager
def translated() -> Iterator[None]:
    """Say what obstore says in the words of this room."""
    from obstore import exceptions

    try:
        yield
    except (FileNotFoundError, exceptions.NotFoundError) as error:
        raise vanished() from error
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise denied() from error
    except (exceptions.PreconditionError, exceptions.NotModifiedError) as error:
        raise changed() from error
    except exceptions.InvalidPathError as error:
        raise UnnamableError from error
    except exceptions.AlreadyExistsError as error:
        raise ConflictError from error
    except (exceptions.BaseError, OSError) as error:
        raise _error(str(error)) from error


def _error(said: str) -> Exception:
    """Say what an error is by what obstore says of it, which holds the key."""
    found = _STATUS.search(said)
    if found is None:
        if "NotPartial" in said:
            return HeaderError(Kind.UNEXPECTED, "the store does not give parts of an object")
        if "LOCATION" in said:
            return HeaderError(Kind.UNEXPECTED, "the bucket is in another region")
        return PassingError("the connection failed")
    if found[1] == "400" and "Key" in said and "Access" in said:
        return denied()
    return of_status(int(found[1]))
