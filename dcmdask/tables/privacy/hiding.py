"""Take a text and names; return it with pseudonyms for them, and tell what may still be one."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache

from dcmdask.tables.privacy.folding import fold, weight
from dcmdask.tables.privacy.names import Span, name_of, prepared, united

_PREFIX = "hash:"
_DIGITS = 16
# Two Latin letters are found in any path by chance, one ideograph is a surname.
_SHORTEST = 3
_LONGEST = 2048
_BETWEEN_PARTS = re.compile(r"[\^=\s,.\\]+")
_BETWEEN_LETTERS = re.compile(r"[^\w/]|_")


def pseudonym(name: str | None) -> str | None:
    """Return seed A's pseudonym: ``hash:`` and 16 hex digits of SHA-256 over the UTF-8 text.

    An absent name stays absent.

    Examples
    --------
    >>> pseudonym("Doe^Jane")
    'hash:ff37cfdaa95116a3'
    """
    return None if name is None else _pseudonym(name)


def _pseudonym(name: str) -> str:
    return _PREFIX + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]


def hide(text: str, names: Sequence[str]) -> tuple[str, bool]:
    """Return a text with the pseudonym of a name wherever it stands, and whether a part of one is left.

    A name is found in any order of its components, whatever stands between them, with its prefix,
    suffix and middle names or without, in any of its groups, whatever the letter case, accents and
    widths. A word of it that stands alone is left: it may be something else.

    Parameters
    ----------
    text : str
        Free text.
    names : sequence of str
        Values of PatientName. Where two of them stand in one place, it is the first one's.

    Examples
    --------
    >>> hide("Head of JANE_DOE", ["Doe^Jane"])
    ('Head of hash:ff37cfdaa95116a3', False)
    >>> hide("CT Doe", ["Doe^Jane"])
    ('CT Doe', True)
    """
    folded, bare = prepared(text)
    found = [
        (own, name.find(folded.text)) for own in names if (name := name_of(own)).may_be_in(bare)
    ]
    if not found:
        return text, False
    covered = united([span for _, own in found for span in own.whole])
    left = any(_is_open(part, covered) for _, own in found for part in own.parts)
    pieces = []
    behind = 0
    for span in covered:
        whose = next(name for name, own in found if _meets(span, own.whole))
        start, stop = folded.original(*span)
        pieces += [text[behind:start], _pseudonym(whose)]
        behind = stop
    return "".join([*pieces, text[behind:]]), left


def _meets(span: Span, others: Sequence[Span]) -> bool:
    """Tell whether a span overlaps one of others, sorted and apart. A damaged text has thousands."""
    first = bisect_right(others, span[0], key=lambda other: other[1])
    return first < len(others) and others[first][0] < span[1]


def _is_open(part: Span, covered: Sequence[Span]) -> bool:
    """Tell whether a span lies in none of others, sorted and apart."""
    before = bisect_right(covered, part[0], key=lambda span: span[0])
    return not before or covered[before - 1][1] < part[1]


def gives_away(path: str, name: str | None) -> bool:
    """Tell whether a path holds a part of a name.

    Letter case, accents, and what stands between letters (``Smith-Jones``, ``smith_jones``) make no
    difference.

    Examples
    --------
    >>> gives_away("exports/JANE_DOE/1.dcm", "Doe^Jane"), gives_away("exports/7/1.dcm", "Doe^Jane")
    (True, False)
    """
    if not name:
        return False
    letters = _letters(path)
    return any(part in letters for part in _parts(name[:_LONGEST]))


@lru_cache(maxsize=4096)
def _parts(name: str) -> tuple[str, ...]:
    parts = {_letters(part) for part in _BETWEEN_PARTS.split(fold(name).text)}
    telling = {part for part in parts if weight(part) >= _SHORTEST}
    # A number beside words tells nothing.
    return tuple(sorted({part for part in telling if not part.isdigit()} or telling))


# A path is compared with several names, and a name with many paths.
@lru_cache(maxsize=1024)
def _letters(text: str) -> str:
    return _BETWEEN_LETTERS.sub("", fold(text).text)
