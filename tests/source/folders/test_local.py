"""Listing and opening files of this machine: links, special files, names, depth, permissions."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from source.making import instance, manifest_of, read_folder, read_rows, zip_of
from source.unprivileged import run_unprivileged, shared_folder

from dcmdask.errors import SourceError
from dcmdask.source.entries import Entry
from dcmdask.source.folders.local import list_root, move_archives_into_folders, root_of
from dcmdask.source.source_listing import Asked
from dcmdask.types import Kind

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="links and special files of POSIX")
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems allow valid text only")


def _paths(folder: Path, **options: object) -> list[str]:
    return [entry.path for entry in list_root(root_of(str(folder)), Asked(**options))]


def _entries(folder: Path) -> dict[str, Entry]:
    return {entry.path: entry for entry in list_root(root_of(str(folder)))}


def _file(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_files_are_listed_in_order_of_names(tmp_path: Path) -> None:
    """The order is that of code points, files of a folder before those of its subfolders."""
    for name in ("b/2", "b/1", "a", "B/x", "b/sub/y", "ä/z", "c"):
        _file(tmp_path / name)
    assert ["B/x", "a", "b/1", "b/2", "b/sub/y", "c", "ä/z"] == _paths(tmp_path)


def test_an_entry_says_what_one_stat_says(tmp_path: Path) -> None:
    """Size in bytes, modification time in microseconds, and the case."""
    path = _file(tmp_path / "case" / "a", b"12345")
    os.utime(path, ns=(0, 1_700_000_000_123_456_789))
    assert [Entry("case/a", os.fsencode(path), "case", 5, 1_700_000_000_123_456)] == list(
        list_root(root_of(str(tmp_path)))
    )


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("P7.zip", "P7"),
        ("P7.TAR.GZ", "P7"),
        ("P7.tgz", "P7"),
        (".zip", "in"),
        ("scan.dcm", "in"),
        ("scan.dcm.gz", "in"),
        ("sub/P7.zip", "sub"),
    ],
)
def test_cases(tmp_path: Path, name: str, case: str) -> None:
    """A folder or an archive in the root is a case; loose files there are one, named as the root."""
    _file(tmp_path / "in" / name)
    assert [case] == [entry.case for entry in _entries(tmp_path / "in").values()]


def test_an_empty_folder_is_a_case(tmp_path: Path) -> None:
    """Cases are told of also where they hold no file."""
    (tmp_path / "in" / "empty" / "deep").mkdir(parents=True)
    found: list[str] = []
    assert [] == list(list_root(root_of(str(tmp_path / "in")), Asked(found_case=found.append)))
    assert ["empty"] == found


# -- links -----------------------------------------------------------------------------------------


@POSIX
def test_a_linked_folder_is_followed_once(tmp_path: Path) -> None:
    """Of two links to one folder outside, and of one into it, the first is followed."""
    _file(tmp_path / "outside" / "sub" / "x")
    (tmp_path / "in").mkdir()
    for name, target in (("1", "outside"), ("2", "outside"), ("3", "outside/sub")):
        (tmp_path / "in" / name).symlink_to(tmp_path / target)
    assert ["1/sub/x"] == _paths(tmp_path / "in", follow_links="all")


@POSIX
def test_a_link_that_is_not_followed_makes_no_case(tmp_path: Path) -> None:
    """A case that would hold another one's files is none."""
    _file(tmp_path / "in" / "2024" / "x")
    (tmp_path / "in" / "latest").symlink_to("2024")
    found: list[str] = []
    options = {"inside": (str(tmp_path / "in"),), "found_case": found.append}
    assert ["2024/x"] == _paths(tmp_path / "in", **options)
    assert ["2024"] == found


