"""Links in a source: which are followed, that no walk is endless, and that every one is accounted for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import examples

from dcmdask.source.entries import Entry
from dcmdask.source.folders.kernel import kernel_folders
from dcmdask.source.folders.links import Targets
from dcmdask.source.folders.local import list_root, root_of
from dcmdask.source.source_listing import Asked
from dcmdask.types import Kind

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links of POSIX")

MODES = ("inside", "all", "none")
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def _file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


def _entries(folder: Path, mode: str) -> list[Entry]:
    return list(list_root(root_of(str(folder)), Asked(follow_links=mode)))


def _words(folder: Path, mode: str) -> dict[str, str]:
    """Give why each place was not entered, up to what to do about it."""
    return {
        entry.path: str(entry.message).partition(":")[0]
        for entry in _entries(folder, mode)
        if entry.kind == Kind.NOT_ENTERED
    }


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """Give a source with links to a file and a folder, in it and out of it."""
    for name in ("in/P/a", "in/P/sub/b", "outside/c", "outside/sub/d"):
        _file(tmp_path / name)
    for name, target in (
        ("file_in", "P/a"),
        ("file_out", "../outside/c"),
        ("folder_in", "P/sub"),
        ("folder_out", "../outside"),
        ("P/deep", str(tmp_path / "outside" / "sub")),
        ("P/broken", "nothing"),
    ):
        (tmp_path / "in" / name).symlink_to(target)
    return tmp_path / "in"


@pytest.mark.parametrize(
    ("mode", "files", "words"),
    [
        ("inside", {"P/a", "P/sub/b", "file_in"}, "a link that leads out of the source"),
        ("all", {"P/a", "P/sub/b", "P/deep/d", "file_in", "file_out", "folder_out/c"}, ""),
        ("none", {"P/a", "P/sub/b"}, "a link"),
    ],
)
def test_links_are_followed_as_asked(linked: Path, mode: str, files: set[str], words: str) -> None:
    """What is not followed is a row that says why; into the source itself there is nothing to say."""
    entries = _entries(linked, mode)
    assert files == {entry.path for entry in entries if entry.kind is None}
    rows = {"inside": {"P/deep", "file_out", "folder_out"}, "all": set()}
    links = {"P/broken", "P/deep", "file_in", "file_out", "folder_in", "folder_out"}
    assert dict.fromkeys(rows.get(mode, links), words) == _words(linked, mode)
    broken = Kind.NOT_ENTERED if mode == "none" else Kind.VANISHED
    assert broken == next(entry.kind for entry in entries if entry.path == "P/broken")


@pytest.mark.parametrize("mode", MODES)
def test_a_link_in_the_root_makes_no_case(linked: Path, mode: str) -> None:
    """What is not entered there is of none; in a case it is of that."""
    found: list[str] = []
    entries = list_root(root_of(str(linked)), Asked(follow_links=mode, found_case=found.append))
    rows = {entry.path: entry.case for entry in entries if entry.kind == Kind.NOT_ENTERED}
    assert all(case == ("P" if path.startswith("P/") else None) for path, case in rows.items())
    cases = {"inside": {"P", "in"}, "all": {"P", "in", "folder_out"}, "none": {"P"}}
    assert cases[mode] == set(found)


@pytest.mark.parametrize("mode", MODES)
def test_what_is_named_as_a_source_is_followed(linked: Path, tmp_path: Path, mode: str) -> None:
    """A source that is a link to a folder, and one that is a link to a file."""
    (tmp_path / "source").symlink_to("outside")
    files = [entry.path for entry in _entries(tmp_path / "source", mode)]
    assert ["c", "sub/d"] == files
    assert ["file_out"] == [e.path for e in _entries(linked / "file_out", mode) if e.kind is None]


def test_a_link_into_another_source_does_not_lead_out(linked: Path, tmp_path: Path) -> None:
    """Its files are listed there."""
    inside = (str(tmp_path / "outside"),)
    entries = list(list_root(root_of(str(linked)), Asked(inside=inside)))
    assert {"P/a", "P/sub/b", "file_in", "file_out"} == {e.path for e in entries if not e.kind}
    assert [] == [entry for entry in entries if entry.kind == Kind.NOT_ENTERED]


def test_a_folder_above_the_source_does_not_lead_into_it_again(tmp_path: Path) -> None:
    """All links are followed, and the source is walked once."""
    for name in ("top/in/P/a", "top/b"):
        _file(tmp_path / name)
    (tmp_path / "top" / "in" / "up").symlink_to("..")
    assert ["P/a", "up/b"] == [entry.path for entry in _entries(tmp_path / "top" / "in", "all")]


def test_where_a_link_leads_may_be_out_of_reach(tmp_path: Path) -> None:
    """A target that the system refuses to look at leads out all the same, and is no failure."""
    _file(tmp_path / "in" / "a")
    (tmp_path / "in" / "long").symlink_to(f"{tmp_path}/{'d' * 300}/x")
    assert {"long": "a link that leads out of the source"} == _words(tmp_path / "in", "inside")


def test_links_of_odd_forms_lead_where_the_system_says(tmp_path: Path) -> None:
    """With points, slashes, more folders than Python calls, or nothing at their end."""
    _file(tmp_path / "a" / "b" / "c")
    forms = ("a//b/./c", "a/b/..", "a/b/../b/c", ".", "..", "a/b/", "none/c", "a/c/../b/c", "self")
    targets = Targets()
    for number, target in enumerate((*forms, "a/../" * 300 + "a/b/c", "/", "//usr", "/usr/..")):
        (tmp_path / f"{number}").symlink_to(target)
        place = str(tmp_path / f"{number}")
        assert os.path.realpath(place) == targets.of(place)


# -- the system's own folders ------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="file systems of Linux")
@pytest.mark.timeout(20)
@pytest.mark.parametrize("target", ["/proc", "/proc/self", "/sys/kernel", "/dev", "/proc/version"])
def test_no_link_leads_into_the_system(tmp_path: Path, target: str) -> None:
    """Not where all are followed either, to folder or file."""
    (tmp_path / "in" / "P").mkdir(parents=True)
    (tmp_path / "in" / "P" / "link").symlink_to(target)
    words = "no files of a disk but what the system says of itself"
    assert {"P/link": words} == _words(tmp_path / "in", "all")


_IN_A_MACHINE_OF_ITS_OWN = """
import json, os, subprocess, sys
from dcmdask.source.folders.links import Targets
from dcmdask.source.folders.local import list_root, root_of
from dcmdask.source.source_listing import Asked
machine = sys.argv[1]
subprocess.run(["mount", "--bind", "/proc", f"{machine}/proc"], check=True)
subprocess.run(["mount", "--bind", "/proc", f"{machine}/in/P/proc"], check=True)
subprocess.run(["mount", "--bind", f"{machine}/data", f"{machine}/again"], check=True)
os.chroot(machine)
os.chdir("/")
found = {}
for mode in ("inside", "all", "none"):
    entries = list_root(root_of("/in"), Asked(follow_links=mode))
    found[mode] = [(entry.path, entry.kind, entry.message) for entry in entries]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[str]]]:
    """List, as root of a machine of a few files, a source with links to its top and into /proc."""
    top = tmp_path_factory.mktemp("machine")
    for name in ("proc", "in/P/proc", "again"):
        (top / name).mkdir(parents=True)
    for name in ("in/P/a", "data/b", "etc/c"):
        _file(top / name)
    for name, target in (("again", "/again"), ("loop", "/proc/self/root/in"), ("top", "/")):
        (top / "in" / "P" / name).symlink_to(target)
    command = ["unshare", "-m", sys.executable, "-c", _IN_A_MACHINE_OF_ITS_OWN, str(top)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "" == done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(sys.platform != "linux" or not ROOT, reason="mounts of Linux, made by root")
@pytest.mark.timeout(60)
def test_a_link_to_the_whole_machine_ends(machine: dict[str, list[list[str]]]) -> None:
    """Every folder is walked once, the source in it and what is mounted twice too; /proc never."""
    kernel = "no files of a disk but what the system says of itself"
    assert {
        "P/a": None,
        "P/again/b": None,
        "P/proc": kernel,
        "P/top/data": "the same folder as /again, which is listed",
        "P/top/etc/c": None,
        "P/top/proc": kernel,
    } == {path: message for path, _, message in machine["all"]}
    assert len(machine["all"]) == len({path for path, *_ in machine["all"]})
    # A walk comes upon what is mounted in a source without any link.
    for mode in ("inside", "none"):
        assert kernel == {path: words for path, _, words in machine[mode]}["P/proc"]


def test_mounts_are_found_without_a_list_of_them(tmp_path: Path) -> None:
    """Where the system has none, the usual places count; lines that are no mount are passed over."""
    usual = kernel_folders(str(tmp_path / "nothing"))
    if sys.platform == "linux":
        assert {"/proc"} <= usual.paths
        assert os.stat("/proc").st_dev in usual.devices
    lines = r"""
22 1 0:21 / /a\040b rw shared:1 - proc proc rw
23 1 0:22 / /data rw - ext4 /dev/sda rw
nonsense
24 1 0:23 / /dev rw - tmpfs tmpfs rw
25 1 0:24 / /dev/shm rw - tmpfs tmpfs rw
"""
    (tmp_path / "mounts").write_text(lines)
    found = kernel_folders(str(tmp_path / "mounts"))
    assert {"/a b", "/dev"} == found.paths
    assert {os.makedev(0, 21), os.makedev(0, 23)} == found.devices


# -- any tree ----------------------------------------------------------------------------------------

FOLDERS = ("in", "in/a", "in/b", "in/a/c", "out", "out/d", "out/d/e")
TARGETS = (*FOLDERS, *(f"{folder}/f" for folder in FOLDERS), "nothing", ".", "in/a/1", "in/b/2/f")
LINKS = st.dictionaries(
    st.tuples(st.sampled_from(FOLDERS), st.sampled_from(("1", "2", "z"))),
    st.tuples(st.sampled_from(TARGETS), st.booleans()),
    max_size=8,
)


def _tree(top: Path, links: dict[tuple[str, str], tuple[str, bool]]) -> None:
    for folder in FOLDERS:
        _file(top / folder / "f")
    for (folder, name), (target, relative) in links.items():
        place = top / folder / name
        place.symlink_to(os.path.relpath(top / target, place.parent) if relative else top / target)
    # Some link to other links.
    (top / "in" / "chain").symlink_to("a/1")


def _is_inside(path: str, top: Path) -> bool:
    return f"{path}/".startswith(f"{os.path.realpath(top / 'in')}/")


@settings(max_examples=examples(40))
@given(links=LINKS, mode=st.sampled_from(MODES))
def test_any_tree_is_walked_once_and_every_link_is_accounted_for(
    links: dict[tuple[str, str], tuple[str, bool]], mode: str
) -> None:
    """Whatever links do: it ends, nothing is listed twice, and nothing outside is read unasked."""
    with TemporaryDirectory() as name:
        top = Path(name)
        _tree(top, links)
        entries = {entry.path: entry for entry in _entries(top / "in", mode)}
        listed = Counter(entry.path for entry in _entries(top / "in", mode))
        assert [1] * len(listed) == list(listed.values())
        read = {path: os.fsdecode(one.location) for path, one in entries.items() if not one.kind}
        own = [os.path.realpath(path) for path in read.values() if not os.path.islink(path)]
        assert len(own) == len(set(own))
        assert {"f", "a/f", "b/f", "a/c/f"} <= set(read)
        if mode != "all":
            assert all(_is_inside(os.path.realpath(path), top) for path in read.values())
        if mode == "none":
            assert not any(os.path.islink(path) for path in read.values())
        targets = Targets()
        for place in filter(Path.is_symlink, top.rglob("*")):
            assert os.path.realpath(place) == targets.of(str(place))
        for place in (top / "in").rglob("*"):
            if not place.is_symlink():
                continue
            entry = entries.get(place.relative_to(top / "in").as_posix())
            real = os.path.realpath(place)
            if mode == "none" or (
                mode == "inside" and not _is_inside(real, top) and place.exists()
            ):
                assert entry is not None
                assert Kind.NOT_ENTERED == entry.kind
            elif not place.exists():
                assert entry is not None
                assert Kind.VANISHED == entry.kind
            elif place.is_file():
                assert entry is not None
                assert entry.kind is None
            else:
                # A folder is walked once, under whichever name comes first.
                assert entry is None
                assert os.path.join(real, "f") in own or real == os.path.realpath(top)
