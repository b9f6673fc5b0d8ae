"""Take sizes; give the bytes that hostile files are built of: elements, bombs, directories."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from source.making import checksummed
from support import encode

EXPLICIT, IMPLICIT = b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2"
DEFLATED = b"1.2.840.10008.1.2.1.99"
CT = b"1.2.840.10008.5.1.4.1.1.2\0"
UNDEFINED = 0xFFFFFFFF
ITEM = b"\xfe\xff\x00\xe0"
ITEM_END = b"\xfe\xff\x0d\xe0\0\0\0\0"
SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
MIB = 1 << 20

_LONG = (b"OB", b"OW", b"SQ", b"UN", b"UT", b"UC")


def neighbour() -> bytes:
    """Give the sane instance that lies beside every hostile file."""
    return encode({"SOPInstanceUID": "1.2.3.4.999", "SeriesInstanceUID": "1.2.3.9"})


# -- headers ---------------------------------------------------------------------------------------


def element(
    tag: int, vr: bytes, value: bytes = b"", length: int | None = None, *, implicit: bool = False
) -> bytes:
    """Give one element in little endian, with the length it claims."""
    size = len(value) if length is None else length
    where = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if implicit:
        return where + struct.pack("<L", size) + value
    if vr in _LONG:
        return where + vr + struct.pack("<HL", 0, size) + value
    return where + vr + struct.pack("<H", size) + value


def plain_elements(number: int = 1, *, implicit: bool = False) -> dict[int, bytes]:
    """Give the elements of a sane instance by their tags."""
    values: dict[int, tuple[bytes, bytes]] = {
        0x00080016: (b"UI", CT),
        0x00080018: (b"UI", b"1.2.3.4.%05d\0" % number),
        0x00080060: (b"CS", b"CT"),
        0x00100010: (b"PN", b"Doe^Jane"),
        0x00100020: (b"LO", b"P1"),
        0x0020000D: (b"UI", b"1.2.3.2\0"),
        0x0020000E: (b"UI", b"1.2.3.3\0"),
        0x00200013: (b"IS", b"%d " % number if number < 10 else b"1 "),
        0x00280010: (b"US", b"\4\0"),
        0x00280011: (b"US", b"\4\0"),
    }
    return {tag: element(tag, vr, value, implicit=implicit) for tag, (vr, value) in values.items()}


def body(others: Mapping[int, bytes] | None = None, *, implicit: bool = False) -> bytes:
    """Give a dataset: the plain elements with others among or instead of them."""
    elements = {**plain_elements(implicit=implicit), **(others or {})}
    return b"".join(elements[tag] for tag in sorted(elements))


def part10(dataset: bytes, syntax: bytes = EXPLICIT, *, group_length: int | None = None) -> bytes:
    """Give a file of a dataset that is encoded already."""
    uid = syntax + b"\0" * (len(syntax) % 2)
    meta = element(0x00020002, b"UI", CT) + element(0x00020010, b"UI", uid)
    length = len(meta) if group_length is None else group_length
    return (
        bytes(128)
        + b"DICM"
        + element(0x00020000, b"UL", struct.pack("<L", length))
        + meta
        + dataset
    )


def nested(tag: int, depth: int, *, undefined: bool, implicit: bool = False) -> bytes:
    """Give sequences in sequences, each with one item."""
    if undefined:
        begin = element(tag, b"SQ", ITEM + b"\xff\xff\xff\xff", UNDEFINED, implicit=implicit)
        return begin * depth + (ITEM_END + SEQUENCE_END) * depth
    heads = []
    size = 0
    for _ in range(depth):
        head = element(tag, b"SQ", ITEM + struct.pack("<L", size), size + 8, implicit=implicit)
        heads.append(head)
        size += len(head)
    return b"".join(reversed(heads))


def items(tag: int, item: bytes, count: int, *, implicit: bool = False) -> bytes:
    """Give a sequence of undefined length with so many items of the same bytes."""
    one = ITEM + struct.pack("<L", len(item)) + item
    return element(tag, b"SQ", one * count + SEQUENCE_END, UNDEFINED, implicit=implicit)


# -- bombs -----------------------------------------------------------------------------------------


@cache
def _zeros_in(how: str) -> bytes:
    """Give 16 MiB of zeros, compressed to a piece that can follow itself."""
    zeros = bytes(16 * MIB)
    if how == "deflate":
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    return {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[how](zeros)


def zeros(how: str, mebibytes: int) -> bytes:
    """Give so many MiB of zeros, compressed: ``deflate`` without its end, ``gz``, ``bz2``, ``xz``."""
    return _zeros_in(how) * max(1, mebibytes // 16)


def packed(how: str, content: bytes) -> bytes:
    """Compress some bytes so that `zeros` of the same kind can follow."""
    if how == "deflate":
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return packer.compress(content) + packer.flush(zlib.Z_FULL_FLUSH)
    return {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[how](content)


def endless_header() -> bytes:
    """Give the beginning of an instance whose header goes on for 4 GiB before it says who it is."""
    head = element(0x00080016, b"UI", CT) + element(0x00080018, b"UI", b"1.2.3.4.1\0")
    return part10(head + element(0x00090010, b"UN", b"", 0xFFFFFFF0))


# -- zip -------------------------------------------------------------------------------------------


def local(name: bytes, data: bytes, method: int = 8, size: int = 0, crc: int = 0) -> bytes:
    """Give a local header and the compressed data behind it."""
    head = struct.pack(
        "<4s5H3L2H", b"PK\x03\x04", 20, 0, method, 0, 33, crc, len(data), size, len(name), 0
    )
    return head + name + data


def central(
    name: bytes,
    offset: int,
    compressed: int = 0,
    size: int = 0,
    *,
    method: int = 8,
    crc: int = 0,
    extra: bytes = b"",
) -> bytes:
    """Give an entry of a central directory."""
    facts = (20, 20, 0, method, 0, 33, crc, compressed, size, len(name), len(extra))
    return struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *facts, 0, 0, 0, 0, offset) + name + extra


def end(size: int, offset: int, count: int = 1, comment: bytes = b"") -> bytes:
    """Give an end record."""
    counts = min(count, 0xFFFF)
    facts = (0, 0, counts, counts, size, offset, len(comment))
    return struct.pack("<4s4H2LH", b"PK\x05\x06", *facts) + comment


def end64(size: int, offset: int, count: int, *, at: int) -> bytes:
    """Give the end records of a large archive; `at` is where they stand."""
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, offset)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
    return record + locator + end(0xFFFFFFFF, 0xFFFFFFFF, 0xFFFF)


# -- tar -------------------------------------------------------------------------------------------


def tar_header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, **facts: Any) -> bytes:
    """Give one block of 512 bytes."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    for word, value in facts.items():
        setattr(info, word, value)
    return info.tobuf(tarfile.GNU_FORMAT)


def tar_header_of_size(name: str, size: bytes) -> bytes:
    """Give a block in which the size is any twelve bytes."""
    block = bytearray(tar_header(name))
    block[124:136] = size.ljust(12, b"\0")
    return checksummed(bytes(block))


def pax(records: Mapping[str, str], kind: bytes = tarfile.XHDTYPE) -> bytes:
    """Give an extended header of some records."""
    lines = b"".join(_record(word, value) for word, value in records.items())
    return tar_header("pax", len(lines), kind) + lines + bytes(-len(lines) % 512)


def _record(word: str, value: str) -> bytes:
    text = f" {word}={value}\n".encode()
    size = len(text)
    while len(str(size)) + len(text) != size:
        size = len(str(size)) + len(text)
    return str(size).encode() + text


def runs(piece: bytes, count: int, most: int = 16 * MIB) -> Iterator[bytes]:
    """Give a piece so many times, many at once."""
    at_once = max(1, most // len(piece))
    for begin in range(0, count, at_once):
        yield piece * min(at_once, count - begin)
