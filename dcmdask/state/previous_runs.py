"""Take the parts of earlier runs; tell which files of a listing they have read, and which are gone.

What lies below a place that could not be listed is not gone: it stays as it was.

Files are found by fingerprint in an index on disk, sorted by key and mapped into memory: a look-up
holds a byte a file, and the order of a listing does not matter.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.state.fingerprint import NEVER, Fingerprints
from dcmdask.state.folder import Folder
from dcmdask.state.parts import fetch_summaries, fetch_tables, read_part, read_summary
from dcmdask.state.unlisted import Unlisted, UnlistedPlaces
from dcmdask.system.modes import private_opener
from dcmdask.system.writing import writing
from dcmdask.tables.arrow import values_of
from dcmdask.types import PartitionSummary

Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]

_COLUMNS = {"key": "<u8", "key_more": "<u8", "facts": "<u8", "part": "<u4", "row": "<u4"}
"""An index: one column after the other, sorted by key; the part and the row in it of each file."""

_ENTRY = np.dtype(list(_COLUMNS.items()))
_HELD_ROWS = 500_000
_KEPT_COLUMNS = ("path", "case", "size", "piece")
_PLACE_COLUMNS = (*_KEPT_COLUMNS, "root", "location", "kind", "pieces")
_ABSENT, _MET, _KEPT, _STAYS, _LATER = range(5)
"""States of a row: not listed, listed with other facts, listed as it was; not listed because its
place could not be, and in addition to be read as soon as it is."""


def write_index(path: Path, folder: Folder, stems: Sequence[str]) -> None:
    """Write the index of some parts.

    Parameters
    ----------
    path : pathlib.Path
        Of the index.
    folder : Folder
        Where the parts are.
    stems : sequence of str
        Which; their positions are what the index names.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    with (
        writing(path),
        open(path, "wb", opener=private_opener) as sink,
        tempfile.TemporaryFile(dir=path.parent) as spill,
    ):
        held: list[Any] = []
        rows = 0
        for part, stem in enumerate(stems):
            held.append(_entries(folder, stem, part))
            rows += len(held[-1])
            if sum(map(len, held)) >= _HELD_ROWS:
                spill.writelines(piece.data for piece in held)
                held = []
        if rows <= _HELD_ROWS and spill.tell() == 0:
            _write_sorted(sink, rows, iter([_joined(held)]))
        else:
            spill.writelines(piece.data for piece in held)
            spill.flush()
            _write_sorted(sink, rows, _buckets(np.memmap(spill, _ENTRY, "r")))


def _entries(folder: Folder, stem: str, part: int) -> Any:
    names = ("key", "key_more", "facts")
    read = read_part(folder, stem, "read", names)
    entries = np.zeros(read.num_rows, _ENTRY)
    for name in names:
        entries[name] = read[name].to_numpy()
    entries["part"] = part
    entries["row"] = np.arange(read.num_rows)
    return entries


def _joined(pieces: list[Any]) -> Any:
    return np.concatenate([np.zeros(0, _ENTRY), *pieces])


def _buckets(spilled: Any) -> Iterator[Any]:
    """Yield entries by the first bits of their keys, lesser bits first, so many as may be held."""
    bits = max(int(2 * len(spilled) / _HELD_ROWS).bit_length(), 1)
    pieces = [spilled[start : start + _HELD_ROWS] for start in range(0, len(spilled), _HELD_ROWS)]
    for bucket in range(1 << bits):
        yield _joined([piece[piece["key"] >> np.uint64(64 - bits) == bucket] for piece in pieces])


def _write_sorted(sink: BinaryIO, rows: int, buckets: Iterator[Any]) -> None:
    done = 0
    for bucket in buckets:
        order = np.argsort(bucket["key"], kind="stable")
        begin = 0
        for name, kind in _COLUMNS.items():
            width = np.dtype(kind).itemsize
            sink.seek(begin + done * width)
            sink.write(bucket[name][order].tobytes())
            begin += rows * width
        done += len(bucket)


