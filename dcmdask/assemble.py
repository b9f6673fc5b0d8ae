"""Take the parts that the workers left; prepare everything a catalog publishes. One writer.

Series and cases are taken in ranges, so that no more than one range of instances is held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dcmdask import cases, index, references, series
from dcmdask._version import __version__
from dcmdask.codes import rows_with
from dcmdask.config import RunOptions
from dcmdask.outputs import imgtools
from dcmdask.outputs.csv import render_header, render_lines
from dcmdask.outputs.json import as_list, render_records
from dcmdask.parts import Parts
from dcmdask.schema import (
    CASES,
    CRAWL_DB,
    FAILURES,
    INDEX,
    INSTANCES,
    REFERENCES,
    TEMPLATE,
    stamped,
)
from dcmdask.store import Store
from dcmdask.writing import writing

LARGEST_RANGE = 500_000
"""Instances held at once."""

PUBLISHED = (
    "instances",
    "crawl_db.parquet",
    "index.parquet",
    "references.parquet",
    "failures.parquet",
    "cases.parquet",
    "index.csv",
    "crawl_db.json",
    "sop_map.json",
    "cases",
    "all_cases.csv",
    "all_cases_original.csv",
    "all_cases_desensitized.csv",
)
"""Names that a run answers for in OUT."""

_CASE_COLUMNS = ("ProjectID", *TEMPLATE)
_READ = {*series.COLUMNS, *imgtools.INSTANCE_COLUMNS, *cases.COLUMNS, *references.TARGET_COLUMNS}
_HELD = pa.schema([field for field in INSTANCES if field.name in _READ])


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
    """

    files: list[str]
    series: int
    references: int
    unresolved: int
    modalities: dict[str, int]
    kinds: dict[str, int]
    patients: int
    studies: int


def assemble(
    store: Store,
    parts: Parts,
    listed: Mapping[str, tuple[int, int]],
    count: int,
    project_ids: Mapping[str, int],
    options: RunOptions,
) -> Assembled:
    """Prepare tables and files in the staging area.

    Parameters
    ----------
    store : Store
        The output folder, locked.
    parts : Parts
        What partitions left.
    listed : mapping
        Case to its files and their bytes.
    series_counts : dict
        SeriesInstanceUID to its instances.
    project_ids : mapping
        ProjectID of every case.
    options : RunOptions
        What to write.
    """
    series_counts: Counter[str] = Counter()
    for batch in parts.instance_batches(["SeriesInstanceUID"]):
        for item in pc.value_counts(batch[0].drop_null()).to_pylist():
            series_counts[item["values"]] += item["counts"]
    ranges = series.series_ranges(series_counts, LARGEST_RANGE)
    described = parts.read("described")
    instances = _Instances(parts, at_least=sum(series_counts.values()))
    per_case = _instances_per_case(instances)
    merged = _merge(instances, ranges, described)
    resolved = _resolve(instances, parts.read("references"), merged)
    merged = index.with_references(merged, references.referred_series(resolved))
    failures = parts.read("failures").sort_by([(name, "ascending") for name in FAILURES.names])
    case_table = cases.build_cases(
        listed, per_case, Counter(merged["case"].to_pylist()), failures, project_ids
    )
    index_table = index.build_index(merged, dict(project_ids))

    def write(name: str, table: pa.Table, schema: pa.Schema) -> None:
        store.write_table(name, table.cast(stamped(schema, __version__, options.digest())))

    write("crawl_db.parquet", index.build_crawl_db(merged), CRAWL_DB)
    write("index.parquet", index_table, INDEX)
    write("references.parquet", references.published(resolved), REFERENCES)
    write("failures.parquet", failures, FAILURES)
    write("cases.parquet", case_table, CASES)
    if options.layout in ("imgtools", "all"):
        _write_imgtools(store, instances, ranges, merged, index_table, excel=options.excel)
    if options.layout in ("cases", "all"):
        _write_cases(store, instances, per_case, project_ids, options)
    files = parts.publish_instances(store.prepared / "instances")
    return Assembled(
        files=[f"instances/{name}" for name in files],
        series=merged.num_rows,
        references=resolved.num_rows,
        unresolved=pc.sum(pc.equal(resolved["resolution"], references.UNRESOLVED)).as_py() or 0,
        modalities=dict(sorted(Counter(m or "" for m in merged["Modality"].to_pylist()).items())),
        kinds=dict(sorted(Counter(failures["kind"].to_pylist()).items())),
        patients=len(set(merged["PatientID"].to_pylist())),
        studies=len(set(merged["StudyInstanceUID"].to_pylist())),
    )


