"""An interrupt: one line, the code 130, nothing published, no process left, nothing read in vain."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from running import hooked, wait_for
from source.making import instance
from support import unfinished

from dcmdask.catalog.catalog import Catalog
from dcmdask.config import RunOptions
from dcmdask.execution.pipeline import run
from dcmdask.state.parts import list_stems
from dcmdask.system import interrupts

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="process groups, /proc")

# Opening a file of this name takes longer than any test: a run is certain to be under way.
_HOOK = """
import os, sys, time
def audit(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)):
        if os.fsencode(args[0]).endswith(b"hangs.dcm"):
            time.sleep(600)
sys.addaudithook(audit)
"""
_REST = ": nothing was published; the same command goes on where it stopped"
_LINES = {
    signal.SIGINT: f"dcmdask: interrupted{_REST}",
    signal.SIGTERM: f"dcmdask: ended by SIGTERM{_REST}",
    signal.SIGHUP: f"dcmdask: ended by SIGHUP{_REST}",
}


def _command(folder: Path, *args: object) -> list[str]:
    """Give the command of a run, of a folder ``in`` into one ``out``."""
    command = [sys.executable, "-m", "dcmdask", "run", str(folder / "in")]
    return [*command, "--out", str(folder / "out"), *map(str, args)]


@contextmanager
def _running(folder: Path, *args: object, before: int = 0) -> Iterator[subprocess.Popen[str]]:
    """Start a run that hangs, in a process group of its own; give it when it reads.

    So many files come before the one at which it hangs.
    """
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(_HOOK)
    (folder / "in").mkdir()
    for number in range(before):
        (folder / "in" / f"{number}.dcm").write_bytes(instance(number))
    (folder / "in" / "hangs.dcm").write_bytes(instance(before))
    paths = [str(folder / "site"), *(path for path in sys.path if path)]
    child = subprocess.Popen(
        _command(folder, *args),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert child.stdout is not None
    assert child.stderr is not None
    with child, child.stdout, child.stderr:
        try:
            assert "listing" in child.stderr.readline()
            assert "reading headers" in child.stderr.readline()
            yield child
        finally:
            for pid in _session(child.pid):
                os.kill(pid, signal.SIGKILL)


def _session(leader: int) -> list[int]:
    """Give the processes of a session that still run."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == leader and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def _wait_for_the_end(leader: int) -> list[int]:
    deadline = time.monotonic() + 10
    while _session(leader) and time.monotonic() < deadline:
        time.sleep(0.02)
    return _session(leader)


def _private(out: Path) -> list[str]:
    return sorted(os.listdir(out / ".dcmdask"))


def _kept(out: Path) -> list[str]:
    """Give what is private to the catalog in an output folder."""
    token = Catalog(out).run["state"]
    own = ["lock", "numbers.lock", "output.json"]
    return [*own, "parts", f"state-{token}.index", f"state-{token}.json"]


@pytest.mark.parametrize("number", _LINES)
def test_an_interrupted_run_that_has_read_nothing_leaves_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    """A signal reaches every process of the terminal or service; one of them answers."""
    with _running(tmp_path) as child:
        time.sleep(0.7)
        os.killpg(child.pid, number)
        out, err = child.communicate(timeout=10)
        assert (128 + number, "") == (child.returncode, out)
        assert [_LINES[number]] == [line for line in err.splitlines() if line]
        assert [] == _wait_for_the_end(child.pid)
    assert ["in", "site"] == sorted(os.listdir(tmp_path))


def test_an_interrupted_run_keeps_the_previous_catalog(tmp_path: Path) -> None:
    """What an earlier run published stands, and the folder is free for the next run."""
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "a").write_bytes(instance())
    command = [sys.executable, "-m", "dcmdask", "run", str(tmp_path / "before"), "-q"]
    command += ["--out", str(tmp_path / "out")]
    subprocess.run(command, check=True)
    catalog = (tmp_path / "out" / "catalog.json").read_bytes()
    with _running(tmp_path) as child:
        os.killpg(child.pid, signal.SIGINT)
        assert 130 == child.wait(10)
    assert catalog == (tmp_path / "out" / "catalog.json").read_bytes()
    assert _kept(tmp_path / "out") == _private(tmp_path / "out")
    subprocess.run(command, check=True)
    changes = Catalog(tmp_path / "out").run["run"]["changes"]
    assert {"new": 0, "changed": 0, "gone": 0, "same": 1, "resumed": 0, "kept": 0} == changes


