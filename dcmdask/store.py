"""Take tables and bytes; keep them in the output folder: parts, staging, publishing, the lock.

Everything is written under ``OUT/.dcmdask`` and moved into place at the end, ``catalog.json`` last.
What a run has read stays there as parts: the next run knows them, be it that this one ended well or
on the way.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, BinaryIO, Self

from filelock import FileLock, Timeout

from dcmdask.errors import CatalogError, LockedError, OutputError
from dcmdask.known import Known, write_index
from dcmdask.manifest import PieceWriter
from dcmdask.parts import check_of, list_stems, remove_others
from dcmdask.types import PRIVATE
from dcmdask.writing import output_error, writing

CATALOG = "catalog.json"
FOLDERS = ("cases", "instances")
"""Folders of a catalog: such a one in an OUT without a catalog is the user's, and is not touched."""

_UNFINISHED = "unfinished.json"
_MOVES = "moves.json"
_HEARTBEAT = 10.0
_STALE = 60.0
"""Seconds without a heartbeat after which a run on another machine is taken for dead."""
_PUBLISHING = 5.0
"""Seconds that a reader waits for a catalog that is being put in place."""
_BLINK = 0.01
_SYNCING = 16


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
        Name in OUT to its size.
    """

    reading: str
    settings: str
    cases: str
    project_ids: str
    parts: list[str]
    index: list[int]
    published: dict[str, int]


class Store:
    """The output folder of a run.

    Parameters
    ----------
    out : pathlib.Path
        The folder; made if it is not there.
    fresh : bool
        Whether to throw away what a run that was ended has read.

    Attributes
    ----------
    parts : pathlib.Path
        Folder of the parts.
    staging, prepared : pathlib.Path
        Folders for what this run alone needs, and in it for what is to be published.
    interrupted : str or None
        What is known of a run that ended without a word.
    read_anew : str or None
        Why nothing of the catalog in OUT is of use, where there is one.

    Notes
    -----
    Use it as a context: entering takes the lock and undoes what an earlier run left half published,
    leaving drops the staging area. Parts stay.
    """

    def __init__(self, out: Path, *, fresh: bool = False) -> None:
        self.out = out
        self.private = out / PRIVATE
        self.parts = self.private / "parts"
        self.staging = self.private / "staging"
        self.interrupted: str | None = None
        self.read_anew: str | None = None
        self._fresh = fresh
        self.prepared = self.staging / "publish"
        self._previous = self.private / "previous"
        self._moves = self.private / _MOVES
        self._lock = FileLock(self.private / "lock")
        self._holder = _Holder(self.private / "holder.json")
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        try:
            with writing(self.out):
                os.fspath(self.out).encode()
                ways = (self.private, *self.private.parents)
                self._made = [path for path in ways if not path.exists()]
                self.private.mkdir(parents=True, exist_ok=True)
            self._take_lock()
        except BaseException:
            self._remove_made()
            raise
        try:
            with writing(self.out):
                self._begin()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self._leave()

    def _take_lock(self) -> None:
        try:
            self._lock.acquire(blocking=False)
        except Timeout as error:
            # Before OSError, of which it is one.
            raise LockedError(
                str(self.out), self._holder.who(), "wait for it, or end it"
            ) from error
        except OSError as error:
            raise output_error(str(self.out), error) from error
        except NotImplementedError as error:
            reason = "its file system knows no locks"
            raise OutputError(str(self.out), reason, "choose another --out") from error
        if self._holder.lives_elsewhere():
            # Some network file systems give a lock to one run on each machine.
            who = self._holder.who()
            self._lock.release()
            raise LockedError(str(self.out), who, "wait for it, or end it")

    def _begin(self) -> None:
        self.interrupted = self._holder.said()
        self._holder.take()
        self._undo_publishing()
        if not (self.out / CATALOG).exists():
            for name in FOLDERS:
                if (self.out / name).exists():
                    words = "it is there and no run made it"
                    remedy = "choose another --out, or move it away"
                    raise OutputError(str(self.out / name), words, remedy)
        shutil.rmtree(self.staging, ignore_errors=True)
        for folder in ("manifest", "publish"):
            (self.staging / folder).mkdir(parents=True)
        self.parts.mkdir(exist_ok=True)
        if self._fresh:
            self._forget_unfinished()

    def _leave(self) -> None:
        """Leave what is published and what was read; let go of the lock last."""
        with suppress(OSError):
            # Where this fails, what was set aside stays, and the next run does it again.
            self._undo_publishing()
            shutil.rmtree(self.staging, ignore_errors=True)
        stems = self._tidy()
        self._holder.drop()
        empty = not (stems or self._previous.exists() or (self.out / CATALOG).exists())
        if empty:
            shutil.rmtree(self.private, ignore_errors=True)
        self._lock.release()
        if empty:
            self._remove_made()

    def _tidy(self) -> list[str]:
        """Remove what neither the catalog nor the next run needs; give the parts that stay."""
        stems = list_stems(self.parts)
        remove_others(self.parts, stems)
        state, token = read_state(self.out), _token(self.out)
        for path in self.private.glob("state-*"):
            if path.stem != f"state-{token}":
                _remove(path)
        if not set(stems) - set(state.parts if state else ()):
            _remove(self.private / _UNFINISHED)
        return stems

    def _remove_made(self) -> None:
        """Remove the folders that entering made, as far as nothing lies in them."""
        for path in dict.fromkeys((self.private, *self._made)):
            with suppress(OSError):
                path.rmdir()

    # -- what is known ---------------------------------------------------------------------------

    def known(self, reading: str, *, full: bool) -> Known:
        """Give what earlier runs have read that is of use to this one, and remember its settings.

        Parameters
        ----------
        reading : str
            Digest of the settings that decide what is read of a file.
        full : bool
            Whether to know nothing of what is published: all is read again. What a full run that
            was ended has read is known all the same.
        """
        if not _is_of_use(self.out, reading, full=full):
            self._forget_unfinished()
        said = {"reading": reading, "full": full, "after": _token(self.out)}
        with writing(self.private):
            (self.private / _UNFINISHED).write_text(json.dumps(said))
        # What a task was writing when its run was ended, and nobody will end.
        remove_others(self.parts, list_stems(self.parts))
        known, self.read_anew = known_of(self.out, reading, full=full, scratch=self.staging)
        return known

    def _forget_unfinished(self) -> None:
        state = read_state(self.out)
        remove_others(self.parts, [] if state is None else state.parts)

    # -- staging ---------------------------------------------------------------------------------

    def piece_writer(self) -> PieceWriter:
        """Give a writer for the manifest of this run."""
        return PieceWriter(self.staging / "manifest")

    def staged(self, name: str) -> Path:
        """Give the path under which an output is prepared; its folder exists."""
        path = self.prepared / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @contextmanager
    def open_output(self, name: str) -> Iterator[BinaryIO]:
        """Open one file to be prepared."""
        path = self.staged(name)
        with writing(path), open(path, "wb") as stream:
            yield stream

    # -- publishing ------------------------------------------------------------------------------

    def publish(
        self, catalog: dict[str, Any], state: State, replaced: Sequence[str]
    ) -> dict[str, Any]:
        """Put what is prepared into its place, the catalog file last.

        Parameters
        ----------
        catalog : dict
            Content of ``catalog.json``.
        state : State
            What the next run must know.
        replaced : sequence of str
            Names in OUT that this run answers for: what stood there goes, prepared anew or not.

        Returns
        -------
        dict
            ``catalog.json`` as it was written, with the name of the state.

        Raises
        ------
        OutputError
            A file cannot be put in its place; the previous catalog stands again.
        """
        token = secrets.token_hex(8)
        moves = sorted(entry.name for entry in self.prepared.iterdir())
        index = _index_file(self.out, token)
        write_index(index, self.parts, state.parts)
        state = replace(state, index=check_of(index), published=_sizes(self.prepared))
        with writing(self.private):
            _state_file(self.out, token).write_text(json.dumps(asdict(state)), encoding="utf-8")
        catalog = {**catalog, "state": token}
        self._prepare_catalog(catalog)
        with writing(self.out):
            self._sync(token, state)
            shutil.rmtree(self._previous, ignore_errors=True)
            self._previous.mkdir()
            self._moves.write_text(json.dumps(moves))
            _sync(self._moves)
            _sync(self.private, os.O_RDONLY)
            try:
                for name in (CATALOG, *sorted({*replaced, *moves})):
                    if (self.out / name).exists():
                        os.replace(self.out / name, self._previous / name)
                for name in (*moves, CATALOG):
                    os.replace(self.prepared / name, self.out / name)
                _sync(self.out, os.O_RDONLY)
            except BaseException:
                # An interrupt too: what was set aside is the only catalog there is.
                self._undo_publishing()
                raise
            self._undo_publishing()
        remove_others(self.parts, state.parts)
        return catalog

    def confirm(self, catalog: dict[str, Any], state: State) -> None:
        """Put a new catalog file in place of that of the same catalog: nothing else has changed."""
        self._prepare_catalog(catalog)
        remove_others(self.parts, state.parts)
        with writing(self.out):
            _sync(self.prepared / CATALOG)
            os.replace(self.prepared / CATALOG, self.out / CATALOG)

    def _prepare_catalog(self, catalog: dict[str, Any]) -> None:
        text = json.dumps(catalog, indent=2, ensure_ascii=False) + "\n"
        with self.open_output(CATALOG) as stream:
            # A path that is no UTF-8 has surrogates in it; written so, they are JSON.
            stream.write(text.encode("utf-8", "backslashreplace"))

    def _sync(self, token: str, state: State) -> None:
        """See that all of the catalog is on disk before its names are: the power may fail."""
        files = [self.prepared / name for name in (*state.published, CATALOG)]
        files += [_state_file(self.out, token), _index_file(self.out, token)]
        stems = set(state.parts)
        with os.scandir(self.parts) as items:
            files += [Path(item.path) for item in items if item.name.partition(".")[0] in stems]
        # Many at once: a journal takes them together.
        with ThreadPoolExecutor(_SYNCING) as pool:
            list(pool.map(_sync, files))

    def _undo_publishing(self) -> None:
        """Undo a publishing that did not end, or drop what one that did had set aside.

        The catalog file is the first that is set aside and the last that is put in place: where it
        stands, either nothing has moved or everything. Done twice, or over again after a crash half
        way, it comes to the same.
        """
        if self._moves.exists() and not (self.out / CATALOG).exists():
            self.prepared.mkdir(parents=True, exist_ok=True)
            for name in self._moved_names():
                # What is no longer prepared was put in place; the rest of OUT is not of this run.
                if (self.out / name).exists() and not (self.prepared / name).exists():
                    os.replace(self.out / name, self.prepared / name)
            if self._previous.is_dir():
                names = sorted(entry.name for entry in self._previous.iterdir())
                for name in sorted(names, key=lambda name: name == CATALOG):
                    os.replace(self._previous / name, self.out / name)
        shutil.rmtree(self._previous, ignore_errors=True)
        self._moves.unlink(missing_ok=True)

    def _moved_names(self) -> list[str]:
        try:
            return [str(name) for name in json.loads(self._moves.read_text())]
        except ValueError:  # the machine went down before it was on disk, so nothing had moved
            return []


class _Holder:
    """Who writes in an output folder, said in a file that is touched as long as it lives."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ended = threading.Event()

    def take(self) -> None:
        """Say that it is this process, from now on."""
        began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        said = {"pid": os.getpid(), "host": socket.gethostname(), "began": began}
        self._path.write_text(json.dumps(said))
        threading.Thread(target=self._beat, daemon=True, name="dcmdask-holder").start()

    def drop(self) -> None:
        """Say that it is nobody."""
        self._ended.set()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._ended.wait(_HEARTBEAT):
            with suppress(OSError):
                os.utime(self._path)

    def said(self) -> str | None:
        """Name the process that the file names; None where there is no file."""
        try:
            said = json.loads(self._path.read_text())
            return f"process {said['pid']} on {said['host']}, begun {said['began']}"
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            return "another run"

    def who(self) -> str:
        """Say who writes there."""
        return f"{self.said() or 'another run'} writes there now"

    def lives_elsewhere(self) -> bool:
        """Tell whether a process of another machine has touched the file of late."""
        try:
            elsewhere = json.loads(self._path.read_text())["host"] != socket.gethostname()
            # By the clock of the file system: those of two machines may differ.
            with tempfile.TemporaryFile(dir=self._path.parent) as now:
                age = os.fstat(now.fileno()).st_mtime - self._path.stat().st_mtime
        except (OSError, ValueError, KeyError, TypeError):
            return False
        # A clock that was wrong may have left a time to come.
        return bool(elsewhere) and abs(age) < _STALE


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _sync(path: Path, flags: int = os.O_RDWR) -> None:
    """See that a file is on disk, or, opened to be read, the names in a folder."""
    # Where the system cannot: it is a precaution.
    with suppress(OSError):
        handle = os.open(path, flags | getattr(os, "O_BINARY", 0))
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _state_file(out: Path, token: str) -> Path:
    return out / PRIVATE / f"state-{token}.json"


