"""The output folder: one writer, all or nothing, healed after a crash, and no trace of a failure."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from source.making import instance
from source.unprivileged import run_unprivileged, shared_folder
from support import crawl, unfinished

from dcmdask.catalog.catalog import Catalog
from dcmdask.config import RunOptions
from dcmdask.errors import CatalogError, LockedError, OutputError
from dcmdask.execution.pipeline import run
from dcmdask.header.reader import read_headers
from dcmdask.publish import placing
from dcmdask.publish.folder_store import FolderStore, read_state
from dcmdask.publish.output import CATALOG, Check, FolderOutput, State
from dcmdask.state.parts import list_stems, write_part
from dcmdask.tables.schema import READ
from dcmdask.types import PRIVATE

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and mounts of POSIX")
FOLDERS = ("cases", "instances")
NAMES = ("cases", "index.csv", "instances", "old.csv")
STATE = State("", "", "", "", [], [], {})
KEPT = ["lock", "output.json", "parts", "state-TOKEN.index", "state-TOKEN.json"]
"""What is private to a catalog, TOKEN being the one that it names."""


def _publish(out: Path, text: str, names: tuple[str, ...] = NAMES[:3]) -> None:
    """Publish a catalog whose every file says `text`."""
    with FolderStore(out) as store:
        for name in names:
            path = store.staged(f"{name}/part" if name in FOLDERS else name)
            path.write_text(text)
        store.publish({"text": text, "instances": []}, STATE)


def _content(out: Path) -> dict[str, str]:
    """Give what lies in an output folder, without what is private, and what its catalog says."""
    content = {
        path.relative_to(out).as_posix(): path.read_text()
        for path in sorted(out.rglob("*"))
        if path.is_file() and PRIVATE not in path.parts
    }
    if CATALOG in content:
        content[CATALOG] = json.loads(content[CATALOG])["text"]
    return content


def _catalog(text: str, names: tuple[str, ...] = NAMES[:3]) -> dict[str, str]:
    files = {f"{name}/part" if name in FOLDERS else name: text for name in names}
    return dict(sorted({**files, CATALOG: text}.items()))


def _state(text: str, names: tuple[str, ...]) -> State:
    """Give the state of a catalog whose every file says `text`: of no parts, the index is empty."""
    check = Check(len(text), zlib.crc32(text.encode()))
    files = {f"{name}/part" if name in FOLDERS else name: check for name in names}
    return replace(STATE, index=[0, 0], published=dict(sorted(files.items())))


def _untimed(state: State | None) -> State:
    """Give a state without the times of files."""
    assert state is not None
    files = {name: check._replace(modified=None) for name, check in state.published.items()}
    return replace(state, published=files)


def _private(out: Path) -> list[str]:
    """Give what is private in an output folder, and TOKEN for the state that its catalog names."""
    token = json.loads((out / CATALOG).read_text())["state"]
    return sorted(path.name.replace(token, "TOKEN") for path in (out / PRIVATE).iterdir())


# -- publishing ------------------------------------------------------------------------------------


def test_what_is_published_replaces_what_was_there(tmp_path: Path) -> None:
    """Names that a run answers for go where it does not write them; others stay."""
    _publish(tmp_path / "out", "old", NAMES)
    (tmp_path / "out" / "notes.txt").write_text("mine")
    _publish(tmp_path / "out", "new")
    assert {**_catalog("new"), "notes.txt": "mine"} == _content(tmp_path / "out")
    assert _state("new", NAMES[:3]) == _untimed(read_state(tmp_path / "out"))
    assert KEPT == _private(tmp_path / "out")


def test_a_folder_that_no_run_made_is_not_touched(tmp_path: Path) -> None:
    """A user's folder of a name that a catalog uses is refused before anything is read."""
    for folder in ("in", "out/cases"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "P1").write_text("no DICOM")
    with pytest.raises(
        OutputError, match="out/cases: no run wrote it; choose another --out, or add"
    ):
        run([str(tmp_path / "in")], RunOptions(out=str(tmp_path / "out")))
    assert ["cases"] == os.listdir(tmp_path / "out")
    assert ["P1"] == os.listdir(tmp_path / "out" / "cases")


def _moves(monkeypatch: pytest.MonkeyPatch, fail_at: int, error: BaseException) -> list[int]:
    """Have the n-th move of a file fail."""
    real, calls = placing.move, [0]

    def move(source: Any, target: Any) -> None:
        calls[0] += 1
        if calls[0] == fail_at:
            raise error
        real(source, target)

    monkeypatch.setattr(placing, "move", move)
    return calls


