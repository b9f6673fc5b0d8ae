"""What tells an output of a run from a folder of anybody: its mark, never a name alone."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import crawl, encode

from dcmdask.errors import OutputError
from dcmdask.marks import has_only_own_names, is_output, names_an_output, write_mark
from dcmdask.own_names import MARK
from dcmdask.publish.folder_store import FolderStore
from dcmdask.types import PRIVATE

TOKEN = "0123456789abcdef"  # noqa: S105 - names a state


def test_an_output_is_told_by_its_mark(tmp_path: Path) -> None:
    """Every run leaves one, be it a published catalog or the beginning of one."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(encode())
    crawl(tmp_path / "in", tmp_path / "out")
    assert [True, False] == [is_output(tmp_path / name) for name in ("out", "in")]
    with FolderStore(tmp_path / "new"):
        assert is_output(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    shutil.rmtree(tmp_path / "out" / PRIVATE)
    assert not is_output(tmp_path / "out")


@pytest.mark.parametrize(
    "names",
    [
        {f"state-{TOKEN}.json": {"reading": "x"}, f"state-{TOKEN}.index": ""},
        {"unfinished.json": {"reading": "x", "full": False, "after": None}, "lock": ""},
    ],
)
def test_an_output_of_an_earlier_release_is_told_by_what_it_keeps(
    tmp_path: Path, names: dict[str, object]
) -> None:
    """It has no mark, but the state of its catalog, or the word of a run that was ended."""
    (tmp_path / PRIVATE).mkdir()
    for name, content in names.items():
        text = json.dumps(content) if content else ""
        (tmp_path / PRIVATE / name).write_text(text)
    assert is_output(tmp_path)
    assert has_only_own_names(names)
    assert names_an_output(names)


def test_a_name_alone_makes_no_output(tmp_path: Path) -> None:
    """An empty file, an empty folder, a folder of data and files of our names that say nothing."""
    assert not is_output(tmp_path)
    (tmp_path / PRIVATE).write_bytes(b"")
    assert not is_output(tmp_path)
    (tmp_path / PRIVATE).unlink()
    (tmp_path / PRIVATE).mkdir()
    assert not is_output(tmp_path)
    for name in ("a.dcm", MARK, f"state-{TOKEN}.json", "state-x.json", "unfinished.json"):
        (tmp_path / PRIVATE / name).write_bytes(encode())
        assert not is_output(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="links and FIFOs of POSIX")
def test_no_link_and_no_fifo_is_followed(tmp_path: Path) -> None:
    """Neither the folder nor its mark may be one."""
    with FolderStore(tmp_path / "out") as store:
        (tmp_path / "link").mkdir()
        (tmp_path / "link" / PRIVATE).symlink_to(store.private)
        assert not is_output(tmp_path / "link")
        (tmp_path / "marked" / PRIVATE).mkdir(parents=True)
        (tmp_path / "marked" / PRIVATE / MARK).symlink_to(store.private / MARK)
        assert not is_output(tmp_path / "marked")
    (tmp_path / "fifo" / PRIVATE).mkdir(parents=True)
    os.mkfifo(tmp_path / "fifo" / PRIVATE / MARK)
    assert not is_output(tmp_path / "fifo")


@given(st.binary(max_size=40))
def test_a_mark_is_whole_or_none(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Other content in a file of its name decides nothing, and is replaced by what a run writes."""
    out = tmp_path_factory.mktemp("out")
    (out / PRIVATE).mkdir()
    (out / PRIVATE / MARK).write_bytes(content)
    assert not is_output(out)
    write_mark(out / PRIVATE)
    assert is_output(out)
    assert [MARK] == os.listdir(out / PRIVATE)


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_has_the_name_and_no_mark_is_not_touched(tmp_path: Path, kind: str) -> None:
    """A run into a folder that has an entry of this name which no run made is refused."""
    out, entry = tmp_path / "out", tmp_path / "out" / PRIVATE
    out.mkdir()
    if kind == "file":
        entry.write_bytes(b"")
    elif kind == "folder":
        entry.mkdir()
        (entry / "mine.txt").write_text("mine")
    else:
        (tmp_path / "elsewhere").mkdir()
        entry.symlink_to(tmp_path / "elsewhere")
    words = "it is there and no run made it; choose another --out, or move it away"
    with pytest.raises(OutputError, match=words), FolderStore(out):
        pass
    assert [PRIVATE] == os.listdir(out)
    assert kind != "folder" or ["mine.txt"] == os.listdir(entry)
    assert kind != "link" or [] == os.listdir(tmp_path / "elsewhere")


def test_an_empty_folder_of_the_name_is_taken(tmp_path: Path) -> None:
    """A run that was killed at its very beginning is no obstacle to the next one."""
    (tmp_path / "out" / PRIVATE).mkdir(parents=True)
    with FolderStore(tmp_path / "out"):
        assert is_output(tmp_path / "out")
