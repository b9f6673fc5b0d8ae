"""The crawl: sources in, catalog out. Here rooms are wired and nothing is decided."""

from __future__ import annotations

import datetime as dt
import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from dcmdask._version import __version__
from dcmdask.assemble.outputs import PUBLISHED, names_written
from dcmdask.assemble.prepare import Assembled, assemble
from dcmdask.config import Globs, ReadOptions, RunOptions, digest_of
from dcmdask.errors import InvariantError, OutputError, UsageError
from dcmdask.execution import cluster, name_search
from dcmdask.execution.shrink import Reads, ShrinkGuard
from dcmdask.execution.supervisor import read_partition, start_reader, stop_readers
from dcmdask.formats.xlsx import check_library
from dcmdask.listing.listing import Chosen, Listing, choose, write_again, write_manifest
from dcmdask.publish.bucket_store import RemoteStore
from dcmdask.publish.folder_store import Store
from dcmdask.publish.output import (
    CATALOG,
    DEFAULT_MAP,
    State,
    is_whole,
    sources_of,
    state_of,
    token_of,
)
from dcmdask.publish.output_place import left_out, output_of, refuse_data
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
from dcmdask.remote.credentials import no_secrets_in_errors, public_url
from dcmdask.source.entries import Root
from dcmdask.source.folders.local import move_archives_into_folders
from dcmdask.state.manifest import PieceWriter
from dcmdask.state.names import KnownSource
from dcmdask.state.parts import Parts
from dcmdask.state.previous_runs import Changes, Known
from dcmdask.state.reuse import carry, rows_to_describe
from dcmdask.state.unlisted import UnlistedPlaces
from dcmdask.system import interrupts, modes, scratch
from dcmdask.tables.schema import VERSION, reading_digest
from dcmdask.types import PRIVATE, FileKey, Note, Partition, PartitionSummary, Progress

_SUMMED = (
    "files",
    "members",
    "containers",
    "instances",
    "skips",
    "failures",
    "bytes_listed",
    "bytes_read",
    "scanned",
)

_WORK = ("bytes_read", "scanned")
"""What is counted of the work, not of what came of it."""

Watch = Callable[[Progress], None]


AnyStore = Store | RemoteStore


def _ignore_part(_stem: str) -> None:
    """Do nothing with a part."""


def _ignore(_progress: Progress) -> None:
    """Watch nothing."""


@dataclass(slots=True)
class Totals:
    """What the partitions came to, added up in any order."""

    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    parts: list[tuple[int, str]] = field(default_factory=list)
    tried: int = 0
    refused: int = 0
    took: Callable[[str], None] = _ignore_part
    searched: bool = False

    def again(self) -> Totals:
        """Begin anew, but for the work that was done: parts of it are read again for names."""
        work = Counter({name: self.counts[name] for name in _WORK})
        totals = Totals(work, self.reasons.copy(), took=self.took, searched=True)
        totals.tried, totals.refused = self.tried, self.refused
        return totals

    def add(self, summary: PartitionSummary) -> None:
        """Add one partition."""
        for name in _SUMMED:
            self.counts[name] += getattr(summary, name)
        self.counts["listed"] += summary.listed
        self.tried += summary.tried
        self.refused += summary.refused
        self.reasons.update(summary.reasons)
        self.parts.append((summary.position, summary.part))
        self.took(summary.part)

    def add_all(self, summaries: Iterable[PartitionSummary]) -> None:
        """Add some partitions."""
        for summary in summaries:
            self.add(summary)

    def check(self, files: int) -> None:
        """Raise `InvariantError` unless every file and member has one outcome."""
        outcomes = self.counts["failures"] + self.counts["skips"]
        listed = self.counts["listed"] + files - self.counts["files"]
        if listed != self.counts["instances"] + outcomes or files != self.counts["files"]:
            raise InvariantError(listed, self.counts["instances"], outcomes)

    def stems(self) -> list[str]:
        """Give the parts in order of the listing."""
        return [stem for _, stem in sorted(self.parts)]


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
    begun = dt.datetime.now(dt.UTC)
    clock = Stopwatch()
    published = False
    cluster.check(options)
    scratch.sweep()
    if options.workbooks:
        # Before the crawl, not after it.
        check_library()
    try:
        with no_secrets_in_errors(), choose(sources, options) as chosen:
            cluster.check(chosen.options)
            catalog = _run(chosen, chosen.options, watch, begun, clock)
        published = True
    finally:
        interrupts.let_go(published=published)
        if not published:
            stop_readers()
    return catalog


