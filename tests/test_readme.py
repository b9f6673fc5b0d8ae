"""The README's commands run as they stand and print what it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from dcmdask.config import RunOptions
from dcmdask.option import options_of

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the commands are for a POSIX shell"
)


def blocks(language: str) -> list[str]:
    """Give the code blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def sessions() -> list[tuple[str, str]]:
    """Give the commands of the console blocks with what they print."""
    text = "".join(blocks("console"))
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
    return [(part.split("\n", 1)[0], part.split("\n", 1)[1]) for part in parts]


def settled(text: str, folder: Path) -> str:
    """Give an output without what differs from run to run: times, rates, the folder."""
    text = text.replace("\r\n", "\n").replace(f"{folder}{os.sep}", "")
    text = re.sub(r"[\d,]+ files/s", "N files/s", text)
    return re.sub(r"\d+\.\d s", "T s", text)


def environment() -> dict[str, str]:
    """Give the environment of a user who has the package's commands on the PATH."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def session(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, list[subprocess.CompletedProcess[str]]]:
    """Run the commands of the console blocks in order; give where, and what came of each."""
    folder = tmp_path_factory.mktemp("readme").resolve()
    ran = [
        subprocess.run(  # noqa: S602 - the README's own lines
            command,
            shell=True,
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        for command, _ in sessions()
    ]
    return folder, ran


@pytest.fixture
def folder(session: tuple[Path, list[subprocess.CompletedProcess[str]]]) -> Path:
    """Give the folder in which the README's session has been run."""
    return session[0]


def test_the_session_prints_what_is_shown(
    session: tuple[Path, list[subprocess.CompletedProcess[str]]],
) -> None:
    """Every command of the console blocks, in order, gives the output that stands below it."""
    folder, ran = session
    assert len(ran) == 12
    for done, (_, expected) in zip(ran, sessions(), strict=True):
        assert done.returncode == 0, done.stderr
        assert settled(expected, folder) == settled(done.stdout, folder)


def test_the_python_example_runs(folder: Path) -> None:
    """The Python block crawls what the session synthesised and prints its CT series."""
    (program,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "74 instances, 23 series" in done.stdout
    assert "SYN-0002" in done.stdout


def test_the_query_finds_the_dose_of_each_patient(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SQL block relates both doses to their CT."""
    (query,) = blocks("sql")
    monkeypatch.chdir(folder)
    rows = duckdb.sql(query).fetchall()
    assert ["via_structure_set"] * 3 == [row[2] for row in rows]


def test_the_demo_shows_where_its_outputs_are(tmp_path: Path) -> None:
    """The first command's last part works on an empty machine's folder."""
    command = [sys.executable, "-m", "dcmdask", "demo"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "dcmdask-demo" / ".imgtools" / "exports"
    assert f"catalog: {out}" in done.stdout
    assert (out / "index.csv").exists()


def test_the_second_command_is_what_ci_runs() -> None:
    """`.ci/run` installs and tests as the README says, and the README names the test extra."""
    _, develop = blocks("sh")
    script = (Path(__file__).parent.parent / ".ci" / "run").read_text(encoding="utf-8")
    assert "'.[test]'" in develop
    assert "'.[test]'" in script
    assert "pytest -n 4 --dist worksteal" in develop
    assert 'pytest" -n 4 --dist worksteal' in script


def test_the_table_of_options_is_as_they_are_declared() -> None:
    """Each is there, and takes what the table says by default."""
    declared = {one.flag: one for one in options_of(RunOptions)}
    rows = re.findall(r"^\| `(--[a-z-]+)(?: (\w+))?` \| (.*) \|$", README, flags=re.MULTILINE)
    assert len(rows) == 10
    for flag, value, words in rows:
        one = declared[flag]
        assert value in ("", one.metavar, one.unit.upper(), *one.choices)
        default = re.search(r"\(default ([\d.]+)\)", words)
        assert default is None or float(default[1]) == one.default
