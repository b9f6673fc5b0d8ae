"""What the process that reads does by itself: it leaves when nobody needs it, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from execution.readers import HEADER, LINUX, children, counts, working
from running import wait_for
from source.making import instance

from dcmdask.execution.supervisor import ReaderProcess

_PARENT = f"""
import sys, time
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from execution.readers import HookedReader, Work
work = Work(Path(sys.argv[1]), 100, HookedReader())
work.reader.start()
print(work.reader._child.pid, flush=True)
work.read(timeout=600)
"""


def _runs(pid: int) -> bool:
    try:
        return "Z" != Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


@contextmanager
def _started(script: str, folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start a process that has a reading process; give it, and the other's number."""
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert parent.stdout is not None
    with parent, parent.stdout as stream:
        yield parent, int(stream.readline())


@LINUX
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_child_ends_with_its_parent(tmp_path: Path, number: int) -> None:
    """However the parent ends, also in the middle of a read that hangs, its child does too."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "hangs.dcm").write_bytes(instance())
    with _started(_PARENT, tmp_path) as (parent, child):
        time.sleep(0.7)
        assert _runs(child)
        parent.send_signal(number)
        parent.wait(10)
    assert wait_for(lambda: not _runs(child), 5)


@LINUX
def test_a_child_that_never_lets_go_ends_with_its_parent(tmp_path: Path) -> None:
    """Code that holds the interpreter's lock for ever cannot see that the parent is gone."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "odd").write_bytes(instance())
    holds = "__import__('ctypes').PyDLL(None).sleep(600)"
    program = (
        f"from dcmdask.execution import reading_process\nreading_process._UNATTENDED = 1\n{HEADER.format(does=holds)}\n"
        f"{ReaderProcess.program}"
    )
    script = _PARENT.replace(
        "work = Work", f"HookedReader.program = {program!r}\nwork = Work"
    ).replace("timeout=600", "timeout=600, read_timeout=2")
    with _started(script, tmp_path) as (parent, child):
        time.sleep(1)
        parent.kill()
    assert _runs(child)
    assert wait_for(lambda: not _runs(child), 10)


@LINUX
def test_a_child_without_work_leaves(tmp_path: Path) -> None:
    """On a worker nobody says that a crawl is over; the next partition is read by a new one."""

    class Reader(ReaderProcess):
        program = f"from dcmdask.execution import reading_process; reading_process._IDLE = 0.2\n{ReaderProcess.program}"

    before = children()
    with working(tmp_path, "a", "b", partition_size=1, reader=Reader()) as work:
        assert (1, 1, 0) == counts(work.read(0))
        deadline = time.monotonic() + 10
        while children() - before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert set() == children() - before
        assert (1, 1, 0) == counts(work.read(1))


def test_the_child_imports_nothing_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that happens to lie where the user is, and is called like a module, is not run."""
    (tmp_path / "queue.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    with working(tmp_path, "a") as work:
        assert (1, 1, 0) == counts(work.read())


def test_what_parent_and_child_share_has_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no file that whoever is killed could leave behind, at no time."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    with working(tmp_path, "a") as work:
        work.reader.start()
        assert [] == os.listdir(tmp_path / "tmp")
        work.read()
