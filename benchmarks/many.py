"""One `dcmdask run` over very many instances in zips, on two cores: that it ends, and its memory.

    python benchmarks/many.py                     # 10,000,000 members in 1,000 zips, 4 GB
    python benchmarks/many.py --zips 100

Members are headers of CT slices without pixels, so that millions of them fit anywhere: 200 slices a
series, 5 series a study, a patient a zip. Memory of the driver, the process that was started, and of
the largest below it is looked at over time, and kept with the result for `plot.py`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import corpora
import ours
import result_tables
from timing import Measured, time_in_turn

WORKERS = 2

BOUNDS = {"driver": 1024, "worker": 1536}
"""What the driver and the largest process below it may hold, in MiB."""


def main() -> None:
    """Make the zips, run over them, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--zips", type=int, default=1_000, help="default 1,000")
    parser.add_argument("--members", type=int, default=10_000, help="of a zip; default 10,000")
    corpora.add_folder(parser)
    result_tables.add_options(parser)
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="dcmdask-benchmark-") as folder:
        base = Path(folder)
        corpus = corpora.write_small_zips(base / "zips", arguments.zips, arguments.members)
        side = ours.crawl(corpus.folder, base, WORKERS)
        (measured,) = time_in_turn([side], arguments.rounds, corpus.instances, over_time=True)
        words = f"{arguments.zips:,} zips, members deflated: {corpus}"
        result_tables.tell(
            result_tables.Outcome("many", words, corpus.kind, [measured], side.name), arguments
        )
        _tell_bounds(measured)
        ours.check(ours.out_of(base, WORKERS, 0), corpus.instances)


def _tell_bounds(measured: Measured) -> None:
    """Print the peaks of memory, each against its bound."""
    assert measured.memory is not None
    peaks = (measured.memory.first, measured.memory.largest_other)
    print()
    for (name, bound), peak in zip(BOUNDS.items(), peaks, strict=True):
        held = peak / 2**20
        word = "reached" if held < bound else "missed"
        print(f"peak of the {name}: {held:,.0f} MiB (target: below {bound:,} MiB, {word})")


if __name__ == "__main__":
    main()
