"""Take a PatientName; find it in texts in the forms people write it.

A name is words, each of a component: family, given or middle name. Words of two components beside each
other are the name, in whatever order, with whatever between them, with a title or without. A word that
stands alone may be the name or not: nobody can tell `CT` the family from `CT` the modality.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from dcmdask.tables.privacy.folding import SPACED_LETTER, Folded, fold, is_unspaced, weight

_TITLES = frozenset(
    (
        "dr",
        "prof",
        "mr",
        "mrs",
        "ms",
        "miss",
        "sir",
        "med",
        "phd",
        "md",
        "jr",
        "sr",
        "ii",
        "iii",
        "iv",
    )
)
_COMPONENTS = 3
"""Components that name a person: family, given, middle. The other two are prefix and suffix (PS3.5
6.2.1)."""

_WORD = re.compile(r"[^\W_]+")
_BETWEEN = re.compile(r"(?:_|[^\w;|\n]){0,6}")
_LETTER = re.compile(SPACED_LETTER)
_AFTER_VOWEL = re.compile(r"(?<=[aou])e")
_DELIMITERS = "^="

_LONGEST = 2048
"""Characters of a name that is looked for: three groups have 64 each (PS3.5 6.2), damaged ones more."""

_TELLS = 3
"""Letters of a word that tells something where it stands alone."""
_TELLS_GLUED = 4
"""Letters of two words that are the name where nothing parts them, as a word of its own."""
_NEAR = 24
"""Characters between two words of a name, each a word of the text, that are still read as one name."""
_SURE = 4
"""Characters of a name of one word with digits in it, such as SUBJ0012: no other word is like it."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Found:
    """Where a name is in a folded text.

    Attributes
    ----------
    whole : list of (int, int)
        Where it stands, in whatever form.
    parts : list of (int, int)
        Where one of its words stands alone.
    """

    whole: list[Span]
    parts: list[Span]


@dataclass(frozen=True, slots=True)
class _Value:
    """One value of a name: its words.

    Attributes
    ----------
    words : dict
        Folded word to the components that it is of, as bits; none for a title.
    sure : frozenset of str
        Words that are the name by themselves.
    alone : tuple of str
        The one word of a name that has no other, such as it stands.
    """

    words: dict[str, int]
    sure: frozenset[str]
    alone: tuple[str, ...]


class Name:
    """A name, ready to be looked for.

    Parameters
    ----------
    text : str
        A value of PatientName (PN): groups parted by ``=``, components by ``^``; several values by a
        backslash.
    """

    def __init__(self, text: str) -> None:
        folded = fold(text).text
        self._values = [value for one in folded.split("\\") if (value := _value(one)).words]
        words = {word for value in self._values for word in value.words}
        telling = {word for word in words if len(word) > 1 or is_unspaced(word)}
        self._bare = tuple(_bare(word) for word in telling or words)

    def may_be_in(self, bare: str) -> bool:
        """Tell, at little cost, whether the name can be in a text."""
        return any(word in bare for word in self._bare)

    def find(self, text: str) -> Found:
        """Find the name in a folded text.

        Returns
        -------
        Found
            Spans of the text, sorted; none overlaps another one of its kind.
        """
        whole: list[Span] = []
        parts: list[Span] = []
        for value in self._values:
            found = _find(value, text)
            whole += found.whole
            parts += found.parts
        return Found(united(whole), united(parts))


def name_of(text: str) -> Name:
    """Return a name, ready to be looked for."""
    return _name(text[:_LONGEST])


@lru_cache(maxsize=4096)
def _name(text: str) -> Name:
    return Name(text)


# One text at a time is looked through for some names; it may have 64 kB.
@lru_cache(maxsize=64)
def prepared(text: str) -> tuple[Folded, str]:
    """Return a text as names are looked for in it, and as `Name.may_be_in` wants it."""
    folded = fold(text)
    return folded, _bare(folded.text)


