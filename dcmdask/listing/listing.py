"""Take sources and what is known of them; write the manifest of what is to be read, cut in partitions.

Only one piece of the manifest is held at a time; what stays is a few numbers a partition and a
case.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from dcmdask.config import AS_USUAL, RemoteOptions, RunOptions
from dcmdask.errors import UsageError
from dcmdask.remote.address import is_url
from dcmdask.remote.credentials import parted, storage_of
from dcmdask.source.entries import ARCHIVE_SUFFIXES, Entry, Root
from dcmdask.source.file_lists.inventory import Inventory
from dcmdask.source.folders.links import INSIDE
from dcmdask.source.kinds import kind_of
from dcmdask.source.source_listing import Asked, RootListing
from dcmdask.state import manifest
from dcmdask.state.fingerprint import Fingerprints, fingerprints
from dcmdask.state.manifest import PieceWriter
from dcmdask.state.names import KnownSource, Names
from dcmdask.state.previous_runs import Known
from dcmdask.state.unlisted import Unlisted
from dcmdask.types import SKIPS, Kind, Partition, Piece

BYTES_AS_A_FILE = 64 * 1024
"""So many bytes of an archive weigh as much as one file: less than a member of usual size, and a
hundred times a bare header. A partition of 4,096 holds 400,000 of these at most, half a gigabyte
when they are read."""

PIECE_BYTES = 1024**3
"""Bytes of a zip beyond which it is several rows, that is several tasks: some ten seconds of one."""

MOST_PIECES = 16
"""Of one zip. Each reads the whole directory: of an archive of images, some 0.05 % of it."""

_MOST_INSIDE = 4096
"""Weight of the members of one row at most: it is one task, however large it says it is."""

_FIRST = 2048
"""Weight of the first partitions at most: reading begins while listing goes on."""

_DIGESTS = 2**256
_REPORT_EVERY = 1000


@dataclass(slots=True)
class Listing:
    """What listing found.

    Attributes
    ----------
    roots : list of Root
        Of the sources, in order.
    partitions : list of Partition
        Of what is to be read, in order of the manifest.
    cases : dict
        Case to its files and their bytes.
    files, bytes, archives, weight : int
        Entries, their size, those named archives, and what all of them weigh in files.
    not_entered : int
        Entries that stand for a place that is not entered.
    rows : int
        Entries, with large archives in pieces.
    to_read, bytes_to_read, weight_to_read : int
        Of these, the ones that are not known: files of which any row is not, and these rows.
    digest : str
        Of path, size, modification time and entity tag of every entry, in any order.
    passed_over : int
        Lines of a list that name no file that is there: delete markers, old versions.
    kept : int
        Of the files, those that are not listed because their place could not be, and that stay as
        the catalog in OUT knows them.
    absent : int
        Of the files, those of which listing already says that nothing can be had of them.
    unlisted : list of Unlisted
        What could not be listed.
    """

    roots: list[Root]
    partitions: list[Partition] = field(default_factory=list)
    cases: dict[str, tuple[int, int]] = field(default_factory=dict)
    files: int = 0
    bytes: int = 0
    archives: int = 0
    not_entered: int = 0
    weight: int = 0
    rows: int = 0
    to_read: int = 0
    bytes_to_read: int = 0
    weight_to_read: int = 0
    digest: str = ""
    passed_over: int = 0
    kept: int = 0
    absent: int = 0
    unlisted: list[Unlisted] = field(default_factory=list)

    @property
    def found(self) -> int:
        """Files that were really listed."""
        return self.files - self.kept


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is to be listed.

    Attributes
    ----------
    roots : list of Root
        Of the sources, in order.
    options : RunOptions
        Of the run, with what was secret in URLs among the storage options, and nowhere else.
    inventory : Inventory or None
        What is listed of them instead of what is there.
    names : Names
        What they and their cases are called in the catalog.
    """

    roots: list[Root]
    options: RunOptions
    inventory: Inventory | None = None
    names: Names = field(default_factory=lambda: Names(()))

    def named(self, known: Sequence[KnownSource]) -> Chosen:
        """Return the same, its sources under names that tell them apart, for ever.

        Parameters
        ----------
        known : sequence of KnownSource
            What earlier runs into the same output have left.
        """
        names = Names([(root.path, root.name) for root in self.roots], known)
        pairs = zip(self.roots, names.of_sources, strict=True)
        roots = [replace(root, name=name) for root, name in pairs]
        if self.inventory is not None:
            self.inventory.roots = roots
        return replace(self, roots=roots, names=names)


