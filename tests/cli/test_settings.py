"""Settings from the command line, the environment and a file, in this order."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

import dcmdask.cli
from dcmdask.cli.main import _COMMANDS
from dcmdask.config import RunOptions
from dcmdask.option import at_least, option, options_of


@pytest.fixture
def settled(command, source: Path, tmp_path: Path):
    """Run with a settings file and arguments; give the settings the run was made with."""

    def settle(content: str, *args: str) -> dict[str, object]:
        (tmp_path / "s.toml").write_text(content)
        done = command(
            "run", source, "-o", tmp_path / "out", "--config", tmp_path / "s.toml", *args, "--json"
        )
        assert (0, "") == (done.code, done.err)
        return json.loads(done.out)["settings"]

    return settle


def test_a_file_gives_settings(settled) -> None:
    """Keys are option names with either dash; every kind of value is taken."""
    settings = settled(
        'layout = "native"\nin-process-below = 5000\npartition_size = 3\ntimeout = 10\n'
        'excel = true\ninclude = ["P1/*", "P2/*"]\nexclude = "*.txt"\n'
    )
    assert ("native", True, ["P1/*", "P2/*"], ["*.txt"]) == tuple(
        settings[name] for name in ("layout", "excel", "include", "exclude")
    )


def test_the_environment_outranks_the_file(settled, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable named after the option takes the place of the file's value."""
    monkeypatch.setenv("DCMDASK_LAYOUT", "cases")
    monkeypatch.setenv("DCMDASK_EXCLUDE", "*.txt *.cut")
    settings = settled('layout = "native"\nexclude = ["a"]\nexcel = true\n')
    assert ("cases", ["*.txt", "*.cut"], True) == tuple(
        settings[name] for name in ("layout", "exclude", "excel")
    )


