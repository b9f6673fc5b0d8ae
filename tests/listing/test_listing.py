"""Sources to manifest and partitions: roots, cases, order, weight, pieces."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from dcmdask.config import RunOptions
from dcmdask.errors import SourceError, UsageError
from dcmdask.listing.listing import BYTES_AS_A_FILE, Listing, open_roots, write_manifest
from dcmdask.publish.output_place import output_of
from dcmdask.source.folders.local import list_root
from dcmdask.source.source_listing import Asked
from dcmdask.state import manifest
from dcmdask.state.manifest import PieceWriter, read_manifest
from dcmdask.state.previous_runs import Known
from dcmdask.types import Kind

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="links of POSIX")


def _file(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _growing(
    pieces: Path,
    *sources: Path,
    partition_size: int = 1000,
    out: Path | None = None,
    **options: object,
) -> Iterator[Listing]:
    pieces.mkdir(exist_ok=True)
    return write_manifest(
        open_roots(map(str, sources)),
        Known(pieces, ""),
        PieceWriter(pieces),
        partition_size=partition_size,
        leave_out=frozenset({os.path.realpath(out)} if out else ()),
        wanted=RunOptions(**options).wanted(),
    )


def _list(pieces: Path, *sources: Path, **options: object) -> Listing:
    return list(_growing(pieces, *sources, **options))[-1]


def _rows(listing: Listing) -> list[list[str]]:
    """Give the paths of every partition, read back from its piece."""
    return [read_manifest(one)["path"].to_pylist() for one in listing.partitions]


# -- roots -----------------------------------------------------------------------------------------


def test_the_same_source_twice_is_one(tmp_path: Path) -> None:
    """A folder named twice, once with a detour, is listed once."""
    _file(tmp_path / "in" / "a")
    roots = open_roots([str(tmp_path / "in"), str(tmp_path / "in" / ".." / "in" / "")])
    assert [str(tmp_path / "in")] == [root.path for root in roots]


@POSIX
def test_a_folder_and_a_link_to_it_are_one(tmp_path: Path) -> None:
    """What two paths lead to is listed once, under the first of them."""
    _file(tmp_path / "in" / "a")
    (tmp_path / "link").symlink_to("in")
    listing = _list(tmp_path / "pieces", tmp_path / "link", tmp_path / "in")
    assert [["a"]] == _rows(listing)
    assert ["link"] == [root.name for root in listing.roots]


def test_files_of_one_folder_share_a_root(tmp_path: Path) -> None:
    """Files named as sources are listed alone, in order of names."""
    for name in "abc":
        _file(tmp_path / "in" / name)
    listing = _list(tmp_path / "pieces", tmp_path / "in" / "c", tmp_path / "in" / "a")
    assert [["a", "c"]] == _rows(listing)
    assert 1 == len(listing.roots)


def test_a_file_of_a_folder_that_is_named_too_adds_nothing(tmp_path: Path) -> None:
    """The folder holds it."""
    for name in "ab":
        _file(tmp_path / "in" / name)
    for sources in (("in", "in/a"), ("in/a", "in")):
        listing = _list(tmp_path / "pieces", *(tmp_path / source for source in sources))
        assert [["a", "b"]] == _rows(listing)


@POSIX
@pytest.mark.parametrize("inner", ["in/sub", "in/sub/x", "link", "link/x"])
def test_overlapping_sources_are_refused(tmp_path: Path, inner: str) -> None:
    """A source in another one, by name or by a link, would be listed twice."""
    _file(tmp_path / "in" / "sub" / "x")
    (tmp_path / "link").symlink_to("in/sub")
    for sources in ([tmp_path / "in", tmp_path / inner], [tmp_path / inner, tmp_path / "in"]):
        with pytest.raises(UsageError, match=r"lies in source .*: name one of them"):
            open_roots(map(str, sources))


def test_sources_whose_names_begin_alike_are_two(tmp_path: Path) -> None:
    """A folder is not in another one because its name goes on."""
    for name in ("in", "in2"):
        _file(tmp_path / name / "a")
    assert 2 == len(open_roots([str(tmp_path / "in"), str(tmp_path / "in2")]))


def test_no_source_is_refused() -> None:
    """A crawl of nothing says what to name."""
    with pytest.raises(UsageError, match="name a folder, a file or an archive"):
        open_roots([])


def test_a_missing_source_is_refused_among_others(tmp_path: Path) -> None:
    """One missing source ends the run before anything is read."""
    with pytest.raises(SourceError, match="no such file or folder"):
        open_roots([str(tmp_path), str(tmp_path / "nothing")])


# -- output ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "out"),
    [
        ("in", ".imgtools/in"),
        ("in/a.zip", "in/.imgtools/a"),
        ("in/sub/x.tar.gz", "in/sub/.imgtools/x"),
    ],
)
def test_the_default_output_lies_beside_the_source(tmp_path: Path, source: str, out: str) -> None:
    """It is named after the folder, or after the archive up to its first dot."""
    for name in ("in/a.zip", "in/sub/x.tar.gz"):
        _file(tmp_path / name)
    assert tmp_path / out == output_of(open_roots([str(tmp_path / source)]), None)


def test_several_sources_need_an_output(tmp_path: Path) -> None:
    """There is no folder beside all of them."""
    for name in ("a", "b"):
        _file(tmp_path / name / "x")
    with pytest.raises(UsageError, match="--out"):
        output_of(open_roots([str(tmp_path / "a"), str(tmp_path / "b")]), None)


@POSIX
def test_the_output_is_no_source(tmp_path: Path) -> None:
    """A run would list its own lock and overwrite what it reads."""
    _file(tmp_path / "in" / "x")
    (tmp_path / "link").symlink_to("in")
    roots = open_roots([str(tmp_path / "in")])
    for out in ("in", "link", "in/../in"):
        with pytest.raises(UsageError, match="is a source: name a folder in it or beside it"):
            output_of(roots, str(tmp_path / out))
    only = open_roots([str(tmp_path / "in" / "x")])
    assert tmp_path / "in" == output_of(only, str(tmp_path / "in"))


def test_an_output_in_the_source_is_not_listed(tmp_path: Path) -> None:
    """What an earlier run left there is none of this one's input."""
    for name in ("case/x", "case/results/catalog.json", "case/results/instances/part"):
        _file(tmp_path / "in" / name)
    out = tmp_path / "in" / "case" / "results"
    assert [["case/x"]] == _rows(_list(tmp_path / "pieces", tmp_path / "in", out=out))


