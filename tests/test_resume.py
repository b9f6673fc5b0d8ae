"""A run that is killed at any moment goes on where it stopped, to the bytes of an undisturbed one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support import crawl, examples, published
from test_incremental import OPTIONS, assert_as_full, spoil

from dcmdask.catalog.catalog import Catalog
from dcmdask.config import ReadOptions
from dcmdask.errors import ClusterError
from dcmdask.execution import supervisor
from dcmdask.synthetic import write_synthetic
from dcmdask.types import Partition, PartitionSummary

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
FLAGS = ("--quiet", "--merge-all", "--partition-size", "12", "--workers", "2")
KILLS = {signal.SIGKILL: examples(4), signal.SIGTERM: examples(1)}
"""How many times a run is ended in either way, with each of five seeds."""


def whole(out: Path) -> dict[str, bytes]:
    """Give every published file but catalog.json, the instances included."""
    files = {path.relative_to(out).as_posix(): path for path in (out / "instances").iterdir()}
    return published(out) | {name: path.read_bytes() for name, path in files.items()}


def command(source: Path, out: Path, *flags: str) -> list[str]:
    """Give the command of a run."""
    program = [sys.executable, "-m", "dcmdask", "run", str(source), "--out", str(out)]
    return [*program, *FLAGS, *flags]


def finished(out: Path) -> int:
    """Count the parts that a run has left."""
    return len(list((out / ".dcmdask" / "parts").glob("*.json")))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give linked patients in folders, zips and tars."""
    folder = tmp_path_factory.mktemp("resume") / "exports"
    write_synthetic(folder / "site", patients=5, slices=20)
    for number, archives in enumerate(("zip", "tar.gz")):
        write_synthetic(folder / archives, patients=2, slices=8, seed=number + 1, archives=archives)
    return folder


@pytest.fixture(scope="module")
def undisturbed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """Give the catalog of a run that nobody disturbs, and how long it takes."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    begun = time.monotonic()
    subprocess.run(command(source, out), check=True, timeout=120)
    return out, time.monotonic() - begun


@POSIX
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("number", KILLS)
def test_ends_at_random_moments_leave_equal_catalogs(
    source: Path,
    undisturbed: tuple[Path, float],
    tmp_path: Path,
    number: signal.Signals,
    seed: int,
) -> None:
    """Killed, or told to end, and run again: every file is byte for byte that of one run."""
    expected, seconds = undisturbed
    parts, moments = finished(expected), random.Random(seed)
    resumed = 0
    for one in range(KILLS[number]):
        out = tmp_path / str(one)
        run = subprocess.Popen(command(source, out), stderr=subprocess.DEVNULL)
        if one % 2:
            time.sleep(moments.uniform(0.2, 1.0) * seconds)
        else:
            # Early enough that it has not come to its end before it is told.
            _wait_for_parts(run, out, moments.randrange(1, parts // 2))
        run.send_signal(number)
        # One that is told to end may just have come to its end, or not have begun.
        assert run.wait(30) in (0, -number, 128 + number)
        subprocess.run(command(source, out), check=True, timeout=120)
        resumed += Catalog(out).run["run"]["changes"]["resumed"] > 0
        assert whole(expected) == whole(out)
    # Else the moments say nothing.
    assert resumed


def _wait_for_parts(run: subprocess.Popen[bytes], out: Path, parts: int) -> None:
    """Wait until a run has left so many parts, or has come to its end."""
    while run.poll() is None and finished(out) < parts:
        time.sleep(0.002)


@POSIX
def test_what_a_killed_run_has_read_is_not_read_again(
    source: Path, undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    """The next run reads the partitions that are missing, and says what had happened."""
    out = tmp_path / "out"
    run = subprocess.Popen(command(source, out, "--workers", "1"))
    while finished(out) < 3:
        time.sleep(0.002)
    run.send_signal(signal.SIGKILL)
    run.wait(30)
    left = finished(out)
    done = subprocess.run(
        command(source, out, "--log-file", str(tmp_path / "log")), check=True, timeout=120
    )
    assert 0 == done.returncode
    catalog = Catalog(out)
    files = catalog.run["counts"]["files"]
    changes = catalog.run["run"]["changes"]
    assert 3 <= left
    assert 0 < changes["resumed"] < files
    assert catalog.run["counts"]["bytes_read"] < Catalog(undisturbed[0]).run["counts"]["bytes_read"]
    assert f"process {run.pid} on " in catalog.run["run"]["after"]
    assert f"process {run.pid} on " in (tmp_path / "log").read_text()
    assert whole(undisturbed[0]) == whole(out)


def _fail_after(monkeypatch: pytest.MonkeyPatch, parts: int, error: BaseException) -> None:
    """Have reading fail after so many partitions."""
    real, calls = supervisor.read_partition, [0]

    def read(partition: Partition, options: ReadOptions) -> list[PartitionSummary]:
        calls[0] += 1
        if calls[0] > parts:
            raise error
        return real(partition, options)

    monkeypatch.setattr("dcmdask.execution.reading.read_partition", read)


def _ended_run(source: Path, out: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    """Leave a run that was ended after five partitions."""
    with monkeypatch.context() as patch:
        _fail_after(patch, 5, ClusterError("ended"))
        with pytest.raises(ClusterError):
            crawl(source, out, partition_size=12, **{**OPTIONS, **options})
    assert 5 <= finished(out)


def test_fresh_throws_away_what_was_read(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --fresh a run reads all, as if none had been there."""
    _ended_run(source, tmp_path / "out", monkeypatch)
    catalog = crawl(source, tmp_path / "out", fresh=True, partition_size=12, **OPTIONS)
    assert 0 == catalog.run["run"]["changes"]["resumed"]