@pytest.mark.parametrize("error", [OSError(errno.EIO, "I/O error"), KeyboardInterrupt()])
@pytest.mark.parametrize("fail_at", range(1, 10))
def test_a_publishing_that_fails_leaves_the_previous_catalog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail_at: int, error: BaseException
) -> None:
    """Whichever move fails or is interrupted, the old catalog stands whole."""
    _publish(tmp_path / "out", "old", NAMES)
    with monkeypatch.context() as patch:
        calls = _moves(patch, fail_at, error)
        with pytest.raises((OutputError, KeyboardInterrupt)):
            _publish(tmp_path / "out", "new")
        assert calls[0] >= fail_at
    assert _catalog("old", NAMES) == _content(tmp_path / "out")
    assert _state("old", NAMES) == _untimed(read_state(tmp_path / "out"))
    assert set(KEPT) <= set(_private(tmp_path / "out"))
    _publish(tmp_path / "out", "new")
    assert KEPT == _private(tmp_path / "out")


@pytest.mark.parametrize("fail_at", [1, 9])
def test_a_publishing_that_fails_leaves_no_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail_at: int
) -> None:
    """What was prepared for the next run goes with the catalog that it was prepared for."""
    _publish(tmp_path / "out", "old", NAMES)
    with monkeypatch.context() as patch:
        _moves(patch, fail_at, OSError(errno.EIO, "I/O error"))
        with pytest.raises(OutputError):
            _publish(tmp_path / "out", "new")
    assert KEPT == _private(tmp_path / "out")


@pytest.mark.parametrize("fail_at", range(1, 5))
def test_a_first_publishing_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail_at: int
) -> None:
    """Of an output folder that was new, nothing stays, nor of those above it."""
    with monkeypatch.context() as patch:
        _moves(patch, fail_at, OSError(errno.EIO, "I/O error"))
        with pytest.raises(OutputError, match="I/O error"):
            _publish(tmp_path / "new" / "er" / "out", "new")
    assert [] == os.listdir(tmp_path)


_CRASH = """
import os, sys
from pathlib import Path
from dcmdask.publish import placing
from dcmdask.publish.output import State
from dcmdask.publish.folder_store import FolderStore
real, calls = placing.move, [0]
def move(source, target):
    calls[0] += 1
    if calls[0] == int(sys.argv[2]):
        os.kill(os.getpid(), 9)
    real(source, target)
with FolderStore(Path(sys.argv[1])) as store:
    for name in ("cases/part", "index.csv", "instances/part"):
        store.staged(name).write_text("new")
    placing.move = move
    store.publish({"text": "new", "instances": []}, State("", "", "", "", [], [], {}))
"""


def _python(code: str, *args: object, **options: Any) -> subprocess.CompletedProcess[str]:
    paths = [str(Path(__file__).parents[1]), *(path for path in sys.path if path)]
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        # Where files may not grow, Python would leave modules that are cut off for those after it.
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        **options,
    )


@POSIX
@pytest.mark.parametrize("fail_at", [2, 6, 8])
def test_a_crash_between_moves_is_healed(tmp_path: Path, fail_at: int) -> None:
    """After a kill half way, entering again brings the old catalog back, and no file of the new."""
    out = tmp_path / "out"
    _publish(out, "old", ("cases", "old.csv", "instances"))
    assert -signal.SIGKILL == _python(_CRASH, out, fail_at).returncode
    with FolderStore(out) as store:
        assert _catalog("old", ("cases", "old.csv", "instances")) == _content(out)
        assert [] == store.missing
    assert set(KEPT) <= set(_private(out))
    assert read_state(out) is not None
    _publish(out, "new")
    assert KEPT == _private(out)


