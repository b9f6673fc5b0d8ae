"""`dcmdask run` over a bucket of zips: requests and bytes a member, counted by a proxy on the way.

    python benchmarks/bucket_zips.py
    python benchmarks/bucket_zips.py --gaps 0 65536 262144 1048576 --one-way-ms 10

Members are deflated CT slices: some of 200 kB and more, of which as few bytes as possible are to be
fetched, and some of 32 kB and less, where requests count. Two neighbouring ranges that lie closer
than `--join-gap` are fetched by one request: `--gaps` tries some values of it beside the one that a
run takes by itself. The server is a SeaweedFS on this machine.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import corpora
import ours
import result_tables
import stores
from timing import Measured, Side, Traffic, time_in_turn

WORKERS = 1

SIZES = {"large": corpora.LARGE_MATRIX, "small": corpora.SMALL_MATRIX}
"""Of members: the matrix of their slices."""

MOST_BYTES = 0.05
"""Of the bytes stored, fetched from zips of large members."""

MOST_REQUESTS = {"large": 1.1, "small": 0.2}
"""A member, but for those that list."""


def main() -> None:
    """Fill the bucket with zips of each size, run over them, print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=2_000, help="members; default 2,000")
    corpora.add_folder(parser)
    result_tables.add_options(parser)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--gaps", type=int, nargs="*", default=[], help="in bytes")
    parser.add_argument("--one-way-ms", type=float, default=0, help="delay each way; default 0")
    arguments = parser.parse_args()
    for size in arguments.sizes:
        with tempfile.TemporaryDirectory(
            dir=arguments.folder, prefix="dcmdask-benchmark-"
        ) as folder:
            _measure(size, Path(folder), arguments)


def _measure(size: str, base: Path, arguments: argparse.Namespace) -> None:
    """Measure all gaps over zips of members of one size."""
    corpus = corpora.write_ge_zips(base / "zips", arguments.files, SIZES[size])
    delay = arguments.one_way_ms / 1e3
    with stores.fresh_bucket() as server, stores.FaultProxy(server, delay=delay) as proxy:
        zips = stores.fill(server, stores.BUCKET, corpus.folder)
        measured = [
            _run(gap, base, arguments.rounds, corpus, proxy) for gap in (None, *arguments.gaps)
        ]
    where = f"{len(zips):,} zips, members deflated: {corpus}; {arguments.one_way_ms:g} ms each way"
    kind = f"{corpus.kind}, {size}"
    outcome = result_tables.Outcome(
        "bucket_zips", where, kind, measured, measured[0].name, "the first"
    )
    result_tables.tell(outcome, arguments)
    traffic = measured[0].traffic
    assert traffic is not None
    if size == "large":
        share = traffic.bytes / corpus.bytes
        result_tables.tell_target("bytes fetched of those stored", share, MOST_BYTES)
    each = traffic.requests / corpus.instances
    result_tables.tell_target("requests a member", each, MOST_REQUESTS[size])


def _run(
    gap: int | None, base: Path, rounds: int, corpus: corpora.Corpus, proxy: stores.FaultProxy
) -> Measured:
    """Give what the runs with one gap took and fetched."""
    name = ours.name(WORKERS) if gap is None else f"--join-gap {gap}"
    options = stores.run_options(proxy)
    if gap is not None:
        options += ["--join-gap", str(gap)]
    place = base / str(gap)

    def command(number: int) -> list[str]:
        proxy.clear()
        out = ours.out_of(place, WORKERS, number)
        return ours.run_command(stores.URL, out, WORKERS, *options)

    (measured,) = time_in_turn([Side(name, command)], rounds, corpus.instances)
    ours.check(ours.out_of(place, WORKERS, rounds - 1), corpus.instances)
    measured.traffic = _traffic(proxy)
    return measured


def _traffic(proxy: stores.FaultProxy) -> Traffic:
    """Give what was counted since the proxy was cleared last."""
    counts = proxy.counts
    lists = counts.get("LIST", stores.Count())
    every = sum(counts.values(), stores.Count())
    return Traffic(every.requests - lists.requests, lists.requests, every.bytes)


if __name__ == "__main__":
    main()