def test_the_command_line_outranks_both(settled, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written last by hand holds."""
    monkeypatch.setenv("DCMDASK_LAYOUT", "cases")
    settings = settled('layout = "native"\nexclude = ["a"]\n', "--layout", "all", "--exclude", "b")
    assert ("all", ["b"]) == (settings["layout"], settings["exclude"])


def test_the_file_may_be_named_in_the_environment(
    command, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A site can settle things for everybody."""
    (tmp_path / "s.toml").write_text("strict = true\nquiet = true\n")
    monkeypatch.setenv("DCMDASK_CONFIG", str(tmp_path / "s.toml"))
    done = command("run", source)
    assert (3, "", "") == (done.code, done.out, done.err)


def test_the_output_may_be_a_setting(
    command, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan takes the same variables as run."""
    monkeypatch.setenv("DCMDASK_OUT", str(tmp_path / "there"))
    assert f"  {tmp_path / 'there'}: no catalog there yet" in command("plan", source).out
    assert 0 == command("run", source, "-q").code
    assert (tmp_path / "there" / "catalog.json").exists()


WRONG = {
    "unknown key": ("wrokers = 2", "wrokers is no setting: did you mean workers?"),
    "no setting": ('sources = ["x"]', "sources is no setting"),
    "itself": ('config = "x"', "config is no setting"),
    "no TOML": ("workers: 2", "is no TOML: write lines such as: workers = 4"),
    "no text": ("\udcff", "is no TOML"),
    "text for a number": ('workers = "2"', "workers: write a whole number"),
    "half a worker": ("workers = 2.5", "workers: write a whole number"),
    "true seconds": ("timeout = true", "timeout: write a number"),
    "number for a switch": ("full = 1", "full: write true or false"),
    "number for a form": ("excel = 2", "excel: write true, false or one of csv, xlsx"),
    "no form": ('excel = "ods"', "excel: write true, false or one of csv, xlsx"),
    "number for a text": ("layout = 1", "layout: write a text in quotes"),
    "numbers for globs": ("include = [1]", 'include: write a list of texts such as ["*.dcm"]'),
    "one number for globs": ("include = 1", "include: write a list of texts"),
    "unknown layout": ('layout = "x"', "'x' is not one of 'native'"),
    "section": ("[run]\nworkers = 2", "run is no setting"),
    "bad value": ("timeout = 0", "give a number of seconds above 0"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_ends_with_one_line(command, source: Path, tmp_path: Path, name: str) -> None:
    """What is wrong in it is named with what to write, and the exit code is 2."""
    content, words = WRONG[name]
    (tmp_path / "s.toml").write_bytes(content.encode("utf-8", "surrogateescape"))
    done = command("run", source, "--config", tmp_path / "s.toml")
    assert (2, "") == (done.code, done.out)
    assert words in done.line


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("WORKERS", "two", "'two' is not a valid integer"),
        ("DESENSITIZE", "perhaps", "'perhaps' is not a valid boolean"),
        ("LAYOUT", "x", "'x' is not one of 'native'"),
    ],
)
def test_a_wrong_variable_ends_with_one_line(
    command, source: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    """A value of the environment is checked as one of the command line."""
    monkeypatch.setenv(f"DCMDASK_{variable}", value)
    done = command("run", source)
    assert (2, "") == (done.code, done.out)
    assert words in done.line


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("DCMDASK_WORKER", "did you mean DCMDASK_WORKERS?"),
        ("DCMDASK_LAYOUTS", "did you mean DCMDASK_LAYOUT?"),
        ("DCMDASK_XYZZY_PLUGH", "see: dcmdask run --help; or unset it"),
    ],
)
def test_a_variable_that_is_no_setting_is_refused(
    command, source: Path, monkeypatch: pytest.MonkeyPatch, name: str, nearest: str
) -> None:
    """A slip of the pen is not passed over, whichever command is given."""
    monkeypatch.setenv(name, "2")
    for done in (command("run", source), command("plan", source), command("show", source)):
        assert (2, f"dcmdask: {name} is no setting: {nearest}") == (done.code, done.line)


@pytest.mark.parametrize(
    "name",
    [
        "DCMDASK_DATA",
        "DCMDASK_WORKERS",
        "DCMDASK_SCHEDULER_SERVICE_HOST",
        "DCMDASK_PORT_8786_TCP_ADDR",
    ],
)
def test_a_variable_of_others_is_let_alone(
    command, source: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Settings of another command, what the tests are told, what Kubernetes sets for a service."""
    monkeypatch.setenv(name, "1")
    assert 0 == command("plan", source).code


def test_help_is_given_whatever_the_environment_holds(
    command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what tells the right names."""
    monkeypatch.setenv("DCMDASK_WORKER", "2")
    assert 0 == command("run", "--help").code


def test_a_key_of_a_file_that_is_no_setting_is_answered_by_the_nearest(
    command, source: Path, tmp_path: Path
) -> None:
    """As a variable is."""
    (tmp_path / "s.toml").write_text("worker = 2\n")
    done = command("run", source, "--config", tmp_path / "s.toml")
    assert (2, True) == (done.code, "worker is no setting: did you mean workers?" in done.err)


# -- one option more -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OneMore(RunOptions):
    """The options, and one that is declared here and nowhere else."""

    most_slices: int = option(
        7,
        "Slices that count.",
        told=True,
        also={"plan": "Slices that would count."},
        letter="z",
        unit="slices",
        check=at_least(1),
    )


@pytest.fixture
def one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Import the commands anew where one option more is declared."""
    monkeypatch.setattr("dcmdask.config.RunOptions", OneMore)
    for name in ("settings", "run", "plan"):
        module = import_module(f"dcmdask.cli.{name}")
        monkeypatch.setattr(dcmdask.cli, name, module)
        monkeypatch.delitem(sys.modules, module.__name__)


@pytest.mark.usefixtures("one_more")
def test_an_option_that_is_declared_can_be_set_in_every_way(
    command, settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file, the environment and the command line take it, and the catalog tells it."""
    assert 7 == settled("")["most_slices"]
    assert 8 == settled("most-slices = 8")["most_slices"]
    monkeypatch.setenv("DCMDASK_MOST_SLICES", "9")
    assert 9 == settled("most_slices = 8")["most_slices"]
    assert 10 == settled("most_slices = 8", "-z", "10")["most_slices"]
    assert "-z, --most-slices INTEGER" in command("run", "--help").out


@pytest.mark.usefixtures("one_more")
def test_an_option_that_is_declared_is_in_the_help_of_the_commands_that_take_it(command) -> None:
    """Each says of it what is declared for that command."""
    words = {
        name: " ".join(command(name, "--help").out.split()) for name in ("run", "plan", "show")
    }
    assert "-z, --most-slices INTEGER Slices that count. [default: 7]" in words["run"]
    assert "-z, --most-slices INTEGER Slices that would count. [default: 7]" in words["plan"]
    assert "--most-slices" not in words["show"]


@pytest.mark.usefixtures("one_more")
def test_an_option_that_is_declared_is_checked_wherever_it_is_set(
    command, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong value and a name that is nearly right are one line each."""
    (tmp_path / "s.toml").write_text("most_slices = 2.5")
    wrong = command("run", source, "--config", tmp_path / "s.toml")
    assert (2, True) == (wrong.code, wrong.line.endswith("most_slices: write a whole number"))
    for name in ("run", "plan"):
        wrong = command(name, source, "--most-slices", "0")
        assert "dcmdask: --most-slices 0: give a whole number of at least 1" == wrong.line
    monkeypatch.setenv("DCMDASK_MOST_SLICE", "3")
    wrong = command("run", source)
    assert wrong.line.endswith("is no setting: did you mean DCMDASK_MOST_SLICES?")


@pytest.mark.parametrize("name", _COMMANDS)
def test_a_command_takes_the_options_that_are_declared_for_it(name: str) -> None:
    """And no other one of a run."""
    taken = {
        flag for one in import_module(f"dcmdask.cli.{name}").command.params for flag in one.opts
    }
    declared = options_of(RunOptions)
    assert {one.flag for one in declared if name == "run" or name in one.also} == taken & {
        one.flag for one in declared
    }
    assert all(set(one.also) < set(_COMMANDS) for one in declared)


@pytest.mark.parametrize("name", ["out", "from-list", "storage-option"])
def test_help_shows_no_value_that_may_hold_a_secret(command, tmp_path: Path, name: str) -> None:
    """A settings file is where such a value stands, and help shows what a file settles."""
    (tmp_path / "s.toml").write_text(f'{name} = "s3:token=HIDDEN"\nworkers = 17\n')
    shown = command("run", "--config", tmp_path / "s.toml", "--help").out
    assert ("17]" in shown, "HIDDEN" in shown) == (True, False)
