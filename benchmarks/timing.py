"""Take commands; run them in turn and give how long each took and the memory it held."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

Command = Sequence[str | os.PathLike[str]]

Sample = tuple[float, int, int, int]
"""Seconds since the start, and the bytes of RAM then: of the process that was started, of the largest
below it, and of all."""

_LOOK_EVERY = 0.2
"""Seconds between two looks at memory: each costs a millisecond or two."""

_SAMPLES_KEPT = 500


@dataclass(slots=True)
class Memory:
    """Peaks of the memory that a command and its processes held, in bytes of RAM.

    Attributes
    ----------
    first : int
        Of the process that was started.
    largest_other : int
        Of the largest process below it; 0 without any, or where the system does not tell.
    together : int
        Of all at one time. Pages that processes share count in each of them.
    """

    first: int = 0
    largest_other: int = 0
    together: int = 0

    def look(self, root: int) -> tuple[int, int, int]:
        """Take the present figures of a process and those below it in; give them.

        Returns
        -------
        first, largest_other, together : int
            What each is at present, not the peaks.
        """
        tree = _tree(root)
        figures = {pid: _memory_of(pid) for pid in tree}
        self.first = max(self.first, figures[root][0])
        for pid in tree[1:]:
            self.largest_other = max(self.largest_other, figures[pid][0])
        together = sum(now for _, now in figures.values())
        self.together = max(self.together, together)
        others = (figures[pid][1] for pid in tree[1:])
        return figures[root][1], max(others, default=0), together

    def join(self, other: Memory) -> None:
        """Take the peaks of another round in."""
        self.first = max(self.first, other.first)
        self.largest_other = max(self.largest_other, other.largest_other)
        self.together = max(self.together, other.together)


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one round of a side asked of a store.

    Attributes
    ----------
    requests : int
        But those that list.
    lists : int
        Requests that list.
    bytes : int
        Of the bodies of all answers.
    """

    requests: int
    lists: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison.

    Attributes
    ----------
    name : str
        What it is called in the table, with its version.
    command : callable
        Gives the command of one round, with outputs that are not there yet. What it prepares is not
        on the clock.
    check : callable or None
        Raises `SystemExit` if what a round left is not as it should be.
    """

    name: str
    command: Callable[[int], Command]
    check: Callable[[int], None] | None = None


@dataclass(slots=True)
class Measured:
    """What the rounds of one side gave.

    Attributes
    ----------
    name : str
        Of the side.
    files : int
        What was read in a round.
    seconds : list of float
        Of every round, from start to end of the command unless the benchmark says otherwise.
    memory : Memory or None
        Peaks over all rounds; None if not looked at.
    samples : list of Sample
        Memory over time, of the round in which the first process held most; empty if not kept.
    traffic : Traffic or None
        Of the last round; None if not counted.
    """

    name: str
    files: int
    seconds: list[float] = field(default_factory=list)
    memory: Memory | None = None
    samples: list[Sample] = field(default_factory=list)
    traffic: Traffic | None = None

    def add(self, seconds: float, memory: Memory, samples: Sequence[Sample]) -> None:
        """Take another round in."""
        self.seconds.append(seconds)
        if self.memory is None:
            self.memory = Memory()
        if samples and memory.first > self.memory.first:
            self.samples = thinned(samples)
        self.memory.join(memory)


def time_in_turn(
    sides: Sequence[Side], rounds: int, files: int | Sequence[int], *, over_time: bool = False
) -> list[Measured]:
    """Run the sides in turn, so that a drift of the machine meets all of them.

    Parameters
    ----------
    sides : sequence of Side
    rounds : int
        How often each is run.
    files : int or sequence of int
        What each of them reads in a round: all the same, or one figure a side.
    over_time : bool
        Whether memory over time is kept beside its peaks.

    Raises
    ------
    SystemExit
        A side failed.
    """
    counts = [files] * len(sides) if isinstance(files, int) else files
    measured = [Measured(side.name, count) for side, count in zip(sides, counts, strict=True)]
    for number in range(rounds):
        for side, result in zip(sides, measured, strict=True):
            seconds, memory, samples = run(side.name, side.command(number))
            result.add(seconds, memory, samples if over_time else ())
            if side.check is not None:
                side.check(number)
    return measured


def run(name: str, command: Command) -> tuple[float, Memory, list[Sample]]:
    """Run one command to its end; give its seconds, and its memory in peaks and over time.

    Raises
    ------
    SystemExit
        It failed; with what it said last.
    """
    memory = Memory()
    samples: list[Sample] = []
    # A file, not a pipe: nobody reads while the command runs, and a full pipe would stop it.
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        begun = time.perf_counter()
        with (
            subprocess.Popen(command, stdout=said, stderr=said) as process,
            _watched(process.pid, memory, samples),
        ):
            # Without a timeout, which would be waited for in steps of up to 50 ms.
            process.wait()
            seconds = time.perf_counter() - begun
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{name} failed:\n{said.read()[-2000:]}")
    return seconds, memory, samples


def thinned(samples: Sequence[Sample], most: int = _SAMPLES_KEPT) -> list[Sample]:
    """Give at most so many samples.

    Each stands for a stretch of equal length: when it ended, and the highest of every figure in it,
    so that no peak is lost.
    """
    width = max(1, -(-len(samples) // most))
    stretches = (samples[begin : begin + width] for begin in range(0, len(samples), width))
    return [_highest(stretch) for stretch in stretches]


def _highest(samples: Sequence[Sample]) -> Sample:
    seconds, first, largest_other, together = map(max, zip(*samples, strict=True))
    return round(seconds, 2), first, largest_other, together


@contextmanager
def _watched(root: int, memory: Memory, samples: list[Sample]) -> Iterator[None]:
    """Look at the memory of a process and those below it until the block is left."""
    left = threading.Event()
    begun = time.perf_counter()

    def look() -> None:
        while not left.wait(_LOOK_EVERY):
            figures = memory.look(root)
            if figures[0]:  # gone, but not waited for yet: nothing to tell
                samples.append((time.perf_counter() - begun, *figures))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        left.set()
        watcher.join()


def machine() -> str:
    """Describe where this runs."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.system()} {platform.machine()}, {cores} cores, Python {platform.python_version()}"


def empty_place(base: Path, name: str, number: int) -> Path:
    """Give a path that does not exist yet."""
    return base / f"{name}-{number}"


def _tree(root: int) -> list[int]:
    """Give a process and all below it, itself first."""
    children: dict[int, list[int]] = {}
    with suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdigit():
                # Gone since it was listed.
                with suppress(OSError):
                    # The name of the program stands in brackets and may hold anything.
                    facts = Path("/proc", name, "stat").read_text("ascii", "replace")
                    parent = int(facts.rpartition(")")[2].split()[1])
                    children.setdefault(parent, []).append(int(name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _memory_of(pid: int) -> tuple[int, int]:
    """Give the peak and the present memory of a process, in bytes; nothing where Linux is not."""
    facts: dict[str, int] = {}
    with suppress(OSError):
        for line in Path("/proc", str(pid), "status").read_text("ascii", "replace").splitlines():
            key, _, value = line.partition(":")
            if key in ("VmHWM", "VmRSS"):
                facts[key] = int(value.split()[0]) * 1024
    return facts.get("VmHWM", 0), facts.get("VmRSS", 0)