@contextmanager
def choose(sources: Iterable[str], options: RunOptions) -> Iterator[Chosen]:
    """Open sources, and the list of their files where one is named.

    Raises
    ------
    SourceError
        A source is missing or cannot be read.
    UsageError
        There is none, one lies in another, or the list cannot be read or understood.
    """
    named, options = _without_secrets(sources, options)
    if options.from_list is None:
        yield Chosen(open_roots(named, options.remote), options)
        return
    roots = open_roots(named, options.remote) if named else []
    if not roots and options.out is None:
        raise UsageError("--from-list without SOURCE", "say where the catalog goes with --out")
    with closing(Inventory(options.from_list, roots, options.remote)) as inventory:
        options = with_storage(options, inventory.storage)
        yield Chosen(inventory.roots, options, inventory)


def _without_secrets(sources: Iterable[str], options: RunOptions) -> tuple[list[str], RunOptions]:
    """Return sources and OUT without what is secret in them, and the options with it."""
    found = [parted(source) for source in sources]
    if options.out is not None and is_url(options.out):
        out = parted(options.out)
        options = with_storage(replace(options, out=out.url), storage_of(out))
    for one in found:
        if is_url(one.url):
            options = with_storage(options, storage_of(one))
    return [one.url for one in found], options


def with_storage(options: RunOptions, more: Iterable[str]) -> RunOptions:
    """Return options with further storage options.

    Raises
    ------
    UsageError
        One place would have two users, or two passwords.
    """
    said = tuple(dict.fromkeys((*options.storage_option, *more)))
    if len(said) == len(options.storage_option):
        return options
    names = [one.partition("=")[0] for one in said if "://" in one.partition("=")[0]]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        place = twice.rpartition(":")[0]
        words = f"{place} is named with two different users, passwords or tokens"
        raise UsageError(words, "crawl what each of them reads by itself")
    return replace(options, storage_option=said)


def open_roots(sources: Iterable[str], remote: RemoteOptions = AS_USUAL) -> list[Root]:
    """Return the roots of some sources; files of one folder share a root.

    Parameters
    ----------
    sources : iterable of str
        Paths and URLs.
    remote : RemoteOptions
        How stores are reached.

    Raises
    ------
    SourceError
        A source is missing or cannot be read.
    UsageError
        There is none, or one lies in another: its files would be listed twice.
    """
    # By real path: a folder and a link to it are one source.
    roots: dict[str, Root] = {}
    for source in sources:
        root = kind_of(source).listing(remote).root_of(source)
        real = root.real
        known = roots.get(real)
        if known is not None and known.only and root.only:
            root = Root(known.path, known.name, tuple(dict.fromkeys((*known.only, *root.only))))
        elif known is not None:
            root = Root(known.path, known.name)
        roots[real] = root
    if not roots:
        raise UsageError("no source", "name a folder, a file or an archive")
    for path, root in roots.items():
        for other, holder in roots.items():
            if path != other and not holder.only and path.startswith(holder.before(other)):
                words = f"source {root.path} lies in source {holder.path}"
                raise UsageError(words, "name one of them")
    # By path: whoever names them in another order means the same crawl.
    return sorted(roots.values(), key=lambda root: root.path)


def _renamed(names: Names, entry: Entry) -> Entry:
    """Return an entry under its case's name."""
    if entry.case is None:
        return entry
    name = names.of_case(entry.case)
    return entry if name == entry.case else entry._replace(case=name)