@pytest.mark.parametrize(
    ("wait", "number"), [(0.0, signal.SIGINT), (4.0, signal.SIGTERM)], ids=["starting", "reading"]
)
def test_an_interrupted_run_on_a_local_cluster_leaves_nothing(
    tmp_path: Path, wait: float, number: signal.Signals
) -> None:
    """Workers, and the processes that read for them, leave the interrupt to the run."""
    with _running(tmp_path, "--in-process-below", 0, "--workers", 2) as child:
        time.sleep(wait)
        os.killpg(child.pid, number)
        out, err = child.communicate(timeout=20)
        assert (128 + number, "") == (child.returncode, out)
        assert [_LINES[number]] == [line for line in err.splitlines() if line]
        assert [] == _wait_for_the_end(child.pid)
    assert ["in", "site"] == sorted(os.listdir(tmp_path))


def test_under_nohup_a_terminal_that_goes_ends_nothing(tmp_path: Path) -> None:
    """SIGHUP that is ignored stays so, and the run is ended by the next signal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _running(tmp_path) as child:
            signal.signal(signal.SIGHUP, before)
            child.send_signal(signal.SIGHUP)
            child.send_signal(signal.SIGTERM)
            _, err = child.communicate(timeout=10)
            assert (143, _LINES[signal.SIGTERM]) == (child.returncode, err.splitlines()[-1])
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_terminal_that_goes_ends_the_run(tmp_path: Path) -> None:
    """There is nobody to say it to; what an earlier run published stands, and all is in order."""
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    (source / "a.dcm").write_bytes(instance())
    subprocess.run(_command(tmp_path, "-q"), check=True)
    catalog = (out / "catalog.json").read_bytes()
    (source / "hangs.dcm").write_bytes(instance(2))
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(_HOOK)
    paths = [str(tmp_path / "site"), *(path for path in sys.path if path)]
    command = _command(tmp_path)
    terminal, end = pty.openpty()
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    child = subprocess.Popen(
        command, stdin=end, stdout=end, stderr=end, env=env, start_new_session=True
    )
    os.close(end)
    said = b""
    while b"reading headers" not in said:
        said += os.read(terminal, 4096)
    os.close(terminal)
    child.send_signal(signal.SIGHUP)
    assert 129 == child.wait(20)
    assert [] == _wait_for_the_end(child.pid)
    assert catalog == (out / "catalog.json").read_bytes()
    assert {"lock", "parts"} <= set(_private(out)) <= {*_kept(out), "unfinished.json"}


# Putting the catalog into its place takes until it may go on.
_SLOW_PUBLISHING = """
import os, sys, time
def audit(event, args):
    if event in ("os.rename", "os.link") and str(args[1]).endswith("/out/index.csv"):
        open(os.environ["MARK"], "w").close()
        deadline = time.monotonic() + 30
        while not os.path.exists(os.environ["GO_ON"]) and time.monotonic() < deadline:
            time.sleep(0.01)
sys.addaudithook(audit)
"""


def test_a_signal_that_comes_while_it_publishes_comes_too_late(tmp_path: Path) -> None:
    """The catalog is put in place as a whole, in moments, and the command ends well."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dcm").write_bytes(instance())
    mark, go_on = tmp_path / "mark", tmp_path / "go-on"
    child = subprocess.Popen(
        _command(tmp_path, "-q"),
        stderr=subprocess.PIPE,
        env={**hooked(tmp_path, _SLOW_PUBLISHING), "MARK": str(mark), "GO_ON": str(go_on)},
    )
    assert wait_for(mark.exists)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        child.send_signal(number)
    go_on.touch()
    assert (b"", 0) == (child.communicate(timeout=20)[1], child.returncode)
    assert 1 == Catalog(tmp_path / "out").instances.count_rows()
    assert _kept(tmp_path / "out") == _private(tmp_path / "out")


# Cleaning up takes until it may go on.
_SLOW_CLEANING = """
import os, sys, time
def audit(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)):
        if os.fsencode(args[0]).endswith(b"hangs.dcm"):
            time.sleep(600)
    if event == "shutil.rmtree" and str(args[0]).endswith("/staging") and os.path.exists(
            os.path.join(args[0], "manifest")) and os.listdir(os.path.join(args[0], "manifest")):
        open(os.environ["MARK"], "w").close()
        deadline = time.monotonic() + 30
        while not os.path.exists(os.environ["GO_ON"]) and time.monotonic() < deadline:
            time.sleep(0.01)
sys.addaudithook(audit)
"""


