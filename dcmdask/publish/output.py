"""Take an output, a folder or a prefix of a store; give what earlier runs have left in it.

What is published and what the next run must know are the same in both. In a folder the files of a
catalog lie beside its ``catalog.json``; in a store, which has no rename, they lie in a folder of
their own that it names, and the instances are the parts themselves.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from dcmdask.config import RemoteOptions
from dcmdask.errors import CatalogError, HeaderError, OutputError, UsageError
from dcmdask.own_names import MOVES, PARTS, UNFINISHED, index_name, state_name
from dcmdask.remote.address import Address, below, is_url, local_path
from dcmdask.remote.client import Listed
from dcmdask.remote.remote import open_remote
from dcmdask.state.folder import (
    Folder,
    StoreFolder,
    download,
    file_of,
    is_absent,
    reaching,
    read_now,
)
from dcmdask.state.names import KnownSource, known_sources
from dcmdask.state.parts import check_of, list_stems
from dcmdask.state.previous_runs import Known, write_index
from dcmdask.types import CATALOG_FOLDER, PRIVATE

CATALOG = "catalog.json"
DEFAULT_MAP = "projectid_map.json"
GREATEST = ".greatest"
"""Ends the name of what lies beside a map of ProjectIDs: the greatest number ever given."""

OF_PEOPLE = frozenset({DEFAULT_MAP, f"{DEFAULT_MAP}{GREATEST}"})
"""What people edit, and a run reads before it writes it: it is never refused for being changed."""

_PUBLISHING = 5.0
"""Seconds that a reader waits for a catalog that is being put in place."""
_BLINK = 0.01


class Check(NamedTuple):
    """What is known of a file that was published.

    Attributes
    ----------
    size : int
        Bytes.
    crc : int or None
        CRC-32 of its content.
    modified : int or None
        When it was written, in nanoseconds since 1970 UTC; of a file of this machine.
    etag : str or None
        Its entity tag; of an object of a store.
    """

    size: int
    crc: int | None = None
    modified: int | None = None
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class State:
    """What a run leaves for the next one, beside the catalog.

    Attributes
    ----------
    reading : str
        Digest of the settings that decide what is read of a file.
    settings : str
        Digest of all settings that decide what the catalog holds.
    cases, project_ids : str
        Digests of the cases and their files, and of their numbers.
    parts : list of str
        Stems.
    index : list of int
        Size and check sum of the index of the parts.
    published : dict
        Name in OUT to its `Check`: what alone a later run takes for ours.
    sources : list
        Names of sources and cases, of this run and those before: `dcmdask.state.names.KnownSource`.
    rewritten : dict
        Name in OUT to the `Check` of what Med-ImageTools makes of that file when it takes the crawl.
    """

    reading: str
    settings: str
    cases: str
    project_ids: str
    parts: list[str]
    index: list[int]
    published: dict[str, Check]
    sources: list[dict[str, Any]] = field(default_factory=list)
    rewritten: dict[str, Check] = field(default_factory=dict)


class Output(Protocol):
    """What is in an output.

    Attributes
    ----------
    place : str
        Path or URL.
    parts, private : Folder
        Of the parts, and of what else is not published.
    """

    @property
    def place(self) -> str: ...  # noqa: D102 - above

    @property
    def parts(self) -> Folder: ...  # noqa: D102

    @property
    def private(self) -> Folder: ...  # noqa: D102

    def catalog(self) -> bytes | None:
        """Return the content of ``catalog.json``; None where there is none."""
        ...

    def is_there(self, name: str, size: int) -> bool:
        """Tell whether a published file is there, as large as it was."""
        ...

    def read_catalog(self) -> dict[str, Any]:
        """Return the content of ``catalog.json``.

        Raises
        ------
        CatalogError
            There is none, or it is not as a run has written it.
        """
        ...

    def fetch(self, name: str) -> Path:
        """Return a published file as one of this machine.

        Raises
        ------
        FileNotFoundError
            There is none.
        """
        ...

    def release(self, path: Path) -> None:
        """Let go of what `fetch` gave."""
        ...

    def locate(self, names: Iterable[str]) -> tuple[list[str], Any]:
        """Return files by their names in the output as Arrow finds them, and its file system."""
        ...


class FolderOutput:
    """An output on this machine.

    Parameters
    ----------
    out : pathlib.Path
        The folder.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.place = str(out)
        self.private = out / PRIVATE
        self.parts = self.private / PARTS

    def catalog(self) -> bytes | None:
        """Return the content of ``catalog.json``."""
        try:
            return (self.out / CATALOG).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            return b""

    def is_there(self, name: str, size: int) -> bool:
        """Tell whether a published file is there, as large as it was."""
        try:
            return os.stat(f"{self.place}/{name}").st_size == size
        except OSError:
            return False

    def read_catalog(self) -> dict[str, Any]:
        """Return the content of ``catalog.json``; wait a moment where one is being put in place."""
        path = self.out / CATALOG
        deadline = time.monotonic() + _PUBLISHING
        while not path.exists() and self._is_publishing() and time.monotonic() < deadline:
            time.sleep(_BLINK)
        try:
            text = path.read_bytes()
        except FileNotFoundError as error:
            if self._is_publishing():
                words = "a run puts it in place, or was ended while it did"
                raise CatalogError(self.place, words, "run again: it is all there") from error
            raise _no_catalog(self.place) from error
        except OSError as error:
            raise CatalogError(self.place, "catalog.json cannot be read", "run again") from error
        return _parsed(self.place, text)

    def _is_publishing(self) -> bool:
        try:
            os.lstat(self.private / MOVES)
        except PermissionError:
            # Of another user, who may be at it.
            return True
        except OSError:
            return False
        return True

    def fetch(self, name: str) -> Path:
        """Return a published file."""
        path = self.out / name
        path.stat()
        return path

    def release(self, path: Path) -> None:
        """Leave it where it is."""

    def locate(self, names: Iterable[str]) -> tuple[list[str], Any]:
        """Return files as Arrow finds them."""
        return [str(self.out / name) for name in names], None


