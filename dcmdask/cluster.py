"""Take the options of a run; give a Dask client, or none where this process does as well."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from dcmdask.config import RunOptions
from dcmdask.errors import ClusterError, DcmdaskError

if TYPE_CHECKING:
    from dask.bag import Bag
    from distributed import Client

_CONNECT_SECONDS = 15
_CONFIG = {
    # Nothing is sent anywhere, and what workers say of a task never reaches a terminal.
    "distributed.admin.log-format": "%(name)s - %(levelname)s",
    "distributed.scheduler.allowed-failures": 10,
    "distributed.comm.timeouts.connect": _CONNECT_SECONDS,
}


@contextmanager
def connect(options: RunOptions, weight: int) -> Iterator[Client | None]:
    """Give a client for a crawl of some weight.

    Parameters
    ----------
    options : RunOptions
        Where to compute.
    weight : int
        Files that the partitions weigh.

    Yields
    ------
    distributed.Client or None
        None: compute in this process.

    Raises
    ------
    ClusterError
        The address does not answer, or no worker starts.
    """
    if options.scheduler is not None:
        with _remote(options.scheduler) as client:
            yield client
    elif weight < options.in_process_below:
        yield None
    else:
        with _local(options.worker_count) as client:
            yield client


@contextmanager
def _remote(address: str) -> Iterator[Client]:
    import dask
    from distributed import Client

    with dask.config.set(_CONFIG):
        try:
            client = Client(address, timeout=_CONNECT_SECONDS)
        except Exception as error:
            # Beside what a network raises, whatever unpacking a stranger's answer comes to, or a
            # security setting that is missing: to the user it is one thing.
            words = f"no Dask scheduler answers at {address}: check the address and the network"
            raise ClusterError(words) from error
        with client:
            try:
                client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
            except TimeoutError as error:
                words = f"the scheduler at {address} has no workers: start some, then run again"
                raise ClusterError(words) from error
            yield client


@contextmanager
def _local(workers: int) -> Iterator[Client]:
    import dask
    from distributed import Client, LocalCluster

    with dask.config.set(_CONFIG):
        try:
            with _interrupts_are_ours():
                cluster = LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    # Any port: the usual one may be another crawl's, and Dask warns of that.
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.CRITICAL,
                )
        except (OSError, RuntimeError, TimeoutError) as error:
            words = f"no local Dask cluster could be started ({type(error).__name__})"
            raise ClusterError(f"{words}: try --workers 1") from error
        with cluster, Client(cluster) as client:
            yield client


@contextmanager
def _interrupts_are_ours() -> Iterator[None]:
    """Start processes that an interrupt at the terminal does not reach.

    It goes to the whole process group, and workers would each print what it did to them. Threads
    and processes that begin here have it blocked for good; this thread gets it when all is started.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # It would be started with the first worker, and lets interrupts through again once it runs.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def results(bag: Bag, client: Client | None, threads: int) -> Iterator[Any]:
    """Compute a bag of one item a partition; give the items as they come.

    Parameters
    ----------
    bag : dask.bag.Bag
        One partition an item.
    client : distributed.Client or None
        None: in so many threads of this process. Each has a process of its own to read in, so that
        threads are enough.
    threads : int
        Tasks at once without a client.

    Raises
    ------
    ClusterError
        A task died with its worker too often, or the scheduler is gone.
    """
    delayed = bag.to_delayed(optimize_graph=False)
    if client is None:
        yield from _results_here(delayed, min(threads, len(delayed)))
        return
    from distributed import as_completed

    futures = client.compute(delayed, optimize_graph=False)
    waiting = as_completed(futures)
    del delayed
    try:
        for future in waiting:
            try:
                yield from future.result()
            except DcmdaskError:
                raise
            except Exception as error:
                words = f"a task was lost with its worker ({type(error).__name__})"
                raise ClusterError(
                    f"{words}: look at the cluster's logs, then run again"
                ) from error
            future.release()
    finally:
        client.cancel(futures)


def _results_here(delayed: list[Any], threads: int) -> Iterator[Any]:
    from concurrent.futures import ThreadPoolExecutor, as_completed

    def compute(one: Any) -> Any:
        return one.compute(scheduler="synchronous")

    pool = ThreadPoolExecutor(threads)
    try:
        for future in as_completed([pool.submit(compute, one) for one in delayed]):
            yield from future.result()
    finally:
        # After an error or an interrupt nothing is begun, and nothing waited for: whoever called
        # ends the processes that still read.
        pool.shutdown(wait=False, cancel_futures=True)