def write_manifest(
    roots: list[Root],
    known: Known,
    writer: PieceWriter,
    *,
    partition_size: int,
    leave_out: frozenset[str],
    wanted: Callable[[str], bool],
    remote: RemoteOptions = AS_USUAL,
    inventory: Inventory | None = None,
    names: Names | None = None,
    follow_links: str = INSIDE,
    server_folders: bool = False,
) -> Iterator[Listing]:
    """List all roots; give the listing as it grows, and last when it is complete.

    Parameters
    ----------
    roots : list of Root
        From `choose`.
    known : Known
        What need not be read; afterwards it knows what of it is still there.
    writer : PieceWriter
        Where entries go that are to be read.
    partition_size : int
        Files of a partition.
    leave_out : frozenset of str
        Real paths of folders, and URLs of prefixes, that are not entered.
    wanted : callable
        Relative path to whether a file is listed.
    remote : RemoteOptions
        How stores are reached.
    inventory : Inventory or None
        What is listed of the roots instead of what is there.
    names : Names or None
        Of these roots, and of what cases earlier runs have named.
    follow_links : str
        Which links are followed: ``inside``, ``all`` or ``none``.
    server_folders : bool
        Whether folders of a file server are entered.

    Yields
    ------
    Listing
        The same object, after every so many entries and at the end.
    """
    listing = Listing(roots, passed_over=inventory.passed_over if inventory else 0)
    cut = _Cut(partition_size, listing, writer)
    named_cases = names or Names([(root.path, root.name) for root in roots])

    def found(case: str) -> None:
        listing.cases.setdefault(named_cases.of_case(case), (0, 0))

    inside = tuple(root.real for root in roots if not root.is_remote and not root.only)
    asked = Asked(leave_out, wanted, found, inside, follow_links, server_folders)
    noting = _Noting(listing, known, cut, named_cases)
    for number, root in enumerate(roots):
        named_cases.begin(number)
        lists: RootListing = inventory or kind_of(root.path).listing(remote)
        walk = lists.list_root(root, asked)
        # In chunks: what is done once for many entries is not done for each.
        while chunk := list(itertools.islice(walk, _REPORT_EVERY)):
            noting.note(number, chunk, walked=lists.walks)
            if len(chunk) == _REPORT_EVERY:
                yield listing
    cut.finish()
    if inventory is not None:
        inventory.check()
    for table in known.keep(listing.unlisted, wanted):
        _count_kept(listing, table)
    listing.digest = f"{noting.digest % _DIGESTS:064x}"
    yield listing


@dataclass(slots=True)
class _Noting:
    """Notes what is listed.

    Attributes
    ----------
    listing : Listing
        Grows.
    known : Known
        What need not be read.
    cut : _Cut
        Takes what is to be read.
    names : Names
        Of cases.
    digest : int
        Of all that was noted.
    """

    listing: Listing
    known: Known
    cut: _Cut
    names: Names
    digest: int = 0

    def note(self, number: int, entries: list[Entry], *, walked: bool) -> None:
        """Note some entries of a root, by its number."""
        listing, known, root = self.listing, self.known, self.listing.roots[number]
        named = [_renamed(self.names, entry) for entry in entries]
        rows = _in_pieces(named)
        if known:
            files = None if rows is named else np.flatnonzero([not row.piece for row in rows])
            read = known.look_up(_prints(root.name, rows), listing.rows, files).tolist()
        else:
            read = known.take_for_new(len(named), len(rows))
        self.cut.add(number, rows, listing.rows, read)
        _note_absent(listing, root, rows, self.names, below=walked)
        _count(listing, named, rows)
        self.digest += _digest(number, named)


