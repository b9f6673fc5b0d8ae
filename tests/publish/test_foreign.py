"""Nothing that no run wrote is deleted or overwritten: it is refused, or moved aside where asked for."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from source.making import instance
from support import crawl, encode, examples

from dcmdask.assemble.outputs import PUBLISHED, names_written
from dcmdask.catalog.catalog import Catalog
from dcmdask.cli.main import main
from dcmdask.config import LAYOUTS, RunOptions
from dcmdask.errors import OutputError
from dcmdask.publish import folder_store, placing
from dcmdask.publish.folder_store import FolderStore
from dcmdask.publish.output import CATALOG, OF_PEOPLE, Check, State
from dcmdask.publish.ownership import _is_as_written
from dcmdask.publish.placing import Placing
from dcmdask.types import PRIVATE, Progress

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and links of POSIX")
STAC = b'{"type": "Catalog", "id": "mine", "stac_version": "1.0.0", "links": []}'
STATE = State("", "", "", "", [], [], {})
Tree = dict[str, bytes]


def tree(folder: Path, *, private: bool = True) -> Tree:
    """Give every file of a folder and what it holds; every empty folder, with a slash."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not private and name.partition("/")[0] == PRIVATE:
            continue
        if path.is_symlink() or path.is_file():
            found[name] = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
        elif not any(path.iterdir()):
            found[f"{name}/"] = b""
    return found


def put(folder: Path, *names: str) -> Tree:
    """Put files of the user's into a folder; give them."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(STAC if name == CATALOG else b"the user's own " + name.encode())
    return {name: (folder / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a case of one instance."""
    folder = tmp_path_factory.mktemp("foreign") / "exports"
    (folder / "P1").mkdir(parents=True)
    (folder / "P1" / "a.dcm").write_bytes(encode())
    return folder


@pytest.fixture(scope="module")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a catalog of it."""
    out = tmp_path_factory.mktemp("made") / "out"
    crawl(source, out)
    return out


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    """Give a copy of the catalog, times included, that a test may spoil."""
    return shutil.copytree(made, tmp_path / "out")


# -- what is there before a run ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            ("catalog.json", "cases/precious.csv", "instances/precious.csv", "index.csv"),
            "/cases: no run wrote it, and 3 more are not as a run has left them;",
        ),
        (("index.csv",), "/index.csv: no run wrote it;"),
        (("crawl_db.json", "notes.txt"), "/crawl_db.json: no run wrote it;"),
        (("all_cases.csv",), "/all_cases.csv: no run wrote it;"),
        (("catalog.json",), "/catalog.json: no run wrote it;"),
        (("index.parquet/deep/x",), "/index.parquet: no run wrote it;"),
    ],
)
@pytest.mark.parametrize("place", ["out", ".imgtools/exports"])
def test_what_no_run_wrote_is_refused(
    source: Path, tmp_path: Path, names: tuple[str, ...], words: str, place: str
) -> None:
    """Before anything is read, with one line that names it and what to do; nothing is touched."""
    own = tmp_path / "exports"
    own.symlink_to(source)
    out = tmp_path / place
    put(out, *names)
    before = tree(out)
    named = str(out) if place == "out" else None
    with pytest.raises(OutputError) as caught:
        run([own], out=named, merge_all=True)
    assert before == tree(out)
    assert f"output {out}{words.rstrip(';')}" in str(caught.value)
    remedy = f"; choose another --out, or add --replace, which first moves what is in the way to {out}/replaced-<time>"
    assert str(caught.value).endswith(remedy)
    hint = " (Med-ImageTools writes into .imgtools too)"
    assert (place != "out") == (hint in str(caught.value))


def run(sources: list[Path], **options: Any) -> dict[str, Any]:
    """Crawl as the command does."""
    from dcmdask.execution.pipeline import run as real

    return real(list(map(str, sources)), RunOptions(**options))


def test_what_a_run_does_not_write_is_none_of_its_business(source: Path, tmp_path: Path) -> None:
    """With a layout that has no index.csv and no cases, the user's stay beside the catalog."""
    mine = put(tmp_path / "out", "index.csv", "cases/P1.csv", "all_cases.csv", "sop_map.json")
    for _ in range(2):
        crawl(source, tmp_path / "out", layout="native", full=True)
        assert mine.items() <= tree(tmp_path / "out").items()
    with pytest.raises(OutputError, match=r"out/cases: no run wrote it, and 2 more are not"):
        crawl(source, tmp_path / "out")
    assert mine.items() <= tree(tmp_path / "out").items()


