"""The command line: help, one line for what is wrong, and exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from source.making import instance
from source.unprivileged import run_unprivileged, shared_folder

from dcmdask._version import __version__
from dcmdask.cli.main import _COMMANDS

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="permissions and pipes of POSIX")


def test_help_names_every_command(command) -> None:
    """Asked for help, and asked nothing, it says what there is."""
    asked, nothing = command("--help"), command()
    assert (0, "") == (asked.code, asked.err)
    assert asked == nothing
    assert all(f"  {name} " in asked.out for name in _COMMANDS)


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_has_help(command, name: str) -> None:
    """Help of a command says how it is written and describes every option."""
    for flag in ("--help", "-h"):
        done = command(name, flag)
        assert (0, "") == (done.code, done.err)
        assert done.out.startswith(f"Usage: dcmdask {name} [OPTIONS]")
    module = __import__(f"dcmdask.cli.{name}", fromlist=["command"])
    options = [one for one in module.command.params if isinstance(one, click.Option)]
    assert all(option.help for option in options)


def test_the_version_is_that_of_the_package(command) -> None:
    """It names the program and its version."""
    assert f"dcmdask, version {__version__}\n" == command("--version").out


WRONG = {
    "unknown command": (["crawl"], "write one of run, plan, show"),
    "unknown option": (["run", "x", "--workres", "2"], "Did you mean"),
    "unknown option of all": (["--quiet", "run", "x"], "No such option"),
    "missing source": (["run"], "write: dcmdask run [OPTIONS] SOURCE..."),
    "missing source of plan": (["plan"], "write: dcmdask plan [OPTIONS] SOURCE..."),
    "missing out": (["show"], "write: dcmdask show [OPTIONS] OUT"),
    "missing value": (["run", "x", "--out"], "Option '--out' requires an argument"),
    "too many": (["demo", "a", "b"], "write: dcmdask demo [OPTIONS] [FOLDER]"),
    "bad layout": (["run", "x", "--layout", "y"], "is not one of 'native', 'imgtools', 'cases'"),
    "bad timeout": (["run", "x", "--timeout", "soon"], "'soon' is not a valid float"),
    "timeout of nothing": (["run", "x", "--timeout", "0"], "give a number of seconds above 0"),
    "nothing for a read": (["run", "x", "--read-timeout", "0"], "--read-timeout 0: give a number"),
    "negative timeout": (["run", "x", "--timeout", "-1"], "give a number of seconds above 0"),
    "timeout of no number": (["run", "x", "--timeout", "nan"], "give a number of seconds above 0"),
    "bad workers": (["run", "x", "--workers", "-1"], "give a whole number of at least 0"),
    "bad partition": (["run", "x", "--partition-size", "0"], "a whole number of at least 1"),
    "several sources": (["run", ".", ".."], "say where the catalog goes with --out"),
    "bad kind": (["failures", "x", "--kind", "y"], "is not one of 'not_dicom'"),
    "bad number": (["show", "x", "--patients", "y"], "'y' is not a valid integer"),
    "bad modality": (["synth", "x", "--modalities", "XX"], "write some of CT"),
    "no patients": (["synth", "x", "--patients", "0"], "write a number from 1"),
    "missing settings": (["run", "x", "--config", "nothing.toml"], "name a TOML file"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_usage_ends_with_one_line_that_says_what_to_write(
    command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The exit code is 2, nothing is printed on stdout, and nothing is made."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b2").mkdir()
    monkeypatch.chdir(tmp_path / "a" / "b")
    args, words = WRONG[name]
    if name == "several sources":
        args = ["run", "../b", "../b2"]
    done = command(*args)
    assert (2, "") == (done.code, done.out)
    assert done.line.startswith("dcmdask: ")
    assert words in done.line
    assert [] == os.listdir()


def test_a_missing_source_ends_with_one_line(command, tmp_path: Path) -> None:
    """The exit code is 1, and no output is made."""
    for name in ("run", "plan"):
        done = command(name, tmp_path / "nothing", "--out", tmp_path / "out")
        words = "no such file or folder; check the path"
        assert (1, "") == (done.code, done.out)
        assert f"dcmdask: source {tmp_path / 'nothing'}: {words}" == done.line
    assert [] == os.listdir(tmp_path)


def test_an_output_without_catalog_ends_with_one_line(command, tmp_path: Path) -> None:
    """Commands that show a catalog say that there is none."""
    for name in ("show", "failures"):
        done = command(name, tmp_path)
        words = "no catalog.json there; name the --out of a run"
        assert (1, "") == (done.code, done.out)
        assert f"dcmdask: catalog {tmp_path}: {words}" == done.line


_COMMAND = """
sys.argv = ["dcmdask", *sys.argv[1:]]
dcmdask.cli.main.main()
"""


@POSIX
def test_a_source_that_may_not_be_read_ends_with_one_line() -> None:
    """The exit code is 1, for a folder as for a file."""
    with shared_folder() as folder:
        (folder / "in").mkdir(mode=0)
        (folder / "a.zip").write_bytes(b"")
        (folder / "a.zip").chmod(0)
        for name in ("in", "a.zip"):
            done = run_unprivileged(_COMMAND, "run", folder / name, "--out", folder / "out")
            words = "permission denied; grant read access or leave it out"
            assert f"dcmdask: source {folder / name}: {words}\n" == done.stderr
            assert (1, "") == (done.returncode, done.stdout)


def test_what_nobody_foresaw_is_one_line_without_its_words(
    command, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect shows its class and place: the words of an exception may quote a patient."""

    def fail(*_args: object) -> None:
        raise LookupError("Doe^Jane")

    monkeypatch.setattr("dcmdask.execution.pipeline.choose", fail)
    done = command("run", source)
    assert (1, "") == (done.code, done.out)
    assert "a defect: LookupError in fail, line" in done.line
    assert "Doe" not in done.err


