"""What is killed while a run is under way: readers, workers, the scheduler, the run itself."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from running import (
    COMPARED,
    SLOW,
    address_at,
    hooked,
    in_session,
    kill_session,
    other_lines,
    parts_of,
    processes,
    readers_below,
    run_command,
    scheduler_command,
    started,
    wait_for,
    worker_command,
)
from source.making import instance, zip_of

from dcmdask.catalog.catalog import Catalog
from dcmdask.config import RunOptions
from dcmdask.errors import ClusterError
from dcmdask.execution import cluster as computing
from dcmdask.types import Partition

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals, /proc")

# A reading process that opens this file ends the Dask worker that it belongs to, never a run.
_POISON = """
import os, signal, sys
def audit(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)):
        if os.fsencode(args[0]).endswith(b"poison.dcm"):
            with open(f"/proc/{os.getppid()}/cmdline") as stream:
                if "multiprocessing" in stream.read():
                    os.kill(os.getppid(), signal.SIGKILL)
sys.addaudithook(audit)
"""
_GREEDY = """
import os, sys
def audit(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)):
        if os.fsencode(args[0]).endswith(b"greedy.dcm"):
            held = [bytearray(os.urandom(1 << 16) * 64) for _ in range(400)]
sys.addaudithook(audit)
"""


@pytest.fixture
def heap(tmp_path: Path) -> Path:
    """Give 60 files in two cases and an archive, of which some are none."""
    for number in range(60):
        path = tmp_path / "in" / f"P{number % 2}" / f"{number:02}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(instance(number)[: 200 if number % 20 == 7 else None])
    (tmp_path / "in" / "P2.zip").write_bytes(zip_of({"x": instance(99)}))
    return tmp_path / "in"


@contextmanager
def _running(heap: Path, *options: object, hook: str = SLOW) -> Iterator[subprocess.Popen[str]]:
    """Start a run in a session of its own; give it when its first part is there."""
    folder = heap.parent
    child = subprocess.Popen(
        [str(word) for word in run_command(heap, folder / "out", "-q", *options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**hooked(folder, hook), "TMPDIR": str(_temporary(folder))},
    )
    assert child.stdout is not None
    assert child.stderr is not None
    with child, child.stdout, child.stderr:
        try:
            assert wait_for(lambda: parts_of(folder / "out") or child.poll() is not None, 60)
            yield child
        finally:
            kill_session(child.pid)


def _temporary(folder: Path) -> Path:
    (folder / "tmp").mkdir(exist_ok=True)
    return folder / "tmp"


def _alone(command, heap: Path) -> dict[str, bytes]:
    """Give what an undisturbed run without a cluster publishes."""
    out = heap.parent / "alone"
    assert 0 == command("run", heap, "--out", out, "-q").code
    return _published(out)


def _published(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in COMPARED}


def _said(child: subprocess.Popen[str], seconds: float = 60) -> tuple[int, str, list[str]]:
    """Give the exit code of a run, its output, and the lines of its errors."""
    out, err = child.communicate(timeout=seconds)
    return child.returncode, out, other_lines(err)


class _Cluster:
    """A scheduler and workers on this machine, each in a session of its own."""

    def __init__(self, folder: Path, stack: ExitStack, hook: str) -> None:
        self._folder = folder
        self._stack = stack
        # Of a worker that says nothing for so long, the work is done by others; by default 5 minutes.
        own = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "6s"}
        self._env = {**hooked(folder, hook), **own}
        command = scheduler_command(folder / "scheduler.json")
        self.scheduler = self._start(command)
        self.address = address_at(folder / "scheduler.json")
        self.workers: list[subprocess.Popen[bytes]] = []

    def _start(self, command: list[object]) -> subprocess.Popen[bytes]:
        log = self._folder / "cluster.log"
        child = started(command, log, env=self._env, start_new_session=True)
        process = self._stack.enter_context(child)
        self._stack.callback(kill_session, process.pid)
        return process

    def add_worker(self, *options: object) -> None:
        """Start one more worker."""
        self.workers.append(self._start(worker_command(self.address, *options)))


@pytest.fixture
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[_Cluster]:
    """Give a scheduler without workers; a parameter is what every Python there runs first."""
    (tmp_path / "cluster").mkdir()
    with ExitStack() as stack:
        yield _Cluster(tmp_path / "cluster", stack, getattr(request, "param", SLOW))


# -- readers ---------------------------------------------------------------------------------------


def test_readers_that_are_killed_at_random_cost_no_row(command, heap: Path) -> None:
    """Whoever kills reading processes of a run, its catalog is that of an undisturbed one."""
    chance = random.Random(5)
    with _running(heap, "--partition-size", 6, "--workers", 2) as child:
        killed = 0
        while child.poll() is None:
            time.sleep(chance.uniform(0.8, 1.6))
            if readers := readers_below(child.pid):
                os.kill(chance.choice(readers), signal.SIGKILL)
                killed += 1
        assert (0, "", []) == _said(child)
    assert killed
    assert _alone(command, heap) == _published(heap.parent / "out")


@pytest.fixture
def little_memory() -> Iterator[Path]:
    """Make a control group that may hold 700 MB; skip where that cannot be done."""
    group = _memory_group()
    if group is None:
        pytest.skip("no control group for memory can be made here")
    try:
        yield group
    finally:
        wait_for(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


def _memory_group() -> Path | None:
    for top, limit in (("memory", "memory.limit_in_bytes"), ("", "memory.max")):
        group = Path("/sys/fs/cgroup", top, f"dcmdask-test-{os.getpid()}")
        with suppress(OSError):
            group.mkdir()
            if (group / limit).exists():
                (group / limit).write_text(str(700 << 20))
                return group
            group.rmdir()
    return None


def test_where_the_system_is_out_of_memory_it_ends_the_reader(
    heap: Path, little_memory: Path
) -> None:
    """Not the run: the file at fault is a row, and all others are read."""
    (heap / "P1" / "greedy.dcm").write_bytes(instance(77))
    shell = f'echo $$ > {little_memory}/cgroup.procs && exec "$@"'
    command = run_command(heap, heap.parent / "out", "-q", "--workers", 1)
    done = subprocess.run(
        ["sh", "-c", shell, "sh", *map(str, command)],
        env=hooked(heap.parent, _GREEDY),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (0, "") == (done.returncode, done.stderr)
    rows = Catalog(heap.parent / "out").failures.to_pylist()
    words = "the reading process ended with signal 9 while reading it"
    assert [("P1/greedy.dcm", words)] == [
        (row["path"], row["message"]) for row in rows if row["kind"] == "unexpected"
    ]


# -- workers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [["--no-nanny"], ["--nanny"]], ids=["another", "its nanny"])
def test_a_worker_that_is_killed_costs_no_row(
    command, heap: Path, cluster: _Cluster, options: list[str]
) -> None:
    """Its work is done by another, or by the one that its nanny starts; its reader is gone."""
    for _ in range(2 if options == ["--no-nanny"] else 1):
        cluster.add_worker("--nthreads", 1, *options)
    with _running(heap, "--scheduler", cluster.address, "--partition-size", 4) as child:
        parents = processes()
        reader = next(r for w in cluster.workers for r in readers_below(w.pid))
        os.kill(parents[reader][0], signal.SIGKILL)
        assert wait_for(lambda: reader not in processes(), 5)
        assert child.poll() is None
        assert (0, "", []) == _said(child)
    assert _alone(command, heap) == _published(heap.parent / "out")


@pytest.mark.parametrize("cluster", [_POISON], indirect=True)
def test_a_partition_that_keeps_killing_its_worker_is_read_by_the_run(
    command, heap: Path, cluster: _Cluster
) -> None:
    """Where no worker survives it, the reading process of the run itself gives its rows."""
    (heap / "P1" / "poison.dcm").write_bytes(instance(77))
    cluster.add_worker("--nthreads", 1, "--nanny")
    with _running(heap, "--scheduler", cluster.address, "--partition-size", 16, hook="") as child:
        assert (0, "", []) == _said(child)
    assert _alone(command, heap) == _published(heap.parent / "out")
    assert 59 == Catalog(heap.parent / "out").instances.count_rows()


def test_a_worker_that_is_stopped_costs_no_row(command, heap: Path, cluster: _Cluster) -> None:
    """One that answers nothing, as on a host that is out of memory, is not waited for for ever."""
    for _ in range(2):
        cluster.add_worker("--nthreads", 1, "--no-nanny")
    with _running(heap, "--scheduler", cluster.address, "--partition-size", 4) as child:
        os.kill(cluster.workers[0].pid, signal.SIGSTOP)
        assert (0, "", []) == _said(child)
        os.kill(cluster.workers[0].pid, signal.SIGCONT)
    assert _alone(command, heap) == _published(heap.parent / "out")


def test_a_cluster_without_workers_is_not_waited_for_for_ever(
    command, heap: Path, cluster: _Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends with one line that says so."""
    monkeypatch.setattr(computing, "_WORKERLESS", 1)
    cluster.add_worker("--nthreads", 1, "--no-nanny")
    out = heap.parent / "out"
    killer = threading.Thread(
        target=lambda: wait_for(lambda: parts_of(out)) and cluster.workers[0].kill()
    )
    killer.start()
    options = ("--scheduler", cluster.address, "--partition-size", 4, "-q")
    done = command("run", heap, "--out", out, *options)
    killer.join()
    assert (75, "") == (done.code, done.out)
    assert f"the scheduler at {cluster.address} has had no workers for 1 s" in done.line


