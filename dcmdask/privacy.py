"""Take names; give pseudonyms, and tell where a path gives a name away."""

from __future__ import annotations

import hashlib
import re

HIDDEN_COLUMNS = ("PatientName",)
"""Columns that --desensitize replaces in every output."""

_PREFIX = "hash:"
_DIGITS = 16
# Parts of a name shorter than this are found in any path by chance.
_SHORTEST = 3


def pseudonym(name: str | None) -> str | None:
    """Give seed A's pseudonym: ``hash:`` and 16 hex digits of SHA-256 over the UTF-8 text.

    An absent name stays absent.

    Examples
    --------
    >>> pseudonym("Doe^Jane")
    'hash:ff37cfdaa95116a3'
    """
    if name is None:
        return None
    return _PREFIX + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]


def gives_away(path: str, name: str | None) -> bool:
    """Tell whether a path holds a part of a name, whatever its letter case.

    Examples
    --------
    >>> gives_away("exports/JANE_DOE/1.dcm", "Doe^Jane"), gives_away("exports/7/1.dcm", "Doe^Jane")
    (True, False)
    """
    if not name:
        return False
    folded = path.casefold()
    parts = (part for part in re.split(r"[\^=\s,.]+", name.casefold()) if len(part) >= _SHORTEST)
    return any(part in folded for part in parts)
