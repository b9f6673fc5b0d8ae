"""Change headers and archives until the time is over; keep what is not dealt with as it should be.

python -m tests.fuzz --seconds 600 --seed 1
python -m tests.fuzz --repeat FOLDER/archive-17      # what was found, again
python -m tests.fuzz --census 60000 --samples DATA   # headers against pydicom, by kind of difference
"""

from __future__ import annotations

import argparse
import itertools
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from types import FrameType

# Helpers are imported as pytest imports them.
sys.path.insert(0, str(Path(__file__).parent.parent))

from fuzz.census import UNEXPLAINED, headers_of
from fuzz.census import count as census
from fuzz.mutation import changed
from fuzz.targets import TARGETS, Target, headers_to_change

_SECONDS = 20
_KIBIBYTES = 600 * 1024


class _Hangs(BaseException):
    """It takes too long. No exception that a reader could take for one of pydicom's."""


def _ring(_number: int, _frame: FrameType | None) -> None:
    raise _Hangs(f"more than {_SECONDS} s for one file")


def _fails(target: Target, content: bytes) -> bool:
    """Try one file; tell, with a trace, where it is not dealt with."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.alarm(_SECONDS)
    try:
        target.check(content)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert after == before or after < _KIBIBYTES, f"{after} KiB of memory"
    except (Exception, _Hangs):  # noqa: BLE001 - whatever it is, it is what was looked for
        traceback.print_exc()
        return True
    finally:
        signal.alarm(0)
    return False


def _search(seconds: float, seed: int, targets: list[Target], folder: Path) -> int:
    """Try one seed after the other with each target; give how many failed."""
    found = tried = 0
    begun = time.monotonic()
    for number in itertools.count(seed):
        for target in targets:
            content = target.make(number)
            tried += 1
            if _fails(target, content):
                found += 1
                folder.mkdir(parents=True, exist_ok=True)
                path = folder / f"{target.name}-{number}"
                path.write_bytes(content)
                print(f"kept; again with: python -m tests.fuzz --repeat {path}", flush=True)
        if time.monotonic() - begun > seconds:
            break
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{tried} files tried, seeds {seed} to {number}, {found} failed, at most {peak} MiB")
    return found


def _take_census(count: int, seed: int, samples: Path | None) -> int:
    """Count how changed headers differ from what pydicom reads; give how many nothing explains."""
    files = headers_to_change() if samples is None else headers_of(samples)
    found = census(changed(files, number) for number in range(seed, seed + count))
    for kind, times in found.most_common():
        print(f"{times:8,}  {kind}")
    return found[UNEXPLAINED]


def main() -> int:
    """Search, or try again what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=[target.name for target in TARGETS])
    parser.add_argument("--folder", type=Path, default=Path("fuzz-found"))
    parser.add_argument("--repeat", type=Path, help="a file that was kept")
    parser.add_argument("--census", type=int, metavar="N", help="hold N headers against pydicom")
    parser.add_argument("--samples", type=Path, help="real files to change in a census")
    arguments = parser.parse_args()
    if arguments.census is not None:
        return int(_take_census(arguments.census, arguments.seed, arguments.samples) > 0)
    signal.signal(signal.SIGALRM, _ring)
    if arguments.repeat is not None:
        target = next(one for one in TARGETS if arguments.repeat.name.startswith(one.name))
        return int(_fails(target, arguments.repeat.read_bytes()))
    targets = [one for one in TARGETS if arguments.only in (None, one.name)]
    return int(_search(arguments.seconds, arguments.seed, targets, arguments.folder) > 0)


if __name__ == "__main__":
    sys.exit(main())