def _run(
    chosen: Chosen, options: RunOptions, watch: Watch, begun: dt.datetime, clock: Stopwatch
) -> dict[str, Any]:
    out = output_of(chosen.roots, options.out)
    refuse_data(out, chosen.roots, options.remote, walked=chosen.inventory is None)
    own_map = _own_map(options, out)
    with _open_store(out, options) as store:
        chosen = chosen.named(sources_of(store.output))
        roots = chosen.roots
        # Under the lock: what a killed run had set aside is back, and no other run is under way that
        # gives numbers or reads what is about to be moved.
        map_path = own_map or store.numbers()
        is_taken_over = own_map is None and not map_path.exists()
        begun_with = read_numbers(store.seed_map()) if is_taken_over else Numbers.of({})
        saved = known_numbers(map_path, begun_with)
        moved = [move for root in roots for move in _moved(root, options)]
        known = store.known(reading_digest(options.reading()), full=options.full)
        if options.scheduler is None and (options.full or not known):
            # It loads while the first sources are listed.
            start_reader()
        globs = options.wanted()
        listing, totals = _crawl(chosen, out, store, known, options, globs, watch, clock)
        totals.check(listing.files)
        _check_shrinking(store, known, listing, totals, options, globs)
        clock.stop("read")
        changes = known.changes()
        is_file = own_map is not None or isinstance(out, Path)
        if is_file:
            # Promised for ever, before the tables that use them appear.
            given = give_numbers(map_path, listing.cases, begun_with)
            if options.private and own_map is None:
                for path in contents(map_path, given):
                    modes.close(path)
        else:
            given = assign_project_ids(listing.cases, saved, map_path)
        numbers = {case: given.of_case[case] for case in listing.cases}
        sources = chosen.names.remembered()
        state = _state(known, options, listing, numbers, totals, sources)
        is_kept = is_file or (given == saved and greatest_beside(map_path).exists())
        is_same = not (known.again or totals.searched)
        if is_kept and is_same and _is_as_published(store, changes, state):
            catalog = {**store.output.read_catalog(), **_listed(roots, listing, moved, sources)}
            catalog["run"] = _told_of(clock, begun, changes, store)
            store.confirm(catalog, state)
            return {**catalog, "out": store.place}
        watch(_progress("assemble", listing, totals))
        parts = Parts(store.parts, tuple(state.parts))
        assembled = assemble(
            store,
            parts,
            listing.cases,
            totals.counts["instances"],
            numbers,
            options,
        )
        state = replace(state, rewritten=assembled.rewritten)
        clock.stop("assemble")
        watch(_progress("publish", listing, totals))
        catalog = _catalog(options, roots, listing, totals, assembled, moved, sources)
        if not is_file:
            _publish_numbers(store, map_path, given)
        store.send()
        clock.stop("publish")
        catalog["run"] = _told_of(clock, begun, changes, store)
        catalog = store.publish(catalog, state)
    return {**catalog, "out": store.place}


def _check_shrinking(
    store: AnyStore,
    known: Known,
    listing: Listing,
    totals: Totals,
    options: RunOptions,
    globs: Globs,
) -> None:
    """Refuse to publish what would empty the catalog in OUT."""
    guard = ShrinkGuard(store.output, known, listing, options, globs)
    reads = Reads(totals.tried, totals.refused)
    parts = Parts(store.parts, tuple(totals.stems()))
    guard.check(reads, parts, totals.counts["instances"], store.staging / "shrink")


