r"""Take entries of a zip; say what its members are called, and which of them a name opens.

A zip says of each name whether it is UTF-8; what is not so marked is in the code page of whoever
wrote it. `zipfile` reads that as code page 437, refuses the whole zip for one name that is marked
and is no UTF-8, and opens by a name the last member that has it. Paths are made of the name as it
was meant; URLs of the name as `zipfile` has it.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from dcmdask.source.archives.zip_format import ENTRY_SIZE, UNICODE_PATH, UTF8

_UNICODE_PATH_BYTES = UNICODE_PATH.to_bytes(2, "little")

_UNICODE = struct.Struct("<BL")
_FIELD = struct.Struct("<2H")
_HEAD = struct.Struct("<8xH18x3H")
_NO_FIELD = 0xFFFF
_WINDOWS = (0, 6, 10, 14)
"""Systems whose names hold no backslash but between folders (APPNOTE 4.4.2)."""


@dataclass(frozen=True, slots=True)
class Naming:
    """What has to be known of a whole zip to name one of its members.

    Attributes
    ----------
    utf8 : bool
        Whether names that nothing is said of are UTF-8: all of them can be.
    opens : bool
        Whether `zipfile`, and fsspec with it, opens the zip as it is.
    hidden : frozenset of int
        Offsets of members that no name opens: a later one has theirs.
    broken : frozenset of int
        Offsets of members whose names are marked as UTF-8 and are none.
    """

    utf8: bool = True
    opens: bool = True
    hidden: frozenset[int] = frozenset()
    broken: frozenset[int] = frozenset()

    def name_of(self, info: zipfile.ZipInfo) -> str:
        """Return what a member is called, folders parted by ``/``."""
        name = self._text_of(info)
        if "\\" in name and "/" not in name and info.create_system in _WINDOWS:
            return name.replace("\\", "/")
        return name

    def _text_of(self, info: zipfile.ZipInfo) -> str:
        stored = info.orig_filename
        if stored.isascii() and _UNICODE_PATH_BYTES not in info.extra:
            return info.filename
        raw = raw_name(info)
        found = unicode_path(raw, info.extra)
        if found is None:
            if info.header_offset in self.broken:
                found = raw.decode("utf-8", "backslashreplace")
            elif info.flag_bits & UTF8 or stored.isascii() or not self.utf8:
                return info.filename
            else:
                found = raw.decode("utf-8", "backslashreplace")
        return found.partition("\0")[0]

    def stored_name(self, info: zipfile.ZipInfo) -> str | None:
        """Return the name by which `zipfile` opens a member; None where it opens another or none."""
        if not self.opens or info.header_offset in self.hidden:
            return None
        return info.filename


def is_folder(info: zipfile.ZipInfo) -> bool:
    """Tell whether an entry is that of a folder."""
    name = info.filename
    # Not `is_dir`: it fails of an empty name before Python 3.12.
    if name.endswith("\\"):
        return info.file_size == 0 and info.create_system in _WINDOWS
    return name.endswith("/")


def raw_name(info: zipfile.ZipInfo) -> bytes:
    """Return the bytes of a name, which `zipfile` decodes in one of two ways."""
    return info.orig_filename.encode("utf-8" if info.flag_bits & UTF8 else "cp437")


def unicode_path(raw: bytes, extra: bytes) -> str | None:
    """Return the name in the extra field of Info-ZIP (APPNOTE 4.6.9), if it is of this name."""
    if _UNICODE_PATH_BYTES not in extra:
        return None
    for kind, data in _fields(extra):
        if kind == UNICODE_PATH and len(data) > _UNICODE.size:
            version, checksum = _UNICODE.unpack_from(data)
            if version == 1 and checksum == zlib.crc32(raw):
                try:
                    return data[_UNICODE.size :].decode()
                except UnicodeDecodeError:
                    return None
    return None


def _fields(extra: bytes) -> Iterable[tuple[int, bytes]]:
    at = 0
    while at + _FIELD.size <= len(extra):
        kind, length = _FIELD.unpack_from(extra, at)
        at += _FIELD.size
        yield kind, extra[at : at + length]
        at += length


def naming_of(archive: zipfile.ZipFile) -> Naming:
    """Return how the members of a zip are named that `zipfile` has opened whole."""
    infos = archive.infolist()
    hidden: frozenset[int] = frozenset()
    if len(archive.NameToInfo) != len(infos):
        last = archive.NameToInfo
        hidden = frozenset(i.header_offset for i in infos if last[i.filename] is not i)
    # Of an empty name fsspec fails, whichever member it is asked for.
    return Naming(are_utf8(infos), "" not in archive.NameToInfo, hidden)


def are_utf8(infos: Iterable[zipfile.ZipInfo], broken: frozenset[int] = frozenset()) -> bool:
    """Tell whether all names that nothing is said of can be UTF-8."""
    for info in infos:
        if info.flag_bits & UTF8 or info.orig_filename.isascii() or info.header_offset in broken:
            continue
        raw = raw_name(info)
        if not _can_be_utf8(raw) and unicode_path(raw, info.extra) is None:
            return False
    return True


def _can_be_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


class Survey:
    """What is known of a zip when all entries of its directory were seen, a part at a time.

    Entries are told by their number: where their members lie may stand in a field that is damaged.

    Attributes
    ----------
    opens : bool
        Whether `zipfile` and fsspec open the zip as it is, as far as its entries say.
    """

    def __init__(self) -> None:
        self._utf8 = self.opens = True
        self._broken: set[int] = set()
        self._last: dict[int, int] = {}
        self._hidden: set[int] = set()
        self._count = 0

    def add(self, part: bytes, starts: Sequence[int]) -> None:
        """Take whole entries; `starts` are where they begin, and behind the last one."""
        unpack = _HEAD.unpack_from
        last = self._last
        for number, at in enumerate(starts[:-1], self._count):
            flags, length, extra, _ = unpack(part, at)
            raw = part[at + ENTRY_SIZE : at + ENTRY_SIZE + length]
            if extra or not raw or not raw.isascii() or b"\0" in raw or os.sep != "/":
                begin = at + ENTRY_SIZE + length
                key = self._odd(number, flags, raw, part[begin : begin + extra])
            else:
                key = hash(raw)
            before = last.get(key)
            if before is not None:
                self._hidden.add(before)
            last[key] = number
        self._count += len(starts) - 1

    def _odd(self, number: int, flags: int, raw: bytes, extra: bytes) -> int:
        """Look at a name more closely; return the hash of what `zipfile` makes of it."""
        meant = unicode_path(raw, extra)
        if not raw.isascii() and not flags & UTF8 and meant is None:
            self._utf8 = self._utf8 and _can_be_utf8(raw)
        if repaired_extra(extra, raw) is not None:
            self.opens = False
        try:
            name = raw.decode("utf-8" if flags & UTF8 else "cp437")
        except UnicodeDecodeError:
            self.opens = False
            self._broken.add(number)
            name = raw.decode("cp437")
        if meant and _reads_unicode_paths():
            name = meant
        name = name.partition("\0")[0]
        self.opens = self.opens and name != ""
        return hash(name.replace(os.sep, "/").encode("utf-8", "surrogatepass"))

    def naming(self, first: int, infos: Sequence[zipfile.ZipInfo]) -> Naming:
        """Return how some members are named, of which the first has a number."""
        return self.naming_of_numbers(range(first, first + len(infos)), infos)

    def naming_of_numbers(self, numbers: Iterable[int], infos: Sequence[zipfile.ZipInfo]) -> Naming:
        """Return how some members are named, by their numbers."""
        found = Naming(self._utf8, self.opens)
        if not self._hidden and not self._broken:
            return found
        pairs = list(zip(numbers, infos, strict=True))
        hidden = frozenset(i.header_offset for number, i in pairs if number in self._hidden)
        broken = frozenset(i.header_offset for number, i in pairs if number in self._broken)
        return replace(found, hidden=hidden, broken=broken)


@cache
def _reads_unicode_paths() -> bool:
    """Tell whether this Python's `zipfile` takes names from the extra field."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        info = zipfile.ZipInfo("a")
        field = _UNICODE.pack(1, zlib.crc32(b"a")) + b"b"
        info.extra = _FIELD.pack(UNICODE_PATH, len(field)) + field
        archive.writestr(info, b"")
    return zipfile.ZipFile(stream).namelist() == ["b"]


