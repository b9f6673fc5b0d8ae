"""`dcmdask run` against Med-ImageTools' `imgtools index`, on synthetic CT files, two processes each.

    python benchmarks/run_against_imgtools.py            # 10,000 files, three rounds in turn
    python benchmarks/run_against_imgtools.py --files 100 --rounds 1

Both write a whole index of the same files. Each round of each side is a fresh process with a fresh
output folder; the page cache is warm for both, as the files have just been written.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from peers import python_with, version_of
from timing import Side, empty_place, machine, table, time_in_turn

from dcmdask import __version__
from dcmdask.catalog import Catalog
from dcmdask.synthetic import write_synthetic

SLICES = 200
VENDOR_ELEMENTS = 100


def main() -> None:
    """Make the files, run both sides, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary folder")
    parser.add_argument("--python", type=Path, help="a Python that has med-imagetools already")
    arguments = parser.parse_args()
    python = arguments.python or python_with("med-imagetools")
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="dcmdask-benchmark-") as folder:
        base = Path(folder)
        slices = min(SLICES, arguments.files)
        made = write_synthetic(
            base / "ct",
            patients=arguments.files // slices,
            slices=slices,
            modalities=("CT",),
            vendor_elements=VENDOR_ELEMENTS,
        )
        _give_suffix(base / "ct")
        ours = f"dcmdask {__version__} run --workers 2"
        theirs = f"imgtools {version_of(python, 'med-imagetools')} index --n-jobs 2"
        sides = (
            Side(ours, lambda n: _our_command(base / "ct", empty_place(base, "ours", n))),
            Side(
                theirs,
                lambda n: _their_command(python, base / "ct", empty_place(base, "theirs", n)),
            ),
        )
        seconds = time_in_turn(sides, arguments.rounds)
        found = Catalog(base / "ours-0").instances.count_rows()
        print(f"{machine()}; {made.files:,} CT files of {made.bytes // made.files:,} bytes\n")
        print(table(seconds, made.files, ours))
        print(f"\n{found:,} instances in our catalog")


def _give_suffix(folder: Path) -> None:
    """Give every file the name that Med-ImageTools looks for."""
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".dcm":
            path.rename(path.with_name(f"{path.name}.dcm"))


def _our_command(source: Path, out: Path) -> list[str]:
    command = [sys.executable, "-m", "dcmdask", "run", str(source), "--out", str(out)]
    return [*command, "--workers", "2", "--quiet"]


def _their_command(python: Path, source: Path, out: Path) -> list[str]:
    command = [str(python.with_name("imgtools")), "index", "--dicom-dir", str(source)]
    return [*command, "--output-dir", str(out), "--n-jobs", "2"]


if __name__ == "__main__":
    main()
