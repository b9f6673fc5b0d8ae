"""Take a list of files instead of a walk; give the entries of each root, in order of names.

Lines come in any order and some twice: they are sorted, so many as may be held at a time, and what
is more is kept in files without a name.
"""

from __future__ import annotations

import heapq
import itertools
import os
import pickle
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import IO, Any

from dcmdask.config import RemoteOptions
from dcmdask.errors import UsageError
from dcmdask.marks import is_output
from dcmdask.remote.address import Address, before_keys, is_url, local_path
from dcmdask.remote.credentials import parted, public_url, storage_of, with_query
from dcmdask.remote.sealing import mark_of, new_seal, sealed
from dcmdask.source.entries import Entry, Root, shown, top_level_case
from dcmdask.source.file_lists.dialect import LOOKED_AT, as_here, column_of_paths, unknown_columns
from dcmdask.source.file_lists.lines import Line, read_lines
from dcmdask.source.folders.links import lies_in
from dcmdask.source.folders.not_entered import A_CATALOG, case_of_place, catalog_of_key, not_entered
from dcmdask.source.source_listing import EVERYTHING, Asked
from dcmdask.system import scratch
from dcmdask.types import PRIVATE, FileKey, Kind

HELD = 200_000
"""Lines that are held to be sorted: a hundred megabytes."""

_BATCH = 1_000
_A_FOLDER = "a folder: list its files, or give it as SOURCE"
_COLUMNS = (
    "name one of them path, url or key (with bucket); size, last_modified, e_tag may be others"
)
_UNTIDY = re.compile(r"(^|/)\.{0,2}(/|$)")
_Row = tuple[str, str, int | None, int | None, str | None, str | None]
"""Which root, by what sorts as roots do; location; size, time and entity tag; with what is secret."""

_place_of = itemgetter(0, 1)


def _facts_of(row: _Row) -> tuple[int, int, str]:
    # The latest that is said of a file, whichever line says it first.
    return (-1 if row[3] is None else row[3], -1 if row[2] is None else row[2], row[4] or "")


@dataclass(frozen=True, slots=True)
class _Prefix:
    """What lines of one root begin with.

    Attributes
    ----------
    text : str
        With what parts it from the rest.
    rank : str
        Of the root.
    root : Root
        Itself.
    """

    text: str
    rank: str
    root: Root


