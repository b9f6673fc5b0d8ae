"""Take a partition; have it read by a child process that can be ended, and give its summary.

A read can hang in the kernel, in C code or in a pathological header, where no exception reaches
it. So headers are read in a child that serves one partition after the other; past the deadline it
is killed, and a new one reads the partition without the file at which it hung. It works the same
in this process, on a worker with a nanny and on one without.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.abc
import mmap
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO, Any

from dcmdask.config import ReadOptions
from dcmdask.errors import ClusterError, DcmdaskError, ReaderError
from dcmdask.types import Kind, Partition, PartitionSummary

_LENGTH = struct.Struct("<Q")
_ROW = struct.Struct("q")
_NO_ROW = -1
_DEBUG = "DCMDASK_DEBUG"
_ENDED = "the run was ended while it read"
_GRACE = 5.0
_STARTING = 120.0
"""Seconds for a child to load, which are not those of its first partition: on a network share that
may be minutes, and none of its files is to blame."""
_READY = "ready"
_ATTEMPTS = 3
"""Times a partition is read. Where several files hang it is the disk, and waiting for each of them
would take days."""
# What the other side can make of a message by dying in the middle of it, or by saying another.
_UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    MemoryError,
    OverflowError,
    struct.error,
    pickle.UnpicklingError,
)
_readers: set[ReaderProcess] = set()
_idle: deque[ReaderProcess] = deque()


@dataclass(frozen=True, slots=True)
class _Loss:
    """A partition that was not read: why, at which of its rows, and whether it was begun at all."""

    kind: Kind
    words: str
    row: int
    begun: bool


class ReaderProcess:
    """A child process that reads partitions one after the other."""

    program = "from dcmdask.supervisor import serve; serve()"
    """What the child runs."""

    def __init__(self) -> None:
        self._closed = False
        self._starting = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._row: _SharedRow | None = None
        self._ready = False
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

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
        paths = [os.path.abspath(path) for path in sys.path]
        errors = None if os.environ.get(_DEBUG) else subprocess.DEVNULL
        handle, place = tempfile.mkstemp(prefix="dcmdask-row-")
        os.close(handle)
        self._row = _SharedRow(place)
        self._child = subprocess.Popen(  # noqa: S603 - this very package
            # -P: the folder the user happens to be in is no place to import from.
            [sys.executable, "-P", "-c", self.program, place],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Libraries complain there in words that may quote a patient's name.
            stderr=errors,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        self._ready = False
        self._answers = queue.SimpleQueue()
        listener = threading.Thread(
            target=_listen, args=(self._child.stdout, self._answers), daemon=True
        )
        listener.start()
        atexit.register(self.stop)

    def read(self, partition: Partition, options: ReadOptions) -> PartitionSummary:
        """Read a partition, for at most the time it may take.

        A file at which the child hangs or dies is left out, and the rest read again.

        Raises
        ------
        DcmdaskError
            What the child could not go on without, such as space to write to.
        """
        left_out: dict[int, tuple[Kind, str]] = {}
        singly = False
        while True:
            try:
                answer = self._ask((partition, options, left_out, singly), options.timeout)
            except Exception as error:
                # What it works with may be gone from one moment to the next.
                raise (ClusterError(_ENDED) if self._closed else error) from error
            if self._closed:
                raise ClusterError(_ENDED)
            if not isinstance(answer, _Loss):
                return _accepted(answer)
            if answer.row == _NO_ROW and answer.begun and not singly:
                # Headers of many files were being scanned at once: one by one, it will show whose.
                singly = True
                continue
            if answer.row == _NO_ROW or len(left_out) + 1 == _ATTEMPTS:
                from dcmdask.worker import give_up

                return give_up(partition, options, answer.kind, answer.words)
            left_out[answer.row] = (answer.kind, f"{answer.words} while reading it")

    def _ask(self, request: tuple[Any, ...], seconds: float) -> Any:
        """Give what the child answers, or how it was lost."""
        self.start()
        assert self._child is not None
        assert self._child.stdin is not None
        assert self._row is not None
        row = self._row
        row.set(_NO_ROW)
        try:
            if not self._ready:
                self._ready = self._answers.get(timeout=_STARTING) == _READY
            answer = None
            if self._ready:
                _send(self._child.stdin, request)
                answer = self._answers.get(timeout=min(seconds, threading.TIMEOUT_MAX))
        except queue.Empty:
            if not self._ready:
                self.stop()
                words = "the reading process did not start"
                return _Loss(Kind.UNEXPECTED, words, _NO_ROW, begun=False)
            at = row.get()
            self.stop()
            return _Loss(Kind.TIMEOUT, f"the task took longer than {seconds:g} s", at, begun=True)
        except OSError:
            answer = None
        except BaseException:
            # An interrupt: the answer to this request must not be taken for that to the next.
            self.stop()
            raise
        if self._closed:
            return None
        if answer is None:
            at = row.get()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(_GRACE)
            words = f"the reading process ended with {_exit_words(self.stop())}"
            return _Loss(Kind.UNEXPECTED, words, at, begun=self._ready)
        if isinstance(answer, ReaderError):
            return _Loss(Kind.UNEXPECTED, str(answer), row.get(), begun=True)
        return answer

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
        row, self._row = self._row, None
        if row is not None:
            row.close()
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
        return child.returncode if code is None else code


def _accepted(answer: Any) -> PartitionSummary:
    if isinstance(answer, DcmdaskError):
        raise answer
    if isinstance(answer, PartitionSummary):
        return answer
    raise ClusterError(f"the reading process answered with {type(answer).__name__}")


class _SharedRow:
    """The row that the child is at: a number in memory that both processes see.

    No message: the child may be in no state to send one, and one a file would cost more than
    reading some of them.

    Parameters
    ----------
    place : str
        A file to name the memory by; gone as soon as both have it.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        with open(place, "r+b") as file:
            file.write(_ROW.pack(_NO_ROW))
            file.flush()
            self._memory = mmap.mmap(file.fileno(), _ROW.size)
        self._view = memoryview(self._memory).cast("q")
        # Called before every file that is opened: a tenth of what a function of Python would cost.
        self.set = partial(self._view.__setitem__, 0)

    def get(self) -> int:
        return self._view[0]

    def unname(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._place)

    def close(self) -> None:
        del self.set
        self._view.release()
        self._memory.close()
        self.unname()


