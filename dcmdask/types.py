"""The small things that pass between rooms: no input, no output, only shapes.

Arrow tables carry the rows (`dcmdask.tables.schema`); these dataclasses carry where a file is, how its
bytes are reached, and what a partition came to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NoReturn

from dcmdask.errors import HeaderError
from dcmdask.table_types import (
    DescribedTable,
    FailuresTable,
    InstancesTable,
    NamedTable,
    NotedTable,
    SeenTable,
)

if TYPE_CHECKING:
    pass


class Kind(StrEnum):
    """Why a file or member gave no instance. The first three are skips, the others failures."""

    NOT_DICOM = "not_dicom"
    DICOMDIR = "dicomdir"
    NOT_ENTERED = "not_entered"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    TIMEOUT = "timeout"
    ACCESS_DENIED = "access_denied"
    VANISHED = "vanished"
    CORRUPT_ARCHIVE = "corrupt_archive"
    ENCRYPTED_ARCHIVE = "encrypted_archive"
    UNREAD_ARCHIVE = "unread_archive"
    TOO_LARGE = "too_large"
    UNEXPECTED = "unexpected"


class Note(StrEnum):
    """What is said of an instance that is there but not whole, or that was read with a guess."""

    CUT = "cut"
    """The file ends inside an element of its header: what stands behind is missing."""
    NOT_UNDERSTOOD = "not_understood"
    """A value stood there and stayed empty, as its column cannot hold it."""
    NUL_IN_TEXT = "nul_in_text"
    """A text was taken to end at a NUL, as it does where a buffer was written with its rest."""
    CHARACTER_SET = "character_set"
    """SpecificCharacterSet names none that is known; text was read in the default one."""
    INVALID_VR = "invalid_vr"
    """An element has no valid VR; it was passed by the length that leads to another element."""
    STRAY_DELIMITER = "stray_delimiter"
    """The end of an item or sequence, or an item, stands where none is open; it was passed over."""
    OUT_OF_ORDER = "out_of_order"
    """Light attributes stand behind others of a higher tag; the header was read further for them."""
    WRONG_LENGTH = "wrong_length"
    """A sequence or an item is longer or shorter than it says; it was read as pydicom reads it."""
    NOT_DESCRIBED = "not_described"
    """The instance is listed; its metadata or references could not all be read."""
    UNIDENTIFIED = "unidentified"
    """A UID that tells it from others is missing: of the instance, its series or its study."""
    NAME_IN_TEXT = "name_in_text"
    """A word that may be of a name which ``--desensitize`` hides stands in a value."""
    NAME_IN_PATH = "name_in_path"
    """A part of such a name stands in its path."""
    WITHHELD = "withheld"
    """A name of its series or study could not be read again to look for it: its texts are left out."""


NO_ROW = -1
"""Instead of the number of a row: several are being read at once."""

ELSEWHERE = -2
"""Instead of the number of a row: none is being read, but the manifest, or the part is written."""

PRIVATE = ".dcmdask"
"""Folder in an output that a run keeps for itself."""

CATALOG_FOLDER = re.compile(r"catalog-[0-9a-f]{16}")
"""What the folder of a catalog in a store is called."""

SKIPS = (Kind.NOT_DICOM, Kind.DICOMDIR, Kind.NOT_ENTERED)
"""Kinds that say that the file is not what a crawl is after."""

REFUSED = (Kind.TIMEOUT, Kind.ACCESS_DENIED, Kind.VANISHED)
"""Kinds that say that nothing could be had of a file, be it there or not."""

PASSING = (Kind.TIMEOUT, Kind.ACCESS_DENIED, Kind.VANISHED, Kind.UNEXPECTED)
"""Kinds that say less of the file than of the hour: the next run tries again."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What of a large archive one manifest row answers for; the first one also for it as a whole.

    Attributes
    ----------
    number, count : int
        Which one, from 0, and of how many.

    Examples
    --------
    >>> Piece(1, 4).share(10), Piece(1, 4).bounds(10), str(Piece(1, 4))
    (3, (3, 5), 'piece 2 of 4')
    """

    number: int = 0
    count: int = 1

    def __str__(self) -> str:
        return f"piece {self.number + 1} of {self.count}"

    @property
    def is_further(self) -> bool:
        """Whether there is one before it: the file is counted there."""
        return self.number > 0

    def share(self, size: int) -> int:
        """Return how many of so many bytes are its own."""
        return size * (self.number + 1) // self.count - size * self.number // self.count

    def bounds(self, size: int) -> tuple[int | None, int | None]:
        """Return from which offset and before which one members are its own, of so many bytes.

        None for the first one's beginning and the last one's end: a directory may name offsets
        before and behind the file, and each of them is of one piece.
        """
        begin = -(-size * self.number // self.count) if self.number else None
        behind = self.number + 1
        return begin, -(-size * behind // self.count) if behind < self.count else None


WHOLE = Piece()
"""All of a file."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one file or member is.

    Attributes
    ----------
    url : str
        An fsspec URL, chained for members.
    case : str
        Name of the case it belongs to.
    path : str
        Relative to the source root, posix; members as ``a.zip!in/b.dcm``.
    folder : str
        Folder of the file or member, starting with the name of the source root.
    file_name : str
        Last component of the path.
    archive : str or None
        Path of the archive in the source root that holds the member; None for a loose file.
    size : int or None
        Bytes; None where a stream does not tell.
    modified : int or None
        Microseconds since 1970 UTC; of the archive, for a member.
    etag : str or None
        The store's entity tag, where there is one.
    row : int
        Of the manifest row in its partition.
    """

    url: str
    case: str
    path: str
    folder: str
    file_name: str
    archive: str | None
    size: int | None
    modified: int | None
    etag: str | None = None
    row: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """One file or member that gave no instance."""

    place: Place
    kind: Kind
    message: str
    stage: str


FileKey = tuple[int, bytes]
"""A file of a listing: number of its root, and location."""

Fetch = Callable[[int, int], bytes]
"""Bytes at an offset, at most so many; fewer only at the end of the file."""

BLOCK = 64 * 1024
"""Bytes of one further read of a header that outgrows its first window."""

MOST_READS = 2_000_000
"""Reads of one pass over a header. pydicom makes an object of every element it reads, a kilobyte
for an empty item of eight bytes: a file of items alone must not take all memory."""

_TOO_MANY_BYTES = "the header outgrows the bytes allowed for one file"


class Window:
    """The first bytes of a file or member, and the way to more of them.

    A binary file object as pydicom wants it. Reads inside the head cost a slice; beyond it, blocks
    are fetched as they are asked for, so that a value that is skipped is never read.

    Parameters
    ----------
    place : Place
        Whose bytes these are.
    head : bytes
        The first bytes.
    fetch : Fetch or None
        How to get others; None when `head` is all there is.
    budget : int
        Bytes that may be fetched beyond the head before the header is given up as too large.

    Notes
    -----
    `fetch` need only work until the next window is asked of the source that made this one.
    pydicom turns exceptions raised in `read` into others; `raise_error` raises the first one again.
    """

    __slots__ = (
        "_block",
        "_block_at",
        "_budget",
        "_error",
        "_fetch",
        "_head",
        "_position",
        "_reads",
        "place",
    )

    name = "<window>"  # pydicom puts it into warnings: never a path

    def __init__(self, place: Place, head: bytes, fetch: Fetch | None, budget: int) -> None:
        self.place = place
        self._head = head
        self._fetch = fetch
        self._budget = budget
        self._position = 0
        self._reads = 0
        self._block = b""
        self._block_at = 0
        # Not the exception itself: it holds the frames it went through, and they hold this window
        # with all that was read, until Python looks for circles.
        self._error: tuple[str, str] | None = None

    def rewind(self) -> None:
        """Go back to the start, as if nothing had been read."""
        self._position = 0
        self._reads = 0

    @property
    def head(self) -> bytes:
        """The first bytes, as they were given."""
        return self._head

    def tell(self) -> int:
        """Position of the next read, bytes from the start."""
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move the position; beyond the end is allowed, as for any file."""
        if whence == 1:
            offset += self._position
        elif whence == 2:
            raise OSError("a window knows no end")
        if offset < 0:
            raise ValueError("negative position in a window")
        self._position = offset
        return offset

    def read(self, count: int = -1) -> bytes:
        """Return `count` bytes, fewer only at the end of the file."""
        start = self._position
        if count < 0:
            raise OSError("a window is not read to its end")
        self._reads += 1
        if self._reads > MOST_READS:
            self._give_up("the header holds too many elements")
        stop = start + count
        if stop <= len(self._head):
            self._position = stop
            return self._head[start:stop]
        found = self._read_beyond(start, count)
        self._position = start + len(found)
        return found

    def _read_beyond(self, start: int, count: int) -> bytes:
        if self._fetch is None:
            return self._head[start : start + count]
        pieces = []
        if start < len(self._head):
            pieces.append(self._head[start:])
            count -= len(pieces[0])
            start = len(self._head)
        while count > 0:
            inside = start - self._block_at
            if not 0 <= inside < len(self._block):
                block = self._fetch_within_budget(start, count, max(count, BLOCK))
                if not block:
                    break
                self._block, self._block_at = block, start
                inside = 0
            piece = self._block[inside : inside + count]
            pieces.append(piece)
            start += len(piece)
            count -= len(piece)
        return b"".join(pieces)

    def _fetch_within_budget(self, start: int, needed: int, wanted: int) -> bytes:
        """Fetch what is wanted as far as the budget goes; what is needed may not exceed it."""
        assert self._fetch is not None
        size = self.place.size
        # A length that lies claims bytes behind the end of the file: these cost nothing.
        claimed = needed if size is None else min(needed, max(size - start, 1))
        if self._budget <= 0 or (size is not None and claimed > self._budget):
            self._give_up(_TOO_MANY_BYTES)
        try:
            found = self._fetch(start, min(wanted, self._budget))
        except HeaderError as error:
            self._error = self._error or (error.kind, error.message)
            raise
        self._budget -= len(found)
        if needed > len(found) and self._budget <= 0:
            self._give_up(_TOO_MANY_BYTES)
        return found

    def _give_up(self, words: str) -> NoReturn:
        self._error = self._error or (Kind.TOO_LARGE, words)
        raise HeaderError(*self._error)

    def fetch(self, offset: int, count: int) -> bytes:
        """Return raw bytes at an offset, head or not; for readers that need no position."""
        inside = self._head[offset : offset + count]
        missing = count - len(inside)
        if not missing or self._fetch is None:
            return inside
        return inside + self._fetch_within_budget(offset + len(inside), missing, missing)

    @contextmanager
    def looking_ahead(self) -> Iterator[None]:
        """Go back to where the window is, and to what it may still read, when the block is left."""
        position, budget, reads = self._position, self._budget, self._reads
        try:
            yield
        finally:
            self._budget, self._reads = budget, reads
            self.seek(position)

    def is_past_end(self) -> bool:
        """Tell whether the position lies behind the end of the file, as after a value cut short."""
        before = self._position - 1
        if before < len(self._head) or 0 <= before - self._block_at < len(self._block):
            return False
        return not self.fetch(before, 1)

    def raise_error(self) -> None:
        """Raise the first error of a fetch, which pydicom may have turned into another."""
        if self._error is not None:
            raise HeaderError(*self._error)


