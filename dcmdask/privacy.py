"""Take names; give pseudonyms, and tell where a path gives a name away."""

from __future__ import annotations

import hashlib
import re
import unicodedata

_PREFIX = "hash:"
_DIGITS = 16
# Bytes of UTF-8: two Latin letters are found in any path by chance, one ideograph is a surname.
_SHORTEST = 3
_BETWEEN_PARTS = re.compile(r"[\^=\s,.]+")
_BETWEEN_LETTERS = re.compile(r"[^\w/]|_")


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


def hidden(text: str | None, name: str | None) -> str | None:
    """Give a text in which a whole name, where it stands, is replaced by its pseudonym.

    Letter case makes no difference, nor whether its components are parted by ``^`` or a space.

    Examples
    --------
    >>> hidden("Head of DOE JANE", "Doe^Jane")
    'Head of hash:ff37cfdaa95116a3'
    """
    if not text or not name or len(name.encode("utf-8", "replace")) < _SHORTEST:
        return text
    known = pseudonym(name)
    assert known is not None
    parts = [re.escape(part) for part in _BETWEEN_PARTS.split(name) if part]
    if not parts:
        return text
    whole = r"[\^=\s,.]+".join(parts) + r"\^*"
    return re.sub(whole, known, text, flags=re.IGNORECASE)


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
    parts = (_letters(part) for part in _BETWEEN_PARTS.split(name))
    letters = _letters(path)
    return any(
        part in letters for part in parts if len(part.encode("utf-8", "replace")) >= _SHORTEST
    )


def _letters(text: str) -> str:
    # Accents are no word characters once they are taken off their letters.
    return _BETWEEN_LETTERS.sub("", unicodedata.normalize("NFKD", text).casefold())
