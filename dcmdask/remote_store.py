"""Take tables and bytes; keep them in an output that is a prefix of a store: parts, publishing, lease.

A store has no rename and no folders, but a write is seen whole or not at all. So nothing that is
published is ever written over, with one exception: every catalog has a folder of its own, and the
one small object that names it is written last, on the condition that it is still the one that this
run began with. Parts go there as they are finished, so that a run can be resumed from anywhere.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

from dcmdask import interrupts, scratch
from dcmdask.config import RemoteOptions
from dcmdask.errors import HeaderError, LockedError, OutputError, StoreError
from dcmdask.folder import (
    StoreFolder,
    discard,
    is_absent,
    reaching,
    read_now,
    upload,
)
from dcmdask.known import Known, write_index
from dcmdask.lease import Lease
from dcmdask.manifest import PieceWriter
from dcmdask.output import (
    CATALOG,
    DEFAULT_MAP,
    PARTS,
    UNFINISHED,
    State,
    StoreOutput,
    index_name,
    is_of_use,
    known_of,
    state_name,
    state_of,
    token_of,
)
from dcmdask.parts import Parts, check_of, list_stems, names_of_part, remove_others
from dcmdask.projectids import SEED_MAP, greatest_beside
from dcmdask.remote.address import Address
from dcmdask.remote.client import ConflictError
from dcmdask.staging import Staging
from dcmdask.types import CATALOG_FOLDER, PRIVATE
from dcmdask.writing import writing

_HOLDER = "holder.json"
_MANIFEST = "manifest"
_FOLDER = "catalog-"
_OF_THIS_PROCESS = ("memory",)
"""Protocols of stores that the processes which read do not see."""


class RemoteStore(Staging):
    """The output of a run in a store.

    Parameters
    ----------
    url : str
        Of its prefix.
    options : RemoteOptions
        How to reach it.
    fresh : bool
        Whether to throw away what a run that was ended has read.
    elsewhere : bool
        Whether workers of other machines read the manifest.

    Attributes
    ----------
    place : str
        The URL.
    output : StoreOutput
        What is in it.
    parts : StoreFolder
        Of the parts.
    interrupted, read_anew : str or None
        As of `dcmdask.store.Store`.

    Notes
    -----
    Use it as a context, as `dcmdask.store.Store`. What is prepared and what was fetched lie in a
    temporary folder of this machine; nothing that a later run needs does.
    """

    def __init__(
        self, url: str, options: RemoteOptions, *, fresh: bool = False, elsewhere: bool = False
    ) -> None:
        own = scratch.make_for(self)
        super().__init__(own / "staging")
        self.output = StoreOutput(url, options, own)
        self.place = self.output.place
        self.parts = self.output.parts
        self.interrupted: str | None = None
        self.read_anew: str | None = None
        self._options = options
        self._token = secrets.token_hex(8)
        self._fresh = fresh
        self._elsewhere = elsewhere
        self._scratch = own
        self._remote = self.output.remote
        self._private = self.output.private
        self._lease = Lease(self._remote, self.output.key(f"{PRIVATE}/{_HOLDER}"), self.place)
        for folder in (self.parts, self._private):
            folder.may_remove = lambda: self._lease.is_held

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._leave, reachable=False)
            # A bucket that is missing is named by whoever lists, not by whoever writes.
            self._private.sizes()
            self.interrupted = self._lease.take()
            stack.pop_all()
        try:
            for folder in ("manifest", "publish"):
                (self.staging / folder).mkdir(parents=True)
            # Between the look at the bucket and the lease another run may have ended.
            self._private.look_again()
            self.output.catalog()
            if self._fresh:
                self._forget_unfinished()
        except BaseException as error:
            self._leave(reachable=not isinstance(error, StoreError))
            raise
        return self

    def __exit__(self, _kind: object, error: object, _trace: object) -> None:
        # Of one that does not answer nothing more is asked: that would take its time.
        self._leave(reachable=not isinstance(error, StoreError))

    def _leave(self, *, reachable: bool) -> None:
        """Leave what is published and what was read; let go of the lease last."""
        try:
            if reachable:
                # Where this fails, the next run does it.
                with suppress(OutputError, StoreError, HeaderError):
                    # This process may have been stopped for an hour, and be the wrong one by now.
                    self._lease.renew()
                    self._tidy()
                with suppress(OutputError, StoreError, HeaderError):
                    self._lease.drop()
        finally:
            self._lease.end()
            self.parts.close()
            self._private.close()
            scratch.discard(self._scratch)

    def _tidy(self) -> None:
        """Remove what neither the catalog nor the next run needs."""
        self.parts.look_again()
        stems = list_stems(self.parts)
        remove_others(self.parts, stems)
        token = token_of(self.output.catalog())
        state = state_of(self.output, token)
        names = self._private.look_again()
        self._private.remove(
            [n for n in names if n.startswith("state-") and n.split(".")[0] != f"state-{token}"]
        )
        if not set(stems) - set(state.parts if state else ()):
            self._private.remove([UNFINISHED])
        self._remove_below(f"{PRIVATE}/{_MANIFEST}/")
        with reaching(self.place):
            levels = [level.prefixes for level in self._remote.levels(self.output.key(""))]
        own = len(self.output.key(""))
        for prefix in (prefix[own:] for prefixes in levels for prefix in prefixes):
            if CATALOG_FOLDER.fullmatch(prefix.rstrip("/")) and prefix != f"{self.output.folder}/":
                self._remove_below(prefix)

    def _remove_below(self, prefix: str) -> None:
        if not self._lease.is_held:
            return
        with reaching(self.place):
            try:
                pages = self._remote.pages(self.output.key(prefix))
                keys = [one.key for page in pages for one in page]
            except HeaderError as error:
                if not is_absent(error):
                    raise
                return
            discard(self._remote, keys)

    # -- what is known ---------------------------------------------------------------------------

    def known(self, reading: str, *, full: bool) -> Known:
        """Give what earlier runs have read that is of use to this one: as `dcmdask.store.Store`."""
        token = token_of(self.output.catalog())
        if not is_of_use(self.output, token, reading, full=full):
            self._forget_unfinished()
        said = {"reading": reading, "full": full, "after": token}
        self._write(UNFINISHED, said)
        # What a task was writing when its run was ended, and nobody will end.
        remove_others(self.parts, list_stems(self.parts))
        known, self.read_anew, _ = known_of(self.output, reading, full=full, scratch=self.staging)
        return known

    def _write(self, name: str, said: dict[str, Any]) -> None:
        path = self._private.mirror / name
        with writing(path):
            path.write_text(json.dumps(said), encoding="utf-8")
        self._private.keep([name])

    def _forget_unfinished(self) -> None:
        state = state_of(self.output, token_of(self.output.catalog()))
        remove_others(self.parts, [] if state is None else state.parts)

    def numbers(self) -> Path:
        """Give the file of ProjectIDs of the catalog, whether there is one or not."""
        path = self._scratch / DEFAULT_MAP
        for own in (path, greatest_beside(path)):
            if not own.exists():
                with suppress(FileNotFoundError):
                    self.output.fetch(own.name)
        return path

    def seed_map(self) -> Path:
        """Return the file of ProjectIDs that the case extractor leaves, there or not."""
        path = self._scratch / SEED_MAP
        if not path.exists():
            with reaching(self.place):
                found = read_now(self._remote, self.output.key(SEED_MAP))
            if found is not None:
                path.write_bytes(found[0])
        return path

    # -- while it is read ------------------------------------------------------------------------

    def reading(self) -> dict[str, Any]:
        """Give what a worker must know of where parts go: fields of `ReadOptions`."""
        if self._is_of_this_process:
            return {"parts": str(self.parts.mirror)}
        return {"parts": self.parts.url, "mirror": str(self.parts.mirror)}

    @property
    def _is_of_this_process(self) -> bool:
        return Address.parse(self.place).protocol in _OF_THIS_PROCESS

    def took(self, stem: str) -> None:
        """Note that a worker has left a part; put it into a store that the worker cannot see.

        Raises
        ------
        LockedError
            This run was taken for dead: what it reads now it would read in vain.
        """
        self._lease.check()
        if self._is_of_this_process:
            files, summary = names_of_part(stem)
            self.parts.keep([name for name in files if (self.parts.mirror / name).exists()])
            self.parts.keep([summary])

    def piece_writer(self) -> PieceWriter:
        """Give a writer for the manifest of this run."""
        if not self._elsewhere:
            return super().piece_writer()
        url = f"{self.place}/{PRIVATE}/{_MANIFEST}/{secrets.token_hex(8)}"
        return PieceWriter(StoreFolder(url, self._options, self.staging / "manifest"))

    # -- publishing ------------------------------------------------------------------------------

    def publish_instances(self, parts: Parts) -> list[str]:
        """Give the names of the files of instances in OUT: those of the parts that hold them."""
        return [f"{PRIVATE}/{PARTS}/{name}" for name in parts.instance_names()]

    def send(self) -> None:
        """Put what is prepared into a folder that nothing names yet."""
        numbers = self.numbers()
        for before in (numbers, greatest_beside(numbers)):
            if before.exists() and not (self.prepared / before.name).exists():
                # Those of the catalog before stay: they are promised for ever.
                with self.open_output(before.name) as stream:
                    stream.write(before.read_bytes())
        names = [f"{_FOLDER}{self._token}/{name}" for name in self.sizes()]
        own = [self.prepared / name for name in self.sizes()]
        upload(self._remote, list(zip(map(self.output.key, names), own, strict=True)))

    def publish(
        self,
        catalog: dict[str, Any],
        state: State,
        replaced: Sequence[str],  # noqa: ARG002 - every catalog has a folder of its own
    ) -> dict[str, Any]:
        """Name the folder that what is prepared was sent to.

        Parameters
        ----------
        catalog : dict
            Content of ``catalog.json``.
        state : State
            What the next run must know.
        replaced : sequence of str
            As of `dcmdask.store.Store`.

        Returns
        -------
        dict
            ``catalog.json`` as it was written, with the names of its state and its folder.

        Raises
        ------
        LockedError
            Another run has taken the place of this one, or published since it began.
        OutputError, StoreError
            The store does not take it. The previous catalog stands.
        """
        token = self._token
        index = self._private.mirror / index_name(token)
        write_index(index, self.parts, state.parts)
        state = replace(state, index=check_of(index), published=self.sizes())
        self._private.keep([index_name(token)])
        self._write(state_name(token), asdict(state))
        catalog = {**catalog, "state": token, "folder": f"{_FOLDER}{token}"}
        before = self._files_beside()
        self._name(catalog)
        with suppress(OutputError, StoreError, HeaderError):
            # It is published, whatever becomes of what was there before.
            remove_others(self.parts, state.parts)
            self._discard(before)
        return catalog

    def confirm(self, catalog: dict[str, Any], state: State) -> None:
        """Put a new catalog file in place of that of the same catalog: nothing else has changed."""
        self._name(catalog)
        with suppress(OutputError, StoreError, HeaderError):
            remove_others(self.parts, state.parts)

    def _files_beside(self) -> list[str]:
        """Give the files of a catalog that lies beside its catalog file: a copy of a local one."""
        if self.output.folder:
            return []
        state = state_of(self.output, token_of(self.output.catalog()))
        return [self.output.key(name) for name in (state.published if state else ())]

    def _discard(self, keys: Iterable[str]) -> None:
        if self._lease.is_held:
            discard(self._remote, keys)

    def _name(self, catalog: dict[str, Any]) -> None:
        """Write the catalog file, if it is still the one that this run knows of."""
        text = json.dumps(catalog, indent=2, ensure_ascii=False) + "\n"
        # A path that is no UTF-8 has surrogates in it; written so, they are JSON.
        content = text.encode("utf-8", "backslashreplace")
        tag = self.output.tag
        interrupts.hold()
        # Now that all is there: where another run took this one for dead, it is that one's turn.
        self._lease.renew()
        try:
            with reaching(self.place):
                self._remote.put(self.output.key(CATALOG), content, tag)
        except ConflictError as error:
            # An answer may have been lost, and the attempt after it met what it had written itself.
            if self.output.catalog() != content:
                words = "another run has published there since this one began"
                raise LockedError(self.place, words, "run again") from error
        else:
            self.output.catalog()
