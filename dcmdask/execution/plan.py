"""Take sources; say what a run would read, and how that differs from the catalog in OUT."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dcmdask.config import RunOptions
from dcmdask.errors import OutputError
from dcmdask.execution.shrink import ShrinkGuard
from dcmdask.listing.listing import Chosen, Listing, choose, write_manifest
from dcmdask.publish.output import known_of, open_output, sources_of
from dcmdask.publish.output_place import left_out, output_of, refuse_data
from dcmdask.remote.credentials import no_secrets_in_errors
from dcmdask.state.manifest import PieceWriter
from dcmdask.state.previous_runs import Changes
from dcmdask.tables.schema import reading_digest


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do.

    Attributes
    ----------
    listing : Listing
        What there is.
    out : str
        Where the run would write.
    changes : Changes or None
        Against the catalog there; None where there is none.
    read_anew : str or None
        Why all is read although there is a catalog.
    refused : str or None
        Why a run would publish nothing, as far as its listing tells.
    """

    listing: Listing
    out: str
    changes: Changes | None
    read_anew: str | None
    refused: str | None


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
    with no_secrets_in_errors(), choose(sources, options) as chosen:
        return _plan(chosen, chosen.options, folder)


def _plan(chosen: Chosen, options: RunOptions, folder: Path) -> Plan:
    out = output_of(chosen.roots, options.out)
    refuse_data(out, chosen.roots, options.remote, walked=chosen.inventory is None)
    output = open_output(out, options.remote, lambda: folder / "mirror")
    chosen = chosen.named(sources_of(output))
    reading = reading_digest(options.reading())
    try:
        known, read_anew, there = known_of(output, reading, full=options.full, scratch=folder)
    except PermissionError as error:
        remedy = "ask whose it is, or choose another --out"
        raise OutputError(output.place, "no permission to look into it", remedy) from error
    own = folder / "pieces"
    own.mkdir()
    globs = options.wanted()
    growing = write_manifest(
        chosen.roots,
        known,
        PieceWriter(own),
        partition_size=options.partition_size,
        leave_out=left_out(out),
        wanted=globs,
        remote=options.remote,
        inventory=chosen.inventory,
        names=chosen.names,
        follow_links=options.follow_links,
        server_folders=options.include_server_folders,
    )
    listing = Listing(chosen.roots)
    for listing in growing:  # noqa: B007 - the last one is complete
        pass
    changes = known.changes() if known or there else None
    refused = ShrinkGuard(output, known, listing, options, globs).foresee()
    return Plan(listing, output.place, changes, read_anew, refused)
