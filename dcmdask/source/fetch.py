"""Take manifest rows; give a window for every file and member, or the failure it already is."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import IO, Any, Self, TypeVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.dicom.windows import WINDOW, Heads
from dcmdask.errors import HeaderError
from dcmdask.source.archives.limits import Budget
from dcmdask.source.archives.member_stream import LARGEST_HEADER
from dcmdask.source.archives.metered_file import Counted
from dcmdask.source.archives.opening import STAGE, refusal
from dcmdask.source.archives.sniff import archive_kind
from dcmdask.source.archives.telling import Told, kind_of_file, misnamed, unread
from dcmdask.source.archives.walk import ArchiveWalk, Found
from dcmdask.source.heads import place_columns, place_table
from dcmdask.source.kinds import kind_of
from dcmdask.source.places import Roots
from dcmdask.source.source_reader import FirstWindows, Lot, ReadObserver, SourceReader
from dcmdask.source.watch import UNWATCHED, RowWatch, Tally
from dcmdask.types import ELSEWHERE, NO_ROW, Failure, Kind, Piece, Place, Window

_OF_THE_WHOLE = (Kind.NOT_DICOM, Kind.CORRUPT_ARCHIVE, Kind.UNREAD_ARCHIVE)
"""Kinds that say so of an archive, not of a piece of it."""

_OPENED_AHEAD = 16
"""Files of a store that are opened before it is their turn: the tail of a zip takes a round trip."""

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Rows of one root that are read at once.

    Attributes
    ----------
    rows : pyarrow.Table
        Of the manifest.
    numbers : list of int
        What each is called.
    reader : SourceReader
        Where they lie.
    regular : list of int
        Positions of those that are no failures before they are opened, nor further pieces.
    """

    rows: pa.Table
    numbers: list[int]
    reader: SourceReader
    regular: list[int]

    @classmethod
    def of(cls, manifest: pa.Table, begin: int, stop: int, reader: SourceReader) -> Self:
        """Take some rows of a manifest."""
        rows = manifest.slice(begin, stop - begin)
        # A further piece of what is no archive at all, of a file that is DICOM, say, is nothing.
        chosen = pc.and_(pc.is_null(rows["kind"]), pc.equal(rows["piece"], 0))
        return cls(rows, list(range(begin, stop)), reader, pc.indices_nonzero(chosen).to_pylist())


