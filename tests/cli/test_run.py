"""``dcmdask run``: what it prints, where, and what it returns."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from source.making import instance

from dcmdask.cli.display import watching
from dcmdask.types import Progress

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="special files of POSIX")


def test_a_run_says_what_it_found_and_what_to_do_next(command, source: Path) -> None:
    """The summary is on stdout, progress on stderr, the catalog beside the source."""
    done = command("run", source)
    out = source.parent / ".imgtools" / "in"
    assert 0 == done.code
    assert [
        "3 instances in 2 series, 1 study, 1 patient; 2 cases",
        "  series: CT 2",
        "  references: 0, 0 to objects not found here",
        "  skipped: 1 (not DICOM 1)",
        "  failed: 1 (truncated 1)",
    ] == done.out.splitlines()[:5]
    assert re.search(rf"^catalog: {re.escape(str(out))} \(5 files in ", done.out, re.MULTILINE)
    assert f"next: dcmdask show {out}\n" in done.out
    assert f"      dcmdask failures {out}\n" in done.out
    assert (out / "catalog.json").exists()


def test_progress_is_plain_lines_where_there_is_no_terminal(command, source: Path) -> None:
    """Each stage has its line, with a time and no code that steers a terminal."""
    lines = command("run", source).err.splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines)
    stages = [line[9:].partition(":")[0] for line in lines]
    assert ["listing", "reading headers", "building the catalog", "publishing"] == stages
    assert lines[-1].endswith("publishing: 5 files, 3 instances, 1 failed")
    assert "\x1b" not in "".join(lines)
    # Files that are known are files of the catalog, and none that were to be read.
    (source / "more.dcm").write_bytes(instance(99))
    lines = command("run", source).err.splitlines()
    assert lines[-1].endswith("publishing: 6 files, 4 instances, 1 failed")


def test_lines_of_progress_say_how_fast_and_how_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Between stages a line every few seconds tells of files, bytes, speed and time left."""
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with watching(quiet=False, log_file=None) as watch:
        for done in range(0, 2500, 500):
            watch(Progress("read", 2500, done, done, 7, 0, 5_000_000, done * 2000))
            now[0] += 2.0
    lines = [line[9:] for line in capsys.readouterr().err.splitlines()]
    assert [
        "reading headers: 0 of 2,500 files, 0 instances, 7 failed, 0 MB",
        "reading headers: 1,500 of 2,500 files, 1,500 instances, 7 failed, 3 MB, 250 files/s, 4 s left",
    ] == lines


