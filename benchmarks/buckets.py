"""`dcmdask run` over a bucket of loose files against bare ranged GETs of the same objects.

    python benchmarks/buckets.py                       # 10,000 objects; 2,500 over the slow way
    python benchmarks/buckets.py --ways slow --files 20000

The bucket is in a SeaweedFS on this machine, which has its share of the same cores. The other side
gets the first 8 KiB of each object with the quickest client of `store_clients.py`, as many at a time
as ours, and does nothing with them; it need not list. Both are whole commands, from the start of the
interpreter to its end. Objects of `plain` are 12 kB; for the 530 kB of one of `ge` the server itself
takes twice as long, which leaves less to compare. The slow way leads through a proxy that delays each way by 10 ms.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import corpora
import ours
import result_tables
import stores
from jobs import READERS
from store_clients import ONE_WAY
from timing import Side, time_in_turn

WAYS = {"direct": 1, "slow": 4}
"""Each has so many times fewer files."""

TARGET = 0.7
"""Instances a second of ours against bare GETs: at least."""

CLIENT = "get_range-threads"
"""In `readers/get_ranges.py`."""


def main() -> None:
    """Fill the bucket, run both sides in turn over each way, print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    corpora.add_options(parser, files=10_000, kinds=("plain", "ge"))
    result_tables.add_options(parser)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--workers", type=int, default=1, help="of ours; default 1")
    parser.add_argument("--requests", type=int, default=256, help="in flight; default 256")
    arguments = parser.parse_args()
    for way in arguments.ways:
        with tempfile.TemporaryDirectory(
            dir=arguments.folder, prefix="dcmdask-benchmark-"
        ) as folder:
            _measure(way, Path(folder), arguments)


def _measure(way: str, base: Path, arguments: argparse.Namespace) -> None:
    """Measure both sides over one way."""
    files = max(1, arguments.files // WAYS[way])
    delay = ONE_WAY if way == "slow" else 0
    corpus = corpora.write_corpus(arguments, base / "files", files)
    with stores.fresh_bucket() as server, stores.slowed(server, delay) as near:
        keys = stores.fill(server, stores.BUCKET, corpus.folder)
        stores.write_job(base / "job.json", near, keys, warm=False)
        many = str(arguments.requests)
        options = [*stores.run_options(near), "--requests", many]
        us = ours.crawl_url(stores.URL, base, arguments.workers, *options)
        command = [sys.executable, str(READERS / "get_ranges.py"), str(base / "job.json")]
        bare = Side(f"bare GETs, obstore, {many} in flight", lambda _: [*command, CLIENT, many])
        measured = time_in_turn((us, bare), arguments.rounds, len(keys))
    where = f"{corpus}, as objects" + (f", {delay * 1e3:.0f} ms each way" if delay else "")
    kind = f"{corpus.kind}, {way}"
    result_tables.tell(result_tables.Outcome("buckets", where, kind, measured, us.name), arguments)
    ratio = result_tables.per_file(measured[1]) / result_tables.per_file(measured[0])
    word = "reached" if ratio >= TARGET else "missed"
    print(f"\ninstances/s against bare GETs: {ratio:.2f} x (target: at least {TARGET} x, {word})")
    ours.check(ours.out_of(base, arguments.workers, 0), len(keys))


if __name__ == "__main__":
    main()
