"""Nights on which a source is away: real mounts, permissions, calls that fail, a worker apart."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from running import (
    address_at,
    hooked,
    kill_session,
    other_lines,
    run_command,
    scheduler_command,
    started,
    worker_command,
)
from source.making import instance

MOUNTS = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="mounts of a process need Linux, root and unshare",
)
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")


def fill(folder: Path, count: int, first: int = 0) -> None:
    """Write instances."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        (folder / f"{number}.dcm").write_bytes(instance(number))


def catalog_of(out: Path) -> dict[str, bytes]:
    """Give all that is published."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and ".dcmdask" not in path.parts
    }


def in_mounts(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run lines of a shell whose mounts nobody else has; skip where there are none."""
    run = f'run() {{ {sys.executable} -m dcmdask run in --out out "$@"; echo "code $?"; }}'
    lines = f"mount -t tmpfs none in || exit 77\n{run}\n{script}"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", lines],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    return done


@MOUNTS
def test_a_disk_that_is_not_mounted_empties_nothing(tmp_path: Path) -> None:
    """The folder it is mounted on is there, and empty."""
    (tmp_path / "in").mkdir()
    fill(tmp_path / "real", 5)
    done = in_mounts("cp -r real/. in; run -q; umount in; cp -r out before; run -q", tmp_path)
    assert ["code 0", "code 4"] == done.stdout.splitlines()
    words = f"there is no file in {tmp_path / 'in'} (is it mounted?), and the catalog knows 5 files"
    assert (
        f"dcmdask: nothing was published in {tmp_path / 'out'}: {words}; --allow-shrink accepts it\n"
    ) == done.stderr
    assert catalog_of(tmp_path / "before") == catalog_of(tmp_path / "out")


@MOUNTS
def test_a_disk_among_others_that_is_not_mounted(tmp_path: Path) -> None:
    """Where it held most, nothing is published; where little, it is what a person deleted."""
    (tmp_path / "in").mkdir()
    fill(tmp_path / "real", 5)
    fill(tmp_path / "more", 3, first=5)
    script = """
mkdir in/disk in/P1; cp -r more/. in/P1
mount --bind real in/disk; run -q; umount in/disk; run -q
run --shrink-limit 0.7
"""
    done = in_mounts(script, tmp_path)
    lines = done.stdout.splitlines()
    assert ["code 0", "code 4", "code 0"] == [line for line in lines if line.startswith("code")]
    words = (
        "of 8 known instances 5 would be gone; nothing is left in disk; --allow-shrink accepts it"
    )
    assert (
        f"dcmdask: nothing was published in {tmp_path / 'out'}: {words}"
        == (done.stderr.splitlines()[0])
    )
    assert "  files: 0 new, 0 changed, 5 gone, 3 unchanged" in lines


def as_a_user(command: list[object]) -> list[str]:
    """Give a command that permissions hold for; the tests themselves may do everything as root."""
    words = [str(word) for word in command]
    if os.geteuid() != 0:
        return words
    caps = "-dac_override,-dac_read_search"
    prefix = ["setpriv", f"--bounding-set={caps}", f"--inh-caps={caps}"]
    if shutil.which("setpriv") is None:
        pytest.skip("as root, permissions need setpriv")
    return [*prefix, *words]


@POSIX
def test_a_folder_that_may_not_be_entered_costs_nothing(tmp_path: Path) -> None:
    """Be it to be listed or to be looked into; --strict says that something failed."""
    source, out = tmp_path / "in", tmp_path / "out"
    for case in ("P1", "P2", "P3"):
        fill(source / case, 2, first=10 * int(case[1]))

    def run(*options: object) -> tuple[int, list[str]]:
        command = as_a_user(run_command(source, out, *options))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.splitlines()

    assert (0, []) == run("-q")
    before = catalog_of(out)
    # Not to be listed; listed, and nothing to be told of what is in it.
    (source / "P1").chmod(0o111)
    (source / "P2").chmod(0o444)
    try:
        code, lines = run("--strict")
    finally:
        for case in ("P1", "P2"):
            (source / case).chmod(0o755)
    assert (3, "6 instances in 1 series, 1 study, 1 patient; 3 cases") == (code, lines[0])
    # One row for a folder, two for the files of the other.
    assert "  failed: 3 (access denied 3)" in lines
    assert "  files: 1 new, 2 changed, 0 gone, 2 unchanged, 4 kept" in lines
    assert "  note: 4 files lie where nothing could be listed, and stay as they were" in lines
    assert before["index.csv"] == catalog_of(out)["index.csv"]
    code, lines = run()
    assert (0, True) == (code, "  files: 0 new, 0 changed, 3 gone, 6 unchanged" in lines)
    assert before["crawl_db.parquet"] == catalog_of(out)["crawl_db.parquet"]
    assert before["failures.parquet"] == catalog_of(out)["failures.parquet"]


