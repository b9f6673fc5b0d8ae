"""Take the parts that the workers left; prepare everything a catalog publishes. One writer.

Series and cases are taken in ranges, so that no more than one range of instances is held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pds

from dcmdask import cases, index, references, series
from dcmdask._version import __version__
from dcmdask.config import RunOptions
from dcmdask.outputs import imgtools
from dcmdask.outputs.csv import render_csv, render_header, render_rows
from dcmdask.outputs.json import render_records
from dcmdask.schema import CASES, CRAWL_DB, FAILURES, INDEX, REFERENCES, TEMPLATE, stamped
from dcmdask.store import Parts, Store, writing

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
    series_counts: dict[str, int],
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
    ranges = series.series_ranges(series_counts, LARGEST_RANGE)
    described = parts.read("described")
    merged = _merge(parts, ranges, described)
    resolved = _resolve(parts, merged)
    merged = index.with_references(merged, references.referred_series(resolved))
    failures = parts.read("failures").sort_by([(name, "ascending") for name in FAILURES.names])
    per_case = _instances_per_case(parts)
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
        _write_imgtools(store, parts, ranges, merged, index_table, excel=options.excel)
    if options.layout in ("cases", "all"):
        _write_cases(store, parts, per_case, project_ids, options)
    count = parts.publish_instances(store)
    return Assembled(
        files=[f"instances/part-{number:05d}.parquet" for number in range(count)],
        series=merged.num_rows,
        references=resolved.num_rows,
        unresolved=pc.sum(pc.equal(resolved["resolution"], references.UNRESOLVED)).as_py() or 0,
        modalities=dict(sorted(Counter(m or "" for m in merged["Modality"].to_pylist()).items())),
        kinds=dict(sorted(Counter(failures["kind"].to_pylist()).items())),
        patients=len(set(merged["PatientID"].to_pylist())),
        studies=len(set(merged["StudyInstanceUID"].to_pylist())),
    )


def _in_range(bounds: tuple[str, str]) -> pds.Expression:
    field = pds.field("SeriesInstanceUID")
    return (field >= bounds[0]) & (field <= bounds[1])


def _merge(parts: Parts, ranges: list[tuple[str, str]], described: pa.Table) -> pa.Table:
    tables = [
        series.merge_series(parts.instances(series.COLUMNS, _in_range(bounds)), described)
        for bounds in ranges
    ]
    if not tables:
        return series.merge_series(parts.instances(series.COLUMNS).slice(0, 0), described)
    return pa.concat_tables(tables)


def _resolve(parts: Parts, merged: pa.Table) -> pa.Table:
    named = references.of_representatives(parts.read("references"), merged)
    wanted = references.wanted_sops(named)
    found = [
        batch.filter(pc.is_in(batch["SOPInstanceUID"], value_set=wanted))
        for batch in parts.instance_batches(references.TARGET_COLUMNS)
    ]
    schema = pa.schema([(name, pa.string()) for name in references.TARGET_COLUMNS])
    targets = pa.Table.from_batches([batch.cast(schema) for batch in found], schema)
    return references.resolve_references(named, targets, merged)


def _instances_per_case(parts: Parts) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for batch in parts.instance_batches(["case"]):
        for item in pc.value_counts(batch["case"]).to_pylist():
            counts[item["values"]] += item["counts"]
    return dict(counts)


def _write_imgtools(
    store: Store,
    parts: Parts,
    ranges: list[tuple[str, str]],
    merged: pa.Table,
    index_table: pa.Table,
    *,
    excel: bool,
) -> None:
    def instances() -> Iterator[pa.Table]:
        for bounds in ranges:
            yield parts.instances(imgtools.INSTANCE_COLUMNS, _in_range(bounds))

    def both() -> Iterator[tuple[pa.Table, pa.Table]]:
        for bounds, table in zip(ranges, instances(), strict=True):
            uid = merged["SeriesInstanceUID"]
            inside = pc.and_(pc.greater_equal(uid, bounds[0]), pc.less_equal(uid, bounds[1]))
            yield merged.filter(inside), table

    with store.open_output("index.csv") as stream:
        stream.write(imgtools.render_index(index_table, excel=excel))
    for name, pieces in (
        ("crawl_db.json", imgtools.render_crawl_db(both())),
        ("sop_map.json", imgtools.render_sop_map(instances())),
    ):
        with store.open_output(name) as stream:
            stream.writelines(pieces)


def _write_cases(
    store: Store,
    parts: Parts,
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
        where = pds.field("case").isin(group)
        rows = cases.build_case_rows(parts.instances(cases.COLUMNS, where), project_ids)
        for name, change in merged.items():
            with writing(name), open(store.staged(name), "ab") as stream:
                stream.write(render_rows(change(rows), _CASE_COLUMNS, excel=options.excel))
        if not options.only_merged:
            _write_each_case(store, rows, group, stems, options)


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
    store: Store,
    rows: pa.Table,
    group: list[str],
    stems: Mapping[str, str],
    options: RunOptions,
) -> None:
    names = rows["case"].to_pylist()
    spans: dict[str, tuple[int, int]] = {}
    for number, name in enumerate(names):
        start, _ = spans.get(name, (number, number))
        spans[name] = (start, number + 1)
    for case in group:
        start, stop = spans.get(case, (0, 0))
        own = rows.slice(start, stop - start)
        with store.open_output(f"cases/{stems[case]}.csv") as stream:
            stream.write(render_csv(own, _CASE_COLUMNS, excel=options.excel))
        if options.export_json:
            with store.open_output(f"cases/{stems[case]}.json") as stream:
                stream.write(render_records(own, _CASE_COLUMNS))