class _Index:
    """An index that is looked up.

    Parameters
    ----------
    path : pathlib.Path
        From `write_index`.
    summaries : list of PartitionSummary or None
        Of its parts; None for one that is not whole, whose files are unknown then.
    first : int
        What number the first of its parts has among all.

    Attributes
    ----------
    retried : int
        Files that were met, and could not be read for a reason that may have passed.
    """

    def __init__(
        self, path: Path, summaries: Sequence[PartitionSummary | None], first: int
    ) -> None:
        self.retried = 0
        self._first = first
        self._whole = np.array([summary is not None for summary in summaries], bool)
        self._columns: dict[str, Any] = {}
        rows = path.stat().st_size // _ENTRY.itemsize
        begin = 0
        for name, kind in _COLUMNS.items():
            self._columns[name] = (
                np.memmap(path, kind, "r", begin, (rows,)) if rows else np.zeros(0, kind)
            )
            begin += rows * np.dtype(kind).itemsize

    def find(self, prints: Fingerprints) -> tuple[npt.NDArray[np.uint8], Numbers, Numbers]:
        """Find files.

        Returns
        -------
        state : numpy.ndarray of uint8
            Of each: absent, met with other facts, or as it was.
        part, row : numpy.ndarray of int64
            Where it is, unless it is absent.
        """
        columns = self._columns
        key, rows = columns["key"], len(columns["key"])
        state = np.full(len(prints.facts), _ABSENT, np.uint8)
        where = np.zeros(len(state), np.int64)
        spot = np.searchsorted(key, prints.keys[:, 0])
        open_ = np.flatnonzero(spot < rows)
        while len(open_):
            at = spot[open_]
            named = (key[at] == prints.keys[open_, 0]) & self._whole[columns["part"][at]]
            named &= columns["key_more"][at] == prints.keys[open_, 1]
            same = named & (columns["facts"][at] == prints.facts[open_])
            state[open_[named]] = _MET
            state[open_[same]] = _KEPT
            where[open_[named]] = at[named]
            # Of a file that two attempts have read, either will do.
            open_ = open_[(key[at] == prints.keys[open_, 0]) & ~same]
            spot[open_] += 1
            open_ = open_[spot[open_] < rows]
        met = where[state == _MET]
        self.retried += int(np.count_nonzero(columns["facts"][met] == NEVER)) if rows else 0
        part = columns["part"][where].astype(np.int64) if rows else where
        row = columns["row"][where].astype(np.int64) if rows else where
        return state, part + self._first, row


def _of_files(state: npt.NDArray[np.uint8], firsts: Numbers) -> npt.NDArray[np.uint8]:
    """Return the states of files for those of their lines: as it was if each piece is."""
    if len(firsts) == len(state):
        return state.copy()
    least = np.minimum.reduceat(state, firsts)
    return np.where(state[firsts] == _ABSENT, np.uint8(_ABSENT), np.maximum(least, _MET))


@dataclass(frozen=True, slots=True)
class Changes:
    """How a listing differs from what is known.

    Attributes
    ----------
    new, changed, gone, same : int
        Files, against the catalog in OUT. Those that its run could not read for a reason that may
        have passed count as changed, and so do archives of which that holds for a piece.
    resumed : int
        New and changed ones that a run that was ended has read.
    kept : int
        Files that are not listed because their place could not be: they stay as they were.
    """

    new: int
    changed: int
    gone: int
    same: int
    resumed: int
    kept: int = 0

    @property
    def nothing(self) -> bool:
        """Whether the catalog in OUT is that of the listing."""
        return not (self.new or self.changed or self.gone or self.resumed)


