"""Pseudonyms are seed A's, and paths that give a name away are found."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmdask.tables.privacy import gives_away, pseudonym


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Doe^Jane", "hash:ff37cfdaa95116a3"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "hash:272d5cf75f5ab6b4"),
        ("", "hash:e3b0c44298fc1c14"),
    ],
)
def test_a_pseudonym_is_the_start_of_a_digest(name: str, expected: str) -> None:
    """`printf NAME | sha256sum` gives the same digits."""
    assert expected == pseudonym(name)


def test_an_absent_name_stays_absent() -> None:
    """No name has no pseudonym: a hash of nothing would look like a person."""
    assert pseudonym(None) is None


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_has_a_pseudonym(name: str) -> None:
    """Whatever the text, it is 16 hex digits of SHA-256 over UTF-8."""
    assert f"hash:{hashlib.sha256(name.encode()).hexdigest()[:16]}" == pseudonym(name)


def test_a_name_that_has_no_utf8_has_a_pseudonym() -> None:
    """Half a character, as damaged files hold it, does not end the run."""
    assert pseudonym("\ud800") == "hash:91a681b998555fb4"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("exports/JANE/1.dcm", "Doe^Jane"),
        ("exports/doe_jane.zip!1.dcm", "Doe^Jane"),
        ("exports/7/doe.dcm", "DOE^J"),
        ("exports/Smith_Jones/1.dcm", "Smith-Jones^A"),
        ("exports/obrien/1.dcm", "O'Brien^A"),
        ("exports/山田/1.dcm", "Yamada^Tarou=山田^太郎"),
        ("exports/李/1.dcm", "李^小龙"),
        # How macOS writes an umlaut into a folder, and how a DICOM file holds it.
        ("exports/Mu\u0308ller/1.dcm", "M\u00fcller^A"),
        ("exports/MULLER/1.dcm", "M\u00fcller^A"),
        ("exports/STRASSE/1.dcm", "Straße^A"),
        ("exports/lodz/1.dcm", "Łódź^A"),
        ("exports/0001/1.dcm", "0001"),
        ("exports/jane/1.dcm", "Other^One\\Doe^Jane"),
    ],
)
def test_a_path_that_holds_a_name_is_found(path: str, name: str) -> None:
    """Letter case, accents and what stands between letters hide nothing."""
    assert gives_away(path, name)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("exports/7/1.dcm", "Doe^Jane"),
        # Two Latin letters are found in any path.
        ("exports/online/1.dcm", "Li^X"),
        ("exports/0001/CT-0001.dcm", "Synthetic^Patient 0001"),
        # A part of a name does not reach over the border of two folders.
        ("exports/jo/hn/1.dcm", "John^X"),
        ("exports/7/1.dcm", ""),
        ("exports/7/1.dcm", None),
        ("exports/7/1.dcm", "^^^^"),
    ],
)
def test_a_path_that_holds_none_is_not(path: str, name: str | None) -> None:
    """A warning that comes for every path would not be read."""
    assert not gives_away(path, name)


@given(st.text(), st.text())
def test_no_text_breaks_the_check(path: str, name: str) -> None:
    """Any path and any name have an answer."""
    assert gives_away(path, name) in (True, False)


@given(st.text("abcXYZäÖüéñ", min_size=3))
def test_a_folder_named_after_the_patient_is_found(name: str) -> None:
    """A name of three letters or more is found in a path that holds it, in any letter case."""
    assert gives_away(f"in/{name.upper()}/1.dcm", name)
