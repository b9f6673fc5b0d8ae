"""Take what a listing could not look into; tell which known files lie there."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unlisted:
    """A folder that could not be listed to its end, or something of which nothing could be told.

    Attributes
    ----------
    root : str
        Name of its root.
    path : str
        Relative to the root, posix.
    location : bytes
        As the system wants it.
    case, case_below : str
        That it is of as a file, and that files below it are of.
    position : int
        Of its row in the listing.
    itself : bool
        Whether it may still be the file that was known there: of a link that leads nowhere only
        what lay below it may be away.
    """

    root: str
    path: str
    location: bytes
    case: str
    case_below: str
    position: int
    itself: bool = True


class UnlistedPlaces:
    """Places that could not be listed, to be asked for each of many known files.

    Parameters
    ----------
    unlisted : iterable of Unlisted
        What could not be listed.

    Examples
    --------
    >>> places = UnlistedPlaces([Unlisted("in", "a", b"/in/a", "in", "a", 7)])
    >>> places.find("in", b"/in/a/b.dcm").position, places.find("in", b"/in/ab.dcm")
    (7, None)
    """

    def __init__(self, unlisted: Iterable[Unlisted]) -> None:
        self._keys: list[bytes] = []
        self._places: list[Unlisted] = []
        for place in sorted(unlisted, key=lambda one: _key(one.root, one.location)):
            key = _key(place.root, place.location)
            # What lies in another one, of which a part was listed before it failed, is found by that.
            if not (self._keys and key.startswith(self._keys[-1])):
                self._keys.append(key)
                self._places.append(place)

    def find(self, root: str, location: bytes) -> Unlisted | None:
        """Return the place that a file lies in, or is; None where it lies in none of them."""
        key = _key(root, location)
        # All that begins with a key follows it in this order, and none of the keys lies in another.
        spot = bisect_right(self._keys, key) - 1
        return self._places[spot] if spot >= 0 and key.startswith(self._keys[spot]) else None


def _key(root: str, location: bytes) -> bytes:
    separator = os.sep.encode()
    return root.encode("utf-8", "surrogatepass") + b"\0" + location.rstrip(separator) + separator