class StoreOutput:
    """An output in a store.

    Parameters
    ----------
    url : str
        Of its prefix.
    options : RemoteOptions
        How to reach it.
    mirror : pathlib.Path
        A folder of this machine for what is fetched.

    Attributes
    ----------
    place : str
        The URL.
    remote : dcmdask.remote.remote.Remote
        The container.
    tag : str or None
        Entity tag of the ``catalog.json`` that was read last; the empty text where there was none,
        None where the store has no tags.
    """

    def __init__(self, url: str, options: RemoteOptions, mirror: Path) -> None:
        address = Address.parse(url)
        self.place = address.url
        self._options = options
        self._mirror = mirror
        self.remote = open_remote(address.root, options)
        self.private = StoreFolder(f"{self.place}/{PRIVATE}", options, mirror / "private")
        self.parts = StoreFolder(
            f"{self.place}/{PRIVATE}/{PARTS}", options, mirror / PARTS, grows=True
        )
        self.tag: str | None = ""
        self._prefix = address.key
        self._folder = ""
        self._listed: dict[str, Listed] | None = None

    def key(self, name: str) -> str:
        """Return the key of a name in the output."""
        return below(self._prefix, name)

    def catalog(self) -> bytes | None:
        """Return the content of ``catalog.json``; its files are those of the output from now on."""
        with reaching(self.place):
            return self._catalog()

    def _catalog(self) -> bytes | None:
        found = read_now(self.remote, self.key(CATALOG))
        text, self.tag = (None, "") if found is None else (found[0], found[1].etag)
        self._use(text)
        return text

    @property
    def folder(self) -> str:
        """Name of the folder that holds the files of the catalog that was read last."""
        return self._folder

    def _use(self, catalog: bytes | None) -> None:
        """Take the files that a catalog names for those of the output."""
        folder = (json_object(catalog) or {}).get("folder")
        is_one = isinstance(folder, str) and CATALOG_FOLDER.fullmatch(folder)
        self._folder = str(folder) if is_one else ""
        self._listed = None

    def published(self, name: str) -> str:
        """Return the key of a published file, by its name in the catalog."""
        return self.key(below(self._folder, name))

    def is_there(self, name: str, size: int) -> bool:
        """Tell whether a published file is there, as large as it was."""
        found = self.listed().get(name)
        return found is not None and (found.size or 0) == size

    def listed(self) -> dict[str, Listed]:
        """Return what a listing says of the files of the catalog, by their names in it."""
        if self._listed is None:
            prefix = self.published("")
            with reaching(self.place):
                pages = self.remote.pages(prefix)
                self._listed = {one.key[len(prefix) :]: one for page in pages for one in page}
        return self._listed

    def read_catalog(self) -> dict[str, Any]:
        """Return the content of ``catalog.json``."""
        try:
            text = self._catalog()
        except HeaderError as error:
            remedy = "look at the URL, the credentials and what they allow"
            raise CatalogError(self.place, error.message, remedy) from error
        if text is None:
            raise _no_catalog(self.place)
        return _parsed(self.place, text)

    def fetch(self, name: str) -> Path:
        """Fetch a published file."""
        key, path = self.published(name), self._mirror / name.rpartition("/")[2]
        try:
            size = self.remote.head(key).size or 0
            download(self.remote, key, size, path)
        except (HeaderError, OutputError) as error:
            cause = error if isinstance(error, HeaderError) else error.__cause__
            if not isinstance(cause, HeaderError):
                raise
            if is_absent(cause):
                raise FileNotFoundError(key) from error
            remedy = "look at the credentials and what they allow"
            raise CatalogError(self.place, cause.message, remedy) from error
        return path

    def release(self, path: Path) -> None:
        """Remove a file that was fetched."""
        with suppress(OSError):
            path.unlink()

    def locate(self, names: Iterable[str]) -> tuple[list[str], Any]:
        """Return files as Arrow finds them."""
        from dcmdask.remote.filesystem import file_system, path_in

        address = Address.parse(self.place)
        paths = [path_in(address, self.key(name)) for name in names]
        return paths, file_system(address, self._options)


