"""Take a partition; have it read by a child process that can be ended, and give its summary.

A read can hang in the kernel, in C code or in a pathological header, where no exception reaches
it. So headers are read in a child that serves one partition after the other; past the deadline it
is killed, the files of its partition become failure rows, and the next partition gets a new one.
It works the same in this process, on a worker with a nanny and on one without.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import threading
from typing import IO, Any

from dcmdask.config import ReadOptions
from dcmdask.errors import ClusterError, DcmdaskError
from dcmdask.types import Kind, Partition, PartitionSummary

_LENGTH = struct.Struct("<Q")
_DEBUG = "DCMDASK_DEBUG"
_PROGRAM = "from dcmdask.supervisor import serve; serve()"
_GRACE = 5.0
_local = threading.local()


class ReaderProcess:
    """A child process that reads partitions one after the other."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def start(self) -> None:
        """Start the child if there is none; it loads while its first partition is being listed."""
        if self._child is not None and self._child.poll() is None:
            return
        paths = [os.path.abspath(path) for path in sys.path]
        errors = None if os.environ.get(_DEBUG) else subprocess.DEVNULL
        self._child = subprocess.Popen(  # noqa: S603 - this very package
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Libraries complain there in words that may quote a patient's name.
            stderr=errors,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        self._answers = queue.SimpleQueue()
        listener = threading.Thread(
            target=_listen, args=(self._child.stdout, self._answers), daemon=True
        )
        listener.start()
        atexit.register(self.stop)

    def read(self, partition: Partition, options: ReadOptions) -> PartitionSummary:
        """Read a partition, for at most the time it may take.

        Raises
        ------
        DcmdaskError
            What the child could not go on without, such as space to write to.
        """
        from dcmdask.worker import give_up

        self.start()
        assert self._child is not None
        assert self._child.stdin is not None
        try:
            _send(self._child.stdin, (partition, options))
            answer = self._answers.get(timeout=options.timeout)
        except queue.Empty:
            self.stop()
            words = f"the task took longer than {options.timeout:g} s"
            return give_up(partition, options, Kind.TIMEOUT, words)
        except OSError:
            answer = None
        if answer is None:
            code = self.stop()
            words = f"the reading process ended with {code}"
            return give_up(partition, options, Kind.UNEXPECTED, words)
        if isinstance(answer, DcmdaskError):
            raise answer
        if isinstance(answer, PartitionSummary):
            return answer
        raise ClusterError(f"the reading process gave a {type(answer).__name__}")

    def stop(self) -> int | None:
        """End the child; give its exit code."""
        child, self._child = self._child, None
        if child is None:
            return None
        atexit.unregister(self.stop)
        code = child.poll()
        child.kill()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            # A child stuck in the kernel dies when the kernel lets it: it is not waited for.
            child.wait(_GRACE)
        return child.returncode if code is None else code


def reader() -> ReaderProcess:
    """Give the reading process of this thread."""
    if not hasattr(_local, "reader"):
        _local.reader = ReaderProcess()
    found: ReaderProcess = _local.reader
    return found


def read_partition(partition: Partition, options: ReadOptions) -> PartitionSummary:
    """Read one partition in this thread's reading process: the body of a Dask task."""
    return reader().read(partition, options)


def serve() -> None:
    """Read partitions until the parent is gone: the child's main function."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, requests, True), daemon=True).start()
    from dcmdask.worker import process_partition

    while (request := requests.get()) is not None:
        partition, options = request
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
    """Pass on what the other side says; None when it is gone."""
    with contextlib.suppress(OSError, ValueError, EOFError):
        while head := stream.read(_LENGTH.size):
            messages.put(pickle.loads(stream.read(_LENGTH.unpack(head)[0])))  # noqa: S301 - our own child
    messages.put(None)
    if leave:
        # The parent is gone: nobody waits for what is being read, and it may never end.
        os._exit(0)