def test_a_run_with_other_settings_does_not_go_on(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read with names is of no use to a run that hides them, and goes at once."""
    _ended_run(source, tmp_path / "out", monkeypatch)
    catalog = crawl(source, tmp_path / "out", desensitize=True, partition_size=12, **OPTIONS)
    assert 0 == catalog.run["run"]["changes"]["resumed"]
    for path in (tmp_path / "out").rglob("*"):
        assert not path.is_file() or b"Synthetic^Patient" not in path.read_bytes()


def test_a_full_run_goes_on_with_a_full_run_only(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an incremental run has taken over unread is of no use to --full."""
    out = tmp_path / "out"
    _ended_run(source, out, monkeypatch)
    full = {"full": True, "partition_size": 12, **OPTIONS}
    assert 0 == crawl(source, out, **full).run["run"]["changes"]["resumed"]
    _ended_run(source, out, monkeypatch, full=True)
    assert 0 < crawl(source, out, **full).run["run"]["changes"]["resumed"]


def test_what_changed_since_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on lists again: files may have come, changed and gone in between."""
    own = tmp_path / "exports"
    write_synthetic(own / "site", patients=3, slices=12)
    out = tmp_path / "out"
    _ended_run(own, out, monkeypatch)
    files = sorted(own.rglob("*.dcm"))
    files[0].unlink()
    files[1].write_text("no DICOM any more")
    files[-1].unlink()
    spoil(files[3])
    (own / "site" / "new.txt").write_text("new")
    catalog = crawl(own, out, partition_size=12, **OPTIONS)
    assert 2 == catalog.run["counts"]["skips"]
    spoil_kept = catalog.instances.to_table()["url"].to_pylist()
    assert any(url.endswith(files[3].name) for url in spoil_kept)


@pytest.mark.parametrize("damage", ["cut", "other bytes", "no summary", "summary cut"])
def test_a_part_that_is_not_whole_is_read_again(
    source: Path,
    undisturbed: tuple[Path, float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
) -> None:
    """What a machine that went down left half written is not believed."""
    out = tmp_path / "out"
    _ended_run(source, out, monkeypatch)
    parts = out / ".dcmdask" / "parts"
    summary = min(parts.glob("*.json"))
    tables = sorted(parts.glob(f"{summary.stem}.*.arrow"))
    if damage == "cut":
        tables[0].write_bytes(tables[0].read_bytes()[:-100])
    elif damage == "other bytes":
        content = tables[-1].read_bytes()
        tables[-1].write_bytes(content[:100] + bytes(100) + content[200:])
    elif damage == "no summary":
        summary.unlink()
    else:
        summary.write_text(summary.read_text()[:-7])
    catalog = crawl(source, out, partition_size=12, merge_all=True, workers=2)
    assert 0 < catalog.run["run"]["changes"]["resumed"]
    assert whole(undisturbed[0]) == whole(out)


@POSIX
def test_an_interrupted_run_goes_on(
    source: Path, undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    """Ctrl-C keeps what has been read, says so, and the same command goes on."""
    out = tmp_path / "out"
    run = subprocess.Popen(
        command(source, out, "--workers", "1"), stderr=subprocess.PIPE, text=True
    )
    while finished(out) < 2:
        time.sleep(0.002)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert 130 == run.returncode
    assert said.endswith("the same command goes on where it stopped\n")
    assert [".dcmdask"] == os.listdir(out)
    subprocess.run(command(source, out), check=True, timeout=120)
    changes = Catalog(out).run["run"]
    assert (True, None) == (changes["changes"]["resumed"] > 0, changes["after"])
    assert whole(undisturbed[0]) == whole(out)


@POSIX
def test_an_incremental_run_that_is_killed_goes_on(tmp_path: Path) -> None:
    """Killed again and again while it reads what is new, it publishes what a full run would."""
    own, out = tmp_path / "exports", tmp_path / "out"
    write_synthetic(own / "a", patients=2, slices=12)
    subprocess.run(command(own, out), check=True, timeout=120)
    write_synthetic(own / "b", patients=3, slices=12, seed=3)
    min((own / "a").rglob("*.dcm")).unlink()
    before = finished(out)
    for parts in (1, 3):
        run = subprocess.Popen(command(own, out, "--workers", "1"))
        while finished(out) < before + parts and run.poll() is None:
            time.sleep(0.002)
        run.send_signal(signal.SIGKILL)
        run.wait(30)
    subprocess.run(command(own, out), check=True, timeout=120)
    assert_as_full(own, out, tmp_path, export_json=False)
