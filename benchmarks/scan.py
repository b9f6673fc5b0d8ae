"""The columnar scan against the floor of opening and reading, and against pydicom, on one core.

    python benchmarks/scan.py            # 10,000 CT files with 100 vendor elements
    python benchmarks/scan.py --folder FOLDER

Every side gets the same files in the same order and gives, or for the floor does not give, the 26
light attributes of each. The page cache is warm; sides take turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pydicom
from timing import machine

from dcmdask.header.columnar import scan_windows
from dcmdask.header.reader import quiet_pydicom
from dcmdask.schema import LIGHT
from dcmdask.source.heads import AT_ONCE, READ_FLAGS, read_heads, read_into
from dcmdask.synthetic import write_synthetic
from dcmdask.windows import WINDOW

ROUNDS = 5
FEW = 500
"""Files that pydicom reads: it need not read all of them to show its rate."""


def floor(paths: list[bytes]) -> None:
    """Open, read one window, close."""
    row = memoryview(bytearray(WINDOW))
    for path in paths:
        handle = os.open(path, READ_FLAGS)
        read_into(handle, 0, row)
        os.close(handle)


def scan(paths: list[bytes]) -> int:
    """Read windows and give the light attributes as Arrow columns; count the accepted files."""
    buffer = None
    accepted = 0
    for start in range(0, len(paths), AT_ONCE):
        some = paths[start : start + AT_ONCE]
        windows, kept, _ = read_heads(some, range(len(some)), lambda _number: None, buffer)
        buffer = windows.buffer
        begun = [some[number] for number in kept]

        def more(number: int, offset: int, row: memoryview, read: list[bytes] = begun) -> int:
            handle = os.open(read[number], READ_FLAGS)
            try:
                return read_into(handle, offset, row)
            finally:
                os.close(handle)

        accepted += int(scan_windows(windows, more).accepted.sum())
    return accepted


def by_pydicom(paths: list[bytes]) -> None:
    """Read the same attributes with pydicom, as its users would."""
    tags: list[str | int | tuple[int, int]] = [
        word for word in LIGHT if word != "TransferSyntaxUID"
    ]
    with quiet_pydicom():
        for path in paths:
            dataset = pydicom.dcmread(
                os.fsdecode(path), stop_before_pixels=True, specific_tags=tags
            )
            for word in LIGHT:
                dataset.get(word)


def microseconds(side: Callable[[list[bytes]], object], paths: list[bytes]) -> float:
    """Give the time of one side a file."""
    begun = time.perf_counter()
    side(paths)
    return (time.perf_counter() - begun) / len(paths) * 1e6


def main() -> None:
    """Make the files, run the sides in turn, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="files to read instead of synthetic ones")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dcmdask-benchmark-") as folder:
        source = arguments.folder or Path(folder) / "ct"
        if arguments.folder is None:
            slices = min(200, arguments.files)
            write_synthetic(
                source,
                patients=arguments.files // slices,
                slices=slices,
                modalities=("CT",),
                vendor_elements=100,
            )
        paths = sorted(os.fsencode(path) for path in source.rglob("*") if path.is_file())
        few = paths[: min(FEW, len(paths))]
        scan(paths)
        times: dict[str, list[float]] = {"floor": [], "scan": [], "pydicom": []}
        for _ in range(ROUNDS):
            times["floor"].append(microseconds(floor, paths))
            times["scan"].append(microseconds(scan, paths))
            times["pydicom"].append(microseconds(by_pydicom, few))
        print(f"{machine()}; {len(paths):,} files, {scan(paths):,} accepted by the scan\n")
        base = statistics.median(times["floor"])
        print("| side | us a file, median | files/s | time against the floor |")
        print("|---|---|---|---|")
        for name, values in times.items():
            median = statistics.median(values)
            print(f"| {name} | {median:.1f} | {1e6 / median:,.0f} | {median / base:.1f} x |")


if __name__ == "__main__":
    main()
