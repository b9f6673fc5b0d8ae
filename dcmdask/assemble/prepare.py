"""Take the parts that the workers left; prepare everything a catalog publishes. One writer.

Each stage computes rows and gives them to all outputs that take them, in one pass: what is published
is said in `dcmdask.assemble.outputs` alone.

A small crawl is held. Of a larger one a range is held at a time: of series, of instances by UID, of
sources of references, of case rows. What stays for the whole of a crawl is said where it is kept:
a case costs some hundred bytes, a series that refers to others or that others refer to about a
kilobyte, an instance nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.assemble import merge, rows
from dcmdask.assemble.case_rows import case_row_ranges
from dcmdask.assemble.outputs import wanted_outputs
from dcmdask.assemble.resolve import named_references, resolve_references
from dcmdask.assemble.spill import Key, Stream
from dcmdask.assemble.work import Work
from dcmdask.config import RunOptions
from dcmdask.publish.output import Check
from dcmdask.publish.staging import Staging
from dcmdask.state.parts import Parts
from dcmdask.table_types import NotedTable
from dcmdask.tables import cases, notes, references
from dcmdask.tables.arrow import Array, values_of
from dcmdask.tables.schema import FAILURES, INSTANCES, NOTED

LARGEST_RANGE = 131_072
"""Instances held at once."""

_NEEDED = {*merge.COLUMNS, *cases.COLUMNS, *references.TARGET_COLUMNS}


@dataclass(frozen=True, slots=True)
class Assembled:
    """What was prepared.

    Attributes
    ----------
    files : list of str
        Instance parts, by published name.
    series, references, unresolved : int
        Rows.
    modalities, kinds : dict
        Series of each modality; failures and skips of each kind.
    patients, studies : int
        Distinct PatientIDs and StudyInstanceUIDs of series.
    notes, noted : dict
        Rows of `notes` of each kind; instances that have one of it.
    rewritten : dict
        Published name to `Check` of what Med-ImageTools makes of the file when it takes the crawl.
    """

    files: list[str]
    series: int
    references: int
    unresolved: int
    modalities: dict[str, int]
    kinds: dict[str, int]
    patients: int
    studies: int
    notes: dict[str, int]
    noted: dict[str, int]
    rewritten: dict[str, Check]


def assemble(
    store: Staging,
    parts: Parts,
    listed: Mapping[str, tuple[int, int]],
    count: int,
    project_ids: Mapping[str, int],
    options: RunOptions,
) -> Assembled:
    """Prepare tables and files in the staging area.

    Parameters
    ----------
    store : Staging
        Where it is prepared.
    parts : Parts
        What partitions left.
    listed : mapping
        Case to its files and their bytes.
    count : int
        Instances.
    project_ids : mapping
        ProjectID of every case.
    options : RunOptions
        What to write.
    """
    parts.fetch()
    work = Work(store, parts, project_ids, options, wanted_outputs(options), LARGEST_RANGE)
    instances, named = _instances(work, count), named_references(work)
    merged = merge.merge_instances(work, instances, named)
    resolved = resolve_references(work, instances, named, merged)
    counted = merge.give_series(work, merged, resolved.referred)
    patients = merge.count_patients(work, merged)
    merge.give_series_and_instances(work, merged, resolved.referred)
    for name in ("series", "merged"):
        work.drop(name)
    outcomes = _give_failures(work)
    said, noted = _give_notes(work, merged.representatives)
    per_case = _instances_per_case(instances)
    table = cases.build_cases(listed, per_case, counted.cases, outcomes, project_ids)
    with work.takers(rows.CASES) as takers:
        takers.add(table)
    _give_case_rows(work, instances)
    _give_instances(work, count)
    return Assembled(
        files=work.files,
        series=sum(counted.cases.values()),
        references=resolved.rows,
        unresolved=resolved.unresolved,
        modalities=dict(sorted(counted.modalities.items())),
        kinds=_of_each_kind(outcomes),
        patients=patients,
        studies=counted.studies,
        notes=dict(sorted(said.items())),
        noted=dict(sorted(noted.items())),
        rewritten=work.rewritten,
    )


# -- instances ---------------------------------------------------------------------------------------


def _instances(work: Work, count: int) -> Stream:
    """Return the instances of all parts: held where they are few, else read when asked for."""
    stream = _stored(work.parts, count, _NEEDED)
    return stream if count > work.most else Stream.of(stream.table())


def _stored(parts: Parts, count: int, names: set[str]) -> Stream:
    """Return some columns of the instances of all parts."""
    schema = pa.schema([field for field in INSTANCES if field.name in names])

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        own = pa.schema([schema.field(name) for name in columns])
        return (batch.cast(own) for batch in parts.instance_batches(columns))

    return Stream(schema, count, read)


def _give_instances(work: Work, count: int) -> None:
    """Return all instances, with the columns that are asked for, to those who take them."""
    with work.takers(rows.PARTS):
        # Who takes parts publishes them as they are.
        pass
    key = rows.INSTANCES.key
    columns = [one.columns_of(work.options) for one in work.outputs_of(rows.INSTANCES)]
    if columns:
        streams = {"instances": _stored(work.parts, count, set().union(key, *columns))}
        with work.takers(rows.INSTANCES) as takers:
            for one in work.ranges("instances", streams, Key.by(*key)):
                takers.add(one["instances"].table().sort_by([(name, "ascending") for name in key]))


# -- failures, notes, cases --------------------------------------------------------------------------


def _give_failures(work: Work) -> Counter[tuple[str, str]]:
    """Return the failures, sorted by all columns; count those of each case and kind."""
    outcomes: Counter[tuple[str, str]] = Counter()
    streams = {"failures": work.stream_of("failures", FAILURES)}
    with work.takers(rows.FAILURES) as takers:
        for one in work.ranges("failures", streams, Key.by(*rows.FAILURES.key)):
            table = one["failures"].table()
            takers.add(table.sort_by([(name, "ascending") for name in FAILURES.names]))
            outcomes.update(zip(values_of(table["case"]), values_of(table["kind"]), strict=True))
    return outcomes


def _of_each_kind(outcomes: Counter[tuple[str, str]]) -> dict[str, int]:
    kinds: Counter[str] = Counter()
    for (_, kind), failures in outcomes.items():
        kinds[kind] += failures
    return dict(sorted(kinds.items()))


def _give_notes(work: Work, representatives: Array) -> tuple[Counter[str], Counter[str]]:
    """Return the notes, sorted by all columns; count them, and the instances, of each kind."""
    said, instances = Counter[str](), Counter[str]()
    streams = {"notes": work.stream_of("notes", NOTED)}
    with work.takers(rows.NOTES) as takers:
        for one in work.ranges("notes", streams, Key.by(*rows.NOTES.key)):
            table = notes.published(NotedTable(one["notes"].table()), representatives)
            takers.add(table)
            said.update(values_of(table["note"]))
            instances.update(notes.instances_of_each(table))
    return said, instances


def _instances_per_case(instances: Stream) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for batch in instances.read(["case"]):
        for item in pc.value_counts(batch["case"]).to_pylist():
            counts[item["values"]] += item["counts"]
    return dict(counts)


def _give_case_rows(work: Work, instances: Stream) -> None:
    """Return the rows of the case tables to those who take them."""
    if not work.outputs_of(rows.CASE_ROWS, rows.HIDDEN_CASE_ROWS):
        return
    ranges = case_row_ranges(
        instances.only(*cases.COLUMNS),
        work.project_ids,
        work.ranges,
        work.scratch,
        by_file=work.options.case_rows == "file",
        most=work.most,
    )
    with work.takers(rows.CASE_ROWS) as takers, work.takers(rows.HIDDEN_CASE_ROWS) as others:
        for table in ranges:
            takers.add(table)
            if others:
                # With --desensitize names are pseudonyms already.
                hidden = table if work.options.desensitize else cases.desensitized(table)
                others.add(hidden)