@POSIX
def test_loops_of_links_end(tmp_path: Path) -> None:
    """Links to the root, to a parent, and in a circle outside lead nowhere new."""
    _file(tmp_path / "in" / "a" / "x")
    _file(tmp_path / "outside" / "y")
    (tmp_path / "in" / "a" / "root").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "a" / "parent").symlink_to("..")
    (tmp_path / "in" / "out").symlink_to(tmp_path / "outside")
    (tmp_path / "outside" / "back").symlink_to(tmp_path / "outside")
    assert ["a/x", "out/y"] == _paths(tmp_path / "in", follow_links="all")


@POSIX
def test_links_that_lead_nowhere_are_failures(tmp_path: Path) -> None:
    """A broken link and a link to itself are rows."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "broken").symlink_to("nothing")
    (tmp_path / "in" / "self").symlink_to("self")
    kinds = {path: entry.kind for path, entry in _entries(tmp_path / "in").items()}
    assert {"broken": Kind.VANISHED, "self": Kind.VANISHED} == kinds


@POSIX
def test_a_linked_file_is_a_file(tmp_path: Path) -> None:
    """A link to a file of the source is read under its own name too."""
    _file(tmp_path / "in" / "a.dcm", instance())
    (tmp_path / "in" / "link.dcm").symlink_to("a.dcm")
    assert ["a.dcm", "link.dcm"] == read_folder(tmp_path / "in").paths


@POSIX
def test_the_output_is_not_listed(tmp_path: Path) -> None:
    """A folder to leave out is not entered, neither by its name nor by a link to or into it."""
    for name in ("a/out/instances/x", "a/y", "b/out/z"):
        _file(tmp_path / "in" / name)
    (tmp_path / "in" / "c").symlink_to(tmp_path / "in" / "a" / "out")
    (tmp_path / "in" / "d").symlink_to(tmp_path / "in" / "a" / "out" / "instances")
    leave_out = frozenset({os.path.realpath(tmp_path / "in" / "a" / "out")})
    assert ["a/y", "b/out/z"] == _paths(tmp_path / "in", leave_out=leave_out)


# -- special files ---------------------------------------------------------------------------------


@pytest.mark.skipif(not ROOT, reason="a device is made by root")
@pytest.mark.timeout(20)
def test_special_files_are_listed_and_never_opened(tmp_path: Path) -> None:
    """A FIFO, a socket and a device are skips that say what they are; opening one would wait."""
    (tmp_path / "in").mkdir()
    os.mkfifo(tmp_path / "in" / "fifo")
    os.mknod(tmp_path / "in" / "device", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(tmp_path)  # the name of a socket has 108 bytes
        server.bind("in/socket")
        reading = read_folder(tmp_path / "in")
    assert {
        "device": "a character device is not opened",
        "fifo": "a FIFO is not opened",
        "socket": "a socket is not opened",
    } == reading.messages
    assert {"not_dicom"} == set(reading.kinds.values())


@POSIX
@pytest.mark.timeout(20)
@pytest.mark.parametrize("change", ["gone", "fifo", "folder", "parent"])
def test_a_file_that_is_gone_when_it_is_read_is_a_failure(tmp_path: Path, change: str) -> None:
    """Whatever has taken the place of a listed file, the others are read."""
    path = _file(tmp_path / "in" / "b" / "1.dcm", instance(1))
    _file(tmp_path / "in" / "c" / "2.dcm", instance(2))
    name, rows = manifest_of(tmp_path / "in")
    path.unlink()
    if change == "fifo":
        os.mkfifo(path)
    elif change == "folder":
        path.mkdir()
    elif change == "parent":
        path.parent.rmdir()
        path.parent.write_bytes(b"")
    reading = read_rows(name, rows)
    assert ["c/2.dcm"] == reading.paths
    assert {"b/1.dcm": "vanished"} == reading.kinds


def test_a_file_that_shrinks_or_grows_is_read_as_it_is(tmp_path: Path) -> None:
    """The size in the listing bounds nothing."""
    paths = [_file(tmp_path / "in" / name, b"x" * 50_000) for name in "ab"]
    name, rows = manifest_of(tmp_path / "in")
    paths[0].write_bytes(b"")
    paths[1].write_bytes(instance(1))
    reading = read_rows(name, rows)
    assert (["b"], {"a": "not_dicom"}) == (reading.paths, reading.kinds)


# -- names and depth -------------------------------------------------------------------------------


@LINUX
def test_names_that_are_no_text_are_escaped(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 become their numbers in tables; the file is opened all the same."""
    folder = os.fsencode(tmp_path / "in") + b"/caf\xe9"
    os.makedirs(folder)
    with open(folder + b"/\xff.dcm", "wb") as file:
        file.write(instance())
    reading = read_folder(tmp_path / "in")
    assert ["caf\\xe9/\\xff.dcm"] == reading.paths
    assert ["caf\\xe9"] == [row["case"] for row in reading.instances]


