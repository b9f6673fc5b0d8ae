"""What a run says of itself: the content of catalog.json, and the state that the next run begins with."""

from __future__ import annotations

import datetime as dt
import platform
import time
from dataclasses import asdict, replace
from typing import Any

from dcmdask._version import __version__
from dcmdask.assemble.prepare import Assembled
from dcmdask.config import RunOptions, digest_of
from dcmdask.execution.totals import SUMMED, Totals
from dcmdask.listing.listing import Chosen, Listing
from dcmdask.publish.catalog_store import CatalogStore
from dcmdask.publish.output import State, is_whole, state_of, token_of
from dcmdask.state.previous_runs import Changes, Known
from dcmdask.tables.schema import VERSION


class Stopwatch:
    """Seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def stop(self, stage: str) -> None:
        """Book the time since the last stage on this one."""
        now = time.perf_counter()
        self.seconds[stage] = round(now - self._last, 3)
        self._last = now


class RunRecord:
    """What is to be said of a run.

    Parameters
    ----------
    options : RunOptions
        Of the run.
    begun : datetime.datetime
        When it began.
    clock : Stopwatch
        Of its stages.

    Attributes
    ----------
    moved : list of tuple of str
        Files that were moved in the sources: from where, to where.
    """

    def __init__(self, options: RunOptions, begun: dt.datetime, clock: Stopwatch) -> None:
        self.options = options
        self.clock = clock
        self.moved: list[tuple[str, str]] = []
        self._begun = begun

    def listed(self, chosen: Chosen, listing: Listing, totals: Totals) -> None:
        """Take what was listed and read."""
        self._roots = chosen.roots
        self._sources = chosen.names.remembered()
        self._listing = listing
        self._totals = totals

    def state(self, known: Known, numbers: dict[str, int]) -> State:
        """Give what the next run must know of this one."""
        return State(
            reading=known.reading,
            settings=self.options.digest(),
            cases=digest_of(self._listing.cases),
            project_ids=digest_of(numbers),
            parts=self._totals.stems(),
            index=[],
            published={},
            sources=[source.whole() for source in self._sources],
        )

    def catalog(
        self, store: CatalogStore, assembled: Assembled, changes: Changes
    ) -> dict[str, Any]:
        """Give the content of catalog.json."""
        listing, totals = self._listing, self._totals
        made = {
            name: value
            for name, value in asdict(assembled).items()
            if name not in ("files", "rewritten")
        }
        return {
            "dcmdask": __version__,
            "schema": VERSION,
            "settings": {**self.options.settings(), "digest": self.options.digest()},
            **self._of_listing(),
            "counts": {
                **{name: totals.counts[name] for name in ("listed", *SUMMED)},
                "cases": len(listing.cases),
                "archives_named": listing.archives,
                "left_to_pydicom": dict(sorted(totals.reasons.items())),
                **made,
            },
            "instances": assembled.files,
            "run": self._of_run(store, changes),
        }

    def confirmed(self, store: CatalogStore, changes: Changes) -> dict[str, Any]:
        """Give the content of the catalog.json that is there, with this run in place of the last."""
        catalog = store.output.read_catalog()
        return {**catalog, **self._of_listing(), "run": self._of_run(store, changes)}

    def _of_listing(self) -> dict[str, Any]:
        listing = self._listing
        return {
            "sources": [
                {"path": root.path, "name": root.name, "only": list(root.only)}
                for root in self._roots
            ],
            "known_sources": [source.renamed() for source in self._sources],
            "listing": listing.digest,
            "passed_over": listing.passed_over,
            "moved": [list(pair) for pair in self.moved],
        }

    def _of_run(self, store: CatalogStore, changes: Changes) -> dict[str, Any]:
        return {
            "started": self._begun.isoformat(timespec="seconds"),
            "ended": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "seconds": self.clock.seconds,
            "changes": asdict(changes),
            "after": store.interrupted,
            "read_anew": store.read_anew,
            "missing": store.missing,
            "set_aside": store.set_aside,
            "set_aside_in": store.set_aside_in,
            "host": platform.node(),
            "python": platform.python_version(),
            "system": platform.system(),
        }


def is_as_published(store: CatalogStore, changes: Changes, state: State) -> bool:
    """Tell whether the catalog in OUT is what this run would publish, and is all there."""
    before = state_of(store.output, token_of(store.output.catalog()))
    if before is None or not changes.nothing:
        return False
    same = before == replace(
        state,
        parts=before.parts,
        index=before.index,
        published=before.published,
        rewritten=before.rewritten,
    )
    return same and not store.rewritten and is_whole(store.output, before)
