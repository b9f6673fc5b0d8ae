"""The results that the benchmarks kept, as two pictures in SVG.

    python benchmarks/plot.py

Takes the last result of each benchmark, corpus and number of files from `results/`; writes
`results.svg`, bars of files a second, and beside it `memory.svg`, memory over time of those that kept
it. The scale of the bars is logarithmic: from one line to the next is ten times.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import over_time
from result_tables import RESULTS, Outcome, latest, per_file
from svg import FAINT, OURS, WIDTH, page, text
from timing import Measured

SVG = Path(__file__).parent / "results.svg"

TITLES = {
    "scan": "Reading headers, one core",
    "run_against_imgtools": "A whole run, from start to the last file written",
    "zips": "Zips: a whole run, against unpacking and reading",
    "workers": "A whole run, workers compared",
    "buckets": "A whole run over a bucket, against bare GETs",
}
"""Of the benchmarks that are drawn as bars: those whose sides are readers."""

MEMORY = "memory.svg"

LABEL = 300
"""Pixels for the names of the sides."""

RIGHT = 80
"""Pixels for the figure behind the longest bar."""

TOP, BAR, GAP, HEADING = 16, 18, 6, 54
OTHERS = "#9aa4b2"


def draw(outcomes: Sequence[Outcome]) -> str:
    """Give the plot as SVG."""
    rates = [1 / per_file(side) for outcome in outcomes for side in outcome.sides]
    low = math.floor(math.log10(min(rates)))
    high = math.ceil(math.log10(max(rates)))
    scale = Scale(low, max(high, low + 1))
    parts: list[str] = []
    y = TOP
    for outcome in outcomes:
        parts += _draw_group(outcome, y, scale)
        y += _height(outcome)
    return page(parts, y + TOP)


class Scale:
    """Files a second to pixels.

    Parameters
    ----------
    low, high : int
        Powers of ten at both ends.
    """

    def __init__(self, low: int, high: int) -> None:
        self.low = low
        self.high = high

    def x(self, rate: float) -> float:
        """Give the place of a rate."""
        share = (math.log10(rate) - self.low) / (self.high - self.low)
        return LABEL + share * (WIDTH - LABEL - RIGHT)

    def lines(self) -> Iterator[tuple[float, str]]:
        """Give place and name of every power of ten."""
        for power in range(self.low, self.high + 1):
            yield self.x(10**power), f"{10**power:,}"


def _height(outcome: Outcome) -> int:
    return HEADING + len(outcome.sides) * (BAR + GAP) + 2 * GAP


def _draw_group(outcome: Outcome, top: int, scale: Scale) -> Iterator[str]:
    yield text(8, top + 16, f"{TITLES[outcome.benchmark]}: {outcome.corpus}", weight="bold")
    yield text(8, top + 32, f"files/s; {outcome.machine}; {outcome.date}", size=10)
    bottom = top + _height(outcome) - 2 * GAP
    for x, name in scale.lines():
        yield f'<path d="M{x:.1f} {top + HEADING - 4}V{bottom}" stroke="{FAINT}"/>'
        yield text(x, top + HEADING - 7, name, size=9, anchor="middle")
    for number, side in enumerate(sorted(outcome.sides, key=per_file)):
        yield from _draw_bar(side, top + HEADING + number * (BAR + GAP), scale)


def _draw_bar(side: Measured, y: int, scale: Scale) -> Iterator[str]:
    rate = 1 / per_file(side)
    end = scale.x(rate)
    color = OURS if side.name.startswith("dcmdask") else OTHERS
    yield text(LABEL - 8, y + 13, side.name, anchor="end")
    yield (
        f'<rect x="{LABEL}" y="{y}" width="{end - LABEL:.1f}" height="{BAR}" '
        f'rx="2" fill="{color}"/>'
    )
    yield text(end + 6, y + 13, f"{rate:,.0f}")


def main() -> None:
    """Read what was kept, write the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of kept results")
    parser.add_argument(
        "--out", type=Path, default=SVG, help=f"{MEMORY} is written beside it; default {SVG.name}"
    )
    arguments = parser.parse_args()
    kept = latest(arguments.results)
    if not kept:
        raise SystemExit("nothing kept yet: run a benchmark with --save first")
    order = list(TITLES)
    bars = [one for one in kept if one.benchmark in order]
    bars.sort(key=lambda one: (order.index(one.benchmark), one.kind, one.sides[0].files))
    watched = [one for one in kept if over_time.has_samples(one)]
    _write(arguments.out, bars, draw)
    _write(arguments.out.with_name(MEMORY), watched, over_time.draw)


def _write(
    path: Path, outcomes: Sequence[Outcome], picture: Callable[[Sequence[Outcome]], str]
) -> None:
    if outcomes:
        path.write_text(picture(outcomes), "utf-8")
        print(f"{len(outcomes)} results drawn: {path.name}")


if __name__ == "__main__":
    main()
