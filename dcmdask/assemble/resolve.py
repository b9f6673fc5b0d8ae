"""Resolve the references of a crawl, by ranges; give them to the outputs that take them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.assemble import rows
from dcmdask.assemble.merge import Merged, distinct
from dcmdask.assemble.spill import Key, Shelf, Stream
from dcmdask.assemble.work import Work
from dcmdask.table_types import FoundTable, InstancesTable, ListedTable, NumberedTable
from dcmdask.tables import index, references

_NAMED_WEIGHT = 4
"""Of a reference, which becomes Python objects, in instances."""


@dataclass(slots=True)
class Resolved:
    """What came of references.

    Attributes
    ----------
    rows, unresolved : int
        References, and those without a target.
    referred : dict
        What the index shows: 1 kB for each series that refers to others.
    """

    rows: int
    unresolved: int
    referred: index.Targets


def named_references(work: Work) -> Stream:
    """Return the references of all parts as objects name them, numbered."""

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        batches = references.without_lists(work.parts.batches("references"))
        return (batch.select(list(columns)) for batch in batches)

    count = sum(batch.num_rows for batch in work.parts.batches("references"))
    return Stream(references.NUMBERED, count, read, _NAMED_WEIGHT)


def resolve_references(work: Work, instances: Stream, named: Stream, merged: Merged) -> Resolved:
    """Resolve references and give them to those who take them, a range of sources at a time.

    Parameters
    ----------
    work : Work
        What every stage needs.
    instances : Stream
        All instances.
    named : Stream
        From `named_references`.
    merged : Merged
        Series of the crawl.
    """
    found = _look_up(work, instances)
    resolver = _resolver(work, named, found, merged)
    resolved = Resolved(0, 0, {})
    referred: dict[references.Key, references.Targets] = {}
    streams = {"named": named, "found": found}
    with work.takers(rows.REFERENCES) as takers:
        for one in work.ranges("references", streams, Key.by(*rows.REFERENCES.key)):
            own = references.of_representatives(
                NumberedTable(one["named"].table()), merged.representatives
            )
            table = resolver.resolve(own, FoundTable(one["found"].table()))
            takers.add(references.published(table))
            resolved.rows += table.num_rows
            missing = pc.equal(table["resolution"], references.UNRESOLVED)
            resolved.unresolved += pc.sum(missing).as_py() or 0
            for source, targets in references.referred_series(table).items():
                references.add_targets(referred.setdefault(source, {}), targets)
    resolved.referred = references.in_order(referred)
    return resolved


def _look_up(work: Work, instances: Stream) -> Stream:
    """Look up the instances that references list, a range of SOPInstanceUID at a time.

    The same ranges go to those who take instances by SOPInstanceUID.
    """
    listed = _listed(work)
    streams = {
        "listed": listed,
        "instances": instances.only(*references.TARGET_COLUMNS).having("SOPInstanceUID"),
    }
    found = Shelf(work.scratch("found"), references.FOUND, work.most, weight=_NAMED_WEIGHT)
    with work.takers(rows.NAMED_INSTANCES) as takers:
        if takers or listed.rows:
            for one in work.ranges("sops", streams, Key.by(*rows.NAMED_INSTANCES.key)):
                table = InstancesTable(one["instances"].table())
                if one["listed"].rows:
                    found.put(references.count_found(ListedTable(one["listed"].table()), table))
                takers.add(table)
    return found.stream()


def _listed(work: Work) -> Stream:
    """Return the instances that references list."""

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        batches = references.listed_instances(work.parts.batches("references"))
        return (batch.select(list(columns)) for batch in batches)

    batches = work.parts.batches("references")
    count = sum(len(pc.list_flatten(batch["instances"])) for batch in batches)
    return Stream(references.LISTED, count, read)


def _resolver(work: Work, named: Stream, found: Stream, merged: Merged) -> references.Resolver:
    """Return the resolver, which holds plans and structure sets that others name: 1 kB each."""
    on_the_way = map(references.named_on_the_way, named.read(["role", "target_uid"]))
    uids = distinct(on_the_way, work.most)

    def of(stream: Stream) -> pa.Table:
        chosen = [
            batch.filter(pc.is_in(batch["SourceSOPInstanceUID"], uids))
            for batch in stream.read(stream.schema.names)
        ]
        return pa.Table.from_batches(chosen, stream.schema)

    own = references.of_representatives(NumberedTable(of(named)), merged.representatives)
    return references.Resolver(merged.asked, own, FoundTable(of(found)))