def test_an_error_of_the_system_is_one_line(
    command, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no room has translated still says what the system said."""

    def fail(*_args: object) -> None:
        raise OSError(5, "Input/output error", "/secret")

    monkeypatch.setattr("dcmdask.execution.pipeline.choose", fail)
    assert "dcmdask: the system says: Input/output error" == command("run", source).line


# -- streams ---------------------------------------------------------------------------------------


@POSIX
def test_a_reader_that_has_enough_is_no_error(process, source: Path, tmp_path: Path) -> None:
    """A closed pipe, as of head, ends the command without a word."""
    assert 0 == process("run", source, "--out", tmp_path / "out", "--quiet").code
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as closed:
        done = process("show", tmp_path / "out", stdout=closed)
    assert (0, "") == (done.code, done.err)


@POSIX
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_stdout_is_one_line(process, source: Path, tmp_path: Path) -> None:
    """What cannot be printed is said, once, and the catalog is there."""
    with open("/dev/full", "wb") as full:
        done = process("run", source, "--out", tmp_path / "out", stdout=full)
    assert 1 == done.code
    assert "dcmdask: the system says: No space left on device" == done.line
    assert (tmp_path / "out" / "catalog.json").exists()


@POSIX
def test_progress_that_cannot_be_shown_does_not_end_the_run(
    process, source: Path, tmp_path: Path
) -> None:
    """A closed stderr costs the progress, not the crawl."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as closed:
        assert 0 == process("run", source, "--out", tmp_path / "out", stderr=closed).code
    assert (tmp_path / "out" / "catalog.json").exists()


@POSIX
def test_names_that_the_terminal_has_no_characters_for_are_printed(process, tmp_path: Path) -> None:
    """In an encoding without them they become their numbers; JSON stays JSON."""
    (tmp_path / "in" / "日本").mkdir(parents=True)
    (tmp_path / "in" / "日本" / "a").write_bytes(instance(PatientID="Ä"))
    how = {"encoding": "latin-1", "env": {**os.environ, "PYTHONIOENCODING": "latin-1"}}
    done = process("run", tmp_path / "in", "--out", tmp_path / "日", "--json", **how)
    assert str(tmp_path / "日") == json.loads(done.out)["out"]
    shown = process("show", tmp_path / "日", **how)
    assert (0, "") == (shown.code, shown.err)
    assert "patient Ä\n" in shown.out
    assert "[in/\\u65e5\\u672c]\n" in shown.out
    wrong = process("show", tmp_path / "本", **how)
    assert 1 == wrong.code
    assert "\\u672c: no catalog.json there" in wrong.line


@POSIX
def test_names_do_not_steer_the_terminal(command, tmp_path: Path) -> None:
    """Control characters in names of files are shown as what they are."""
    odd = "\x1b[2J\x07new\nline\x9b"
    (tmp_path / "in" / odd).mkdir(parents=True)
    (tmp_path / "in" / odd / "a").write_bytes(instance())
    (tmp_path / "in" / odd / "cut").write_bytes(instance()[:200])
    done = command("run", tmp_path / "in", "--out", tmp_path / "out")
    shown, failed = command("show", tmp_path / "out"), command("failures", tmp_path / "out")
    wrong = command("show", tmp_path / odd)
    seen = r"\x1b[2J\x07new\nline\x9b"
    assert f"[in/{seen}]\n" in shown.out
    assert f"  {seen}/cut: " in failed.out
    assert f"{seen}: no catalog.json there" in wrong.line
    for text in (done.out, done.err, shown.out, failed.out, wrong.err):
        assert not {"\x1b", "\x07", "\x9b"} & set(text)


def test_it_runs_as_a_module_and_as_a_command() -> None:
    """Both ways of starting it are one program."""
    script = Path(sys.executable).with_name("dcmdask")
    ways = [[sys.executable, "-m", "dcmdask"]] + ([[str(script)]] if script.exists() else [])
    for way in ways:
        done = subprocess.run([*way, "--version"], capture_output=True, text=True, check=False)
        assert (0, "") == (done.returncode, done.stderr)
        assert done.stdout.endswith(f"version {__version__}\n")