@dataclass(frozen=True, slots=True)
class Partition:
    """A slice of the manifest: the work of one Dask task.

    Attributes
    ----------
    number : int
        Of the partition in this run; names the part files.
    piece : str
        Path of the manifest piece (Arrow IPC file).
    start, stop : int
        Rows of the piece.
    position : int
        Of its first row in the listing of the run.
    beside : tuple of int
        Rows of the piece, from and to, that are read before it, for the patients' names in them only.
    """

    number: int
    piece: str
    start: int
    stop: int
    position: int
    beside: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class PartitionSummary:
    """What a partition came to; all that travels back to the driver, and the last that is written.

    Attributes
    ----------
    part : str
        Stem of the part files it left.
    position : int
        Of its first row in the listing of the run that reads it.
    rows : int
        Manifest rows.
    files, members, containers : int
        Files, each counted with its first row; members of archives; archives that only stand for
        their members. A further row of an archive that is a failure of its own is -1 container.
    instances, skips, failures : int
        Outcomes; their sum is ``files + members - containers``.
    bytes_listed, bytes_read : int
        Size of the files; bytes fetched of them.
    scanned : int
        Instances whose light attributes the columnar scan read; pydicom read the others.
    reasons : dict
        Why files that begin as DICOM does were left to pydicom, and how many.
    tried, refused : int
        Rows that were opened to be read, and those of which that failed for a reason of access:
        of the work of this run, not of the part.
    """

    part: str
    position: int
    rows: int = 0
    files: int = 0
    members: int = 0
    containers: int = 0
    instances: int = 0
    skips: int = 0
    failures: int = 0
    bytes_listed: int = 0
    bytes_read: int = 0
    scanned: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    tried: int = 0
    refused: int = 0

    @property
    def listed(self) -> int:
        """Files and members that must each have an outcome."""
        return self.files + self.members - self.containers


