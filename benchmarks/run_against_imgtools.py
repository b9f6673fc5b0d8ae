"""`dcmdask run` against Med-ImageTools' `imgtools index`, two processes each.

    python benchmarks/run_against_imgtools.py                     # 10,000 files of the GE corpus
    python benchmarks/run_against_imgtools.py --files 100000 --rounds 2
    python benchmarks/run_against_imgtools.py --corpus plain --dicom-csv

All write a whole index of the same files: ours every table and file, `crawl_db.json`, `sop_map.json`
and the case tables included. dicom-csv, if asked for, joins the folder to one CSV with its one
process. Each round of each side is a fresh process with a fresh output folder, from the start of the
interpreter to the last file written; the page cache is warm for all.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import corpora
import ours
import peers
import result_tables
from timing import Side, empty_place, time_in_turn

WORKERS = 2


def main() -> None:
    """Make the files, run the sides, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    corpora.add_options(parser, files=10_000, kinds=("ge", "plain"))
    peers.add_options(parser)
    result_tables.add_options(parser)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dicom-csv", action="store_true", help="dicom-csv as a third side")
    arguments = parser.parse_args()
    imgtools = peers.python_of("med-imagetools", arguments)
    dicom_csv = peers.python_of("dicom-csv", arguments) if arguments.dicom_csv else None
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="dcmdask-benchmark-") as folder:
        base = Path(folder)
        corpus = corpora.write_corpus(arguments, base / "files")
        us = ours.crawl(corpus.folder, base, WORKERS)
        sides = [us, _med_imagetools(imgtools, corpus.folder, base)]
        if dicom_csv is not None:
            sides.append(_dicom_csv(dicom_csv, corpus.folder, base))
        measured = time_in_turn(sides, arguments.rounds, corpus.instances)
        outcome = result_tables.Outcome(
            "run_against_imgtools", str(corpus), corpus.kind, measured, us.name
        )
        result_tables.tell(outcome, arguments)
        ours.check(ours.out_of(base, WORKERS, 0), corpus.instances)
        _check_theirs(base, corpus)


def _med_imagetools(python: Path, source: Path, base: Path) -> Side:
    def command(number: int) -> list[str]:
        begun = [str(python.with_name("imgtools")), "index", "--dicom-dir", str(source)]
        return [*begun, "--output-dir", str(empty_place(base, "imgtools", number)), "--n-jobs", "2"]

    return Side(f"imgtools {peers.version_of(python, 'med-imagetools')} index --n-jobs 2", command)


def _dicom_csv(python: Path, source: Path, base: Path) -> Side:
    def command(number: int) -> list[str]:
        out = empty_place(base, "dicom-csv", number)
        return [str(python.with_name("dicom-csv")), str(source), f"{out}.csv"]

    return Side(f"dicom-csv {peers.version_of(python, 'dicom-csv')}, one process", command)


def _check_theirs(base: Path, corpus: corpora.Corpus) -> None:
    """Raise `SystemExit` unless Med-ImageTools has a row a series, and dicom-csv one a file."""
    wanted = {"imgtools-0/**/index.csv": -(-corpus.instances // corpora.SLICES)}
    wanted["dicom-csv-0.csv"] = corpus.instances
    for pattern, rows in wanted.items():
        for path in base.glob(pattern):
            found = path.read_text("utf-8", "replace").count("\n") - 1
            print(f"{found:,} rows in {path.relative_to(base)}")
            if found != rows:
                raise SystemExit(f"no fair comparison: there should be {rows:,}")


if __name__ == "__main__":
    main()