def open_output(
    place: str | Path, options: RemoteOptions, scratch: Callable[[], Path]
) -> FolderOutput | StoreOutput:
    """Return an output by its path or URL.

    Parameters
    ----------
    place : str or pathlib.Path
        Where it is.
    options : RemoteOptions
        How a store is reached.
    scratch : callable
        Gives a folder of this machine for what is fetched, where that is needed.
    """
    if isinstance(place, str) and is_url(place):
        return StoreOutput(checked_url(place), options, scratch())
    return FolderOutput(Path(local_path(str(place))).expanduser().absolute())


def checked_url(out: str) -> str:
    """Return the URL of an output in its usual form.

    Raises
    ------
    UsageError
        Nothing can be written under such a one.
    """
    address = Address.parse(out)
    if "::" in out or "?" in out or "#" in out:
        raise UsageError(f"output {out}", "write one plain URL, such as s3://bucket/catalogs/site")
    if not address.container and address.protocol in ("s3", "gs", "az"):
        raise UsageError(
            f"output {out} names no bucket", "write it as in s3://bucket/catalogs/site"
        )
    return address.url


def _no_catalog(place: str) -> CatalogError:
    return CatalogError(place, "no catalog.json there", "name the --out of a run")


def _parsed(place: str, text: bytes) -> dict[str, Any]:
    content = json_object(text)
    if content is None:
        raise CatalogError(place, "catalog.json is damaged, or no run wrote it", "run again")
    return content


# -- what is known -----------------------------------------------------------------------------------


def token_of(catalog: bytes | None) -> str | None:
    """Return what names the state of a catalog."""
    token = (json_object(catalog) or {}).get("state")
    return token if isinstance(token, str) else None


