"""What a user sees of folders and links that are not entered, and of files that are never opened."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from cli.conftest import Command
from source.making import instance, zip_of

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="links and special files of POSIX")


def _file(path: Path, content: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _counts(command: Command, source: Path, out: Path, *options: object) -> dict[str, object]:
    done = command("run", source, "--out", out, "--json", *options)
    assert 0 == done.code
    return json.loads(done.out)


@pytest.fixture
def share(tmp_path: Path, command: Command) -> Path:
    """Give a share of a file server: its own folders, a catalog, names that only look like one."""
    folder = tmp_path / "share"
    for number, name in enumerate(
        (
            "P1/CT/a.dcm",
            "P1/CT/@eaDir/a.dcm/thumb.dcm",
            "P2/.dcmdask/b.dcm",
            "P3/.snapshot/daily/P3/c.dcm",
            "P3/c.dcm",
            "#recycle/d.dcm",
        ),
        1,
    ):
        _file(folder / name, instance(number))
    _file(folder / "P1" / ".dcmdask")
    _file(folder / "P4" / "e.zip", zip_of({"e.dcm": instance(9)}))
    assert 0 == command("run", folder / "P4" / "e.zip", "--quiet").code
    return folder


def test_what_is_not_entered_is_named_and_counted(
    share: Path, tmp_path: Path, command: Command
) -> None:
    """Listing, summary and failures speak of it; no name alone hides anything; no case comes of it."""
    out = tmp_path / "out"
    plan = command("plan", share, "--out", out).out
    assert "9 files" in plan
    assert "not entered: 4 folders and links" in plan
    done = command("run", share, "--out", out)
    assert "  skipped: 5 (not DICOM 1, not entered 4)" in done.out
    assert "4 instances in" in done.out
    assert "skipped: 5 (--skips shows them)" in command("failures", out).out
    shown = command("failures", out, "--kind", "not_entered").out.splitlines()
    remedy = "nothing in there was read; each says why, and what would read it"
    server = "a folder of the file server: --include-server-folders enters it"
    assert [
        f"not_entered: 4 folders and links - {remedy}",
        f"  #recycle: {server}",
        f"  P1/CT/@eaDir: {server}",
        f"  P3/.snapshot: {server}",
        "  P4/.imgtools/e: a catalog of dcmdask",
    ] == shown
    assert {"P1": 1, "P2": 2, "P3": 3, "P4": 4} == json.loads(
        (out / "projectid_map.json").read_text()
    )


def test_folders_of_a_server_are_entered_when_asked_for(
    share: Path, tmp_path: Path, command: Command
) -> None:
    """And when they are named, as source or in a list; the catalog says which of it was asked for."""
    out = tmp_path / "out"
    options = ("--include-server-folders",)
    assert "9 files" in command("plan", share, "--out", out, *options).out
    before = _counts(command, share, out)
    after = _counts(command, share, out, *options)
    assert (4, 7) == (before["counts"]["instances"], after["counts"]["instances"])
    assert {"not_entered": 1, "not_dicom": 1} == after["counts"]["kinds"]
    assert before["settings"]["digest"] != after["settings"]["digest"]
    assert 1 == _counts(command, share / "#recycle", tmp_path / "named")["counts"]["instances"]
    _file(tmp_path / "list.txt", b"./#recycle/d.dcm\nP1/CT/@eaDir/a.dcm/thumb.dcm\n")
    listed = _counts(command, share, tmp_path / "listed", "--from-list", tmp_path / "list.txt")
    assert (2, {}) == (listed["counts"]["instances"], listed["counts"]["kinds"])


@POSIX
def test_links_are_followed_as_asked(tmp_path: Path, command: Command) -> None:
    """By default none that leads out; the next run would read nothing again, whichever are."""
    _file(tmp_path / "in" / "P1" / "a.dcm", instance(1))
    _file(tmp_path / "outside" / "b.dcm", instance(2))
    for name, target in (("P1/same.dcm", "a.dcm"), ("P1/b.dcm", "../../outside/b.dcm")):
        (tmp_path / "in" / name).symlink_to(target)
    (tmp_path / "in" / "P2").symlink_to(tmp_path / "outside")
    (tmp_path / "in" / "P1" / "all").symlink_to("/proc")
    found = {}
    for mode in ("inside", "all", "none"):
        out = tmp_path / mode
        counts = _counts(command, tmp_path / "in", out, "--follow-links", mode)["counts"]
        found[mode] = (counts["files"], counts["instances"], counts["kinds"].get("not_entered", 0))
        plan = command("plan", tmp_path / "in", "--out", out, "--follow-links", mode).out
        assert f"0 new, 0 changed, 0 gone, {counts['files']} unchanged" in plan
    assert {"inside": (5, 2, 3), "all": (5, 4, 1), "none": (5, 1, 4)} == found
    words = command("failures", tmp_path / "inside", "--skips").out
    assert "  P2: a link that leads out of the source: --follow-links all follows it" in words
    done = command("run", tmp_path / "in", "--follow-links", "some")
    assert 2 == done.code


@POSIX
def test_what_the_listing_says_is_unchanged_the_next_night(
    tmp_path: Path, command: Command
) -> None:
    """A FIFO, a broken link, a link to itself, a link out, an output: none of them is changed."""
    _file(tmp_path / "in" / "P1" / "a.dcm", instance(1))
    os.mkfifo(tmp_path / "in" / "P1" / "fifo")
    for name, target in (("broken", "nothing"), ("self", "self"), ("out", "/usr")):
        (tmp_path / "in" / "P1" / name).symlink_to(target)
    _file(tmp_path / "in" / "P2" / ".dcmdask" / "unfinished.json", b'{"reading": "')
    out = tmp_path / "out"
    assert 6 == _counts(command, tmp_path / "in", out)["counts"]["files"]
    _file(tmp_path / "in" / "P2" / "index.csv", b"what a run in there has left")
    done = command("run", tmp_path / "in", "--out", out)
    assert "files: 0 new, 0 changed, 0 gone, 6 unchanged" in done.out
    plan = command("plan", tmp_path / "in", "--out", out).out
    assert "0 new, 0 changed, 0 gone, 6 unchanged" in plan
    assert "a run reads 0 files" in plan


@POSIX
def test_archives_are_not_moved_through_links(tmp_path: Path, command: Command) -> None:
    """What is there under its folder's name and leads elsewhere is a taken name."""
    _file(tmp_path / "in" / "P1.zip", zip_of({"a.dcm": instance(1)}))
    (tmp_path / "outside").mkdir()
    (tmp_path / "in" / "P1").symlink_to(tmp_path / "outside")
    done = _counts(command, tmp_path / "in", tmp_path / "out", "--move-top-level-zips")
    assert 1 == done["counts"]["instances"]
    assert [] == list((tmp_path / "outside").iterdir())
    assert (tmp_path / "in" / "P1_1" / "P1.zip").is_file()