def united(spans: Sequence[Span]) -> list[Span]:
    """Return spans of which no two overlap, that cover the same.

    Examples
    --------
    >>> united([(5, 7), (0, 3), (2, 4)])
    [(0, 4), (5, 7)]
    """
    joined: list[Span] = []
    for start, stop in sorted(spans):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return joined


# -- the words of a name -----------------------------------------------------------------------------


def _value(folded: str) -> _Value:
    words: dict[str, int] = {}
    sure: set[str] = set()
    groups = [_words_of_group(group) for group in folded.split("=")]
    for group in groups:
        for word, component in group:
            words[word] = words.get(word, 0) | component
        own = {word for word, component in group if component}
        if len(own) == 1 and _is_sure(*own):
            sure |= own
    named = {word for word, component in words.items() if component}
    # One word and its other spellings, such as those of other groups.
    alone = tuple(named) if all(len({w for w, c in group if c}) <= 1 for group in groups) else ()
    return _Value(words, frozenset(sure), alone)


def _words_of_group(group: str) -> list[tuple[str, int]]:
    """Return the words of one group, each with its component as a bit: 0 for a title."""
    components = [_WORD.findall(one) for one in group.split("^")]
    named = components[:_COMPONENTS]
    titles = [word for one in components[_COMPONENTS:] for word in one]
    if sum(map(bool, named)) == 1:
        # Written without delimiters, as in "Doe, Jane": which word is what, nobody can tell.
        named = [[word] for one in named for word in one]
    kept = [[word for word in one if word not in _TITLES] for one in named]
    if sum(map(bool, kept)) < min(2, sum(map(bool, named))):
        # "Doe^Mrs": what a person is called by, as far as it is known.
        kept = named
    found = [(word, 1 << number) for number, one in enumerate(kept) for word in one]
    titles += [word for one in named for word in one if word in _TITLES]
    return [*found, *((word, 0) for word in titles if not any(word == w for w, _ in found))]


def _is_sure(word: str) -> bool:
    """Tell whether the one word of a group can be nothing but the name."""
    if any(map(str.isdigit, word)):
        return len(word) >= _SURE and not word.isdigit()
    return len(word) > 1 and all(map(is_unspaced, word))


def _bare(folded: str) -> str:
    # Müller, Mueller and Muller come to the same.
    return _AFTER_VOWEL.sub("", folded)


@lru_cache(maxsize=8192)
def _pattern(word: str) -> re.Pattern[str]:
    spelled = re.escape(_bare(word))
    return re.compile(re.sub(r"(?<=[aou])", "e?", spelled) if word.isascii() else spelled)


# -- where they stand --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Unit:
    """Words of a name with nothing between them.

    Attributes
    ----------
    start, stop : int
        Where.
    components : int
        Which, as bits.
    weight : int
        How much they tell, in letters.
    sure : bool
        Whether they are the name by themselves.
    """

    start: int
    stop: int
    components: int
    weight: int
    sure: bool


def _find(value: _Value, text: str) -> Found:
    units = list(_units(value, text))
    whole: list[Span] = []
    rest: list[_Unit] = []
    for chain in _chains(units, text):
        if _is_name(chain, text):
            whole.append(_with_delimiters(text, chain[0].start, chain[-1].stop))
        else:
            rest += (unit for unit in chain if unit.components and unit.weight >= _TELLS)
    rest = [unit for unit in rest if _is_word(unit, text)]
    if value.alone and (words := set(_WORD.findall(text))) and words <= set(value.alone):
        return Found([*whole, *((unit.start, unit.stop) for unit in rest)], [])
    # A number tells nothing by itself.
    rest = [unit for unit in rest if not text[unit.start : unit.stop].isdigit()]
    near = set(_near(rest))
    whole += ((unit.start, unit.stop) for unit in near)
    return Found(whole, [(unit.start, unit.stop) for unit in rest if unit not in near])


