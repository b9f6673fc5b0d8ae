"""Take the parts of a crawl; tell which files to read again for names that other parts know.

A partition hides in its texts the names that it has read. An instance of another partition may have a
name that this one does not, of the same series or study: an object without a name, or one of a copy
under another name. Parts hold pseudonyms only, so the files are read again, and beside them one file
of each name that is to be looked for. What a part was searched for it says itself: a later run reads
again only where that has changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.assemble.spill import Key, Shelf, Stream, cut, one_by_one
from dcmdask.header.names import described_instances
from dcmdask.header.notes import Notes, Remark
from dcmdask.state.folder import Folder
from dcmdask.state.manifest import PieceWriter
from dcmdask.state.parts import read_part, read_part_instances, read_summary, write_part
from dcmdask.state.previous_runs import Changes
from dcmdask.state.unlisted import UnlistedPlaces
from dcmdask.table_types import InstancesTable, ReadTable
from dcmdask.tables.arrow import AnyTable
from dcmdask.tables.factorize import Codes, codes_of, first_rows, map_distinct
from dcmdask.tables.privacy.tables import (
    GROUPS,
    NAME,
    WITHHELD,
    OtherNames,
    digest_of_names,
    free_text,
    names_of_groups,
)
from dcmdask.tables.schema import MANIFEST, READ, SEEN
from dcmdask.types import FileKey, HeaderTables, Note, Partition, PartitionSummary

ROUNDS = 3
"""Times that files are read again: one that is read beside them may be gone by now, another one may
not."""

_RANGE = 131_072
_LISTED = [name for name in MANIFEST.names if name in READ.names]
_ASKED = (NAME, *GROUPS)
_KNOWN = pa.schema([(name, pa.string()) for name in _ASKED])

Flags = npt.NDArray[np.bool_]
Spot = tuple[int, int]
"""A part, by its number, and a row of its listing."""
Group = tuple[str, str]
AccessOf = Callable[[Iterable[FileKey]], Mapping[FileKey, bytes | None]]


@dataclass(slots=True)
class Standing:
    """All parts of a crawl, and which of their rows are to be read again; as `dcmdask.state.previous_runs.Known`.

    Attributes
    ----------
    folder : Folder
        Where parts are.
    reading : str
        Digest of the settings that they were read with.
    summaries : list of PartitionSummary or None
        Of all parts.
    """

    folder: Folder
    reading: str
    summaries: list[PartitionSummary | None]
    _dropped: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))

    def kept(self, part: int) -> Flags:
        """Tell which rows of a part are not read again."""
        summary = self.summaries[part]
        kept = np.ones(summary.rows if summary else 0, bool)
        kept[self._dropped.get(part, [])] = False
        return kept

    def later(self, part: int) -> Flags:
        """Tell which rows of a part are to be read once they are listed: of none more than before."""
        summary = self.summaries[part]
        return np.zeros(summary.rows if summary else 0, bool)

    def drop(self, part: int, row: int) -> None:
        """Have a row read again."""
        self._dropped[part].append(row)

    def position(self, part: int) -> int:
        """Return the position in the listing of a part."""
        summary = self.summaries[part]
        return summary.position if summary else 0

    def is_unfinished(self, _part: int) -> bool:
        """Tell whether a part is of a run that was ended: none is."""
        return False

    def changes(self) -> Changes:
        """Return how the listing differs: all that stands is of it."""
        return Changes(0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Unsearched:
    """What was not searched for all names that it may hold.

    Attributes
    ----------
    instances : dict
        Number of a part to the instances in it.
    rows : list of (int, int)
        The rows that they are of, those of one study beside each other.
    asks : dict
        Such a row to the groups, each a kind and a UID, whose names it is searched for.
    bearers : dict
        Group to its names, and to rows that bear each.
    """

    instances: dict[int, Codes] = field(default_factory=dict)
    rows: list[Spot] = field(default_factory=list)
    asks: dict[Spot, set[Group]] = field(default_factory=lambda: defaultdict(set))
    bearers: dict[Group, dict[str, list[Spot]]] = field(default_factory=lambda: defaultdict(dict))

    def __bool__(self) -> bool:
        return bool(self.rows)


def unsearched(folder: Folder, stems: Sequence[str], scratch: Path) -> Unsearched:
    """Return what was not searched for just the names that its series and study have.

    Parameters
    ----------
    folder : Folder
        Where parts are.
    stems : sequence of str
        Of all of them.
    scratch : pathlib.Path
        Where rows are kept that cannot be held.
    """
    names, searched = _names(folder, stems, scratch / "names")
    groups = {kind: _mixed(names.having(kind), kind, scratch / kind) for kind in GROUPS}
    others = OtherNames([*groups.values()])
    found = Unsearched()
    order: list[tuple[str, str, Spot]] = []
    for number, stem in enumerate(stems):
        if not (any(groups.values()) or stem in searched):
            continue
        table = _concerned(folder, stem, groups)
        wrong = _wrong(table, others)
        if wrong.any():
            found.instances[number] = table["instance"].to_numpy()[wrong]
        # Of an archive all members are read again.
        again = set(table["row"].to_numpy()[wrong].tolist())
        for row in table.to_pylist():
            spot = (number, row["row"])
            own = {(kind, row[kind]) for kind in GROUPS if row[kind] in groups[kind]}
            for kind, uid in own:
                if row[NAME] in groups[kind][uid]:
                    _add_bearer(found.bearers[kind, uid], row[NAME], spot)
            if row["row"] in again:
                if spot not in found.asks:
                    order.append((row[GROUPS[1]] or "", row[GROUPS[0]] or "", spot))
                found.asks[spot] |= own
    found.rows.extend(spot for *_, spot in sorted(order))
    return found


def _mixed(names: Stream, group: str, scratch: Path) -> dict[str, list[str]]:
    """Return the groups of one kind whose instances do not all have one name."""
    found: dict[str, list[str]] = {}
    for one in one_by_one(cut({"names": names}, Key.by(group), _RANGE, scratch)):
        found |= names_of_groups(one["names"].table(), group)
    return found


def _names(folder: Folder, stems: Sequence[str], scratch: Path) -> tuple[Stream, set[str]]:
    """Return names and groups, once for each part that has them.

    Also the parts of which anything was searched for names of others.
    """
    shelf = Shelf(scratch, _KNOWN, _RANGE)
    searched = set()
    for stem in stems:
        table = read_part_instances(folder, stem, _ASKED)
        first = first_rows(codes_of(*table.columns))
        shelf.put(table.take(pa.array(first)))
        if pc.max(read_part(folder, stem, "seen", ["others"])["others"]).as_py():
            searched.add(stem)
    return shelf.stream(), searched


def _concerned(
    folder: Folder, stem: str, groups: Mapping[str, Mapping[str, Any]]
) -> InstancesTable:
    """Return the instances of a part that are of mixed groups, or were searched as if they were."""
    table = read_part_instances(folder, stem, _ASKED)
    seen = read_part(folder, stem, "seen")
    table = table.append_column("others", seen["others"]).append_column("row", seen["row"])
    table = table.append_column("instance", pa.array(np.arange(table.num_rows)))
    chosen = pc.not_equal(table["others"], pa.scalar(0, pa.uint64()))
    for kind, mixed in groups.items():
        chosen = pc.or_(chosen, pc.is_in(table[kind], value_set=pa.array(list(mixed), pa.string())))
    return table.filter(chosen)


def _wrong(table: InstancesTable, others: OtherNames) -> Flags:
    """Tell which instances were searched for other names than they should be."""

    def digest(*row: str | None) -> int:
        return digest_of_names(others.of(*row))

    right = map_distinct(digest, pa.uint64(), *(table[name] for name in _ASKED))
    wrong: Flags = table["others"].to_numpy() != right.to_numpy()
    return wrong


def _add_bearer(names: dict[str, list[Spot]], name: str, spot: Spot) -> None:
    spots = names.setdefault(name, [])
    if len(spots) < ROUNDS and spot not in spots:
        spots.append(spot)


def within_reach(
    found: Unsearched, folder: Folder, stems: Sequence[str], places: UnlistedPlaces
) -> Unsearched:
    """Return what was not searched, with only those rows to read again that can be listed.

    What lies elsewhere stays as it was read, but for the texts that may hold a name.
    """
    read = {
        part: read_part(folder, stems[part], "read", ["root", "location"]).to_pylist()
        for part in {part for part, _ in found.rows}
    }

    def is_listed(spot: Spot) -> bool:
        row = read[spot[0]][spot[1]]
        return places.find(row["root"], row["location"]) is None

    return replace(found, rows=[spot for spot in found.rows if is_listed(spot)])


def standing(folder: Folder, reading: str, stems: Sequence[tuple[int, str]]) -> Standing:
    """Return all parts of a crawl, with their positions in its listing."""
    summaries = []
    for position, stem in stems:
        summary = read_summary(folder, stem, reading, thorough=False)
        summaries.append(None if summary is None else replace(summary, position=position))
    return Standing(folder, reading, summaries)


def write_search(
    found: Unsearched,
    parts: Standing,
    roots: Mapping[str, int],
    writer: PieceWriter,
    position: int,
    partition_size: int,
    attempt: int,
    access_of: AccessOf,
) -> Iterator[Partition]:
    """Write the rows that are read again, and drop them from the parts that have them.

    Parameters
    ----------
    found : Unsearched
        What to read.
    parts : Standing
        All parts.
    roots : mapping
        Name of a root to its number.
    writer : PieceWriter
        Where rows go.
    position : int
        Of their partitions: behind the listing.
    partition_size : int
        Files of a partition.
    attempt : int
        Which one this is: another file that bears a name is read in each.
    access_of : callable
        Files, by the number of their root and their location, to by what each is reached, sealed,
        where that was listed.

    Yields
    ------
    Partition
        With the files beside it that bear the names to be looked for.
    """
    for number, rows in enumerate(_by_weight(found.rows, parts, partition_size)):
        groups = {group for spot in rows for group in found.asks[spot]}
        own = set(rows)
        beside = {
            spots[attempt % len(spots)]
            for group in groups
            for spots in found.bearers[group].values()
            if own.isdisjoint(spots)
        }
        for entry in _entries([*rows, *sorted(beside)], parts, roots, access_of):
            writer.add(entry)
        for spot in rows:
            parts.drop(*spot)
        edges = (len(rows), len(rows) + len(beside)) if beside else (0, 0)
        yield Partition(number, writer.flush(), 0, len(rows), position, edges)


def _by_weight(rows: Sequence[Spot], parts: Standing, most: int) -> Iterator[list[Spot]]:
    """Return rows in order, so many at a time as one partition has files or members."""
    held: list[Spot] = []
    weight = 0
    for spot, members in zip(rows, _members(rows, parts), strict=True):
        if held and weight + 1 + members > most:
            yield held
            held, weight = [], 0
        held.append(spot)
        weight += 1 + members
    if held:
        yield held


def _members(rows: Sequence[Spot], parts: Standing) -> list[int]:
    known = {
        part: read_part(parts.folder, _stem(parts, part), "read", ["members"])["members"].to_numpy()
        for part in {part for part, _ in rows}
    }
    return [int(known[part][row]) for part, row in rows]


def _entries(
    rows: Sequence[Spot],
    parts: Standing,
    roots: Mapping[str, int],
    access_of: AccessOf,
) -> Iterator[tuple[Any, ...]]:
    """Return rows of the listing as `dcmdask.tables.schema.MANIFEST` has them, in their order."""
    wanted: dict[int, list[int]] = defaultdict(list)
    for part, row in rows:
        wanted[part].append(row)
    found: dict[Spot, dict[str, Any]] = {}
    for part, some in wanted.items():
        table = read_part(parts.folder, _stem(parts, part), "read", _LISTED)
        for row, entry in zip(some, table.take(pa.array(some)).to_pylist(), strict=True):
            found[part, row] = entry
    entries = [{**found[spot], "root": roots[found[spot]["root"]]} for spot in rows]
    access = access_of([(entry["root"], entry["location"]) for entry in entries])
    for entry in entries:
        entry["access"] = access.get((entry["root"], entry["location"]))
        yield tuple(entry[name] for name in MANIFEST.names)


def _stem(parts: Standing, part: int) -> str:
    summary = parts.summaries[part]
    assert summary is not None
    return summary.part


def withhold(found: Unsearched, parts: Standing) -> list[PartitionSummary]:
    """Write parts anew without the texts of what could not be searched; return all parts.

    A file that bears the name may have gone since it was listed. What may hold the name is not
    published then, and the next run tries again.
    """
    summaries = []
    for number, summary in enumerate(parts.summaries):
        assert summary is not None
        told = replace(summary, bytes_read=0, scanned=0, reasons={}, tried=0, refused=0)
        if number in found.instances:
            tables = _without_texts(parts.folder, summary.part, found.instances[number])
            read = ReadTable(read_part(parts.folder, summary.part, "read"))
            told = write_part(parts.folder, summary.position, tables, read, parts.reading)
        summaries.append(told)
    return summaries


def _without_texts(folder: Folder, stem: str, chosen: Codes) -> HeaderTables:
    instances = read_part_instances(folder, stem)
    kinds = ("seen", "described", "references", "failures", "notes")
    tables: dict[str, Any] = {kind: read_part(folder, stem, kind) for kind in kinds}
    flags = np.zeros(instances.num_rows, bool)
    flags[chosen] = True
    described = tables["described"]
    of_series = flags[described_instances(described, instances)]
    seen = tables["seen"]
    others = pc.if_else(pa.array(flags), pa.scalar(WITHHELD, pa.uint64()), seen["others"])
    rows = seen["row"].to_numpy().astype(np.int64)
    notes = Notes()
    notes.add_files(instances, rows, Remark(Note.WITHHELD), chosen)
    tables |= {
        "described": _emptied(described, of_series),
        "seen": pa.table([seen["row"], others], schema=SEEN),
        "notes": pa.concat_tables([tables["notes"], notes.table()]),
    }
    return HeaderTables(instances=_emptied(instances, flags), **tables)


def _emptied(table: AnyTable, chosen: Flags) -> AnyTable:
    """Return a table with no text in some rows."""
    if not chosen.any():
        return table
    for word in free_text(table.schema):
        spot = table.column_names.index(word)
        kind = table.field(spot)
        # Made anew: Arrow would keep the bytes of what becomes null.
        values = zip(table[word].to_pylist(), chosen.tolist(), strict=True)
        kept = [None if is_chosen else value for value, is_chosen in values]
        table = table.set_column(spot, kind, pa.array(kept, kind.type))
    return table
