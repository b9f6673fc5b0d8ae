"""The columnar scan on one core: against opening and reading alone, and against other readers.

    python benchmarks/scan.py                                # 10,000 files of the GE corpus
    python benchmarks/scan.py --corpus plain
    python benchmarks/scan.py --corpus real --samples FOLDER
    python benchmarks/scan.py --sides floor columnar pydicom

Every side gets the same files in the same order and gives, or for the floor does not give, the 26
light attributes of each. Each is a process of its own, in its own environment, held to one core; it
reads 4,096 files to warm up and tells the seconds of reading all of them: neither its start nor its
imports count. The page cache is warm; sides take turns.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import corpora
import peers
import result_tables
from jobs import READERS, write_job
from timing import Measured


@dataclass(frozen=True, slots=True)
class Reader:
    """One side.

    Attributes
    ----------
    program : str
        Its file in `READERS`.
    name : str
        What it is called in the table, without its version.
    package : str or None
        What its environment has; None for ours.
    """

    program: str
    name: str
    package: str | None = None


SIDES = {
    "floor": Reader("read_floor.py", "open, read 8 KiB, close"),
    "columnar": Reader("read_columnar.py", "dcmdask {version}, columnar scan"),
    "gdcm": Reader("read_gdcm.py", "gdcm.Scanner, python-gdcm {version}", "python-gdcm"),
    "dicomsdl": Reader("read_dicomsdl.py", "dicomsdl {version}", "dicomsdl"),
    "pydicom": Reader("read_pydicom.py", "pydicom {version}, specific_tags", "pydicom"),
}


def main() -> None:
    """Make the files, run the sides in turn, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    corpora.add_options(parser, files=10_000, kinds=corpora.KINDS)
    peers.add_options(parser)
    result_tables.add_options(parser)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    arguments = parser.parse_args()
    chosen = [name for name in SIDES if name in {"floor", "columnar", *arguments.sides}]
    pythons = [_python_of(SIDES[name], arguments) for name in chosen]
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="dcmdask-benchmark-") as folder:
        corpus = corpora.write_corpus(arguments, Path(folder) / "files")
        job = Path(folder) / "job.json"
        write_job(job, (path for path in corpus.folder.rglob("*") if path.is_file()))
        sides = [
            [str(python), str(READERS / SIDES[name].program), str(job)]
            for name, python in zip(chosen, pythons, strict=True)
        ]
        told = _run_in_turn(sides, arguments.rounds)
    measured = [
        Measured(
            SIDES[name].name.format(version=rounds[0]["version"]),
            corpus.instances,
            [one["seconds"] for one in rounds],
        )
        for name, rounds in zip(chosen, told, strict=True)
    ]
    named = {name: side.name for name, side in zip(chosen, measured, strict=True)}
    outcome = result_tables.Outcome(
        "scan", str(corpus), corpus.kind, measured, named["columnar"], floor=named["floor"]
    )
    result_tables.tell(outcome, arguments)
    found = {name: rounds[0] for name, rounds in zip(chosen, told, strict=True) if name != "floor"}
    _tell_found(found)
    _check_found(found, corpus)


def _python_of(reader: Reader, arguments: argparse.Namespace) -> Path:
    if reader.package is None:
        return Path(sys.executable)
    return peers.python_of(reader.package, arguments)


def _run_in_turn(sides: Sequence[Sequence[str]], rounds: int) -> list[list[dict[str, Any]]]:
    """Give what each side tells, a list of rounds a side."""
    told: list[list[dict[str, Any]]] = [[] for _ in sides]
    for _ in range(rounds):
        for command, sofar in zip(sides, told, strict=True):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{Path(command[1]).name} failed:\n{done.stderr[-2000:]}")
            # The last line: libraries say things of their own before it.
            sofar.append(json.loads(done.stdout.splitlines()[-1]))
    return told


def _tell_found(found: dict[str, dict[str, Any]]) -> None:
    print("\nfound by each, instances and values that are not empty:")
    for name, told in found.items():
        print(f"- {name}: {told['instances']:,} and {told['values']:,}")


def _check_found(found: dict[str, dict[str, Any]], corpus: corpora.Corpus) -> None:
    """Raise `SystemExit` if a side missed files that hold nothing odd."""
    short = [name for name, told in found.items() if told["instances"] != corpus.instances]
    if short and corpus.kind != "real":
        raise SystemExit(f"no fair comparison: files without UID for {', '.join(short)}")


if __name__ == "__main__":
    main()
