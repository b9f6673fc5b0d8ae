"""Where the time of one `dcmdask run` goes, stage by stage.

    python benchmarks/stages.py                       # 100,000 files of the GE corpus, two workers
    python benchmarks/stages.py --corpus real --workers 1

The seconds of the stages are those that the run itself keeps in `catalog.json`; start-up is what is
left of the time from the start of the interpreter to its end: imports, and leaving.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import corpora
import ours
import result_tables
from timing import Measured, time_in_turn

START_UP = "start-up"
WHOLE = "whole run"


def main() -> None:
    """Make the files, run some rounds, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    corpora.add_options(parser, files=100_000, kinds=corpora.KINDS)
    result_tables.add_options(parser)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="dcmdask-benchmark-") as folder:
        base = Path(folder)
        corpus = corpora.write_corpus(arguments, base / "files")
        side = ours.crawl(corpus.folder, base, arguments.workers)
        (whole,) = time_in_turn([side], arguments.rounds, corpus.instances)
        outs = [ours.out_of(base, arguments.workers, n) for n in range(arguments.rounds)]
        stages = [ours.run_of(out)["seconds"] for out in outs]
        measured = _measure(whole, stages)
        words = f"{side.name}; {corpus}"
        outcome = result_tables.Outcome(
            "stages", words, corpus.kind, measured, WHOLE, against="the whole"
        )
        result_tables.tell(outcome, arguments)
        ours.check(outs[0], corpus.instances)


def _measure(whole: Measured, stages: list[dict[str, float]]) -> list[Measured]:
    """Give the stages as sides: of every round, and last the whole."""
    files = whole.files
    named = {name: Measured(name, files, [one[name] for one in stages]) for name in stages[0]}
    left = [seconds - sum(one.values()) for seconds, one in zip(whole.seconds, stages, strict=True)]
    return [
        Measured(START_UP, files, left),
        *named.values(),
        Measured(WHOLE, files, whole.seconds, whole.memory),
    ]


if __name__ == "__main__":
    main()
