"""Who may reach an output: what a run keeps for itself is the user's alone, with --private all is."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from running import SLOW, hooked, kill_session, parts_of, run_command, wait_for
from source.unprivileged import run_unprivileged, shared_folder
from support import crawl, encode

from dcmdask.config import RunOptions
from dcmdask.errors import UsageError
from dcmdask.execution.pipeline import run
from dcmdask.synthetic import write_synthetic
from dcmdask.types import PRIVATE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give two patients."""
    folder = tmp_path_factory.mktemp("private") / "exports"
    write_synthetic(folder, patients=2, slices=3)
    return folder


def open_to_others(folder: Path) -> list[str]:
    """Give what of a folder anybody but its owner may reach, itself included."""
    found = [folder, *folder.rglob("*")]
    return sorted(
        path.relative_to(folder).as_posix() for path in found if path.lstat().st_mode & 0o077
    )


def linked(out: Path) -> list[str]:
    """Give the parts that are published instances too, under another name."""
    files = (out / PRIVATE).rglob("*.parquet")
    return sorted(p.relative_to(out / PRIVATE).as_posix() for p in files if p.stat().st_nlink > 1)


def modes(out: Path) -> set[tuple[bool, int]]:
    """Give the modes of what is published: whether it is a folder, and its permissions."""
    found = [out, *(path for path in out.rglob("*") if PRIVATE not in path.parts)]
    return {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in found}


def test_what_a_run_keeps_is_its_users_alone(source: Path, tmp_path: Path) -> None:
    """Whatever the umask; what is published has the modes that new files have there.

    Instances are published as second names of parts: these have the modes of what is published, in
    a folder that nobody else may enter.
    """
    before = os.umask(0o027)
    try:
        for _ in range(2):
            crawl(source, tmp_path / "out", partition_size=12)
        assert linked(tmp_path / "out") == open_to_others(tmp_path / "out" / PRIVATE)
        assert {(True, 0o750), (False, 0o640)} == modes(tmp_path / "out")
        os.umask(0o022)
        crawl(source, tmp_path / "out", full=True)
        # OUT itself and the map of numbers keep what their owner says.
        kept = {(True, 0o750), (False, 0o640)}
        assert {(True, 0o755), (False, 0o644)} == modes(tmp_path / "out") - kept
    finally:
        os.umask(before)


def test_with_private_all_of_it_is(source: Path, tmp_path: Path) -> None:
    """A later run keeps to it, also one that finds nothing new, and reads nothing again for it."""
    out = tmp_path / "out"
    crawl(source, out, private=True)
    assert [] == open_to_others(out)
    (tmp_path / "exports").symlink_to(source)
    crawl(source, out, private=True, full=True)
    assert [] == open_to_others(out)
    crawl(source, tmp_path / "later")
    again = crawl(source, tmp_path / "later", private=True).run
    assert again["counts"]["files"] == again["run"]["changes"]["same"]
    assert [] == open_to_others(tmp_path / "later")


def test_what_an_earlier_release_left_open_is_closed(source: Path, tmp_path: Path) -> None:
    """The first run of this one sees to it."""
    out = tmp_path / "out"
    crawl(source, out)
    for path in (out / PRIVATE, *(out / PRIVATE).rglob("*")):
        path.chmod(0o777)
    crawl(source, out)
    assert [] == open_to_others(out / PRIVATE)


def test_a_group_that_a_folder_passes_on_stays(source: Path, tmp_path: Path) -> None:
    """The set-group-ID bit of OUT is not lost on the way."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o2755)
    crawl(source, tmp_path / "out")
    for name in ("cases", "instances", PRIVATE):
        assert (tmp_path / "out" / name).stat().st_mode & stat.S_ISGID


def test_a_killed_run_leaves_nothing_open(source: Path, tmp_path: Path) -> None:
    """Parts, manifest and all else that readers and the run have written so far."""
    out = tmp_path / "out"
    words = run_command(source, out, "--quiet", "--partition-size", "4", "--workers", "1")
    child = subprocess.Popen(
        list(map(str, words)), env=hooked(tmp_path, SLOW), start_new_session=True
    )
    assert wait_for(lambda: parts_of(out) >= 2, 60)
    child.send_signal(signal.SIGKILL)
    child.wait(30)
    kill_session(child.pid)
    assert (out / PRIVATE / "staging" / "manifest").is_dir()
    assert [] == open_to_others(out / PRIVATE)


_SHOW = """
sys.argv = ["dcmdask", sys.argv[1], *sys.argv[2:]]
from dcmdask.cli.main import main
main()
"""


def test_others_read_what_is_published_and_nothing_else() -> None:
    """Another user is shown the catalog, and turned away from one that is private."""
    with shared_folder() as folder:
        (folder / "in" / "P1").mkdir(parents=True)
        (folder / "in" / "P1" / "a.dcm").write_bytes(encode())
        before = os.umask(0o022)
        try:
            crawl(folder / "in", folder / "open")
            crawl(folder / "in", folder / "closed", private=True)
        finally:
            os.umask(before)
        shown = run_unprivileged(_SHOW, "show", folder / "open")
        assert "patient P1\n" in shown.stdout
        assert "note" not in shown.stdout
        (folder / "open" / "index.csv").write_text("changed")
        again = run_unprivileged(_SHOW, "show", folder / "open")
        assert "  note: changed since it was published: index.csv\n" in again.stdout
        refused = run_unprivileged(_SHOW, "show", folder / "closed")
        assert (1, "", 1) == (refused.returncode, refused.stdout, refused.stderr.count("\n"))
        looked = run_unprivileged("print(os.listdir(sys.argv[1]))", folder / "open" / PRIVATE)
        assert "PermissionError" in looked.stderr
        # What nobody else may look into is an output all the same, and no folder of data.
        told = run_unprivileged(
            "from dcmdask.marks import is_output; print(is_output(sys.argv[1]), is_output('/tmp'))",
            folder / "open",
        )
        assert "True False\n" == told.stdout
        planned = run_unprivileged(_SHOW, "plan", folder / "in", "--out", folder / "open")
        assert (1, "", 1) == (planned.returncode, planned.stdout, planned.stderr.count("\n"))


def test_private_in_a_bucket_is_said_to_be_a_matter_of_its_policy(source: Path) -> None:
    """Before anything is listed."""
    words = (
        "--private with --out memory://o: leave it out: who may read a bucket is said by its pol"
    )
    with pytest.raises(UsageError, match=words):
        run([str(source)], RunOptions(out="memory://o", private=True))


def test_neither_option_is_one_that_reads_all_again() -> None:
    """They decide who may read a catalog and what makes room for it, not what it holds."""
    usual = RunOptions()
    assert usual.digest() == RunOptions(private=True, replace=True).digest()
    assert "private" not in usual.settings()