def test_speed_counts_from_where_reading_began(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files that were read while others were being listed took their time too."""
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with watching(quiet=False, log_file=None) as watch:
        for stage, done in (("list", 0), ("list", 300), ("read", 600)):
            watch(Progress(stage, 1000, done, done, 0, 0, 2_000_000, done * 2000))
            now[0] += 6.0
    lines = [line[9:] for line in capsys.readouterr().err.splitlines()]
    assert [
        "listing: 1,000 files found, 2 MB to read",
        "listing: 1,000 files found, 2 MB to read, 300 read",
        "reading headers: 600 of 1,000 files, 600 instances, 0 failed, 1 MB, 50 files/s, 8 s left",
    ] == lines


def test_quiet_prints_nothing(command, source: Path, tmp_path: Path) -> None:
    """Neither progress nor summary; what is wrong is still said."""
    done = command("run", source, "--out", tmp_path / "out", "--quiet")
    assert (0, "", "") == (done.code, done.out, done.err)
    assert "no such file" in command("run", tmp_path / "nothing", "-q").line


def test_json_prints_the_catalog_file_only(command, source: Path, tmp_path: Path) -> None:
    """What is on stdout is JSON, and the content of catalog.json; nothing is on stderr."""
    done = command("run", source, "--out", tmp_path / "out", "--json")
    assert (0, "") == (done.code, done.err)
    printed = json.loads(done.out)
    assert str(tmp_path / "out") == printed.pop("out")
    written = json.loads((tmp_path / "out" / "catalog.json").read_text())
    # The file has a check sum of itself beside what it says.
    assert written.pop("check")
    assert written == printed
    assert (3, 1, 1) == tuple(
        printed["counts"][name] for name in ("instances", "skips", "failures")
    )


def test_strict_exits_with_3_where_a_file_failed(command, source: Path, tmp_path: Path) -> None:
    """The catalog is published all the same; skips are no failures."""
    done = command("run", source, "--out", tmp_path / "out", "--strict", "--quiet")
    assert (3, "", "") == (done.code, done.out, done.err)
    assert (tmp_path / "out" / "catalog.json").exists()
    (source / "P2" / "cut.dcm").unlink()
    assert 0 == command("run", source, "--out", tmp_path / "out", "--strict", "--quiet").code


# -- the log ---------------------------------------------------------------------------------------


def test_a_log_file_holds_progress_and_summary(command, source: Path, tmp_path: Path) -> None:
    """Also of a quiet run, and behind what stands there."""
    (tmp_path / "log").write_text("earlier\n")
    done = command("run", source, "--out", tmp_path / "out", "-q", "--log-file", tmp_path / "log")
    assert (0, "", "") == (done.code, done.out, done.err)
    lines = (tmp_path / "log").read_text().splitlines()
    assert "earlier" == lines[0]
    assert lines[1].endswith("listing: 5 files found, 0 MB to read")
    assert "3 instances in 2 series, 1 study, 1 patient; 2 cases" in lines
    assert f"      dcmdask failures {tmp_path / 'out'}" == lines[-1]


def test_a_log_file_says_how_a_run_failed(command, source: Path, tmp_path: Path) -> None:
    """The line that the user saw stands there too."""
    (tmp_path / "out").write_text("a file")
    done = command("run", source, "--out", tmp_path / "out", "--log-file", tmp_path / "log")
    assert 1 == done.code
    text = (tmp_path / "log").read_text()
    assert text.endswith(f" ended: {done.line.removeprefix('dcmdask: ')}\n")


def test_a_log_file_that_cannot_be_opened_ends_with_one_line(
    command, source: Path, tmp_path: Path
) -> None:
    """Before anything is read. A folder that is not there is made."""
    log = source / "P1" / "1.dcm" / "log"
    done = command("run", source, "--out", tmp_path / "out", "--log-file", log)
    words = "Not a directory; choose another --log-file"
    assert (1, f"dcmdask: output {log}: {words}") == (done.code, done.line)
    assert ["in"] == os.listdir(tmp_path)


@POSIX
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_log_file_on_a_full_disk_does_not_cost_the_catalog(
    command, source: Path, tmp_path: Path
) -> None:
    """The run goes on, and one line says that the log could not be written."""
    done = command("run", source, "--out", tmp_path / "out", "-q", "--log-file", "/dev/full")
    words = "No space left on device; the catalog is published all the same"
    assert (0, f"dcmdask: log file /dev/full: {words}") == (done.code, done.line)
    assert (tmp_path / "out" / "catalog.json").exists()


# -- options ---------------------------------------------------------------------------------------


def test_options_reach_the_run(command, source: Path, tmp_path: Path) -> None:
    """What is asked for on the command line is what the catalog says it was made with."""
    args = ["--exclude", "*.txt", "--exclude", "P2/*", "--layout", "native", "--desensitize"]
    printed = json.loads(command("run", source, "-o", tmp_path / "out", *args, "--json").out)
    settings = printed["settings"]
    assert (["*.txt", "P2/*"], "native", True) == (
        settings["exclude"],
        settings["layout"],
        settings["desensitize"],
    )
    assert 2 == printed["counts"]["files"]
    assert not (tmp_path / "out" / "index.csv").exists()


def test_archives_and_files_are_sources(command, tmp_path: Path) -> None:
    """Several sources of several kinds go into one catalog."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(instance(1))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "one.dcm").write_bytes(instance(2))
    (tmp_path / "b" / "other.dcm").write_bytes(instance(3))
    args = (tmp_path / "a", tmp_path / "b" / "one.dcm", "--out", tmp_path / "out", "--json")
    assert 2 == json.loads(command("run", *args).out)["counts"]["instances"]


def test_an_empty_source_is_taken_for_one_that_is_away(command, tmp_path: Path) -> None:
    """On a first run: one line and exit code 1, and no output is made."""
    (tmp_path / "in" / "case").mkdir(parents=True)
    done = command("run", tmp_path / "in", "-q")
    words = "there is no file in it (is it mounted?); nothing was published"
    assert (1, f"dcmdask: source {tmp_path / 'in'}: {words}") == (done.code, done.line)
    assert ["in"] == os.listdir(tmp_path)
    planned = command("plan", tmp_path / "in")
    words = "a run would end with 1 and publish nothing: there is no file in it (is it mounted?)"
    assert (0, f"  {words}") == (planned.code, planned.out.splitlines()[-1])


def test_a_second_run_at_the_same_time_ends_with_one_line(
    command, source: Path, tmp_path: Path
) -> None:
    """It names who writes there and exits with 1."""
    from dcmdask.publish.folder_store import FolderStore

    with FolderStore(tmp_path / "out"):
        done = command("run", source, "--out", tmp_path / "out", "-q")
    began = r"begun \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    who = rf"process {os.getpid()} on \S+, {began}"
    words = rf"dcmdask: output .*out: {who} writes there now; wait for it"
    assert (1, True) == (done.code, bool(re.match(words, done.line)))


def test_a_cluster_on_this_machine_gives_the_same_catalog(
    command, source: Path, tmp_path: Path
) -> None:
    """With worker processes instead of none, the published files are the same bytes."""
    for name, args in (("one", []), ("two", ["--in-process-below", "0", "--workers", "2"])):
        out = tmp_path / name
        done = command("run", source, "--out", out, "--partition-size", "2", *args)
        assert (0, True) == (done.code, done.out.startswith("3 instances"))
        assert all(line[:2].isdigit() for line in done.err.splitlines())
    differ = {"catalog.json", "instances", ".dcmdask"}
    for path in (tmp_path / "one").rglob("*"):
        if path.is_file() and not differ & set(path.parts):
            assert (
                path.read_bytes()
                == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()
            )


def test_a_small_run_loads_only_what_it_needs(source: Path, tmp_path: Path) -> None:
    """Neither pandas, which Arrow would load where it is installed, nor Dask's scheduler."""
    pytest.importorskip("pandas")
    timed = [sys.executable, "-X", "importtime", "-m", "dcmdask", "run", source, "--quiet"]
    done = subprocess.run(
        [*timed, "--out", tmp_path / "out"], capture_output=True, text=True, check=True
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "dcmdask.execution.pipeline" in loaded
    assert not {"pandas.core", "distributed"} & loaded
