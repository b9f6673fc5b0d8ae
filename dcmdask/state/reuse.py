"""Take what is known and what a listing still has of it; give the parts that stand for that.

A part that the listing has whole stands as it is. Of another the rows that are gone are dropped,
and small ones are put together: a crawl that goes on for years must not end in files of one line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.state.fingerprint import NEVER
from dcmdask.state.folder import Folder
from dcmdask.state.parts import read_part, read_part_instances, remove_parts, write_part
from dcmdask.state.previous_runs import Changes, Known
from dcmdask.table_types import DescribedTable, InstancesTable, ReadTable
from dcmdask.tables.arrow import Array, values_of
from dcmdask.tables.schema import KEY, MANIFEST, READ, ROW
from dcmdask.tables.series import identity_of, representatives, with_subseries
from dcmdask.types import HeaderTables, PartitionSummary

_SMALL = 4
"""Parts of less than a fourth of a partition are small."""

_MANY = 8
"""So many small ones are put together; fewer are not worth it."""

_LISTED = [name for name in MANIFEST.names if name in READ.names]
_TABLES = ("seen", "described", "references", "failures", "notes")
_RANKED = (*KEY[:3], "AcquisitionNumber", "InstanceNumber", "SOPInstanceUID", "path", "url")


class KnownRows(Protocol):
    """Parts, and which of their rows are kept: `dcmdask.state.previous_runs.Known`, or what stands for it."""

    folder: Folder
    reading: str
    summaries: list[PartitionSummary | None]

    def kept(self, part: int) -> npt.NDArray[np.bool_]: ...  # noqa: D102 - as there

    def later(self, part: int) -> npt.NDArray[np.bool_]: ...  # noqa: D102

    def position(self, part: int) -> int: ...  # noqa: D102

    def is_unfinished(self, part: int) -> bool: ...  # noqa: D102

    def changes(self) -> Changes: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class _Rest:
    """A part, and which of its rows are left."""

    number: int
    summary: PartitionSummary
    kept: npt.NDArray[np.bool_]
    later: npt.NDArray[np.bool_]

    @property
    def whole(self) -> bool:
        return bool(self.kept.all())

    @property
    def weight(self) -> int:
        return max(int(np.count_nonzero(self.kept)), self.summary.instances)


def _rests(known: KnownRows) -> Iterator[_Rest]:
    for number, summary in enumerate(known.summaries):
        if summary is not None and summary.rows:
            yield _Rest(number, summary, known.kept(number), known.later(number))


def rows_to_describe(known: Known, read_again: Iterable[str] = ()) -> Iterator[pa.Table]:
    """Yield the rows to read again because their series lost the instance that described it.

    A crawl knows deep metadata of the least instance of every series. Where that one is gone, the
    least of those that are left takes its place and has to be read deeply, and it alone.

    Parameters
    ----------
    known : Known
        After the end of the listing.
    read_again : iterable of str
        Stems of the parts that came of asking before: a file that cannot be read any more leaves
        its series to the next one.

    Yields
    ------
    pyarrow.Table
        `dcmdask.tables.schema.MANIFEST` as far as it was kept, with the name of the root for its number.
        From now on the rows are no longer among those that are kept. One that lies where nothing
        can be listed stays, and is read as soon as it is listed.
    """
    if not any(rest.kept.any() for rest in _rests(known)):
        return
    for part, row in _undescribed(known, _lost_series(known), read_again):
        if known.is_unlisted(part, row):
            known.read_later(part, row)
            continue
        known.drop(part, row)
        summary = known.summaries[part]
        assert summary is not None
        yield read_part(known.folder, summary.part, "read").slice(row, 1).select(_LISTED)


def _lost_series(known: Known) -> Array:
    """Return the series of which a described instance is gone."""
    found = pa.chunked_array([], pa.string())
    for rest in _rests(known):
        if not rest.whole:
            names = ("SeriesInstanceUID", "row")
            described = read_part(known.folder, rest.summary.part, "described", names)
            gone = described.filter(pa.array(~rest.kept[described["row"].to_numpy()]))
            found = pa.chunked_array(
                [*found.chunks, *gone["SeriesInstanceUID"].chunks], pa.string()
            )
    series: Array = pc.unique(found).drop_null()
    return series


def _undescribed(known: Known, lost: Array, read_again: Iterable[str]) -> list[tuple[int, int]]:
    """Return part and row of the least instance left of some series, where it is not described."""
    if not len(lost):
        return []
    kept = ((one.number, one.summary.part, one.kept) for one in _rests(known) if one.kept.any())
    least: InstancesTable | None = None
    for number, stem, rows in (*kept, *((-1, stem, None) for stem in read_again)):
        table = _of_series(known, stem, lost, rows)
        table = table.append_column("part", pa.repeat(number, table.num_rows))
        both = table if least is None else InstancesTable(pa.concat_tables([least, table]))
        least = both.take(pa.array(representatives(both)))
    if least is None:
        return []
    missing = least.filter(pc.invert(least["described"]))
    return sorted(set(zip(values_of(missing["part"]), values_of(missing["row"]), strict=True)))


def _of_series(
    known: Known, stem: str, series: Array, kept: npt.NDArray[np.bool_] | None
) -> InstancesTable:
    """Return the instances of some series in a part, of kept rows; whether each is described."""
    instances = read_part_instances(known.folder, stem, _RANKED)
    chosen = np.asarray(pc.is_in(instances["SeriesInstanceUID"], series))
    row = read_part(known.folder, stem, "seen", ["row"])["row"]
    if kept is not None:
        chosen &= kept[row.to_numpy()]
    table = instances.append_column("row", row).filter(pa.array(chosen))
    return table.append_column("described", _described(known, stem, table))


def _described(known: Known, stem: str, instances: InstancesTable) -> Array:
    """Tell which of some instances of a part are described there."""
    if not instances.num_rows:
        return pa.array([], pa.bool_())
    described = DescribedTable(read_part(known.folder, stem, "described", ("url", *KEY)))
    own = with_subseries(instances)
    there: Array = pc.is_in(identity_of(own), value_set=identity_of(described))
    return there


def carry(known: KnownRows, *, partition_size: int) -> list[PartitionSummary]:
    """Return the parts that stand for all rows that the listing still has.

    Parameters
    ----------
    known : KnownRows
        After the end of the listing.
    partition_size : int
        Files of a partition: parts are put together up to so many.

    Returns
    -------
    list of PartitionSummary
        Of parts that are there already, and of those that are written here. What they count of the
        work of reading is nothing: it was done by another run.
    """
    _drop_useless(known)
    rests = [rest for rest in _rests(known) if rest.kept.any()]
    rests.sort(key=lambda rest: known.position(rest.number))
    small = [rest for rest in rests if rest.weight < partition_size // _SMALL]
    rewritten = {rest.number for rest in rests if not rest.whole or rest.later.any()}
    if len(small) > _MANY and not known.changes().nothing:
        rewritten |= {rest.number for rest in small}
    carried = [
        replace(
            rest.summary,
            position=known.position(rest.number),
            bytes_read=0,
            scanned=0,
            tried=0,
            refused=0,
            reasons={},
        )
        for rest in rests
        if rest.number not in rewritten
    ]
    gathered: list[_Rest] = []
    for rest in rests:
        if rest.number not in rewritten:
            continue
        if gathered and sum(one.weight for one in gathered) + rest.weight > partition_size:
            carried.append(_rewrite(known, gathered))
            gathered = []
        gathered.append(rest)
    if gathered:
        carried.append(_rewrite(known, gathered))
    return carried


def _drop_useless(known: KnownRows) -> None:
    """Remove what runs that were ended have left twice: else a full disk gets fuller every night."""
    stems = [
        summary.part
        for number, summary in enumerate(known.summaries)
        if summary is not None and known.is_unfinished(number) and not known.kept(number).any()
    ]
    remove_parts(known.folder, stems)


def _rewrite(known: KnownRows, rests: list[_Rest]) -> PartitionSummary:
    """Write one part of what is left of some."""
    tables: dict[str, list[pa.Table]] = {kind: [] for kind in (*_TABLES, "read", "instances")}
    first = 0
    for rest in rests:
        stem = rest.summary.part
        number = np.cumsum(rest.kept) - 1 + first
        for kind in _TABLES:
            table = read_part(known.folder, stem, kind)
            row = table["row"].to_numpy()
            left = pa.array(rest.kept[row])
            spot = table.column_names.index("row")
            table = table.set_column(spot, ROW, pa.array(number[row], ROW.type))
            tables[kind].append(table.filter(left))
            if kind == "seen":
                tables["instances"].append(read_part_instances(known.folder, stem).filter(left))
        tables["read"].append(_listing(known, rest).filter(pa.array(rest.kept)))
        first += int(np.count_nonzero(rest.kept))
    joined: dict[str, Any] = {kind: pa.concat_tables(pieces) for kind, pieces in tables.items()}
    read = joined.pop("read")
    position = known.position(rests[0].number)
    return write_part(known.folder, position, HeaderTables(**joined), read, known.reading)


def _listing(known: KnownRows, rest: _Rest) -> ReadTable:
    """Return the listing of a part, in which rows to be read later are such as no file is."""
    read = ReadTable(read_part(known.folder, rest.summary.part, "read"))
    facts = np.where(rest.later, np.uint64(NEVER), read["facts"].to_numpy())
    return read.set_column(READ.get_field_index("facts"), READ.field("facts"), pa.array(facts))
