"""Clients of S3 against each other: ranged GETs of 8 KiB, direct and over a slow way.

    python benchmarks/store_clients.py
    python benchmarks/store_clients.py --clients get_async s3fs --in-flight 256

Objects are CT slices of 12 kB in a SeaweedFS on this machine, behind a proxy that delays each way by
10 ms for the slow way. Each client is a process of its own that gets the same keys; its start does
not count. The server has its share of the same cores: processor time of the client alone stands
beside the requests a second.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import corpora
import stores
from jobs import READERS
from timing import machine

CLIENTS = {
    "get_range_async": "obstore, get_range_async",
    "get_async": "obstore, get_async with a range",
    "get_range-threads": "obstore, get_range in threads",
    "get-threads": "obstore, get with a range in threads",
    "adapter": "obstore.fsspec, _cat_file",
    "s3fs": "s3fs, _cat_file",
}

ONE_WAY = 0.01
"""Seconds of the slow way."""

_SECONDS = 2
"""That a round of the slow way takes at least, by which its number of requests is chosen."""


def main() -> None:
    """Fill the store, run the clients in turn, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=5_000, help="default 5,000")
    corpora.add_folder(parser)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 32, 256])
    parser.add_argument("--clients", nargs="+", choices=CLIENTS, default=list(CLIENTS))
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=arguments.folder, prefix="dcmdask-benchmark-") as folder,
        stores.fresh_bucket() as server,
        stores.FaultProxy(server, delay=ONE_WAY) as proxy,
    ):
        corpus = corpora.write_plain(Path(folder) / "files", arguments.files)
        keys = stores.fill(server, stores.BUCKET, corpus.folder)
        cells = []
        for in_flight in arguments.in_flight:
            some = keys[: in_flight * int(_SECONDS / (2 * ONE_WAY))]
            for way, to, chosen in (("direct", server, keys), ("20 ms", proxy, some)):
                job = Path(folder) / "job.json"
                stores.write_job(job, to, chosen, warm=True)
                told = _run_in_turn(job, arguments.clients, in_flight, arguments.rounds)
                cells.append((f"{way}, {in_flight}", len(chosen), told))
    print(f"{machine()}; {corpus}; median of {arguments.rounds}:\n")
    _tell(arguments.clients, cells)


def _run_in_turn(
    job: Path, clients: list[str], in_flight: int, rounds: int
) -> dict[str, list[dict[str, Any]]]:
    """Give what each client tells of its rounds."""
    told: dict[str, list[dict[str, Any]]] = {client: [] for client in clients}
    for _ in range(rounds):
        for client in clients:
            command = [sys.executable, READERS / "get_ranges.py", job, client, str(in_flight)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{client} failed:\n{done.stderr[-2000:]}")
            told[client].append(json.loads(done.stdout.splitlines()[-1]))
    return told


def _tell(
    clients: list[str], cells: list[tuple[str, int, dict[str, list[dict[str, Any]]]]]
) -> None:
    """Print a table: a line a client, a column a way and number in flight."""
    print(f"| requests/s (µs of the client's processor each) | {' | '.join(c[0] for c in cells)} |")
    print("|---" * (len(cells) + 1) + "|")
    for client in clients:
        version = cells[0][2][client][0]["version"]
        package, _, call = CLIENTS[client].partition(",")
        words = [f"{package} {version},{call}"]
        for _, requests, told in cells:
            seconds = statistics.median(one["seconds"] for one in told[client])
            cpu = statistics.median(one["cpu"] for one in told[client])
            words.append(f"{requests / seconds:,.0f} ({cpu / requests * 1e6:,.0f})")
        print(f"| {' | '.join(words)} |")


if __name__ == "__main__":
    main()