def test_with_replace_it_is_moved_aside(source: Path, tmp_path: Path) -> None:
    """Only what is in the way, under its name, to a folder of OUT that says when; and it is said."""
    names = ("catalog.json", "cases/deep/precious.csv", "index.csv")
    mine = put(tmp_path / "out", *names, "notes.txt")
    done = run([source], out=str(tmp_path / "out"), replace=True)
    aside = done["run"]["set_aside_in"]
    after = tree(tmp_path / "out")
    assert {f"{aside}/{name}": mine[name] for name in names}.items() <= after.items()
    assert len(names) == sum(name.startswith("replaced-") for name in after)
    assert mine["notes.txt"] == after["notes.txt"]
    assert ["cases", "catalog.json", "index.csv"] == done["run"]["set_aside"]
    assert 1 == Catalog(tmp_path / "out").index.num_rows
    again = run([source], out=str(tmp_path / "out"), replace=True)
    assert ([], None) == (again["run"]["set_aside"], again["run"]["set_aside_in"])
    assert set(after) == set(tree(tmp_path / "out"))


@POSIX
def test_a_link_is_nobodys(source: Path, out: Path, tmp_path: Path) -> None:
    """Where a published file or folder has become a link, what it leads to is not touched."""
    elsewhere = put(tmp_path / "elsewhere", "precious.csv")
    (out / "index.csv").unlink()
    (out / "index.csv").symlink_to(tmp_path / "elsewhere" / "precious.csv")
    shutil.rmtree(out / "cases")
    (out / "cases").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(
        OutputError, match="it was changed since it was published, and 1 more is not"
    ):
        crawl(source, out, full=True)
    crawl(source, out, replace=True)
    assert elsewhere == tree(tmp_path / "elsewhere")
    assert not (out / "cases").is_symlink()


@POSIX
def test_a_map_of_numbers_that_is_a_link_stays_one(source: Path, tmp_path: Path) -> None:
    """Numbers that several outputs share are read and saved where the link leads to."""
    (tmp_path / "out").mkdir()
    shared = tmp_path / "numbers.json"
    shared.write_text('{"other": 1}')
    (tmp_path / "out" / "projectid_map.json").symlink_to(shared)
    for _ in range(2):
        crawl(source, tmp_path / "out", full=True)
        assert {"other": 1, "P1": 2} == json.loads(shared.read_text())
        assert (tmp_path / "out" / "projectid_map.json").is_symlink()


def test_a_map_of_numbers_that_people_bring_or_edit_is_taken(source: Path, tmp_path: Path) -> None:
    """It is what they write: read and rewritten, refused only where it is none."""
    path = tmp_path / "out" / "projectid_map.json"
    path.parent.mkdir()
    for numbers in ('{"P1":   7}', '{"P1": 9, "x": 1}'):
        path.write_text(numbers)
        crawl(source, tmp_path / "out")
        assert json.loads(numbers) == json.loads(path.read_text())
    assert not list((tmp_path / "out").glob("replaced-*"))


# -- a catalog of ours that is not as it was ---------------------------------------------------------