class Inventory:
    """A list of files.

    Parameters
    ----------
    place : str
        Path or URL of the list.
    roots : list of Root
        That its files lie below; empty where it decides: one root for the files of this machine,
        the folder that holds all of them, and one for each bucket.
    remote : RemoteOptions
        How URLs are reached.

    Attributes
    ----------
    roots : list of Root
        In order.
    passed_over : int
        Lines that are delete markers, versions that another has followed, or folders of a bucket.
    storage : tuple of str
        Storage options that its files need beside those of the run: what was secret in its URLs.

    Raises
    ------
    UsageError
        The list cannot be read, or one line not understood: it is named.
    """

    walks = False

    def __init__(self, place: str, roots: list[Root], remote: RemoteOptions) -> None:
        self.passed_over = 0
        # What of it is secret is needed to read it, and said nowhere.
        self._list = place
        self._place = public_url(place)
        self._given = roots
        self._users: dict[str, tuple[str, ...]] = {}
        self._seal: tuple[str, ...] = ()
        self._prefixes = list(_prefixes(roots))
        self._held: list[_Row] = []
        self._files: list[IO[bytes]] = []
        self._common: str | None = None
        self._containers: set[str] = set()
        self._entries = 0
        self._folders = 0
        try:
            self._read(remote)
        except BaseException:
            self.close()
            raise
        self.roots = roots or self._found_roots()
        ranks = [f"{number:06d}" for number in range(len(roots))]
        self._ranks = ranks or ([""] if self._common else []) + sorted(self._containers)
        self._rows = self._chosen()
        self._next = next(self._rows, None)

    def close(self) -> None:
        """Let go of what was kept."""
        for file in self._files:
            file.close()
        self._files = []

    # -- reading the list ------------------------------------------------------------------------

    def _read(self, remote: RemoteOptions) -> None:
        lines = read_lines(self._list, remote)
        first = list(itertools.islice(lines, LOOKED_AT))
        self._check_columns([line for line in first if line.is_plain and not is_url(line.place)])
        of_windows = self._is_of_windows([line for line in first if "\\" in line.place])
        for line in itertools.chain(first, lines):
            if of_windows:
                line = line._replace(place=as_here(line.place))  # noqa: PLW2901 - the same line
            public, access = self._without_secrets(line)
            if not line.is_current or (public.place.endswith("/") and not line.size):
                self.passed_over += 1
                continue
            rank, location = self._located(public)
            self._held.append((rank, location, line.size, line.modified, line.etag, access))
            if len(self._held) >= HELD:
                self._spill()
        self._held.sort(key=_place_of)

    def _check_columns(self, lines: list[Line]) -> None:
        """Refuse a table without a known column: each of its lines would be a file that is not there."""
        if not lines:
            return
        texts = [line.place for line in lines]
        names = unknown_columns(texts)
        if names is not None and not self._is_there(texts[0]):
            words = f"its columns {shown(', '.join(names))} are not known"
            raise self._wrong(lines[0], words, _COLUMNS)
        if any(map(self._is_there, texts)):
            return
        if (separator := column_of_paths(texts[0], self._is_there)) is not None:
            remedy = f"give it a header such as path{separator}size"
            raise self._wrong(lines[0], "its columns have no names", remedy)

    def _is_of_windows(self, lines: list[Line]) -> bool:
        """Tell whether a list has backslashes between folders; only the system knows."""
        texts = [line.place for line in lines if not is_url(line.place)]
        on_this_machine = not any(root.is_remote for root in self._given)
        if os.sep == "\\" or not texts or not on_this_machine or any(map(self._is_there, texts)):
            return False
        if not any(self._is_there(as_here(text)) for text in texts):
            words = f"{shown(texts[0])} is not there, with slashes for its backslashes neither"
            raise self._wrong(lines[0], words, "write paths as this machine has them")
        return True

    def _is_there(self, path: str) -> bool:
        """Tell whether a path of this machine is there; of a store nothing is asked."""
        holder = self._given[0].path if self._given else ""
        return "\0" not in path and not is_url(holder) and os.path.lexists(_join(holder, path))

    def _spill(self) -> None:
        self._held.sort(key=_place_of)
        file = scratch.nameless_file()
        self._files.append(file)
        with scratch.writing():
            for start in range(0, len(self._held), _BATCH):
                pickle.dump(self._held[start : start + _BATCH], file)
        self._held = []

    def _without_secrets(self, line: Line) -> tuple[Line, str | None]:
        """Return a line without what is secret in its URL; the key with it, if of a query."""
        found = parted(line.place)
        if not any(found[1:]):
            return line if found.url == line.place else line._replace(place=found.url), None
        public = line._replace(place=found.url)
        address = Address.parse(found.url)
        said = storage_of(found._replace(query=""))
        if said and self._users.setdefault(address.root, said) != said:
            words = f"{address.root} is named with another user or password than before"
            raise self._wrong(public, words, "make a list of each")
        if not found.query:
            return public, None
        self._seal = self._seal or (new_seal(),)
        return public, with_query(address.key, found.query)

    @property
    def storage(self) -> tuple[str, ...]:
        """Storage options that its files need beside those of the run."""
        return (*(one for said in self._users.values() for one in said), *self._seal)

    def access_of(self, files: Iterable[FileKey]) -> dict[FileKey, bytes | None]:
        """Return by what files are reached, sealed, where more than their location is needed for it.

        Parameters
        ----------
        files : iterable of (int, bytes)
            Number of the root of each, and its location.
        """
        if not self._seal:
            return {}
        wanted = {
            (self._ranks[root], location.decode("utf-8", "surrogateescape")): (root, location)
            for root, location in files
        }
        found: dict[FileKey, bytes | None] = {}
        for row in self._chosen():
            file = wanted.get(_place_of(row))
            if file is not None:
                found.setdefault(file, self._sealed(row))
        return found

    def _sealed(self, row: _Row) -> bytes | None:
        access = row[5]
        return None if access is None else sealed(access, self._seal[0].partition("=")[2])

    def _located(self, line: Line) -> tuple[str, str]:
        """Return the rank of a line's root, and its location: an absolute path, or a key."""
        place = line.place
        if not place or "\0" in place:
            raise self._wrong(line, "it names no file", "correct that line")
        if is_url(place):
            address = Address.parse(place)
            return self._in_container(line, address.root, address.key)
        path = local_path(place)
        if not os.path.isabs(path):
            if len(self._given) != 1:
                words = f"{shown(place)} is a relative path"
                raise self._wrong(line, words, "name the one SOURCE that it is relative to")
            root = self._given[0]
            if root.is_remote:
                address = Address.parse(root.path)
                key = f"{address.key}/{place}" if address.key else place
                return self._in_container(line, address.root, key)
            path = os.path.join(root.path, path)
        return self._on_this_machine(line, path)

    def _in_container(self, line: Line, container: str, key: str) -> tuple[str, str]:
        if not key:
            raise self._wrong(line, f"{line.place} names no object", "write bucket and key")
        if not self._given:
            self._containers.add(container)
            return container, key
        url = f"{container}/{key}"
        for prefix in self._prefixes:
            if prefix.root.is_remote and _begins(url, prefix):
                return prefix.rank, key
        raise self._outside(line)

    def _on_this_machine(self, line: Line, path: str) -> tuple[str, str]:
        if _UNTIDY.search(path[1:]) or os.sep != "/":
            path = os.path.normpath(path)
        if not self._given:
            self._hold_common(os.path.dirname(path))
            return "", path
        for prefix in self._prefixes:
            if not prefix.root.is_remote and _begins(path, prefix):
                return prefix.rank, os.path.join(prefix.root.path, path[len(prefix.text) :])
        raise self._outside(line)

    def _hold_common(self, folder: str) -> None:
        if self._common is None:
            self._common = folder
        elif folder != self._common and not folder.startswith(self._common.rstrip("/") + "/"):
            self._common = os.path.commonpath([self._common, folder])

    def _outside(self, line: Line) -> UsageError:
        return self._wrong(line, f"{shown(line.place)} lies in no SOURCE", "name its SOURCE too")

    def _wrong(self, line: Line, words: str, remedy: str) -> UsageError:
        return UsageError(f"--from-list {self._place}, {line.where}: {words}", remedy)

    def _found_roots(self) -> list[Root]:
        roots = []
        if self._common is not None:
            roots.append(Root(self._common, shown(os.path.basename(self._common)) or "root"))
        return [*roots, *(Root(one, Address.parse(one).name) for one in sorted(self._containers))]

    # -- giving entries --------------------------------------------------------------------------

    def _chosen(self) -> Iterator[_Row]:
        """Yield every file once, in order of roots and locations."""
        rows = heapq.merge(*map(_read_back, self._files), self._held, key=_place_of)
        for _, same in itertools.groupby(rows, key=_place_of):
            # Two that differ in a token alone may be two files: nothing else would tell.
            files: dict[str | None, _Row] = {}
            for row in same:
                before = files.get(row[5])
                files[row[5]] = row if before is None else max(before, row, key=_facts_of)
            yield from map(_marked, files.values()) if len(files) > 1 else files.values()

    def list_root(self, root: Root, asked: Asked = EVERYTHING) -> Iterator[Entry]:
        """Yield what is listed of a root, as `dcmdask.source.folders.local.list_root` would.

        Each root once, in order.

        Yields
        ------
        Entry
            A file; a catalog among them as a skip. Size and time of a file of this machine are looked
            up where the list lacks them.
        """
        holder = Address.parse(root.path).key if root.is_remote else root.path
        begin = len(holder.rstrip("/")) + 1 if holder else 0
        is_left_out = _left_out(root, asked.leave_out)
        catalogs = _Catalogs(root)
        told: set[str] = set()
        for row in self._rows_of(self._ranks[self.roots.index(root)]):
            relative = row[1][begin:].replace(os.sep, "/")
            if is_left_out(row[1], relative):
                continue
            place = catalogs.holding(relative)
            if place is not None and place not in told:
                told.add(place)
                entry = catalogs.row(place, os.path.join(holder, place))
                if entry.case is not None:
                    asked.found_case(entry.case)
                yield entry
            path = shown(relative)
            if place is None and asked.wanted(path):
                found = self._entry(root, row, path)
                asked.found_case(found.case or "")
                yield found

    def _rows_of(self, rank: str) -> Iterator[_Row]:
        while self._next is not None and self._next[0] == rank:
            row, self._next = self._next, next(self._rows, None)
            yield row

    def _entry(self, root: Root, row: _Row, path: str) -> Entry:
        top, slash, _ = path.partition("/")
        case = top if slash else top_level_case(path, root.name)
        if root.is_remote:
            found = _remote_entry(row, path, case)._replace(access=self._sealed(row))
        else:
            found = _local_entry(row, path, case)
        self._entries += 1
        self._folders += found.message == _A_FOLDER
        return found

    def check(self) -> None:
        """Raise `UsageError` where all that was listed are folders; after the last root."""
        if self._folders and self._folders == self._entries:
            words = f"--from-list {self._place}: it names nothing but folders"
            raise UsageError(words, "list their files, or give them as SOURCE")