@contextmanager
def _deep(top: Path, name: str, levels: int) -> Iterator[int]:
    """Make folders in folders, give a handle of the last one, and take them apart again."""
    top.mkdir(parents=True)
    at = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=at)
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    try:
        yield at
    finally:
        os.close(at)
        # pytest, and the system, take no path as long: a level is lifted out of the one above it.
        for _ in range(levels):
            os.rename(top / name, top.with_name("lifted"))
            if (top.with_name("lifted") / name).exists():
                os.rename(top.with_name("lifted") / name, top / name)
            shutil.rmtree(top.with_name("lifted"))


@LINUX
def test_a_thousand_folders_deep(tmp_path: Path) -> None:
    """Depth is bounded by the system's paths, not by calls within calls."""
    with _deep(tmp_path / "in", "d", 1000) as at:
        with open(os.open("x.dcm", os.O_WRONLY | os.O_CREAT, dir_fd=at), "wb") as file:
            file.write(instance())
        leave_out = frozenset({"/somewhere/out"})
        assert ["d/" * 1000 + "x.dcm"] == _paths(tmp_path / "in", leave_out=leave_out)
        assert 1 == len(read_folder(tmp_path / "in").paths)


@LINUX
def test_a_path_longer_than_the_system_takes_is_a_failure(tmp_path: Path) -> None:
    """Where a path outgrows what can be opened, the folder is a row."""
    with _deep(tmp_path / "in", "d" * 200, 25):
        (tmp_path / "in" / "y.dcm").write_bytes(instance())
        reading = read_folder(tmp_path / "in")
    assert ["y.dcm"] == reading.paths
    assert ["unexpected"] == list(reading.kinds.values())
    assert ["listing: File name too long"] == list(reading.messages.values())


# -- permissions -----------------------------------------------------------------------------------

_READ = """
from pathlib import Path
from source.making import read_folder
reading = read_folder(Path(sys.argv[1]))
print(json.dumps([reading.paths, sorted(reading.kinds.items())]))
"""


@POSIX
def test_what_may_not_be_read_is_a_failure() -> None:
    """An unreadable folder, file, and a folder that may be listed but not entered are rows."""
    with shared_folder() as folder:
        for name in ("ok/1.dcm", "locked/x", "file/2.dcm", "listed/3.dcm"):
            _file(folder / "in" / name, instance())
        (folder / "in" / "locked").chmod(0)
        (folder / "in" / "file" / "2.dcm").chmod(0)
        (folder / "in" / "listed").chmod(0o444)
        done = run_unprivileged(_READ, folder / "in")
    assert "" == done.stderr
    kinds = [[name, "access_denied"] for name in ("file/2.dcm", "listed/3.dcm", "locked")]
    assert [["ok/1.dcm"], kinds] == json.loads(done.stdout)


# -- roots -----------------------------------------------------------------------------------------


def test_a_missing_source_is_refused(tmp_path: Path) -> None:
    """What does not exist is named, with what to do."""
    with pytest.raises(SourceError, match="no such file or folder; check the path"):
        root_of(str(tmp_path / "nothing"))


