"""Take a session with web servers; give it as one that adds to every request what its place needs.

The secrets of a URL stand in no URL of this package: they are put in here, at the last moment.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from dcmdask.remote.credentials import PASSWORD, QUERY, USER


@dataclass(frozen=True, slots=True)
class WebSecret:
    """What requests below one URL need.

    Attributes
    ----------
    place : str
        That URL.
    query : str
        Parameters, as they are written.
    header : str
        Authorization; empty for none.
    """

    place: str
    query: str = ""
    header: str = ""

    def is_of(self, url: str) -> bool:
        """Tell whether a URL is this one, or lies below it."""
        return url.startswith(self.place) and url[len(self.place) :][:1] in ("", "/", "?", "#")


def web_secrets(root: str, storage: Iterable[tuple[str, str]]) -> tuple[WebSecret, ...]:
    """Return the secrets of places on one web server, from storage options; the nearest first."""
    queries: dict[str, str] = {}
    users: dict[str, str] = {}
    for name, value in storage:
        place, _, what = name.rpartition(":")
        if place == root and what in (USER, PASSWORD):
            users[what] = value
        elif what == QUERY and (place == root or place.startswith(f"{root}/")):
            queries[_plain(place).rstrip("/")] = value
    header = _authorization(users.get(USER, ""), users.get(PASSWORD, "")) if users else ""
    found = [WebSecret(place, query, header) for place, query in queries.items()]
    if header and root not in queries:
        found.append(WebSecret(root, "", header))
    return tuple(sorted(found, key=lambda one: -len(one.place)))


def _authorization(user: str, password: str) -> str:
    """Return the header by which a web server knows a user (RFC 7617)."""
    word = base64.b64encode(f"{user}:{password}".encode()).decode()
    return f"Basic {word}"


def _plain(place: str) -> str:
    # A storage option is written with an equals sign behind its name.
    return place.replace("%3D", "=")


def session_maker(secrets: tuple[WebSecret, ...]) -> Callable[..., Awaitable[Any]]:
    """Return what makes sessions for the file system of fsspec (its ``get_client``)."""

    async def make(loop: Any, **settings: Any) -> Any:
        import aiohttp

        return _Session(aiohttp.ClientSession(loop=loop, **settings), secrets)

    return make


class _Session:
    """A session of aiohttp."""

    def __init__(self, session: Any, secrets: tuple[WebSecret, ...]) -> None:
        self._session = session
        self._secrets = secrets

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def get(self, url: Any, **settings: Any) -> Any:
        """Begin a request for content."""
        return self._session.get(*self._with(url, settings), **settings)

    def head(self, url: Any, **settings: Any) -> Any:
        """Begin a request for headers."""
        return self._session.head(*self._with(url, settings), **settings)

    def _with(self, url: Any, settings: dict[str, Any]) -> tuple[Any]:
        """Return the URL with what it needs; the header goes into the settings."""
        from yarl import URL

        text = str(url)
        secret = next((one for one in self._secrets if one.is_of(_plain(text))), None)
        if secret is None:
            return (url,)
        if secret.header:
            given = settings.get("headers") or {}
            settings["headers"] = {"Authorization": secret.header, **given}
        if not secret.query or _has_all(text, secret.query):
            return (url,)
        text, hash_, fragment = text.partition("#")
        text += f"{'&' if '?' in text else '?'}{secret.query}{hash_}{fragment}"
        return (URL(text, encoded=True),)


def _has_all(url: str, query: str) -> bool:
    """Tell whether a URL has a query's parameters already: those of its own line of a list."""
    own = {part.partition("=")[0] for part in url.partition("?")[2].split("&")}
    return {part.partition("=")[0] for part in query.split("&")} <= own