class Known:
    """What earlier runs have read, and how much of it a listing still has.

    Parameters
    ----------
    folder : Folder
        Where parts are.
    reading : str
        Digest of the settings that they must have been read with.
    published, unfinished : (pathlib.Path, sequence of str) or None
        Index and parts of the catalog in OUT, and of a run that was ended.
    again : bool
        Whether all is read again that the catalog in OUT knows; of it only that stays which lies
        where nothing can be listed.

    Attributes
    ----------
    folder : Folder
        Where parts are.
    reading, again : str, bool
        As given.
    summaries : list of PartitionSummary or None
        Of all parts; None for one that is not whole.
    """

    def __init__(
        self,
        folder: Folder,
        reading: str,
        published: tuple[Path, Sequence[str]] | None = None,
        unfinished: tuple[Path, Sequence[str]] | None = None,
        *,
        again: bool = False,
    ) -> None:
        self.folder = folder
        self.reading = reading
        self.again = again
        self.summaries: list[PartitionSummary | None] = []
        self._published = self._index(published, thorough=False)
        self._published_parts = len(self.summaries)
        self._unfinished = self._index(unfinished, thorough=True)
        sizes = [summary.rows if summary else 0 for summary in self.summaries]
        self._base: Numbers = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self._published_rows = int(self._base[self._published_parts])
        self._state = np.full(int(self._base[-1]), _ABSENT, np.uint8)
        self._first = np.full(len(sizes), np.iinfo(np.int64).max)
        self._counts = np.zeros(3, np.int64)
        self._resumed = 0

    def _index(self, given: tuple[Path, Sequence[str]] | None, *, thorough: bool) -> _Index | None:
        if given is None:
            return None
        path, stems = given
        fetch_summaries(self.folder, stems)
        found = [read_summary(self.folder, stem, self.reading, thorough=thorough) for stem in stems]
        first = len(self.summaries)
        self.summaries += found
        return _Index(path, found, first)

    def __bool__(self) -> bool:
        return self.has_published or self._unfinished is not None

    @property
    def has_published(self) -> bool:
        """Whether the parts of the catalog in OUT are of use."""
        return self._published is not None

    @property
    def retried(self) -> int:
        """How many of the files listed could not be read before for a reason that may have passed."""
        return self._published.retried if self._published is not None else 0

    def look_up(self, prints: Fingerprints, position: int, firsts: Numbers | None = None) -> Flags:
        """Tell which lines of a listing are known and as they were.

        Parameters
        ----------
        prints : Fingerprints
            Of some lines of the listing, none of a file that goes on behind them.
        position : int
            Of the first of them in it.
        firsts : numpy.ndarray of int64 or None
            Which of them begin a file, where not all of them do: files are what is counted.
        """
        lines = np.arange(len(prints.facts))
        firsts = lines if firsts is None else firsts
        state = np.full(len(lines), _ABSENT, np.uint8)
        if self._published is not None:
            state = self._find(self._published, prints, lines, position)
        files = _of_files(state, firsts)
        self._counts += np.bincount(files, minlength=3)
        if self._unfinished is not None:
            rest = np.flatnonzero(state != _KEPT)
            state[rest] = self._find(self._unfinished, prints, rest, position)
            resumed = (_of_files(state, firsts) == _KEPT) & (files != _KEPT)
            self._resumed += int(np.count_nonzero(resumed))
        known: Flags = state == _KEPT
        return known

    def take_for_new(self, files: int, rows: int) -> list[bool]:
        """Take some lines of a listing for new, where nothing is known; it costs no look-up."""
        self._counts[_ABSENT] += files
        return [False] * rows

    def _find(
        self, index: _Index, prints: Fingerprints, lines: Numbers, position: int
    ) -> npt.NDArray[np.uint8]:
        state, part, row = index.find(Fingerprints(prints.keys[lines], prints.facts[lines]))
        if self.again and index is self._published:
            state = np.minimum(state, np.uint8(_MET))
        met = state != _ABSENT
        spot = self._base[part[met]] + row[met]
        self._state[spot] = np.maximum(self._state[spot], state[met])
        kept = state == _KEPT
        np.minimum.at(self._first, part[kept], position + lines[kept])
        return state

    def keep(
        self, unlisted: Sequence[Unlisted], wanted: Callable[[str], bool]
    ) -> Iterator[pa.Table]:
        """Keep what the catalog in OUT knows where nothing could be listed; after the listing's end.

        Parameters
        ----------
        unlisted : sequence of Unlisted
            Where that is.
        wanted : callable
            Relative path to whether a file is listed.

        Yields
        ------
        pyarrow.Table
            ``path``, ``case`` and ``size`` of the files that stay.
        """
        if not unlisted or self._published is None:
            return
        stems = [one.part for one in self.summaries[: self._published_parts] if one is not None]
        fetch_tables(self.folder, stems, "read")
        places = UnlistedPlaces(unlisted)
        listed = self._listed_in_pieces()
        for part, read in self._published_tables():
            rows = self._below(part, read, places, wanted, listed)
            self._state[self._base[part] + np.array(list(rows), np.int64)] = _STAYS
            self._first[part] = min([*rows.values(), self._first[part]])
            whole = read.take(pa.array(list(rows), pa.int64())).select(_KEPT_COLUMNS)
            yield whole.filter(pc.equal(whole["piece"], 0)).drop_columns("piece")

    def _published_tables(self) -> Iterator[tuple[int, pa.Table]]:
        for part, summary in enumerate(self.summaries[: self._published_parts]):
            if summary is not None and summary.rows:
                yield part, read_part(self.folder, summary.part, "read", _PLACE_COLUMNS)

    def _listed_in_pieces(self) -> set[tuple[str, bytes]]:
        """Return the archives in pieces that were listed: of one cut in fewer now no piece stays."""
        summaries = self.summaries[: self._published_parts]
        if not any(summary is not None and summary.rows > summary.files for summary in summaries):
            return set()
        found: set[tuple[str, bytes]] = set()
        for part, read in self._published_tables():
            state = self._state[self._base[part] : self._base[part + 1]]
            cut = pc.and_(pc.greater(read["pieces"], 1), pc.equal(read["piece"], 0))
            rows = read.filter(pc.and_(cut, pa.array(state != _ABSENT)))
            found |= set(zip(values_of(rows["root"]), values_of(rows["location"]), strict=True))
        return found

    def _below(
        self,
        part: int,
        read: pa.Table,
        places: UnlistedPlaces,
        wanted: Callable[[str], bool],
        listed: set[tuple[str, bytes]],
    ) -> dict[int, int]:
        """Return the rows of a part that stay, and the position of the place that each lies in."""
        state = self._state[self._base[part] : self._base[part + 1]]
        spots = np.flatnonzero(state < _KEPT)
        stays = {}
        for spot, row in zip(spots.tolist(), read.take(pa.array(spots)).to_pylist(), strict=True):
            name = (row["root"], row["location"])
            place = places.find(*name)
            if place is None or not wanted(row["path"]):
                continue
            if row["location"] == place.location:
                case, may_stay = place.case, place.itself and row["kind"] is None
            else:
                case = place.case_below
                may_stay = state[spot] == _ABSENT and name not in listed
            # Where sources are named otherwise, a case of that name may be another one.
            if may_stay and row["case"] == case:
                stays[spot] = place.position
        return stays

    def changes(self) -> Changes:
        """Return how the listing differs; after its end."""
        new, changed, same = self._counts.tolist()
        state = self._state[: self._published_rows]
        gone, kept = state == _ABSENT, state >= _STAYS
        for part, summary in enumerate(self.summaries[: self._published_parts]):
            if summary is not None and summary.rows > summary.files:
                # Those who look for a file that is gone look for one.
                pieces = read_part(self.folder, summary.part, "read", ["piece"])["piece"]
                own = slice(self._base[part], self._base[part + 1])
                firsts = pieces.to_numpy() == 0
                gone[own] &= firsts
                kept[own] &= firsts
        files = [int(np.count_nonzero(one)) for one in (gone, kept)]
        return Changes(new, changed, files[0], same, self._resumed, files[1])

    def published_instances(self) -> int:
        """Count the instances of the catalog in OUT whose files are as they were, or stay so."""
        found = 0
        for part, summary in enumerate(self.summaries[: self._published_parts]):
            if summary is None or not summary.instances:
                continue
            kept = self.kept(part)
            if kept.all():
                found += summary.instances
            elif kept.any():
                rows = read_part(self.folder, summary.part, "seen", ["row"])["row"].to_numpy()
                found += int(np.count_nonzero(kept[rows]))
        return found

    def is_unfinished(self, part: int) -> bool:
        """Tell whether a part is one of a run that was ended."""
        return part >= self._published_parts

    def kept(self, part: int) -> Flags:
        """Tell which rows of a part the listing still has."""
        kept: Flags = self._state[self._base[part] : self._base[part + 1]] >= _KEPT
        return kept

    def is_unlisted(self, part: int, row: int) -> bool:
        """Tell whether a row is kept although it is not listed, as its place could not be."""
        return bool(self._state[self._base[part] + row] >= _STAYS)

    def read_later(self, part: int, row: int) -> None:
        """Note that a row that is not listed is to be read once it is."""
        self._state[self._base[part] + row] = _LATER

    def later(self, part: int) -> Flags:
        """Tell which rows of a part are to be read once they are listed."""
        later: Flags = self._state[self._base[part] : self._base[part + 1]] == _LATER
        return later

    def drop(self, part: int, row: int) -> None:
        """Take a row for one that is to be read again."""
        self._state[self._base[part] + row] = _MET

    def position(self, part: int) -> int:
        """Return the position in the listing of the first row of a part that is kept."""
        return int(self._first[part])
