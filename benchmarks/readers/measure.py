"""Take a way to read files and a job from the command line; print what reading took, as JSON.

Knows nothing but the standard library: each reader runs in an environment of its own.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_WARM_UP = 4096
"""Files read before the clock starts: as many as dcmdask scans at once, as a crawl does again and
again. In a fresh process the first time is slower: by a third over 10,000 files."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """What is to be read: the keyword, and the tag as group and element."""

    keyword: str
    group: int
    element: int

    @property
    def tag(self) -> int:
        """The tag as one number."""
        return self.group << 16 | self.element


@dataclass(frozen=True, slots=True)
class Counted:
    """What a reader found.

    Attributes
    ----------
    instances : int
        Files whose SOPInstanceUID is not empty.
    values : int
        Attributes of all files that are not empty.
    """

    instances: int
    values: int


def read_job(path: Path) -> tuple[list[str], list[Attribute]]:
    """Give the files to be read, and the attributes of them."""
    job = json.loads(path.read_text("utf-8"))
    return job["paths"], [Attribute(*facts) for facts in job["attributes"]]


def measure(
    package: str,
    read: Callable[[list[str], list[Attribute]], T],
    count: Callable[[T, list[str], list[Attribute]], Counted],
) -> None:
    """Read the files of the job on one core, and print what that took and gave.

    Parameters
    ----------
    package : str
        Whose version is told.
    read : callable
        Files and attributes to whatever it makes of them. Called once for the first files, so that
        what it does but once is over, then for all of them against the clock.
    count : callable
        Counts in what was made, after the clock has stopped.
    """
    paths, attributes = read_job(Path(sys.argv[1]))
    _stay_on_one_core()
    read(paths[:_WARM_UP], attributes)
    begun = time.perf_counter()
    made = read(paths, attributes)
    seconds = time.perf_counter() - begun
    counted = count(made, paths, attributes)
    version = importlib.metadata.version(package)
    told = {"version": version, "seconds": seconds, "instances": counted.instances}
    print(json.dumps(told | {"values": counted.values}))


def count_rows(rows: list[list[object]], _paths: list[str], attributes: list[Attribute]) -> Counted:
    """Count in rows of values, a row a file and a value an attribute."""
    identity = [attribute.keyword for attribute in attributes].index("SOPInstanceUID")
    return Counted(
        sum(1 for row in rows if not _empty(row[identity])),
        sum(1 for row in rows for value in row if not _empty(value)),
    )


def _empty(value: object) -> bool:
    return value is None or not str(value)


def _stay_on_one_core() -> None:
    # Elsewhere than on Linux the system decides; no reader here has threads of its own.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