class _Instances:
    """The instances of all parts: held where they are one range, else read as they are asked for.

    Parameters
    ----------
    parts : Parts
        Where they are.
    at_least : int
        How many there are, without those that belong to no series.
    """

    def __init__(self, parts: Parts, *, at_least: int) -> None:
        self._parts = parts
        self._held = _one_range(parts) if at_least <= LARGEST_RANGE else None

    def of_series(self, columns: Sequence[str], bounds: tuple[str, str]) -> pa.Table:
        """Give some columns of the instances of a range of series."""
        if self._held is None:
            uid = pc.field("SeriesInstanceUID")
            return self._parts.instances(columns, (uid >= bounds[0]) & (uid <= bounds[1]))
        return rows_with(self._held.select(list(columns)), "SeriesInstanceUID")

    def of_cases(self, columns: Sequence[str], cases: list[str]) -> pa.Table:
        """Give some columns of the instances of a group of cases."""
        if self._held is None:
            return self._parts.instances(columns, pc.field("case").isin(cases))
        return self._held.select(list(columns))

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Give some columns of all instances, piece by piece."""
        if self._held is None:
            return self._parts.instance_batches(columns)
        return iter(self._held.select(list(columns)).to_batches())


def _one_range(parts: Parts) -> pa.Table | None:
    """Give all instances; nothing if they are more than may be held."""
    batches = []
    count = 0
    for batch in parts.instance_batches(_HELD.names):
        count += batch.num_rows
        if count > LARGEST_RANGE:
            return None
        batches.append(batch.cast(_HELD))
    return pa.Table.from_batches(batches, _HELD)


def _merge(instances: _Instances, ranges: list[tuple[str, str]], described: pa.Table) -> pa.Table:
    tables = [
        series.merge_series(instances.of_series(series.COLUMNS, bounds), described)
        for bounds in ranges
    ]
    nothing = INSTANCES.empty_table().select(list(series.COLUMNS))
    return pa.concat_tables(tables or [series.merge_series(nothing, described)])


def _resolve(instances: _Instances, named: pa.Table, merged: pa.Table) -> pa.Table:
    named = references.of_representatives(named, merged)
    wanted = references.wanted_sops(named)
    found = [
        batch.filter(pc.is_in(batch["SOPInstanceUID"], value_set=wanted))
        for batch in instances.batches(references.TARGET_COLUMNS)
    ]
    schema = pa.schema([(name, pa.string()) for name in references.TARGET_COLUMNS])
    targets = pa.Table.from_batches([batch.cast(schema) for batch in found], schema)
    return references.resolve_references(named, targets, merged)


def _instances_per_case(instances: _Instances) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for batch in instances.batches(["case"]):
        for item in pc.value_counts(batch["case"]).to_pylist():
            counts[item["values"]] += item["counts"]
    return dict(counts)


def _write_imgtools(
    store: Store,
    instances: _Instances,
    ranges: list[tuple[str, str]],
    merged: pa.Table,
    index_table: pa.Table,
    *,
    excel: bool,
) -> None:
    def series_of(bounds: tuple[str, str]) -> pa.Table:
        uid = merged["SeriesInstanceUID"]
        return merged.filter(
            pc.and_(pc.greater_equal(uid, bounds[0]), pc.less_equal(uid, bounds[1]))
        )

    def instances_of(bounds: tuple[str, str]) -> pa.Table:
        return instances.of_series(imgtools.INSTANCE_COLUMNS, bounds)

    with store.open_output("index.csv") as stream:
        stream.write(imgtools.render_index(index_table, excel=excel))
    both = ((series_of(bounds), instances_of(bounds)) for bounds in ranges)
    for name, pieces in (
        ("crawl_db.json", imgtools.render_crawl_db(both)),
        ("sop_map.json", imgtools.render_sop_map(map(instances_of, ranges))),
    ):
        with store.open_output(name) as stream:
            stream.writelines(pieces)


def _write_cases(
    store: Store,
    instances: _Instances,
    per_case: Mapping[str, int],
    project_ids: Mapping[str, int],
    options: RunOptions,
) -> None:
    """Write seed A's tables: one a case, or only the merged ones."""
    merged = _merged_files(options)
    stems = cases.file_stems(project_ids) if not options.only_merged else {}
    for name in merged:
        with store.open_output(name) as stream:
            stream.write(render_header(_CASE_COLUMNS, excel=options.excel))
    for group in _case_groups(per_case, project_ids):
        rows = cases.build_case_rows(instances.of_cases(cases.COLUMNS, group), project_ids)
        for name, change in merged.items():
            lines = render_lines(change(rows), _CASE_COLUMNS, excel=options.excel)
            with writing(name), open(store.staged(name), "ab") as stream:
                stream.write(lines.content)
        if not options.only_merged:
            numbers = [project_ids[case] for case in group]
            names = [stems[case] for case in group]
            _write_each_case(store, rows, numbers, names, options)


