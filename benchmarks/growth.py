"""A whole `dcmdask run` over many times as many files: seconds a file, and memory.

    python benchmarks/growth.py                   # 100,000 and 1,000,000 files of the GE corpus
    python benchmarks/growth.py --files 20000 --times 5 --corpus plain

Both sizes are files of one corpus, in folders of their own, and run in turn with two workers and a
fresh output; no setting differs. Memory of the driver, the process that was started, and of the
largest below it is looked at over time, and kept with the result for `plot.py`.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import corpora
import ours
import result_tables
from timing import Measured, Side, time_in_turn

WORKERS = 2

TARGET_TIME = 1.1
"""What a file may take where there are ten times as many."""

TARGET_MEMORY = 1.3
"""The same of the driver's peak."""


def main() -> None:
    """Make both sizes, run them in turn, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    corpora.add_options(parser, files=100_000, kinds=corpora.KINDS)
    result_tables.add_options(parser)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--times", type=int, default=10, help="how many times as many the larger has; default 10"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="dcmdask-benchmark-") as folder:
        sizes = {"small": arguments.files, "large": arguments.files * arguments.times}
        bases = [Path(folder, name) for name in sizes]
        written = [
            corpora.write_corpus(arguments, base / "files", files)
            for base, files in zip(bases, sizes.values(), strict=True)
        ]
        sides = [_side(corpus, base) for corpus, base in zip(written, bases, strict=True)]
        counts = [corpus.instances for corpus in written]
        measured = time_in_turn(sides, arguments.rounds, counts, over_time=True)
        small, large = measured
        kind, each = written[1].kind, written[1].bytes // large.files
        words = f"{kind}, files of {each:,} bytes"
        outcome = result_tables.Outcome(
            "growth", words, kind, measured, small.name, against="the smaller"
        )
        result_tables.tell(outcome, arguments)
        _tell_growth(small, large)
        for base, instances in zip(bases, counts, strict=True):
            ours.check(ours.out_of(base, WORKERS, 0), instances)


def _side(corpus: corpora.Corpus, base: Path) -> Side:
    side = ours.crawl(corpus.folder, base, WORKERS)
    return replace(side, name=f"{side.name}, {corpus.instances:,} files")


def _tell_growth(small: Measured, large: Measured) -> None:
    """Print what a file and the driver take more where there are more files."""
    assert small.memory is not None
    assert large.memory is not None
    times = f"{large.files / small.files:.0f} times the files"
    seconds = result_tables.per_file(large) / result_tables.per_file(small)
    result_tables.tell_target(f"{times}: time a file", seconds, TARGET_TIME)
    # Nothing is known of memory where the system does not tell.
    if small.memory.first:
        memory = large.memory.first / small.memory.first
        result_tables.tell_target(f"{times}: peak of the driver", memory, TARGET_MEMORY)


if __name__ == "__main__":
    main()