class _Catalogs:
    """Finds the catalogs among what is listed of a root: they are nobody's data.

    Parameters
    ----------
    root : Root
        Paths below which come in order.
    """

    def __init__(self, root: Root) -> None:
        self._root = root
        self._looked_at: dict[str, bool] = {}
        self._place = ""
        self._before = ""

    def holding(self, path: str) -> str | None:
        """Return the catalog that a file is of, by its path; None for anybody's data."""
        if self._root.is_remote:
            return catalog_of_key(path)
        if self._before and path.startswith(self._before):
            return self._place
        text, at = f"/{path}", -1
        while (at := text.find(f"/{PRIVATE}/", at + 1)) >= 0:
            folder = text[1:at]
            if folder not in self._looked_at:
                self._looked_at[folder] = is_output(os.path.join(self._root.path, folder))
            if self._looked_at[folder]:
                # The rest of it follows, in this order. The root itself was named.
                self._place = folder or PRIVATE
                self._before = f"{self._place}/"
                return self._place
        return None

    def row(self, place: str, location: str) -> Entry:
        """Return what stands for all that is listed of a catalog."""
        if self._root.is_remote:
            whole = location.encode("utf-8", "surrogateescape")
        else:
            whole = os.fsencode(location)
        return not_entered(shown(place), whole, case_of_place(shown(place)), A_CATALOG)


