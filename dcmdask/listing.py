"""Take sources; write the manifest and give the partitions it is cut into.

Only one piece of the manifest is held at a time; what stays is a few numbers a partition and a
case.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dcmdask.errors import UsageError
from dcmdask.source.local import ARCHIVE_SUFFIXES, OUTPUTS, Entry, Root, list_root, root_of
from dcmdask.store import PieceWriter
from dcmdask.types import Partition

BYTES_AS_A_FILE = 256 * 1024
"""So many bytes of an archive weigh as much as one file: a member of usual size, compressed."""

_REPORT_EVERY = 1000


@dataclass(slots=True)
class Listing:
    """What listing found.

    Attributes
    ----------
    roots : list of Root
        Of the sources, in order.
    partitions : list of Partition
        In order of the manifest.
    cases : dict
        Case to its files and their bytes.
    files, bytes, archives, weight : int
        Entries, their size, those named archives, and what the partitions weigh in files.
    digest : str
        Of path, size and modification time of every entry, in order.
    """

    roots: list[Root]
    partitions: list[Partition] = field(default_factory=list)
    cases: dict[str, tuple[int, int]] = field(default_factory=dict)
    files: int = 0
    bytes: int = 0
    archives: int = 0
    weight: int = 0
    digest: str = ""


def open_roots(sources: Iterable[str]) -> list[Root]:
    """Give the roots of some sources; files of one folder share a root.

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
        root = root_of(source)
        real = os.path.realpath(root.path)
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
            if path != other and not holder.only and path.startswith(other.rstrip(os.sep) + os.sep):
                raise UsageError(
                    f"source {root.path} lies in source {holder.path}", "name one of them"
                )
    # By path: whoever names them in another order means the same crawl.
    return sorted(roots.values(), key=lambda root: root.path)


def output_of(roots: list[Root], out: str | None) -> Path:
    """Give the output folder: as asked, else ``.imgtools/<name>`` beside the one source.

    Raises
    ------
    UsageError
        There are several sources and no folder was named, or the folder is a source.
    """
    if out is not None:
        place = Path(out).expanduser().absolute()
        if any(not root.only and _is_same(place, root.path) for root in roots):
            raise UsageError(f"--out {out} is a source", "name a folder in it or beside it")
        return place
    if len(roots) != 1:
        raise UsageError("several sources", "say where the catalog goes with --out")
    root = roots[0]
    if len(root.only) == 1:
        name = Path(root.only[0]).name.split(".")[0] or "crawl"
        return Path(root.path) / OUTPUTS / name
    return Path(root.path).parent / OUTPUTS / root.name


def _is_same(path: Path, other: str) -> bool:
    return os.path.realpath(path) == os.path.realpath(other)


class CaseNames:
    """Names of cases: those of a later source that an earlier one has are told apart."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._of_root: dict[str, str] = {}
        self._root = ""

    def begin(self, root: str) -> None:
        """Start naming the cases of another source."""
        self._taken |= set(self._of_root.values())
        self._of_root = {}
        self._root = root

    def name(self, case: str) -> str:
        """Give the name a case of this source has in the catalog."""
        if case not in self._of_root:
            name, number = case, 1
            while name in self._taken:
                name = f"{self._root}/{case}" if number == 1 else f"{self._root}/{case} ({number})"
                number += 1
            self._of_root[case] = name
        return self._of_root[case]


def write_manifest(
    roots: list[Root],
    writer: PieceWriter,
    *,
    partition_size: int,
    leave_out: frozenset[str],
    wanted: Callable[[str], bool],
) -> Iterator[Listing]:
    """List all roots; give the listing as it grows, and last when it is complete.

    Parameters
    ----------
    roots : list of Root
        From `open_roots`.
    writer : PieceWriter
        Where entries go.
    partition_size : int
        Files of a partition.
    leave_out : frozenset of str
        Real paths of folders that are not entered.
    wanted : callable
        Relative path to whether a file is listed.

    Yields
    ------
    Listing
        The same object, after every so many entries and at the end.
    """
    listing = Listing(roots)
    digest = hashlib.sha256()
    cut = _Cut(partition_size, listing)
    names = CaseNames()
    inside = tuple(os.path.realpath(root.path) for root in roots if not root.only)
    for number, root in enumerate(roots):
        names.begin(root.name)
        for entry in _entries(root, names, listing, leave_out, inside, wanted):
            piece, row = writer.add((number, *entry))
            cut.add(piece, row, entry)
            digest.update(f"{number}\0{entry.path}\0{entry.size}\0{entry.modified}\n".encode())
            if listing.files % _REPORT_EVERY == 0:
                yield listing
    writer.flush()
    cut.end()
    listing.digest = digest.hexdigest()
    yield listing


def _entries(
    root: Root,
    names: CaseNames,
    listing: Listing,
    leave_out: frozenset[str],
    inside: tuple[str, ...],
    wanted: Callable[[str], bool],
) -> Iterator[Entry]:
    def found(case: str) -> None:
        listing.cases.setdefault(names.name(case), (0, 0))

    walk = list_root(root, leave_out=leave_out, inside=inside, wanted=wanted, found_case=found)
    for entry in walk:
        named = entry._replace(case=names.name(entry.case))
        files, size = listing.cases.get(named.case, (0, 0))
        listing.cases[named.case] = (files + 1, size + (entry.size or 0))
        listing.files += 1
        listing.bytes += entry.size or 0
        yield named


class _Cut:
    """Cuts the manifest into partitions of about one weight as it is written."""

    def __init__(self, largest: int, listing: Listing) -> None:
        self._largest = largest
        self._listing = listing
        self._piece = ""
        self._start = 0
        self._stop = 0
        self._weight = 0

    def add(self, piece: str, row: int, entry: Entry) -> None:
        weight = 1
        if entry.path.lower().endswith(ARCHIVE_SUFFIXES):
            self._listing.archives += 1
            weight += (entry.size or 0) // BYTES_AS_A_FILE
        if piece != self._piece or self._weight + weight > self._largest:
            self.end()
            self._piece, self._start = piece, row
        self._stop = row + 1
        self._weight += weight
        self._listing.weight += weight

    def end(self) -> None:
        if self._stop > self._start and self._piece:
            number = len(self._listing.partitions)
            self._listing.partitions.append(Partition(number, self._piece, self._start, self._stop))
        self._weight = 0
        self._start = self._stop
