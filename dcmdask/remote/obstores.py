"""Take a store of obstore; give the client of it. Google Cloud Storage and Azure; S3 builds on it.

obstore (the Rust crate object_store) takes two thirds of the time of s3fs for a ranged read and a
third of it with many in flight: `benchmarks/store_clients.py`. But its keys are paths: one with an
empty segment, a ``.`` or a control character cannot be asked for, and ends a listing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
    vanished,
)
from dcmdask.types import Kind

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_STATUS = re.compile(r"status code: (\d{3})")
_AT_ONCE = 64 * 1024
"""Bytes that are waited for in one go; of more, each piece must come in time."""
_PASSING = (408, 425, 429)
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


class ObstoreClient:
    """A client over obstore.

    Parameters
    ----------
    store : obstore.store.ObjectStore
        Of the container; it tries nothing twice by itself.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def get(self, key: str, start: int, stop: int, etag: str | None) -> bytes:
        """Give bytes of a key."""
        import obstore

        options: dict[str, Any] = {"range": (start, stop)}
        if etag is not None:
            options["if_match"] = etag
        with translated():
            found = await obstore.get_async(self._store, key, options=options)  # type: ignore[arg-type]
            # A store may not know conditions, or a proxy drop them.
            if etag is not None and found.meta["e_tag"] not in (etag, None):
                raise changed()
            if stop - start <= _AT_ONCE:
                return bytes(await found.bytes_async())
            pieces = bytearray()
            async for piece in found.stream(min_chunk_size=_AT_ONCE):
                pieces += piece
                await asyncio.sleep(0)
            return bytes(pieces)

    async def head(self, key: str) -> Listed:
        """Say what a listing would say of a key."""
        import obstore

        with translated():
            return _listed(await obstore.head_async(self._store, key))

    async def put(self, key: str, content: bytes | Path, only: str | None) -> str | None:
        """Write a key."""
        import obstore

        mode: Any = "overwrite"
        if only is not None:
            mode = {"e_tag": only} if only else "create"
        # A condition is on the whole, not on parts of an upload.
        multipart = False if only is not None else None
        try:
            with translated():
                done = await obstore.put_async(
                    self._store, key, content, mode=mode, use_multipart=multipart
                )
        except HeaderError as error:
            if only is not None and error.kind == Kind.VANISHED:
                raise ConflictError from error
            raise
        return done["e_tag"]

    async def delete(self, key: str) -> None:
        """Remove a key, if it is there."""
        import obstore

        try:
            with translated():
                await obstore.delete_async(self._store, key)
        except HeaderError as error:
            if error.kind != Kind.VANISHED:
                raise

    def pages(self, prefix: str) -> Iterator[list[Listed]]:
        """List all keys below a prefix."""
        import obstore

        with translated():
            for page in obstore.list(self._store, prefix=prefix or None, chunk_size=1000):
                yield [_listed(found) for found in page]

    def levels(self, prefix: str) -> Iterator[Level]:
        """List one level of keys, in one page: obstore gives no less."""
        import obstore

        with translated():
            found = obstore.list_with_delimiter(self._store, prefix=prefix or None)
        prefixes = [f"{name}/" for name in found["common_prefixes"]]
        yield Level(prefixes, [_listed(one) for one in found["objects"]])


def _listed(found: Mapping[str, Any]) -> Listed:
    modified = round(found["last_modified"].timestamp() * 1_000_000)
    return Listed(found["path"], found["size"], modified, found["e_tag"])


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
    status = int(found[1])
    if status >= 500 or status in _PASSING:
        return PassingError(f"status {status}")
    if status == 400 and "Key" in said and "Access" in said:
        return denied()
    return HeaderError(Kind.UNEXPECTED, f"the store answers with status {status}")
