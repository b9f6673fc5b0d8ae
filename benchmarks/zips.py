"""`dcmdask run` over zips against unpacking the same zips and reading the files with pydicom.

    python benchmarks/zips.py                    # 2,000 members in 10 zips, 400 MB
    python benchmarks/zips.py --files 10000

Members are CT files of 530 kB that deflate to 200 kB. Ours is a whole run with two processes: it
reads the members in place and leaves a catalog. The other way unpacks one zip after the other to a
temporary folder (in `--folder`), reads the 26 light attributes of each file, stopping before the
pixels, deletes the files and writes nothing; with one process and with two, a zip each at a time.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import corpora
import ours
import peers
import result_tables
from jobs import READERS, write_job
from timing import Side, time_in_turn

WORKERS = 2


def main() -> None:
    """Make the zips, run the sides in turn, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    corpora.add_options(parser, files=2_000, kinds=("ge",))
    peers.add_options(parser)
    result_tables.add_options(parser)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    python = peers.python_of("pydicom", arguments)
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="dcmdask-benchmark-") as folder:
        base = Path(folder)
        corpus = corpora.write_ge_zips(base / "zips", arguments.files)
        archives = list(corpus.folder.iterdir())
        write_job(base / "job.json", archives)
        us = ours.crawl(corpus.folder, base, WORKERS)
        sides = (us, *(_unpacking(python, base, number, corpus.instances) for number in (1, 2)))
        measured = time_in_turn(sides, arguments.rounds, corpus.instances)
        words = f"{len(archives):,} zips, members deflated: {corpus}"
        result_tables.tell(
            result_tables.Outcome("zips", words, corpus.kind, measured, us.name), arguments
        )
        ours.check(ours.out_of(base, WORKERS, 0), corpus.instances)


def _unpacking(python: Path, base: Path, processes: int, instances: int) -> Side:
    many = "1 process" if processes == 1 else f"{processes} processes"
    command = [str(python), str(READERS / "unpack_zips.py"), str(base / "job.json"), str(base)]
    return Side(
        f"unpack, pydicom {peers.version_of(python, 'pydicom')}, {many}",
        lambda _round: [*command, str(processes), str(instances)],
    )


if __name__ == "__main__":
    main()
