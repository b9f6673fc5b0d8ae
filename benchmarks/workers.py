"""`dcmdask run` with two workers against one.

    python benchmarks/workers.py                      # 32,768 real files, ../shared/data multiplied
    python benchmarks/workers.py --corpus ge --files 131072

A corpus that keeps both busy: real headers, of which many are long, refer to others or are for
pydicom; or plain ones, where start-up and building the catalog weigh more. The counts are whole
pairs of tasks of 4,096 files: with an odd number of tasks one worker would wait at the end.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import corpora
import ours
import result_tables
from timing import time_in_turn


def main() -> None:
    """Make the files, run both sides in turn, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    corpora.add_options(parser, files=32_768, kinds=("real", "ge", "plain"))
    result_tables.add_options(parser)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="dcmdask-benchmark-") as folder:
        base = Path(folder)
        corpus = corpora.write_corpus(arguments, base / "files")
        sides = [ours.crawl(corpus.folder, base, workers) for workers in (2, 1)]
        measured = time_in_turn(sides, arguments.rounds, corpus.instances)
        outcome = result_tables.Outcome(
            "workers", str(corpus), corpus.kind, measured, sides[0].name
        )
        result_tables.tell(outcome, arguments)
        ours.check(ours.out_of(base, 2, 0), corpus.instances)


if __name__ == "__main__":
    main()