def _state(
    known: Known,
    options: RunOptions,
    listing: Listing,
    numbers: dict[str, int],
    totals: Totals,
    sources: list[KnownSource],
) -> State:
    """Give what the next run must know of this one."""
    return State(
        reading=known.reading,
        settings=options.digest(),
        cases=digest_of(listing.cases),
        project_ids=digest_of(numbers),
        parts=totals.stems(),
        index=[],
        published={},
        sources=[source.whole() for source in sources],
    )


def _is_as_published(store: AnyStore, changes: Changes, state: State) -> bool:
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


def _open_store(out: Path | str, options: RunOptions) -> AnyStore:
    if isinstance(out, Path):
        return Store(
            out,
            fresh=options.fresh,
            writes=names_written(options),
            replace=options.replace,
            closed=options.private,
        )
    if options.private:
        words = f"--private with --out {out}"
        raise UsageError(words, "leave it out: who may read a bucket is said by its policy")
    return RemoteStore(
        out,
        options.remote,
        fresh=options.fresh,
        elsewhere=options.scheduler is not None,
        replace=options.replace,
    )


def _own_map(options: RunOptions, out: Path | str) -> Path | None:
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


def _moved(root: Root, options: RunOptions) -> list[tuple[str, str]]:
    # An archive that is itself the source lies in no case folder, and would be lost from sight.
    if not options.move_top_level_zips or root.only:
        return []
    if root.is_remote:
        words = f"--move-top-level-zips with {root.path}"
        raise UsageError(words, "leave it out: in a store nothing is moved, and a zip is a case")
    return move_archives_into_folders(root)


def _crawl(
    chosen: Chosen,
    out: Path | str,
    store: AnyStore,
    known: Known,
    options: RunOptions,
    globs: Globs,
    watch: Watch,
    clock: Stopwatch,
) -> tuple[Listing, Totals]:
    """List the sources, and read what is listed and not known while that goes on."""
    roots = chosen.roots
    reading = ReadOptions(
        roots=tuple(root.name for root in roots),
        desensitize=options.desensitize,
        timeout=options.timeout,
        read_timeout=options.read_timeout,
        settings=known.reading,
        charset=options.charset,
        containers=tuple(root.container for root in roots),
        remote=options.remote,
        **store.reading(),
    )
    writer = store.piece_writer()
    growing = write_manifest(
        roots,
        known,
        writer,
        partition_size=options.partition_size,
        leave_out=left_out(out),
        wanted=globs,
        remote=options.remote,
        inventory=chosen.inventory,
        names=chosen.names,
        follow_links=options.follow_links,
        server_folders=options.include_server_folders,
    )
    listing, totals = Listing(roots), Totals(took=store.took)
    begun = 0
    read = partial(read_partition, options=reading)
    with cluster.connect(options, read, partial(stop_readers, reading.parts)) as computing:

        def submit() -> int:
            computing.submit(listing.partitions[begun:], listing.weight_to_read)
            return len(listing.partitions)

        for listing in growing:
            watch(_progress("list", listing, totals))
            begun = submit()
            totals.add_all(computing.ready())
        clock.stop("list")
        again: list[str] = []
        more = True
        while more:
            rows = rows_to_describe(known, again)
            write_again(rows, listing, writer, options.partition_size, chosen.inventory)
            more = len(listing.partitions) > begun
            begun = submit()
            watch(_progress("read", listing, totals))
            for summary in computing.rest():
                totals.add(summary)
                watch(_progress("read", listing, totals))
                if summary.position >= listing.rows:
                    again.append(summary.part)
        totals.add_all(carry(known, partition_size=options.partition_size))
        if options.desensitize and not _is_searched(store, known, listing):

            def read_also(partitions: list[Partition]) -> Iterator[PartitionSummary]:
                computing.submit(partitions, listing.weight_to_read)
                return computing.rest()

            access_of = chosen.inventory.access_of if chosen.inventory else _plain_access
            totals = _search_again(store, listing, totals, writer, options, read_also, access_of)
    return listing, totals