@dataclass(frozen=True, slots=True)
class HeaderTables:
    """What a partition's windows gave.

    Attributes
    ----------
    instances : pyarrow.Table
        `dcmdask.tables.schema.INSTANCES`.
    seen : pyarrow.Table
        `dcmdask.tables.schema.SEEN`: where each of the instances comes from, in their order.
    described : pyarrow.Table
        `dcmdask.tables.schema.DESCRIBED`: deep metadata of the least instance of each series here.
    references : pyarrow.Table
        `dcmdask.tables.schema.NAMED`: references as the objects name them, unresolved.
    failures : pyarrow.Table
        `dcmdask.tables.schema.FAILURES`.
    notes : pyarrow.Table
        `dcmdask.tables.schema.NOTED`: what is not whole of the instances.
    scanned : int
        Instances whose light attributes the columnar scan read.
    reasons : dict
        Why files that begin as DICOM does were left to pydicom, and how many.

    Notes
    -----
    All but the instances have a column ``row`` more: that of the manifest in its partition.
    """

    instances: InstancesTable
    seen: SeenTable
    described: DescribedTable
    references: NamedTable
    failures: FailuresTable
    notes: NotedTable
    scanned: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come, for whoever shows it.

    Attributes
    ----------
    stage : str
        ``list``, ``read``, ``assemble`` or ``publish``.
    found, done : int
        Files that are to be read; files whose partition is read.
    instances, failures, skips : int
        Outcomes so far.
    bytes_found, bytes_done : int
        Size of the files that are to be read, and of those whose partition is read.
    known : int
        Files listed that an earlier run has read.
    """

    stage: str
    found: int = 0
    done: int = 0
    instances: int = 0
    failures: int = 0
    skips: int = 0
    bytes_found: int = 0
    bytes_done: int = 0
    known: int = 0
