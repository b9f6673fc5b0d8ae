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
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from dcmdask import interrupts
from dcmdask.errors import LockedError, OutputError
from dcmdask.known import Known, write_index
from dcmdask.marks import MARK, has_only_own_names, is_output, write_mark
from dcmdask.output import (
    CATALOG,
    DEFAULT_MAP,
    MOVES,
    UNFINISHED,
    FolderOutput,
    State,
    index_name,
    is_of_use,
    known_of,
    state_name,
    state_of,
    token_of,
)
from dcmdask.parts import check_of, list_stems, remove_others
from dcmdask.projectids import SEED_MAP
from dcmdask.staging import Staging
from dcmdask.types import PRIVATE
from dcmdask.writing import output_error, writing

FOLDERS = ("cases", "instances")
"""Folders of a catalog: such a one in an OUT without a catalog is the user's, and is not touched."""

_HEARTBEAT = 10.0
_STALE = 60.0
"""Seconds without a heartbeat after which a run on another machine is taken for dead."""
_SYNCING = 16


class Store(Staging):
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
        super().__init__(out / PRIVATE / "staging")
        self.out = out
        self.place = str(out)
        self.output = FolderOutput(out)
        self.private = self.output.private
        self.parts = self.output.parts
        self.interrupted: str | None = None
        self.read_anew: str | None = None
        self._fresh = fresh
        self._previous = self.private / "previous"
        self._moves = self.private / MOVES
        self._lock = FileLock(self.private / "lock")
        self._holder = _Holder(self.private / "holder.json")
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        try:
            with writing(self.out):
                os.fspath(self.out).encode()
                ways = (self.private, *self.private.parents)
                self._made = [path for path in ways if not path.exists()]
                self._make_private()
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

    def _make_private(self) -> None:
        """Make the folder that a run keeps for itself; refuse one of that name that no run made."""
        own = self.private.is_dir() and not self.private.is_symlink()
        if own and not is_output(self.out):
            # A run that was killed at its very beginning left no mark, and nothing else either.
            own = has_only_own_names(os.listdir(self.private))
        if not own and os.path.lexists(self.private):
            words = "it is there and no run made it"
            raise OutputError(str(self.private), words, "choose another --out, or move it away")
        self.private.mkdir(parents=True, exist_ok=True)
        write_mark(self.private)

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
        token = self._token()
        state = state_of(self.output, token)
        for path in self.private.glob("state-*"):
            if path.stem != f"state-{token}":
                _remove(path)
        if not set(stems) - set(state.parts if state else ()):
            _remove(self.private / UNFINISHED)
        return stems

    def _remove_made(self) -> None:
        """Remove the folders that entering made, as far as nothing lies in them."""
        if self.private in self._made:
            _remove(self.private / MARK)
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
        token = self._token()
        if not is_of_use(self.output, token, reading, full=full):
            self._forget_unfinished()
        said = {"reading": reading, "full": full, "after": token}
        with writing(self.private):
            (self.private / UNFINISHED).write_text(json.dumps(said))
        # What a task was writing when its run was ended, and nobody will end.
        remove_others(self.parts, list_stems(self.parts))
        known, self.read_anew, _ = known_of(self.output, reading, full=full, scratch=self.staging)
        return known

    def _token(self) -> str | None:
        return token_of(self.output.catalog())

    def numbers(self) -> Path:
        """Give the file of ProjectIDs in OUT, whether it is there or not."""
        return self.out / DEFAULT_MAP

    def seed_map(self) -> Path:
        """Return the file of ProjectIDs that the case extractor leaves, there or not."""
        return self.out / SEED_MAP

    def reading(self) -> dict[str, Any]:
        """Give what a worker must know of where parts go: fields of `ReadOptions`."""
        return {"parts": str(self.parts)}

    def took(self, stem: str) -> None:
        """Note that a worker has left a part."""

    def _forget_unfinished(self) -> None:
        state = read_state(self.out)
        remove_others(self.parts, [] if state is None else state.parts)

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
        index = self.private / index_name(token)
        write_index(index, self.parts, state.parts)
        state = replace(state, index=check_of(index), published=self.sizes())
        with writing(self.private):
            (self.private / state_name(token)).write_text(
                json.dumps(asdict(state)), encoding="utf-8"
            )
        catalog = {**catalog, "state": token}
        self._prepare_catalog(catalog)
        with writing(self.out):
            self._sync(token, state)
            interrupts.hold()
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
            interrupts.hold()
            os.replace(self.prepared / CATALOG, self.out / CATALOG)

    def _prepare_catalog(self, catalog: dict[str, Any]) -> None:
        text = json.dumps(catalog, indent=2, ensure_ascii=False) + "\n"
        with self.open_output(CATALOG) as stream:
            # A path that is no UTF-8 has surrogates in it; written so, they are JSON.
            stream.write(text.encode("utf-8", "backslashreplace"))

    def _sync(self, token: str, state: State) -> None:
        """See that all of the catalog is on disk before its names are: the power may fail."""
        files = [self.prepared / name for name in (*state.published, CATALOG)]
        files += [self.private / state_name(token), self.private / index_name(token)]
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


def read_state(out: Path) -> State | None:
    """Give what the run that published a catalog left for the next one; None if there is nothing."""
    output = FolderOutput(out)
    return state_of(output, token_of(output.catalog()))
