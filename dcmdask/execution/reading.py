"""Sources are listed, and what is listed and not known is read while that goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from dcmdask.config import ReadOptions, RunOptions
from dcmdask.execution import cluster, name_search
from dcmdask.execution.supervisor import read_partition, stop_readers
from dcmdask.execution.totals import Totals
from dcmdask.listing.listing import Chosen, Listing, write_again, write_manifest
from dcmdask.publish.catalog_store import CatalogStore
from dcmdask.publish.output_place import left_out
from dcmdask.state.previous_runs import Known
from dcmdask.state.reuse import carry, rows_to_describe
from dcmdask.state.unlisted import UnlistedPlaces
from dcmdask.types import FileKey, Note, PartitionSummary, Progress

Watch = Callable[[Progress], None]


class SourceReading:
    """One listing of the sources of a run, and all reading that follows from it.

    Parameters
    ----------
    chosen : Chosen
        What to list.
    out : pathlib.Path or str
        The output, of which nothing is listed.
    store : CatalogStore
        It: parts are left there.
    known : Known
        What earlier runs have read.
    options : RunOptions
        How.
    watch : callable
        Told of progress.

    Attributes
    ----------
    listing : Listing
        What was listed so far.
    totals : Totals
        What was read so far.
    globs : Globs
        What of the sources is wanted, with what they left out.
    """

    def __init__(
        self,
        chosen: Chosen,
        out: Path | str,
        store: CatalogStore,
        known: Known,
        options: RunOptions,
        watch: Watch,
    ) -> None:
        self._chosen = chosen
        self._out = out
        self._store = store
        self._known = known
        self._options = options
        self._watch = watch
        self._writer = store.piece_writer()
        self._submitted = 0
        self.globs = options.wanted()
        self.listing, self.totals = Listing(chosen.roots), Totals(took=store.took)

    def read_all(self, on_listed: Callable[[], None]) -> None:
        """List and read.

        Parameters
        ----------
        on_listed : callable
            Called when the last source has been listed.
        """
        reading = self._read_options()
        read = partial(read_partition, options=reading)
        interrupt = partial(stop_readers, reading.parts)
        with cluster.connect(self._options, read, interrupt) as computing:
            self._list(computing)
            on_listed()
            self._read_rest(computing)
            self.totals.add_all(self._carried(self._known))
            if self._options.desensitize and not self._is_searched():
                self._search_names(computing)

    def progress(self, stage: str) -> None:
        """Tell how far the run has come."""
        listing, counts = self.listing, self.totals.counts
        self._watch(
            Progress(
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
        )

    def _read_options(self) -> ReadOptions:
        roots, options = self._chosen.roots, self._options
        return ReadOptions(
            roots=tuple(root.name for root in roots),
            desensitize=options.desensitize,
            timeout=options.timeout,
            read_timeout=options.read_timeout,
            settings=self._known.reading,
            charset=options.charset,
            containers=tuple(root.container for root in roots),
            remote=options.remote,
            **self._store.reading(),
        )

    def _list(self, computing: cluster.Computing) -> None:
        """List the sources; partitions are read as soon as they are cut."""
        chosen, options = self._chosen, self._options
        growing = write_manifest(
            chosen.roots,
            self._known,
            self._writer,
            partition_size=options.partition_size,
            leave_out=left_out(self._out),
            wanted=self.globs,
            remote=options.remote,
            inventory=chosen.inventory,
            names=chosen.names,
            follow_links=options.follow_links,
            server_folders=options.include_server_folders,
        )
        for self.listing in growing:
            self.progress("list")
            self._submit(computing)
            self.totals.add_all(computing.ready())

    def _submit(self, computing: cluster.Computing) -> bool:
        """Begin with the partitions that are new; tell whether there are any."""
        partitions = self.listing.partitions[self._submitted :]
        computing.submit(partitions, self.listing.weight_to_read)
        self._submitted += len(partitions)
        return bool(partitions)

    def _read_rest(self, computing: cluster.Computing) -> None:
        """Read all that is listed, and then what has to describe a series in place of another."""
        again: list[str] = []
        more = True
        while more:
            rows = rows_to_describe(self._known, again)
            size, inventory = self._options.partition_size, self._chosen.inventory
            write_again(rows, self.listing, self._writer, size, inventory)
            more = self._submit(computing)
            self.progress("read")
            for summary in computing.rest():
                self.totals.add(summary)
                self.progress("read")
                if summary.position >= self.listing.rows:
                    again.append(summary.part)

    def _carried(self, known: Known | name_search.Standing) -> Iterable[PartitionSummary]:
        return carry(known, partition_size=self._options.partition_size)

    # -- names that other parts know -------------------------------------------------------------------

    def _is_searched(self) -> bool:
        """Tell whether all parts are those of the catalog, and were searched for all names there are.

        What had to be withheld may be there to be searched tonight.
        """
        known = self._known
        if self.listing.partitions or not known.has_published or not known.changes().nothing:
            return False
        noted = self._store.output.read_catalog().get("counts", {}).get("noted")
        return isinstance(noted, dict) and Note.WITHHELD not in noted

    def _search_names(self, computing: cluster.Computing) -> None:
        """Have names looked for that only other parts know."""
        for attempt in range(name_search.ROUNDS + 1):
            stems = sorted(self.totals.parts)
            found = self._unsearched(stems, attempt)
            if found is None:
                break
            parts = name_search.standing(self._store.parts, self._known.reading, stems)
            self.totals = self.totals.again()
            if attempt == name_search.ROUNDS or not found:
                self.totals.add_all(name_search.withhold(found, parts))
                break
            self.totals.add_all(self._search(computing, found, parts, attempt))
            self.totals.add_all(self._carried(parts))

    def _unsearched(
        self, stems: list[tuple[int, str]], attempt: int
    ) -> name_search.Unsearched | None:
        """Give what has to be searched, as far as its files are listed; None where nothing has."""
        store, unlisted = self._store, self.listing.unlisted
        names = [stem for _, stem in stems]
        found = name_search.unsearched(store.parts, names, store.staging / f"names-{attempt}")
        if not found:
            return None
        if unlisted:
            found = name_search.within_reach(found, store.parts, names, UnlistedPlaces(unlisted))
        return found

    def _search(
        self,
        computing: cluster.Computing,
        found: name_search.Unsearched,
        parts: name_search.Standing,
        attempt: int,
    ) -> Iterator[PartitionSummary]:
        inventory = self._chosen.inventory
        again = name_search.write_search(
            found,
            parts,
            {root.name: number for number, root in enumerate(self.listing.roots)},
            self._writer,
            self.listing.rows,
            self._options.partition_size,
            attempt,
            inventory.access_of if inventory else _plain_access,
        )
        computing.submit(list(again), self.listing.weight_to_read)
        return computing.rest()


def _plain_access(_files: Iterable[FileKey]) -> dict[FileKey, bytes | None]:
    """Tell that files are reached by their location alone."""
    return {}
