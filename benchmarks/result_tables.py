"""Take what the sides of a benchmark took; give it as a Markdown table, and keep it as JSON."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from timing import Measured, machine

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run of one benchmark.

    Attributes
    ----------
    benchmark : str
        Name of its file.
    corpus : str
        What was read.
    kind : str
        The same in a word.
    sides : list of Measured
        In the order of the table.
    base : str
        Name of the side that the others are held against.
    against : str
        What that side is called at the head of the column.
    floor : str or None
        Name of the side that does the least that can be done.
    machine : str
        Where.
    date : str
        When.
    """

    benchmark: str
    corpus: str
    kind: str
    sides: list[Measured]
    base: str
    against: str = "ours"
    floor: str | None = None
    machine: str = field(default_factory=machine)
    date: str = field(default_factory=lambda: dt.datetime.now(dt.UTC).date().isoformat())

    def __str__(self) -> str:
        """Give heading and table."""
        return f"{self.machine}; {self.corpus}:\n\n" + "\n".join(self._table())

    def _table(self) -> Iterator[str]:
        medians = {side.name: per_file(side) for side in self.sides}
        rounds = len(self.sides[0].seconds)
        columns = ["side", f"s, median of {rounds}", "min to max", "µs a file", "files/s"]
        columns.append(f"time against {self.against}")
        if self.floor is not None:
            columns.append("time against the floor")
        memory = any(side.memory is not None and side.memory.together for side in self.sides)
        if memory:
            columns.append("peak MiB: first process, largest other, all")
        counted = any(side.traffic is not None for side in self.sides)
        if counted:
            columns += ["requests a file", "lists", "bytes a file"]
        yield _row(columns)
        yield "|---" * len(columns) + "|"
        for side in self.sides:
            each = medians[side.name]
            cells = [side.name, f"{statistics.median(side.seconds):.3g}"]
            cells.append(f"{min(side.seconds):.3g} to {max(side.seconds):.3g}")
            cells += [f"{each * 1e6:,.1f}", f"{1 / each:,.0f}" if each else ""]
            cells.append(f"{each / medians[self.base]:.2f} x")
            if self.floor is not None:
                cells.append(f"{each / medians[self.floor]:.2f} x")
            if memory:
                cells.append(_peaks(side))
            if counted:
                cells += _traffic(side)
            yield _row(cells)


def per_file(side: Measured) -> float:
    """Give the seconds a file, by the median of the rounds."""
    return statistics.median(side.seconds) / side.files


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the option that keeps a result."""
    parser.add_argument(
        "--save",
        nargs="?",
        type=Path,
        const=RESULTS,
        metavar="FOLDER",
        help=f"keep the result for plot.py; by default in {RESULTS.name}/ beside this file",
    )


def tell(outcome: Outcome, arguments: argparse.Namespace) -> None:
    """Print a result, and keep it if the options of `add_options` ask for that."""
    print(outcome)
    if arguments.save is not None:
        arguments.save.mkdir(exist_ok=True)
        with (arguments.save / f"{outcome.benchmark}.json").open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")


def tell_target(words: str, ratio: float, target: float) -> None:
    """Print what was reached of a target that is a most."""
    word = "reached" if ratio <= target else "missed"
    print(f"\n{words}: {ratio:.2f} x (target: at most {target} x, {word})")


def latest(folder: Path = RESULTS) -> list[Outcome]:
    """Read the last result that was kept of each benchmark, kind of corpus and number of files."""
    found: dict[tuple[str, str, int], Outcome] = {}
    for path in sorted(folder.glob("*.json")):
        for line in path.read_text("utf-8").splitlines():
            kept: dict[str, Any] = json.loads(line)
            sides = [
                Measured(
                    side["name"], side["files"], side["seconds"], samples=side.get("samples", [])
                )
                for side in kept["sides"]
            ]
            outcome = Outcome(**{**kept, "sides": sides})
            found[outcome.benchmark, outcome.kind, sides[0].files] = outcome
    return list(found.values())


def _peaks(side: Measured) -> str:
    memory = side.memory
    if memory is None:
        return ""
    return ", ".join(
        f"{figure / 2**20:,.0f}" for figure in (memory.first, memory.largest_other, memory.together)
    )


def _traffic(side: Measured) -> list[str]:
    traffic = side.traffic
    if traffic is None:
        return ["", "", ""]
    each = traffic.requests / side.files
    return [f"{each:.3f}", f"{traffic.lists:,}", f"{traffic.bytes / side.files:,.0f}"]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
