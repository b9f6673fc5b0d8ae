"""Hosts that lose each other: a scheduler, two workers and a run, each in a network of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from running import (
    COMPARED,
    SLOW,
    address_at,
    hooked,
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
from source.making import instance

# The least that Dask takes: a peer that does not answer for so long is gone.
_TCP = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s"}
_HOSTS = 4


class Hosts:
    """Hosts 10.78.0.10 and on, each a network namespace with a link to the same switch."""

    def __init__(self, stack: ExitStack) -> None:
        self._switch = f"dcmdask-{os.getpid()}-sw"
        self._names = [f"dcmdask-{os.getpid()}-h{number}" for number in range(_HOSTS)]
        for name in (self._switch, *self._names):
            _ip("netns", "add", name)
            stack.callback(_ip, "netns", "del", name)
        at = ("-n", self._switch, "link")
        _ip(*at, "add", "br0", "type", "bridge")
        _ip(*at, "set", "br0", "up")
        for number, name in enumerate(self._names):
            ends = ("eth0", "netns", name, "type", "veth", "peer", "name", f"p{number}")
            _ip("link", "add", *ends, "netns", self._switch)
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip(*at, "set", f"p{number}", "master", "br0", "up")

    def address(self, number: int) -> str:
        """Give the address of a host."""
        return f"10.78.0.{10 + number}"

    def on(self, number: int, command: list[object]) -> list[object]:
        """Give a command that runs on a host."""
        return ["ip", "netns", "exec", self._names[number], *command]

    def link(self, number: int, state: str) -> None:
        """Cut the link of a host, or mend it: ``down`` or ``up``."""
        _ip("-n", self._switch, "link", "set", f"p{number}", state)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    """Give four hosts; skip where none can be made."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need Linux, root and iproute2")
    with ExitStack() as stack:
        try:
            yield Hosts(stack)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces can be made here: {error.stderr.decode().strip()}")


class Cluster:
    """A scheduler on the first host and a worker on each of the next two."""

    def __init__(self, hosts: Hosts, folder: Path, stack: ExitStack) -> None:
        self.hosts = hosts
        self._folder = folder
        self._stack = stack
        place = folder / "scheduler.json"
        self._start(0, scheduler_command(place, hosts.address(0)))
        self.address = address_at(place)
        self.workers = [
            self._start(number, worker_command(self.address, "--nthreads", 1, "--no-nanny"))
            for number in (1, 2)
        ]

    def _start(self, host: int, command: list[object]) -> subprocess.Popen[bytes]:
        log = self._folder / f"{host}.log"
        env = {**hooked(self._folder, SLOW), **_TCP}
        child = started(self.hosts.on(host, command), log, env=env, start_new_session=True)
        process = self._stack.enter_context(child)
        self._stack.callback(kill_session, process.pid)
        return process

    def run(self, source: Path, out: Path, *options: object) -> subprocess.Popen[str]:
        """Start a run on the last host."""
        command = run_command(source, out, "-q", "--scheduler", self.address, *options)
        child = subprocess.Popen(
            [str(word) for word in self.hosts.on(3, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **_TCP},
        )
        self._stack.callback(_end, child)
        return child


def _end(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.communicate()


@pytest.fixture
def cluster(hosts: Hosts, tmp_path: Path) -> Iterator[Cluster]:
    """Give a cluster on these hosts, with all links mended."""
    (tmp_path / "cluster").mkdir()
    with ExitStack() as stack:
        yield Cluster(hosts, tmp_path / "cluster", stack)
        for number in range(_HOSTS):
            with suppress(subprocess.CalledProcessError):
                hosts.link(number, "up")


@pytest.fixture
def heap(tmp_path: Path) -> Path:
    """Give 60 files."""
    for number in range(60):
        path = tmp_path / "in" / "P1" / f"{number:02}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(instance(number)[: 200 if number == 7 else None])
    return tmp_path / "in"


def test_a_worker_that_is_cut_off_costs_no_row(
    command, heap: Path, cluster: Cluster, tmp_path: Path
) -> None:
    """The other does its work, and when the link is back nothing that it did counts twice."""
    child = cluster.run(heap, tmp_path / "out", "--partition-size", 3)
    assert wait_for(lambda: parts_of(tmp_path / "out") > 2)
    cluster.hosts.link(2, "down")
    out, err = child.communicate(timeout=60)
    assert (0, "", []) == (child.returncode, out, other_lines(err))
    assert 0 == command("run", heap, "--out", tmp_path / "alone", "-q").code
    for name in COMPARED:
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    # What reads for a worker that is cut off ends too.
    assert wait_for(lambda: not readers_below(cluster.workers[1].pid))


def test_a_run_that_is_cut_off_ends_with_one_line(
    heap: Path, cluster: Cluster, tmp_path: Path
) -> None:
    """Nothing is published; the workers let go of its tasks, and the same command goes on."""
    child = cluster.run(heap, tmp_path / "out", "--partition-size", 3)
    assert wait_for(lambda: parts_of(tmp_path / "out") > 2)
    cluster.hosts.link(3, "down")
    begun = time.monotonic()
    out, err = child.communicate(timeout=60)
    assert time.monotonic() - begun < 30
    assert (75, "", 1) == (child.returncode, out, len(other_lines(err)))
    assert f"the scheduler at {cluster.address} is gone" in err
    assert not (tmp_path / "out" / "catalog.json").exists()
    cluster.hosts.link(3, "up")
    assert all(worker.pid in processes() for worker in cluster.workers)
    child = cluster.run(heap, tmp_path / "out")
    out, err = child.communicate(timeout=60)
    assert (0, "", []) == (child.returncode, out, other_lines(err))
