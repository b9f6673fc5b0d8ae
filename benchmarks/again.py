"""A second `dcmdask run` into the same output against listing alone.

    python benchmarks/again.py                    # 100,000 files of the GE corpus, 100 of them touched
    python benchmarks/again.py --files 1000000 --touched 1000

Listing alone is `dcmdask plan` with an output that holds no catalog: it starts, lists and says what
it found, and neither opens a file nor writes one. The other sides run into one output that holds the
catalog of all files, one after the other: when nothing has changed, when some files, spread over the
tree, have another time than before, and with `--full`, which reads all again. Each leaves the
catalog that the next one finds; what each says has changed is checked.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import corpora
import ours
import result_tables
from timing import Command, Side, run, time_in_turn

WORKERS = 2

TARGET = 1.5
"""What a second run may take if nothing has changed: times listing alone."""

_SECOND = 1_000_000_000
"""Nanoseconds."""


def main() -> None:
    """Make the files and their catalog, run the sides in turn, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    corpora.add_options(parser, files=100_000, kinds=corpora.KINDS)
    result_tables.add_options(parser)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--touched", type=int, default=100, help="files with another time; default 100"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="dcmdask-benchmark-") as folder:
        base = Path(folder)
        corpus = corpora.write_corpus(arguments, base / "files")
        crawl = Crawl(corpus, base / "ours")
        run("the first run", crawl.command())
        sides = [
            _listing(corpus.folder, base / "no-catalog"),
            crawl.unchanged(),
            crawl.touched(spread(corpus.folder, arguments.touched)),
            crawl.full(),
        ]
        measured = time_in_turn(sides, arguments.rounds, corpus.instances)
        listing, unchanged, *_ = measured
        outcome = result_tables.Outcome(
            "again", str(corpus), corpus.kind, measured, listing.name, against="listing alone"
        )
        result_tables.tell(outcome, arguments)
        ratio = result_tables.per_file(unchanged) / result_tables.per_file(listing)
        result_tables.tell_target("nothing changed, against listing alone", ratio, TARGET)
        ours.check(crawl.out, corpus.instances)


class Crawl:
    """Runs into one output that holds a catalog.

    Parameters
    ----------
    corpus : Corpus
        What is crawled.
    out : pathlib.Path
        The output.
    """

    def __init__(self, corpus: corpora.Corpus, out: Path) -> None:
        self.out = out
        self._corpus = corpus

    def command(self, *options: str) -> Command:
        """Give the command of a run."""
        return ours.run_command(self._corpus.folder, self.out, WORKERS, *options)

    def unchanged(self) -> Side:
        """Give the side that finds all files as they were."""
        name = f"{ours.name(WORKERS)}, nothing changed"
        return Side(name, lambda _round: self.command(), lambda _round: self._check_read(0))

    def touched(self, paths: list[Path]) -> Side:
        """Give the side that finds other times at some files."""

        def command(_round: int) -> Command:
            for path in paths:
                touch(path)
            return self.command()

        name = f"{ours.name(WORKERS)}, {len(paths):,} files touched"
        return Side(name, command, lambda _round: self._check_read(len(paths)))

    def full(self) -> Side:
        """Give the side that reads all again."""
        name = f"{ours.name(WORKERS)} --full"
        command = self.command("--full")
        return Side(name, lambda _round: command, lambda _round: self._check({"same": 0}))

    def _check_read(self, changed: int) -> None:
        """Raise `SystemExit` unless so many files were read, and no others."""
        same = self._corpus.instances - changed
        self._check({"new": 0, "changed": changed, "gone": 0, "same": same})

    def _check(self, wanted: dict[str, int]) -> None:
        """Raise `SystemExit` unless the catalog tells these numbers of files."""
        told = ours.run_of(self.out).get("changes", {})
        found = {name: told.get(name) for name in wanted}
        if found != wanted:
            raise SystemExit(f"no fair comparison: the catalog says {found}, not {wanted}")


def spread(folder: Path, count: int) -> list[Path]:
    """Give so many files of a tree, at equal distances; all, if there are not so many."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    count = min(count, len(paths))
    return [paths[number * len(paths) // count] for number in range(count)]


def touch(path: Path) -> None:
    """Make a file a second older: no time lies ahead of the clock, however many rounds there are."""
    facts = path.stat()
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns - _SECOND))


def _listing(source: Path, out: Path) -> Side:
    return Side("dcmdask plan: listing alone", lambda _round: ours.command("plan", source, out))


if __name__ == "__main__":
    main()