SHIM = """
import errno, os
class Failing:
    def __init__(self, path):
        self.items, self.bad = real(path), os.fspath(path).endswith("BAD")
        self.left = 1
    def __enter__(self): return self
    def __exit__(self, *what): self.items.close()
    def close(self): self.items.close()
    def __iter__(self): return self
    def __next__(self):
        if self.bad and not self.left:
            raise OSError(errno.EIO, "Input/output error")
        self.left -= 1
        item = next(self.items)
        return (Stale if item.name.startswith("stale") else Entry)(item)
class Entry:
    def __init__(self, item): self.item, self.name, self.path = item, item.name, item.path
    def __fspath__(self): return self.path
    def is_symlink(self): return self.item.is_symlink()
    def is_dir(self, **how): return self.item.is_dir(**how)
    def is_file(self, **how): return self.item.is_file(**how)
    def stat(self, **how): return self.item.stat(**how)
class Stale(Entry):
    def is_symlink(self): return False
    def is_dir(self, **how): raise OSError(errno.ESTALE, "Stale file handle")
    is_file = stat = is_dir
real, os.scandir, os.DirEntry = os.scandir, Failing, Entry
"""


def test_calls_that_fail_in_the_middle_cost_nothing(tmp_path: Path) -> None:
    """A folder of which one name comes and then an error, a file and a folder that are stale."""
    source, out = tmp_path / "in", tmp_path / "out"
    fill(source / "P1" / "BAD", 3)
    fill(source / "P2" / "stale", 3, first=3)
    fill(source / "P2", 1, first=6)
    (source / "P2" / "6.dcm").rename(source / "P2" / "stale.dcm")
    fill(source / "P2", 1, first=7)
    command = [str(word) for word in run_command(source, out, "--workers", 1)]
    subprocess.run(command, check=True, capture_output=True)
    before = catalog_of(out)
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env=hooked(tmp_path, SHIM)
    )
    lines = done.stdout.splitlines()
    assert "8 instances in 1 series, 1 study, 1 patient; 2 cases" == lines[0]
    assert "  failed: 3 (unexpected 3)" in lines
    assert "  note: 6 files lie where nothing could be listed, and stay as they were" in lines
    assert before["index.csv"] == catalog_of(out)["index.csv"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "  files: 0 new, 0 changed, 3 gone, 8 unchanged" in done.stdout.splitlines()
    assert before["failures.parquet"] == catalog_of(out)["failures.parquet"]


@pytest.fixture
def blind_cluster(tmp_path: Path) -> Iterator[str]:
    """Give the address of a scheduler whose one worker has another disk where the source is."""
    place = tmp_path / "scheduler.json"
    (tmp_path / "in").mkdir()
    hide = 'mount -t tmpfs none "$0" && exec "$@"'
    probe = ["unshare", "-m", "sh", "-c", hide, str(tmp_path / "in"), "true"]
    if subprocess.run(probe, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    with ExitStack() as stack:
        log = tmp_path / "log"
        stack.enter_context(started(scheduler_command(place), log))
        address = address_at(place)
        options = ("--nthreads", 1, "--no-nanny")
        command = [*probe[:-1], *worker_command(address, *options)]
        worker = stack.enter_context(started(command, log, start_new_session=True))
        stack.callback(kill_session, worker.pid)
        yield address


@MOUNTS
def test_a_worker_that_does_not_see_the_source_costs_nothing(
    tmp_path: Path, blind_cluster: str
) -> None:
    """A first run says that nothing is there, one over a catalog that nothing could be read."""
    source, out = tmp_path / "in", tmp_path / "out"
    fill(source / "P1", 6)

    def run(place: Path, *options: object) -> tuple[int, str]:
        done = subprocess.run(
            [str(word) for word in run_command(source, place, "-q", *options)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "" == done.stdout
        return done.returncode, "".join(f"{line}\n" for line in other_lines(done.stderr))

    cluster = ("--scheduler", blind_cluster)
    words = "nothing that lies there could be read (6 listed); nothing was published"
    assert (1, f"dcmdask: source {source}: {words}\n") == run(tmp_path / "first", *cluster)
    assert not (tmp_path / "first" / "catalog.json").exists()
    assert (0, "") == run(out)
    before = catalog_of(out)
    code, line = run(out, *cluster, "--full")
    assert (4, True) == (code, "6 of 6 files could not be read (vanished 6): is the sour" in line)
    for path in (source / "P1").iterdir():
        path.touch()
    fill(source / "P1", 6)
    code, line = run(out, *cluster)
    assert (4, 1) == (code, line.count("\n"))
    assert before == catalog_of(out)
    # What the run itself sees goes on from there.
    assert (0, "") == run(out)
