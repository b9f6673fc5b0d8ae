"""Runs commands: in this process, as quick as a call, or as a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from running import other_lines
from source.making import instance

from dcmdask.cli.main import main


@dataclass(frozen=True)
class Done:
    """What a command did: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line it complained in."""
        lines = [line for line in other_lines(self.err) if not line[:2].isdigit()]
        assert 1 == len(lines), self.err
        return lines[0]


Command = Callable[..., Done]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away settings of whoever runs the tests."""
    for name in os.environ:
        if name.startswith("DCMDASK_") and name not in ("DCMDASK_DATA", "DCMDASK_IMGTOOLS_PYTHON"):
            monkeypatch.delenv(name)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run ``dcmdask`` with arguments in this process."""

    def run(*args: object) -> Done:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["dcmdask", *map(str, args)])
        with pytest.raises(SystemExit) as caught:
            main()
        printed = capsys.readouterr()
        return Done(int(caught.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def process() -> Command:
    """Run ``python -m dcmdask`` with arguments as a process."""

    def run(*args: object, encoding: str = "utf-8", **options: Any) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "dcmdask", *map(str, args)],
            check=False,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )
        out, err = ((text or b"").decode(encoding) for text in (done.stdout, done.stderr))
        return Done(done.returncode, out, err)

    return run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give a folder of two cases: three instances, a text, a truncated file."""
    for name, content in {
        "P1/1.dcm": instance(1),
        "P1/2.dcm": instance(2),
        "P1/notes.txt": b"text",
        "P2/3.dcm": instance(3, SeriesInstanceUID="1.2.3.9"),
        "P2/cut.dcm": instance(4)[:200],
    }.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "in"
