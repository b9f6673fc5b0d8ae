"""Take a folder and a size; write archives that inflate, overlap, nest, repeat or lie."""

from __future__ import annotations

import gzip
import io
import lzma
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from itertools import repeat
from pathlib import Path

from source.making import instance, tar_of, zip_of

from hostile.blocks import (
    MIB,
    central,
    end,
    end64,
    endless_header,
    local,
    neighbour,
    packed,
    pax,
    runs,
    tar_header,
    tar_header_of_size,
    zeros,
)

_HOWS = ("gz", "bz2", "xz")
_ODD_NAMES = (
    "../../../../tmp/up.dcm",
    "a/../../b.dcm",
    "/etc/absolute.dcm",
    "//server/share.dcm",
    "C:\\Windows\\x.dcm",
    "c:/x.dcm",
    "a\\..\\b.dcm",
    "new\nline.dcm",
    "\x1b[31mred.dcm",
    "\u202egpj.dcm",
    "same.dcm",
    "same.dcm",
    "SAME.dcm",
    "folder",
    "folder/a.dcm",
    ".",
    "..",
    " ",
    "a!b::c.dcm",
    "x" * 4000,
)


# -- bombs -----------------------------------------------------------------------------------------


def write_zip_bomb(folder: Path, size: int) -> None:
    """Write zips of one member that inflates to so many MiB: zeros, and a header without an end."""
    for name, begin in (("zeros", b""), ("header", endless_header())):
        data = packed("deflate", begin) + zeros("deflate", size)
        claimed = min(size * MIB, 0xFFFFFFFE)
        entry = central(b"a.dcm", 0, len(data), claimed)
        first = local(b"a.dcm", data, size=claimed)
        (folder / f"{name}.zip").write_bytes(first + entry + end(len(entry), len(first)))


def write_zip_overlap(folder: Path, size: int) -> None:
    """Write zips of so many members that are all one and the same, or lie in each other."""
    zero, header = zeros("deflate", 64), packed("deflate", endless_header()) + zeros("deflate", 80)
    for name, data in (("zeros", zero), ("header", header)):
        first = local(b"a", data, size=128 * MIB)
        entries = central(b"a", 0, len(data), 128 * MIB) * size
        records = end64(len(entries), len(first), size, at=len(first) + len(entries))
        (folder / f"{name}.zip").write_bytes(first + entries + records)
    heads = b"".join(local(b"%05d" % number, b"") for number in range(size))
    step = len(heads) // size
    content = zlib.compress(bytes(100_000))[2:-4]
    entries = b"".join(
        central(b"%05d" % number, number * step, len(heads) + len(content) - (number + 1) * step)
        for number in range(size)
    )
    begin = heads + content
    records = end64(len(entries), len(begin), size, at=len(begin) + len(entries))
    (folder / "quoted.zip").write_bytes(begin + entries + records)


