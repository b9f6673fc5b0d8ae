"""Take the first bytes of a file; name the archive format that it is and that is not read.

Formats in which files of hospitals travel: archives, compressed single files, images of discs and
disks. What is none of them costs a few comparisons and no further read.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable

_AT_START = (
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"MSCF\0\0\0\0", "a cabinet (CAB)"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"\x04\x22\x4d\x18", "an LZ4 file"),
    (b"\x02\x21\x4c\x18", "an LZ4 file"),
    (b"LZIP\x01", "an lzip file"),
    (b"\x89LZO\0\r\n\x1a\n", "an lzop file"),
    (b"070701", "a cpio archive"),
    (b"070702", "a cpio archive"),
    (b"070707", "a cpio archive"),
    (b"StuffIt (c)", "a StuffIt archive"),
    (b"\0" + b"\xff" * 10 + b"\0", "a raw image of a disc"),
    (b"MSWIM\0\0\0", "a Windows image (WIM)"),
    (b"conectix", "a virtual disk (VHD)"),
    (b"vhdxfile", "a virtual disk (VHDX)"),
    (b"KDMV", "a virtual disk (VMDK)"),
    (b"QFI\xfb", "a virtual disk (QCOW)"),
    (b"EVF\x09\x0d\x0a\xff\0", "a forensic image (EWF)"),
    (b"encrcdsa", "an Apple disk image"),
    (b"hsqs", "a SquashFS image"),
)
_BY_FIRST_BYTE = {
    first: tuple(one for one in _AT_START if one[0][:1] == first)
    for first in {magic[:1] for magic, _ in _AT_START}
}
_LHA_METHOD = re.compile(rb"-(lh[0-9a-z]|lz[45s]|pm[0-2s])-")
_FILE_SYSTEMS = (
    (3, b"NTFS    "),
    (3, b"EXFAT   "),
    (54, b"FAT12   "),
    (54, b"FAT16   "),
    (82, b"FAT32   "),
    (512, b"EFI PART"),
)
_BOOT_AT, _BOOT = 510, b"\x55\xaa"
_APPLE_MAP = b"ER\x02\x00"
"""Beginning of a disc that is made for an Apple and for all others."""

VOLUME_AT = 16 * 2048 + 1
"""Where a disc image says what it is: behind its first sixteen sectors (ECMA-119, 6.2.1)."""

VOLUME = 5
"""Bytes of what it says."""

_VOLUMES = {b"CD001": "an ISO 9660 image", b"BEA01": "a UDF image"}
_IMAGE_NAMES = (".iso", ".img", ".udf", ".cdr", ".toast")
_TRAILER = 512
_TRAILERS = {b"koly": "an Apple disk image", b"conectix": "a virtual disk (VHD)"}
_SPLIT_NAME = re.compile(
    r"\.z[0-9]{2}$|\.(zip|7z|rar|tar|gz|tgz|bz2|xz|iso)\.[0-9]{2,3}$", re.IGNORECASE
)
_MISNAMED = (".7z", ".rar", ".iso", ".cab", ".zst", ".lz4")

ReadAt = Callable[[int, int], bytes]
"""Bytes at an offset, at most so many."""


def unread_format(head: bytes) -> str | None:
    r"""Name a format that is told by its first bytes.

    Examples
    --------
    >>> unread_format(b"Rar!\x1a\x07\x01\x00")
    'a RAR archive'
    """
    for magic, words in _BY_FIRST_BYTE.get(head[:1], ()):
        if head.startswith(magic):
            return words
    return next((words for is_such, words in _BY_LOOK if is_such(head)), None)


def _is_compress(head: bytes) -> bool:
    """Tell whether a file is one of Unix compress: its third byte says how many bits codes have."""
    return head.startswith(b"\x1f\x9d") and head[2:3] != b"" and head[2] & 0x7F in range(9, 17)


def _is_ace(head: bytes) -> bool:
    return head[7:14] == b"**ACE**"


def _is_lha(head: bytes) -> bool:
    return head[2:4] in (b"-l", b"-p") and _LHA_METHOD.match(head, 2) is not None and head[0] > 20


def _is_arj(head: bytes) -> bool:
    """Tell whether the header that begins an ARJ archive has the checksum that it names."""
    if not head.startswith(b"\x60\xea") or len(head) < 4:
        return False
    size = struct.unpack_from("<H", head, 2)[0]
    content, checksum = head[4 : 4 + size], head[4 + size : 8 + size]
    return 30 <= size <= 2600 and struct.pack("<L", zlib.crc32(content)) == checksum


def _is_lzma(head: bytes) -> bool:
    """Tell whether a file begins as LZMA's own format does, which has no magic."""
    if not head.startswith(b"\x5d") or len(head) < 14:
        return False
    window, size = struct.unpack_from("<LQ", head, 1)
    # A power of two, or one and a half.
    top = 1 << max(window.bit_length() - 1, 0)
    is_window = window >= 4096 and window - top in (0, top // 2)
    return head[13] == 0 and is_window and (size == 2**64 - 1 or size < 2**38)


def _is_disk(head: bytes) -> bool:
    """Tell whether a file begins as a partition of a common file system, or a disk of them."""
    if head[_BOOT_AT : _BOOT_AT + 2] != _BOOT:
        return False
    return any(head.startswith(name, at) for at, name in _FILE_SYSTEMS)


_BY_LOOK = (
    (_is_compress, "a file of compress (.Z)"),
    (_is_ace, "an ACE archive"),
    (_is_lha, "an LHA archive"),
    (_is_arj, "an ARJ archive"),
    (_is_lzma, "an LZMA file"),
    (_is_disk, "an image of a disk"),
)


def may_be_image(head: bytes, name: str) -> bool:
    """Tell whether it is worth a read to look whether a file is the image of a disc.

    Such an image begins with sixteen sectors that are nobody's: zeros, or what a machine starts
    from, or the map of a disc for an Apple.
    """
    if name.lower().endswith(_IMAGE_NAMES):
        return True
    if head[:1] == b"\0":
        return not head.strip(b"\0")
    return head.startswith(_APPLE_MAP) or head[_BOOT_AT : _BOOT_AT + 2] == _BOOT


def image_format(volume: bytes) -> str | None:
    """Name the format of a disc image by the bytes at `VOLUME_AT`."""
    return _VOLUMES.get(volume)


def unread_by_place(head: bytes, name: str, size: int | None, read_at: ReadAt) -> str | None:
    """Name a format that its first bytes do not tell; look further where that is worth a read.

    Parameters
    ----------
    head : bytes
        The first window.
    name : str
        Of the file.
    size : int or None
        Of the file, bytes.
    read_at : callable
        Offset and count to bytes of the file.
    """
    if (size is None or size > VOLUME_AT) and may_be_image(head, name):
        found = image_format(read_at(VOLUME_AT, VOLUME))
        if found is not None:
            return found
    if name.lower().endswith((".dmg", ".vhd")) and size is not None and size > _TRAILER:
        trailer = read_at(size - _TRAILER, _TRAILER)
        return next(
            (words for magic, words in _TRAILERS.items() if trailer.startswith(magic)), None
        )
    return None


def is_split_name(name: str) -> bool:
    """Tell whether a name is that of one part of an archive.

    Examples
    --------
    >>> is_split_name("a.z01"), is_split_name("a.zip.003"), is_split_name("a.zip")
    (True, True, False)
    """
    return name[-1:].isdigit() and _SPLIT_NAME.search(name) is not None


def is_named_unread(name: str) -> bool:
    """Tell whether a name says that a file is an archive that would not be read."""
    return name.lower().endswith(_MISNAMED)