def json_object(text: bytes | None) -> dict[str, Any] | None:
    """Return the JSON object that a file of a run holds; None for what no run has written.

    Examples
    --------
    >>> json_object(b'{"state": "a"}'), json_object(b"[1]"), json_object(b"{"), json_object(None)
    ({'state': 'a'}, None, None, None)
    """
    try:
        said = json.loads((text or b"").decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _content(folder: Folder, name: str) -> bytes | None:
    try:
        return file_of(folder, name).read_bytes()
    except OSError:
        return None


def state_of(output: Output, token: str | None) -> State | None:
    """Return the state of a catalog; None where there is nothing of the kind."""
    text = None if token is None else _content(output.private, state_name(token))
    return None if text is None else _state_in(text)


# A run asks for the state of one catalog again and again: it may name a file a case.
@lru_cache(maxsize=4)
def _state_in(text: bytes) -> State | None:
    said = json_object(text)
    kinds = {"parts": list, "index": list, "published": dict, "sources": list, "rewritten": dict}
    # One of a release before lacks what has come since.
    needed = {one.name for one in fields(State) if one.default_factory is MISSING}
    names = {one.name for one in fields(State)}
    if said is None or not needed <= set(said) <= names:
        return None
    if not all(isinstance(value, kinds.get(name, str)) for name, value in said.items()):
        return None
    try:
        checks = {
            kind: {name: _check(value) for name, value in said.get(kind, {}).items()}
            for kind in ("published", "rewritten")
        }
    except (TypeError, ValueError):
        return None
    return State(**{**said, **checks})


def _check(said: Any) -> Check:
    """Return a check as it was written; releases before have written a size."""
    return Check(said) if isinstance(said, int) else Check(*said)


def sources_of(output: Output) -> list[KnownSource]:
    """Return the sources that earlier runs into an output have named, and their cases.

    Where what runs keep for the next one is gone, the catalog says which cases bear another name
    than their own.
    """
    catalog = output.catalog()
    state = state_of(output, token_of(catalog))
    if state is not None and state.sources:
        return known_sources(state.sources)
    content = json_object(catalog) or {}
    return known_sources(content.get("known_sources", content.get("sources")))


def is_of_use(output: Output, token: str | None, reading: str, *, full: bool) -> bool:
    """Tell whether what a run that was ended has read is what this one would read."""
    said = json_object(_content(output.private, UNFINISHED))
    if said is None or said.get("reading") != reading:
        return False
    # Where a catalog has been published since, the parts beside its own are what it superseded.
    return said.get("after") == token and (not full or said.get("full") is True)


def is_whole(output: Output, state: State) -> bool:
    """Tell whether all that was published is there, as large as it was."""
    return all(output.is_there(name, check.size) for name, check in state.published.items())


def _is_intact(index: Path, state: State) -> bool:
    try:
        return check_of(index) == state.index
    except OSError:
        return False


def _why_anew(state: State | None, index: Path, reading: str) -> str | None:
    """Say why nothing of a catalog is of use; None where it is."""
    if state is None or not _is_intact(index, state):
        return "what was kept of the catalog there is not whole"
    return None if state.reading == reading else "it was read with other settings or releases"


def known_of(
    output: Output, reading: str, *, full: bool, scratch: Path
) -> tuple[Known, str | None, bool]:
    """Return what earlier runs into an output have read.

    Parameters
    ----------
    output : Output
        The output.
    reading : str
        Digest of the settings that decide what is read of a file.
    full : bool
        Whether to read all again that is published.
    scratch : pathlib.Path
        Folder for an index.

    Returns
    -------
    known : Known
        Of the catalog there, as far as it is of use, and of a run that was ended.
    read_anew : str or None
        Why nothing of the catalog is of use, where there is one.
    there : bool
        Whether there is one.
    """
    catalog = output.catalog()
    token, there = token_of(catalog), catalog is not None
    state = state_of(output, token)
    index = file_of(output.private, index_name(token)) if token else scratch / "no index"
    stems = [] if state is None else state.parts
    read_anew = _why_anew(state, index, reading) if there else None
    published = (index, stems) if there and read_anew is None else None
    others = sorted(set(list_stems(output.parts)) - set(stems))
    unfinished = None
    if others and is_of_use(output, token, reading, full=full):
        unfinished = (scratch / "unfinished.index", others)
        write_index(unfinished[0], output.parts, others)
    known = Known(output.parts, reading, published, unfinished, again=full)
    return known, "--full" if there and full else read_anew, there