def _index_file(out: Path, token: str) -> Path:
    return out / PRIVATE / f"state-{token}.index"


def _token(out: Path) -> str | None:
    """Give what names the state of the catalog in an output."""
    catalog = _read_json(out / CATALOG)
    token = catalog.get("state") if isinstance(catalog, dict) else None
    return token if isinstance(token, str) else None


def _is_of_use(out: Path, reading: str, *, full: bool) -> bool:
    """Tell whether what a run that was ended has read is what this one would read."""
    said = _read_json(out / PRIVATE / _UNFINISHED)
    if not isinstance(said, dict) or said.get("reading") != reading:
        return False
    # Where a catalog has been published since, the parts beside its own are what it superseded.
    return said.get("after") == _token(out) and (not full or said.get("full") is True)


def read_state(out: Path) -> State | None:
    """Give what the run that published a catalog left for the next one; None if there is nothing."""
    return _state_of(out, _token(out))


def _state_of(out: Path, token: str | None) -> State | None:
    said = None if token is None else _read_json(_state_file(out, token))
    kinds = {"parts": list, "index": list, "published": dict}
    names = {field.name for field in fields(State)}
    if not isinstance(said, dict) or set(said) != names:
        return None
    if not all(isinstance(said[name], kinds.get(name, str)) for name in names):
        return None
    return State(**said)