def _exit_words(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"code {code}"


@contextlib.contextmanager
def _borrowed() -> Iterator[ReaderProcess]:
    """Give a reading process that no other thread uses; it waits for the next one afterwards."""
    try:
        reader = _idle.pop()
    except IndexError:
        reader = ReaderProcess()
        _readers.add(reader)
    try:
        yield reader
    finally:
        if reader in _readers:
            _idle.append(reader)


def start_reader() -> None:
    """Start a reading process ahead of its first partition: it loads while sources are listed."""
    # What is in its way shows where it is needed, if there is anything to read at all.
    with contextlib.suppress(OSError), _borrowed() as reader:
        reader.start()


def stop_readers() -> None:
    """End all reading processes of this process, whatever they read."""
    _idle.clear()
    while _readers:
        _readers.pop().close()


def read_partition(partition: Partition, options: ReadOptions) -> PartitionSummary:
    """Read one partition in a reading process of its own: the body of a Dask task."""
    with _borrowed() as reader:
        return reader.read(partition, options)


class _WithoutPandas(importlib.abc.MetaPathFinder):
    """Finds that there is no pandas."""

    def find_spec(self, name: str, *_where: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def do_without_pandas() -> None:
    """Keep Arrow from loading pandas in a process of our own, in which nothing needs it.

    Arrow looks for it with the first array it makes: a fifth of a second, and forty megabytes.
    """
    if not any(isinstance(finder, _WithoutPandas) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WithoutPandas())


def serve() -> None:
    """Read partitions until the parent is gone: the child's main function."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # First of all: the parent may be gone at any moment, and the file would stay.
    row = _SharedRow(sys.argv[1])
    row.unname()
    do_without_pandas()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, requests, True), daemon=True).start()
    from dcmdask.source.fetch import Fetcher, RowWatch
    from dcmdask.worker import process_partition

    _send(answers, _READY)
    while (request := requests.get()) is not None:
        partition, options, left_out, singly = request
        Fetcher.watch = RowWatch(row.set, left_out, singly)
        answer: PartitionSummary | DcmdaskError
        try:
            answer = process_partition(partition, options)
        except DcmdaskError as error:
            answer = error
        _send(answers, answer)


def _send(stream: IO[bytes], message: Any) -> None:
    body = pickle.dumps(message)
    stream.write(_LENGTH.pack(len(body)) + body)
    stream.flush()


def _listen(stream: IO[bytes], messages: queue.SimpleQueue[Any], leave: bool = False) -> None:
    """Pass on what the other side says; None when it is gone, be it in the middle of a word."""
    try:
        while head := stream.read(_LENGTH.size):
            messages.put(pickle.loads(stream.read(_LENGTH.unpack(head)[0])))  # noqa: S301 - our own child
    except _UNREADABLE:
        pass
    finally:
        messages.put(None)
        if leave:
            # The parent is gone: nobody waits for what is being read, and it may never end.
            os._exit(0)
        with contextlib.suppress(OSError):
            stream.close()