def test_an_ordinary_night_reads_no_published_file(
    source: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes and times say that they are ours."""
    from dcmdask.publish import ownership

    read: list[str] = []
    real = ownership.check_of

    def check_of(path: Path) -> list[int]:
        read.append(path.name)
        return real(path)

    monkeypatch.setattr(ownership, "check_of", check_of)
    crawl(source, out)
    assert [] == read


def test_a_copy_without_times_is_ours(source: Path, out: Path) -> None:
    """What has another time is read once: the next night knows the time that it has."""
    for path in out.rglob("*.*"):
        os.utime(path, ns=(1, 1_700_000_000_000_000_001))
    crawl(source, out)
    test_an_ordinary_night_reads_no_published_file(source, out, pytest.MonkeyPatch())


def test_a_catalog_that_lost_what_a_run_keeps_is_ours(source: Path, out: Path) -> None:
    """Its catalog file says what was published with it, and vouches for itself."""
    shutil.rmtree(out / PRIVATE)
    before = {name: content for name, content in tree(out).items() if name != CATALOG}
    catalog = crawl(source, out)
    assert before == {
        name: content
        for name, content in tree(out, private=False).items()
        if name != CATALOG and not name.startswith("instances/")
    } | {name: content for name, content in before.items() if name.startswith("instances/")}
    assert 1 == catalog.index.num_rows


def test_a_catalog_of_a_release_before_is_ours(source: Path, out: Path) -> None:
    """Its state says sizes only, its catalog file has no checksum of itself."""
    said = json.loads((out / CATALOG).read_text())
    del said["check"], said["published"]
    (out / CATALOG).write_text(json.dumps(said))
    (state,) = (out / PRIVATE).glob("state-*.json")
    kept = json.loads(state.read_text())
    kept["published"] = {name: check[0] for name, check in kept["published"].items()}
    state.write_text(json.dumps(kept))
    (out / PRIVATE / "output.json").unlink()
    catalog = crawl(source, out)
    assert 1 == catalog.run["run"]["changes"]["same"]
    (out / "index.csv").write_bytes(b"longer than it was" * 99)
    with pytest.raises(OutputError, match=r"index\.csv: it was changed since it was published"):
        crawl(source, out)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(
    "name", ["index.csv", "cases/P1.csv", "instances/part-00000.parquet", "catalog.json"]
)
def test_what_was_changed_since_is_noticed(
    source: Path, out: Path, name: str, kept: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """By `show` in one line, also where the size is the same, and by a run, which refuses it."""
    content = (out / name).read_bytes()
    index = content.rindex(b"1", 0, -12)
    time.sleep(0.01)
    replaced = content[:index] + b"2" + content[index + 1 :]
    # Instances have two names: the part that a run keeps is not what is edited.
    (out / name).unlink()
    (out / name).write_bytes(replaced)
    if not kept:
        shutil.rmtree(out / PRIVATE)
    assert f"  note: changed since it was published: {name}\n" in shown(out, capsys)
    before = tree(out)
    with pytest.raises(OutputError) as caught:
        crawl(source, out)
    assert f"output {out}/{name}: it was changed since it was published" in str(caught.value)
    assert before == tree(out)
    run_ = crawl(source, out, replace=True).run["run"]
    assert replaced == (out / run_["set_aside_in"] / name).read_bytes()
    assert "changed since" not in shown(out, capsys)


def test_what_was_removed_since_is_written_again(
    source: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`show` says so in one line, and so does the run."""
    before = tree(out, private=False)
    for name in ("index.csv", "cases/P1.csv"):
        (out / name).unlink()
    words = "  note: removed since it was published: cases/P1.csv, index.csv\n"
    assert words in shown(out, capsys)
    crawl(source, out)
    after = tree(out, private=False)
    assert {**before, CATALOG: b""} == {**after, CATALOG: b""}
    assert "  note: removed since they were published: cases/P1.csv, index.csv\n" in shown(
        out, capsys
    )


def shown(out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Give what `dcmdask show` says."""
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch, suppress(SystemExit):
        patch.setattr(sys, "argv", ["dcmdask", "show", str(out)])
        main()
    return capsys.readouterr().out


@pytest.mark.parametrize("name", ["cases/mine.csv", "instances/mine.parquet", "cases/mine/x.csv"])
def test_what_was_put_into_a_folder_of_ours_is_not_touched(
    source: Path, out: Path, name: str
) -> None:
    """A run that would replace the folder is refused; moved aside, it takes nothing else along."""
    mine = put(out, name)
    with pytest.raises(OutputError, match="no run wrote it; choose another --out"):
        crawl(source, out)
    assert mine.items() <= tree(out).items()
    aside = crawl(source, out, replace=True).run["run"]["set_aside_in"]
    found = [one for one in tree(out) if one.startswith("replaced-")]
    assert [f"{aside}/{name}"] == found


def test_what_systems_leave_in_folders_refuses_nothing(source: Path, out: Path) -> None:
    """Somebody has looked into cases/ with a file browser: it goes along with the folder."""
    mine = put(out, "cases/.DS_Store", "instances/Thumbs.db")
    crawl(source, out, full=True)
    assert mine.items() <= tree(out).items()
    assert not list(out.glob("replaced-*"))


# -- what is put there during a run ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["index.csv", "cases/mine.csv"])
def test_what_is_put_there_during_a_run_is_not_touched(source: Path, out: Path, name: str) -> None:
    """It is seen before anything is moved: the run ends, and what it has read is kept."""
    before = {one: text for one, text in tree(out, private=False).items() if one != name}
    (out / name).unlink(missing_ok=True)

    def watch(progress: Progress) -> None:
        if progress.stage == "publish":
            put(out, name)

    from dcmdask.execution.pipeline import run as real

    with pytest.raises(OutputError, match=f"out/{name}: (no run wrote it|it was changed)"):
        real([str(source)], RunOptions(out=str(out), full=True), watch)
    assert {**before, name: b"the user's own " + name.encode()} == tree(out, private=False)
    assert 1 == crawl(source, out, full=True, replace=True).run["run"]["changes"]["resumed"]


def test_what_is_put_there_while_files_are_moved_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the moment between the look and the move it keeps its place, or gets it back."""
    out = tmp_path / "out"
    publish(out, "old", ("cases/a.csv", "index.csv"))
    real = placing.move

    def move(source: Path, target: Path) -> None:
        if target == out / "index.csv":
            put(out, "index.csv")
        if source == out / "cases":
            put(out, "cases/mine.csv")
        real(source, target)

    monkeypatch.setattr(placing, "move", move)
    with pytest.raises(OutputError, match="File exists"):
        publish(out, "new", ("cases/a.csv", "index.csv"))
    monkeypatch.undo()
    assert {"index.csv", "cases/mine.csv"} <= tree(out).keys()
    assert tree(out)["index.csv"] == b"the user's own index.csv"
    assert tree(out)["cases/mine.csv"] == b"the user's own cases/mine.csv"
    with pytest.raises(OutputError, match=r"no run wrote it|it was changed"):
        publish(out, "new", ("cases/a.csv", "index.csv"))
    publish(out, "new", ("cases/a.csv", "index.csv"), replace=True)
    assert b"new" == (out / "index.csv").read_bytes()
    mine = {path.name: path.read_bytes() for path in out.rglob("replaced-*/**/*") if path.is_file()}
    assert {"index.csv", "mine.csv"} == mine.keys()


def publish(out: Path, text: str, names: tuple[str, ...], **options: Any) -> None:
    """Publish files that say `text`."""
    options.setdefault("writes", {name.partition("/")[0] for name in names})
    with FolderStore(out, **options) as one:
        for name in names:
            one.staged(name).write_text(text)
        one.publish({"text": text}, STATE)


# -- a kill while files are moved --------------------------------------------------------------------

_KILLED = """
import os, sys
from pathlib import Path
from dcmdask.publish import placing
from dcmdask.publish.output import State
from dcmdask.publish.folder_store import FolderStore
out, fail_at = Path(sys.argv[1]), int(sys.argv[2])
real, calls = placing.move, [0]
def move(source, target):
    calls[0] += 1
    if calls[0] == fail_at:
        os.kill(os.getpid(), 9)
    real(source, target)
placing.move = move
with FolderStore(out) as store:
    for name in ("cases/a.csv", "index.csv", "sop_map.json"):
        store.staged(name).write_text("new")
    store.publish({"text": "new"}, State("", "", "", "", [], [], {}))
"""


@POSIX
@pytest.mark.parametrize("fail_at", [5, 6, 8])
def test_after_a_kill_nothing_of_the_user_is_lost(tmp_path: Path, fail_at: int) -> None:
    """Files that people put where a killed run had left a gap stay until they are asked to move."""
    out = tmp_path / "out"
    publish(out, "old", ("cases/a.csv", "index.csv", "old.csv"))
    old = tree(out, private=False)
    paths = os.pathsep.join(path for path in sys.path if path)
    words = [sys.executable, "-c", _KILLED, str(out), str(fail_at)]
    done = subprocess.run(words, check=False, env={**os.environ, "PYTHONPATH": paths})
    assert -signal.SIGKILL == done.returncode
    assert not (out / CATALOG).exists()
    mine = put(out, "cases/mine.csv", "index.csv", "notes.txt")
    before = tree(out)
    with pytest.raises(OutputError, match=r"(cases|cases/mine\.csv|index\.csv): no run wrote it"):
        publish(out, "next", ("index.csv",))
    assert before == tree(out)
    with FolderStore(out, replace=True) as one:
        aside = one.set_aside_in
    after = tree(out, private=False)
    moved = {f"{aside}/{name}": mine[name] for name in ("cases/mine.csv", "index.csv")}
    assert {**old, **moved, "notes.txt": mine["notes.txt"]} == after


# -- any files, any layout, any moment ---------------------------------------------------------------

_PLACES = (
    *(name for name in PUBLISHED if name not in ("cases", "instances")),
    *("cases/P1.csv", "cases/mine.csv", "cases/deep/x", "cases/.DS_Store"),
    *("instances/part-00000.parquet", "instances/mine.parquet", "catalog.json", "notes.txt"),
    *("replaced-20260101T000000Z/index.csv", "index.csv/inner"),
)


_numbers = itertools.count()


class _Killed(BaseException):
    """The process is gone, and does nothing any more."""


@contextmanager
def _dying(at: int, *, half: bool) -> Iterator[None]:
    """Have this process die at the n-th move, or half way in it, as far as an output can see."""
    real, calls = placing.move, [0]

    def move(source: Path, target: Path) -> None:
        calls[0] += 1
        if calls[0] == at and half and source.is_file():
            os.link(source, target)
        if calls[0] >= at:
            raise _Killed
        real(source, target)

    def undo(self: Placing) -> None:
        if calls[0] >= at:
            raise _Killed
        real_undo(self)

    def leave(self: FolderStore) -> None:
        if calls[0] >= at:
            self._holder.drop()
            self._lock.release()
        else:
            real_leave(self)

    real_undo, real_leave = Placing.undo, FolderStore._leave
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(placing, "move", move)
        patch.setattr(Placing, "undo", undo)
        patch.setattr(FolderStore, "_leave", leave)
        with suppress(_Killed):
            yield


def _lay(out: Path, names: list[str]) -> set[bytes]:
    """Put files of the user's where that can be; give what they hold."""
    contents = set()
    for name in names:
        path = out / name
        content = f"the user's {name} {next(_numbers)}".encode()
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            contents.add(content)
    return contents


def _all_bytes(out: Path, *, private: bool) -> set[bytes]:
    return set(tree(out, private=private).values())


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.lists(st.sampled_from(_PLACES), max_size=3, unique=True),
    meanwhile=st.lists(st.sampled_from(_PLACES), max_size=2, unique=True),
    during=st.lists(st.sampled_from(_PLACES), max_size=2, unique=True),
    after=st.lists(st.sampled_from(_PLACES), max_size=3, unique=True),
    layouts=st.lists(st.sampled_from(LAYOUTS), min_size=2, max_size=3),
    replace=st.booleans(),
    dies_at=st.integers(1, 30),
    half=st.booleans(),
)
def test_no_byte_of_the_user_is_ever_lost(
    monkeypatch: pytest.MonkeyPatch,
    before: list[str],
    meanwhile: list[str],
    during: list[str],
    after: list[str],
    layouts: list[str],
    replace: bool,
    dies_at: int,
    half: bool,
) -> None:
    """Whatever they put there, before, during and after runs of any layout that end in any way."""
    monkeypatch.setattr(folder_store, "sync", lambda *_what: None)
    monkeypatch.setattr(placing, "sync", lambda *_what: None)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        mine = _lay(out, before)
        for number, layout in enumerate(layouts):
            writes = names_written(RunOptions(layout=layout))
            intact = tree(out, private=False)
            with _dying(dies_at if number == 1 else 99, half=half):
                try:
                    with FolderStore(out, writes=writes, replace=replace) as one:
                        mine = _lay_over(out, during if number else [], mine)
                        intact = tree(out, private=False)
                        _publish(one, writes, number)
                except OutputError:
                    assert intact == tree(out, private=False)
            # What a run that was killed had set aside, the next one puts back.
            assert mine <= _all_bytes(out, private=True)
            mine = _lay_over(out, after if number else meanwhile, mine)
        with suppress(OutputError), FolderStore(out, writes=writes, replace=True) as one:
            _publish(one, writes, 9)
        assert mine <= _all_bytes(out, private=False)


def _lay_over(out: Path, names: list[str], mine: set[bytes]) -> set[bytes]:
    """Put more files of the user's there: what is written over by the user is the user's doing."""
    laid = _lay(out, names)
    return {one for one in mine if one in _all_bytes(out, private=True)} | laid


def _publish(one: FolderStore, writes: frozenset[str], number: int) -> None:
    for name in sorted(writes):
        inner = {"cases": "cases/P1.csv", "instances": "instances/part-00000.parquet"}
        one.staged(inner.get(name, name)).write_text(f"ours {number}")
    one.publish({"number": number}, STATE)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("merged", [{}, {"merge_all": True}, {"only_merged": True}])
def test_a_run_writes_what_it_looks_for(
    source: Path, tmp_path: Path, layout: str, merged: dict[str, bool]
) -> None:
    """The names that are looked at before a run are those that it then publishes."""
    if merged and layout in ("native", "imgtools"):
        return
    options = {"layout": layout, **merged}
    crawl(source, tmp_path / "out", **options)
    there = {path.name for path in (tmp_path / "out").iterdir()}
    expected = {*names_written(RunOptions(**options)), *OF_PEOPLE, CATALOG, PRIVATE}
    assert expected == there


@given(st.integers(1, 2**61), st.sampled_from([1, 100, 1000, 1_000_000]), st.integers(-2, 2))
def test_a_time_that_a_file_system_cuts_is_the_same(written: int, unit: int, later: int) -> None:
    """It tells the time of a file in full at first, and then to its precision; no other is taken."""
    known = Check(1, 2, written)
    cut = written - written % unit
    assert _is_as_written(known, cut)
    other = cut + later * unit
    assert (other == cut) == _is_as_written(known, other) or other in (
        written - written % one for one in (1, 100, 1000, 1_000_000)
    )


# -- folders of data ---------------------------------------------------------------------------------


@pytest.fixture
def heap(tmp_path: Path) -> Path:
    """Give a folder of three patients."""
    for number in (1, 2, 3):
        path = tmp_path / "src" / f"p{number}" / "CT" / "1.dcm"
        path.parent.mkdir(parents=True)
        path.write_bytes(instance(number))
    return tmp_path / "src"


@pytest.mark.parametrize(
    ("sources", "out", "words"),
    [
        (["p3/CT"], "p3", "the source {heap}/p3/CT lies in it"),
        (["p3/CT/1.dcm"], "p3", "the source {heap}/p3/CT/1.dcm lies in it"),
        (["."], "p2", "it lies in the source {heap} and holds what no run wrote"),
        (["p1"], "p2", "it holds DICOM files, as CT/1.dcm"),
        (["p1"], "p2/CT", "it holds DICOM files, as 1.dcm"),
    ],
)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_folder_of_data_is_no_output(
    heap: Path,
    sources: list[str],
    out: str,
    words: str,
    command: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line says why, nothing is written, and the data are found by the next crawl."""
    before = tree(heap)
    named = [str(heap / one) for one in sources]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["dcmdask", command, *named, "--out", str(heap / out)])
        with pytest.raises(SystemExit) as caught:
            main()
    assert 1 == caught.value.code
    line = f"output {heap / out}: {words.format(heap=heap)}; name an empty or new folder with --out"
    assert f"dcmdask: {line}\n" == capsys.readouterr().err
    assert before == tree(heap)


def test_an_output_may_lie_in_a_source(heap: Path) -> None:
    """Where it is new, empty or an output already; also one whose .dcmdask was deleted."""
    (heap / "out" / PRIVATE).mkdir(parents=True)
    (heap / "out" / PRIVATE / "lock").touch()
    (heap / "out" / ".DS_Store").touch()
    assert 3 == crawl(heap, heap / "out").instances.count_rows()
    shutil.rmtree(heap / "out" / PRIVATE)
    assert 3 == crawl(heap, heap / "out").instances.count_rows()


def test_an_output_may_hold_other_things(heap: Path, tmp_path: Path) -> None:
    """Outside of sources, a folder without DICOM files is one; deep down nobody looks."""
    put(tmp_path / "out", "notes.txt", "a/b/c.txt", "a/short")
    (tmp_path / "out" / "a" / "b" / "deep.dcm").write_bytes(instance(1))
    assert 3 == crawl(heap, tmp_path / "out").instances.count_rows()


def test_a_list_says_itself_what_is_a_source(heap: Path, tmp_path: Path) -> None:
    """Its files have a folder in common, in which an output may lie."""
    (tmp_path / "list.txt").write_text(f"{heap}/p1/CT/1.dcm\n{heap}/p2/CT/1.dcm\n")
    put(heap / "out", "notes.txt")
    done = run([], out=str(heap / "out"), from_list=str(tmp_path / "list.txt"))
    assert 2 == done["counts"]["instances"]
