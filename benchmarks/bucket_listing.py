"""`dcmdask plan` of a bucket with many keys: seconds a key, and memory of the process that lists.

    python benchmarks/bucket_listing.py                  # 100,000 and 1,000,000 keys
    python benchmarks/bucket_listing.py --keys 1000000 --times 10

No store of this machine holds so many objects: the server makes the pages of its listing up as they
are asked for, a thousand keys each, with sizes, times and entity tags, as S3 does.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ours
import result_tables
from jobs import READERS
from timing import Measured, Side, time_in_turn

TARGET_MEMORY = 1.3
"""What the peak of the driver may grow where there are ten times as many keys."""


def main() -> None:
    """List both sizes in turn, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    result_tables.add_options(parser)
    parser.add_argument("--keys", type=int, default=100_000, help="of the smaller; 100,000")
    parser.add_argument(
        "--times", type=int, default=10, help="how many times as many the larger has"
    )
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    counts = [arguments.keys, arguments.keys * arguments.times]
    with tempfile.TemporaryDirectory(prefix="dcmdask-benchmark-") as folder, _listings() as url:
        sides = [_side(Path(folder), url, count) for count in counts]
        small, large = time_in_turn(sides, arguments.rounds, counts)
        _check(sides[0], arguments.keys)
    words = f"{arguments.keys:,} keys and {arguments.times} times as many, made up"
    outcome = result_tables.Outcome("bucket_listing", words, "keys", [small, large], small.name)
    result_tables.tell(outcome, arguments)
    _tell_growth(small, large)


def _side(folder: Path, url: str, keys: int) -> Side:
    options = ["key=made", "secret=up", f"endpoint_url={url}"]
    words = [word for option in options for word in ("--storage-option", option)]
    # The bucket's name says how many keys it is to have.
    command = ours.command("plan", f"s3://keys-{keys}/exports", folder / "out", *words)
    return Side(f"plan of {keys:,} keys", lambda _round: command)


def _check(side: Side, keys: int) -> None:
    """Raise `SystemExit` unless a plan finds so many keys."""
    told = subprocess.run(side.command(0), capture_output=True, text=True, check=True).stdout
    if not told.startswith(f"{keys:,} files"):
        raise SystemExit(f"{told.splitlines()[0]}, not {keys:,}")


@contextmanager
def _listings() -> Iterator[str]:
    """Run the server that makes listings up; give its URL."""
    command = [sys.executable, str(READERS / "made_up_listing.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def _tell_growth(small: Measured, large: Measured) -> None:
    assert small.memory is not None
    assert large.memory is not None
    if small.memory.first:
        times = f"{large.files / small.files:.0f} times the keys: peak of the driver"
        result_tables.tell_target(times, large.memory.first / small.memory.first, TARGET_MEMORY)


if __name__ == "__main__":
    main()