def test_a_second_signal_does_not_end_the_cleaning_up(tmp_path: Path) -> None:
    """Who presses Ctrl-C twice leaves the folder as tidy as who does it once."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "hangs.dcm").write_bytes(instance())
    mark, go_on = tmp_path / "mark", tmp_path / "go-on"
    child = subprocess.Popen(
        _command(tmp_path),
        stderr=subprocess.PIPE,
        text=True,
        env={**hooked(tmp_path, _SLOW_CLEANING), "MARK": str(mark), "GO_ON": str(go_on)},
    )
    assert child.stderr is not None
    with child, child.stderr:
        assert "listing" in child.stderr.readline()
        assert "reading headers" in child.stderr.readline()
        child.send_signal(signal.SIGTERM)
        assert wait_for(mark.exists)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            child.send_signal(number)
        go_on.touch()
        _, err = child.communicate(timeout=20)
    assert (143, [_LINES[signal.SIGTERM]]) == (child.returncode, err.splitlines())
    assert not (tmp_path / "out").exists()


def test_a_library_leaves_signals_alone(tmp_path: Path) -> None:
    """A crawl in Python has no handler of its own; the command line has, while it runs."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dcm").write_bytes(instance())
    before = signal.getsignal(signal.SIGTERM)
    seen = set()
    run(
        [str(tmp_path / "in")],
        RunOptions(out=str(tmp_path / "out")),
        lambda _progress: seen.add(signal.getsignal(signal.SIGTERM)),
    )
    assert {before} == seen
    with interrupts.handled():
        assert before != signal.getsignal(signal.SIGTERM)
    assert before == signal.getsignal(signal.SIGTERM)


def test_a_signal_that_nobody_saw_is_raised_again() -> None:
    """What is raised in a callback of the garbage collector is lost: the next progress raises it."""
    with interrupts.handled():
        with suppress(interrupts.Ended):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(interrupts.Ended, match="ended by SIGTERM"):
            interrupts.check()
        assert (signal.SIGTERM, False) == interrupts.ended_by()
    with interrupts.handled():
        interrupts.check()


@pytest.mark.parametrize("args", [(), ("--in-process-below", 0, "--workers", 2)])
def test_a_killed_run_leaves_no_process(tmp_path: Path, args: tuple[object, ...]) -> None:
    """Without any chance to tidy up, its children end by themselves, and the next run takes over."""
    with _running(tmp_path, *args) as child:
        time.sleep(3 if args else 0.7)
        child.kill()
        child.wait()
        assert [] == _wait_for_the_end(child.pid)
    assert [".dcmdask"] == os.listdir(tmp_path / "out")
    (tmp_path / "in" / "hangs.dcm").rename(tmp_path / "in" / "a.dcm")
    subprocess.run(_command(tmp_path, "-q"), check=True)
    assert _kept(tmp_path / "out") == _private(tmp_path / "out")
    after = Catalog(tmp_path / "out").run["run"]["after"]
    assert f"process {child.pid} on " == after[: after.index(" on ") + 4]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize(
    "args", [(), ("--in-process-below", 0, "--workers", 2)], ids=["here", "cluster"]
)
def test_what_an_ended_run_has_read_is_not_read_again(
    tmp_path: Path, number: int, args: tuple[object, ...]
) -> None:
    """Of two files, a task each, one was read: the same command reads the other and publishes."""
    args = ("--partition-size", 1, *(args or ("--workers", 1)))
    out = tmp_path / "out"
    with _running(tmp_path, *args, before=1) as child:
        deadline = time.monotonic() + 30
        while not list_stems(out / ".dcmdask" / "parts") and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(child.pid, number)
        _, err = child.communicate(timeout=20)
        assert [] == _wait_for_the_end(child.pid)
    if number == signal.SIGINT:
        last = [line for line in err.splitlines() if line][-1]
        assert (130, _LINES[number]) == (child.returncode, last)
        (part,) = unfinished(out)
    else:
        assert [".dcmdask"] == os.listdir(out)
        (part,) = list_stems(out / ".dcmdask" / "parts")
    # Opened again, it would be no DICOM.
    read = tmp_path / "in" / "0.dcm"
    status = read.stat()
    read.write_bytes(bytes(status.st_size))
    os.utime(read, ns=(status.st_atime_ns, status.st_mtime_ns))
    done = subprocess.run(
        _command(tmp_path, *args), capture_output=True, text=True, check=True, timeout=60
    )
    assert "  1 file was read before an earlier run was ended\n" in done.stdout
    catalog = Catalog(out)
    changes = {"new": 2, "changed": 0, "gone": 0, "same": 0, "resumed": 1, "kept": 0}
    assert (changes, 2) == (catalog.run["run"]["changes"], catalog.instances.count_rows())
    assert _kept(out) == _private(out)
    parts = list_stems(out / ".dcmdask" / "parts")
    assert (2, True) == (len(parts), part in parts)
