"""Starts runs, schedulers and workers as processes, and tells which of them are left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

COMPARED = ("crawl_db.parquet", "index.csv", "failures.parquet", "crawl_db.json")
"""Files that are byte-identical however a catalog was made."""

SLOW = """
import os, sys, time
def audit(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)):
        if os.fsencode(args[0]).endswith(b".dcm"):
            time.sleep(0.05)
sys.addaudithook(audit)
"""
"""What makes a run long enough to be hit: each file takes its time to be opened."""


OPEN_SCHEDULER = "dcmdask: warning: the scheduler at "
"""How the one line begins that says of a scheduler that it has no TLS."""


def other_lines(errors: str) -> list[str]:
    """Give the lines of stderr but the one on a scheduler without TLS."""
    return [line for line in errors.splitlines() if not line.startswith(OPEN_SCHEDULER)]


@contextmanager
def started(command: Sequence[object], log: Path, **options: object) -> Iterator[subprocess.Popen]:
    """Start a process that writes into a log; end it afterwards."""
    with open(log, "ab") as stream:
        child = subprocess.Popen(
            [str(word) for word in command],
            stdout=stream,
            stderr=stream,
            cwd=log.parent,
            **options,
        )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def scheduler_command(place: Path, host: str = "127.0.0.1") -> list[object]:
    """Give the command of a scheduler that leaves its address at a place."""
    own = ("--host", host, "--port", "0", "--no-dashboard", "--scheduler-file", place)
    return [sys.executable, "-m", "distributed.cli.dask_scheduler", *own]


def worker_command(address: str, *options: object) -> list[object]:
    """Give the command of a worker of a scheduler."""
    own = (address, "--nworkers", "1", "--no-dashboard", *options)
    return [sys.executable, "-m", "distributed.cli.dask_worker", *own]


def address_at(place: Path) -> str:
    """Give the address of a scheduler once it has left it."""
    wait_for(lambda: place.exists() and place.read_text(), 60)
    return json.loads(place.read_text())["address"]


def wait_for(is_so: Callable[[], object], seconds: float = 20) -> bool:
    """Wait until something is so; tell whether it is."""
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(is_so())


def processes() -> dict[int, tuple[int, int]]:
    """Give parent and session of every process that still runs."""
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):
                fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
                if fields[0] != "Z":
                    found[int(entry.name)] = (int(fields[1]), int(fields[3]))
    return found


def in_session(leader: int) -> list[int]:
    """Give the processes of a session."""
    return [pid for pid, (_, session) in processes().items() if session == leader]


def readers_below(leader: int) -> list[int]:
    """Give the reading processes of a session."""
    found = []
    for pid in in_session(leader):
        with suppress(OSError):
            if b"dcmdask.execution.reading_process" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def kill_session(leader: int) -> None:
    """End whatever is left of a session."""
    for pid in in_session(leader):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def hooked(folder: Path, hook: str) -> dict[str, str]:
    """Give an environment in which every Python that is started runs some lines first."""
    site = folder / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(hook)
    paths = [str(site), *(path for path in sys.path if path)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def run_command(source: Path, out: Path, *options: object) -> list[object]:
    """Give the command of a run."""
    return [sys.executable, "-m", "dcmdask", "run", source, "--out", out, *options]


def parts_of(out: Path) -> int:
    """Count the parts that a run has left so far."""
    return len(list(out.glob(".dcmdask/parts/*.parquet")))
