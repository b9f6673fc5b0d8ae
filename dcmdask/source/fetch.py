"""Take manifest rows; give a window for every file and member, or the failure it already is.

Archives are read in place: of a member only the bytes that are asked for are inflated, nothing is
written to disk, and an archive inside an archive is opened one level deep.
"""

from __future__ import annotations

import posixpath
import tarfile
import threading
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import IO, Any, ClassVar, Self, TypeVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.dicom.windows import WINDOW, Heads, Windows, has_prefix
from dcmdask.errors import HeaderError
from dcmdask.source.archives.codecs import OPENERS
from dcmdask.source.archives.damage import judged
from dcmdask.source.archives.limits import Budget, StrictTarInfo, check_end, open_tar
from dcmdask.source.archives.member_stream import DAMAGE, LARGEST_HEADER, NO_MEMORY, Forward, Replay
from dcmdask.source.archives.metered_file import Counted
from dcmdask.source.archives.opening import (
    STAGE,
    head_of,
    more_of_member,
    not_stored,
    open_member,
    refusal,
    reopen_member,
    stored_in_tar,
    stored_in_zip,
)
from dcmdask.source.archives.sniff import archive_kind, is_tar
from dcmdask.source.archives.tar_names import TarNames
from dcmdask.source.archives.telling import (
    Told,
    kind_behind_program,
    kind_of_file,
    misnamed,
    unread,
)
from dcmdask.source.archives.zip_directory import Opened, open_zips
from dcmdask.source.archives.zip_members import Members, ends_of, in_order, quick_head, spans_of
from dcmdask.source.archives.zip_names import Naming, is_folder
from dcmdask.source.folders.disk import Disk, read_more
from dcmdask.source.heads import AT_ONCE, place_columns, place_table
from dcmdask.source.origin import FirstWindows, Hearing, Origin, expect
from dcmdask.source.places import Roots, member_place, tar_url, url_by_name, url_by_offset
from dcmdask.source.stores.object_reader import Bucket, ReadingOn
from dcmdask.types import ELSEWHERE, NO_ROW, WHOLE, Failure, Kind, Piece, Place, Window

HEAD = WINDOW
"""Bytes of a first window: the last light attribute comes before the bulky private groups."""

_OF_THE_WHOLE = (Kind.NOT_DICOM, Kind.CORRUPT_ARCHIVE, Kind.UNREAD_ARCHIVE)
"""Kinds that say so of an archive, not of a piece of it."""

_OPENED_AHEAD = 16
"""Files of a store that are opened before it is their turn: the tail of a zip takes a round trip."""

_Item = TypeVar("_Item")
Found = Window | Heads | Failure
Stored = Callable[[], IO[bytes] | None]


@dataclass(slots=True)
class Tally:
    """What fetching has seen, counted apart from what reading makes of it.

    Attributes
    ----------
    files, members, containers : int
        Files; members of archives; archives that only stand for their members, less the further
        pieces of archives that are failures of their own: no file is counted for these.
    bytes_read : int
        Bytes read of files, before any inflation.
    """

    files: int = 0
    members: int = 0
    containers: int = 0
    bytes_read: int = 0


