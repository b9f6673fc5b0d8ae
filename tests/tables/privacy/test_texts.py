"""A name is hidden in the forms people write it, and nothing else is."""

from __future__ import annotations

import itertools
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmdask.tables.privacy import hide, pseudonym

DOE = "Doe^Jonathan^Peter^Dr^Jr"
YAMADA = "Yamada^Tarou=山田^太郎=やまだ^たろう"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("Doe^Jonathan", "CT of Jonathan Doe", "CT of {}"),
        ("Doe^Jonathan", "Doe_Jonathan", "{}"),
        ("Doe^Jonathan", "DoeJonathan", "{}"),
        ("Doe^Jonathan", "CT-JONATHANDOE_1970", "CT-{}_1970"),
        ("Doe^Jonathan", "xDoeJonathan7", "x{}7"),
        ("Doe^Jonathan^^", "CT Doe^Jonathan^^^", "CT {}"),
        (DOE, "CT of Doe^Jonathan", "CT of {}"),
        (DOE, "Dr. Jonathan Peter Doe, Jr.: head", "{}.: head"),
        (DOE, "Peter Doe", "{}"),
        ("Doe^Jonathan", "Dr. Jonathan P. Doe", "Dr. {0} P. {0}"),
        ("Doe^Jonathan", "DOE, head and neck (Jonathan)", "{0}, head and neck ({0})"),
        ("Doe^Jonathan", "J. Doe, abdomen", "{}, abdomen"),
        ("Doe, Jonathan", "jonathan doe", "{}"),
        ("Jonathan Doe^", "Doe^Jonathan", "{}"),
        ("Aa^Bb\\Doe^Jonathan", "CT Doe^Jonathan, Bb Aa", "CT {0}, {0}"),
        ("Aa^Bb\\Doe^Jonathan", "Aa^Bb\\Doe^Jonathan", "{0}\\{0}"),
        ("van der Berg^Jan", "Jan vanderBerg", "{}"),
        ("Smith-Jones^Anna", "Anna Smith Jones / SmithJonesAnna", "{}"),
        ("Smith-Jones^Anna", "Jones, Anna", "{}"),
        ("O'Brien^Pat", "Pat OBrien", "{}"),
        ("Mario^Esposito", "MarioEsposito", "{}"),
        ("Li^Na", "LI-NA 3", "{} 3"),
        ("Li^Na", "lina", "{}"),
        ("A^B", "A^B, phase A-B", "{}, phase A-B"),
        (YAMADA, "CT Yamada^Tarou", "CT {}"),
        (YAMADA, "頭部山田太郎CT", "頭部{}CT"),
        (YAMADA, "山田　太郎", "{}"),
        (YAMADA, "ヤマダ・たろう", "{}"),
        (YAMADA, YAMADA, "{}"),
        ("Yamada^Tarou=山田太郎", "x山田太郎x", "x{}x"),
        ("ﾔﾏﾀﾞ^ﾀﾛｳ", "ヤマダ　タロウ", "{}"),
        ("Doe^Jane", "\uff24\uff2f\uff25\uff3e\uff2a\uff41\uff4e\uff45", "{}"),
        ("Hong^Gildong=洪^吉洞=홍^길동", "홍길동님 CT", "{}님 CT"),
        ("M\u00fcller^Zo\u00eb", "CT MUELLER ZOE", "CT {}"),
        ("Mueller^Zoe", "Mu\u0308ller, Zoe\u0308!", "{}!"),
        ("Łukasz^Wałęsa", "lukasz.walesa", "{}"),
        ("Doe^Jane", "D\u200boe Ja\u00adne", "{}"),
        ("SUBJ0012", "scan of subj0012", "scan of {}"),
        ("DOE", "doe", "{}"),
    ],
)
def test_a_name_is_hidden_in_the_forms_people_write(name: str, text: str, expected: str) -> None:
    """Any order, separator, group, width, case and accent; titles and middle names or none."""
    assert (expected.format(pseudonym(name)), False) == hide(text, [name])


@pytest.mark.parametrize(
    ("name", "text", "left"),
    [
        ("Head^Jane", "CT Head", True),
        ("Doe^Jane", "CT Doe", True),
        ("Doe^Jane", "CT_JANE_1", True),
        ("DOE", "CT Doe", True),
        ("山田^太郎", "頭部太郎", True),
        # Two letters stand in any text, and so does a letter of many.
        ("Li^Na", "CT Li", False),
        ("CT^Jane", "CT Head", False),
        ("Doe^A", "CT A", False),
        ("Doe^A", "Doe abdomen", True),
        ("李^小龙", "桃李满天下", False),
        ("李^小龙", "CT 李", True),
        ("Synthetic^Patient 0001", "SYN-0001", False),
        # Part of another word.
        ("Head^Jane", "Overhead, Janeway", False),
        ("John^John", "Johnson", False),
        # Words of one component are no name.
        ("van der Berg^Jan", "van der Graaf", True),
        ("Doe^Jane^^Dr", "Dr. Roe", False),
        ("Doe^Jane", "", False),
        ("^^^^", "^^^^", False),
        ("", "CT", False),
    ],
)
def test_a_part_of_a_name_is_left_and_told(name: str, text: str, left: bool) -> None:
    """What may be another word stays as it is: a warning tells of it."""
    assert (text, left) == hide(text, [name])


