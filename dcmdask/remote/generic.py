"""Take a protocol that fsspec knows and nobody faster serves; give the client of it.

Web servers, SFTP, FTP, memory, Hadoop, whatever is installed.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import fsspec
from fsspec.asyn import sync

from dcmdask.errors import HeaderError, UsageError
from dcmdask.remote.address import below
from dcmdask.remote.client import (
    BehindEndError,
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
from dcmdask.remote.credentials import PASSWORD, QUERY, USER, public_url
from dcmdask.remote.web_session import WebSecret, session_maker
from dcmdask.types import Kind

_PAGE = 1000
_TIMES = ("LastModified", "last_modified", "mtime", "modified", "created", "Last-Modified")
_ETAGS = ("ETag", "etag", "e_tag")
_BODY = 1024 * 1024
"""Bytes of a file that a server which gives no parts of files may send in vain."""


class FsspecClient:
    """A client over a file system of fsspec.

    Parameters
    ----------
    protocol, container : str
        Of the address.
    options : mapping
        What the file system is made with; values that are JSON are taken for that.
    stall : float
        Seconds that a web server may say nothing. Others have settings of their own for it.
    secrets : tuple of WebSecret
        What requests to a web server need beside that.

    Raises
    ------
    UsageError
        fsspec does not know the protocol, lacks what it needs for it, or the options.
    ImportError
        It lacks what it needs for the web, which is an extra.
    """

    def __init__(
        self,
        protocol: str,
        container: str,
        options: Mapping[str, str],
        stall: float,
        secrets: tuple[WebSecret, ...] = (),
    ) -> None:
        self._is_web = protocol in ("http", "https")
        self._container = container
        words = f"{protocol}://"
        settings: dict[str, Any] = {name: _json(value) for name, value in options.items()}
        try:
            cls = fsspec.get_filesystem_class(protocol)
            if not self._is_web and container and protocol not in ("gs", "az", "s3"):
                # Host, user and port, as the URL of each protocol says them.
                settings = {**cls._get_kwargs_from_urls(f"{protocol}://{container}/"), **settings}
            if self._is_web:
                settings.setdefault("client_kwargs", {"timeout": _web_timeout(stall)})
                settings = {n: v for n, v in settings.items() if n not in (USER, PASSWORD, QUERY)}
                if secrets:
                    settings["get_client"] = session_maker(secrets)
                    # By this alone sessions with other secrets would be told apart.
                    settings["skip_instance_cache"] = True
            self._fs = fsspec.filesystem(protocol, **settings)
        except ValueError as error:
            raise UsageError(words, "fsspec knows no such protocol; check the URL") from error
        except ImportError as error:
            if self._is_web:
                raise
            raise UsageError(words, f"it needs what is not installed: {error}") from error
        except TypeError as error:
            remedy = "check --storage-option: fsspec takes none of that name for it"
            raise UsageError(words, remedy) from error
        except OSError as error:
            raise HeaderError(Kind.UNEXPECTED, f"it does not answer ({_name(error)})") from error
        self._protocol = protocol

    def _path(self, key: str) -> str:
        if self._is_web:
            return f"{self._protocol}://{self._container}/{key}"
        if self._protocol in ("gs", "az", "s3"):
            return below(self._container, key) if key else self._container
        return f"/{key}"

    def _key(self, path: str) -> str:
        if self._is_web:
            return path.partition("://")[2].partition("/")[2]
        path = path.lstrip("/")
        if self._protocol in ("gs", "az", "s3"):
            return path.removeprefix(f"{self._container}/")
        return path

    def _call(self, name: str, *words: Any, **settings: Any) -> Any:
        """Call a method of the file system."""
        with _translated():
            return getattr(self._fs, name)(*words, **settings)

    def get(self, key: str, start: int, stop: int, etag: str | None, _patience: float) -> bytes:
        """Give bytes of a key; whether it has changed is asked where there is a tag."""
        if self._is_web:
            with _translated():
                return bytes(sync(self._fs.loop, self._get_part, key, start, stop, etag))
        if etag is not None and (self.head(key)).etag not in (etag, None):
            raise changed()
        return bytes(self._call("cat_file", self._path(key), start=start, end=stop))

    async def _get_part(self, key: str, start: int, stop: int, etag: str | None) -> bytes:
        """Read of a web server, which may answer with the whole file instead: up to there, then."""
        session = await self._fs.set_session()
        given = self._fs.kwargs
        wanted = {**given.get("headers", {}), **self._headers(start, stop)}
        settings = {**given, "headers": wanted}
        async with session.get(self._fs.encode_url(self._path(key)), **settings) as answer:
            if answer.status >= 400:
                raise of_status(answer.status)
            if etag is not None and answer.headers.get("ETag") not in (etag, None):
                raise changed()
            if answer.status == 206:
                return bytes(await answer.read())
            if start and stop > _BODY:
                words = "the server does not give parts of a file"
                raise HeaderError(Kind.UNEXPECTED, words)
            found = bytearray()
            while len(found) < stop and (piece := await answer.content.read(stop - len(found))):
                found += piece
            return bytes(found[start:])

    def _headers(self, start: int, stop: int) -> dict[str, str]:
        """Return what a web server is told beside a URL."""
        return {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}

    def head(self, key: str) -> Listed:
        """Say what a listing would say of a key."""
        info = self._call("info", self._path(key))
        if info.get("type") == "directory" or (self._is_web and _is_page(info)):
            raise vanished()
        return self._listed(info)

    def _listed(self, info: Mapping[str, Any]) -> Listed:
        etag = next((info[name] for name in _ETAGS if info.get(name)), None)
        return Listed(self._key(info["name"]), info.get("size"), _modified(info), quoted(etag))

    def put(self, key: str, content: bytes | Path, only: str | None) -> str | None:
        """Write a key. A condition is looked at before: these have none of their own."""
        path = self._path(key)
        if only is not None:
            there = self._call("exists", path)
            if only == "" and there:
                raise ConflictError
            if only and (not there or (self.head(key)).etag not in (only, None)):
                raise ConflictError
        self._call("makedirs", path.rpartition("/")[0] or "/", exist_ok=True)
        body = content.read_bytes() if isinstance(content, Path) else content
        self._call("pipe_file", path, body)
        with suppress(HeaderError):
            return (self.head(key)).etag
        return None

    def delete(self, key: str) -> None:
        """Remove a key, if it is there."""
        try:
            self._call("rm_file", self._path(key))
        except HeaderError as error:
            if error.kind != Kind.VANISHED:
                raise

    def pages(self, prefix: str) -> Iterator[list[Listed]]:
        """List all keys below a prefix, folder by folder."""
        waiting = [prefix]
        while waiting:
            for level in self.levels(waiting.pop()):
                yield level.found
                waiting.extend(reversed(level.prefixes))

    def every(self, prefix: str) -> Iterator[list[Listed]]:
        """List all keys below a prefix as the store has them, not folder by folder; held at once."""
        with _translated():
            self._fs.invalidate_cache()
            found = self._fs.find(self._path(prefix), detail=True)
        yield [self._listed(info) for info in found.values()]

    def levels(self, prefix: str) -> Iterator[Level]:
        """List one level of keys: as much at once as the file system gives."""
        # A listing that an earlier one left behind is not what is there now.
        self._fs.invalidate_cache()
        try:
            found = self._call("ls", self._path(prefix.rstrip("/")), detail=True)
        except HeaderError as error:
            if error.kind != Kind.VANISHED:
                raise
            # No folder, nothing in it: as in a bucket.
            found = []
        own = prefix.rstrip("/")
        if self._is_web:
            # A page may give every link the token that it was asked with.
            found = [{**info, "name": public_url(info["name"])} for info in found]
        below_it = [info for info in found if self._key(info["name"]).rstrip("/") != own]
        if self._is_web:
            # A page of links may lead anywhere.
            below_it = [info for info in below_it if self._is_below(info["name"], prefix)]
        names = [info for info in below_it if info["type"] == "directory"]
        prefixes = sorted(f"{self._key(info['name']).rstrip('/')}/" for info in names)
        files = [info for info in below_it if info["type"] != "directory"]
        if not files:
            yield Level(prefixes, [])
        for start in range(0, len(files), _PAGE):
            page = [self._sized(info) for info in files[start : start + _PAGE]]
            yield Level(prefixes if start == 0 else [], page)

    def _is_below(self, url: str, prefix: str) -> bool:
        own = self._path(prefix.rstrip("/")).rstrip("/") + "/"
        rest = url.removeprefix(own)
        return url.startswith(own) and bool(rest.strip("/")) and "?" not in rest

    def _sized(self, info: Mapping[str, Any]) -> Listed:
        if info.get("size") is None and self._is_web:
            # Of a web server's page only the names are known.
            with suppress(FileNotFoundError, OSError):
                return self._listed({**info, **self._fs.info(info["name"])})
        return self._listed(info)


def _is_page(info: Mapping[str, Any]) -> bool:
    """Tell whether a web server answers with the page of a folder, there or elsewhere."""
    return str(info.get("url", "")).partition("?")[0].endswith("/")


def _web_timeout(stall: float) -> Any:
    from aiohttp import ClientTimeout

    return ClientTimeout(total=None, sock_connect=stall, sock_read=stall)


def _json(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _modified(info: Mapping[str, Any]) -> int | None:
    when = next((info[name] for name in _TIMES if info.get(name) is not None), None)
    if isinstance(when, str):
        when = _parsed(when)
    if isinstance(when, dt.datetime):
        when = when.replace(tzinfo=when.tzinfo or dt.UTC).timestamp()
    return round(when * 1_000_000) if isinstance(when, int | float) else None


def _parsed(when: str) -> dt.datetime | None:
    """Take a time as the header of a web server says it, or as ISO 8601."""
    for parse in (parsedate_to_datetime, dt.datetime.fromisoformat):
        with suppress(ValueError):
            return parse(when)
    return None


def _name(error: BaseException) -> str:
    return type(error).__name__


@contextmanager
def _translated() -> Iterator[None]:
    """Say what fsspec and what is below it say in the words of this room."""
    try:
        yield
    except (HeaderError, PassingError, ConflictError, BehindEndError, UsageError):
        raise
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise vanished() from error
    except PermissionError as error:
        raise denied() from error
    except NotImplementedError as error:
        raise HeaderError(Kind.UNEXPECTED, "the store cannot do that") from error
    except (OSError, EOFError, TimeoutError) as error:
        raise _of_status(error, PassingError(f"the connection failed ({_name(error)})")) from error
    except Exception as error:
        # Every library below has errors of its own; those of a web server carry its status.
        raise _of_status(error, PassingError(f"it failed ({_name(error)})")) from error


def _of_status(error: BaseException, otherwise: Exception) -> Exception:
    status = getattr(error, "status", None)
    if not isinstance(status, int):
        return otherwise
    return of_status(status)
