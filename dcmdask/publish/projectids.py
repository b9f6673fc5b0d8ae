"""Keep the numbers of cases: a JSON file of names and numbers, and beside it the greatest ever given.

The map is read by people and their scripts as ``{case: number}``, so nothing else stands in it. What
it must remember beside that, the greatest number ever given, lies in a file of its own next to it:
a number that somebody strikes out of the map is not given again.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from dcmdask.errors import OutputError, ProjectIdMapError
from dcmdask.own_names import NUMBERS_LOCK
from dcmdask.publish.output import GREATEST
from dcmdask.system import locks
from dcmdask.system.writing import writing
from dcmdask.types import PRIVATE

LARGEST = 2**53
"""Up to here every reader of JSON, and every spreadsheet, keeps a whole number as it is."""

SEED_MAP = "case_projectid_map.json"
"""Name of the map that the case extractor leaves in its output folder."""

_PATIENCE = 60.0
"""Seconds to wait for another run that gives numbers: it takes milliseconds."""

_FIX = "mend the file, or name another --projectid-map"


@dataclass(frozen=True, slots=True)
class Numbers:
    """ProjectIDs.

    Attributes
    ----------
    of_case : dict
        Case to its number.
    greatest : int
        The greatest number ever given, whether a case still has it or not.
    """

    of_case: dict[str, int]
    greatest: int

    @classmethod
    def of(cls, of_case: Mapping[str, int], greatest: int = 0) -> Numbers:
        """Make them of a map and what is remembered beside it."""
        return cls(dict(of_case), max(greatest, *of_case.values(), 0))


def greatest_beside(path: Path) -> Path:
    """Return the file that remembers the greatest number of a map."""
    return path.with_name(f"{path.name}{GREATEST}")


def read_numbers(path: Path) -> Numbers:
    """Read a ProjectID map and what is remembered beside it; an absent file is an empty one.

    Raises
    ------
    ProjectIdMapError
        One of the two cannot be read, or is not what it should be.
    """
    return Numbers.of(_read_map(path), _read_greatest(greatest_beside(path)))


def _read_map(path: Path) -> dict[str, int]:
    text = _text_of(path)
    if text is None:
        return {}
    try:
        # As pairs: an object in which one case stands twice has no meaning that could be kept.
        content = json.loads(text.decode("utf-8-sig"), object_pairs_hook=tuple)
    except (ValueError, RecursionError) as error:
        raise ProjectIdMapError(str(path), "it is no JSON", _FIX) from error
    if not isinstance(content, tuple):
        raise ProjectIdMapError(str(path), "it is no JSON object", _FIX)
    numbers = dict(content)
    if len(numbers) != len(content):
        raise ProjectIdMapError(str(path), "a case stands in it twice", _FIX)
    for number in numbers.values():
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise ProjectIdMapError(str(path), "a number in it is no positive integer", _FIX)
        if number > LARGEST:
            raise ProjectIdMapError(str(path), "a number in it is too large", _FIX)
    if len(set(numbers.values())) != len(numbers):
        raise ProjectIdMapError(str(path), "two cases in it have one number", _FIX)
    return numbers


def _read_greatest(path: Path) -> int:
    text = _text_of(path)
    if text is None:
        return 0
    digits = text.strip()
    if not digits.isdigit() or len(digits) > len(str(LARGEST)) or int(digits) > LARGEST:
        remedy = "write into it the greatest ProjectID ever given"
        raise ProjectIdMapError(str(path), "it is no positive integer", remedy)
    return int(digits)


def _text_of(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ProjectIdMapError(str(path), error.strerror or "cannot be read", _FIX) from error


def assign_project_ids(cases: Iterable[str], known: Numbers, place: object = "") -> Numbers:
    """Return every case its number: known ones keep theirs, new ones get those after the greatest.

    Raises
    ------
    ProjectIdMapError
        There is no number left. `place` is named as the map.

    Examples
    --------
    >>> assign_project_ids(["b", "c", "a"], Numbers({"b": 2}, greatest=4)).of_case
    {'b': 2, 'a': 5, 'c': 6}
    """
    numbers = dict(known.of_case)
    greatest = known.greatest
    for case in sorted(set(cases) - set(numbers)):
        greatest += 1
        numbers[case] = greatest
    if greatest > LARGEST:
        raise ProjectIdMapError(str(place), f"no number up to {LARGEST} is left", _FIX)
    return Numbers(numbers, greatest)


def give_numbers(path: Path, cases: Iterable[str], inherited: Numbers) -> Numbers:
    """Return some cases their numbers and save them, while no other run does that.

    Parameters
    ----------
    path : pathlib.Path
        The map, read anew: another run may have given numbers since this one began.
    cases : iterable of str
        Their names.
    inherited : Numbers
        What to begin with where there is no map.

    Returns
    -------
    Numbers
        Of these cases and of all others in the map. Files are written only if they change.
    """
    # Whoever comes by another name meets the same lock, and a link stays one.
    path = Path(os.path.realpath(path))
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        known = known_numbers(path, inherited)
        numbers = assign_project_ids(cases, known, path)
        for place, content in contents(path, numbers).items():
            if _text_of(place) != content:
                _replace(place, content)
    return numbers


def known_numbers(path: Path, inherited: Numbers) -> Numbers:
    """Return the numbers of a map, or what it begins with where there is none."""
    own = read_numbers(path)
    if path.exists():
        return own
    return Numbers(inherited.of_case, max(inherited.greatest, own.greatest))


def contents(path: Path, numbers: Numbers) -> dict[Path, bytes]:
    """Return what the map and the file beside it hold, in the order they are to be written.

    The greatest number comes first: whatever happens between the two, none is given twice.
    """
    text = json.dumps(dict(sorted(numbers.of_case.items())), ensure_ascii=False, indent=2) + "\n"
    greatest = f"{numbers.greatest}\n".encode()
    return {greatest_beside(path): greatest, path: text.encode("utf-8", "replace")}


def _replace(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with writing(path):
        try:
            with open(fresh, "xb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            if path.exists():
                # Who may read and write it is for its owner to say.
                shutil.copymode(path, fresh)
            os.replace(fresh, path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock beside a map. The system lets go of it if this process dies."""
    private = path.with_name(PRIVATE)
    # In an output it is no file that people should meet.
    if private.is_dir():
        lock = FileLock(private / NUMBERS_LOCK, mode=0o600)
    else:
        lock = FileLock(path.with_name(f".{path.name}.lock"))
    if not locks.take(lock, str(path), "choose another --projectid-map", patience=_PATIENCE):
        words = f"another run has held it for {_PATIENCE:.0f} s"
        raise OutputError(str(path), words, "wait for it, or end it")
    try:
        yield
    finally:
        lock.release()
