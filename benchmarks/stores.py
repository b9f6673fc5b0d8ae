"""Take a folder; give it as a bucket of a real S3 server on this machine, and what a client is told."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# The servers are those of the tests.
sys.path.append(str(Path(__file__).parent.parent / "tests"))

from servers import (  # (found by the line above)
    Count,
    FaultProxy,
    Seaweed,
    Server,
    fill,
    make_bucket,
    put,
    storage_options,
)

__all__ = [
    "BUCKET",
    "RANGE",
    "URL",
    "Count",
    "FaultProxy",
    "Seaweed",
    "Server",
    "fill",
    "fresh_bucket",
    "put",
    "run_options",
    "slowed",
    "write_job",
]

BUCKET = "benchmark"
URL = f"s3://{BUCKET}"

RANGE = 8192
"""Bytes that a bare GET asks for: the window of a crawl."""


@contextmanager
def fresh_bucket() -> Iterator[Seaweed]:
    """Give a server with an empty bucket."""
    with Seaweed() as server:
        make_bucket(server, BUCKET)
        yield server


@contextmanager
def slowed(server: Server, delay: float) -> Iterator[Server]:
    """Give a server behind a proxy that delays each way by so many seconds; itself if by none."""
    if not delay:
        yield server
        return
    with FaultProxy(server, delay=delay) as proxy:
        yield proxy


def run_options(server: Server) -> list[str]:
    """Give what `dcmdask run` must be told of a server."""
    options = storage_options(server).items()
    return [word for name, value in options for word in ("--storage-option", f"{name}={value}")]


def write_job(job: Path, server: Server, keys: Sequence[str], *, warm: bool) -> None:
    """Write what `readers/get_ranges.py` is to get."""
    content = {
        "url": server.url,
        "key": server.key,
        "secret": server.secret,
        "bucket": BUCKET,
        "keys": keys,
        "size": RANGE,
        "warm": warm,
    }
    job.write_text(json.dumps(content), "utf-8")
