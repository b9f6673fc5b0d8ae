"""Take two commands; give how long each took, run in turn, and their ratio."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Command = Sequence[str | os.PathLike[str]]


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison.

    Attributes
    ----------
    name : str
        What it is called in the table.
    command : callable
        Gives the command of one round, with outputs that are not there yet.
    """

    name: str
    command: Callable[[int], Command]


def time_in_turn(sides: Sequence[Side], rounds: int) -> dict[str, list[float]]:
    """Run the sides in turn, so that a drift of the machine meets both.

    Returns
    -------
    dict
        Name to seconds of every round.
    """
    seconds: dict[str, list[float]] = {side.name: [] for side in sides}
    for number in range(rounds):
        for side in sides:
            command = side.command(number)
            begun = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            seconds[side.name].append(time.perf_counter() - begun)
            if done.returncode:
                raise SystemExit(f"{side.name} failed:\n{done.stderr[-2000:]}")
    return seconds


def table(seconds: dict[str, list[float]], files: int, ours: str) -> str:
    """Give the result as a Markdown table: medians, files a second, ratio to ours."""
    base = statistics.median(seconds[ours])
    lines = ["| side | s, median of rounds | min to max | files/s | time against ours |"]
    lines.append("|---|---|---|---|---|")
    for name, values in seconds.items():
        median = statistics.median(values)
        lines.append(
            f"| {name} | {median:.2f} | {min(values):.2f} to {max(values):.2f} "
            f"| {files / median:,.0f} | {median / base:.2f} x |"
        )
    return "\n".join(lines)


def machine() -> str:
    """Describe where this runs."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.system()} {platform.machine()}, {cores} cores, Python {platform.python_version()}"


def empty_place(base: Path, name: str, number: int) -> Path:
    """Give a path that does not exist yet."""
    return base / f"{name}-{number}"