def test_names_of_others_are_hidden_as_theirs() -> None:
    """The own name comes first where two stand in one place."""
    own, other = "Doe^Jane", "Smith^Jane^Doe"
    text = "Doe Jane; Jane Smith; Jane Doe Smith"
    mine, theirs = pseudonym(own), pseudonym(other)
    assert (f"{mine}; {theirs}; {mine}", False) == hide(text, [own, other])


SEPARATORS = (" ", "_", "-", ".", ",", ", ", "^", "", "=", "  ", "\\", "/", "\u3000", "^^")
LATIN = st.text("abdgklmnoprstuvzAEIOUäéñø", min_size=3, max_size=9)
IDEOGRAPHS = st.text("山田太郎鈴木花子王小明", min_size=1, max_size=2)
KANA = st.text("やまだたろうすきはなこ", min_size=2, max_size=4)
CASES = (str, str.lower, str.upper, str.title)
FORMS = ("NFC", "NFD", "NFKC", "NFKD")
FILLER = st.sampled_from(["CT 1", "", "Q", "7", "ximg", "頭", "W/O (2)", "hash:0123"])


@st.composite
def names(draw: st.DrawFn) -> tuple[str, list[list[str]]]:
    """Give a name and its groups, each with family, given and perhaps middle name."""
    groups = [draw(st.lists(LATIN, min_size=2, max_size=3))]
    if draw(st.booleans()):
        groups.append(draw(st.lists(IDEOGRAPHS, min_size=2, max_size=2)))
        groups.append(draw(st.lists(KANA, min_size=2, max_size=2)))
    affixes = draw(st.sampled_from(["", "^Dr", "^Prof^MD"]))
    first = "^".join(groups[0]) + ("^" * (3 - len(groups[0])) + affixes if affixes else "")
    return "=".join([first, *map("^".join, groups[1:])]), groups


@given(st.data())
def test_no_form_of_a_name_survives(data: st.DataObject) -> None:
    """Names x orders x separators x groups x letter case x normal forms x what stands around."""
    name, groups = data.draw(names())
    group = data.draw(st.sampled_from(groups))
    order = data.draw(st.permutations(group))
    between = data.draw(st.sampled_from(SEPARATORS))
    written = data.draw(st.sampled_from(CASES))(between.join(order))
    written = unicodedata.normalize(data.draw(st.sampled_from(FORMS)), written)
    edge = data.draw(st.sampled_from([" ", "_", "-", "(", ""]))
    text = f"{data.draw(FILLER)} {edge}{written}{edge} {data.draw(FILLER)}"
    found, _ = hide(text, [name])
    assert pseudonym(name) in found
    rest = re.sub(r"hash:[0-9a-f]{16}", "", found)
    assert not [part for part in itertools.permutations(group) if _plain(part) in _plain([rest])]


def _plain(parts: object) -> str:
    text = unicodedata.normalize("NFKD", "".join(parts)).casefold()  # type: ignore[arg-type]
    return "".join(one for one in text if one.isalnum())


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.text("bcdfghjklmnpqrstvwxz", min_size=3, max_size=8),
    st.text("bcdfghjklmnpqrstvwxz", min_size=3, max_size=8),
)
def test_a_text_without_the_name_is_not_changed(text: str, family: str, given_name: str) -> None:
    """Whatever the text, what does not hold a word of the name stays to the last character."""
    plain = _plain([text])
    if family not in plain and given_name not in plain:
        assert (text, False) == hide(text, [f"{family}^{given_name}"])


@given(st.text(), st.lists(st.text(), max_size=3))
def test_any_text_and_any_names_have_an_outcome(text: str, some: list[str]) -> None:
    """Damaged values end no run, and only what was hidden differs."""
    found, left = hide(text, some)
    assert not left or any(some)
    end = 0
    # What stands between pseudonyms is as it was, in its order.
    for kept in re.split("|".join(map(pseudonym, some)), found) if some else [found]:
        assert kept in text[end:]
        end = text.index(kept, end) + len(kept)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "name", ["a^a^a", "aa^aaa^a", "ab^ba^bab", "山^山山", " ".join(map(str, range(100_000)))]
)
def test_no_name_takes_more_time_than_its_text_is_long(name: str) -> None:
    """Words that can be put together in many ways are put together once."""
    for text in ("a" * 50_000, "ab" * 25_000, "a " * 25_000, "山" * 50_000):
        assert hide(text, [name])