# -- scheduler -------------------------------------------------------------------------------------


def test_a_scheduler_that_is_killed_ends_the_run_with_one_line(
    heap: Path, cluster: _Cluster
) -> None:
    """Within seconds, with what to do; nothing is published, and no process of the run is left."""
    cluster.add_worker("--nthreads", 1, "--no-nanny")
    with _running(heap, "--scheduler", cluster.address, "--partition-size", 4) as child:
        cluster.scheduler.kill()
        begun = time.monotonic()
        code, out, lines = _said(child)
        assert time.monotonic() - begun < 25
        assert (75, "", 1) == (code, out, len(lines))
        assert f"the scheduler at {cluster.address} is gone" in lines[0]
        assert "run the same command: it goes on where it stopped" in lines[0]
        assert wait_for(lambda: not in_session(child.pid), 5)
    assert not (heap.parent / "out" / "catalog.json").exists()
    # A worker without its scheduler leaves, and so does what reads for it.
    assert wait_for(lambda: not readers_below(cluster.workers[0].pid))


def test_in_python_a_lost_scheduler_is_an_error_and_prints_nothing(
    heap: Path, cluster: _Cluster
) -> None:
    """Neither distributed nor this package prints a traceback of its own."""
    cluster.add_worker("--nthreads", 1, "--no-nanny")
    out = heap.parent / "out"
    script = f"""
import dcmdask, dcmdask.errors
try:
    dcmdask.crawl({str(heap)!r}, {str(out)!r}, scheduler={cluster.address!r}, partition_size=4)
except dcmdask.errors.ClusterError as error:
    print(error)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert wait_for(lambda: parts_of(out))
    cluster.scheduler.kill()
    code, said, lines = _said(child)
    # The package's own warning, as a program that handles none has it printed.
    assert (0, 1) == (code, len(lines))
    assert lines[0].startswith(f"the scheduler at {cluster.address} has no TLS")
    assert said.startswith("the scheduler at ")


def test_a_result_that_does_not_arrive_is_a_lost_scheduler() -> None:
    """The task is done and nothing is wrong with it: it is the connection that is named."""

    class Future:
        status = "finished"

        def result(self, timeout: float) -> None:
            assert timeout
            raise ConnectionError

    with ExitStack() as stack:
        where = computing.Computing(RunOptions(scheduler="tcp://a:1"), lambda _: [], stack)
        partition = Partition(number=0, piece="/m", start=0, stop=1, position=0)
        with pytest.raises(ClusterError, match="the scheduler at tcp://a:1 is gone"):
            list(where._result(Future(), partition))


def test_a_result_whose_worker_died_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The task was done, and there is nobody left to do it again."""

    class Future:
        status = "pending"

        def result(self, timeout: float) -> None:
            raise TimeoutError(timeout)

    class Client:
        status = "closed"

        def scheduler_info(self) -> dict[str, object]:
            return {"workers": {}}

        def map(self, *_work: object, **_options: object) -> list[object]:
            return []

    monkeypatch.setattr(computing, "_WORKERLESS", 0)
    with ExitStack() as stack:
        where = computing.Computing(RunOptions(scheduler="tcp://a:1"), lambda _: [], stack)
        where.use(Client())
        with pytest.raises(ClusterError, match="the scheduler at tcp://a:1 has had no workers"):
            where._fetched(Future())