# -- cases -----------------------------------------------------------------------------------------


def test_cases_of_several_sources_are_told_apart(tmp_path: Path) -> None:
    """A case that a source before has, in order of paths, is named after its source."""
    for name in ("a/s/P1/x", "a/s/P2/x", "b/s/P1/x", "c/s/P1/x", "d/s/s/x"):
        _file(tmp_path / name)
    listing = _list(tmp_path / "pieces", *(tmp_path / name / "s" for name in "dcba"))
    assert {"P1", "P2", "s/P1", "s/P1 (2)", "s"} == set(listing.cases)


def test_cases_hold_their_files_and_bytes(tmp_path: Path) -> None:
    """An empty folder is a case of no file."""
    _file(tmp_path / "in" / "P1" / "sub" / "a", b"123")
    _file(tmp_path / "in" / "P1.zip", b"4567")
    _file(tmp_path / "in" / "loose", b"89")
    (tmp_path / "in" / "P3").mkdir()
    listing = _list(tmp_path / "pieces", tmp_path / "in")
    assert {"P1": (2, 7), "P3": (0, 0), "in": (1, 2)} == listing.cases
    assert (3, 9, 1) == (listing.files, listing.bytes, listing.archives)
    assert (3, 9) == (listing.to_read, listing.bytes_to_read)


