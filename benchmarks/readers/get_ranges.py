"""Take the keys of objects; get the first bytes of each with one client, so many at a time.

    python get_ranges.py JOB CLIENT IN_FLIGHT

The job is JSON: url, key, secret and bucket of the store, keys of its objects, size of the range, and
whether one request for each that will be in flight comes before the clock starts, so that the
connections are there. Prints as JSON what getting took: seconds, and processor seconds of this process.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

Get = Callable[[str], Awaitable[int]]
"""Gets the range of one object; gives its size."""

Told = tuple[float, float]
"""Seconds and processor seconds."""


def main() -> None:
    """Do what the command line says."""
    place, client, in_flight = sys.argv[1:]
    job = json.loads(Path(place).read_text("utf-8"))
    seconds, cpu = CLIENTS[client](job, int(in_flight))
    package = "s3fs" if client == "s3fs" else "obstore"
    told = {"seconds": seconds, "cpu": cpu, "version": importlib.metadata.version(package)}
    print(json.dumps(told), flush=True)
    # Without the interpreter's own end: two in a hundred processes that ended right after obstore's
    # asynchronous calls were aborted there (PyO3/pyo3-async-runtimes#40).
    os._exit(0)


def by_range(job: dict[str, Any], in_flight: int) -> Told:
    """Get with obstore's `get_range_async`."""
    import obstore

    store, size = _store(job), job["size"]

    async def get(key: str) -> int:
        return len(await obstore.get_range_async(store, key, start=0, end=size))

    return asyncio.run(_timed(get, job, in_flight))


def by_options(job: dict[str, Any], in_flight: int) -> Told:
    """Get with obstore's `get_async`, which also gives size and tag of the object."""
    import obstore

    store, size = _store(job), job["size"]

    async def get(key: str) -> int:
        got = await obstore.get_async(store, key, options={"range": (0, size)})
        assert got.meta["e_tag"]
        return len(await got.bytes_async())

    return asyncio.run(_timed(get, job, in_flight))


def by_range_in_threads(job: dict[str, Any], in_flight: int) -> Told:
    """Get with obstore's `get_range`, a thread for each request in flight."""
    import obstore

    store, size = _store(job), job["size"]
    return _timed_in_threads(
        lambda key: len(obstore.get_range(store, key, start=0, end=size)), job, in_flight
    )


def by_options_in_threads(job: dict[str, Any], in_flight: int) -> Told:
    """Get with obstore's `get`, a thread for each request in flight."""
    import obstore

    store, size = _store(job), job["size"]

    def get(key: str) -> int:
        got = obstore.get(store, key, options={"range": (0, size)})
        assert got.meta["e_tag"]
        return len(got.bytes())

    return _timed_in_threads(get, job, in_flight)


def by_adapter(job: dict[str, Any], in_flight: int) -> Told:
    """Get with the file system of fsspec that obstore has."""
    from obstore.fsspec import FsspecStore

    files = FsspecStore(
        "s3",
        asynchronous=True,
        endpoint=job["url"],
        access_key_id=job["key"],
        secret_access_key=job["secret"],
        region="us-east-1",
        client_options={"allow_http": True},
    )
    bucket, size = job["bucket"], job["size"]

    async def get(key: str) -> int:
        return len(await files._cat_file(f"{bucket}/{key}", 0, size))  # noqa: SLF001 (what fsspec calls)

    return asyncio.run(_timed(get, job, in_flight))


def by_s3fs(job: dict[str, Any], in_flight: int) -> Told:
    """Get with s3fs."""
    from s3fs import S3FileSystem

    bucket, size = job["bucket"], job["size"]

    async def run() -> Told:
        files = S3FileSystem(
            asynchronous=True,
            endpoint_url=job["url"],
            key=job["key"],
            secret=job["secret"],
            # 10 unless told otherwise.
            config_kwargs={"max_pool_connections": in_flight},
        )
        session = await files.set_session()

        async def get(key: str) -> int:
            return len(await files._cat_file(f"{bucket}/{key}", start=0, end=size))  # noqa: SLF001 (what fsspec calls)

        told = await _timed(get, job, in_flight)
        await session.close()
        return told

    return asyncio.run(run())


CLIENTS = {
    "get_range_async": by_range,
    "get_async": by_options,
    "get_range-threads": by_range_in_threads,
    "get-threads": by_options_in_threads,
    "adapter": by_adapter,
    "s3fs": by_s3fs,
}


def _store(job: dict[str, Any]) -> Any:
    from obstore.store import S3Store

    return S3Store(
        job["bucket"],
        endpoint=job["url"],
        access_key_id=job["key"],
        secret_access_key=job["secret"],
        region="us-east-1",
        client_options={"allow_http": True},
    )


async def _timed(get: Get, job: dict[str, Any], in_flight: int) -> Told:
    async def get_some() -> int:
        return sum([await get(key) for key in waiting])

    await asyncio.gather(*map(get, _first_keys(job, in_flight)))
    begun, cpu = time.perf_counter(), time.process_time()
    waiting = iter(job["keys"])
    sizes = await asyncio.gather(*(get_some() for _ in range(in_flight)))
    told = time.perf_counter() - begun, time.process_time() - cpu
    assert sum(sizes)
    return told


def _timed_in_threads(get: Callable[[str], int], job: dict[str, Any], in_flight: int) -> Told:
    with ThreadPoolExecutor(in_flight) as pool:
        list(pool.map(get, _first_keys(job, in_flight)))
        begun, cpu = time.perf_counter(), time.process_time()
        sizes = list(pool.map(get, job["keys"]))
        told = time.perf_counter() - begun, time.process_time() - cpu
    assert sum(sizes)
    return told


def _first_keys(job: dict[str, Any], in_flight: int) -> list[str]:
    """Give the objects that are got before the clock starts."""
    return [job["keys"][number % len(job["keys"])] for number in range(in_flight) if job["warm"]]


if __name__ == "__main__":
    main()
