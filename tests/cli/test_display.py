"""Progress on a terminal: a live display that leaves nothing behind."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len
from source.making import instance

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals of POSIX")

_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def _on_a_terminal(*args: object, columns: int = 120) -> tuple[int, str]:
    """Run a command with all its streams on a terminal; give its code and what was printed."""
    import pty

    pid, master = pty.fork()
    if pid == 0:
        os.environ |= {"TERM": "xterm", "COLUMNS": str(columns), "LINES": "24"}
        os.execv(sys.executable, [sys.executable, "-m", "dcmdask", *map(str, args)])  # noqa: S606
    printed = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # Linux says so at the end
            break
        if not piece:
            break
        printed += piece
    os.close(master)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), printed.decode()


def test_a_terminal_shows_a_live_display(tmp_path: Path) -> None:
    """Stages follow each other on one line, which is wiped when the summary comes."""
    (tmp_path / "in").mkdir()
    for number in range(30):
        (tmp_path / "in" / f"{number}.dcm").write_bytes(instance(number))
    args = ("run", tmp_path / "in", "--out", tmp_path / "out", "--partition-size", 10)
    code, printed = _on_a_terminal(*args)
    assert 0 == code
    assert "\x1b[?25l" in printed
    assert printed.rindex("\x1b[?25h") < printed.index("30 instances in 1 series")
    live, _, summary = printed.partition("30 instances in 1 series")
    assert "reading headers" in live
    assert "of 30 files" in _CODES.sub("", live)
    assert not _CODES.search(summary)
    # The line is wiped before the summary is printed in its place.
    assert live.rstrip("\r\n").endswith(("\x1b[2K", "\x1b[1A\x1b[2K", "\x1b[?25h"))


def test_a_quiet_run_shows_nothing_on_a_terminal(tmp_path: Path) -> None:
    """Neither codes nor text."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("text")
    args = ("run", tmp_path / "in", "--out", tmp_path / "out", "--quiet")
    assert (0, "") == _on_a_terminal(*args)


def test_an_error_on_a_terminal_is_one_line(tmp_path: Path) -> None:
    """The live display is gone before it, and the cursor is back."""
    (tmp_path / "in").mkdir()
    (tmp_path / "out").write_text("a file")
    code, printed = _on_a_terminal("run", tmp_path / "in", "--out", tmp_path / "out")
    assert 1 == code
    assert printed.count("\x1b[?25h") == printed.count("\x1b[?25l")
    words = "File exists" if "File exists" in printed else "Not a directory"
    text = _CODES.sub("", printed).replace("\r", "")
    assert f"dcmdask: output {tmp_path / 'out'}: {words}; choose another --out" in text.splitlines()


@pytest.mark.parametrize("columns", [30, 72])
def test_no_value_is_longer_than_a_line_of_the_terminal(tmp_path: Path, columns: int) -> None:
    """Descriptions, folders and paths end with the line, whatever they are made of."""
    folder = tmp_path / "in" / "\u202efolder" / ("with a long name " * 10)
    folder.mkdir(parents=True)
    text = "\u9577\u3044\u8aac\u660e" * 16
    values = {"SpecificCharacterSet": "ISO_IR 192", "SeriesDescription": text}
    (folder / "a").write_bytes(instance(**values))
    (folder / "b").write_bytes(instance()[:200])
    assert 0 == _on_a_terminal("run", tmp_path / "in", "--out", tmp_path / "out", "-q")[0]
    code, printed = _on_a_terminal("show", tmp_path / "out", columns=columns)
    assert 0 == code
    assert not _CODES.search(printed)
    assert "\u202e" not in printed
    description, place = re.findall(r"instance; (.*)  \[(.*)\]", printed)[0]
    assert columns - 1 <= cell_len(description) <= columns
    assert columns == cell_len(place)
    code, printed = _on_a_terminal("failures", tmp_path / "out", columns=columns)
    (path,) = re.findall(r"^  (.*/b): ", printed.replace("\r", ""), re.MULTILINE)
    assert (0, columns, "\u2026" in path) == (code, cell_len(path), True)
    assert text in _on_a_terminal("show", tmp_path / "out", "--wide", columns=columns)[1]