# -- include, exclude ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "paths"),
    [
        ({"include": ("*.dcm",)}, ["P1/a.dcm", "P2/sub/b.dcm"]),
        ({"exclude": ("*.dcm",)}, ["P1/c.txt"]),
        ({"include": ("P1/*",), "exclude": ("*.txt", "P3/*")}, ["P1/a.dcm"]),
        ({"include": ("P1/a.dcm", "P2/*/b.*")}, ["P1/a.dcm", "P2/sub/b.dcm"]),
        ({"include": ("*.DCM",)}, []),
    ],
)
def test_globs_choose_files(tmp_path: Path, options: dict[str, object], paths: list[str]) -> None:
    """A file is listed if any glob to include and none to exclude fits its whole path."""
    for name in ("P1/a.dcm", "P1/c.txt", "P2/sub/b.dcm"):
        _file(tmp_path / "in" / name)
    listing = _list(tmp_path / "pieces", tmp_path / "in", **options)
    assert paths == [path for partition in _rows(listing) for path in partition]


# -- partitions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "cuts"), [(1, [1] * 7), (3, [3, 3, 1]), (7, [7]), (100, [7])])
def test_partitions_hold_so_many_files(tmp_path: Path, size: int, cuts: list[int]) -> None:
    """The listing is cut in its order, and every file is in one partition."""
    for number in range(7):
        _file(tmp_path / "in" / str(number))
    listing = _list(tmp_path / "pieces", tmp_path / "in", partition_size=size)
    assert cuts == [len(paths) for paths in _rows(listing)]
    assert list(range(len(cuts))) == [one.number for one in listing.partitions]
    assert list(range(0, 7, size)) == [one.position for one in listing.partitions]
    assert [str(number) for number in range(7)] == list(chain(*_rows(listing)))


def test_archives_weigh_as_much_as_their_size(tmp_path: Path) -> None:
    """A large archive is a partition of its own, small ones share one."""
    for name, weight in (("a", 0), ("b.zip", 6), ("c", 0), ("d.tgz", 1), ("e.dcm", 6), ("f", 0)):
        with open(_file(tmp_path / "in" / name), "wb") as file:
            file.truncate(weight * BYTES_AS_A_FILE)
    listing = _list(tmp_path / "pieces", tmp_path / "in", partition_size=5)
    assert [["a"], ["b.zip"], ["c", "d.tgz", "e.dcm", "f"]] == _rows(listing)
    assert (13, 2) == (listing.weight, listing.archives)
    assert (6, 13) == (listing.to_read, listing.weight_to_read)


def test_an_empty_source_has_no_partition(tmp_path: Path) -> None:
    """Nothing to read is no task."""
    (tmp_path / "in").mkdir()
    listing = _list(tmp_path / "pieces", tmp_path / "in")
    assert ([], 0, 0) == (listing.partitions, listing.files, listing.to_read)


def test_the_manifest_is_written_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the pieces fall, partitions read back are the listing, and none spans two pieces."""
    for number in range(23):
        _file(tmp_path / "in" / f"{number:02d}", b"x" * number)
    monkeypatch.setattr(manifest, "PIECE_ROWS", 5)
    monkeypatch.setattr(manifest, "_BATCH_ROWS", 2)
    listing = _list(tmp_path / "pieces", tmp_path / "in", partition_size=3)
    assert [3, 3, 3, 3, 3, 3, 3, 2] == [len(paths) for paths in _rows(listing)]
    assert [f"{number:02d}" for number in range(23)] == list(chain(*_rows(listing)))
    assert 4 == len(list((tmp_path / "pieces").iterdir()))
    sizes = [size for one in listing.partitions for size in read_manifest(one)["size"].to_pylist()]
    assert list(range(23)) == sizes


def test_partitions_can_be_read_before_the_listing_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the listing names so far is on disk, and the first partitions come early."""
    for number in range(40):
        _file(tmp_path / "in" / f"{number:02d}")
    monkeypatch.setattr("dcmdask.listing.listing._REPORT_EVERY", 5)
    monkeypatch.setattr("dcmdask.listing.listing._FIRST", 4)
    monkeypatch.setattr(manifest, "PIECE_ROWS", 4)
    growing = _growing(tmp_path / "pieces", tmp_path / "in", partition_size=16)
    read = [[len(rows) for rows in _rows(listing)] for listing in growing]
    assert [4] == read[0]
    assert [sum(sizes) for sizes in read] == sorted(sum(sizes) for sizes in read)
    assert [4, 4, 7, 14, 11] == read[-1]