def _units(value: _Value, text: str) -> Iterator[_Unit]:
    """Return the longest units, from left to right, that begin and end where words do.

    Long ones may also stand in the middle of letters, as in ``CTDoeJane7``.
    """
    begins = _occurrences(value, text)
    # From each place the best way on, found from the end: linear in the text.
    best: dict[int, tuple[bool, int, int, int, int]] = {}
    for start in sorted(begins, reverse=True):
        ways = []
        for stop, component in begins[start]:
            edge = _is_edge(text, stop)
            known = component if weight(text[start:stop]) >= _TELLS else 0
            ways.append((edge, stop, component, known, 1))
            if stop in best:
                further = best[stop]
                ways.append((further[0], further[1], component | further[2], known | further[3], 2))
        best[start] = max(ways)
    behind = 0
    for start in sorted(best):
        edge, stop, components, known, words = best[start]
        inside = words > 1 and known.bit_count() > 1
        if start < behind or not ((_is_edge(text, start) and edge) or inside):
            continue
        heavy = weight(text[start:stop])
        behind = stop
        sure = text[start:stop] in value.sure
        glued = words > 1 and components.bit_count() > 1 and heavy >= _TELLS_GLUED
        yield _Unit(start, stop, components, heavy, sure or glued)


def _occurrences(value: _Value, text: str) -> dict[int, list[tuple[int, int]]]:
    """Return where words of a name begin in a text: where each ends, and its components."""
    found: dict[int, list[tuple[int, int]]] = {}
    for word, components in value.words.items():
        for match in _pattern(word).finditer(text):
            ends = found.setdefault(match.start(), [])
            ends.append((match.end(), components))
            if match[0].endswith("e") and not word.endswith("e"):
                # It may as well begin the next word.
                ends.append((match.end() - 1, components))
        if components and len(word) > 1 and _LETTER.match(word):
            # J. Doe
            for match in re.finditer(rf"{re.escape(word[0])}(?=\.)", text):
                if _is_edge(text, match.start()):
                    found.setdefault(match.start(), []).append((match.end(), components))
    return found


def _is_edge(text: str, place: int) -> bool:
    """Tell whether a word may begin or end at a place: not between two letters or two digits."""
    if place in (0, len(text)):
        return True
    before, after = text[place - 1], text[place]
    if before.isdigit() and after.isdigit():
        return False
    return not (_LETTER.match(before) and _LETTER.match(after))


def _is_word(unit: _Unit, text: str) -> bool:
    """Tell whether a unit stands as a word: one ideograph in a row of others does not."""
    before = text[max(0, unit.start - 1) : unit.start]
    after = text[unit.stop : unit.stop + 1]
    if not (_is_edge(text, unit.start) and _is_edge(text, unit.stop)):
        return False
    several = len(unicodedata.normalize("NFC", text[unit.start : unit.stop])) > 1
    return several or not (before.isalpha() or after.isalpha())


def _chains(units: Sequence[_Unit], text: str) -> Iterator[list[_Unit]]:
    """Return units that only separators part, together."""
    chain: list[_Unit] = []
    for unit in units:
        if chain and not _BETWEEN.fullmatch(text, chain[-1].stop, unit.start):
            yield chain
            chain = []
        chain.append(unit)
    if chain:
        yield chain


def _is_name(chain: Sequence[_Unit], text: str) -> bool:
    if any(unit.sure for unit in chain):
        return True
    components = 0
    for unit in chain:
        components |= unit.components
    if len(chain) < 2 or components.bit_count() < 2:
        return False
    # What a caret parts is a name, be it two letters.
    telling = sum(unit.weight for unit in chain if unit.components)
    return telling >= _TELLS or "^" in text[chain[0].start : chain[-1].stop]


def _with_delimiters(text: str, start: int, stop: int) -> Span:
    """Return a span with the delimiters of a name that are left at its ends."""
    while start and text[start - 1] in _DELIMITERS:
        start -= 1
    while stop < len(text) and text[stop] in _DELIMITERS:
        stop += 1
    return start, stop


def _near(units: Sequence[_Unit]) -> list[_Unit]:
    """Return words of different components that stand near each other, with other words between."""
    found: list[_Unit] = []
    for first, second in itertools.pairwise(units):
        several = (first.components | second.components).bit_count() > 1
        if several and second.start - first.stop <= _NEAR:
            found += [first, second]
    return found