@POSIX
def test_a_crash_of_a_first_run_is_healed(tmp_path: Path) -> None:
    """What a killed first publishing had put in place is no obstacle to the next run."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("the user's")
    assert -signal.SIGKILL == _python(_CRASH, out, 3).returncode
    with FolderStore(out):
        assert {"notes.txt": "the user's"} == _content(out)
    (out / "notes.txt").unlink()
    _publish(out, "new")
    assert _catalog("new") == _content(out)


@POSIX
def test_healing_that_is_interrupted_is_healed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash while an earlier one is healed loses nothing either."""
    out = tmp_path / "out"
    _publish(out, "old", NAMES)
    assert -signal.SIGKILL == _python(_CRASH, out, 8).returncode
    for fail_at in range(1, 7):
        with monkeypatch.context() as patch:
            _moves(patch, fail_at, OSError(errno.EIO, "I/O error"))
            # As if the process had died there: what leaving would try again is not tried.
            patch.setattr(FolderStore, "_leave", lambda store: store._lock.release())
            with suppress(OutputError), FolderStore(out):
                pass
    with FolderStore(out):
        assert _catalog("old", NAMES) == _content(out)


# -- one writer ------------------------------------------------------------------------------------

_HOLD = """
import sys, time
from pathlib import Path
from dcmdask.publish.folder_store import FolderStore
with FolderStore(Path(sys.argv[1])) as store:
    store.staged("index.csv").write_text("unfinished")
    print("in", flush=True)
    time.sleep(60)
"""


@contextmanager
def _held(out: Path) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(out)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    try:
        assert "in\n" == child.stdout.readline()
        yield child
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_a_second_run_into_one_output_is_refused(tmp_path: Path) -> None:
    """The message names the process that writes there, and nothing of its work is touched."""
    out = tmp_path / "out"
    with _held(out) as child:
        with pytest.raises(LockedError, match=f"process {child.pid} on .* writes there now; wait"):
            _publish(out, "new")
        assert "unfinished" == (out / PRIVATE / "staging" / "publish" / "index.csv").read_text()


def test_the_lock_of_a_killed_run_is_taken_over(tmp_path: Path) -> None:
    """A run that was killed holds nothing, and what it left unfinished is gone."""
    out = tmp_path / "out"
    with _held(out) as child:
        child.kill()
        child.wait()
    assert (out / PRIVATE / "holder.json").exists()
    _publish(out, "new")
    assert _catalog("new") == _content(out)
    assert KEPT == _private(out)


def test_two_stores_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    """The lock holds within a process too."""
    with FolderStore(tmp_path / "out"), pytest.raises(LockedError), FolderStore(tmp_path / "out"):
        pass


def test_a_run_that_is_refused_leaves_the_first_one_to_end(tmp_path: Path) -> None:
    """The first run publishes although a second one came and went."""
    out = tmp_path / "out"
    with FolderStore(out) as store:
        with pytest.raises(LockedError):
            _publish(out, "second")
        store.staged("index.csv").write_text("first")
        store.publish({"text": "first", "instances": []}, STATE)
    assert _catalog("first", ("index.csv",)) == _content(out)


# -- outputs that cannot be written ----------------------------------------------------------------


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """Neither the file itself nor a path below it can be an output, and it stays as it is."""
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(OutputError, match="choose another --out"), FolderStore(out):
            pass
    assert "mine" == (tmp_path / "file").read_text()


def test_missing_parents_are_made(tmp_path: Path) -> None:
    """A catalog may go where no folder is yet."""
    _publish(tmp_path / "a" / "b" / "out", "new")
    assert _catalog("new") == _content(tmp_path / "a" / "b" / "out")


def test_a_run_without_result_leaves_only_what_was_there(tmp_path: Path) -> None:
    """An empty output folder that the user made stays, one that the run made goes."""
    (tmp_path / "mine").mkdir()
    for out in ("mine", "new", "deep/new"):
        with pytest.raises(ZeroDivisionError), FolderStore(tmp_path / out):
            raise ZeroDivisionError
    assert ["mine"] == [path.name for path in tmp_path.rglob("*")]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow valid text only")
