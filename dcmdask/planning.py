"""Take sources; say what a run would read, and how that differs from the catalog in OUT."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.catalog import Catalog
from dcmdask.config import RunOptions
from dcmdask.listing import Listing, open_roots, output_of, write_manifest
from dcmdask.source.fetch import Roots
from dcmdask.store import CATALOG, PieceWriter, read_manifest

Changes = tuple[int, int, int, int]
"""New, changed, gone and unchanged files."""

_COLUMNS = ("url", "size", "modified")
_LOOSE = "file://"


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
    """

    listing: Listing
    out: Path
    changes: Changes | None


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
    roots = open_roots(sources)
    out = output_of(roots, options.out)
    growing = write_manifest(
        roots,
        PieceWriter(folder),
        partition_size=options.partition_size,
        leave_out=frozenset({os.path.realpath(out)}),
        wanted=options.wanted(),
    )
    listing = Listing(roots)
    for listing in growing:  # noqa: B007 - the last one is complete
        pass
    known = _known_files(Catalog(out)) if (out / CATALOG).exists() else None
    changes = None if known is None else _compare(_listed_files(listing), known)
    return Plan(listing, out, changes)


def _known_files(catalog: Catalog) -> dict[str, tuple[int | None, int | None]]:
    """Give, for every file the catalog knows, its modification time and, if loose, its size."""
    known: dict[str, tuple[int | None, int | None]] = {}
    batches = catalog.instances.to_batches(columns=list(_COLUMNS))
    failures = catalog.failures.select(list(_COLUMNS)).to_batches()
    for batch in (*batches, *failures):
        times = pc.cast(batch["modified"], pa.int64()).to_pylist()
        rows = zip(batch["url"].to_pylist(), batch["size"].to_pylist(), times, strict=True)
        for url, size, modified in rows:
            file = _file_of(url)
            known[file] = (modified, None if file != url else size)
    return known


def _file_of(url: str) -> str:
    """Give the URL of the file that a member lies in, or of the file itself.

    Examples
    --------
    >>> _file_of("zip://b.dcm::file:///in/a.zip"), _file_of("file:///in/c::d.dcm")
    ('file:///in/a.zip', 'file:///in/c::d.dcm')
    """
    if url.startswith(_LOOSE):
        return url
    _, _, path = url.partition(f"::{_LOOSE}")
    return _LOOSE + path


def _listed_files(listing: Listing) -> Iterator[tuple[str, int | None, int | None]]:
    roots = Roots(tuple(root.name for root in listing.roots))
    for partition in listing.partitions:
        row: dict[str, Any]
        for row in read_manifest(partition).to_pylist():
            yield roots.place(row).url, row["modified"], row["size"]


def _compare(
    listed: Iterable[tuple[str, int | None, int | None]],
    known: dict[str, tuple[int | None, int | None]],
) -> Changes:
    new = changed = same = 0
    for url, modified, size in listed:
        before = known.pop(url, None)
        if before is None:
            new += 1
        elif before[0] == modified and before[1] in (None, size):
            same += 1
        else:
            changed += 1
    return new, changed, len(known), same
