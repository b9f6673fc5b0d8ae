"""Take what a run has found and the catalog that is there; refuse to publish what would empty it.

A disk that is not mounted, a list that is not understood and a worker that does not see the source
look like files that are gone. Nothing is published then, unless it is asked for.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dcmdask.assemble.spill import Key, Stream, cut, one_by_one
from dcmdask.config import Globs, RunOptions
from dcmdask.errors import ShrinkError, SourceError
from dcmdask.listing.listing import Listing
from dcmdask.publish.output import Output, json_object
from dcmdask.remote.credentials import public_url
from dcmdask.state.parts import Parts
from dcmdask.state.previous_runs import Known
from dcmdask.state.unlisted import UnlistedPlaces
from dcmdask.tables.arrow import values_of
from dcmdask.tables.schema import INSTANCES
from dcmdask.types import REFUSED, Kind

LARGEST_RANGE = 524_288
"""UIDs compared at once: some forty megabytes."""

_FEW = 3
"""So many places are named; of more their number."""

_LEAST_REFUSED = 10
"""Reads that failed must be a tenth of all that is listed: a new folder of a few files that nobody
may read is rows among many, every night, and no source that is away."""

_UID = "SOPInstanceUID"
_WORDS = {
    Kind.ACCESS_DENIED: "access denied",
    Kind.VANISHED: "vanished",
    Kind.TIMEOUT: "timed out",
    Kind.UNEXPECTED: "errors of the system",
}


@dataclass(frozen=True, slots=True)
class Reads:
    """What reading came to in this run.

    Attributes
    ----------
    tried, refused : int
        Files that were opened, and those of which nothing could be had for a reason of access.
    """

    tried: int
    refused: int


class ShrinkGuard:
    """Compares what a run has found with the catalog that is there.

    Parameters
    ----------
    output : Output
        Where the catalog is, if there is one.
    known : Known
        What of it is known, after the end of the listing.
    listing : Listing
        Complete.
    options : RunOptions
        Of the run.
    globs : Globs
        What was asked of every path.
    """

    def __init__(
        self, output: Output, known: Known, listing: Listing, options: RunOptions, globs: Globs
    ) -> None:
        self._output = output
        self._known = known
        self._listing = listing
        self._options = options
        self._globs = globs
        catalog = output.catalog()
        # Of one that cannot be read nothing can be lost.
        self._catalog = None if catalog is None else json_object(catalog) or {}

    def foresee(self) -> str | None:
        """Say why a run would publish nothing, as far as its listing tells; None where it would."""
        if self._catalog is None:
            return self._nothing_there(0)
        if self._is_nothing_listed():
            return self._nothing_listed()
        gone = self._instances - self._known.published_instances()
        if not self._known.has_published or self._known.again or not self._is_too_much(gone):
            return None
        where = " unless they are found elsewhere" if self._listing.to_read else ""
        return self._words_of_gone(gone, where)

    def check(self, reads: Reads, parts: Parts, instances: int, scratch: Path) -> None:
        """Refuse to publish what would empty the catalog that is there.

        Parameters
        ----------
        reads : Reads
            What reading came to.
        parts : Parts
            Of the new catalog.
        instances : int
            That they hold.
        scratch : pathlib.Path
            A folder that is not there, for what is compared.

        Raises
        ------
        SourceError
            Nothing is there, and there is no catalog yet.
        ShrinkError
            The catalog would lose more than it may, or most of what was read was refused.
        """
        if self._catalog is None and (words := self._nothing_there(reads.refused, instances)):
            places = _named([root.path for root in self._listing.roots]) or "none"
            raise SourceError(places, words, "nothing was published")
        if self._options.allow_shrink:
            return
        seen = self._refused(reads, parts)
        if self._catalog is not None and seen is None:
            seen = self._nothing_listed() if self._is_nothing_listed() else None
            seen = seen or self._lost(parts, instances, scratch)
        if seen is not None:
            raise ShrinkError(self._output.place, seen)

    # -- nothing at all ----------------------------------------------------------------------------

    def _nothing_there(self, refused: int, instances: int = 0) -> str | None:
        """Say that nothing that is listed is there; None where something is."""
        listing = self._listing
        if not listing.files:
            return self._nothing_listed()
        if instances or listing.absent + refused < listing.files:
            return None
        if self._options.from_list is not None:
            return f"none of what {self._list} names is there"
        return f"nothing that lies there could be read ({listing.files:,} listed)"

    def _is_nothing_listed(self) -> bool:
        return not self._listing.found and bool(self._counts.get("files"))

    def _nothing_listed(self) -> str:
        if self._globs.left_out:
            return f"{_asked(self._globs)} leaves nothing of {_left_out(self._globs)}"
        if self._options.from_list is not None:
            return f"{self._list} names no file"
        is_here = any(not root.is_remote for root in self._listing.roots)
        asked = " (is it mounted?)" if is_here else ""
        if self._catalog is None:
            return f"there is no file in it{asked}"
        roots = _named([root.path for root in self._listing.roots])
        return f"there is no file in {roots}{asked}, and the catalog knows {self._files}"

    # -- what is lost ------------------------------------------------------------------------------

    @property
    def _list(self) -> str:
        return f"--from-list {public_url(self._options.from_list or '')}"

    @property
    def _counts(self) -> dict[str, Any]:
        found = (self._catalog or {}).get("counts", {})
        return found if isinstance(found, dict) else {}

    @property
    def _instances(self) -> int:
        return int(self._counts.get("instances", 0))

    @property
    def _files(self) -> str:
        files = int(self._counts.get("files", 0))
        return f"{files:,} file" + ("s" if files != 1 else "")

    def _is_too_much(self, gone: int) -> bool:
        return gone > self._options.shrink_limit * self._instances

    def _lost(self, parts: Parts, instances: int, scratch: Path) -> str | None:
        """Say what of the catalog would be lost, where it is more than may be."""
        if self._known.has_published:
            gone = self._instances - self._known.published_instances()
            if not self._is_too_much(gone):
                return None
        elif self._listing.unlisted and (words := self._cannot_stay()):
            return words
        # What is at another place, or was read again, is not lost.
        try:
            gone = self._dropped(parts, instances, scratch)
        except (OSError, pa.ArrowInvalid, KeyError):
            # It was damaged since it was published: its number is all that is left of it.
            gone = max(0, self._instances - instances)
        return self._words_of_gone(gone) if self._is_too_much(gone) else None

    def _dropped(self, parts: Parts, instances: int, scratch: Path) -> int:
        """Count the instances of the catalog whose SOPInstanceUID is not among the new ones."""
        streams = {
            "old": Stream(_UIDS, self._instances, self._published),
            "new": Stream(_UIDS, instances, parts.instance_batches),
        }
        nameless = [_count_nameless(stream) for stream in streams.values()]
        named = {name: stream.having(_UID) for name, stream in streams.items()}
        dropped = max(0, nameless[0] - nameless[1])
        for one in one_by_one(cut(named, Key.by(_UID), LARGEST_RANGE, scratch)):
            old, new = (one[name].table()[_UID] for name in ("old", "new"))
            there = pc.sum(pc.is_in(old, value_set=pc.unique(new))).as_py() or 0
            dropped += len(old) - there
        return dropped

    def _published(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield some columns of the instances of the catalog that is there."""
        names = (self._catalog or {}).get("instances", [])
        files, system = self._output.locate(names)
        for file in files:
            with pq.ParquetFile(file, filesystem=system) as table:
                yield from table.iter_batches(columns=list(columns))

    def _cannot_stay(self) -> str | None:
        """Say what lies where nothing could be listed, and was read in another way than now."""
        places = UnlistedPlaces(
            replace(one, location=_as_location(one.path)) for one in self._listing.unlisted
        )
        lost: Counter[str] = Counter()
        with suppress(OSError, pa.ArrowInvalid, KeyError):
            for batch in self._published(("folder", "path", "archive")):
                for row in batch.to_pylist():
                    root = row["folder"].partition("/")[0]
                    found = places.find(root, _as_location(row["archive"] or row["path"]))
                    if found is not None:
                        lost[found.path] += 1
        if not lost:
            return None
        return (
            f"{_instances(sum(lost.values()))} below {_named(sorted(lost))}, which could not be "
            "listed, cannot stay as they were: the catalog was read with other settings or by "
            "another release"
        )

    def _words_of_gone(self, gone: int, unless: str = "") -> str:
        words = [f"of {_instances(self._instances, 'known ')} {gone:,} would be gone{unless}"]
        if empty := self._empty_cases():
            words.append(f"nothing is left in {_named(empty)}")
        if self._globs.left_out:
            words.append(f"{_asked(self._globs)} leaves out {_left_out(self._globs)}")
        return "; ".join(words)

    def _empty_cases(self) -> list[str]:
        """Name the cases of the catalog of which no file is listed any more."""
        with suppress(OSError, pa.ArrowInvalid, KeyError):
            path = self._output.fetch("cases.parquet")
            try:
                table = pq.read_table(path, columns=["case", "files"])
            finally:
                self._output.release(path)
            had = values_of(table.filter(pc.greater(table["files"], 0))["case"])
            return [case for case in had if not self._listing.cases.get(case, (0, 0))[0]]
        return []

    # -- what was refused --------------------------------------------------------------------------

    def _refused(self, reads: Reads, parts: Parts) -> str | None:
        """Say how many reads failed for reasons of access, where most did that are no old story."""
        tried, refused = (count - self._known.retried for count in (reads.tried, reads.refused))
        if refused * 2 <= tried or refused * _LEAST_REFUSED < self._listing.found:
            return None
        kinds: Counter[str] = Counter()
        for batch in parts.batches("failures"):
            kinds.update(values_of(batch["kind"]))
        named = [
            f"{_WORDS[kind]} {kinds[kind]:,}" for kind in (*REFUSED, Kind.UNEXPECTED) if kinds[kind]
        ]
        return (
            f"{reads.refused:,} of {reads.tried:,} files could not be read ({', '.join(named)}): "
            "is the source there, and seen by all workers?"
        )


_UIDS = pa.schema([INSTANCES.field(_UID)])


def _count_nameless(stream: Stream) -> int:
    return sum(batch[_UID].null_count for batch in stream.read([_UID]))


def _instances(count: int, kind: str = "") -> str:
    return f"{count:,} {kind}instance" + ("s" if count != 1 else "")


def _named(names: Sequence[str]) -> str:
    """Name a few, or count many."""
    some = ", ".join(names[:_FEW])
    return some if len(names) <= _FEW else f"{some} and {len(names) - _FEW:,} more"


def _as_location(path: str) -> bytes:
    """Return what stands for a location where only paths are known: of a catalog read otherwise."""
    return path.replace("/", os.sep).encode()


def _asked(globs: Globs) -> str:
    words = [f"--include {one}" for one in globs.include]
    words += [f"--exclude {one}" for one in globs.exclude]
    return " ".join(words)


def _left_out(globs: Globs) -> str:
    """Say what was left out, by an example of it: a glob that fits no path is easily seen beside one."""
    seen = "1 path," if globs.left_out == 1 else f"{globs.left_out:,} paths such as"
    return f"{seen} {globs.example} (a glob fits a whole path)"
