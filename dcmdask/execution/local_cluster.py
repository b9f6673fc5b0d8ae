"""A Dask cluster of this machine that nobody else can use, in a process of its own.

Scheduler and workers listen on loopback, where every user of the machine can connect. So they talk
TLS with a key made for this run, which is nowhere but in the memory of its processes, and turn away
whoever does not have it. Nothing else listens: no dashboard, and none of the web servers that Dask
starts even without one.

A Python of our own starts them, not the process that crawls: in each worker multiprocessing would run
the main module of that one again, which may be a script that crawls.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Any

import dask
from distributed import Nanny, Scheduler, SpecCluster, Worker
from distributed.security import Security

from dcmdask.errors import ClusterError
from dcmdask.execution.supervisor import start_python
from dcmdask.system import scratch

PROGRAM = "from dcmdask.execution.local_cluster import serve; serve()"

_HOST = "127.0.0.1"
_STARTING = 300.0
"""Seconds for all workers to be there: on a network share, each loads its modules from there."""
_ENDING = 20.0
_CLOSING = 5.0
_LOOK = 1.0


class _WithoutWeb:
    """A server of Dask without a web server beside it."""

    def start_http_server(self, *_where: Any, **_how: Any) -> None:
        """Listen nowhere."""


class ClosedScheduler(_WithoutWeb, Scheduler):
    """A scheduler that listens on its own port only."""


class ClosedWorker(_WithoutWeb, Worker):
    """A worker that listens on its own port only."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the process is to start."""

    workers: int
    config: str
    security: Security = field(repr=False)


@contextmanager
def closed_cluster(workers: int, config: dict[str, Any]) -> Iterator[tuple[str, Security]]:
    """Start a cluster; return its address, and what a client needs to be let in.

    Parameters
    ----------
    workers : int
        Worker processes, of one thread each.
    config : dict
        Settings of Dask.

    Raises
    ------
    ClusterError
        It did not start.
    """
    security = Security.temporary()
    try:
        settings = json.dumps(config)
    except (TypeError, ValueError):
        # What a program has put there may be of any kind, and mean nothing in another process.
        settings = "{}"
    wanted = _Wanted(workers, settings, security)
    child = start_python(PROGRAM)
    try:
        yield _address_of(child, wanted), security
    finally:
        _end(child)


def _address_of(child: subprocess.Popen[bytes], wanted: _Wanted) -> str:
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(child.stdout, answers), daemon=True).start()
    assert child.stdin is not None
    with suppress(OSError):
        pickle.dump(wanted, child.stdin)
        child.stdin.flush()
    deadline = time.monotonic() + _STARTING
    while time.monotonic() < deadline:
        # Not for ever at once: on some systems an interrupt does not end a wait.
        with suppress(queue.Empty):
            answer = answers.get(timeout=_LOOK)
            if isinstance(answer, str):
                return answer
            break
    raise ClusterError("no local Dask cluster could be started: try --workers 1 (workers=1)")


def _listen(stream: IO[bytes], answers: queue.SimpleQueue[Any]) -> None:
    try:
        answers.put(pickle.load(stream))  # noqa: S301 - our own child
    except (OSError, ValueError, EOFError, pickle.UnpicklingError):
        answers.put(None)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Have the process end its workers, and itself."""
    assert child.stdin is not None
    assert child.stdout is not None
    with suppress(OSError):
        # A word, as a process that this one has forked may hold the pipe open.
        child.stdin.write(b".")
        child.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        child.wait(_ENDING)
    child.kill()
    child.wait()
    child.stdout.close()
    # Where it was killed.
    scratch.sweep()


# -- in the process ----------------------------------------------------------------------------------


def serve() -> None:
    """Run a cluster until the parent has had enough, or is gone: the child's main function."""
    _leave_signals_to_the_run()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    wanted: _Wanted = pickle.load(sys.stdin.buffer)  # noqa: S301 - our own parent
    with scratch.folder() as own:
        # For whatever Dask and its workers write: all goes with this folder.
        tempfile.tempdir = str(own)
        for name in ("TMPDIR", "TEMP", "TMP"):
            os.environ[name] = str(own)
        dask.config.update(dask.config.config, json.loads(wanted.config), priority="new")
        try:
            cluster = _start(wanted, str(own))
        except Exception:
            logging.getLogger(__name__).exception("no cluster")
            return
        with cluster, suppress(OSError):
            pickle.dump(cluster.scheduler_address, answers)
            answers.flush()
            sys.stdin.buffer.read(1)
            _end_in_any_case()
            cluster.close(timeout=_CLOSING)


def _end_in_any_case() -> None:
    def end() -> None:
        scratch.discard_all()
        os._exit(1)

    timer = threading.Timer(_ENDING, end)
    timer.daemon = True
    timer.start()


def _leave_signals_to_the_run() -> None:
    """Do not end by what goes to all processes of a terminal or a service: the run ends this one.

    What is blocked is so in the workers too, which would print what it did to them.
    """
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    # Not ignored, nor blocked: it is how a worker that takes too much memory is ended.
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)


def _start(wanted: _Wanted, folder: str) -> SpecCluster:
    own = {"host": _HOST, "protocol": "tls://", "security": wanted.security, "dashboard": False}
    worker = {
        "worker_class": ClosedWorker,
        "nthreads": 1,
        "local_directory": folder,
        "memory_limit": 1 / wanted.workers,
        "silence_logs": logging.CRITICAL,
    }
    return SpecCluster(
        scheduler={"cls": ClosedScheduler, "options": {**own, "port": 0}},
        workers={
            number: {"cls": Nanny, "options": {**own, **worker}} for number in range(wanted.workers)
        },
        security=wanted.security,
        silence_logs=logging.CRITICAL,
    )
