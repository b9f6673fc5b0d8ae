"""Take references as objects name them; give them resolved over the whole crawl.

Nothing here knows a modality: which elements name what, under which role, and whom a frame of
reference may mean, stands in the tables of `dcmdask.extract`. Resolving is a join, and every
candidate is a row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.extract.table import ASIDE
from dcmdask.schema import REFERENCES
from dcmdask.values import TEXT

TARGET_COLUMNS = ("SOPInstanceUID", "SeriesInstanceUID", "Modality")
"""Columns of the instances that a look-up of targets gives."""

DIRECT = ("series_uid", "sop_uid")
DERIVED = ("via_plan", "via_structure_set")
INFERRED = "frame_of_reference"
UNRESOLVED = "unresolved"

_INTERNAL = ("_study", "_sub_series")

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Reference:
    """One row of the result, with the series its source belongs to."""

    sop: str | None
    key: Key
    role: str
    path: str
    level: str
    uid: str
    target_series: str | None = None
    target_modality: str | None = None
    resolution: str = UNRESOLVED
    total: int = 0
    found: int = 0

    @property
    def resolved(self) -> bool:
        return self.resolution != UNRESOLVED

    @property
    def source(self) -> Key:
        return (self.sop, self.key)


@dataclass(frozen=True, slots=True)
class _Series:
    """What resolving asks of a series of the crawl."""

    study: str | None
    uid: str
    modality: str | None
    frame: str | None


def wanted_sops(named: pa.Table) -> pa.Array:
    """Give the SOP Instance UIDs that anything refers to: all that must be looked up."""
    flat = pc.list_flatten(named["instances"])
    return pc.unique(flat)


def of_representatives(named: pa.Table, series: pa.Table) -> pa.Table:
    """Drop the references that partitions noted of an instance that is no representative."""
    chosen = pc.is_in(named["source_url"], value_set=series["representative_url"].combine_chunks())
    return named.filter(pc.or_(pc.invert(named["of_series"]), chosen))


def resolve_references(named: pa.Table, targets: pa.Table, series: pa.Table) -> pa.Table:
    """Resolve references.

    Parameters
    ----------
    named : pyarrow.Table
        `dcmdask.schema.NAMED`.
    targets : pyarrow.Table
        `TARGET_COLUMNS` of the instances that are referred to.
    series : pyarrow.Table
        `dcmdask.schema.KEY` and FrameOfReferenceUID of every series.

    Returns
    -------
    pyarrow.Table
        `dcmdask.schema.REFERENCES`, sorted by all columns, with ``_study`` and ``_sub_series`` of
        the source for the index.
    """
    held = [
        _Series(*values)
        for values in zip(
            *(
                series[name].to_pylist()
                for name in (
                    "StudyInstanceUID",
                    "SeriesInstanceUID",
                    "Modality",
                    "FrameOfReferenceUID",
                )
            ),
            strict=True,
        )
    ]
    rows = named.to_pylist()
    hits = _found_instances(named, targets)
    resolved = list(_resolve_named(rows, hits, _modalities(held)))
    resolved += _derive(resolved)
    resolved += _infer(rows, resolved, held)
    return _table(resolved)


def _found_instances(
    named: pa.Table, targets: pa.Table
) -> dict[int, list[tuple[str | None, str | None, int]]]:
    """Join listed instances with those of the crawl: row to (series, modality, how many)."""
    lists = named["instances"].combine_chunks()
    flat = pa.table(
        {
            "row": pc.list_parent_indices(lists),
            "SOPInstanceUID": pc.list_flatten(lists),
        }
    )
    joined = flat.join(targets, "SOPInstanceUID", join_type="inner")
    counted = joined.group_by(["row", "SeriesInstanceUID", "Modality"]).aggregate(
        [("SOPInstanceUID", "count_distinct")]
    )
    hits = defaultdict(list)
    for hit in counted.to_pylist():
        count = hit["SOPInstanceUID_count_distinct"]
        hits[hit["row"]].append((hit["SeriesInstanceUID"], hit["Modality"], count))
    return hits


def _modalities(series: Iterable[_Series]) -> dict[str, list[str | None]]:
    found: dict[str, set[str | None]] = defaultdict(set)
    for one in series:
        found[one.uid].add(one.modality)
    return {uid: sorted(values, key=lambda m: m or "") for uid, values in found.items()}


def _key(row: dict[str, Any]) -> Key:
    return (
        row["SourceStudyInstanceUID"],
        row["SourceSeriesInstanceUID"],
        row["SourceModality"],
        row["SourceSubSeries"],
    )


def _resolve_named(
    rows: list[dict[str, Any]],
    hits: dict[int, list[tuple[str | None, str | None, int]]],
    modalities: dict[str, list[str | None]],
) -> Iterator[_Reference]:
    for number, row in enumerate(rows):
        if row["target_level"] == INFERRED:
            continue
        reference = _Reference(
            row["SourceSOPInstanceUID"],
            _key(row),
            row["role"],
            row["attribute_path"],
            row["target_level"],
            row["target_uid"],
            total=len(row["instances"]),
        )
        yield from _candidates(reference, hits.get(number, []), modalities)


def _candidates(
    reference: _Reference,
    hits: list[tuple[str | None, str | None, int]],
    modalities: dict[str, list[str | None]],
) -> Iterator[_Reference]:
    """Give the targets of one reference: the series it names, and where its instances lie."""
    counts = {(series, modality): count for series, modality, count in hits}
    by_instance = dict(counts)
    some = False
    if reference.level == "series" or not counts:
        # Some writers put a series UID where an instance's belongs: it is tried as one.
        for modality in _named_modalities(reference, counts, modalities):
            some = True
            spot = (reference.uid, modality)
            yield replace(
                reference,
                level="series",
                target_series=reference.uid,
                target_modality=modality,
                resolution="series_uid",
                total=reference.total if reference.level == "series" else 0,
                found=by_instance.pop(spot, 0),
            )
    for (series, modality), count in by_instance.items():
        if series is None:
            continue
        some = True
        yield replace(
            reference,
            target_series=series,
            target_modality=modality,
            resolution="sop_uid",
            found=count,
        )
    if not some:
        yield reference


def _named_modalities(
    reference: _Reference,
    counts: dict[tuple[str | None, str | None], int],
    modalities: dict[str, list[str | None]],
) -> list[str | None]:
    """Tell which objects of the named series are meant, where several kinds share its UID."""
    candidates = modalities.get(reference.uid, [])
    if len(candidates) < 2:
        return candidates
    confirmed = [m for m in candidates if (reference.uid, m) in counts]
    others = [m for m in candidates if (reference.uid, m) != reference.key[1:3]]
    return confirmed or others


def _derive(resolved: list[_Reference]) -> list[_Reference]:
    """Follow plan to structure set to image, each step an edge of its own."""
    by_source: dict[tuple[str | None, str], list[_Reference]] = defaultdict(list)
    for reference in resolved:
        if reference.resolved and reference.sop is not None:
            by_source[(reference.sop, reference.role)].append(reference)
    derived = list(_through(resolved, "plan", "structure_set", "via_plan", by_source))
    sets = [*resolved, *derived]
    derived += _through(sets, "structure_set", "image", "via_structure_set", by_source)
    return derived


def _through(
    references: list[_Reference],
    middle: str,
    end: str,
    resolution: str,
    by_source: dict[tuple[str | None, str], list[_Reference]],
) -> Iterator[_Reference]:
    direct = {(r.source, r.uid) for r in references if r.role == end and r.resolved}
    for first in references:
        if first.role != middle or not first.resolved:
            continue
        for second in by_source.get((first.uid, end), ()):
            if (first.source, second.uid) not in direct:
                yield replace(
                    second,
                    sop=first.sop,
                    key=first.key,
                    path=f"{first.path} > {second.path}",
                    resolution=resolution,
                )


def _infer(
    rows: list[dict[str, Any]], resolved: list[_Reference], held: list[_Series]
) -> Iterator[_Reference]:
    """Relate objects by frame of reference where nothing else relates them to an image."""
    targets: dict[Key, set[str | None]] = defaultdict(set)
    for reference in resolved:
        if reference.resolved:
            targets[reference.source].add(reference.target_modality)
    frames: dict[str, list[_Series]] = defaultdict(list)
    for one in held:
        if one.frame is not None:
            frames[one.frame].append(one)
    for row in rows:
        if row["target_level"] != INFERRED:
            continue
        groups = [group.split(",") for group in row["prefer"].split(">")]
        reference = _Reference(
            row["SourceSOPInstanceUID"],
            _key(row),
            row["role"],
            row["attribute_path"],
            INFERRED,
            row["target_uid"],
        )
        if targets[reference.source] & {modality for group in groups for modality in group}:
            continue
        chosen = _sharing(reference, frames.get(reference.uid, []), groups)
        for one in chosen:
            yield replace(
                reference,
                target_series=one.uid,
                target_modality=one.modality,
                resolution=INFERRED,
            )
        if not chosen and "." in reference.path and not targets[reference.source]:
            # The frame was named as another object's; its own frame alone refers to nothing.
            yield reference


def _sharing(
    reference: _Reference, series: list[_Series], groups: list[list[str]]
) -> list[_Series]:
    """Choose who shares a frame: the same study before others, in it the preferred modality."""
    study, *own = reference.key[:3]
    for same_study in (True, False):
        for group in groups:
            chosen = [
                one
                for one in series
                if (one.study == study) == same_study
                and one.modality in group
                # Objects of several kinds may share a series UID: only the same kind is the same.
                and [one.uid, one.modality] != own
            ]
            if chosen:
                return chosen
    return []


def _table(references: list[_Reference]) -> pa.Table:
    distinct = {
        (r.sop, r.key, r.role, r.level, r.uid, r.target_series, r.target_modality): r
        for r in sorted(
            references, key=lambda r: (r.resolution, r.path, r.total, r.found), reverse=True
        )
    }
    rows = list(distinct.values())
    columns: dict[str, list[Any]] = {
        "SourceSOPInstanceUID": [r.sop for r in rows],
        "SourceSeriesInstanceUID": [r.key[1] for r in rows],
        "SourceModality": [r.key[2] for r in rows],
        "role": [r.role for r in rows],
        "attribute_path": [r.path for r in rows],
        "target_level": [r.level for r in rows],
        "target_uid": [r.uid for r in rows],
        "TargetSeriesInstanceUID": [r.target_series for r in rows],
        "TargetModality": [r.target_modality for r in rows],
        "resolution": [r.resolution for r in rows],
        "instance_total": [r.total for r in rows],
        "instance_found": [r.found for r in rows],
        "_study": [r.key[0] for r in rows],
        "_sub_series": [r.key[3] for r in rows],
    }
    schema = pa.schema([*REFERENCES, ("_study", TEXT), ("_sub_series", pa.int64())])
    table = pa.table(columns, schema=schema)
    return table.sort_by([(name, "ascending") for name in schema.names])


def published(references: pa.Table) -> pa.Table:
    """Give the references without what only the index needs."""
    return references.drop_columns(list(_INTERNAL))


def referred_series(references: pa.Table) -> dict[Key, list[tuple[str, str]]]:
    """Give, for every series that refers to others, what the index shows.

    Of each object direct references outrank those found through a plan or structure set, and these
    what a frame of reference suggests. Last comes what the object is not about: a predecessor, the
    dose of a plan, which names that plan in its turn. A series does not refer to itself.

    Returns
    -------
    dict
        `dcmdask.schema.KEY` to sorted (SeriesInstanceUID, Modality) pairs.
    """
    names = ("_study", "SourceSeriesInstanceUID", "SourceModality", "_sub_series")
    sop = "SourceSOPInstanceUID"
    columns = [*names, sop, "role", "TargetSeriesInstanceUID", "TargetModality", "resolution"]
    tiers: dict[Key, dict[int, set[tuple[str, str]]]] = defaultdict(lambda: defaultdict(set))
    for row in references.select(columns).to_pylist():
        tier = _tier(row["role"], row["resolution"])
        target = (row["TargetSeriesInstanceUID"], row["TargetModality"] or "")
        key = tuple(row[name] for name in names)
        if tier is not None and target != (key[1], key[2] or ""):
            tiers[(key, row[sop])][tier].add(target)
    shown: dict[Key, set[tuple[str, str]]] = defaultdict(set)
    for (key, _), found in tiers.items():
        shown[key] |= found[min(found)]
    return {key: sorted(targets) for key, targets in shown.items()}


def _tier(role: str, resolution: str) -> int | None:
    if resolution == UNRESOLVED:
        return None
    if role in ASIDE:
        return 3
    if resolution in DIRECT:
        return 0
    return 1 if resolution in DERIVED else 2
