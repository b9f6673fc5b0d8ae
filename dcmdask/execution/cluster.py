"""Take the options of a run; give where its partitions are read: in this process or on a cluster."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from dcmdask._version import __version__
from dcmdask.config import RunOptions
from dcmdask.errors import (
    ClusterError,
    DcmdaskError,
    ReaderLostError,
    SchedulerGoneError,
    UsageError,
)
from dcmdask.remote.credentials import public_url
from dcmdask.remote.options import is_open
from dcmdask.remote.sealing import SEAL
from dcmdask.types import Partition, PartitionSummary

if TYPE_CHECKING:
    from distributed import Client

Read = Callable[[Partition], list[PartitionSummary]]

_TASK = "read-partition"
"""What tasks are called on a dashboard."""
_CONNECT_SECONDS = 15
_BLINK = 1.0
_PATIENCE = 100
_WORKERLESS = 300.0
"""Seconds that a crawl waits for workers where there are none left: a cluster that grows as it is
needed takes a minute or two to bring up another."""
_FETCHING = 5.0
"""Seconds between looks for workers while a result that is there does not arrive."""
_CLOSING = 3.0
"""Seconds for saying goodbye to a scheduler that may not be there any more."""
_AGAIN = "run the same command: it goes on where it stopped"
_CONFIG = {
    # Nothing is sent anywhere, and what workers say of a task never reaches a terminal.
    "distributed.admin.log-format": "%(name)s - %(levelname)s",
    "distributed.comm.timeouts.connect": _CONNECT_SECONDS,
}

_ENCRYPTED = ("tls", "wss", "inproc")
_LOG = logging.getLogger("dcmdask")


def check(options: RunOptions) -> None:
    """Raise `UsageError` where a secret would travel to a scheduler in the clear.

    Storage options are part of every task. Whoever reaches a scheduler without TLS can read them
    there, and whoever sees the network on the way.
    """
    if options.scheduler is None or _is_encrypted(options.scheduler):
        return
    for name, value in options.remote.storage:
        if not is_open(name) or public_url(value) != value:
            of_url = "://" in name or name == SEAL
            said = "a secret in a URL" if of_url else f"--storage-option {name}"
            raise UsageError(
                f"{said} with --scheduler {options.scheduler}, which has no TLS",
                "leave it out and have run and workers find their own credentials (environment, "
                "profile, identity), or use a scheduler at tls://",
            )


def _is_encrypted(address: str) -> bool:
    import dask

    scheme, colon, _ = address.partition("://")
    if not colon:
        scheme = dask.config.get("distributed.comm.default-scheme", "tcp")
    return scheme in _ENCRYPTED


@contextmanager
def connect(options: RunOptions, read: Read, interrupt: Callable[[], None]) -> Iterator[Computing]:
    """Give where a crawl is computed; what is under way there ends with the context.

    Parameters
    ----------
    options : RunOptions
        Where to compute.
    read : callable
        What a task does: gives the summaries of a partition.
    interrupt : callable
        Ends what is being computed in this process, so that nothing waits for it.

    Raises
    ------
    ClusterError
        The address does not answer, or no worker starts.
    """
    with ExitStack() as stack:
        computing = Computing(options, read, stack)
        stack.callback(computing.end, interrupt)
        if options.scheduler is not None:
            computing.use(stack.enter_context(_remote(options.scheduler)))
        yield computing


@contextmanager
def _remote(address: str) -> Iterator[Client]:
    import dask
    from distributed import Client
    from distributed.utils import silence_logging_cmgr

    # Of a connection that is lost it prints the traceback; we say it in one line.
    with dask.config.set(_CONFIG), silence_logging_cmgr(logging.CRITICAL):
        words = f"no Dask scheduler answers at {address}: check the address and the network"
        if not address:
            # Dask would look on its usual port of this machine, where another's may be.
            raise ClusterError(words)
        _check_certificates(address)
        try:
            client = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except Exception as error:
            # Beside what a network raises, whatever unpacking a stranger's answer comes to, or a
            # security setting that is missing: to the user it is one thing.
            if isinstance(error, OSError | TimeoutError):
                # It may be on its way, or gone for a while.
                raise SchedulerGoneError(words) from error
            raise ClusterError(words) from error
        with _closing(client):
            try:
                client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
            except TimeoutError as error:
                words = f"the scheduler at {address} has no workers: start some, then run again"
                raise SchedulerGoneError(words) from error
            if not _is_encrypted(address):
                _LOG.warning(
                    "the scheduler at %s has no TLS: whoever reaches it can run code on its workers "
                    "and read what they read; secure it with certificates (Dask's "
                    "distributed.comm.tls) and name it as tls://",
                    address,
                )
            yield client


def _check_certificates(address: str) -> None:
    import ssl

    from distributed.security import Security

    security = Security()
    if not _is_encrypted(address):
        if security.require_encryption:
            words = f"--scheduler {address}: Dask's configuration requires encryption"
            raise UsageError(words, "name a scheduler at tls://")
        return
    remedy = (
        "set distributed.comm.tls.ca-file, .client.cert and .client.key in Dask's configuration, or "
        "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, __CLIENT__CERT and __CLIENT__KEY"
    )
    try:
        found = security.get_connection_args("client")["ssl_context"]
    except (OSError, ssl.SSLError) as error:
        reason = "no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        words = f"--scheduler {address}: a file that Dask's configuration names cannot be used"
        raise UsageError(f"{words} ({reason})", remedy) from error
    if found is None and not address.startswith("inproc"):
        raise UsageError(f"--scheduler {address}: there are no certificates for it", remedy)


@contextmanager
def _closing(client: Client) -> Iterator[None]:
    try:
        yield
    finally:
        with suppress(TimeoutError):
            client.close(timeout=_CONNECT_SECONDS if client.status == "running" else _CLOSING)


@contextmanager
def _local(workers: int) -> Iterator[Client]:
    import dask
    from distributed import Client
    from distributed.utils import silence_logging_cmgr

    from dcmdask.execution.local_cluster import closed_cluster

    with (
        dask.config.set(_CONFIG),
        silence_logging_cmgr(logging.CRITICAL),
        closed_cluster(workers, dask.config.config) as (address, security),
    ):
        try:
            # Not the one that all else in this process would be computed on.
            client = Client(
                address, security=security, timeout=_CONNECT_SECONDS, set_as_default=False
            )
        except (OSError, TimeoutError) as error:
            words = f"the local Dask cluster does not answer ({type(error).__name__})"
            raise ClusterError(f"{words}: run again, or try --workers 1") from error
        with _closing(client):
            yield client


class Computing:
    """Where partitions are read while more of them are still being listed.

    In threads of this process first: each reads in a process of its own, so that threads are
    enough, and a small crawl pays for no cluster. One that turns out to be large is moved to a
    cluster, as far as it has not begun.

    Parameters
    ----------
    options : RunOptions
        Where to compute, and when to move.
    read : callable
        What a task does: gives the summaries of a partition.
    stack : contextlib.ExitStack
        What ends the things that are started here.
    """

    def __init__(self, options: RunOptions, read: Read, stack: ExitStack) -> None:
        self._options = options
        self._read = read
        self._stack = stack
        self._client: Client | None = None
        self._pool = ThreadPoolExecutor(options.worker_count)
        self._here: dict[Any, Partition] = {}
        self._there: dict[Any, Partition] = {}
        self._heard = time.monotonic()
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def end(self, interrupt: Callable[[], None]) -> None:
        """Begin nothing any more, and end what is under way in this process."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        running = [future for future in self._here if not future.done()]
        interrupt()
        # Whatever was about to begin in that moment is ended too.
        for _ in range(_PATIENCE):
            if not wait(running, timeout=_BLINK / 10).not_done:
                break
            interrupt()

    def use(self, client: Client) -> None:
        """Compute on a cluster from now on, and what has not begun here too."""
        self._client = client
        self._stack.callback(self._cancel, client)
        waiting = [partition for future, partition in self._here.items() if future.cancel()]
        self._here = {future: one for future, one in self._here.items() if not future.cancelled()}
        self._read_there(waiting)

    def submit(self, partitions: Sequence[Partition], weight: int) -> None:
        """Begin with partitions, each a task.

        Parameters
        ----------
        partitions : sequence of Partition
            What to read.
        weight : int
            Files that all partitions so far weigh.
        """
        if not partitions:
            return
        if self._client is None and weight >= self._options.in_process_below:
            self.use(self._stack.enter_context(_local(self._options.worker_count)))
        if self._client is None:
            self._read_here(partitions)
        else:
            self._read_there(partitions)

    def ready(self) -> Iterator[Any]:
        """Yield the items that are there already."""
        with suppress(queue.Empty):
            while True:
                yield from self._items(self._done.get_nowait())

    def rest(self) -> Iterator[Any]:
        """Yield all other items as they come.

        Raises
        ------
        ClusterError
            The scheduler is gone, or all workers are.
        """
        self._heard = time.monotonic()
        while self._here or self._there:
            try:
                # Not for ever at once: on some systems an interrupt does not end a wait.
                future = self._done.get(timeout=_BLINK)
            except queue.Empty:
                if self._there:
                    self._look_for_workers()
                continue
            self._heard = time.monotonic()
            yield from self._items(future)

    def _look_for_workers(self) -> None:
        assert self._client is not None
        if self._client.scheduler_info().get("workers"):
            self._heard = time.monotonic()
        elif time.monotonic() - self._heard > _WORKERLESS:
            words = f"{self._scheduler()} has had no workers for {_WORKERLESS:g} s"
            raise SchedulerGoneError(f"{words}: start some, then {_AGAIN}")

    def _scheduler(self) -> str:
        address = self._options.scheduler
        return "the local Dask cluster" if address is None else f"the scheduler at {address}"

    def _gone(self) -> SchedulerGoneError:
        words = f"{self._scheduler()} is gone: look whether it runs and answers"
        return SchedulerGoneError(f"{words}, then {_AGAIN}")

    def _cancel(self, client: Client) -> None:
        # Of one that is gone nothing is asked, and nothing goes on there for us.
        if client.status == "running":
            with suppress(Exception):
                client.cancel(list(self._there))

    def _read_here(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            future = self._pool.submit(self._read, partition)
            self._here[future] = partition
            future.add_done_callback(self._done.put)

    def _read_there(self, partitions: Sequence[Partition]) -> None:
        assert self._client is not None
        try:
            # Not pure: what a file holds is no matter of its name.
            futures = self._client.map(self._read, partitions, key=_TASK, pure=False)
        except Exception as error:
            # Whatever a client says that has lost its scheduler.
            raise self._gone() from error
        for future, partition in zip(futures, partitions, strict=True):
            self._there[future] = partition
            future.add_done_callback(self._done.put)

    def _items(self, future: Any) -> Iterator[Any]:
        """Yield what a future that is done came to."""
        if self._here.pop(future, None) is not None:
            yield from future.result()
        elif (partition := self._there.pop(future, None)) is not None:
            yield from self._result(future, partition)
            future.release()

    def _fetched(self, future: Any) -> list[PartitionSummary]:
        """Return the result of a task that is done.

        Its worker may have died with it since: then the task is done again, if there is another.
        """
        while True:
            try:
                summaries: list[PartitionSummary] = future.result(timeout=_FETCHING)
            except TimeoutError:
                if future.status == "error":
                    raise
                self._look_for_workers()
            else:
                return summaries

    def _result(self, future: Any, partition: Partition) -> Iterator[PartitionSummary]:
        """Yield what the cluster made of a partition; where that ends its workers, read it here.

        A reading process of our own can be watched as it dies, and the file at fault be found; a
        worker that died with all it had cannot.
        """
        from distributed.scheduler import KilledWorker

        try:
            yield from self._fetched(future)
        except (KilledWorker, ReaderLostError):
            self._read_here([partition])
        except DcmdaskError:
            raise
        except Exception as error:
            if future.status != "error":
                # Nothing is wrong with the task: it was let go of, or what it gave does not arrive.
                raise self._gone() from error
            words = f"a task failed on the cluster ({type(error).__name__})"
            remedy = f"look at its logs, whether dcmdask {__version__} is installed there"
            raise ClusterError(f"{words}: {remedy}; then {_AGAIN}") from error
