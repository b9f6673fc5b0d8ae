"""Take references as objects name them; give them resolved over the whole crawl.

Nothing here knows a modality: which elements name what, under which role, and whom a frame of
reference may mean, stands in the tables of `dcmdask.extract`. Resolving is a join, and every
candidate is a row.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.dicom.values import TEXT
from dcmdask.extract.chains import IMAGES, hangs_on, is_root, preference, step_of
from dcmdask.extract.table import ASIDE
from dcmdask.table_types import (
    FoundTable,
    InstancesTable,
    ListedTable,
    NumberedTable,
    ReferencesTable,
    ResolvedTable,
    WholeTable,
)
from dcmdask.tables.arrow import Array, Column, values_of
from dcmdask.tables.factorize import Codes, codes_of, first_rows
from dcmdask.tables.schema import KEY, NAMED, REFERENCES

TARGET_COLUMNS = ("SOPInstanceUID", "SeriesInstanceUID", "Modality")
"""Columns of the instances that a look-up of targets gives."""

DIRECT = ("series_uid", "sop_uid")
DERIVED = ("via_plan", "via_structure_set")
INFERRED = "frame_of_reference"
UNRESOLVED = "unresolved"

_BESIDE, _OUTSIDE = 3, 4
_INTERNAL = ("_study", "_sub_series")
_SOURCE = [f"Source{name}" for name in KEY]
_ON_THE_WAY = ("plan", "structure_set")

Key = tuple[Any, ...]

Target = tuple[str, str]
"""SeriesInstanceUID and Modality."""

Targets = dict[Target, tuple[int, int]]
"""Targets of a series: how far behind the best, and less how many of the instances listed it holds."""


_ROW = pa.field("row", pa.int64())
_SOP = pa.field("SourceSOPInstanceUID", TEXT)

NUMBERED = pa.schema(
    [_ROW, *(field for field in NAMED if field.name != "instances"), pa.field("total", pa.int64())]
)
"""References as objects name them, with how many instances they list instead of which."""

LISTED = pa.schema([_ROW, _SOP, pa.field("SOPInstanceUID", TEXT)])
"""Which reference lists which instance."""

FOUND = pa.schema(
    [
        _ROW,
        _SOP,
        pa.field("SeriesInstanceUID", TEXT),
        pa.field("Modality", TEXT),
        pa.field("count", pa.int64()),
    ]
)
"""How many of the instances that a reference lists lie in which series."""

SERIES_COLUMNS = (*KEY[:3], "FrameOfReferenceUID")
"""Columns of a series that resolving needs."""


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


Lying = Mapping[tuple[str | None, str | None], int]
Hits = dict[int, Counter[tuple[str | None, str | None]]]
Named = list[tuple[int, _Reference, str]]


def without_lists(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield `NUMBERED` of `dcmdask.tables.schema.NAMED`, numbered in the order they come in."""
    row = 0
    for batch in batches:
        columns: dict[str, Any] = dict(zip(batch.schema.names, batch.columns, strict=True))
        columns["row"] = pa.array(np.arange(row, row + batch.num_rows))
        columns["total"] = pc.list_value_length(columns["instances"]).cast(pa.int64())
        yield pa.record_batch([columns[name] for name in NUMBERED.names], schema=NUMBERED)
        row += batch.num_rows


