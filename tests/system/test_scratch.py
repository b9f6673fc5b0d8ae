"""Temporary folders: for their owner alone, gone with their process, swept up where it was killed."""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from running import run_command
from servers import Bucket
from source.making import instance

from dcmdask.cli.main import main
from dcmdask.errors import OutputError
from dcmdask.execution import supervisor
from dcmdask.system import scratch

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="owners and modes of POSIX")

_LEAVES = """
import os, sys, time
from dcmdask.system import scratch
path = scratch.make()
(path / "P1").mkdir()
(path / "P1" / "name").write_text("Doe^Jane")
print(path, flush=True)
if sys.argv[1] == "error":
    raise ValueError
if sys.argv[1] != "end":
    time.sleep(600)
"""


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder for temporary files that nobody else uses."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def _leave(space: Path, how: str = "killed") -> subprocess.Popen[str]:
    """Start a process that makes a folder; give it when it has; end it if asked to."""
    paths = os.pathsep.join(path for path in sys.path if path)
    child = subprocess.Popen(
        [sys.executable, "-c", _LEAVES, how],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": str(space), "PYTHONPATH": paths},
    )
    assert child.stdout is not None
    child.stdout.readline()
    if how == "killed":
        child.kill()
    if how != "lives":
        child.wait(20)
    return child


@pytest.fixture
def left(space: Path) -> Path:
    """Give a folder that a process has left which was killed."""
    _leave(space).communicate()
    (path,) = space.iterdir()
    return path


def test_a_folder_says_whose_it_is_and_is_nobody_elses(space: Path) -> None:
    """Owner, host and process stand in its name; it goes with its context."""
    with scratch.folder() as folder:
        assert space == folder.parent
        prefix = f"dcmdask-{os.geteuid() if hasattr(os, 'geteuid') else 0}-"
        assert folder.name.startswith(prefix)
        assert f"-{os.getpid()}-" in folder.name
        assert os.name == "nt" or 0o700 == folder.stat().st_mode & 0o777
    assert [] == os.listdir(space)


def test_a_folder_goes_with_its_owner(space: Path) -> None:
    """Be it that it is forgotten, or that the folder was discarded before."""

    class Owner:
        """Owns a folder."""

    owner, other = Owner(), Owner()
    folder, discarded = scratch.make_for(owner), scratch.make_for(other)
    scratch.discard(discarded)
    assert [folder.name] == os.listdir(space)
    del owner, other
    gc.collect()
    assert [] == os.listdir(space)


@pytest.mark.parametrize("how", ["end", "error"])
def test_a_process_that_ends_leaves_nothing(space: Path, how: str) -> None:
    """Well or not."""
    _leave(space, how).communicate()
    assert [] == os.listdir(space)


def test_what_a_killed_process_has_left_is_swept(space: Path, left: Path) -> None:
    """With all that is in it, as often as one likes."""
    assert (left / "P1" / "name").exists()
    scratch.sweep()
    scratch.sweep()
    assert [] == os.listdir(space)


def test_what_a_living_process_has_is_left_alone(space: Path) -> None:
    """Of this process and of others; it goes when that one does."""
    child = _leave(space, "lives")
    with scratch.folder() as own:
        scratch.sweep()
        assert 2 == len(os.listdir(space))
        child.kill()
        child.communicate()
        scratch.sweep()
        assert [own.name] == os.listdir(space)