def test_the_listing_grows_as_it_is_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for a long listing is told of it on the way."""
    for number in range(5):
        _file(tmp_path / "in" / str(number))
    monkeypatch.setattr("dcmdask.listing.listing._REPORT_EVERY", 2)
    growing = _growing(tmp_path / "pieces", tmp_path / "in", partition_size=10)
    assert [2, 4, 5] == [listing.files for listing in growing]


def test_the_digest_tells_listings_apart(tmp_path: Path) -> None:
    """It changes with a name, a size or a time, and with nothing else."""
    path = _file(tmp_path / "in" / "a", b"1")
    os.utime(path, (1, 1))

    def digest() -> str:
        return _list(tmp_path / "pieces", tmp_path / "in").digest

    first = digest()
    path.write_bytes(b"2")
    os.utime(path, (1, 1))
    assert first == digest()
    os.utime(path, (1, 2))
    assert first != digest()
    path.write_bytes(b"11")
    os.utime(path, (1, 1))
    assert first != digest()
    path.rename(path.with_name("b"))
    assert first != digest()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow valid text only")
def test_names_that_are_no_text_go_through_the_manifest(tmp_path: Path) -> None:
    """The bytes of a path survive, its text is escaped."""
    name = os.fsencode(tmp_path / "in") + b"/\xff"
    (tmp_path / "in").mkdir()
    with open(name, "wb"):
        pass
    listing = _list(tmp_path / "pieces", tmp_path / "in")
    (partition,) = listing.partitions
    assert [("\\xff", name)] == [
        (row["path"], row["location"]) for row in read_manifest(partition).to_pylist()
    ]


def test_outputs_of_other_runs_are_not_entered(tmp_path: Path) -> None:
    """A catalog that lies in a source, also where it goes by default, is one row and no case."""
    for name in (".imgtools/x", "P1/deep", "results"):
        _file(tmp_path / "in" / name / ".dcmdask" / "state-0123456789abcdef.json", b'{"reading": "')
        _file(tmp_path / "in" / name / "index.csv")
    _file(tmp_path / "in" / "P1" / "scan")
    (root,) = open_roots([str(tmp_path / "in")])
    cases: set[str] = set()
    found = [entry[:1] + entry[2:] for entry in list_root(root, Asked(found_case=cases.add))]
    said = (None, None, Kind.NOT_ENTERED, "a catalog of dcmdask", None, 0, 1, None)
    assert {(".imgtools/x", None, *said), ("P1/deep", "P1", *said), ("results", None, *said)} == {
        entry for entry in found if entry[4] is not None
    }
    assert ["P1/scan"] == [entry[0] for entry in found if entry[4] is None]
    assert {"P1"} == cases


def test_a_name_alone_hides_nothing(tmp_path: Path) -> None:
    """An empty file, a folder of data, a link of the name that runs use: all of it is listed."""
    _file(tmp_path / "in" / "P1" / ".dcmdask")
    _file(tmp_path / "in" / "P2" / ".dcmdask" / "parts" / "scan.dcm")
    (tmp_path / "in" / "P3" / ".dcmdask").mkdir(parents=True)
    for name in ("P1", "P2", "P3", ".imgtools/P4", ".dcmdask"):
        _file(tmp_path / "in" / name / "x")
    listing = _list(tmp_path / "pieces", tmp_path / "in")
    (paths,) = _rows(listing)
    assert [
        ".dcmdask/x",
        ".imgtools/P4/x",
        "P1/.dcmdask",
        "P1/x",
        "P2/x",
        "P2/.dcmdask/parts/scan.dcm",
        "P3/x",
    ] == paths
    assert {".dcmdask", ".imgtools", "P1", "P2", "P3"} == set(listing.cases)