@dataclass(frozen=True, slots=True)
class RowWatch:
    """What whoever watches over a process that reads wants to know, and has found out before.

    Attributes
    ----------
    begin : callable
        Told the number of each row before it is opened; `NO_ROW` where several are read at once,
        `ELSEWHERE` behind the last one.
    left_out : mapping
        Number of a row to the kind and message of the failure that it is without being opened.
    singly : bool
        Whether no file is read together with others, so that `begin` names the one at fault also
        where a header is, not its file.
    beat : callable
        Told that a row goes on: an archive is one row, and may honestly take minutes.
    """

    begin: Callable[[int], None] = lambda _row: None
    left_out: Mapping[int, tuple[Kind, str]] = field(default_factory=dict)
    singly: bool = False
    beat: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Rows of one root that are read at once.

    Attributes
    ----------
    rows : pyarrow.Table
        Of the manifest.
    numbers : list of int
        What each is called.
    origin : Origin
        Where they lie.
    regular : list of int
        Positions of those that are no failures before they are opened, nor further pieces.
    """

    rows: pa.Table
    numbers: list[int]
    origin: Origin
    regular: list[int]

    @classmethod
    def of(cls, manifest: pa.Table, begin: int, stop: int, origin: Origin) -> Self:
        """Take some rows of a manifest."""
        rows = manifest.slice(begin, stop - begin)
        # A further piece of what is no archive at all, of a file that is DICOM, say, is nothing.
        chosen = pc.and_(pc.is_null(rows["kind"]), pc.equal(rows["piece"], 0))
        return cls(rows, list(range(begin, stop)), origin, pc.indices_nonzero(chosen).to_pylist())


@dataclass(slots=True)
class Fetcher:
    """Opens what the manifest lists.

    Attributes
    ----------
    roots : Roots
        Of the crawl.
    tally : Tally
        What has been seen so far.
    inside : dict
        Row to the members and the containers that it was found to hold, if any.
    refused : set of int
        Rows of which the system refused a read: what came of them says little of the file.
    renamed : dict
        URL that was given to the URL that is right, as was found out later: `with_urls`.
    watch : RowWatch
        Of all fetchers of this process.
    """

    roots: Roots
    tally: Tally = field(default_factory=Tally)
    inside: dict[int, tuple[int, int]] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    renamed: dict[str, str] = field(default_factory=dict)
    watch: ClassVar[RowWatch] = RowWatch()
    _origins: dict[int, Origin] = field(default_factory=dict)
    _counting: threading.Lock = field(default_factory=threading.Lock)
    _members: Members = field(default_factory=Members)
    _budget: Budget = field(default_factory=Budget)
    _row: int = NO_ROW
    _piece: Piece = WHOLE
    _elsewhere: int = 0

    @classmethod
    @contextmanager
    def watched_behind(cls, rows: int) -> Iterator[None]:
        """Count rows from behind so many others: whoever watches blames none of these."""
        before = cls.watch
        cls.watch = replace(
            before, begin=lambda row: before.begin(row + rows if row >= 0 else row), left_out={}
        )
        try:
            yield
        finally:
            cls.watch = before

    def fetch(self, manifest: pa.Table) -> Iterator[Found]:
        """Give what some manifest rows hold: plain DICOM files many at once, all else singly.

        Whatever it is, it can be read until the next is asked for.
        """
        if self.watch.singly:
            yield from self.fetch_windows(manifest.to_pylist())
        else:
            yield from self._fetch_together(manifest)
        for origin in self._origins.values():
            if isinstance(origin, Bucket):
                origin.remote.check()
        self.watch.begin(ELSEWHERE)

    def _fetch_together(self, manifest: pa.Table) -> Iterator[Found]:
        for chunk, read in _one_ahead(map(self._begin_chunk, self._chunks(manifest))):
            first = read()
            self.watch.begin(NO_ROW)
            self.tally.files += len(first.kept)
            regular, numbers = chunk.regular, chunk.numbers
            chosen = chunk.rows.take(pa.array([regular[spot] for spot in first.kept], pa.int64()))
            if first.kept:
                kept = [numbers[regular[spot]] for spot in first.kept]
                yield self._heads(chosen, first.windows, kept, chunk.origin)
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
                origin = self._origin(int(roots[begin]))
                stop = min(begin + origin.at_once, end)
                yield _Chunk.of(manifest, begin, stop, origin)
                begin = stop

    def _begin_chunk(self, chunk: _Chunk) -> tuple[_Chunk, Callable[[], FirstWindows]]:
        numbers = [chunk.numbers[spot] for spot in chunk.regular]
        wanted = [None if number in self.watch.left_out else number for number in numbers]
        candidates = chunk.rows.take(pa.array(chunk.regular, pa.int64()))
        return chunk, chunk.origin.begin_heads(candidates, wanted, self._hearing())

    def _origin(self, root: int) -> Origin:
        """Give where a root lies."""
        if root not in self._origins:
            container = self.roots.container(root)
            self._origins[root] = (
                Disk() if container is None else Bucket(container, self.roots.remote)
            )
        return self._origins[root]

    def _hearing(self) -> Hearing:
        return Hearing(self.watch.begin, self.watch.beat, self._count)

    def _count(self, count: int) -> None:
        with self._counting:
            self.tally.bytes_read += count

    def _heads(
        self, manifest: pa.Table, windows: Windows, numbers: list[int], origin: Origin
    ) -> Heads:
        """Give loose files with their first windows."""
        container = self.roots.container(manifest["root"][0].as_py())
        places = place_columns(manifest, self.roots.names, numbers, container)
        if places is None:
            rows = zip(manifest.to_pylist(), numbers, strict=True)
            places = place_table([self.roots.place(row, number) for row, number in rows])
        if isinstance(origin, Bucket):
            return self._bucket_heads(manifest, windows, numbers, origin, places)
        return self._disk_heads(manifest, windows, numbers, places)

    def _bucket_heads(
        self,
        manifest: pa.Table,
        windows: Windows,
        numbers: list[int],
        bucket: Bucket,
        places: pa.Table,
    ) -> Heads:
        def refused(number: int) -> None:
            self.refused.add(numbers[number])

        reading = ReadingOn(bucket, manifest, windows, self._hearing(), refused)

        @contextmanager
        def reopen(number: int) -> Iterator[Window | Failure]:
            place = Place(**places.slice(number, 1).to_pylist()[0])
            with reading.opened(number) as (head, fetch):
                yield Window(place, head, fetch, LARGEST_HEADER)

        return Heads(places, windows, reading.more, reopen, reading.expect)

    def _disk_heads(
        self, manifest: pa.Table, windows: Windows, numbers: list[int], places: pa.Table
    ) -> Heads:
        def more(wanted: Sequence[tuple[int, int, memoryview]]) -> list[int]:
            return [read_on(*one) for one in wanted]

        def read_on(number: int, offset: int, row: memoryview) -> int:
            self.watch.begin(numbers[number])
            try:
                count = read_more(manifest["location"][number].as_py(), offset, row)
            except OSError:
                self.refused.add(numbers[number])
                count = 0
            # Back among the others: row and beat both change, so that a look now and then sees it.
            self.watch.begin(NO_ROW)
            self.watch.beat()
            self.tally.bytes_read += count
            return count

        @contextmanager
        def reopen(number: int) -> Iterator[Window | Failure]:
            again = Fetcher(self.roots)
            rows = manifest.slice(number, 1).to_pylist()
            found = again.fetch_windows(rows, [numbers[number]])
            with closing(cast(Any, found)):
                window = cast(Window | Failure, next(found))
                if isinstance(window, Failure):
                    self.refused.add(numbers[number])
                yield window
            self.refused |= again.refused
            self.tally.bytes_read += again.tally.bytes_read

        return Heads(places, windows, more, reopen)

    def fetch_windows(
        self,
        rows: Sequence[Mapping[str, Any]],
        numbers: Sequence[int] | None = None,
        heads: Mapping[int, bytes | HeaderError] = MappingProxyType({}),
    ) -> Iterator[Found]:
        """Give a window or failure for every file and member of some manifest rows.

        A window can be read until the next one is asked for. `numbers` are those of the rows in
        their partition; by default they are the whole of it. `heads` are first bytes that are there
        already, by number, or why there are none.
        """
        with closing(cast(Any, self._fetch_rows(rows, numbers, heads))) as all_found:
            for found in all_found:
                # Of the file itself, not of a member.
                own = isinstance(found, Failure) and found.place.archive is None
                yield self._of_piece(found) if own and self._piece.count > 1 else found

    def _of_piece(self, failure: Failure) -> Failure:
        """Account for a row of an archive in pieces that failed by itself, and say which it is."""
        if self._piece.is_further:
            row = failure.place.row
            self.tally.containers -= 1
            self.inside[row] = (0, -1)
        elif failure.kind in _OF_THE_WHOLE:
            # It says so of the whole.
            return failure
        return replace(failure, message=f"{self._piece}: {failure.message}")

    def _is_told_before(self, place: Place) -> bool:
        """Tell whether what is true of a whole archive is told by an earlier piece of it.

        Where the system refused a read, it is true of this one alone.
        """
        return self._piece.is_further and place.row not in self.refused

    def _fetch_rows(
        self,
        rows: Sequence[Mapping[str, Any]],
        numbers: Sequence[int] | None,
        heads: Mapping[int, bytes | HeaderError],
    ) -> Iterator[Found]:
        called = numbers or range(len(rows))
        for number, piece, place, opened in self._opened(rows, called, heads):
            self._piece = piece
            self._elsewhere = 0
            self.tally.files += not piece.is_further
            if isinstance(opened, Failure):
                yield opened
                continue
            self._row = number
            self.watch.begin(number)
            file = opened()
            if isinstance(file, Failure):
                yield file
                continue
            before = (self.tally.members, self.tally.containers)
            self._budget = file.budget
            try:
                yield from self._fetch_file(file, place)
            finally:
                self._members.hold(file.raw)
            found = (self.tally.members - before[0], self.tally.containers - before[1])
            if any(found):
                self.inside[number] = found
            if self.watch.singly or self._members.is_full:
                yield from self._fetched_members()
        self._row = NO_ROW
        self.watch.begin(NO_ROW)
        yield from self._fetched_members()

    def _opened(
        self,
        rows: Sequence[Mapping[str, Any]],
        numbers: Sequence[int],
        heads: Mapping[int, bytes | HeaderError],
    ) -> Iterator[tuple[int, Piece, Place, Any]]:
        """Give the rows with their files: failures, or what gives the open file.

        Those of a store are opened ahead, and the directories of zips among them read.
        """
        waiting: deque[tuple[int, Piece, Place, Any]] = deque()
        with ThreadPoolExecutor(_OPENED_AHEAD) as pool:
            for number, row in zip(numbers, rows, strict=True):
                piece = Piece(row["piece"], row["pieces"])
                place = self.roots.place(row, number)
                opened: Any
                head = heads.get(number)
                origin = self._origin(row["root"])
                if row["kind"]:
                    opened = Failure(place, Kind(row["kind"]), row["message"], "list")
                elif number in self.watch.left_out:
                    opened = Failure(place, *self.watch.left_out[number], STAGE)
                elif isinstance(head, HeaderError):
                    opened = Failure(place, Kind(head.kind), head.message, STAGE)
                elif isinstance(origin, Disk) or self.watch.singly:
                    yield number, piece, place, partial(self._open, origin, row, place, None)
                    continue
                else:
                    opened = pool.submit(self._open, origin, row, place, head).result
                waiting.append((number, piece, place, opened))
                if len(waiting) > _OPENED_AHEAD:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()

    def _open(
        self, origin: Origin, row: Mapping[str, Any], place: Place, head: bytes | None
    ) -> Counted | Failure:
        """Open the file of a row; of a zip in a store, begin to fetch its directory and members."""
        try:
            raw = origin.open(row, head, self._hearing())
        except OSError as error:
            self.refused.add(place.row)
            return refusal(place, error)
        except HeaderError as error:
            return Failure(place, Kind(error.kind), error.message, STAGE)
        budget = Budget(place.size)
        count = self._count if isinstance(origin, Disk) else None
        refused = partial(self.refused.add, place.row)
        opened = Counted(raw, count, budget, self.watch.beat, refused)
        piece = Piece(row["piece"], row["pieces"])
        # Of a further piece nothing was read yet: it is one because of its name.
        if (head is not None and archive_kind(head) == "zip") or piece.is_further:
            opened.prepare(piece, place.size or 0)
        return opened

    def _fetch_file(self, stream: Counted, place: Place) -> Iterator[Found]:
        try:
            head = stream.read_at(0, HEAD)
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
        if kind != "zip" and self._is_told_before(place):
            return
        if kind is not None:
            stream.seek(0)
            yield from self._fetch_archive(cast(IO[bytes], stream), kind, place, nested=False)
        elif told := told or misnamed(head, place.file_name):
            yield Failure(place, *told, STAGE)
        else:
            more = stream.read_at if len(head) == HEAD else None
            yield Window(place, head, more, LARGEST_HEADER)

    def _fetch_archive(
        self, stream: IO[bytes], kind: str, place: Place, *, nested: bool
    ) -> Iterator[Found]:
        """Give the members of an archive; where it fails, itself as a failure after them."""
        before = self.tally.members
        try:
            if kind == "zip":
                yield from self._fetch_zip(stream, place, nested=nested)
            elif kind == "tar":
                url = tar_url(place, None, nested=nested)
                yield from self._fetch_tar(stream, place, url, nested=nested)
            else:
                yield from self._fetch_compressed(stream, kind, place, nested=nested)
        except HeaderError as error:
            yield Failure(place, Kind(error.kind), error.message, STAGE)
        except DAMAGE as error:
            yield Failure(place, *judged(kind, error), STAGE)
        except MemoryError:
            yield Failure(place, Kind.TOO_LARGE, NO_MEMORY, STAGE)
        except OSError as error:
            # bz2 and gzip say OSError without a number for damage, the system one with.
            if error.errno is None:
                yield Failure(place, *judged(kind, error), STAGE)
            else:
                yield refusal(place, error)
        else:
            yield from self._close_archive(place, self.tally.members - before, nested=nested)

    def _close_archive(self, place: Place, members: int, *, nested: bool) -> Iterator[Failure]:
        """Account for an archive that has been read to its end."""
        if self._piece.is_further and not nested:
            return
        if members or (self._elsewhere and not nested):
            self.tally.containers += 1
        else:
            yield Failure(place, Kind.NOT_DICOM, "the archive holds no file", STAGE)

    def _fetch_zip(self, stream: IO[bytes], place: Place, *, nested: bool) -> Iterator[Found]:
        for archive, members, elsewhere, naming in self._open_zips(stream, place, nested=nested):
            self._elsewhere += elsewhere
            ends = ends_of(archive)
            expect(stream, spans_of(members, ends))
            for info in in_order(members):
                if not is_folder(info):
                    # Counted once it is there to have an outcome: the archive may change meanwhile.
                    quick = quick_head(stream, info, ends[info.header_offset])
                    member = self._zip_place(place, info, naming)
                    yield from self._fetch_zip_member(
                        archive, info, quick, member, stream, nested=nested
                    )
                    if len(self._members) == AT_ONCE:
                        yield from self._fetched_members()
                    if isinstance(stream, Counted) and stream.lost is not None:
                        # One failure, not one of each member that is left.
                        raise stream.lost
        if nested:
            # It lies in memory.
            yield from self._fetched_members()

    def _open_zips(self, stream: IO[bytes], place: Place, *, nested: bool) -> Iterator[Opened]:
        """Open a zip; of one with a damaged directory, give a further piece what lies before that."""
        try:
            opened = getattr(stream, "zips", None)
            piece = WHOLE if nested else self._piece
            yield from opened or open_zips(stream, piece, place.size or 0)
        except DAMAGE:
            if nested or not self._is_told_before(place):
                raise

    def _fetch_zip_member(
        self,
        archive: zipfile.ZipFile,
        info: zipfile.ZipInfo,
        quick: bytes | None,
        member: Place,
        stream: IO[bytes],
        *,
        nested: bool,
    ) -> Iterator[Found]:
        """Note a member that begins as DICOM does, to be read with others; give any other.

        `quick` are its first bytes, if they could be had without `zipfile`.
        """
        if quick is not None and has_prefix(quick):
            self._members.add((archive, info, member, self._budget), quick)
            return
        opened = open_member(archive, info, member, self.watch.beat)
        if isinstance(opened, Failure):
            yield opened
            return
        with opened:
            forward = Forward(opened, self._budget)
            head = head_of(forward, member)
            if isinstance(head, Failure):
                yield head
            elif has_prefix(head):
                self._members.add((archive, info, member, self._budget), head)
            else:
                stored = partial(stored_in_zip, stream, info)
                yield from self._fetch_content(forward, head, member, stored, nested=nested)

    def _fetched_members(self) -> Iterator[Heads]:
        """Give the members that were noted, and let go of their archives."""
        if len(self._members):
            if not self.watch.singly:
                # They may be of several rows.
                self.watch.begin(NO_ROW)
            beat = self.watch.beat
            yield self._members.heads(
                partial(more_of_member, beat=beat), partial(reopen_member, beat=beat)
            )
            self.watch.begin(self._row)
        self._members.close()

    def _fetch_tar(
        self, stream: IO[bytes], place: Place, url: str, *, nested: bool
    ) -> Iterator[Found]:
        names = TarNames(url, place.url)
        try:
            for archive, info in open_tar(stream, StrictTarInfo):
                if info is None:
                    check_end(cast(IO[bytes], archive.fileobj))
                elif not info.isdir():
                    own = names.url_of(info)
                    member = self._member_place(place, info.name, info.size, own)
                    yield from self._fetch_tar_member(archive, info, member, stream, nested=nested)
        finally:
            self.renamed |= names.renamed()

    def _fetch_tar_member(
        self,
        archive: tarfile.TarFile,
        info: tarfile.TarInfo,
        member: Place,
        stream: IO[bytes],
        *,
        nested: bool,
    ) -> Iterator[Found]:
        if not info.isreg():
            words = "a link or special file inside an archive"
            yield Failure(member, Kind.NOT_DICOM, words, STAGE)
            return
        opened = archive.extractfile(info)
        assert opened is not None
        stored = partial(stored_in_tar, stream, info)
        yield from self._fetch_member(Forward(opened), member, stored, nested=nested)

    def _fetch_compressed(
        self, stream: IO[bytes], kind: str, place: Place, *, nested: bool
    ) -> Iterator[Found]:
        """Give the members of a compressed tar, or the one file that was compressed."""
        opened = OPENERS[kind](stream)
        head = opened.read(HEAD)
        self._budget.weigh(len(head))
        inner = cast(IO[bytes], Replay(head, opened, self._budget))
        if is_tar(head) and not has_prefix(head):
            url = tar_url(place, kind, nested=nested)
            yield from self._fetch_tar(inner, place, url, nested=nested)
            return
        stem, suffix = posixpath.splitext(place.file_name)
        name = stem if suffix else f"{place.file_name}.content"
        member = self._member_place(place, name, None, f"{kind}://{name}::{place.url}")
        yield from self._fetch_member(Forward(inner), member, not_stored, nested=nested)

    def _zip_place(self, archive: Place, info: zipfile.ZipInfo, naming: Naming) -> Place:
        """Give the place of one more member of a zip."""
        name = naming.name_of(info)
        url = url_by_name("zip", naming.stored_name(info), archive.url)
        url = url or url_by_offset(info.header_offset, name, archive.url)
        return self._member_place(archive, name, info.file_size, url)

    def _member_place(self, archive: Place, name: str, size: int | None, url: str) -> Place:
        """Give the place of one more member."""
        place = member_place(archive, name, size, url)
        self._budget.list(place)
        self.tally.members += 1
        return place

    def _fetch_member(
        self, stream: Forward, member: Place, stored: Stored, *, nested: bool
    ) -> Iterator[Found]:
        head = head_of(stream, member)
        if isinstance(head, Failure):
            yield head
        else:
            yield from self._fetch_content(stream, head, member, stored, nested=nested)

    def _fetch_content(
        self,
        stream: Forward,
        head: bytes,
        member: Place,
        stored: Stored,
        *,
        nested: bool,
    ) -> Iterator[Found]:
        """Give a member as a window, or the members of the archive that it is.

        `stored` gives the member where it lies as it is in a file: a zip is read there.
        """
        kind = archive_kind(head)
        if kind is None:
            try:
                told = unread(head, member.file_name, member.size, stream.fetch)
                kind = kind_behind_program(head, member.size, stream.fetch)
            except HeaderError as error:
                told = Kind(error.kind), error.message
            if told is not None:
                yield Failure(member, *told, STAGE)
                return
        if kind is None:
            yield Window(member, head, stream.fetch if len(head) == HEAD else None, LARGEST_HEADER)
        elif nested:
            words = "an archive nested more than one level deep"
            yield Failure(member, Kind.TOO_LARGE, words, STAGE)
        else:
            try:
                inner = stream.from_start()
                if kind == "zip":
                    inner = stored() or stream.in_memory()
            except HeaderError as error:
                yield Failure(member, Kind(error.kind), error.message, STAGE)
                return
            yield from self._fetch_archive(inner, kind, member, nested=True)


def _one_ahead(items: Iterable[_Item]) -> Iterator[_Item]:
    """Give items one behind: when one is given, the next has been begun."""
    before: list[_Item] = []
    for item in items:
        yield from before
        before = [item]
    yield from before