def listed_instances(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield `LISTED` of `dcmdask.tables.schema.NAMED`, numbered as by `without_lists`."""
    row = 0
    for batch in batches:
        lists = batch["instances"]
        parents = pc.list_parent_indices(lists)
        rows = pc.add(parents.cast(pa.int64()), row)
        columns = [rows, batch[_SOP.name].take(parents), pc.list_flatten(lists)]
        yield pa.record_batch(columns, schema=LISTED)
        row += batch.num_rows


def count_found(listed: ListedTable, instances: InstancesTable) -> FoundTable:
    """Count, for every reference, the instances it lists that the crawl holds.

    Parameters
    ----------
    listed : pyarrow.Table
        `LISTED`, of all SOP Instance UIDs or of a range of them.
    instances : pyarrow.Table
        `TARGET_COLUMNS` of at least the instances with these UIDs.

    Returns
    -------
    pyarrow.Table
        `FOUND`. What ranges give is one table: each counts its own instances.
    """
    uids = [*listed["SOPInstanceUID"].chunks, *instances["SOPInstanceUID"].chunks]
    codes = codes_of(pa.chunked_array(uids, pa.string()))
    wanted, held = codes[: listed.num_rows], codes[listed.num_rows :]
    # Codes are given as values first appear: those that are listed come before all others.
    targets = np.flatnonzero(held <= wanted.max(initial=-1))
    lying = instances.select(["SeriesInstanceUID", "Modality"]).take(pa.array(targets))
    series = codes_of(*lying.columns)
    rows, spots = _joined(listed["row"].to_numpy(), wanted, held[targets], series)
    pairs, sizes = np.unique(np.stack([rows, spots]), axis=1, return_counts=True)
    first = lying.take(pa.array(first_rows(series)[pairs[1]]))
    numbers, where = np.unique(listed["row"].to_numpy(), return_index=True)
    sources = listed[_SOP.name].take(pa.array(where[np.searchsorted(numbers, pairs[0])]))
    return FoundTable(pa.table([pairs[0], sources, *first.columns, sizes], schema=FOUND))


def _joined(rows: Codes, wanted: Codes, held: Codes, series: Codes) -> tuple[Codes, Codes]:
    """Return row and series of every instance that a row wants and a series holds, each once."""
    places = np.unique(np.stack([held, series]), axis=1)
    wishes = np.unique(np.stack([rows, wanted]), axis=1)
    start = np.searchsorted(places[0], wishes[1], "left")
    sizes = np.searchsorted(places[0], wishes[1], "right") - start
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.repeat(wishes[0], sizes), places[1][np.repeat(start, sizes) + within]


def of_representatives(named: NumberedTable, urls: Array) -> NumberedTable:
    """Drop the references that partitions noted of an instance that is no representative.

    Parameters
    ----------
    named : pyarrow.Table
        `NUMBERED`.
    urls : pyarrow.Array
        Of at least the representatives that `noted_of` gives.
    """
    chosen = pc.is_in(named["source_url"], value_set=urls)
    return named.filter(pc.or_(pc.invert(named["of_series"]), chosen))


def noted_of(named: NumberedTable | pa.RecordBatch) -> Array:
    """Return the URLs of instances whose references count only if they are representatives."""
    urls: Array = pc.unique(named["source_url"].filter(named["of_series"]))
    return urls


def frames_named(named: NumberedTable | pa.RecordBatch) -> Array:
    """Return the frames of reference that are targets."""
    inferred = pc.equal(named["target_level"], INFERRED)
    frames: Array = pc.unique(named["target_uid"].filter(inferred))
    return frames


def named_on_the_way(named: NumberedTable | pa.RecordBatch) -> Array:
    """Return the SOP Instance UIDs of plans and structure sets that other objects name."""
    chained = pc.is_in(named["role"], value_set=pa.array(_ON_THE_WAY))
    uids: Array = pc.unique(named["target_uid"].filter(chained))
    return uids


class Resolver:
    """Resolves references, all at once or those of some sources at a time.

    Parameters
    ----------
    series : pyarrow.Table
        `SERIES_COLUMNS` of at least the series whose UID or frame of reference is a target.
    named, found : pyarrow.Table
        `NUMBERED` and `FOUND` of at least the sources that `named_on_the_way` gives.
    """

    def __init__(self, series: WholeTable, named: NumberedTable, found: FoundTable) -> None:
        columns = (_shared(series[name]) for name in SERIES_COLUMNS)
        held = [_Series(*values) for values in zip(*columns, strict=True)]
        self._modalities = _modalities(held)
        self._frames: dict[str, list[_Series]] = defaultdict(list)
        for one in held:
            if one.frame is not None:
                self._frames[one.frame].append(one)
        self._on_the_way: dict[tuple[str | None, str], list[_Reference]] = defaultdict(list)
        for reference in _resolve_named(_as_objects(named), _hits(found), self._modalities):
            if reference.resolved and reference.sop is not None:
                self._on_the_way[(reference.sop, reference.role)].append(reference)

    def resolve(self, named: NumberedTable, found: FoundTable) -> ResolvedTable:
        """Resolve the references of some sources.

        Parameters
        ----------
        named, found : pyarrow.Table
            All of `NUMBERED` and `FOUND` of these sources.

        Returns
        -------
        pyarrow.Table
            `dcmdask.tables.schema.REFERENCES`, sorted by all columns, with ``_study`` and ``_sub_series``
            of the source for the index.
        """
        rows = _as_objects(named)
        resolved = list(_resolve_named(rows, _hits(found), self._modalities))
        resolved += _derive(resolved, self._on_the_way)
        resolved += _infer(rows, resolved, self._frames)
        return _table(resolved)


def _as_objects(named: NumberedTable) -> Named:
    """Return number, reference and preferred modalities of every row; equal texts are one."""
    codes = codes_of(*(named[name] for name in _SOURCE))
    sources = named.select(_SOURCE).take(pa.array(first_rows(codes)))
    keys = list(zip(*(column.to_pylist() for column in sources.columns), strict=True))
    names = ("role", "attribute_path", "target_level", "target_uid", "prefer")
    texts = zip(*(_shared(named[name]) for name in ("SourceSOPInstanceUID", *names)), strict=True)
    numbers = zip(codes.tolist(), values_of(named["row"]), values_of(named["total"]), strict=True)
    return [
        (row, _Reference(sop, keys[code], role, path, level, uid, total=total), prefer)
        for (code, row, total), (sop, role, path, level, uid, prefer) in zip(
            numbers, texts, strict=True
        )
    ]


def _shared(column: Column) -> list[Any]:
    codes = codes_of(column)
    distinct = column.take(pa.array(first_rows(codes))).to_pylist()
    return [distinct[code] for code in codes]


def _hits(found: FoundTable) -> Hits:
    """Add up, for every row, how many of its instances lie in which (series, modality)."""
    hits: Hits = defaultdict(Counter)
    columns = (_shared(found[name]) for name in FOUND.names)
    for row, _, series, modality, count in zip(*columns, strict=True):
        hits[row][(series, modality)] += count
    return hits


def _modalities(series: Iterable[_Series]) -> dict[str, list[str | None]]:
    found: dict[str, set[str | None]] = defaultdict(set)
    for one in series:
        found[one.uid].add(one.modality)
    return {uid: sorted(values, key=lambda m: m or "") for uid, values in found.items()}


def _resolve_named(
    rows: Named, hits: Hits, modalities: dict[str, list[str | None]]
) -> Iterator[_Reference]:
    for number, reference, _ in rows:
        if reference.level != INFERRED:
            yield from _candidates(reference, hits.get(number, {}), modalities)


def _candidates(
    reference: _Reference,
    counts: Lying,
    modalities: dict[str, list[str | None]],
) -> Iterator[_Reference]:
    """Yield the targets of one reference: the series it names, and where its instances lie."""
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
    counts: Lying,
    modalities: dict[str, list[str | None]],
) -> list[str | None]:
    """Tell which objects of the named series are meant, where several kinds share its UID."""
    candidates = modalities.get(reference.uid, [])
    if len(candidates) < 2:
        return candidates
    confirmed = [m for m in candidates if (reference.uid, m) in counts]
    others = [m for m in candidates if (reference.uid, m) != reference.key[1:3]]
    return confirmed or others


def _derive(
    resolved: list[_Reference],
    by_source: Mapping[tuple[str | None, str], list[_Reference]],
) -> list[_Reference]:
    """Follow plan to structure set to image, each step an edge of its own."""
    derived = list(_through(resolved, "plan", "structure_set", "via_plan", by_source))
    sets = [*resolved, *derived]
    derived += _through(sets, "structure_set", "image", "via_structure_set", by_source)
    return derived


def _through(
    references: list[_Reference],
    middle: str,
    end: str,
    resolution: str,
    by_source: Mapping[tuple[str | None, str], list[_Reference]],
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
    rows: Named, resolved: list[_Reference], frames: Mapping[str, list[_Series]]
) -> Iterator[_Reference]:
    """Relate objects by frame of reference where nothing else relates them to an image."""
    targets: dict[Key, set[str | None]] = defaultdict(set)
    for reference in resolved:
        if reference.resolved:
            targets[reference.source].add(reference.target_modality)
    for _, reference, prefer in rows:
        if reference.level != INFERRED:
            continue
        groups = [group.split(",") for group in prefer.split(">")]
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


def _table(references: list[_Reference]) -> ResolvedTable:
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
    table = ResolvedTable(pa.table(columns, schema=schema))
    return table.sort_by([(name, "ascending") for name in schema.names])


def published(references: ResolvedTable) -> ReferencesTable:
    """Return the references without what only the index needs."""
    return ReferencesTable(references.drop_columns(list(_INTERNAL)))


def referred_series(references: ResolvedTable) -> dict[Key, Targets]:
    """Give, for every series that refers to others, the series that its objects refer to.

    Of each object direct references outrank those found through a plan or structure set, and these
    what a frame of reference suggests. What the object is not about (a predecessor; the dose of a
    plan, which names that plan in its turn) counts where there is nothing else. A series does not
    refer to itself. A series that is named and is not in the crawl keeps its UID.

    Returns
    -------
    dict
        `dcmdask.tables.schema.KEY` to `Targets`: those of several objects, or of the objects of several
        ranges, are put together by `add_targets`.
    """
    names = ("_study", "SourceSeriesInstanceUID", "SourceModality", "_sub_series")
    sop, uid = "SourceSOPInstanceUID", "target_uid"
    target_columns = ("TargetSeriesInstanceUID", "TargetModality", "instance_found")
    columns = [*names, sop, uid, "target_level", "role", "resolution", *target_columns]
    found: dict[tuple[Key, str | None], list[tuple[int, Target, int]]] = defaultdict(list)
    for row in references.select(columns).to_pylist():
        tier = _tier(row["role"], row["resolution"], row["target_level"])
        series, modality, count = (row[name] for name in target_columns)
        target = (series or row[uid], modality or "")
        key = tuple(row[name] for name in names)
        if tier is not None and target != (key[1], key[2] or ""):
            found[(key, row[sop])].append((tier, target, count))
    shown: dict[Key, Targets] = defaultdict(dict)
    for (key, _), targets in found.items():
        add_targets(shown[key], _of_object(targets))
    return dict(shown)


def _tier(role: str, resolution: str, level: str) -> int | None:
    """Tell how much a reference says of whom its source is about; None: nothing."""
    if resolution == UNRESOLVED:
        return _OUTSIDE if level == "series" and role not in ASIDE else None
    if role in ASIDE:
        return _BESIDE
    if resolution in DIRECT:
        return 0
    return 1 if resolution in DERIVED else 2


def _of_object(found: list[tuple[int, Target, int]]) -> Targets:
    """Return the targets of one object, by how many tiers behind its best each of them stands."""
    best = min(tier for tier, _, _ in found)
    targets: Targets = {}
    for tier, target, count in found:
        if tier in (_OUTSIDE, best) or tier < _BESIDE:
            step = 0 if tier == _OUTSIDE else tier - best
            add_targets(targets, {target: (step, -count)})
    return targets


def add_targets(targets: Targets, others: Targets) -> None:
    """Add the targets of other objects of a series, in any order."""
    for target, rank in others.items():
        targets[target] = min(rank, targets.get(target, rank))


def in_order(referred: Mapping[Key, Targets]) -> dict[Key, list[Target]]:
    """Give, for every series that refers to others, what the index shows, the preferred last.

    Preferred is what leads to an image, then the next step of a chain (a plan to the structure set
    it names, that to an image), then the series with more of the instances that are listed, then
    the least UID. Where nothing on the best tier leads to an image, what does on the next is shown
    too: a dose whose plan leads nowhere, beside that plan, with the images of its frame.

    Returns
    -------
    dict
        `dcmdask.tables.schema.KEY` to (SeriesInstanceUID, Modality) pairs; Modality is empty where there
        is none, as of what is not in the crawl.
    """
    leading: set[Target] = set()
    shown: dict[Key, list[Target]] = {}
    for key in sorted(referred, key=lambda key: step_of(key[2])):
        leads = partial(_leads, key[2], leading)
        targets = referred[key]
        chosen = _as_far_as_needed(targets, leads)
        shown[key] = sorted(
            sorted(chosen, reverse=True),
            key=lambda one: (one[1] != "", leads(one), preference(one[1]), -targets[one][1]),
        )
        if leads(shown[key][-1]):
            leading.add((key[1], key[2] or ""))
    return shown


def _leads(source: str | None, leading: set[Target], target: Target) -> bool:
    """Tell whether a target is an image that chains begin with, or leads to one.

    Only over steps nearer to it than the source, so that nothing leads to an image over itself.
    """
    modality = target[1]
    if source in IMAGES:
        return hangs_on(source, modality)
    is_nearer = step_of(modality) < step_of(source)
    return is_nearer and (is_root(modality) or target in leading)


def _as_far_as_needed(targets: Targets, leads: Callable[[Target], bool]) -> list[Target]:
    """Return the targets of the best tier, and what leads to an image on the next that has some."""
    chosen = [target for target, (step, _) in targets.items() if step == 0]
    for step in (1, 2):
        if any(map(leads, chosen)):
            break
        chosen += [one for one, (own, _) in targets.items() if own == step and leads(one)]
    return chosen
