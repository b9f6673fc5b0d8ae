"""The crawl: sources in, catalog out. Here rooms are wired and nothing is decided."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from dcmdask.assemble.outputs import names_written
from dcmdask.assemble.prepare import assemble
from dcmdask.config import RunOptions
from dcmdask.errors import UsageError
from dcmdask.execution import cluster
from dcmdask.execution.numbering import Numbering, own_map
from dcmdask.execution.reading import SourceReading, Watch
from dcmdask.execution.record import RunRecord, Stopwatch, is_as_published
from dcmdask.execution.shrink import Reads, ShrinkGuard
from dcmdask.execution.supervisor import start_reader, stop_readers
from dcmdask.formats.xlsx import check_library
from dcmdask.listing.listing import Chosen, choose
from dcmdask.publish.bucket_store import BucketStore
from dcmdask.publish.catalog_store import CatalogStore
from dcmdask.publish.folder_store import FolderStore
from dcmdask.publish.output import sources_of
from dcmdask.publish.output_place import output_of, refuse_data
from dcmdask.remote.credentials import no_secrets_in_errors
from dcmdask.source.entries import Root
from dcmdask.source.folders.local import move_archives_into_folders
from dcmdask.state.parts import Parts
from dcmdask.state.previous_runs import Known
from dcmdask.system import interrupts, scratch
from dcmdask.tables.schema import reading_digest
from dcmdask.types import Progress


def _ignore(_progress: Progress) -> None:
    """Watch nothing."""


def run(sources: Iterable[str], options: RunOptions, watch: Watch = _ignore) -> dict[str, Any]:
    """Crawl sources and publish their catalog.

    Parameters
    ----------
    sources : iterable of str
        Folders, files and archives of this machine; none where ``from_list`` names all.
    options : RunOptions
        How, and what of it to write.
    watch : callable
        Told of progress.

    Returns
    -------
    dict
        Content of ``catalog.json``, and ``out``.

    Raises
    ------
    DcmdaskError
        The run could not start or end; nothing was published.
    """
    begun, clock = dt.datetime.now(dt.UTC), Stopwatch()
    published = False
    cluster.check(options)
    scratch.sweep()
    if options.workbooks:
        # Before the crawl, not after it.
        check_library()
    try:
        with no_secrets_in_errors(), choose(sources, options) as chosen:
            cluster.check(chosen.options)
            catalog = _run(chosen, chosen.options, watch, RunRecord(chosen.options, begun, clock))
        published = True
    finally:
        interrupts.let_go(published=published)
        if not published:
            stop_readers()
    return catalog


def _run(chosen: Chosen, options: RunOptions, watch: Watch, record: RunRecord) -> dict[str, Any]:
    out = output_of(chosen.roots, options.out)
    refuse_data(out, chosen.roots, options.remote, walked=chosen.inventory is None)
    map_path = own_map(options, out)
    with _open_store(out, options) as store:
        chosen = chosen.named(sources_of(store.output))
        # Under the lock: what a killed run had set aside is back, and no other run is under way that
        # gives numbers or reads what is about to be moved.
        numbering = Numbering(store, map_path, private=options.private)
        record.moved = [move for root in chosen.roots for move in _moved(root, options)]
        known = store.known(reading_digest(options.reading()), full=options.full)
        if options.scheduler is None and (options.full or not known):
            # It loads while the first sources are listed.
            start_reader()
        reading = SourceReading(chosen, out, store, known, options, watch)
        reading.read_all(lambda: record.clock.stop("list"))
        reading.totals.check(reading.listing.files)
        _check_shrinking(store, known, reading, options)
        record.clock.stop("read")
        record.listed(chosen, reading.listing, reading.totals)
        return _publish(store, known, reading, numbering, record)


def _publish(
    store: CatalogStore,
    known: Known,
    reading: SourceReading,
    numbering: Numbering,
    record: RunRecord,
) -> dict[str, Any]:
    """Publish a catalog, unless it is the one that is there; give its content."""
    changes, totals = known.changes(), reading.totals
    numbers = numbering.give(reading.listing.cases)
    state = record.state(known, numbers)
    is_same = not (known.again or totals.searched)
    if numbering.is_kept() and is_same and is_as_published(store, changes, state):
        catalog = record.confirmed(store, changes)
        store.confirm(catalog, state)
        return {**catalog, "out": store.place}
    reading.progress("assemble")
    parts, cases = Parts(store.parts, tuple(state.parts)), reading.listing.cases
    assembled = assemble(store, parts, cases, totals.counts["instances"], numbers, record.options)
    record.clock.stop("assemble")
    reading.progress("publish")
    numbering.prepare()
    store.send()
    record.clock.stop("publish")
    catalog = record.catalog(store, assembled, changes)
    catalog = store.publish(catalog, replace(state, rewritten=assembled.rewritten))
    return {**catalog, "out": store.place}


def _check_shrinking(
    store: CatalogStore, known: Known, reading: SourceReading, options: RunOptions
) -> None:
    """Refuse to publish what would empty the catalog in OUT."""
    listing, totals = reading.listing, reading.totals
    guard = ShrinkGuard(store.output, known, listing, options, reading.globs)
    reads = Reads(totals.tried, totals.refused)
    parts = Parts(store.parts, tuple(totals.stems()))
    guard.check(reads, parts, totals.counts["instances"], store.staging / "shrink")


def _open_store(out: Path | str, options: RunOptions) -> CatalogStore:
    if isinstance(out, Path):
        return FolderStore(
            out,
            fresh=options.fresh,
            writes=names_written(options),
            replace=options.replace,
            closed=options.private,
        )
    if options.private:
        words = f"--private with --out {out}"
        raise UsageError(words, "leave it out: who may read a bucket is said by its policy")
    return BucketStore(
        out,
        options.remote,
        fresh=options.fresh,
        elsewhere=options.scheduler is not None,
        replace=options.replace,
    )


def _moved(root: Root, options: RunOptions) -> list[tuple[str, str]]:
    # An archive that is itself the source lies in no case folder, and would be lost from sight.
    if not options.move_top_level_zips or root.only:
        return []
    if root.is_remote:
        words = f"--move-top-level-zips with {root.path}"
        raise UsageError(words, "leave it out: in a store nothing is moved, and a zip is a case")
    return move_archives_into_folders(root)
