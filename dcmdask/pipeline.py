"""The crawl: sources in, catalog out. Here rooms are wired and nothing is decided."""

from __future__ import annotations

import datetime as dt
import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcmdask import cases, cluster
from dcmdask._version import __version__
from dcmdask.assemble import PUBLISHED, Assembled, assemble
from dcmdask.config import ReadOptions, RunOptions
from dcmdask.errors import InvariantError, OutputError, UsageError
from dcmdask.listing import Listing, open_roots, output_of, write_manifest
from dcmdask.schema import VERSION
from dcmdask.source.local import Root, move_archives_into_folders
from dcmdask.store import CATALOG, Parts, Store, writing
from dcmdask.supervisor import read_partition, start_reader, stop_readers
from dcmdask.types import PRIVATE, Partition, PartitionSummary, Progress

if TYPE_CHECKING:
    from dask.bag import Bag

DEFAULT_MAP = "projectid_map.json"

_SUMMED = (
    "files",
    "members",
    "containers",
    "instances",
    "skips",
    "failures",
    "bytes_listed",
    "bytes_read",
    "malformed_values",
    "cut_headers",
    "unidentified",
    "undescribed",
    "named_paths",
    "scanned",
)

Watch = Callable[[Progress], None]


def _ignore(_progress: Progress) -> None:
    """Watch nothing."""


@dataclass(slots=True)
class Totals:
    """What the partitions came to, added up in any order."""

    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    parts: dict[int, str] = field(default_factory=dict)

    def add(self, summary: PartitionSummary) -> None:
        """Add one partition."""
        for name in _SUMMED:
            self.counts[name] += getattr(summary, name)
        self.counts["listed"] += summary.listed
        self.reasons.update(summary.reasons)
        self.parts[summary.number] = summary.part

    def add_all(self, summaries: Iterable[PartitionSummary]) -> None:
        """Add some partitions."""
        for summary in summaries:
            self.add(summary)

    def check(self) -> None:
        """Raise `InvariantError` unless every file and member has one outcome."""
        outcomes = self.counts["failures"] + self.counts["skips"]
        if self.counts["listed"] != self.counts["instances"] + outcomes:
            raise InvariantError(self.counts["listed"], self.counts["instances"], outcomes)

    def stems(self) -> tuple[str, ...]:
        """Give the parts in order of partitions."""
        return tuple(self.parts[number] for number in sorted(self.parts))


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
        Folders, files and archives of this machine.
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
    try:
        return _run(sources, options, watch)
    finally:
        stop_readers()


def _run(sources: Iterable[str], options: RunOptions, watch: Watch) -> dict[str, Any]:
    begun = dt.datetime.now(dt.UTC)
    clock = Stopwatch()
    roots = open_roots(sources)
    out = output_of(roots, options.out)
    map_path = _map_path(options, out)
    with Store(out) as store:
        # Under the lock: what a killed run had set aside is back, and no other run is under way that
        # gives numbers or reads what is about to be moved.
        known = cases.read_projectid_map(map_path)
        moved = [move for root in roots for move in _moved(root, options)]
        if options.scheduler is None:
            # It loads while the first sources are listed.
            start_reader()
        listing, totals = _crawl(roots, store, options, watch, clock)
        totals.check()
        clock.stop("read")
        watch(_progress("assemble", listing, totals))
        numbers = cases.assign_project_ids(listing.cases, known)
        parts = Parts(store.staging / "parts", totals.stems())
        assembled = assemble(
            store,
            parts,
            listing.cases,
            totals.counts["instances"],
            {case: numbers[case] for case in listing.cases},
            options,
        )
        clock.stop("assemble")
        watch(_progress("publish", listing, totals))
        catalog = _catalog(options, roots, listing, totals, assembled, moved)
        _publish(store, map_path, numbers, catalog, clock, begun)
    return {**catalog, "out": str(out)}


def _map_path(options: RunOptions, out: Path) -> Path:
    """Give the file of ProjectIDs; what cannot become one is said now, not after the crawl."""
    own = out / DEFAULT_MAP
    if options.projectid_map is None:
        return own
    path = Path(options.projectid_map).expanduser().absolute()
    inside = Path(os.path.realpath(path))
    if inside == Path(os.path.realpath(own)):
        return own
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
    return move_archives_into_folders(root)