def _is_searched(store: AnyStore, known: Known, listing: Listing) -> bool:
    """Tell whether all parts are those of the catalog, and were searched for all names there are.

    What had to be withheld may be there to be searched tonight.
    """
    if listing.partitions or not known.has_published or not known.changes().nothing:
        return False
    noted = store.output.read_catalog().get("counts", {}).get("noted")
    return isinstance(noted, dict) and Note.WITHHELD not in noted


def _plain_access(_files: Iterable[FileKey]) -> dict[FileKey, bytes | None]:
    """Tell that files are reached by their location alone."""
    return {}


def _search_again(
    store: AnyStore,
    listing: Listing,
    totals: Totals,
    writer: PieceWriter,
    options: RunOptions,
    read: Callable[[list[Partition]], Iterable[PartitionSummary]],
    access_of: name_search.AccessOf,
) -> Totals:
    """Have names looked for that only other parts know; give what all parts came to then."""
    roots = {root.name: number for number, root in enumerate(listing.roots)}
    reading = reading_digest(options.reading())
    places = UnlistedPlaces(listing.unlisted)
    for attempt in range(name_search.ROUNDS + 1):
        stems = sorted(totals.parts)
        spilled = store.staging / f"names-{attempt}"
        found = name_search.unsearched(store.parts, [stem for _, stem in stems], spilled)
        if not found:
            break
        if listing.unlisted:
            names = [stem for _, stem in stems]
            found = name_search.within_reach(found, store.parts, names, places)
        parts = name_search.standing(store.parts, reading, stems)
        totals = totals.again()
        if attempt == name_search.ROUNDS or not found:
            totals.add_all(name_search.withhold(found, parts))
            break
        again = name_search.write_search(
            found,
            parts,
            roots,
            writer,
            listing.rows,
            options.partition_size,
            attempt,
            access_of,
        )
        totals.add_all(read(list(again)))
        totals.add_all(carry(parts, partition_size=options.partition_size))
    return totals


def _progress(stage: str, listing: Listing, totals: Totals) -> Progress:
    counts = totals.counts
    return Progress(
        stage,
        known=listing.files - listing.to_read,
        found=listing.to_read,
        done=counts["files"],
        instances=counts["instances"],
        failures=counts["failures"],
        skips=counts["skips"],
        bytes_found=listing.bytes_to_read,
        bytes_done=counts["bytes_listed"],
    )


def _catalog(
    options: RunOptions,
    roots: list[Root],
    listing: Listing,
    totals: Totals,
    assembled: Assembled,
    moved: list[tuple[str, str]],
    sources: list[KnownSource],
) -> dict[str, Any]:
    return {
        "dcmdask": __version__,
        "schema": VERSION,
        "settings": {**options.settings(), "digest": options.digest()},
        **_listed(roots, listing, moved, sources),
        "counts": {
            **{name: totals.counts[name] for name in ("listed", *_SUMMED)},
            "cases": len(listing.cases),
            "archives_named": listing.archives,
            "left_to_pydicom": dict(sorted(totals.reasons.items())),
            **{
                name: value
                for name, value in asdict(assembled).items()
                if name not in ("files", "rewritten")
            },
        },
        "instances": assembled.files,
    }


def _listed(
    roots: list[Root],
    listing: Listing,
    moved: list[tuple[str, str]],
    sources: list[KnownSource],
) -> dict[str, Any]:
    return {
        "sources": [
            {"path": root.path, "name": root.name, "only": list(root.only)} for root in roots
        ],
        "known_sources": [source.renamed() for source in sources],
        "listing": listing.digest,
        "passed_over": listing.passed_over,
        "moved": [list(pair) for pair in moved],
    }


def _publish_numbers(store: AnyStore, path: Path, numbers: Numbers) -> None:
    """Prepare the ProjectIDs of a catalog in a store."""
    for place, content in contents(path, numbers).items():
        with store.open_output(place.name) as stream:
            stream.write(content)


def _told_of(
    clock: Stopwatch, begun: dt.datetime, changes: Changes, store: AnyStore
) -> dict[str, Any]:
    """Give what is told of the run itself."""
    return {
        "started": begun.isoformat(timespec="seconds"),
        "ended": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "seconds": clock.seconds,
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
