"""Nothing that a file says steers a terminal, or takes more than a line of it."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from source.making import instance

from dcmdask.cli.terminal import cut, in_lines, one_line, say

STEERING = {
    "bidi": "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c",
    "zero width": "\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e",
    "separators": "\u2028\u2029\x85\x0b\x0c",
    "controls": "\x00\x07\x08\x1b\x7f\x90\x9b\x9d",
    "tags and shifts": "\U000e0041\U000e007f\U0001d173\ufff9\ufffb",
    "without a meaning": "\ue000\U000f0000\uffff\u0378",
    "halves": "\ud800\udfff\udc80",
    "not seen": "\u034f\u115f\u1160\u3164\uffa0\u2800\ufe0f\U000e0100",
}


@pytest.mark.parametrize("kind", STEERING)
def test_what_steers_is_written_out(kind: str) -> None:
    """Each becomes its number in ASCII, wherever it stands; what stands around it stays."""
    for character in STEERING[kind]:
        found = one_line(f"a{character}b")
        assert found.isascii()
        assert re.fullmatch(r"a\\(x..|u....|U........)b", found), ascii(character)


def test_what_is_read_is_left() -> None:
    """Letters of any script, their accents, symbols and blanks are printed as they are."""
    for text in ("Mu\u0308ller 山田　太郎 이름", "שָׁלוֹם", "हिन्दी", "5\u00a0mm², δ≤φ «x» 😀", ""):
        assert text == one_line(text)


def test_a_flood_of_marks_is_written_out() -> None:
    """A few over one letter are of a language; hundreds would cover the lines around it."""
    found = one_line("a" + "\u0301" * 300 + "b")
    assert "a" + "\u0301" * 5 + "\\u0301" * 295 + "b" == found
    # One without a letter would go over what is printed before it.
    assert "\\u0301b" == one_line("\u0301b")
    assert "a\n\\u0301b" == in_lines("a\n\u0301b")


def _steers(character: str) -> bool:
    kind = unicodedata.category(character)
    return kind in ("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp")


@given(st.text(st.characters()))
def test_nothing_that_is_said_steers(text: str) -> None:
    """Whatever the text: lines are the only thing that it can make."""
    assert not any(map(_steers, one_line(text)))
    assert not any(map(_steers, in_lines(text).replace("\n", "")))
    assert one_line(text) == in_lines(one_line(text))


@given(st.text(st.characters()), st.integers(8, 40), st.booleans())
def test_a_value_takes_the_cells_it_may(text: str, cells: int, tail: bool) -> None:
    """An ideograph takes two; what fits is whole; both its ends or its beginning are left."""
    found = cut(text, cells, tail=tail)
    whole = one_line(text)
    assert cell_len(found) <= cells
    assert not any(map(_steers, found))
    assert (found == whole) == (cell_len(whole) <= cells)
    begin, _, end = found.partition("…")
    assert whole.startswith(begin)
    assert whole.endswith(end)
    assert cut(text, None) == whole


@pytest.mark.timeout(20)
def test_long_values_are_cut_quickly() -> None:
    """A name of an archive's member may take 64 kB, a damaged value more."""
    for character in ("a", "山", "\u202e", "\u0301", "\x1b"):
        assert cell_len(cut(character * 5_000_000, 80, tail=True)) <= 80


def test_what_is_said_cannot_steer(capfd: pytest.CaptureFixture[str]) -> None:
    """Lines stay lines; all else is written out."""
    say("a\u202eb\nc\x1b[2Jd\u200b")
    assert "a\\u202eb\nc\\x1b[2Jd\\u200b\n" == capfd.readouterr().out


# -- commands ----------------------------------------------------------------------------------------

LONG = "長い説明" * 16  # 128 cells; LO has room for 64 characters


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a source whose values and names steer terminals, or are longer than lines."""
    folder = tmp_path_factory.mktemp("odd")
    deep = folder / "in" / "P\u202e1" / ("deep" * 40) / ("folder" * 30)
    deep.mkdir(parents=True)
    values = {
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientID": "ID\u202e\u200b1",
        "SeriesDescription": LONG,
    }
    (deep / "a").write_bytes(instance(**values))
    (deep / "b\x1b[31m\u2028").write_bytes(instance()[:200])
    return folder / "in"


@pytest.fixture
def out(command, odd: Path, tmp_path: Path) -> Path:
    """Give the catalog of that source, and see that its log and summary do not steer."""
    log = tmp_path / "log"
    done = command("run", odd, "--out", tmp_path / "o\u202eut", "--log-file", log)
    assert 0 == done.code
    assert not any(map(_steers, (done.out + log.read_text()).replace("\n", "")))
    assert "o\\u202eut" in done.out
    return tmp_path / "o\u202eut"


def test_tables_do_not_change_for_terminals(command, odd: Path, tmp_path: Path) -> None:
    """What is published is what the file says."""
    assert 0 == command("run", odd, "--out", tmp_path / "out", "-q").code
    assert "ID\u202e\u200b1" in (tmp_path / "out" / "index.csv").read_text()


def test_shown_values_are_cut(command, out: Path) -> None:
    """Where it is no terminal, at 200 cells; `--wide` shows all, and neither steers."""
    done, wide = command("show", out), command("show", out, "--wide")
    for text in (done.out, wide.out):
        assert not any(map(_steers, text.replace("\n", "")))
        assert "patient ID\\u202e\\u200b1" in text
        assert LONG in text
    assert "deep" * 40 + "/" + "folder" * 30 in wide.out
    (folder,) = re.findall(r"\[(.*)\]", done.out)
    assert (200, True) == (cell_len(folder), "…" in folder)
    assert folder.endswith("folder" * 5)


def test_failed_paths_are_cut(command, out: Path) -> None:
    """Their ends are shown: those tell one file of a folder from another."""
    done, wide = command("failures", out), command("failures", out, "--wide")
    line, whole = (text.splitlines()[1].strip() for text in (done.out, wide.out))
    path, whole_path = line.rpartition(": ")[0], whole.rpartition(": ")[0]
    assert (200, True) == (cell_len(path), path.endswith("/b\\x1b[31m\\u2028"))
    assert whole_path.endswith("deep/" + "folder" * 30 + "/b\\x1b[31m\\u2028")


def test_targets_are_counted_where_they_do_not_fit(command, tmp_path: Path) -> None:
    """A series that refers to hundreds shows as many as a line takes; --wide shows all."""
    from pydicom.dataset import Dataset

    (tmp_path / "in").mkdir()
    series = [Dataset() for _ in range(100)]
    for number, one in enumerate(series, 1):
        one.SeriesInstanceUID = f"1.2.826.0.1.3680043.{number}"
        content = instance(number, SeriesInstanceUID=one.SeriesInstanceUID)
        (tmp_path / "in" / str(number)).write_bytes(content)
    own = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4", "Modality": "SEG"}
    content = instance(101, ReferencedSeriesSequence=series, **own)
    (tmp_path / "in" / "seg").write_bytes(content)
    assert 0 == command("run", tmp_path / "in", "--out", tmp_path / "out", "-q").code
    (line,) = (one for one in command("show", tmp_path / "out").out.splitlines() if "->" in one)
    shown, more = re.fullmatch(r".* -> (.*) and (\d+) more  \[in\]", line).groups()
    assert 100 == len(shown.split(", ")) + int(more)
    assert cell_len(shown) <= 200
    wide = command("show", tmp_path / "out", "--wide").out.splitlines()
    assert [100] == [line.count("CT ..") for line in wide if "->" in line]
