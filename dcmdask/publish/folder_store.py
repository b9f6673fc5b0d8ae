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
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

from filelock import FileLock

from dcmdask.errors import LockedError, OutputError
from dcmdask.marks import has_only_own_names, is_output, write_mark
from dcmdask.own_names import (
    HOLDER,
    LOCK,
    MANIFEST,
    PREVIOUS,
    STAGING,
    UNFINISHED,
    index_name,
    state_name,
)
from dcmdask.publish.catalog_store import CatalogStore
from dcmdask.publish.holder import Holder
from dcmdask.publish.output import (
    CATALOG,
    DEFAULT_MAP,
    OF_PEOPLE,
    Check,
    FolderOutput,
    State,
    state_of,
    token_of,
)
from dcmdask.publish.ownership import (
    catalog_text,
    described,
    is_own_catalog,
    names_right_in,
    proofs_of,
    published_by,
)
from dcmdask.publish.placing import Placing, sync
from dcmdask.publish.projectids import SEED_MAP
from dcmdask.state.folder import names_of
from dcmdask.state.parts import check_of, list_stems, remove_others
from dcmdask.state.previous_runs import write_index
from dcmdask.system import interrupts, locks, modes
from dcmdask.system.writing import writing
from dcmdask.types import PRIVATE

_SYNCING = 16


