"""Take results with samples of memory; give them as lines over time: the picture `memory.svg`.

A panel a side; the panels of one benchmark have one scale of memory, each has a scale of time of its
own. Bounds are dashed, in the colour of the line that they are for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from many import BOUNDS
from result_tables import Outcome
from svg import FAINT, INK, OURS, WIDTH, page, text
from timing import Measured

TITLES = {"growth": "Memory where there are more files", "many": "Memory over many zips"}

MIB = 2**20
LEFT, RIGHT, TOP, HEADING, PLOT, FOOT = 70, 30, 16, 56, 200, 50
"""Pixels: beside the plot of a panel, above all panels, and of the parts of a panel."""

TICKS = 6
"""About how many an axis has."""

BROWN = "#bc4c00"
LINES = (("driver", 1, OURS), ("largest other process", 2, BROWN))
"""Name, place in a sample, colour."""

DASHED = (
    ("driver: below {mib:,} MiB", BOUNDS["driver"], OURS),
    ("each worker: below {mib:,} MiB", BOUNDS["worker"], BROWN),
)


def has_samples(outcome: Outcome) -> bool:
    """Tell whether memory over time was kept of a result."""
    return any(side.samples for side in outcome.sides)


def draw(outcomes: Sequence[Outcome]) -> str:
    """Give the picture as SVG."""
    parts: list[str] = []
    y = TOP
    for outcome in outcomes:
        bounds = DASHED if outcome.benchmark == "many" else ()
        peak = max(_peak(side) for side in outcome.sides)
        high = max((peak, *(mib for _, mib, _ in bounds)))
        for side in filter(lambda side: side.samples, outcome.sides):
            scale = Scale(side.samples[-1][0], high * 1.05, y + HEADING)
            parts += _draw_head(outcome, side, y)
            parts += _draw_axes(scale)
            for words, mib, color in bounds:
                parts += _draw_bound(words.format(mib=mib), mib, color, scale)
            parts += [_draw_line(side, place, color, scale) for _, place, color in LINES]
            y += HEADING + PLOT + FOOT
    return page(parts, y)


@dataclass(frozen=True, slots=True)
class Scale:
    """Seconds and MiB to pixels.

    Attributes
    ----------
    seconds, mib : float
        At the far end of each axis; both begin at 0.
    top : int
        Pixel at which the plot begins.
    """

    seconds: float
    mib: float
    top: int

    def x(self, seconds: float) -> float:
        """Give the place of a time."""
        return LEFT + seconds / self.seconds * (WIDTH - LEFT - RIGHT)

    def y(self, mib: float) -> float:
        """Give the place of an amount of memory."""
        return self.top + PLOT - mib / self.mib * PLOT


def ticks(end: float) -> list[float]:
    """Give round numbers from 0 to no more than an end, at equal distances.

    Examples
    --------
    >>> ticks(3500), ticks(0.6)
    ([0, 500, 1000, 1500, 2000, 2500, 3000, 3500], [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    """
    power = math.floor(math.log10(end / TICKS))
    # Of the steps of 1, 2 and 5 times a power of ten the one that comes nearest.
    step = min((1, 2, 5, 10), key=lambda step: abs(end / (step * 10**power) - TICKS)) * 10**power
    count = math.floor(end / step + 1e-9)
    return [round(number * step, max(0, -power)) for number in range(count + 1)]


def _peak(side: Measured) -> float:
    return max((max(sample[1:3]) for sample in side.samples), default=0) / MIB


def _draw_head(outcome: Outcome, side: Measured, top: int) -> Iterator[str]:
    yield text(8, top + 16, f"{TITLES[outcome.benchmark]}: {side.name}", weight="bold")
    yield text(8, top + 32, f"{outcome.corpus}; {outcome.machine}; {outcome.date}", size=10)
    x = WIDTH - RIGHT
    for name, _, color in reversed(LINES):
        yield text(x, top + 48, name, anchor="end", color=color, weight="bold")
        x -= 8 * len(name) + 16


def _draw_axes(scale: Scale) -> Iterator[str]:
    left, right, bottom = LEFT, WIDTH - RIGHT, scale.top + PLOT
    for mib in ticks(scale.mib):
        y = scale.y(mib)
        yield f'<path d="M{left} {y:.1f}H{right}" stroke="{FAINT}"/>'
        yield text(left - 6, y + 4, f"{mib:,}", size=10, anchor="end")
    for seconds in ticks(scale.seconds):
        x = scale.x(seconds)
        yield f'<path d="M{x:.1f} {bottom}v4" stroke="{INK}"/>'
        yield text(x, bottom + 16, f"{seconds:,}", size=10, anchor="middle")
    yield f'<path d="M{left} {scale.top}V{bottom}H{right}" stroke="{INK}" fill="none"/>'
    yield text(left - 6, scale.top - 8, "MiB", size=10, anchor="end")
    yield text((left + right) / 2, bottom + 30, "seconds", size=10, anchor="middle")


def _draw_bound(words: str, mib: float, color: str, scale: Scale) -> Iterator[str]:
    y = scale.y(mib)
    yield (f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{color}" stroke-dasharray="6 4"/>')
    yield text(WIDTH - RIGHT, y + 12, words, size=10, anchor="end", color=color)


def _draw_line(side: Measured, place: int, color: str, scale: Scale) -> str:
    points = " ".join(
        f"{scale.x(sample[0]):.1f},{scale.y(sample[place] / MIB):.1f}" for sample in side.samples
    )
    return f'<polyline points="{points}" stroke="{color}" stroke-width="1.5" fill="none"/>'