# -- the run ---------------------------------------------------------------------------------------


def test_a_run_that_is_killed_leaves_the_workers_free(heap: Path, cluster: _Cluster) -> None:
    """Their reading processes end what they are at, and leave; the next run is served."""
    cluster.add_worker("--nthreads", 2, "--nanny")
    with _running(heap, "--scheduler", cluster.address, "--partition-size", 4) as child:
        child.kill()
        child.wait()
        assert wait_for(lambda: not in_session(child.pid), 5)
    assert wait_for(lambda: not readers_below(cluster.workers[0].pid))
    with _running(heap, "--scheduler", cluster.address) as child:
        assert (0, "", []) == _said(child)


def test_a_run_that_is_stopped_for_a_while_blames_no_file(command, heap: Path) -> None:
    """Time that the whole run was stopped for, by Ctrl-Z or a closed lid, is nobody's."""
    with _running(heap, "--read-timeout", 2, "--partition-size", 6) as child:
        os.killpg(child.pid, signal.SIGSTOP)
        time.sleep(5)
        os.killpg(child.pid, signal.SIGCONT)
        assert (0, "", []) == _said(child)
    assert _alone(command, heap) == _published(heap.parent / "out")


@pytest.mark.parametrize(
    "options",
    [(), ("--in-process-below", 0, "--workers", 2)],
    ids=["in process", "local cluster"],
)
@pytest.mark.parametrize("how", ["to its end", "into an error", "killed"])
def test_nothing_of_a_run_is_left(heap: Path, options: tuple[object, ...], how: str) -> None:
    """However it ends: no process within some seconds, and no file in the temporary folder."""
    with _running(heap, "--partition-size", 4, *options) as child:
        if how == "into an error":
            for path in (heap.parent / "out").glob(".dcmdask/*/manifest/*"):
                path.unlink()
        if how == "killed":
            child.kill()
        code, _, lines = _said(child)
        assert {"to its end": 0, "into an error": 1, "killed": -9}[how] == code
        # What multiprocessing says of a parent that was killed, we cannot help.
        assert how == "killed" or len(lines) == code
        assert wait_for(lambda: not in_session(child.pid), 10)
    assert not list((heap.parent / "tmp").glob("dcmdask*"))
