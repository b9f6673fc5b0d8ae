"""Take a partition; have it read by a child process that can be ended, and give its summary.

A read can hang in the kernel, in C code or in a pathological header, where no exception reaches
it. So headers are read in a child that serves one partition after the other. Parent and child share
two numbers: the row that the child is at, and how often it went on there. Where neither changes for
too long, or where the child dies, `dcmdask.execution.isolation` says what of the partition a new child reads. It
works the same in this process, on a worker with a nanny and on one without.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from dcmdask.config import ReadOptions
from dcmdask.errors import (
    ClusterError,
    DcmdaskError,
    OutputDownError,
    OutputError,
    ReaderError,
    ReaderLostError,
)
from dcmdask.execution.isolation import Loss, Search, Span, Why
from dcmdask.execution.messages import READY, Reading, listen, send
from dcmdask.execution.shared_row import SharedRow
from dcmdask.system import scratch
from dcmdask.types import ELSEWHERE, Kind, Partition, PartitionSummary

_DEBUG = "DCMDASK_DEBUG"
_ENDED = "the run was ended while it read"
_NO_MEMORY = "there is not the memory"
_GRACE = 5.0
_STARTING = 120.0
"""Seconds for a child to load, which are not those of its first partition: on a network share that
may be minutes, and none of its files is to blame."""
_LOOK = 1.0
"""Seconds between looks at where the child is, at most: far less than what a file may take."""
_ATTEMPTS = 5
"""Children that may be lost with no file to blame, one behind the other, before it is this machine.
One may be killed by anybody, and where memory is short for a moment, so are its next ones."""
_PAUSE = 0.05
"""Seconds before the second of them; twice as long before each further one."""
_busy: dict[ReaderProcess, str] = {}
_idle: deque[ReaderProcess] = deque()


@dataclass(frozen=True)
class _Surroundings:
    """What a child takes over from this process when it is started, and keeps as it was then."""

    environment: dict[str, str]
    paths: list[str]
    folder: str
    program: str

    @classmethod
    def of_this_process(cls) -> _Surroundings:
        """Return those of a child that is started now."""
        try:
            folder = os.getcwd()
        except OSError:
            # Removed while we are in it.
            folder = ""
        return cls(dict(os.environ), [*sys.path], folder, ReaderProcess.program)


class _GoneError(Exception):
    """A child that was lost with no file to blame."""


class ReaderProcess:
    """A child process that reads partitions one after the other."""

    program = "from dcmdask.execution.reading_process import serve; serve()"
    """What the child runs."""

    def __init__(self) -> None:
        self._closed = False
        self._starting = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._shared: SharedRow | None = None
        self._ready = False
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._started_in: _Surroundings | None = None
        self._reads_for = ""
        self._hung = 0

    def start(self) -> None:
        """Start the child if there is none; it loads while its first partition is being listed.

        Raises
        ------
        ClusterError
            It has been closed.
        """
        with self._starting:
            if self._closed:
                raise ClusterError(_ENDED)
            if self._child is None or self._child.poll() is not None:
                self.stop()
                self._start()

    def _start(self) -> None:
        self._shared = SharedRow.make()
        self._started_in = _Surroundings.of_this_process()
        self._child = start_python(self.program, self._shared.place, pass_fds=self._shared.handles)
        self._shared.unname()
        self._ready = False
        self._answers = queue.SimpleQueue()
        listener = threading.Thread(target=_attend, args=(self._child, self._answers), daemon=True)
        listener.start()
        atexit.register(self.stop)

    def read(self, partition: Partition, options: ReadOptions) -> list[PartitionSummary]:
        """Read a partition; give its summary, or those of the pieces that it was cut into.

        A file at which the child hangs or dies is recorded, and all others are read.

        Raises
        ------
        DcmdaskError
            What the child could not go on without, such as space to write to.
        """
        if self._reads_for != options.parts:
            # What hung in one crawl says nothing of the files of another.
            self._reads_for, self._hung = options.parts, 0
        search = Search(partition.stop - partition.start, self._hung)
        pieces = []
        while (span := search.next()) is not None:
            answer = self._read_span(partition, options, search, span)
            if isinstance(answer, Loss):
                search.lose(span, answer)
            else:
                search.succeed(span)
                pieces.append(answer)
        self._hung = search.hung
        return pieces

    def _read_span(
        self, partition: Partition, options: ReadOptions, search: Search, span: Span
    ) -> PartitionSummary | Loss:
        begin = partition.start
        part = replace(
            partition,
            start=begin + span.start,
            stop=begin + span.stop,
            position=partition.position + span.start,
        )
        request = Reading(part, options, search.blames(span), span.singly)
        if not search.is_open(span):
            # Not a file is opened: what is lost now is not lost by one.
            return _accepted(self._insist(request, math.inf))
        answer = self._insist(request, search.patience(options.read_timeout), blame=True)
        if isinstance(answer, Loss):
            if partition.beside[1] and answer.row >= part.stop - part.start:
                # What is read beside it is no part of it: the run finds out that it was not read.
                return self._read_span(replace(partition, beside=(0, 0)), options, search, span)
            return replace(answer, row=answer.row + span.start) if answer.row >= 0 else answer
        return _accepted(answer)

    def _insist(self, request: Reading, patience: float, *, blame: bool = False) -> Any:
        """Return the answer to a request, or the loss; ask again where no file can be to blame."""
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE * 2**attempt)
            try:
                answer = self._ask(request, patience)
            except _GoneError as error:
                how = str(error)
                continue
            except Exception as error:
                # What it works with may be gone from one moment to the next.
                raise (ClusterError(_ENDED) if self._closed else error) from error
            if self._closed:
                raise ClusterError(_ENDED)
            if blame or not isinstance(answer, Loss):
                return answer
            how = answer.words
        raise ReaderLostError(how)

    def _ask(self, request: Reading, patience: float) -> Any:
        """Return what the child answers, or how it was lost."""
        self.start()
        assert self._child is not None
        assert self._child.stdin is not None
        assert self._shared is not None
        self._shared.set(ELSEWHERE)
        try:
            if not self._ready:
                self._await_start()
            send(self._child.stdin, request)
            answer = self._await_answer(request.options, patience)
        except OSError:
            answer = None
        except BaseException:
            # An interrupt: the answer to this request must not be taken for that to the next.
            self.stop()
            raise
        if self._closed:
            return None
        if answer is None:
            return self._died()
        if isinstance(answer, ReaderError):
            return self._raised(answer)
        return answer

    def _await_start(self) -> None:
        try:
            first = self._answers.get(timeout=_STARTING)
        except queue.Empty:
            self.stop()
            raise ReaderLostError("it did not start") from None
        if first != READY:
            code = self._code()
            raise _GoneError(f"it ended with {_exit_words(code)} before it read anything")
        self._ready = True

    def _await_answer(self, options: ReadOptions, patience: float) -> Any:
        """Wait for an answer as long as the task may take and something goes on."""
        assert self._shared is not None
        seen, now = self._shared.look(), time.monotonic()
        spent = still = 0.0
        while True:
            left = options.timeout - spent
            try:
                return self._answers.get(timeout=max(0.0, min(left, patience / 8, _LOOK)))
            except queue.Empty:
                before, now = now, time.monotonic()
                # Whoever stops this process for an hour (Ctrl-Z, a lid) stops the child too.
                passed = min(now - before, 2 * _LOOK)
                looks = self._shared.look()
                spent, still = spent + passed, still + passed if looks == seen else 0.0
                seen = looks
                if looks[0] != ELSEWHERE and still >= patience:
                    self.stop()
                    words = f"no progress for {patience:g} s"
                    return Loss(Why.HUNG, Kind.TIMEOUT, words, looks[0])
                if spent >= options.timeout:
                    self.stop()
                    return _late(options, looks[0], still)

    def _died(self) -> Loss:
        assert self._shared is not None
        row, code = self._shared.look()[0], self._code()
        if code == 0 and row == ELSEWHERE:
            raise _GoneError("it left")
        words = f"the reading process ended with {_exit_words(code)}"
        return Loss(Why.DIED, Kind.UNEXPECTED, words, row)

    def _raised(self, error: ReaderError) -> Loss:
        assert self._shared is not None
        row = self._shared.look()[0]
        if not error.no_memory:
            return Loss(Why.RAISED, Kind.UNEXPECTED, str(error), row)
        # What it holds it may hold for good.
        self.stop()
        return Loss(Why.NO_MEMORY, Kind.TOO_LARGE, _NO_MEMORY, row)

    def _code(self) -> int | None:
        """Return the exit code of a child that says nothing any more."""
        if self._child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(_GRACE)
        return self.stop()

    def is_current(self) -> bool:
        """Tell whether a child that was started now would be the same."""
        return self._started_in in (None, _Surroundings.of_this_process())

    def close(self) -> None:
        """End the child for good, also from another thread than the one that waits for it."""
        with self._starting:
            self._closed = True
        self.stop()
        # The pipe may be held open, by a child that the kernel does not let die: whoever waits for
        # an answer must not wait for that.
        self._answers.put(None)

    def stop(self) -> int | None:
        """End the child; give its exit code."""
        child, self._child = self._child, None
        shared, self._shared = self._shared, None
        if shared is not None:
            shared.close()
        if child is None:
            return None
        atexit.unregister(self.stop)
        code = child.poll()
        child.kill()
        # Its other pipe is closed by the listener: closing it here would wait for whoever holds it
        # open, a child that the kernel does not let die or one of its own.
        if child.stdin is not None:
            with contextlib.suppress(OSError):
                child.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            # A child stuck in the kernel dies when the kernel lets it: it is not waited for.
            child.wait(_GRACE)
        # It had no time to remove what it was writing.
        scratch.sweep()
        return child.returncode if code is None else code


def start_python(program: str, *args: str, pass_fds: Iterable[int] = ()) -> subprocess.Popen[bytes]:
    """Start a Python of our own with pipes to it, which imports what this one would.

    It runs nothing of the program that this process is: no main module, whatever multiprocessing's
    start method.
    """
    paths = [os.path.abspath(path) for path in sys.path]
    return subprocess.Popen(  # noqa: S603 - this very package
        # -P: the folder the user happens to be in is no place to import from.
        [sys.executable, "-P", "-c", program, *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Libraries complain there in words that may quote a patient's name.
        stderr=None if os.environ.get(_DEBUG) else subprocess.DEVNULL,
        pass_fds=tuple(pass_fds),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )


def _accepted(answer: Any) -> PartitionSummary:
    if isinstance(answer, DcmdaskError):
        raise answer
    if isinstance(answer, PartitionSummary):
        return answer
    raise ClusterError(f"the reading process answered with {type(answer).__name__}")


def _late(options: ReadOptions, row: int, still: float) -> Loss:
    """Return how a task was lost that took all its time, at a row where it stood still for so long.

    Raises
    ------
    OutputDownError
        It stood where no file is read.
    """
    words = f"the task took longer than {options.timeout:g} s"
    most = still >= options.timeout / 2
    if row == ELSEWHERE and most:
        remedy = "look at its disk, then run the same command: it goes on where it stopped"
        raise OutputDownError(options.parts, f"a task stood still there for {still:.0f} s", remedy)
    return Loss(Why.HUNG if most else Why.LATE, Kind.TIMEOUT, words, row)


def _exit_words(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"code {code}"


@contextlib.contextmanager
def _borrowed(crawl: str) -> Iterator[ReaderProcess]:
    """Give a reading process that no other thread uses; it waits for the next one afterwards."""
    reader = _waiting() or ReaderProcess()
    _busy[reader] = crawl
    try:
        yield reader
    finally:
        # Unless it was stopped.
        if _busy.pop(reader, None) is not None:
            _idle.append(reader)


def _waiting() -> ReaderProcess | None:
    """Return a reading process that waits for work, if any; let go of those from before."""
    with contextlib.suppress(IndexError):
        while not (reader := _idle.pop()).is_current():
            reader.close()
        return reader
    return None


def start_reader() -> None:
    """Start a reading process ahead of its first partition: it loads while sources are listed."""
    # What is in its way shows where it is needed, if there is anything to read at all.
    with contextlib.suppress(OSError, OutputError), _borrowed("") as reader:
        reader.start()


def stop_readers(crawl: str | None = None) -> None:
    """End reading processes.

    Parameters
    ----------
    crawl : str, optional
        The folder of the parts of the one crawl whose reading processes end; other crawls of this
        process go on. Else those that wait for anyone's work end.
    """
    if crawl is not None:
        for reader in [reader for reader, reads_for in [*_busy.items()] if reads_for == crawl]:
            if _busy.pop(reader, None) is not None:
                reader.close()
        return
    with contextlib.suppress(IndexError):
        while True:
            _idle.pop().close()


def read_partition(partition: Partition, options: ReadOptions) -> list[PartitionSummary]:
    """Read one partition in a reading process of its own: the body of a Dask task.

    Returns
    -------
    list of PartitionSummary
        Of the one part that it left, or of several in order where a file in it was at fault.
    """
    with _borrowed(options.parts) as reader:
        return reader.read(partition, options)


def _attend(child: subprocess.Popen[bytes], answers: queue.SimpleQueue[Any]) -> None:
    """Pass on what a child says; when it has ended, let the system forget it."""
    assert child.stdout is not None
    try:
        listen(child.stdout, answers)
    finally:
        with contextlib.suppress(OSError):
            child.stdout.close()
    child.wait()