def _crawl(
    roots: list[Root], store: Store, options: RunOptions, watch: Watch, clock: Stopwatch
) -> tuple[Listing, Totals]:
    """List the sources, and read what is listed while that goes on."""
    reading = ReadOptions(
        roots=tuple(root.name for root in roots),
        staging=str(store.staging),
        desensitize=options.desensitize,
        timeout=options.timeout,
        settings=options.digest(),
    )
    growing = write_manifest(
        roots,
        store.piece_writer(),
        partition_size=options.partition_size,
        leave_out=frozenset({os.path.realpath(store.out)}),
        wanted=options.wanted(),
    )
    listing, totals = Listing(roots), Totals()
    begun = 0
    with cluster.connect(options, stop_readers) as computing:
        for listing in growing:
            watch(_progress("list", listing, totals))
            if bag := _bag(listing.partitions[begun:], reading):
                computing.submit(bag, listing.weight)
            begun = len(listing.partitions)
            totals.add_all(computing.ready())
        clock.stop("list")
        watch(_progress("read", listing, totals))
        for summary in computing.rest():
            totals.add(summary)
            watch(_progress("read", listing, totals))
    return listing, totals


def _bag(partitions: list[Partition], reading: ReadOptions) -> Bag | None:
    """Give the reading of some partitions, one task each."""
    import dask.bag as db

    if not partitions:
        return None
    bag: Bag = db.from_sequence(partitions, npartitions=len(partitions)).map(
        read_partition, reading
    )
    return bag


def _progress(stage: str, listing: Listing, totals: Totals) -> Progress:
    counts = totals.counts
    return Progress(
        stage,
        found=listing.files,
        done=counts["files"],
        instances=counts["instances"],
        failures=counts["failures"],
        skips=counts["skips"],
        bytes_found=listing.bytes,
        bytes_done=counts["bytes_listed"],
    )


def _catalog(
    options: RunOptions,
    roots: list[Root],
    listing: Listing,
    totals: Totals,
    assembled: Assembled,
    moved: list[tuple[str, str]],
) -> dict[str, Any]:
    return {
        "dcmdask": __version__,
        "schema": VERSION,
        "settings": {**options.settings(), "digest": options.digest()},
        "sources": [
            {"path": root.path, "name": root.name, "only": list(root.only)} for root in roots
        ],
        "listing": listing.digest,
        "counts": {
            **{name: totals.counts[name] for name in ("listed", *_SUMMED)},
            "cases": len(listing.cases),
            "archives_named": listing.archives,
            "left_to_pydicom": dict(sorted(totals.reasons.items())),
            **{name: value for name, value in asdict(assembled).items() if name != "files"},
        },
        "moved": [list(pair) for pair in moved],
        "instances": assembled.files,
    }


def _publish(
    store: Store,
    map_path: Path,
    numbers: dict[str, int],
    catalog: dict[str, Any],
    clock: Stopwatch,
    begun: dt.datetime,
) -> None:
    import json

    text = json.dumps(dict(sorted(numbers.items())), ensure_ascii=False, indent=2) + "\n"
    content = text.encode("utf-8", "replace")
    names = list(PUBLISHED)
    if map_path == store.out / DEFAULT_MAP:
        names.append(DEFAULT_MAP)
        with store.open_output(DEFAULT_MAP) as stream:
            stream.write(content)
    else:
        # Numbers are promised for ever: they are saved before the tables that use them appear.
        with writing(map_path):
            map_path.parent.mkdir(parents=True, exist_ok=True)
            fresh = map_path.with_name(f".{map_path.name}.new")
            fresh.write_bytes(content)
            os.replace(fresh, map_path)
    clock.stop("publish")
    catalog |= {
        "run": {
            "started": begun.isoformat(timespec="seconds"),
            "ended": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "seconds": clock.seconds,
            "host": platform.node(),
            "python": platform.python_version(),
            "system": platform.system(),
        }
    }
    store.publish(catalog, names)