def write_streams(folder: Path, size: int) -> None:
    """Write single compressed files of so many MiB: zeros, and a header without an end."""
    for how in _HOWS:
        for name, begin in (("zeros", b""), ("header", endless_header())):
            with (folder / f"{name}.dcm.{how}").open("wb") as file:
                file.write(packed(how, begin) if begin else b"")
                for piece in repeat(zeros(how, 16), max(1, size // 16)):
                    file.write(piece)


def write_tar_bomb(folder: Path, size: int) -> None:
    """Write compressed tars of one member of so many MiB of zeros, and an instance behind it."""
    for how in _HOWS:
        with (folder / f"a.tar.{how}").open("wb") as file:
            file.write(packed(how, tar_header("zeros", size // 16 * 16 * MIB)))
            for piece in repeat(zeros(how, 16), size // 16):
                file.write(piece)
            file.write(packed(how, tar_of({"after.dcm": instance(2)})))


def write_layers(folder: Path, size: int) -> None:
    """Write so many MiB of zeros that were compressed two, three and four times."""
    content = b"".join(repeat(zeros("gz", 16), size // 16))
    for layers in (2, 3, 4):
        content = gzip.compress(content)
        (folder / f"{layers}.gz").write_bytes(content)


def write_dictionary(folder: Path, size: int) -> None:
    """Write an xz, and a tar in one, that ask for a dictionary of so many MiB."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": size * MIB}]
    small = [{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": MIB}]
    stream = lzma.compress(bytes(16), filters=small)
    # Encoding takes ten times the dictionary: the size in the header is changed instead, with its
    # checksum (the block header of the xz format, sections 3.1 and 5.3.1).
    asked = lzma._encode_filter_properties(filters[0])  # type: ignore[attr-defined]
    tar = tar_header("zeros", size * MIB) + bytes(size * MIB) + tar_of({"after": instance(2)})
    body = lzma.compress(tar, filters=small)
    (folder / "a.tar.xz").write_bytes(_asking_for(body, asked))
    (folder / "b.dcm.xz").write_bytes(_asking_for(stream, asked))


def _xz_head_of(stream: bytes) -> bytes:
    return stream[12 : 12 + (stream[12] + 1) * 4]


def _asking_for(stream: bytes, properties: bytes) -> bytes:
    head = bytearray(_xz_head_of(stream))
    at = head.index(b"\x21\x01") + 2
    head[at : at + 1] = properties
    head[-4:] = struct.pack("<L", zlib.crc32(bytes(head[:-4])))
    return stream[:12] + bytes(head) + stream[12 + len(head) :]


# -- counts and lengths ----------------------------------------------------------------------------


def write_zip_counts(folder: Path, _size: int) -> None:
    """Write zips whose end records claim what is not there."""
    good = zip_of({"1.dcm": instance(1)})
    begin, entry = good[: good.index(b"PK\x01\x02")], good[good.index(b"PK\x01\x02") : -22]
    at = len(begin) + len(entry)
    huge = (2**63 - 1, 2**63, 2**64 - 1, 2**40)
    records = {
        **{f"size {value:x}": end64(value, len(begin), 1, at=at) for value in huge},
        **{f"offset {value:x}": end64(len(entry), value, 1, at=at) for value in huge},
        **{f"count {value:x}": end64(len(entry), len(begin), value, at=at) for value in huge},
        "size 32": end(0xFFFFFFFE, len(begin)),
        "offset 32": end(len(entry), 0xFFFFFFFE),
        "count 0": end(len(entry), len(begin), 0),
        "nothing": end(0, 0, 65535),
        "comment": end(len(entry), len(begin), comment=b"PK\x05\x06" * 16_000),
    }
    for name, record in records.items():
        (folder / f"{name}.zip").write_bytes(begin + entry + record)


def write_zip_directory(folder: Path, size: int) -> None:
    """Write a sparse zip of so many MiB, all of which is its directory."""
    with (folder / "sparse.zip").open("wb") as file:
        file.write(local(b"a", b""))
        file.seek((size << 20) - 98)
        at = file.tell()
        file.write(end64(at - 31, 31, 2**40, at=at))


def write_zip_many(folder: Path, size: int) -> None:
    """Write a zip of so many empty members, each with a name and a local header of its own."""
    entries = []
    with (folder / "many.zip").open("wb") as file:
        for number in range(size):
            name = b"%07d.dcm" % number
            entries.append(central(name, file.tell(), method=0))
            file.write(local(name, b"", 0))
        at = file.tell()
        directory = b"".join(entries)
        file.write(directory + end64(len(directory), at, size, at=at + len(directory)))


def write_zip_names(folder: Path, size: int) -> None:
    """Write a zip whose directory is so many names of 60 kB."""
    with (folder / "names.zip").open("wb") as file:
        file.write(local(b"a", b""))
        for number in range(size):
            file.write(central(b"%07d" % number + b"n/" * 29_990 + b"x", 0))
        length, at = file.tell() - 31, file.tell()
        file.write(end64(length, 31, size, at=at))


def write_tar_sizes(folder: Path, _size: int) -> None:
    """Write tars whose sizes lie, are negative, are no numbers, or are beyond all bounds."""
    behind = tar_of({"after.dcm": instance(2)})
    sizes = {
        "beyond": b"00000777777\0",
        "largest": b"77777777777\0",
        "negative": b"\xff" * 12,
        "exabytes": b"\x80\0\0\0\x7f" + b"\xff" * 7,
        "words": b"hello world\0",
        "spaces": b" " * 12,
    }
    for name, size in sizes.items():
        content = tar_header_of_size("a", size) + behind
        (folder / f"{name}.tar").write_bytes(content)
        (folder / f"{name}.tgz").write_bytes(gzip.compress(content))
    for name, text in (("pax huge", "9" * 30), ("pax negative", "-512"), ("pax words", "many")):
        content = pax({"size": text}) + tar_header("a") + behind
        (folder / f"{name}.tar").write_bytes(content)
        (folder / f"{name}.tgz").write_bytes(gzip.compress(content))


def write_tar_many(folder: Path, size: int) -> None:
    """Write a compressed tar of so many empty members."""
    one = tar_header("folder/empty.dcm")
    with gzip.open(folder / "many.tgz", "wb", compresslevel=1) as file:
        for piece in runs(one, size):
            file.write(piece)
        file.write(bytes(1024))


def write_tar_headers(folder: Path, size: int) -> None:
    """Write compressed tars of so many KiB of extended headers before any member."""
    words = {f"DCM.{number}": "x" * 20 for number in range(1000)}
    sparse = tar_header("s", 0, tarfile.GNUTYPE_SPARSE)
    extended = bytearray(sparse)
    extended[482] = 1
    extended[148:156] = b" " * 8
    extended[148:156] = b"%06o\0 " % sum(extended)
    map_block = (b"%011o\0%011o\0" % (0, 512)) * 21 + b"\1" + bytes(7)
    pieces = {
        "pax": (b"", pax({"path": "a"})),
        "pax words": (b"", pax(words)),
        "global": (b"", pax(words, tarfile.XGLTYPE)),
        "long names": (
            b"",
            tar_header("l", 500, tarfile.GNUTYPE_LONGNAME) + b"n" * 500 + bytes(12),
        ),
        "sparse": (bytes(extended), map_block),
        "one name": (tar_header("l", size * 1024, tarfile.GNUTYPE_LONGNAME), b"n" * 1024),
        "one pax": (tar_header("p", size * 1024, tarfile.XHDTYPE), b"13 a=bcdefgh\n" * 8),
    }
    for name, (begin, piece) in pieces.items():
        with gzip.open(folder / f"{name}.tgz", "wb", compresslevel=1) as file:
            file.write(begin)
            for run in runs(piece, max(1, size * 1024 // len(piece))):
                file.write(run)
            file.write(bytes(-(size * 1024) % 512))
            file.write(tar_of({"after.dcm": instance(2)}))


def write_gzip_name(folder: Path, size: int) -> None:
    """Write a gzip whose header holds a name of so many MiB."""
    content = gzip.compress(instance(1))
    with (folder / "name.dcm.gz").open("wb") as file:
        file.write(content[:3] + b"\x08" + content[4:10])
        for piece in runs(b"n" * MIB, size):
            file.write(piece)
        file.write(b"\0" + content[10:])


# -- nesting ---------------------------------------------------------------------------------------


def write_nested(folder: Path, size: int) -> None:
    """Write archives in archives, up to so deep."""
    wraps: dict[str, Callable[[bytes], bytes]] = {
        "zip": lambda content: zip_of({"in.zip": content, "1.dcm": instance(1)}),
        "tar": lambda content: tar_of({"in.tar": content, "1.dcm": instance(1)}),
        "gz": gzip.compress,
    }
    for word, wrap in wraps.items():
        content = wrap(instance(2))
        for level in range(2, size + 1):
            content = wrap(content)
            if level in (2, 3, size):
                (folder / f"{level}.{word}").write_bytes(content)


def write_matryoshka(folder: Path, size: int) -> None:
    """Write a zip whose so many members are each the rest of the zip itself: 2 to the power of them."""
    heads = []
    entry_size = len(central(b"00.zip", 0))
    head_size = len(local(b"00.zip", b""))
    whole = head_size * size + entry_size * size + 22
    entries = []
    for number in range(size):
        rest = whole - head_size * (number + 1)
        name = b"%02d.zip" % number
        head = bytearray(local(name, b"", 0))
        struct.pack_into("<LL", head, 18, rest, rest)
        heads.append(bytes(head))
        entries.append(central(name, head_size * number, rest, rest, method=0))
    directory = b"".join(entries)
    content = b"".join(heads) + directory + end(len(directory), head_size * size, size)
    (folder / "rest.zip").write_bytes(content)


def write_nested_large(folder: Path, size: int) -> None:
    """Write zips of so many MiB in archives: stored, deflated, and in a tar."""
    inner = folder / "inner"
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_STORED) as archive:
        with archive.open("zeros", "w", force_zip64=True) as file:
            for piece in runs(bytes(MIB), size):
                file.write(piece)
        archive.writestr("1.dcm", instance(1))
    for name, method in (("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED)):
        with zipfile.ZipFile(folder / f"{name}.zip", "w", method, compresslevel=1) as archive:
            archive.write(inner, "inner.zip")
    with tarfile.open(folder / "a.tar", "w") as tar:
        tar.add(inner, "inner.zip")
    inner.unlink()


# -- names -----------------------------------------------------------------------------------------


def write_odd_names(folder: Path, _size: int) -> None:
    """Write archives of instances under names that lead elsewhere, repeat, or are no text."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of names that stand there twice
        for number, name in enumerate(_ODD_NAMES):
            archive.writestr(zipfile.ZipInfo(name), instance(number))
    (folder / "names.zip").write_bytes(stream.getvalue())
    for layout in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        with tarfile.open(folder / f"names {layout}.tar", "w", format=layout) as tar:
            for number, name in enumerate(_ODD_NAMES):
                info = tarfile.TarInfo(name)
                content = instance(number)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    raw = [b"\xff\xfe.dcm", b"nul\0byte.dcm", b"n" * 60_000, b"caf\xe9", b""]
    content = instance(1)
    begin, entries = b"", b""
    crc = zlib.crc32(content)
    for name in raw:
        entries += central(name, len(begin), len(content), len(content), method=0, crc=crc)
        begin += local(name, content, 0, len(content), crc)
    (folder / "bytes.zip").write_bytes(begin + entries + end(len(entries), len(begin), len(raw)))


def write_endless_tar(folder: Path, size: int) -> None:
    """Write a compressed tar of instances, so many MiB of them in few bytes."""
    one = neighbour()
    padded = tar_header("a.dcm", len(one)) + one + bytes(-len(one) % 512)
    with gzip.open(folder / "same.tgz", "wb", compresslevel=6) as file:
        for piece in runs(padded, size * MIB // len(padded)):
            file.write(piece)
        file.write(bytes(1024))