def _note_absent(
    listing: Listing, root: Root, rows: list[Entry], names: Names, *, below: bool
) -> None:
    """Note what of some rows could not be listed; `below` also of links that lead nowhere."""
    for number, row in enumerate(rows):
        if row.kind is None or row.kind in SKIPS:
            continue
        listing.absent += 1
        itself = row.kind != Kind.VANISHED
        if itself or below:
            # As a folder, what is taken for a file of the root would be a case of its own.
            case = row.case or ""
            cases = (case, case if "/" in row.path else names.known_case(row.path))
            position = listing.rows + number
            place = Unlisted(root.name, row.path, row.location, *cases, position, itself=itself)
            listing.unlisted.append(place)


def _count_kept(listing: Listing, files: pa.Table) -> None:
    """Add files that stay although they are not listed."""
    columns = (files[name].to_pylist() for name in ("path", "case", "size"))
    for path, case, size in zip(*columns, strict=True):
        count, total = listing.cases.get(case, (0, 0))
        listing.cases[case] = (count + 1, total + (size or 0))
        listing.bytes += size or 0
        listing.archives += path.lower().endswith(ARCHIVE_SUFFIXES)
    listing.files += files.num_rows
    listing.kept += files.num_rows


def _in_pieces(entries: list[Entry]) -> list[Entry]:
    """Return some entries with every large zip in pieces. Its size decides: all runs cut alike."""
    if not any(entry.size is not None and entry.size > PIECE_BYTES for entry in entries):
        return entries
    return [piece for entry in entries for piece in _pieces(entry)]


