"""ProjectIDs of a run: where they are kept, which are known, and when new ones are promised."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from dcmdask.assemble.outputs import PUBLISHED
from dcmdask.config import RunOptions
from dcmdask.errors import OutputError, UsageError
from dcmdask.publish.catalog_store import CatalogStore
from dcmdask.publish.output import CATALOG, DEFAULT_MAP
from dcmdask.publish.projectids import (
    Numbers,
    assign_project_ids,
    contents,
    give_numbers,
    greatest_beside,
    known_numbers,
    read_numbers,
)
from dcmdask.remote.address import is_url
from dcmdask.remote.credentials import public_url
from dcmdask.system import modes
from dcmdask.types import PRIVATE


def own_map(options: RunOptions, out: Path | str) -> Path | None:
    """Give the file of ProjectIDs, unless it is the one in OUT.

    What cannot become one is said now, not after the crawl.
    """
    if options.projectid_map is None:
        return None
    if is_url(options.projectid_map):
        words = f"--projectid-map {public_url(options.projectid_map)}"
        raise UsageError(words, "name a file of this machine; without it they are kept in OUT")
    path = Path(options.projectid_map).expanduser().absolute()
    inside = Path(os.path.realpath(path))
    if isinstance(out, Path):
        if inside == Path(os.path.realpath(out / DEFAULT_MAP)):
            return None
        with suppress(ValueError):
            parts = inside.relative_to(os.path.realpath(out)).parts
            if not parts or parts[0] in (*PUBLISHED, CATALOG, PRIVATE):
                raise UsageError(
                    f"--projectid-map {path} lies in what a run replaces", "name a file beside it"
                )
    holder = next(parent for parent in path.parents if parent.exists())
    if not holder.is_dir() or not os.access(holder, os.W_OK | os.X_OK):
        words = "no permission to write" if holder.is_dir() else "no folder"
        raise OutputError(str(holder), words, "choose another --projectid-map")
    return path


class Numbering:
    """Gives cases their numbers.

    To be made under the lock of the output: no other run into it gives numbers meanwhile.

    Parameters
    ----------
    store : CatalogStore
        The output.
    own : pathlib.Path or None
        A map that is not the one in OUT: `own_map`.
    private : bool
        Whether nobody but their owner may read what a run writes.
    """

    def __init__(self, store: CatalogStore, own: Path | None, *, private: bool) -> None:
        self._store = store
        self._is_file = own is not None or store.promises_numbers
        self._closed = private and own is None
        self._path = own or store.numbers()
        is_taken_over = own is None and not self._path.exists()
        self._inherited = read_numbers(store.seed_map()) if is_taken_over else Numbers.of({})
        self._saved = known_numbers(self._path, self._inherited)
        self._given = self._saved

    def give(self, cases: Iterable[str]) -> dict[str, int]:
        """Give each case its number.

        In a file they are promised for ever from now on, before the tables that use them appear; in
        a store they are put in place with these, by `prepare`.
        """
        cases = list(cases)
        if self._is_file:
            self._given = give_numbers(self._path, cases, self._inherited)
            if self._closed:
                for path in contents(self._path, self._given):
                    modes.close(path)
        else:
            self._given = assign_project_ids(cases, self._saved, self._path)
        return {case: self._given.of_case[case] for case in cases}

    def is_kept(self) -> bool:
        """Tell whether what was given is already where it is kept."""
        is_same = self._given == self._saved
        return self._is_file or (is_same and greatest_beside(self._path).exists())

    def prepare(self) -> None:
        """Prepare the numbers of a catalog in a store, to be put in place with it."""
        if self._is_file:
            return
        for place, content in contents(self._path, self._given).items():
            with self._store.open_output(place.name) as stream:
                stream.write(content)
