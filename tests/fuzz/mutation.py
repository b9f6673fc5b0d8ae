"""Take some files and a seed; give one of them changed, the same for the same seed."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

_LENGTHS = (0, 1, 2, 4, 8, 255, 65_534, 65_535, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_TOKENS = (
    b"\xfe\xff\x00\xe0",
    b"\xfe\xff\x0d\xe0\0\0\0\0",
    b"\xfe\xff\xdd\xe0\0\0\0\0",
    b"\xfe\xff\x00\xe0\xff\xff\xff\xff",
    b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff",
    b"\x08\x00\x05\x00CS\x0a\0ISO_IR 192",
    b"\x28\x00\x10\x00US\x02\0\x01\0",
    b"UN\0\0\xff\xff\xff\xff",
    b"PK\x01\x02",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"PK\x06\x07",
    b"ustar\x0000",
    b"\x1f\x8b\x08\0",
    b"99999999999\0",
)


def changed(files: Sequence[bytes], seed: int, most: int = 1 << 20) -> bytes:
    """Give one of some files, changed in a few places.

    Parameters
    ----------
    files : sequence of bytes
        Good ones.
    seed : int
        Decides everything.
    most : int
        Bytes of what is given, at most.
    """
    chance = random.Random(seed)
    found = bytearray(chance.choice(files))
    for _ in range(chance.choice((0, 1, 1, 2, 3, 5, 8))):
        _change(found, files, chance)
    return bytes(found[:most])


def _change(found: bytearray, files: Sequence[bytes], chance: random.Random) -> None:
    """Change one place."""
    at = chance.randrange(len(found) + 1)
    stop = at + chance.choice((1, 2, 4, 12, 64, 512, 4096))
    kind = chance.randrange(8)
    if kind == 0 and at < len(found):
        found[at] ^= 1 << chance.randrange(8)
    elif kind == 1:
        found[at : at + 4] = struct.pack(chance.choice("<>") + "L", chance.choice(_LENGTHS))
    elif kind == 2:
        found[at : at + 2] = struct.pack("<H", chance.choice(_LENGTHS) & 0xFFFF)
    elif kind == 3:
        del found[at:stop]
    elif kind == 4:
        found[at:at] = found[at:stop]
    elif kind == 5:
        token = chance.choice(_TOKENS)
        found[at : at + chance.choice((0, len(token)))] = token
    elif kind == 6:
        other = chance.choice(files)
        begin = chance.randrange(len(other) + 1)
        found[at:stop] = other[begin : begin + stop - at]
    else:
        del found[chance.choice((at, stop)) :]
