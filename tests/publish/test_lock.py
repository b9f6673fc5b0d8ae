"""One writer: a run is refused where another lives, and told where another has died."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import crawl, encode

from dcmdask.catalog.catalog import Catalog
from dcmdask.errors import CatalogError, LockedError
from dcmdask.publish import heartbeat
from dcmdask.publish.folder_store import FolderStore


def _left_behind(out: Path, *, host: str, seconds_ago: float) -> None:
    """Leave what a run says of itself, last touched some time ago."""
    private = out / ".dcmdask"
    private.mkdir(parents=True)
    holder = private / "holder.json"
    holder.write_text(json.dumps({"pid": 77, "host": host, "began": "2026-01-02T03:04:05Z"}))
    then = time.time() - seconds_ago
    os.utime(holder, (then, then))


def test_a_run_that_lives_on_another_machine_is_respected(tmp_path: Path) -> None:
    """Where a file system gives the lock to each machine, the other one's heartbeat is seen."""
    _left_behind(tmp_path / "out", host="elsewhere", seconds_ago=20)
    before = (tmp_path / "out" / ".dcmdask" / "holder.json").read_bytes()
    with pytest.raises(LockedError, match="process 77 on elsewhere, begun 2026-01-02T03:04:05Z"):
        FolderStore(tmp_path / "out").__enter__()
    assert before == (tmp_path / "out" / ".dcmdask" / "holder.json").read_bytes()


@pytest.mark.parametrize(("host", "age"), [("elsewhere", 100), (socket.gethostname(), 1)])
def test_a_run_that_died_is_named(tmp_path: Path, host: str, age: float) -> None:
    """A lock that nobody holds is taken, and the run says whose it was."""
    _left_behind(tmp_path / "out", host=host, seconds_ago=age)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("text")
    catalog = crawl(tmp_path / "in", tmp_path / "out")
    assert f"process 77 on {host}, begun 2026-01-02T03:04:05Z" == catalog.run["run"]["after"]
    assert crawl(tmp_path / "in", tmp_path / "out").run["run"]["after"] is None


def test_what_a_run_says_of_itself_may_be_damaged(tmp_path: Path) -> None:
    """A file that a machine left half written is no reason to refuse."""
    _left_behind(tmp_path / "out", host="elsewhere", seconds_ago=0)
    (tmp_path / "out" / ".dcmdask" / "holder.json").write_text('{"pid": 7')
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("text")
    assert "another run" == crawl(tmp_path / "in", tmp_path / "out").run["run"]["after"]


def test_a_run_touches_its_file_as_long_as_it_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The heartbeat goes on while the run does, and ends with it."""
    monkeypatch.setattr(heartbeat, "SECONDS", 0.01)
    with FolderStore(tmp_path):
        holder = tmp_path / ".dcmdask" / "holder.json"
        os.utime(holder, (0, 0))
        deadline = time.monotonic() + 10
        while holder.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert holder.stat().st_mtime > 0
    assert not holder.exists()


def test_a_catalog_that_is_replaced_while_it_is_read_says_so(tmp_path: Path) -> None:
    """Tables of two runs are never taken for one catalog."""
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    (source / "notes.txt").write_text("text")
    old = crawl(source, out)
    (source / "a.dcm").write_bytes(encode())
    crawl(source, out)
    with pytest.raises(CatalogError, match="published there since it was opened; open it again"):
        _ = old.index
    assert 1 == Catalog(out).index.num_rows


_PUBLISH = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from support import crawl, encode
source, out = Path(sys.argv[1]), Path(sys.argv[2])
for number in range(6):
    values = {"SOPInstanceUID": f"1.2.{number}", "SeriesInstanceUID": f"1.3.{number}"}
    (source / f"{number}.dcm").write_bytes(encode(values))
    crawl(source, out, workers=1)
"""


def test_readers_never_see_half_a_catalog(tmp_path: Path) -> None:
    """While runs publish one catalog after the other, whoever reads has all of one, or is told."""
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    (source / "notes.txt").write_text("text")
    crawl(source, out, workers=1)
    script = [sys.executable, "-c", _PUBLISH, str(source), str(out), str(Path(__file__).parents[1])]
    writer = subprocess.Popen(script)
    seen, refused = set(), set()
    while writer.poll() is None:
        try:
            catalog = Catalog(out)
            tables = (catalog.index, catalog.crawl_db, catalog.cases)
        except CatalogError as error:
            refused.add(error.remedy)
            continue
        numbers = {table.num_rows for table in tables[:2]}
        numbers |= {sum(tables[2]["instances"].to_pylist()), catalog.run["counts"]["instances"]}
        assert 1 == len(numbers)
        seen |= numbers
    assert 0 == writer.returncode
    assert refused <= {"open it again"}
    assert len(seen) > 1
