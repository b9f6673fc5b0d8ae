"""Take tables and bytes; keep them in an output that is a prefix of a store: parts, publishing, lease.

A store has no rename and no folders, but a write is seen whole or not at all. So nothing that is
published is ever written over, with one exception: every catalog has a folder of its own, and the
one small object that names it is written last, on the condition that it is still the one that this
run began with. Parts go there as they are finished, so that a run can be resumed from anywhere.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

from dcmdask.config import RemoteOptions
from dcmdask.errors import HeaderError, LockedError, OutputError, StoreError
from dcmdask.marks import has_only_own_names, names_an_output
from dcmdask.own_names import (
    HOLDER,
    MANIFEST,
    PARTS,
    PIECE,
    RECORD,
    STAGING,
    UNFINISHED,
    index_name,
    sent_name,
    state_name,
)
from dcmdask.publish.catalog_store import CatalogStore
from dcmdask.publish.lease import Lease
from dcmdask.publish.output import (
    CATALOG,
    DEFAULT_MAP,
    OF_PEOPLE,
    Check,
    State,
    StoreOutput,
    json_object,
    state_of,
    token_of,
)
from dcmdask.publish.ownership import (
    Stranger,
    catalog_text,
    described,
    is_like_a_catalog,
    is_object,
    is_own_catalog,
    read_check,
    refusal,
)
from dcmdask.publish.projectids import SEED_MAP, greatest_beside
from dcmdask.remote.address import Address
from dcmdask.remote.client import ConflictError, Listed
from dcmdask.state.folder import StoreFolder, discard, is_absent, reaching, read_now, upload
from dcmdask.state.manifest import PieceWriter
from dcmdask.state.parts import Parts, check_of, list_stems, names_of_part, remove_others
from dcmdask.state.previous_runs import write_index
from dcmdask.system import interrupts, scratch
from dcmdask.system.writing import writing
from dcmdask.types import PRIVATE

_FOLDER = "catalog-"
_OF_THIS_PROCESS = ("memory",)
"""Protocols of stores that the processes which read do not see."""


class BucketStore(CatalogStore):
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
    replace : bool
        Whether a ``catalog.json`` that is not ours is moved to a prefix beside it, not refused.

    Notes
    -----
    What is prepared and what was fetched lie in a temporary folder of this machine; nothing that a later run needs does.
    """

    promises_numbers = False
    output: StoreOutput
    parts: StoreFolder

    def __init__(
        self,
        url: str,
        options: RemoteOptions,
        *,
        fresh: bool = False,
        elsewhere: bool = False,
        replace: bool = False,
    ) -> None:
        own = scratch.make_for(self)
        super().__init__(own / STAGING, StoreOutput(url, options, own))
        self._set_aside_in: str | None = None
        self._replace = replace
        self._refused = False
        self._etags: dict[str, str | None] = {}
        self._began_with: str | None = None
        self._options = options
        self._token = secrets.token_hex(8)
        self._fresh = fresh
        self._elsewhere = elsewhere
        self._scratch = own
        self._remote = self.output.remote
        self._private = self.output.private
        self._lease = Lease(self._remote, self.output.key(f"{PRIVATE}/{HOLDER}"), self.place)
        for folder in (self.parts, self._private):
            folder.may_remove = lambda: self._lease.is_held

    @property
    def set_aside_in(self) -> str | None:  # noqa: D102 - as of every store
        return self._set_aside_in

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._leave, reachable=False)
            # A bucket that is missing is named by whoever lists, not by whoever writes.
            names = self._private.sizes()
            if not names_an_output(names):
                # Nothing is written where nothing of ours is and something else has our names.
                self._look(names, replace=False)
            self.interrupted = self._lease.take()
            stack.pop_all()
        try:
            for folder in (MANIFEST, "publish"):
                (self.staging / folder).mkdir(parents=True)
            # Between the look at the bucket and the lease another run may have ended.
            self._look(self._private.look_again(), replace=self._replace)
            if self._fresh:
                self._forget_unfinished()
        except BaseException as error:
            self._leave(reachable=not isinstance(error, StoreError))
            raise
        return self

    def __exit__(self, _kind: object, error: object, _trace: object) -> None:
        # Of one that does not answer nothing more is asked: that would take its time.
        self._leave(reachable=not isinstance(error, StoreError))

    def _look(self, names: Iterable[str], *, replace: bool) -> None:
        """Refuse what is not ours and has a name that a run gives, or move it aside."""
        if not names_an_output(names) and not has_only_own_names(names):
            words = "it is there and no run made it"
            place = f"{self.place}/{PRIVATE}"
            raise OutputError(place, words, "choose another --out, or move it away")
        text = self.output.catalog()
        if text is None or is_own_catalog(text):
            self._began_with = token_of(text)
            return
        if replace:
            self._move_aside(text)
        elif not self._replace:
            self._refused = True
            raise refusal(self.place, [Stranger(CATALOG, is_like_a_catalog(text))])

    def _move_aside(self, text: bytes) -> None:
        """Move the catalog file to a prefix of its own: a copy first, which must be a new key."""
        folder = f"replaced-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        try:
            with reaching(self.place):
                self._remote.put(self.output.key(f"{folder}/{CATALOG}"), text, "")
                self._remote.delete([self.output.key(CATALOG)])
        except ConflictError as error:
            raise OutputError(f"{self.place}/{folder}", "it is there", "run again") from error
        self.set_aside, self._set_aside_in = [CATALOG], folder
        self.output.catalog()

    def _leave(self, *, reachable: bool) -> None:
        """Leave what is published and what was read; let go of the lease last."""
        try:
            if reachable:
                # Where this fails, the next run does it.
                with suppress(OutputError, StoreError, HeaderError):
                    # This process may have been stopped for an hour, and be the wrong one by now.
                    self._lease.renew()
                    if not self._refused:
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
        for other in _superseded(names, token):
            self._remove_catalog(other)
            records = (state_name(other), index_name(other), sent_name(other))
            self._private.remove([name for name in records if name in names])
        if token is not None:
            self._private.remove([sent_name(token)])
        if not set(stems) - set(state.parts if state else ()):
            self._private.remove([UNFINISHED])
        manifest = f"{PRIVATE}/{MANIFEST}/"
        self._remove(manifest, lambda name, _one: PIECE.fullmatch(name) is not None)

    def _remove_catalog(self, token: str) -> None:
        """Remove the files of a catalog that none names any more, as far as they are as written."""
        state = state_of(self.output, token)
        published = self._sent(token) if state is None else dict(state.published)
        read = [self._scratch / name for name in OF_PEOPLE] if token == self._began_with else []
        # Numbers that people have edited: they were read, and are in the catalog after it.
        published |= {path.name: read_check(path) for path in read if path.exists()}

        def is_own(name: str, one: Listed) -> bool:
            check = published.get(name)
            return check is not None and is_object(self._remote, check, one, self._scratch)

        self._remove(f"{_FOLDER}{token}/", is_own)

    def _sent(self, token: str) -> dict[str, Check]:
        """Return what a run was about to send when it was ended."""
        try:
            said = json_object(self._private.read(sent_name(token))) or {}
            return {name: Check(int(size)) for name, size in said.items()}
        except (ValueError, TypeError):
            return {}

    def _remove(self, prefix: str, is_own: Callable[[str, Listed], bool]) -> None:
        """Remove what is ours below a prefix."""
        if not self._lease.is_held:
            return
        own = self.output.key(prefix)
        with reaching(self.place):
            try:
                found = [one for page in self._remote.pages(own) for one in page]
            except HeaderError as error:
                if not is_absent(error):
                    raise
                return
            discard(self._remote, [one.key for one in found if is_own(one.key[len(own) :], one)])

    # -- what is known ---------------------------------------------------------------------------

    def _keep(self, name: str, said: dict[str, Any]) -> None:
        path = self._private.mirror / name
        with writing(path):
            path.write_text(json.dumps(said), encoding="utf-8")
        self._private.keep([name])

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
        url = f"{self.place}/{PRIVATE}/{MANIFEST}/{secrets.token_hex(8)}"
        return PieceWriter(StoreFolder(url, self._options, self.staging / MANIFEST))

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
        names = self.names()
        own = [self.prepared / name for name in names]
        # First what will be there: should this run be killed, the next one knows what is its.
        self._keep(
            sent_name(self._token),
            {name: path.stat().st_size for name, path in zip(names, own, strict=True)},
        )
        keys = [self.output.key(f"{_FOLDER}{self._token}/{name}") for name in names]
        tags = upload(self._remote, list(zip(keys, own, strict=True)))
        self._etags = dict(zip(names, tags, strict=True))

    def publish(self, catalog: dict[str, Any], state: State) -> dict[str, Any]:
        """Name the folder that what is prepared was sent to.

        Parameters
        ----------
        catalog : dict
            Content of ``catalog.json``.
        state : State
            What the next run must know.

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
        published = {
            name: self.check(name)._replace(modified=None, etag=tag)
            for name, tag in self._etags.items()
        }
        state = replace(state, index=check_of(index), published=published)
        self._private.keep([index_name(token)])
        self._keep(state_name(token), asdict(state))
        catalog = {
            **catalog,
            "state": token,
            "folder": f"{_FOLDER}{token}",
            "published": described(published),
        }
        before = self._files_beside()
        self._name(catalog)
        with suppress(OutputError, StoreError, HeaderError):
            # It is published, whatever becomes of what was there before.
            self._private.remove([sent_name(token)])
            remove_others(self.parts, state.parts)
            self._discard(before)
        return catalog

    def confirm(self, catalog: dict[str, Any], state: State) -> None:
        """Put a new catalog file in place of that of the same catalog: nothing else has changed."""
        self._name(catalog)
        with suppress(OutputError, StoreError, HeaderError):
            remove_others(self.parts, state.parts)

    def _files_beside(self) -> list[str]:
        """Return the files of a catalog that lies beside its catalog file: a copy of a local one.

        As far as they are what was copied: each is read, as its entity tag says nothing of that.
        """
        # The catalog file is not read again: its tag is that of the one this run began with.
        state = None if self.output.folder else state_of(self.output, self._began_with)
        if state is None:
            return []
        there = self.output.listed()
        found = [(there[name], check) for name, check in state.published.items() if name in there]
        return [
            one.key for one, check in found if is_object(self._remote, check, one, self._scratch)
        ]

    def _discard(self, keys: Iterable[str]) -> None:
        if self._lease.is_held:
            discard(self._remote, keys)

    def _name(self, catalog: dict[str, Any]) -> None:
        """Write the catalog file, if it is still the one that this run knows of."""
        content = catalog_text(catalog)
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


def _superseded(names: Iterable[str], current: str | None) -> list[str]:
    """Return the catalogs that were, or were to be, and are not the one that is named."""
    found = [match for match in map(RECORD.fullmatch, names) if match and match[2] != current]
    # Where none is named, that may be somebody's mistake: only what never was is superseded.
    return sorted({one[2] for one in found if one[1] == "sent" or current is not None})
