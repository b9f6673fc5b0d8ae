"""Every entry of the hostile corpus, from end to end: a row a file, in bounded time and memory."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support import crawl

from dcmdask.catalog.catalog import Catalog
from dcmdask.execution import supervisor
from hostile.corpus import CORPUS, NEIGHBOUR, Entry
from hostile.files import remove

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="file systems and figures of Linux")

_LOOK_EVERY = 0.01
_RETRY = 60.0


class Peak:
    """The most memory that a reading process has held, in MiB."""

    def __init__(self) -> None:
        self.mebibytes = 0

    def look(self) -> None:
        """Take in what the system says of the reading processes that there are."""
        for reader in (*supervisor._busy, *supervisor._idle):
            child = reader._child
            # Gone since it was listed.
            with suppress(OSError):
                for line in (
                    Path(f"/proc/{child.pid}/status").read_text().splitlines() if child else ()
                ):
                    if line.startswith("VmHWM:"):
                        self.mebibytes = max(self.mebibytes, int(line.split()[1]) // 1024)


@contextmanager
def watched() -> Iterator[Peak]:
    """Look at the reading processes until the block is left."""
    peak, left = Peak(), threading.Event()

    def look() -> None:
        while not left.wait(_LOOK_EVERY):
            peak.look()

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield peak
    finally:
        left.set()
        watcher.join()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Give a place for hostile files, which pytest could not remove."""
    yield tmp_path / "in" / "hostile"
    remove(tmp_path / "in" / "hostile")


def outcomes_of(catalog: Catalog) -> list[str]:
    """Give what came of every file and member but the neighbour."""
    paths = catalog.instances.to_table(columns=["path"])["path"].to_pylist()
    paths.remove(f"hostile/{NEIGHBOUR}")
    return ["instance"] * len(paths) + catalog.failures["kind"].to_pylist()


@LINUX
@pytest.mark.parametrize("entry", CORPUS, ids=lambda entry: entry.name)
def test_every_hostile_file_is_a_row(entry: Entry, folder: Path, tmp_path: Path) -> None:
    """The run ends well, all is accounted for, the neighbour is read, nothing goes beyond its bounds."""
    entry.make(folder, entry.small)
    begun = time.perf_counter()
    with watched() as peak, entry.while_running(folder):
        catalog = crawl(tmp_path / "in", tmp_path / "out", workers=1, timeout=_RETRY)
    seconds = time.perf_counter() - begun
    outcomes = outcomes_of(catalog)
    counts = catalog.run["counts"]
    assert counts["listed"] == 1 + len(outcomes)
    assert counts["instances"] == 1 + outcomes.count("instance")
    assert set(outcomes) <= entry.outcomes
    assert not entry.certain or entry.outcomes == set(outcomes)
    assert seconds < entry.seconds
    assert 0 < peak.mebibytes < entry.mebibytes