def _merged_files(options: RunOptions) -> dict[str, Callable[[pa.Table], pa.Table]]:
    """Give the merged files of a run and what is done to their rows."""

    def same(rows: pa.Table) -> pa.Table:
        return rows

    if options.only_merged:
        # With --desensitize the names are pseudonyms already, and no original is written.
        if options.desensitize:
            return {"all_cases_desensitized.csv": same}
        return {
            "all_cases_original.csv": same,
            "all_cases_desensitized.csv": cases.desensitized,
        }
    return {"all_cases.csv": same} if options.merge_all else {}


def _case_groups(per_case: Mapping[str, int], project_ids: Mapping[str, int]) -> list[list[str]]:
    """Cut the cases, in order of ProjectID, into groups of at most `LARGEST_RANGE` instances."""
    groups: list[list[str]] = []
    held = 0
    for case in sorted(project_ids, key=lambda case: project_ids[case]):
        count = per_case.get(case, 0)
        if groups and held + count <= LARGEST_RANGE:
            groups[-1].append(case)
            held += count
        else:
            groups.append([case])
            held = count
    return groups


def _write_each_case(
    store: Store, rows: pa.Table, numbers: list[int], stems: list[str], options: RunOptions
) -> None:
    """Write the files of a group of cases, whose rows are sorted by ProjectID."""
    ids = rows["ProjectID"].to_numpy()
    starts = np.searchsorted(ids, numbers, "left").tolist()
    stops = np.searchsorted(ids, numbers, "right").tolist()
    header = render_header(_CASE_COLUMNS, excel=options.excel)
    lines = render_lines(rows, _CASE_COLUMNS, excel=options.excel)
    records = render_records(rows, _CASE_COLUMNS) if options.export_json else None
    folder = store.staged("cases")
    folder.mkdir(exist_ok=True)
    for stem, start, stop in zip(stems, starts, stops, strict=True):
        _write_file(f"{folder}/{stem}.csv", header, lines.between(start, stop))
        if records is not None:
            _write_file(f"{folder}/{stem}.json", as_list(records, start, stop))


def _write_file(path: str, *pieces: bytes | memoryview) -> None:
    with writing(path), open(path, "wb") as stream:
        stream.writelines(pieces)
