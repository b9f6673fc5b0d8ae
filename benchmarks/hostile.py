"""`dcmdask run` over the corpus of hostile files at full size: what came of each, and what it cost.

    python benchmarks/hostile.py                      # all, some 30 GB of disk, half an hour
    python benchmarks/hostile.py --only "zip many" --only empty
    python benchmarks/hostile.py --small              # as in the suite

Each entry of `tests/hostile/corpus.py` is written, crawled by a command of its own with one worker,
and removed. Memory is that of the reading process and of the driver, at most.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

_HERE = Path(__file__).parent
# The corpus is one of the tests', and is called as this file is; what lies beside this file is not
# found by itself when it is started with -m.
sys.path[:0] = [str(_HERE.parent / "tests"), str(_HERE)]

from hostile.corpus import CORPUS, Entry  # noqa: E402
from hostile.files import remove  # noqa: E402
from timing import Memory, machine, run  # noqa: E402

from dcmdask.catalog.catalog import Catalog  # noqa: E402


def main() -> None:
    """Crawl every entry, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", action="append", help="name of an entry; may be repeated")
    parser.add_argument("--small", action="store_true", help="the sizes of the test suite")
    parser.add_argument("--folder", type=Path, help="where the files are written")
    parser.add_argument("--timeout", type=float, default=300.0, help="of a task, seconds")
    arguments = parser.parse_args()
    print(f"{machine()}; a task may take {arguments.timeout:g} s:\n")
    print("| entry | size | rows by kind | s | peak MiB: reading process | driver |")
    print("|---|---|---|---|---|---|")
    for entry in CORPUS:
        if not arguments.only or entry.name in arguments.only:
            for row in _crawled(entry, arguments):
                print(row, flush=True)


def _crawled(entry: Entry, arguments: argparse.Namespace) -> Iterator[str]:
    """Give the row of one entry."""
    size = entry.small if arguments.small else entry.full
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="dcmdask-hostile-") as place:
        source, out = Path(place, "in", "hostile"), Path(place, "out")
        entry.make(source, size)
        command = [sys.executable, "-m", "dcmdask", "run", str(source.parent), "--out", str(out)]
        command += ["--workers", "1", "--quiet", "--timeout", f"{arguments.timeout:g}"]
        try:
            with entry.while_running(source):
                seconds, memory, _ = run(entry.name, command)
            yield _row(entry, size, _rows_by_kind(Catalog(out)), seconds, memory)
        finally:
            remove(source)


def _rows_by_kind(catalog: Catalog) -> str:
    kinds = Counter(catalog.failures["kind"].to_pylist())
    kinds["instance"] = catalog.instances.count_rows()
    return ", ".join(f"{kind} {count:,}" for kind, count in sorted(kinds.items()))


def _row(entry: Entry, size: int, rows: str, seconds: float, memory: Memory) -> str:
    figures = f"{seconds:.1f} | {memory.largest_other >> 20:,} | {memory.first >> 20:,}"
    return f"| {entry.name} | {size:,} | {rows} | {figures} |"


if __name__ == "__main__":
    main()