def repaired(part: bytes, starts: Sequence[int]) -> bytes | None:
    """Return entries that `zipfile` takes, for some of which it would refuse the whole zip.

    A name that is marked as UTF-8 and is none loses its mark, an extra field that is damaged its
    number or its length. Nothing changes its place.

    Parameters
    ----------
    part : bytes
        Whole entries.
    starts : sequence of int
        Where they begin, and behind the last one.

    Returns
    -------
    bytes or None
        The entries; None where there is nothing to repair.
    """
    changed = bytearray(part)
    for at in starts[:-1]:
        flags, length, extra, _ = _HEAD.unpack_from(part, at)
        begin = at + ENTRY_SIZE
        raw = part[begin : begin + length]
        if flags & UTF8 and not _can_be_utf8(raw):
            struct.pack_into("<H", changed, at + 8, flags & ~UTF8)
        fields = repaired_extra(part[begin + length : begin + length + extra], raw)
        if fields is not None:
            changed[begin + length : begin + length + extra] = fields
    return None if changed == part else bytes(changed)


def repaired_extra(extra: bytes, raw: bytes) -> bytes | None:
    """Return extra fields of the same length that `zipfile` takes; None where it takes these."""
    if not extra:
        return None
    changed = bytearray(extra)
    at = 0
    while at + _FIELD.size <= len(extra):
        kind, length = _FIELD.unpack_from(extra, at)
        begin = at + _FIELD.size
        if begin + length > len(extra):
            # Not the field of large sizes, if it is one: those are needed, or are no damage here.
            _FIELD.pack_into(changed, at, kind, len(extra) - begin)
        data = extra[begin : begin + length]
        if kind == UNICODE_PATH and _reads_unicode_paths() and _is_refused(data, raw):
            _FIELD.pack_into(changed, at, _NO_FIELD, len(data))
        at = begin + length
    return None if changed == extra else bytes(changed)


def _is_refused(data: bytes, raw: bytes) -> bool:
    """Tell whether `zipfile` refuses a zip for the field of a name."""
    if len(data) < _UNICODE.size:
        return True
    version, checksum = _UNICODE.unpack_from(data)
    of_name = version == 1 and checksum == zlib.crc32(raw)
    return of_name and not _can_be_utf8(data[_UNICODE.size :])