@dataclass(slots=True)
class Fetcher:
    """Opens what the manifest lists.

    Attributes
    ----------
    roots : Roots
        Of the crawl.
    watch : RowWatch
        Of whoever watches over this process.
    tally : Tally
        What has been seen so far.
    inside : dict
        Row to the members and the containers that it was found to hold, if any.
    refused : set of int
        Rows of which the system refused a read: what came of them says little of the file.
    """

    roots: Roots
    watch: RowWatch = UNWATCHED
    tally: Tally = field(default_factory=Tally)
    inside: dict[int, tuple[int, int]] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    _readers: dict[int, SourceReader] = field(default_factory=dict)
    _counting: threading.Lock = field(default_factory=threading.Lock)
    _archives: ArchiveWalk = field(init=False)

    def __post_init__(self) -> None:
        self._archives = ArchiveWalk(self.tally, self.watch, self.refused)

    @property
    def renamed(self) -> dict[str, str]:
        """URL that was given to the URL that is right, as was found out later: `with_urls`."""
        return self._archives.renamed

    def fetch(self, manifest: pa.Table) -> Iterator[Found]:
        """Yield what some manifest rows hold: plain DICOM files many at once, all else singly.

        Whatever it is, it can be read until the next is asked for.
        """
        if self.watch.singly:
            yield from self.fetch_windows(manifest.to_pylist())
        else:
            yield from self._fetch_together(manifest)
        for reader in self._readers.values():
            reader.check()
        self.watch.begin(ELSEWHERE)

    def _fetch_together(self, manifest: pa.Table) -> Iterator[Found]:
        for chunk, read in _one_ahead(map(self._begin_chunk, self._chunks(manifest))):
            first = read()
            self.watch.begin(NO_ROW)
            self.tally.files += len(first.kept)
            regular, numbers = chunk.regular, chunk.numbers
            if first.kept:
                yield self._heads(chunk, first)
            plain = {regular[spot] for spot in first.kept}
            others = [spot for spot in range(chunk.rows.num_rows) if spot not in plain]
            rows = chunk.rows.take(pa.array(others, pa.int64())).to_pylist()
            heads = {numbers[regular[spot]]: head for spot, head in first.heads.items()}
            yield from self.fetch_windows(rows, [numbers[spot] for spot in others], heads)

    def _chunks(self, manifest: pa.Table) -> Iterator[_Chunk]:
        """Cut the manifest into what is read at once: rows of one root, so many as it likes."""
        roots = manifest["root"].to_numpy()
        ends = [*(np.flatnonzero(np.diff(roots)) + 1).tolist(), manifest.num_rows]
        begin = 0
        for end in ends:
            while begin < end:
                reader = self._reader(int(roots[begin]))
                stop = min(begin + reader.at_once, end)
                yield _Chunk.of(manifest, begin, stop, reader)
                begin = stop

    def _begin_chunk(self, chunk: _Chunk) -> tuple[_Chunk, Callable[[], FirstWindows]]:
        numbers = [chunk.numbers[spot] for spot in chunk.regular]
        wanted = [None if number in self.watch.left_out else number for number in numbers]
        candidates = chunk.rows.take(pa.array(chunk.regular, pa.int64()))
        return chunk, chunk.reader.begin_heads(candidates, wanted, self._observer())

    def _reader(self, root: int) -> SourceReader:
        """Return what reads of a root."""
        if root not in self._readers:
            container = self.roots.container(root)
            self._readers[root] = kind_of(container or "").reader(container, self.roots.remote)
        return self._readers[root]

    def _observer(self) -> ReadObserver:
        return ReadObserver(self.watch.begin, self.watch.beat, self._count)

    def _count(self, count: int) -> None:
        with self._counting:
            self.tally.bytes_read += count

    def _heads(self, chunk: _Chunk, first: FirstWindows) -> Heads:
        """Return loose files with their first windows."""
        spots = [chunk.regular[spot] for spot in first.kept]
        rows = chunk.rows.take(pa.array(spots, pa.int64()))
        numbers = [chunk.numbers[spot] for spot in spots]
        places = place_columns(rows, self.roots.names, numbers, chunk.reader.shown)
        if places is None:
            pairs = zip(rows.to_pylist(), numbers, strict=True)
            places = place_table([self._place(row, number, chunk.reader) for row, number in pairs])
        lot = Lot(
            rows=rows,
            numbers=numbers,
            windows=first.windows,
            places=places,
            reopen=lambda spot: self._reopened(rows, numbers, spot),
            refused=lambda spot: self.refused.add(numbers[spot]),
        )
        return chunk.reader.heads(lot, self._observer())

    @contextmanager
    def _reopened(
        self, rows: pa.Table, numbers: list[int], spot: int
    ) -> Iterator[Window | Failure]:
        """Open one file of several again, as if it were read by itself."""
        again = Fetcher(self.roots, self.watch)
        found = again.fetch_windows(rows.slice(spot, 1).to_pylist(), [numbers[spot]])
        with closing(cast(Any, found)):
            window = cast(Window | Failure, next(found))
            if isinstance(window, Failure):
                self.refused.add(numbers[spot])
            yield window
        self.refused |= again.refused
        self.tally.bytes_read += again.tally.bytes_read

    def _place(self, row: Mapping[str, Any], number: int, reader: SourceReader) -> Place:
        return self.roots.place(row, number, reader.shown)

    def fetch_windows(
        self,
        rows: Sequence[Mapping[str, Any]],
        numbers: Sequence[int] | None = None,
        heads: Mapping[int, bytes | HeaderError] = MappingProxyType({}),
    ) -> Iterator[Found]:
        """Yield a window or failure for every file and member of some manifest rows.

        A window can be read until the next one is asked for. `numbers` are those of the rows in
        their partition; by default they are the whole of it. `heads` are first bytes that are there
        already, by number, or why there are none.
        """
        with closing(cast(Any, self._fetch_rows(rows, numbers, heads))) as all_found:
            for found in all_found:
                # Of the file itself, not of a member.
                own = isinstance(found, Failure) and found.place.archive is None
                yield self._of_piece(found) if own and self._archives.piece.count > 1 else found

    def _of_piece(self, failure: Failure) -> Failure:
        """Account for a row of an archive in pieces that failed by itself, and say which it is."""
        if self._archives.piece.is_further:
            row = failure.place.row
            self.tally.containers -= 1
            self.inside[row] = (0, -1)
        elif failure.kind in _OF_THE_WHOLE:
            # It says so of the whole.
            return failure
        return replace(failure, message=f"{self._archives.piece}: {failure.message}")

    def _fetch_rows(
        self,
        rows: Sequence[Mapping[str, Any]],
        numbers: Sequence[int] | None,
        heads: Mapping[int, bytes | HeaderError],
    ) -> Iterator[Found]:
        called = numbers or range(len(rows))
        for number, piece, place, opened in self._opened(rows, called, heads):
            self._archives.piece = piece
            self._archives.elsewhere = 0
            self.tally.files += not piece.is_further
            if isinstance(opened, Failure):
                yield opened
                continue
            self._archives.row = number
            self.watch.begin(number)
            file = opened()
            if isinstance(file, Failure):
                yield file
                continue
            before = (self.tally.members, self.tally.containers)
            self._archives.budget = file.budget
            try:
                yield from self._fetch_file(file, place)
            finally:
                self._archives.members.hold(file.raw)
            found = (self.tally.members - before[0], self.tally.containers - before[1])
            if any(found):
                self.inside[number] = found
            if self.watch.singly or self._archives.members.is_full:
                yield from self._archives.noted()
        self._archives.row = NO_ROW
        self.watch.begin(NO_ROW)
        yield from self._archives.noted()

    def _opened(
        self,
        rows: Sequence[Mapping[str, Any]],
        numbers: Sequence[int],
        heads: Mapping[int, bytes | HeaderError],
    ) -> Iterator[tuple[int, Piece, Place, Any]]:
        """Yield the rows with their files: failures, or what gives the open file.

        Those of a store are opened ahead, and the directories of zips among them read.
        """
        waiting: deque[tuple[int, Piece, Place, Any]] = deque()
        with ThreadPoolExecutor(_OPENED_AHEAD) as pool:
            for number, row in zip(numbers, rows, strict=True):
                piece = Piece(row["piece"], row["pieces"])
                reader = self._reader(row["root"])
                place = self._place(row, number, reader)
                opened: Any
                head = heads.get(number)
                if row["kind"]:
                    opened = Failure(place, Kind(row["kind"]), row["message"], "list")
                elif number in self.watch.left_out:
                    opened = Failure(place, *self.watch.left_out[number], STAGE)
                elif isinstance(head, HeaderError):
                    opened = Failure(place, Kind(head.kind), head.message, STAGE)
                elif reader.is_near or self.watch.singly:
                    yield number, piece, place, partial(self._open, reader, row, place, None)
                    continue
                else:
                    opened = pool.submit(self._open, reader, row, place, head).result
                waiting.append((number, piece, place, opened))
                if len(waiting) > _OPENED_AHEAD:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()

    def _open(
        self, reader: SourceReader, row: Mapping[str, Any], place: Place, head: bytes | None
    ) -> Counted | Failure:
        """Open the file of a row; of a zip in a store, begin to fetch its directory and members."""
        try:
            raw = reader.open(row, head, self._observer())
        except OSError as error:
            self.refused.add(place.row)
            return refusal(place, error)
        except HeaderError as error:
            return Failure(place, Kind(error.kind), error.message, STAGE)
        budget = Budget(place.size)
        count = self._count if reader.is_near else None
        refused = partial(self.refused.add, place.row)
        opened = Counted(raw, count, budget, self.watch.beat, refused)
        piece = Piece(row["piece"], row["pieces"])
        # Of a further piece nothing was read yet: it is one because of its name.
        if (head is not None and archive_kind(head) == "zip") or piece.is_further:
            opened.prepare(piece, place.size or 0)
        return opened

    def _fetch_file(self, stream: Counted, place: Place) -> Iterator[Found]:
        try:
            head = stream.read_at(0, WINDOW)
        except HeaderError as error:
            yield Failure(place, Kind(error.kind), error.message, STAGE)
            return
        told: Told | None = None
        try:
            kind = kind_of_file(stream, head, place.file_name, place.size)
            if kind is None:
                told = unread(head, place.file_name, place.size, stream.read_at)
        except HeaderError as error:
            yield Failure(place, Kind(error.kind), error.message, STAGE)
            return
        if kind != "zip" and self._archives.is_told_before(place):
            return
        if kind is not None:
            stream.seek(0)
            yield from self._archives.fetch(cast(IO[bytes], stream), kind, place, nested=False)
        elif told := told or misnamed(head, place.file_name):
            yield Failure(place, *told, STAGE)
        else:
            more = stream.read_at if len(head) == WINDOW else None
            yield Window(place, head, more, LARGEST_HEADER)


def _one_ahead(items: Iterable[_Item]) -> Iterator[_Item]:
    """Yield items one behind: when one is given, the next has been begun."""
    before: list[_Item] = []
    for item in items:
        yield from before
        before = [item]
    yield from before
