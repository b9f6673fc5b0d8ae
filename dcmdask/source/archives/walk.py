"""Take an open archive; give a window for every member, or the failure that it is.

Archives are read in place: of a member only the bytes that are asked for are inflated, nothing is
written to disk, and an archive inside an archive is opened one level deep.
"""

from __future__ import annotations

import posixpath
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import IO, cast

from dcmdask.dicom.windows import WINDOW, Heads, has_prefix
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
from dcmdask.source.archives.telling import kind_behind_program, unread
from dcmdask.source.archives.zip_directory import Opened, open_zips
from dcmdask.source.archives.zip_members import Members, ends_of, in_order, quick_head, spans_of
from dcmdask.source.archives.zip_names import Naming, is_folder
from dcmdask.source.heads import AT_ONCE
from dcmdask.source.places import member_place, tar_url, url_by_name, url_by_offset
from dcmdask.source.source_reader import expect
from dcmdask.source.watch import UNWATCHED, RowWatch, Tally
from dcmdask.types import NO_ROW, WHOLE, Failure, Kind, Piece, Place, Window

Found = Window | Heads | Failure
Stored = Callable[[], IO[bytes] | None]


@dataclass(slots=True)
class ArchiveWalk:
    """Goes through archives, one row of the manifest after the other.

    Attributes
    ----------
    tally : Tally
        Members and containers that were seen so far.
    watch : RowWatch
        Of the process.
    refused : set of int
        Rows of which the system refused a read.
    renamed : dict
        URL that was given to the URL that is right, as was found out later: `with_urls`.
    members : Members
        Those that were noted, to be read together.
    row, piece : int, Piece
        Which row it is, and what of its file.
    budget : Budget
        Of that file.
    elsewhere : int
        Members of it that other pieces give.
    """

    tally: Tally
    watch: RowWatch = UNWATCHED
    refused: set[int] = field(default_factory=set)
    renamed: dict[str, str] = field(default_factory=dict)
    members: Members = field(default_factory=Members)
    row: int = NO_ROW
    piece: Piece = WHOLE
    budget: Budget = field(default_factory=Budget)
    elsewhere: int = 0

    def is_told_before(self, place: Place) -> bool:
        """Tell whether an earlier piece of an archive says what is true of the whole.

        Where the system refused a read, it is true of this one alone.
        """
        return self.piece.is_further and place.row not in self.refused

    def fetch(self, stream: IO[bytes], kind: str, place: Place, *, nested: bool) -> Iterator[Found]:
        """Yield the members of an archive; where it fails, itself as a failure after them."""
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
        if self.piece.is_further and not nested:
            return
        if members or (self.elsewhere and not nested):
            self.tally.containers += 1
        else:
            yield Failure(place, Kind.NOT_DICOM, "the archive holds no file", STAGE)

    def _fetch_zip(self, stream: IO[bytes], place: Place, *, nested: bool) -> Iterator[Found]:
        for archive, members, elsewhere, naming in self._open_zips(stream, place, nested=nested):
            self.elsewhere += elsewhere
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
                    if len(self.members) == AT_ONCE:
                        yield from self.noted()
                    if isinstance(stream, Counted) and stream.lost is not None:
                        # One failure, not one of each member that is left.
                        raise stream.lost
        if nested:
            # It lies in memory.
            yield from self.noted()

    def _open_zips(self, stream: IO[bytes], place: Place, *, nested: bool) -> Iterator[Opened]:
        """Open a zip; of one with a damaged directory, give a further piece what lies before that."""
        try:
            opened = getattr(stream, "zips", None)
            piece = WHOLE if nested else self.piece
            yield from opened or open_zips(stream, piece, place.size or 0)
        except DAMAGE:
            if nested or not self.is_told_before(place):
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
            self.members.add((archive, info, member, self.budget), quick)
            return
        opened = open_member(archive, info, member, self.watch.beat)
        if isinstance(opened, Failure):
            yield opened
            return
        with opened:
            forward = Forward(opened, self.budget)
            head = head_of(forward, member)
            if isinstance(head, Failure):
                yield head
            elif has_prefix(head):
                self.members.add((archive, info, member, self.budget), head)
            else:
                stored = partial(stored_in_zip, stream, info)
                yield from self._fetch_content(forward, head, member, stored, nested=nested)

    def noted(self) -> Iterator[Heads]:
        """Yield the members that were noted, and let go of their archives."""
        if len(self.members):
            if not self.watch.singly:
                # They may be of several rows.
                self.watch.begin(NO_ROW)
            beat = self.watch.beat
            yield self.members.heads(
                partial(more_of_member, beat=beat), partial(reopen_member, beat=beat)
            )
            self.watch.begin(self.row)
        self.members.close()

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
        """Yield the members of a compressed tar, or the one file that was compressed."""
        opened = OPENERS[kind](stream)
        head = opened.read(WINDOW)
        self.budget.weigh(len(head))
        inner = cast(IO[bytes], Replay(head, opened, self.budget))
        if is_tar(head) and not has_prefix(head):
            url = tar_url(place, kind, nested=nested)
            yield from self._fetch_tar(inner, place, url, nested=nested)
            return
        stem, suffix = posixpath.splitext(place.file_name)
        name = stem if suffix else f"{place.file_name}.content"
        member = self._member_place(place, name, None, f"{kind}://{name}::{place.url}")
        yield from self._fetch_member(Forward(inner), member, not_stored, nested=nested)

    def _zip_place(self, archive: Place, info: zipfile.ZipInfo, naming: Naming) -> Place:
        """Return the place of one more member of a zip."""
        name = naming.name_of(info)
        url = url_by_name("zip", naming.stored_name(info), archive.url)
        url = url or url_by_offset(info.header_offset, name, archive.url)
        return self._member_place(archive, name, info.file_size, url)

    def _member_place(self, archive: Place, name: str, size: int | None, url: str) -> Place:
        """Return the place of one more member."""
        place = member_place(archive, name, size, url)
        self.budget.list(place)
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
        """Yield a member as a window, or the members of the archive that it is.

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
            yield Window(
                member, head, stream.fetch if len(head) == WINDOW else None, LARGEST_HEADER
            )
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
            yield from self.fetch(inner, kind, member, nested=True)