@POSIX
def test_a_source_that_is_neither_file_nor_folder_is_refused(tmp_path: Path) -> None:
    """A FIFO given as a source is not opened."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(SourceError, match="neither a file nor a folder"):
        root_of(str(tmp_path / "fifo"))


def test_a_source_that_goes_before_it_is_listed_is_refused(tmp_path: Path) -> None:
    """A mount that falls away between looking and listing ends with one line."""
    (tmp_path / "in").mkdir()
    root = root_of(str(tmp_path / "in"))
    (tmp_path / "in").rmdir()
    with pytest.raises(SourceError, match="check the path and the mount"):
        list(list_root(root))


# -- moving ----------------------------------------------------------------------------------------


def _tree(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield f"{path.relative_to(folder).as_posix()} {path.read_bytes().decode()}"


def test_archives_are_moved_into_folders_and_nothing_is_overwritten(tmp_path: Path) -> None:
    """A taken name of a folder or a file gets a number."""
    for name, content in {
        "a.zip": "a",
        "b.zip": "b",
        "b/b.zip": "old b",
        "c.zip": "c",
        "c": "a file",
        "D.ZIP": "d",
        "sub/e.zip": "e",
    }.items():
        _file(tmp_path / name, content.encode())
    moved = move_archives_into_folders(root_of(str(tmp_path)))
    assert ["D.ZIP", "a.zip", "b.zip", "c.zip"] == [os.path.basename(source) for source, _ in moved]
    assert [
        "D/D.ZIP d",
        "a/a.zip a",
        "b/b.zip old b",
        "b/b_1.zip b",
        "c a file",
        "c_1/c.zip c",
        "sub/e.zip e",
    ] == list(_tree(tmp_path))


@POSIX
def test_nothing_is_moved_through_a_link(tmp_path: Path) -> None:
    """A link of an archive's name is a taken name, wherever it leads; a link to an archive stays."""
    (tmp_path / "outside").mkdir()
    _file(tmp_path / "elsewhere.zip", b"elsewhere")
    for name in "abc":
        _file(tmp_path / "in" / f"{name}.zip", name.encode())
    for name, target in (
        ("a", "../outside"),
        ("b", "../nowhere"),
        ("c", "c"),
        ("d.zip", "../elsewhere.zip"),
    ):
        (tmp_path / "in" / name).symlink_to(target)
    moved = move_archives_into_folders(root_of(str(tmp_path / "in")))
    targets = [os.path.relpath(target, tmp_path / "in") for _, target in moved]
    assert ["a_1/a.zip", "b_1/b.zip", "c_1/c.zip"] == targets
    assert [b"a", b"b", b"c"] == [(tmp_path / "in" / name).read_bytes() for name in targets]
    assert [] == list((tmp_path / "outside").iterdir())
    assert (tmp_path / "in" / "d.zip").is_symlink()
    assert b"elsewhere" == (tmp_path / "elsewhere.zip").read_bytes()
    assert not (tmp_path / "nowhere").exists()


def test_an_archive_that_cannot_be_moved_leaves_no_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its folder is of another disk, say: one line, and both are as they were."""
    _file(tmp_path / "a.zip", b"a")
    (tmp_path / "a").mkdir()

    def refuse(*_places: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(SourceError, match="Invalid cross-device link; free the name"):
        move_archives_into_folders(root_of(str(tmp_path)))
    assert ["a.zip a"] == list(_tree(tmp_path))


def test_only_a_named_archive_is_moved(tmp_path: Path) -> None:
    """A file named as the source moves alone."""
    for name in ("a.zip", "b.zip"):
        _file(tmp_path / name, zip_of({}))
    move_archives_into_folders(root_of(str(tmp_path / "a.zip")))
    assert {"a", "b.zip"} == {path.name for path in tmp_path.iterdir()}
