"""Take sources; say what a run would read, and how that differs from the catalog in OUT."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dcmdask.config import RunOptions
from dcmdask.known import Changes
from dcmdask.listing import Chosen, Listing, choose, output_of, write_manifest
from dcmdask.manifest import PieceWriter
from dcmdask.schema import reading_digest
from dcmdask.store import CATALOG, known_of


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do.

    Attributes
    ----------
    listing : Listing
        What there is.
    out : pathlib.Path
        Where the run would write.
    changes : Changes or None
        Against the catalog there; None where there is none.
    read_anew : str or None
        Why all is read although there is a catalog.
    """

    listing: Listing
    out: Path
    changes: Changes | None
    read_anew: str | None


def plan(sources: Iterable[str], options: RunOptions, folder: Path) -> Plan:
    """List sources.

    Parameters
    ----------
    sources : iterable of str
        As for a run.
    options : RunOptions
        As for a run.
    folder : pathlib.Path
        An empty folder for the manifest.
    """
    with choose(sources, options) as chosen:
        return _plan(chosen, options, folder)


def _plan(chosen: Chosen, options: RunOptions, folder: Path) -> Plan:
    out = output_of(chosen.roots, options.out)
    reading = reading_digest(options.reading())
    known, read_anew = known_of(out, reading, full=options.full, scratch=folder)
    growing = write_manifest(
        chosen.roots,
        known,
        PieceWriter(folder),
        partition_size=options.partition_size,
        leave_out=frozenset({os.path.realpath(out)}),
        wanted=options.wanted(),
        inventory=chosen.inventory,
    )
    listing = Listing(chosen.roots)
    for listing in growing:  # noqa: B007 - the last one is complete
        pass
    changes = known.changes() if known or (out / CATALOG).exists() else None
    return Plan(listing, out, changes, read_anew)