@POSIX
def test_links_are_not_followed(space: Path, left: Path, tmp_path: Path) -> None:
    """Neither one in a folder, nor one that has the name of one."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("data")
    (left / "link").symlink_to(precious)
    (left / "P1" / "link").symlink_to(precious)
    other = space / left.name.replace(left.name[-4:], "zzzz")
    moved = tmp_path / "moved"
    left.rename(moved)
    other.symlink_to(moved)
    scratch.sweep()
    assert (True, True) == ((moved / "P1").exists(), other.is_symlink())
    other.unlink()
    moved.rename(left)
    scratch.sweep()
    assert [] == os.listdir(space)
    assert "data" == (precious / "file").read_text()


def _another_name(left: Path) -> Path:
    return left.rename(left.with_name("dcmdask-demo"))


def _another_user_in_its_name(left: Path) -> Path:
    return left.rename(left.with_name(left.name.replace("dcmdask-", "dcmdask-9", 1)))


def _open_to_others(left: Path) -> Path:
    left.chmod(0o755)
    return left


def _another_owner(left: Path) -> Path:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(left, 65534, 65534)
    return left


def _another_owner_of_its_mark(left: Path) -> Path:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(left / scratch._MARK, 65534, 65534)
    return left


def _without_a_mark(left: Path) -> Path:
    (left / scratch._MARK).unlink()
    return left


def _with_a_link_for_a_mark(left: Path) -> Path:
    (left / scratch._MARK).rename(left / "mark")
    (left / scratch._MARK).symlink_to(left / "mark")
    return left


def _said(left: Path, **said: Any) -> Path:
    mark = left / scratch._MARK
    mark.write_text(json.dumps(json.loads(mark.read_text()) | said))
    return left


def _of_another_machine(left: Path) -> Path:
    return _said(left, host="another", boot="another")


def _of_a_twin_of_this_machine(left: Path) -> Path:
    return _said(left, boot="another")


def _that_says_nothing_yet(left: Path) -> Path:
    (left / scratch._MARK).write_text("")
    return left


@POSIX
@pytest.mark.parametrize(
    "change",
    [
        _another_name,
        _another_user_in_its_name,
        _open_to_others,
        _another_owner,
        _another_owner_of_its_mark,
        _without_a_mark,
        _with_a_link_for_a_mark,
        _of_another_machine,
        _of_a_twin_of_this_machine,
        _that_says_nothing_yet,
    ],
)
def test_what_is_not_surely_ours_is_left_alone(left: Path, change: Any) -> None:
    """Whatever a name says: what another user, program or machine may need stays."""
    folder = change(left)
    scratch.sweep()
    assert "Doe^Jane" == (folder / "P1" / "name").read_text()


@POSIX
def test_what_was_left_before_this_machine_was_started_is_swept(space: Path, left: Path) -> None:
    """Nothing of that time lives, and what is in a container is of the same machine."""
    if sys.platform == "linux":
        _said(left, boot="another")
        os.utime(left / scratch._MARK, (1, 1))
    scratch.sweep()
    assert [] == os.listdir(space)
    _leave(space).communicate()
    (again,) = space.iterdir()
    if sys.platform == "linux":
        _said(again, host="a container of it")
    scratch.sweep()
    assert [] == os.listdir(space)


@POSIX
def test_a_forked_process_removes_nothing(space: Path) -> None:
    """It did not make what it has inherited."""
    program = (
        "import os, sys\nfrom dcmdask.system import scratch\n"
        "class Owner: pass\nowner = Owner()\npath = scratch.make_for(owner)\n"
        "if os.fork() == 0:\n    sys.exit()\n"
        "os.wait()\nprint(path.is_dir())"
    )
    env = {**os.environ, "TMPDIR": str(space)}
    env["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
    )
    assert "True\n" == done.stdout
    assert [] == os.listdir(space)


def test_no_space_for_temporary_files_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the place and what to set."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(OutputError, match="set TMPDIR to a folder with space"):
        scratch.make()
    with pytest.raises(OutputError, match=r"nowhere: No such file or directory; set TMPDIR"):
        scratch.nameless_file()


# -- in a run ----------------------------------------------------------------------------------------


def _text_in(folder: Path) -> list[Path]:
    """Give the files anywhere in a folder that name the patient or the folder of the source."""
    words = (b"Secret^Name", b"S\0e\0c\0r\0e\0t", b"SecretCase")
    found = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in found if any(word in path.read_bytes() for word in words)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give 40 files of a patient."""
    folder = tmp_path_factory.mktemp("in")
    for number in range(40):
        path = folder / "SecretCase" / f"{number:02}.dcm"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(instance(number, PatientName="Secret^Name"))
    return folder


def _environment(space: Path, bucket: Bucket) -> dict[str, str]:
    return {
        **os.environ,
        "TMPDIR": str(space),
        "AWS_ACCESS_KEY_ID": bucket.server.key,
        "AWS_SECRET_ACCESS_KEY": bucket.server.secret,
        "DCMDASK_STORAGE_OPTION": f"endpoint_url={bucket.server.url}",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


@POSIX
@pytest.mark.parametrize("below", [1000, 0], ids=["in process", "local cluster"])
def test_of_a_run_into_a_store_nothing_is_left_here(
    source: Path, bucket: Bucket, space: Path, below: int
) -> None:
    """What it had here when it was killed is gone after the next run; told to end, it is at once."""
    moments = random.Random(3)
    options = ("-q", "--in-process-below", below, "--workers", 1, "--partition-size", 4)
    words = [str(word) for word in run_command(source, Path("out"), *options)]
    words[words.index("out")] = bucket.url
    env = _environment(space, bucket)
    kept = 0
    for number in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
        child = subprocess.Popen(words, env=env, stderr=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 60
        own = f"dcmdask-*-{child.pid}-*/*"
        while not list(space.glob(own)) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(moments.uniform(0.2, 1.5))
        if number == signal.SIGKILL:
            # The whole run: of its processes none has time for anything.
            os.killpg(child.pid, number)
        else:
            child.send_signal(number)
        child.wait(60)
        if number == signal.SIGTERM:
            # The next run need not wait for anything.
            assert not [key for key in bucket.keys() if key.endswith("holder.json")]  # noqa: SIM118
        kept += len(list(space.glob("dcmdask-*"))) if number == signal.SIGKILL else 0
    assert 143 == child.returncode or bucket.get("catalog.json")
    assert [] == os.listdir(space)
    assert kept
    subprocess.run(words, env=env, check=True, timeout=60)
    assert [] == os.listdir(space)


def test_a_reader_that_is_killed_leaves_nothing(
    space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was writing where it had no time to remove it goes as its end is seen."""

    class Reader(supervisor.ReaderProcess):
        program = (
            "from dcmdask.system import scratch\npath = scratch.make()\n"
            "(path / 'part').write_text('Secret^Name')\n"
            f"{supervisor.ReaderProcess.program}"
        )

    monkeypatch.setenv("TMPDIR", str(space))
    reader = Reader()
    reader.start()
    deadline = time.monotonic() + 20
    while not _text_in(space) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert 1 == len(_text_in(space))
    reader.close()
    assert [] == os.listdir(space)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_plan_leaves_nothing(
    source: Path, space: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """Be it that it lists, or that there is nothing to list."""
    place = source if is_there else source / "nowhere"
    monkeypatch.setattr(sys, "argv", ["dcmdask", "plan", str(place)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert (0 if is_there else 1) == caught.value.code
    assert [] == os.listdir(space)
