"""Take text; return it as it is compared: no case, no accents, no widths, nothing invisible."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

# Letters that have a stroke or are joined, which Unicode does not take apart; katakana, which spell
# what hiragana do.
_ALIKE = str.maketrans(
    {
        **{chr(number): chr(number - 0x60) for number in range(0x30A1, 0x30F7)},
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "æ": "ae",
        "œ": "oe",
        "ħ": "h",
        "\u0131": "i",
        "ŧ": "t",
    }
)
_LEFT_OUT = frozenset(("Mn", "Mc", "Me", "Cf"))
# Scripts that are written without spaces between words, and Korean, whose particles follow a name
# without one.
_UNSPACED = (
    r"\u0e00-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\ua4cf\ua960-\ua97f"
    r"\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"
)
SPACED_LETTER = rf"[^\W\d_{_UNSPACED}]"
"""Pattern of a letter of a script that parts its words."""

_UNSPACED_LETTER = re.compile(rf"[{_UNSPACED}]")


@dataclass(frozen=True, slots=True)
class Folded:
    """A text as it is compared.

    Attributes
    ----------
    text : str
        Letters without case and accents; marks and invisible characters are gone.
    starts : sequence of int
        Where in the original each character of `text` comes from, and at the end its length.
    """

    text: str
    starts: tuple[int, ...] | range

    def original(self, start: int, stop: int) -> tuple[int, int]:
        """Return the span of the original that a span of `text` comes from."""
        # What follows the last character and left nothing is its accents.
        end = stop
        while self.starts[end] == self.starts[stop - 1]:
            end += 1
        return self.starts[start], self.starts[end]


def fold(text: str) -> Folded:
    r"""Return a text as it is compared.

    Examples
    --------
    >>> fold("Mu\u0308ller^Zoë").text
    'muller^zoe'
    """
    if text.isascii():
        return Folded(text.lower(), range(len(text) + 1))
    pieces: list[str] = []
    starts: list[int] = []
    for place, character in enumerate(text):
        found = _folded(character)
        pieces.append(found)
        starts.extend([place] * len(found))
    return Folded("".join(pieces), (*starts, len(text)))


@lru_cache(maxsize=4096)
def _folded(character: str) -> str:
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).casefold())
    kept = (one for one in plain if unicodedata.category(one) not in _LEFT_OUT)
    return "".join(kept).translate(_ALIKE)


def weight(text: str) -> int:
    """Return how much a folded text tells, in Latin letters: an ideograph is a surname.

    Examples
    --------
    >>> weight("doe"), weight("山")
    (3, 3)
    """
    if text.isascii():
        return len(text)
    # A syllable of Hangul was taken apart.
    whole = unicodedata.normalize("NFC", text)
    return len(whole) + 2 * len(_UNSPACED_LETTER.findall(whole))


def is_unspaced(character: str) -> bool:
    """Tell whether a character is of a script that does not part its words."""
    return _UNSPACED_LETTER.fullmatch(character) is not None
