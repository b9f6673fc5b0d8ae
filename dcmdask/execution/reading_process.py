"""Read one partition after the other for a run: what the process that `supervisor` starts does."""

from __future__ import annotations

import contextlib
import math
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from dcmdask.errors import DcmdaskError
from dcmdask.execution.messages import READY, Reading, listen, send
from dcmdask.execution.shared_row import SharedRow
from dcmdask.system import scratch
from dcmdask.system.lean import be_lean
from dcmdask.types import PartitionSummary

_IDLE = 10.0
"""Seconds without work after which a child leaves by itself: on a worker nobody says that a crawl
is over. Whoever crawls one folder after the other need not wait for a new one each time, half a second;
once it has left, that is what it costs."""
_UNATTENDED = 30
"""Seconds that a child outlives the time a file may hang when nothing in it gets its turn any more,
as in C code that never lets go: then it also cannot see that its parent is gone."""
_FIRST_VICTIM = "1000"
"""Where the system is out of memory it ends this process and no other: not the one that knows what
to do about it. A bound of its own (RLIMIT_AS, RLIMIT_DATA) hits what never was used: a child that
held 190 MB at its height had reserved 1.6 GB, and under bounds of 1.2 and 1.6 GB Arrow could not
start a thread, numpy not get its buffer, in some runs and not in others."""


def serve() -> None:
    """Read partitions until the parent is gone, or has no work: the child's main function."""
    # They go to all processes of a terminal or a service: the run decides, and ends its readers.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    shared = SharedRow(sys.argv[1])
    shared.unname()
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as bound:
        bound.write(_FIRST_VICTIM)
    be_lean()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen_to_parent, args=(requests,), daemon=True).start()
    from dcmdask.execution.worker import process_partition  # noqa: F401 - all that takes its time

    send(answers, READY)
    with contextlib.suppress(queue.Empty):
        while (request := requests.get(timeout=_IDLE)) is not None:
            with _attended(request.options.read_timeout):
                send(answers, _answer(request, shared))


def _answer(request: Reading, shared: SharedRow) -> PartitionSummary | DcmdaskError:
    from dcmdask.execution import worker
    from dcmdask.source.watch import RowWatch

    try:
        watch = RowWatch(shared.set, request.left_out, request.singly, shared.beat)
        return worker.process_partition(request.partition, request.options, watch)
    except DcmdaskError as error:
        return error


@contextlib.contextmanager
def _attended(seconds: float) -> Iterator[None]:
    """Have the system end this process when none of its threads gets a turn for longer than that."""
    if not hasattr(signal, "alarm"):
        yield
        return
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    over = threading.Event()
    after = math.ceil(min(seconds, 1e6)) + _UNATTENDED

    def attend() -> None:
        while not over.is_set():
            signal.alarm(after)
            over.wait(_UNATTENDED / 3)

    thread = threading.Thread(target=attend, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        signal.alarm(0)


def _listen_to_parent(requests: queue.SimpleQueue[Any]) -> None:
    """Pass on what the parent asks for; when it is gone, end this process."""
    try:
        listen(sys.stdin.buffer, requests)
    finally:
        # Nobody waits for what is being read, and it may never end.
        scratch.discard_all()
        os._exit(0)
