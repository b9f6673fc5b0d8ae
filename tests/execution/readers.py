"""Reading processes in which some files hang and some kill, and listings for them to read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
from source.making import instance

from dcmdask.config import ReadOptions
from dcmdask.execution.supervisor import ReaderProcess
from dcmdask.listing.listing import Listing, open_roots, write_manifest
from dcmdask.publish.folder_store import FolderStore
from dcmdask.state.parts import Parts
from dcmdask.state.previous_runs import Known
from dcmdask.tables.schema import FAILURES
from dcmdask.types import PartitionSummary

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

# Deep descriptions are made of one object at a time; this stands for a header that loops in C code,
# that crashes it, or that raises what nobody thought of.
HEADER = """
import os, time
from dcmdask.header import reader
describe = reader.describe_header
def describe_header(window, *args, **options):
    if "odd" in window.place.path:
        {does}
    return describe(window, *args, **options)
reader.describe_header = describe_header
"""

# Reading a file of a certain name hangs or dies in the call that opens it, as it does in the kernel
# on a disk that is gone, or in C code: no exception reaches the reader.
HOOK = """
import os, sys, time
def audit(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)):
        name = os.fsencode(args[0])
        if name.endswith(b"hangs.dcm"):
            time.sleep(600)
        if name.endswith(b"dies.dcm"):
            os.kill(os.getpid(), 9)
sys.addaudithook(audit)
"""


class HookedReader(ReaderProcess):
    """A reader for which some files hang, and some kill it."""

    program = f"{HOOK}\n{ReaderProcess.program}"


class Work:
    """A listing in an output folder, and what reads it."""

    def __init__(self, folder: Path, partition_size: int, reader: ReaderProcess) -> None:
        self.store = FolderStore(folder / "out")
        self.store.__enter__()
        self.reader = reader
        growing = write_manifest(
            open_roots([str(folder / "in")]),
            Known(self.store.parts, ""),
            self.store.piece_writer(),
            partition_size=partition_size,
            leave_out=frozenset(),
            wanted=lambda _path: True,
        )
        self.listing: Listing = list(growing)[-1]

    def read(
        self, number: int = 0, timeout: float = 60, read_timeout: float = 60
    ) -> list[PartitionSummary]:
        """Read one partition."""
        options = ReadOptions(
            roots=("in",),
            parts=str(self.store.parts),
            desensitize=False,
            timeout=timeout,
            read_timeout=read_timeout,
            settings="",
        )
        return self.reader.read(self.listing.partitions[number], options)

    def failures(self, summaries: list[PartitionSummary]) -> dict[str, tuple[str, str]]:
        """Give path to kind and message of what failed."""
        parts = Parts(self.store.parts, tuple(one.part for one in summaries))
        table = pa.Table.from_batches(parts.batches("failures"), FAILURES)
        return {row["path"]: (row["kind"], row["message"]) for row in table.to_pylist()}

    def close(self) -> None:
        """End the reader and let go of the output."""
        self.reader.stop()
        self.store.__exit__()


@contextmanager
def working(
    folder: Path, *names: str, partition_size: int = 100, reader: ReaderProcess | None = None
) -> Iterator[Work]:
    """Write some instances, list them, and give what reads them."""
    (folder / "in").mkdir()
    for number, name in enumerate(names):
        (folder / "in" / name).write_bytes(instance(number))
    work = Work(folder, partition_size, reader or HookedReader())
    try:
        yield work
    finally:
        work.close()


def children() -> set[int]:
    """Give the processes that this one has started and that still run."""
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == os.getpid() and fields[0] != "Z":
                found.add(int(entry.name))
    return found


def counts(summaries: list[PartitionSummary]) -> tuple[int, int, int]:
    """Give the files, instances and failures of all pieces of a partition."""
    each = [(one.files, one.instances, one.failures) for one in summaries]
    files, instances, failures = (sum(column) for column in zip(*each, strict=True))
    return files, instances, failures