class FolderStore(CatalogStore):
    """The output folder of a run.

    Parameters
    ----------
    out : pathlib.Path
        The folder; made if it is not there.
    fresh : bool
        Whether to throw away what a run that was ended has read.
    writes : iterable of str
        Names right in it that the run may publish: none may be taken by what is not ours.
    replace : bool
        Whether what is not ours and in the way is moved to a folder beside it, not refused.
    closed : bool
        Whether nobody but the user may reach what is published.
    """

    promises_numbers = True
    output: FolderOutput
    parts: Path

    def __init__(
        self,
        out: Path,
        *,
        fresh: bool = False,
        writes: Iterable[str] = (),
        replace: bool = False,
        closed: bool = False,
    ) -> None:
        own = FolderOutput(out)
        super().__init__(out / PRIVATE / STAGING, own)
        self.out = out
        self.private = own.private
        self._fresh = fresh
        self._writes = set(writes)
        self._replace = replace
        self._closed = closed
        self._before: set[str] = set()
        self._placing = Placing(out, self.private, self.prepared)
        self._lock = FileLock(self.private / LOCK, mode=0o600)
        self._holder = Holder(self.private / HOLDER)
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        try:
            with writing(self.out):
                os.fspath(self.out).encode()
                ways = (self.private, *self.private.parents)
                self._made = [path for path in ways if not path.exists()]
                self._make_private()
            self._take_lock()
        except BaseException as error:
            self._remove_made(locked=isinstance(error, LockedError))
            raise
        try:
            with writing(self.out):
                self._look()
        except BaseException:
            # Refused: all is left as it is.
            self._remove_made(locked=False)
            self._lock.release()
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
        self.out.mkdir(parents=True, exist_ok=True)
        modes.private_folder(self.private)
        write_mark(self.private)

    def _take_lock(self) -> None:
        if not locks.take(self._lock, self.place, "choose another --out"):
            raise LockedError(self.place, self._holder.who(), "wait for it, or end it")
        if self._holder.lives_elsewhere():
            # Some network file systems give a lock to one run on each machine.
            who = self._holder.who()
            self._lock.release()
            raise LockedError(str(self.out), who, "wait for it, or end it")

    def _look(self) -> None:
        """Refuse what is not ours, or move it aside; see to it that OUT can be closed."""
        self._placing.proofs = proofs_of(self.output)
        published = self._published()
        self._before = names_right_in(published)
        # Text, not paths of pathlib: there may be a file a case, and this is part of every night.
        places = [self.place]
        if self._placing.is_half_done():
            # What a run set aside when it was killed is put back before this one reads.
            places.append(f"{self.private}/{PREVIOUS}")
        gone = (
            name
            for name in published
            if not any(os.path.lexists(f"{place}/{name}") for place in places)
        )
        self.missing = [name for name in gone if name not in OF_PEOPLE]
        names = {CATALOG, *self._writes, *self._before, *self._placing.names_at_stake()}
        self._refuse(names)
        if self._closed:
            modes.close(self.out)
            if not modes.is_closed(self.out):
                remedy = "choose another --out, or leave out --private"
                raise OutputError(str(self.out), "its file system keeps no permissions", remedy)

    def _refuse(self, names: Iterable[str]) -> None:
        self.set_aside += self._placing.check(names, replace=self._replace)
        if self._closed and self._placing.aside is not None:
            modes.close(self._placing.aside)

    @property
    def rewritten(self) -> set[str]:
        """Names of published files that Med-ImageTools has written anew."""
        return self._placing.proofs.rewritten

    @property
    def set_aside_in(self) -> str | None:
        """Name in OUT of the folder to which what was not ours was moved, if anything was."""
        aside = self._placing.aside
        return None if aside is None else aside.name

    def _published(self) -> Mapping[str, Check]:
        """Return what was published by the catalog that is there, or was set aside by a crash."""
        for place in (self.out, self.private / PREVIOUS):
            text = FolderOutput(place).catalog()
            state = state_of(self.output, token_of(text))
            if text is not None:
                return published_by(text) if state is None else state.published
        return {}

    def _begin(self) -> None:
        self.interrupted = self._holder.said()
        self._holder.take()
        if not modes.is_closed(self.private):
            # Of a release that left it open.
            modes.close_tree(self.private)
        self._placing.undo()
        shutil.rmtree(self.staging, ignore_errors=True)
        for folder in (self.staging / MANIFEST, self.staging / "publish", self.parts):
            modes.private_folder(folder)
        if self._fresh:
            self._forget_unfinished()

    def _leave(self) -> None:
        """Leave what is published and what was read; let go of the lock last."""
        with suppress(OSError, OutputError):
            # Where this fails, what was set aside stays, and the next run does it again.
            self._placing.undo()
            shutil.rmtree(self.staging, ignore_errors=True)
        stems = self._tidy()
        self._holder.drop()
        is_kept = self._placing.has_set_aside or is_own_catalog(self.output.catalog())
        empty = not (stems or is_kept or any(self.private.glob("state-*")))
        if empty:
            self._remove_private()
        self._lock.release()
        if empty:
            self._remove_made(locked=False)

    def _tidy(self) -> list[str]:
        """Remove what neither the catalog nor the next run needs; give the parts that stay."""
        stems = list_stems(self.parts)
        remove_others(self.parts, stems)
        token = self._token()
        state = state_of(self.output, token)
        for path in self.private.glob("state-*"):
            if path.stem != f"state-{token}" and not (token is None and self._proves(path)):
                _remove(path)
        if not set(stems) - set(state.parts if state else ()):
            _remove(self.private / UNFINISHED)
        return stems

    def _proves(self, path: Path) -> bool:
        """Tell whether a state is all that says of files which are there that they are ours."""
        state = state_of(self.output, path.stem.removeprefix("state-"))
        names = () if state is None else names_right_in(state.published)
        return any(os.path.lexists(self.out / name) for name in names)

    def _remove_private(self) -> None:
        """Remove what a run keeps for itself, and nothing else that may lie there."""
        shutil.rmtree(self.staging, ignore_errors=True)
        for name in names_of(self.private):
            path = self.private / name
            if not has_only_own_names([name]):
                continue
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        with suppress(OSError):
            self.private.rmdir()

    def _remove_made(self, *, locked: bool) -> None:
        """Remove the folders that entering made, as far as nothing lies in them."""
        if self.private in self._made and not locked and self.private.is_dir():
            self._remove_private()
        for path in dict.fromkeys((self.private, *self._made)):
            with suppress(OSError):
                path.rmdir()

    # -- what is known ---------------------------------------------------------------------------

    def _keep(self, name: str, said: dict[str, Any]) -> None:
        fresh = self.staging / name
        with writing(self.private):
            with open(fresh, "w", encoding="utf-8", opener=modes.private_opener) as stream:
                json.dump(said, stream)
            os.replace(fresh, self.private / name)

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

    # -- publishing ------------------------------------------------------------------------------

    def publish(self, catalog: dict[str, Any], state: State) -> dict[str, Any]:
        """Put what is prepared into its place, the catalog file last.

        What the catalog before had published goes, prepared anew or not.

        Parameters
        ----------
        catalog : dict
            Content of ``catalog.json``.
        state : State
            What the next run must know.

        Returns
        -------
        dict
            ``catalog.json`` as it was written, with the name of the state.

        Raises
        ------
        OutputError
            A file cannot be put in its place, or a name was taken meanwhile; the previous catalog
            stands again.
        """
        token = secrets.token_hex(8)
        moves = sorted(entry.name for entry in self.prepared.iterdir())
        index = self.private / index_name(token)
        write_index(index, self.parts, state.parts)
        with writing(self.out):
            published = self._sync(state, index)
            state = replace(state, index=check_of(index), published=published)
            self._keep(state_name(token), asdict(state))
            catalog = {**catalog, "state": token, "published": described(published)}
            self._prepare_catalog(catalog)
            _sync_all([self.private / state_name(token), self.prepared / CATALOG])
            # Somebody may have put something there since the run began.
            self._refuse({CATALOG, *self._before, *moves})
            self._placing.proofs.add(published)
            interrupts.hold()
            self._placing.place(moves, self._before)
            if self._closed:
                self._close(())
        remove_others(self.parts, state.parts)
        return catalog

    def confirm(self, catalog: dict[str, Any], state: State) -> None:
        """Put a new catalog file in place of that of the same catalog: nothing else has changed."""
        remove_others(self.parts, state.parts)
        with writing(self.out):
            self._prepare_catalog(catalog)
            sync(self.prepared / CATALOG)
            self._refuse({CATALOG})
            interrupts.hold()
            os.replace(self.prepared / CATALOG, self.out / CATALOG)
            self._confirm_published(catalog["state"])

    def _confirm_published(self, token: str) -> None:
        """Note the times of files that were the same although they had another; close all files."""
        state, renewed = state_of(self.output, token), self._placing.proofs.renewed
        if state is None:
            return
        if renewed.keys() & state.published.keys():
            known = {name: renewed.get(name, check) for name, check in state.published.items()}
            self._keep(state_name(token), asdict(replace(state, published=known)))
        if self._closed:
            self._close({CATALOG, *state.published, *names_right_in(state.published)})

    def _close(self, names: Iterable[str]) -> None:
        for name in {*names, *OF_PEOPLE}:
            if os.path.lexists(self.out / name):
                modes.close(self.out / name)

    def _prepare_catalog(self, catalog: dict[str, Any]) -> None:
        with self.open_output(CATALOG) as stream:
            stream.write(catalog_text(catalog))
        if self._closed:
            modes.close_tree(self.prepared)
        else:
            modes.open_tree(self.prepared, modes.usual_modes(self.staging))

    def _sync(self, state: State, index: Path) -> dict[str, Check]:
        """See that what is published and kept is on disk before its names are: the power may fail.

        Parameters
        ----------
        state : State
            What is kept for the next run.
        index : pathlib.Path
            Of the parts.

        Returns
        -------
        dict
            Name in OUT to `Check` of what is prepared.
        """
        stems = set(state.parts)
        with os.scandir(self.parts) as items:
            kept = [Path(item.path) for item in items if item.name.partition(".")[0] in stems]

        def check(name: str) -> Check:
            sync(self.prepared / name)
            return self.check(name)

        # Many at once: a journal takes them together.
        with ThreadPoolExecutor(_SYNCING) as pool:
            names = self.names()
            checks = pool.map(check, names)
            list(pool.map(sync, [index, *kept]))
            return dict(zip(names, checks, strict=True))


def _sync_all(paths: Sequence[Path]) -> None:
    with ThreadPoolExecutor(len(paths)) as pool:
        list(pool.map(sync, paths))


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


def read_state(out: Path) -> State | None:
    """Give what the run that published a catalog left for the next one; None if there is nothing."""
    output = FolderOutput(out)
    return state_of(output, token_of(output.catalog()))