def _left_out(root: Root, places: frozenset[str]) -> Callable[[str, str], bool]:
    """Return what tells whether a file is of the output, by its location and its path."""
    if root.is_remote:
        before = before_keys(root.container or "")
        below = tuple(f"{one}/" for one in places)
        return lambda location, _path: f"{before}{location}".startswith(below)
    real = os.path.realpath(root.path)
    return lambda _location, path: lies_in(os.path.join(real, path), places)


def _join(holder: str, path: str) -> str:
    return os.path.join(holder, local_path(path))


def _prefixes(roots: list[Root]) -> Iterator[_Prefix]:
    for number, root in enumerate(roots):
        rank = f"{number:06d}"
        if root.is_remote:
            address = Address.parse(root.path)
            key = f"{address.key}/" if address.key else ""
            yield _Prefix(f"{address.root}/{key}", rank, root)
            continue
        # A list may name what a link leads to.
        for folder in dict.fromkeys((root.path, os.path.realpath(root.path))):
            yield _Prefix(folder.rstrip(os.sep) + os.sep, rank, root)


def _begins(place: str, prefix: _Prefix) -> bool:
    only = prefix.root.only
    return place.startswith(prefix.text) and (not only or place[len(prefix.text) :] in only)


def _read_back(file: IO[bytes]) -> Iterator[_Row]:
    file.seek(0)
    while True:
        try:
            batch = pickle.load(file)  # noqa: S301 - written above
        except EOFError:
            return
        yield from batch


def _marked(row: _Row) -> _Row:
    """Return a line whose location says, without telling a secret, that it is one of several."""
    return row if row[5] is None else (row[0], f"{row[1]}#{mark_of(row[5])}", *row[2:])


def _remote_entry(row: _Row, path: str, case: str) -> Entry:
    _, key, size, modified, etag, _ = row
    location = key.encode("utf-8", "surrogateescape")
    return Entry(path, location, case, size, modified, etag=etag)


def _local_entry(row: _Row, path: str, case: str) -> Entry:
    _, place, size, modified, etag, _ = row
    location = os.fsencode(place)
    if size is not None and modified is not None:
        return Entry(path, location, case, size, modified, etag=etag)
    given: dict[str, Any] = {"etag": etag}
    try:
        status = os.stat(place)
    except (FileNotFoundError, NotADirectoryError):
        words = "it is listed and not there"
        return Entry(path, location, case, None, None, Kind.VANISHED, words, **given)
    except (OSError, ValueError) as error:
        kind = Kind.ACCESS_DENIED if isinstance(error, PermissionError) else Kind.UNEXPECTED
        reason = getattr(error, "strerror", None) or type(error).__name__
        words = f"listing: {reason}"
        return Entry(path, location, case, None, None, kind, words, **given)
    modified = status.st_mtime_ns // 1000 if modified is None else modified
    if not stat.S_ISREG(status.st_mode):
        words = _A_FOLDER if stat.S_ISDIR(status.st_mode) else "a special file is not opened"
        return Entry(path, location, case, None, modified, Kind.NOT_DICOM, words, **given)
    size = status.st_size if size is None else size
    return Entry(path, location, case, size, modified, **given)