def _pieces(entry: Entry) -> list[Entry]:
    named_zip = entry.path.lower().endswith(".zip") and entry.kind is None
    if not named_zip or entry.size is None or entry.size <= PIECE_BYTES:
        return [entry]
    count = min(-(-entry.size // PIECE_BYTES), MOST_PIECES)
    return [entry._replace(piece=number, pieces=count) for number in range(count)]


def _count(listing: Listing, entries: list[Entry], rows: list[Entry]) -> None:
    """Add some entries, and their rows, to what the listing says of all and of each case."""
    for case, group in itertools.groupby(entries, key=lambda entry: entry.case):
        sizes = [entry.size or 0 for entry in group]
        if case is not None:
            files, size = listing.cases[case]
            listing.cases[case] = (files + len(sizes), size + sum(sizes))
        listing.files += len(sizes)
        listing.bytes += sum(sizes)
    archives = [row for row in rows if _is_archive(row)]
    listing.archives += sum(not row.piece for row in archives)
    listing.not_entered += sum(row.kind == Kind.NOT_ENTERED for row in rows)
    listing.rows += len(rows)
    listing.weight += len(rows) + sum(map(_inside, archives))


def _is_archive(entry: Entry) -> bool:
    return entry.path.lower().endswith(ARCHIVE_SUFFIXES) and entry.kind is None


def _inside(row: Entry) -> int:
    """Return what the members of an archive, or of a piece of one, weigh."""
    return min(_bytes(row) // BYTES_AS_A_FILE, _MOST_INSIDE)


def _bytes(row: Entry) -> int:
    size = row.size or 0
    return size if row.pieces == 1 else Piece(row.piece, row.pieces).share(size)


def _prints(root: str, rows: list[Entry]) -> Fingerprints:
    paths, locations, cases, sizes, times, kinds, messages, etags, *pieces = zip(*rows, strict=True)
    names = zip(itertools.repeat(root), paths, cases, locations, strict=False)
    verdicts = list(zip(kinds, messages, strict=True))
    return fingerprints(names, sizes, times, verdicts, etags, (pieces[0], pieces[1]))


def _digest(root: int, entries: list[Entry]) -> int:
    """Return the sum of digests of some lines: a store lists in any order."""
    lines = (
        f"{root}\0{entry.path}\0{entry.size}\0{entry.modified}\0{entry.etag or ''}"
        for entry in entries
    )
    digests = (hashlib.sha256(line.encode("utf-8", "surrogatepass")).digest() for line in lines)
    return sum(int.from_bytes(digest, "big") for digest in digests)


def write_again(
    pieces: Iterable[pa.Table],
    listing: Listing,
    writer: PieceWriter,
    partition_size: int,
    inventory: Inventory | None = None,
) -> None:
    """Add rows to what is to be read, although they are known: partitions of them are cut.

    Parameters
    ----------
    pieces : iterable of pyarrow.Table
        `dcmdask.tables.schema.MANIFEST`, with the name of the root for its number.
    listing : Listing
        Complete; its partitions grow.
    writer : PieceWriter
        Where entries go.
    partition_size : int
        Files of a partition.
    inventory : Inventory or None
        What was listed, where it may say how its files are reached.
    """
    numbers = {root.name: number for number, root in enumerate(listing.roots)}
    cut = _Cut(partition_size, listing, writer)
    rows = (row for piece in pieces for row in piece.to_pylist())
    # So many at a time: how they are reached is looked up in the whole list.
    while some := list(itertools.islice(rows, partition_size)):
        files = [(numbers[row.pop("root")], row) for row in some]
        asked = [(root, row["location"]) for root, row in files]
        access = inventory.access_of(asked) if inventory else {}
        for file, (root, row) in zip(asked, files, strict=True):
            cut.add(root, [Entry(**row, access=access.get(file))], listing.rows, [False])
    cut.finish()


class _Cut:
    """Cuts the manifest into partitions of about one weight, and writes it piece by piece.

    Partitions are cut as if nothing were known, so that what a run that was ended has left is read
    as it would have been read: the same files in one task. Where little of one is to be read, the
    next ones are added to it.

    Parameters
    ----------
    largest : int
        Weight of a partition.
    listing : Listing
        What is told of the partitions, once their piece can be read.
    writer : PieceWriter
        Where entries go.
    """

    def __init__(self, largest: int, listing: Listing, writer: PieceWriter) -> None:
        self._largest = largest
        self._listing = listing
        self._writer = writer
        self._cuts: list[tuple[int, int]] = []
        self._weight = 0
        self._to_read = 0
        self._first = 0
        self._before = 0
        self._file: tuple[int, str] | None = None

    def add(self, root: int, entries: list[Entry], position: int, known: list[bool]) -> None:
        """Add some rows of a root, of which the first has a position in the listing.

        Those that are known are not written.
        """
        for number, entry in enumerate(entries):
            weight = 1 + _inside(entry) if _is_archive(entry) else 1
            if self._weight and self._weight + weight > self._limit():
                self._end()
            self._weight += weight
            self._before += weight
            if not known[number]:
                self._write_entry(root, entry, weight, position + number)

    def finish(self) -> None:
        """Cut what is left."""
        if self._to_read:
            self._cut()
        self._write()

    def _write_entry(self, root: int, entry: Entry, weight: int, position: int) -> None:
        if not self._to_read:
            self._first = position
        self._writer.add((root, *entry))
        self._to_read += weight
        # Pieces of one archive follow one another.
        if not entry.piece or self._file != (root, entry.path):
            self._listing.to_read += 1
        self._file = (root, entry.path)
        self._listing.bytes_to_read += _bytes(entry)
        self._listing.weight_to_read += weight

    def _limit(self) -> int:
        """Return how much the next partition weighs: the first ones less, to begin soon."""
        return min(self._largest, max(_FIRST, self._before // 2))

    def _end(self) -> None:
        if self._to_read == self._weight or self._to_read > self._limit() // 2:
            self._cut()
        self._weight = 0
        if self._writer.rows >= manifest.PIECE_ROWS and not self._to_read:
            self._write()

    def _cut(self) -> None:
        self._cuts.append((self._writer.rows, self._first))
        self._to_read = 0

    def _write(self) -> None:
        """Write a piece; now its partitions can be read."""
        if not self._cuts:
            return
        piece = self._writer.flush()
        start = 0
        for stop, first in self._cuts:
            number = len(self._listing.partitions)
            self._listing.partitions.append(Partition(number, piece, start, stop, first))
            start = stop
        self._cuts = []
