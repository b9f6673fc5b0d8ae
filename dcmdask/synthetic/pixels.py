"""Take a matrix and a seed; give pixels as bytes: noisy discs, and outlines of discs."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from dcmdask.synthetic.plan import Plan

_TEXTURES: Final = 16
"""So many images a modality; slices take turns."""
_TEXTURE_STEP: Final = 1_009
"""How far the noise moves from an image to the next; prime, so that no two are the same."""


@dataclass(frozen=True, slots=True)
class _Signal:
    """Stored values outside and inside of the body."""

    air: int
    body: int
    noise: int


_SIGNALS: Final[Mapping[str, _Signal]] = MappingProxyType(
    {
        "CT": _Signal(air=24, body=1_040, noise=60),
        "PT": _Signal(air=0, body=2_000, noise=250),
        "MR": _Signal(air=3, body=400, noise=90),
    }
)


def make_pixels(plan: Plan, modality: str) -> list[bytes]:
    """Return the pixels of noisy discs of several sizes, 16 bits each."""
    signal = _SIGNALS[modality]
    size = plan.matrix**2
    noise = hashlib.shake_256(f"dcmdask {plan.seed} {modality}".encode()).digest(size)
    body = plan.pack("H", [signal.body + value % signal.noise for value in noise])
    body += body[: 2 * plan.matrix]
    air = plan.pack("H", [signal.air] * plan.matrix)
    return [
        b"".join(
            air[: 2 * start] + body[2 * start + shift : 2 * stop + shift] + air[2 * stop :]
            for row, (start, stop) in enumerate(make_disc(plan.matrix, 0.30 + texture % 8 / 50))
            for shift in [2 * ((row * plan.matrix + texture * _TEXTURE_STEP) % size)]
        )
        for texture in range(min(_TEXTURES, plan.slices))
    ]


def make_disc(matrix: int, radius: float, middle: float = 0.5) -> list[tuple[int, int]]:
    """Return first column and the one after the last of each row of a disc, in parts of the width."""
    return [
        (
            max(0, math.floor(middle * matrix) - half),
            min(matrix, math.floor(middle * matrix) + half),
        )
        for row in range(matrix)
        for half in [math.isqrt(max(0, int((radius * matrix) ** 2 - (row - matrix / 2) ** 2)))]
    ]


def pack_bits(bits: str) -> bytes:
    """Pack zeros and ones, the first into the lowest bit (PS3.5, 8.1.1), to an even length."""
    size = -(-len(bits) // 8)
    return int(bits[::-1], 2).to_bytes(size + size % 2, "little")
