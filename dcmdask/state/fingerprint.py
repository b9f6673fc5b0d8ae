"""Take lines of a listing; give the numbers by which a later run knows a file and sees a change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

NEVER = 0
"""Facts that no file has: a row that bears them is read again."""

_KEY_BYTES = 16
_FACT_BYTES = 8
# Steele, Lea and Flood's SplitMix64 (OOPSLA 2014), a mixing of 64 bits without collisions.
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """What tells the lines of a listing apart.

    Attributes
    ----------
    keys : numpy.ndarray of uint64
        Which file it is, shape (lines, 2): 128 bits, which no two of any listing share by chance.
    facts : numpy.ndarray of uint64
        What the listing says of it, shape (lines,): another number where it has changed.
    """

    keys: Words
    facts: Words


def fingerprints(
    names: Iterable[tuple[str, str, str | None, bytes]],
    sizes: Sequence[int | None],
    times: Sequence[int | None],
    verdicts: Sequence[tuple[str | None, str | None]],
    etags: Sequence[str | None] = (),
    pieces: tuple[Sequence[int], Sequence[int]] = ((), ()),
) -> Fingerprints:
    """Return the fingerprints of some lines.

    Parameters
    ----------
    names : iterable of (str, str, str or None, bytes)
        Name of the root, path in it, case if it is of one, and location.
    sizes, times : sequence of int or None
        Bytes; microseconds since 1970.
    verdicts : sequence of (str or None, str or None)
        Kind and message of a line that is a failure before it is opened.
    etags : sequence of str or None
        Entity tags of a store; empty where there are none.
    pieces : (sequence of int, sequence of int)
        Numbers of the pieces that lines stand for, and how many there are; empty where all lines
        are whole files.

    Examples
    --------
    >>> names = [("in", "a", "in", b"/in/a")] * 2
    >>> found = fingerprints(names, [1, 2], [5, 5], [(None, None)] * 2)
    >>> bool(found.keys[0, 0] == found.keys[1, 0]), bool(found.facts[0] == found.facts[1])
    (True, False)
    """
    blake, encoded = hashlib.blake2b, "utf-8"
    digests = [
        blake(
            f"{root}\0{path}\0{case or ''}\0".encode(encoded, "surrogatepass") + location,
            digest_size=_KEY_BYTES,
        ).digest()
        for root, path, case, location in names
    ]
    keys = np.frombuffer(b"".join(digests), "<u8").reshape(-1, 2).astype(np.uint64, copy=False)
    facts = _mixed(_numbers(sizes)) ^ _mixed(_mixed(_numbers(times)))
    for line, verdict in enumerate(verdicts):
        if verdict != (None, None):
            # As text: a kind is another object where it was listed than where it was read back.
            words = "\0".join(map(str, verdict))
            digest = blake(words.encode(encoded, "surrogatepass"), digest_size=_FACT_BYTES).digest()
            facts[line] ^= np.uint64(int.from_bytes(digest, "little"))
    for line, etag in enumerate(etags):
        if etag is not None:
            digest = blake(etag.encode(), digest_size=_FACT_BYTES).digest()
            facts[line] ^= np.uint64(int.from_bytes(digest, "little"))
    if len(pieces[0]):
        numbers, counts = (np.array(one, np.uint64) for one in pieces)
        # Its number is part of which file it is, the cut of what is said of it: an archive that
        # grows and is cut in more pieces has changed.
        keys = keys.copy()
        keys[:, 0] ^= np.where(numbers > 0, _mixed(numbers), np.uint64(0))
        facts ^= np.where(counts > 1, _mixed(counts), np.uint64(0))
    facts[facts == NEVER] = 1
    return Fingerprints(keys, facts)


def _numbers(values: Sequence[int | None]) -> Words:
    return np.array([-1 if value is None else value for value in values], np.int64).view(np.uint64)


def _mixed(values: Words) -> Words:
    """Return other numbers for numbers, one to one, every bit of one in every bit of the other."""
    mixed = values + _STEP
    mixed = (mixed ^ (mixed >> _SHIFTS[0])) * _FACTORS[0]
    mixed = (mixed ^ (mixed >> _SHIFTS[1])) * _FACTORS[1]
    mixed ^= mixed >> _SHIFTS[2]
    return mixed
