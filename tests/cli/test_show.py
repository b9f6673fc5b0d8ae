"""``show``, ``failures``, ``synth`` and ``demo``: what they print."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from source.making import instance

from dcmdask.synthetic import write_synthetic
from dcmdask.types import Kind


@pytest.fixture
def out(command, source: Path, tmp_path: Path) -> Path:
    """Give the catalog of the small source."""
    assert 0 == command("run", source, "--out", tmp_path / "out", "-q").code
    return tmp_path / "out"


# -- show ------------------------------------------------------------------------------------------


def test_a_catalog_is_a_tree(command, out: Path) -> None:
    """Patients, studies, series with their instances and folders."""
    done = command("show", out)
    assert (0, "") == (done.code, done.err)
    assert [
        "patient P1",
        "`-- study 1.2.3.2",
        "    |-- CT 1.2.3.3: 2 instances  [in/P1]",
        "    `-- CT 1.2.3.9: 1 instance  [in/P2]",
    ] == [line.translate(str.maketrans("├└│─", "|`|-")) for line in done.out.splitlines()[5:]]


def test_who_refers_to_whom_is_shown(command, tmp_path: Path) -> None:
    """Series name their targets by modality and the end of the UID, or by all of it."""
    write_synthetic(tmp_path / "in", patients=1, slices=2)
    assert 0 == command("run", tmp_path / "in", "--out", tmp_path / "out", "-q").code
    short, whole = (
        command("show", tmp_path / "out").out,
        command("show", tmp_path / "out", "--uids").out,
    )
    (line,) = (line for line in short.splitlines() if "RTDOSE" in line and "->" in line)
    assert "RTPLAN .." in line.partition(" -> ")[2]
    assert ".." not in whole
    assert len(short) < len(whole)


def test_patients_are_bounded(command, tmp_path: Path) -> None:
    """More patients than asked for are counted; --all shows them."""
    for number in range(4):
        path = tmp_path / "in" / f"P{number}" / "a"
        path.parent.mkdir(parents=True)
        values = {"PatientID": f"P{number}", "StudyInstanceUID": f"1.{number}"}
        path.write_bytes(instance(number, SeriesInstanceUID=f"1.2.{number}", **values))
    assert 0 == command("run", tmp_path / "in", "--out", tmp_path / "out", "-q").code
    some = command("show", tmp_path / "out", "--patients", 3).out
    assert some.endswith("... and 1 patient more: --all\n")
    assert 3 == some.count("\npatient P")
    assert 4 == command("show", tmp_path / "out", "--all").out.count("\npatient P")


@pytest.mark.parametrize("name", ["crawl_db", "references", "failures"])
@pytest.mark.parametrize(
    ("damage", "remedy"), [("gone", "run again"), ("damaged", "run again with --full --replace")]
)
def test_a_damaged_catalog_ends_with_one_line(
    command, source: Path, out: Path, name: str, damage: str, remedy: str
) -> None:
    """A table that is gone or makes no sense is named, with what to do, and that mends it."""
    path = out / f"{name}.parquet"
    before = path.read_bytes()
    path.unlink() if damage == "gone" else path.write_bytes(b"PAR1 no PAR1")
    done = command("failures" if name == "failures" else "show", out)
    assert (1, f"dcmdask: catalog {out}: {name}.parquet is {damage}; {remedy}") == (
        done.code,
        done.line,
    )
    again = remedy.removeprefix("run again").removeprefix(" with ").split()
    assert 0 == command("run", source, "--out", out, "-q", *again).code
    assert before == path.read_bytes()


# -- failures --------------------------------------------------------------------------------------


def test_failures_are_grouped_by_kind(command, out: Path) -> None:
    """Each kind has its files, why, and what to do; skips are counted."""
    done = command("failures", out)
    assert (0, "") == (done.code, done.err)
    assert [
        "truncated: 1 file - copy them again from where they came",
        "  P2/cut.dcm: the file ends before its SOPClassUID",
        "skipped: 1 (--skips shows them)",
    ] == done.out.splitlines()
    assert "  P1/notes.txt: " in command("failures", out, "--skips").out
    assert "  P1/notes.txt: " in command("failures", out, "--kind", "not_dicom").out
    assert "nothing failed\n" == command("failures", out, "--kind", "timeout").out


def test_many_failures_are_bounded(command, tmp_path: Path) -> None:
    """Ten of a kind are shown, and how to see the rest."""
    (tmp_path / "in").mkdir()
    for number in range(12):
        (tmp_path / "in" / f"{number}").write_bytes(instance()[:200])
    assert 0 == command("run", tmp_path / "in", "--out", tmp_path / "out", "-q").code
    some = command("failures", tmp_path / "out").out
    assert some.endswith("  ... and 2 more: --kind truncated --all\n")
    assert 1 + 12 == len(command("failures", tmp_path / "out", "--all").out.splitlines())


def test_every_kind_has_its_words() -> None:
    """No kind of failure is without a remedy and a word of its own."""
    from dcmdask.cli.failures import _REMEDIES
    from dcmdask.cli.summary import _WORDS

    assert set(Kind) == set(_REMEDIES) == {Kind(word) for word in _WORDS}


# -- synth, demo -----------------------------------------------------------------------------------


def test_synth_says_what_it_wrote(command, tmp_path: Path) -> None:
    """The count is that of the files, and a folder that holds something is refused."""
    args = ("synth", tmp_path / "new", "--patients", "2", "--slices", "2", "--archives", "zip")
    done = command(*args)
    assert (0, "") == (done.code, done.err)
    assert " of 2 patients in 2 files, " in done.out
    again = command(*args)
    assert 2 == again.code
    assert "write the name of a new or an empty folder" in again.line


def test_a_demo_crawls_what_it_makes(
    command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with a tree, the files that were written, and the next command; done twice as once."""
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        done = command("demo")
        out = tmp_path / "dcmdask-demo" / ".imgtools" / "exports"
        assert 0 == done.code
        assert 2 == done.out.count("\npatient ")
        assert f"next: dcmdask show {out}\n" in done.out
        assert 0 == command("show", out).code
    assert ["dcmdask-demo"] == os.listdir(tmp_path)


def test_a_demo_does_not_overwrite_what_is_not_its_own(command, tmp_path: Path) -> None:
    """A folder that holds something else, or a file, is refused with one line."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("x")
    done = command("demo", tmp_path / "mine")
    words = "it holds something else; name another folder"
    assert (1, f"dcmdask: output {tmp_path / 'mine'}: {words}") == (done.code, done.line)
    assert "name another folder" in command("demo", tmp_path / "mine" / "notes").line
    assert ["notes"] == os.listdir(tmp_path / "mine")