def test_an_output_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    """Parquet writers take no such path; the user is told before the crawl."""
    with (
        pytest.raises(OutputError, match="its name is no valid text"),
        FolderStore(tmp_path / "\udcff"),
    ):
        pass
    assert [] == os.listdir(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow valid text only")
def test_a_source_whose_name_is_no_text_is_published(tmp_path: Path) -> None:
    """The path of a source is written into the catalog file as JSON allows it."""
    (tmp_path / "\udcff").mkdir()
    (tmp_path / "\udcff" / "a").write_bytes(instance())
    catalog = crawl(tmp_path / "\udcff", tmp_path / "out")
    assert str(tmp_path / "\udcff") == catalog.run["sources"][0]["path"]
    assert ["\\xff"] == catalog.instances.to_table()["folder"].to_pylist()


_STORE = """
from pathlib import Path
from dcmdask.publish.folder_store import FolderStore
from dcmdask.errors import OutputError
for out in sys.argv[1:]:
    try:
        with FolderStore(Path(out)):
            print("entered")
    except OutputError as error:
        print(error)
"""


@POSIX
def test_an_output_without_permission_is_refused() -> None:
    """One line says so, whether the folder is there or its parent is closed."""
    with shared_folder() as folder:
        (folder / "there").mkdir(mode=0o755)
        outs = [folder / out for out in ("there", "new", "new/er")]
        done = run_unprivileged(_STORE, *outs)
        assert ["there"] == os.listdir(folder)
    assert "" == done.stderr
    words = "no permission to write; choose another --out"
    assert [f"output {out}: {words}" for out in outs] == done.stdout.splitlines()


# -- a full disk -----------------------------------------------------------------------------------

_LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
sys.argv = ["dcmdask", "run", sys.argv[2], "--out", *sys.argv[3:], "--quiet"]
from dcmdask.cli.main import main
main()
"""


def _case_folder(folder: Path, files: int = 40) -> Path:
    (folder / "P1").mkdir(parents=True)
    for number in range(files):
        (folder / "P1" / f"{number}.dcm").write_bytes(
            instance(number, PatientName=f"N{number}" * 9)
        )
    return folder


@POSIX
@pytest.mark.parametrize("limit", [0, 2_000, 12_000])
def test_a_file_that_outgrows_what_may_be_written_ends_with_one_line(
    tmp_path: Path, limit: int
) -> None:
    """Wherever the disk is full, in the child or here, nothing is left of a new output."""
    _case_folder(tmp_path / "in")
    done = _python(_LIMITED, limit, tmp_path / "in", tmp_path / "out")
    assert (1, "") == (done.returncode, done.stdout)
    assert 1 == done.stderr.count("\n")
    assert "no space left; free some, or choose another --out" in done.stderr
    assert ["in"] == os.listdir(tmp_path)


@POSIX
def test_a_full_disk_leaves_the_previous_catalog(tmp_path: Path) -> None:
    """A run that has no space to publish leaves the one before."""
    out = tmp_path / "out"
    crawl(_case_folder(tmp_path / "in", 2), out)
    before = {path: path.read_bytes() for path in out.rglob("*.*") if path.is_file()}
    done = _python(_LIMITED, 12_000, _case_folder(tmp_path / "more"), out)
    assert 1 == done.returncode
    after = {path: path.read_bytes() for path in out.rglob("*.*") if path.is_file()}
    assert before.items() <= after.items()
    assert list_stems(out / PRIVATE / "parts") == read_state(out).parts
    again = crawl(tmp_path / "in", out)
    assert (0, 2) == (_resumed(again), again.run["run"]["changes"]["same"])
    assert sorted([*KEPT, "numbers.lock"]) == _private(out)
    assert _finished_only(out)


def _resumed(catalog: Catalog) -> int:
    """Give how many files a run did not read because one that was ended had."""
    return catalog.run["run"]["changes"]["resumed"]


def _finished_only(out: Path) -> bool:
    """Tell whether no file of a part is kept but those of the parts that a catalog is made of."""
    kept = {path.name.partition(".")[0] for path in (out / PRIVATE / "parts").iterdir()}
    return kept == set(read_state(out).parts)


@contextmanager
def _small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"mounting is refused: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@POSIX
@pytest.mark.parametrize("size", ["16k", "64k"])
def test_a_disk_that_is_full_ends_with_one_line(tmp_path: Path, size: str) -> None:
    """On a real file system without space to read anything, nothing of a new output is left."""
    _case_folder(tmp_path / "in", 300)
    with _small_disk(tmp_path / "disk", size) as disk:
        with pytest.raises(OutputError, match="no space left; free some, or choose another --out"):
            run([str(tmp_path / "in")], RunOptions(out=str(disk / "new" / "out")))
        assert [] == os.listdir(disk)


@POSIX
def test_a_disk_that_is_full_of_what_was_read_keeps_it(tmp_path: Path) -> None:
    """Where space ends before the catalog is there, the same command goes on once there is more."""
    source = _case_folder(tmp_path / "in", 300)
    with _small_disk(tmp_path / "disk", "200k") as disk:
        out = disk / "new" / "out"
        with pytest.raises(OutputError, match="no space left; free some, or choose another --out"):
            run([str(source)], RunOptions(out=str(out)))
        assert ["new"] == os.listdir(disk)
        (part,) = unfinished(out)
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        catalog = crawl(source, out)
        assert (300, 300) == (_resumed(catalog), catalog.instances.count_rows())
        assert 0 == catalog.run["counts"]["bytes_read"]
        assert [part] == read_state(out).parts


@POSIX
def test_a_disk_that_gets_full_keeps_whole_parts(tmp_path: Path) -> None:
    """What was whole by then is of use, what was not goes with the next run."""
    source = _case_folder(tmp_path / "in", 300)
    # Space for one part and a half.
    with _small_disk(tmp_path / "disk", "130k") as disk:
        out = disk / "out"
        with pytest.raises(OutputError, match="no space left"):
            run([str(source)], RunOptions(out=str(out), partition_size=30, workers=1))
        (part,) = list_stems(out / PRIVATE / "parts")
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        catalog = crawl(source, out, partition_size=30)
        assert (30, 300) == (_resumed(catalog), catalog.instances.count_rows())
        assert part in read_state(out).parts
        assert sorted([*KEPT, "numbers.lock"]) == _private(out)
        assert _finished_only(out)


def test_a_run_that_ends_leaves_no_half_part(tmp_path: Path) -> None:
    """What is of no use to the next run takes no space."""
    with FolderStore(tmp_path / "out") as store:
        store.known("", full=False)
        nothing = read_headers([], desensitize=False)
        whole = write_part(store.parts, 0, nothing, READ.empty_table(), "")
        (store.parts / "0000000030-00000000.parquet").write_bytes(b"PAR1")
    assert [whole.part] == unfinished(tmp_path / "out")


# -- reading back ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no catalog.json there; name the --out of a run"),
        (b"{", "catalog.json is damaged, or no run wrote it; run again"),
        (b"\xff", "catalog.json is damaged, or no run wrote it; run again"),
        (b"[]", "catalog.json is damaged, or no run wrote it; run again"),
        (b"[" * 100_000, "catalog.json is damaged, or no run wrote it; run again"),
    ],
)
def test_what_is_no_catalog_is_said(tmp_path: Path, content: bytes | None, words: str) -> None:
    """A folder without a catalog file, or with a damaged one, is named with what to do."""
    if content is not None:
        (tmp_path / CATALOG).write_bytes(content)
    with pytest.raises(CatalogError) as caught:
        FolderOutput(tmp_path).read_catalog()
    assert f"catalog {tmp_path}: {words}" == str(caught.value)


def test_while_publishing_there_is_no_half_catalog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every step a reader finds the old catalog, none, or the new one, each whole."""
    out = tmp_path / "out"
    _publish(out, "old")
    seen: list[str] = []
    real = placing.move

    def move(source: Any, target: Any) -> None:
        real(source, target)
        if (out / CATALOG).exists():
            texts = {text for name, text in _content(out).items() if name != CATALOG}
            seen.append(f"{FolderOutput(out).read_catalog()['text']} {texts}")

    monkeypatch.setattr(placing, "move", move)
    _publish(out, "new")
    assert ["new {'new'}"] == seen


def test_a_manifest_that_is_gone_is_said(tmp_path: Path) -> None:
    """An output folder that is removed under a run, or not seen by a worker, ends with one line."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(instance())

    def watch(progress: Any) -> None:
        if progress.stage == "read" and not progress.done:
            for piece in (tmp_path / "out" / PRIVATE / "staging" / "manifest").iterdir():
                piece.unlink()

    with pytest.raises(OutputError, match="the manifest is not there; OUT must lie where every"):
        run([str(tmp_path / "in")], RunOptions(out=str(tmp_path / "out")), watch)


def test_tables_are_written_under_the_staging_area(tmp_path: Path) -> None:
    """Nothing bears its final name before it is published."""
    with FolderStore(tmp_path / "out") as store:
        with store.open_output("index.parquet") as stream:
            stream.write(b"PAR1")
        assert {} == _content(tmp_path / "out")
        begun = time.time()
        store.publish({"instances": []}, STATE)
        assert time.time() - begun < 5
    assert [CATALOG, "index.parquet"] == sorted(
        path.name for path in (tmp_path / "out").iterdir() if path.name != PRIVATE
    )