def is_whole(out: Path, state: State) -> bool:
    """Tell whether all that was published is there, as large as it was."""
    try:
        return all((out / name).stat().st_size == size for name, size in state.published.items())
    except OSError:
        return False


def _sizes(folder: Path) -> dict[str, int]:
    """Give the size of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _is_intact(index: Path, state: State) -> bool:
    try:
        return check_of(index) == state.index
    except OSError:
        return False


def _why_anew(state: State | None, index: Path, reading: str, *, full: bool) -> str | None:
    """Say why nothing of a catalog is of use; None where it is."""
    if full:
        return "--full"
    if state is None or not _is_intact(index, state):
        return "what was kept of the catalog there is not whole"
    return None if state.reading == reading else "it was read with other settings or releases"


def known_of(out: Path, reading: str, *, full: bool, scratch: Path) -> tuple[Known, str | None]:
    """Give what earlier runs into an output have read.

    Parameters
    ----------
    out : pathlib.Path
        The output.
    reading : str
        Digest of the settings that decide what is read of a file.
    full : bool
        Whether to know nothing of what is published.
    scratch : pathlib.Path
        Folder for an index.

    Returns
    -------
    known : Known
        Of the catalog there, as far as it is of use, and of a run that was ended.
    read_anew : str or None
        Why nothing of the catalog is of use, where there is one.
    """
    token = _token(out)
    state, index = _state_of(out, token), _index_file(out, token or "")
    folder = out / PRIVATE / "parts"
    stems = [] if state is None else state.parts
    there = (out / CATALOG).exists()
    read_anew = _why_anew(state, index, reading, full=full) if there else None
    published = (index, stems) if there and read_anew is None else None
    others = sorted(set(list_stems(folder)) - set(stems))
    unfinished = None
    if others and _is_of_use(out, reading, full=full):
        unfinished = (scratch / "unfinished.index", others)
        write_index(unfinished[0], folder, others)
    return Known(folder, reading, published, unfinished), read_anew


def read_catalog_file(out: Path) -> dict[str, Any]:
    """Give the content of ``catalog.json``.

    Raises
    ------
    CatalogError
        There is none, or it is no JSON object.
    """
    path = out / CATALOG
    deadline = time.monotonic() + _PUBLISHING
    while not path.exists() and _is_publishing(out) and time.monotonic() < deadline:
        time.sleep(_BLINK)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if _is_publishing(out):
            words = "a run was ended while it put the catalog in place"
            raise CatalogError(str(out), words, "run again: it is all there") from error
        raise CatalogError(str(out), "no catalog.json there", "name the --out of a run") from error
    except (OSError, ValueError) as error:
        raise CatalogError(str(out), "catalog.json cannot be read", "run again") from error
    if not isinstance(content, dict):
        raise CatalogError(str(out), "catalog.json is no JSON object", "run again")
    return content


def _is_publishing(out: Path) -> bool:
    return (out / PRIVATE / _MOVES).exists()
