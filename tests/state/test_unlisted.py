"""What lies where nothing can be listed stays as it was, and is compared again when it is back."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from source.making import instance, tar_of, zip_of
from support import crawl, encode, examples, published, rows
from test_incremental import EDITS, OPTIONS, _edit, assert_as_full

from dcmdask.catalog.catalog import Catalog
from dcmdask.config import RunOptions
from dcmdask.errors import ShrinkError
from dcmdask.execution.plan import plan
from dcmdask.source.folders import local
from dcmdask.state.unlisted import Unlisted, UnlistedPlaces

ESTALE = OSError(errno.ESTALE, "Stale file handle")
EIO = OSError(errno.EIO, "Input/output error")


class _Stale:
    """An entry of a folder of which nothing can be told."""

    def __init__(self, item: os.DirEntry[str]) -> None:
        self.name, self.path = item.name, item.path

    def is_symlink(self) -> bool:
        return False

    def is_dir(self, **_how: Any) -> bool:
        raise ESTALE

    def stat(self, **_how: Any) -> os.stat_result:
        raise ESTALE


@contextmanager
def away(*folders: Path, after: int = 0, stale: str = "") -> Iterator[None]:
    """Make some folders such as cannot be listed, but for so many names; or a name in any of them."""
    real = local._scanned

    def scanned(path: str) -> tuple[list[Any], OSError | None]:
        items, error = real(path)
        if Path(path) in folders:
            return items[:after], EIO if after else ESTALE
        return [_Stale(item) if item.name == stale else item for item in items], error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "_scanned", scanned)
        patch.setattr(local, "is_link", lambda item: item.is_symlink())
        yield


def found(catalog: Catalog) -> tuple[int, ...]:
    """Give what was new, changed, gone, the same and kept."""
    changes = catalog.run["run"]["changes"]
    return tuple(changes[name] for name in ("new", "changed", "gone", "same", "kept"))


def failed(catalog: Catalog) -> dict[str, tuple[str, str]]:
    """Give path to kind and message of what failed."""
    return {row["path"]: (row["kind"], row["message"]) for row in catalog.failures.to_pylist()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give two cases: files, archives, what is no DICOM; ten files, twelve instances."""
    folder = tmp_path / "in"
    for case in ("P1", "P2"):
        for number in range(3):
            path = folder / case / "CT" / f"{number}.dcm"
            path.parent.mkdir(parents=True, exist_ok=True)
            own = f"1.2.{case[1]}"
            values = {"SeriesInstanceUID": own, "SOPInstanceUID": f"{own}.{number}"}
            path.write_bytes(encode({**values, "InstanceNumber": number, "KVP": str(number)}))
    (folder / "P1" / "a.zip").write_bytes(zip_of({"x": instance(7), "y": instance(8), "z": b"no"}))
    (folder / "P1" / "b.tar.gz").write_bytes(tar_of({"x": instance(9)}, "w:gz"))
    (folder / "P1" / "notes.txt").write_text("text")
    (folder / "P2" / "cut.dcm").write_bytes(instance(4)[:200])
    return folder


@pytest.mark.parametrize("inside", ["", "CT"])
def test_what_lies_below_a_folder_that_cannot_be_listed_stays(
    source: Path, tmp_path: Path, inside: str
) -> None:
    """Instances, members, skips and failures; the folder is a row, and all counts add up."""
    out = tmp_path / "out"
    first = crawl(source, out, **OPTIONS)
    before, instances, failures = published(out), rows(out), failed(first)
    kept = 3 if inside else 6
    with away(source / "P1" / inside):
        night = crawl(source, out, **OPTIONS)
        assert (1, 0, 0, 10 - kept, kept) == found(night)
        assert instances.equals(rows(out))
        place = f"P1/{inside}".rstrip("/")
        row = {place: ("unexpected", "listing: Stale file handle")}
        assert failures | row == failed(night)
        files, listed = (night.run["counts"][name] for name in ("files", "listed"))
        assert (11, first.run["counts"]["listed"] + 1) == (files, listed)
        assert before["index.csv"] == published(out)["index.csv"]
        # The next night is the same, and nothing is written.
        after = published(out)
        assert (0, 0, 0, 11 - kept, kept) == found(crawl(source, out, **OPTIONS))
        assert after == published(out)
        folder = tmp_path / "plan"
        folder.mkdir()
        assert kept == plan([str(source)], RunOptions(out=str(out)), folder).changes.kept
    assert (0, 0, 1, 10, 0) == found(crawl(source, out, **OPTIONS))
    assert before == published(out)


def test_a_folder_that_fails_in_the_middle_gives_what_it_gave(source: Path, tmp_path: Path) -> None:
    """What was listed before the error is compared; whatever else was known below it stays."""
    out = tmp_path / "out"
    crawl(source, out, **OPTIONS)
    (source / "P1" / "CT" / "0.dcm").unlink()
    (source / "P1" / "a.zip").write_bytes(zip_of({"x": instance(7)}))
    # CT and a.zip are listed, b.tar.gz and notes.txt are not.
    with away(source / "P1", after=2):
        night = crawl(source, out, **OPTIONS)
    assert (1, 1, 0, 6, 3) == found(night)
    assert 8 == night.run["counts"]["instances"]
    assert (2, 0) == found(crawl(source, out, **OPTIONS))[2::2]
    assert_as_full(source, out, tmp_path)


def test_a_file_of_which_nothing_can_be_told_stays(source: Path, tmp_path: Path) -> None:
    """Its row says so, beside what was read of it; when it is back it has not changed."""
    out = tmp_path / "out"
    crawl(source, out, **OPTIONS)
    before, instances = published(out), rows(out)
    for name in ("1.dcm", "a.zip"):
        with away(stale=name):
            for _ in range(2):
                night = crawl(source, out, **OPTIONS)
                assert instances.equals(rows(out))
                assert "listing: Stale file handle" in {
                    words for _, words in failed(night).values()
                }
        again = crawl(source, out, **OPTIONS)
        assert (0, 0) == (again.run["run"]["changes"]["changed"], found(again)[4])
        assert before == published(out)


def test_an_archive_in_pieces_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All its pieces, as one file; of one that was listed and is smaller now, none."""
    monkeypatch.setattr("dcmdask.listing.listing.PIECE_BYTES", 2000)
    source, out = tmp_path / "in", tmp_path / "out"
    for case in ("P1", "P2"):
        (source / case).mkdir(parents=True)
        members = {f"{n}.dcm": instance(f"{case[1]}{n}") for n in range(20)}
        (source / case / "a.zip").write_bytes(zip_of(members))
        (source / case / "b.txt").write_text("text")
    crawl(source, out, partition_size=1, **OPTIONS)
    instances = rows(out)
    with away(source / "P1"):
        assert (1, 0, 0, 2, 2) == found(crawl(source, out, partition_size=1, **OPTIONS))
        assert instances.equals(rows(out))
    (source / "P1" / "a.zip").write_bytes(zip_of({"0.dcm": instance(10)}))
    with away(source / "P1", after=1):
        assert 1 == found(crawl(source, out, partition_size=1, **OPTIONS))[4]
    crawl(source, out, partition_size=1, **OPTIONS)
    assert_as_full(source, out, tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="links of POSIX")
def test_what_a_link_led_to_stays_when_it_leads_nowhere(source: Path, tmp_path: Path) -> None:
    """A folder behind a link may be on a disk that is away; a file that is gone is gone."""
    out, disk = tmp_path / "out", tmp_path / "in" / "disk"
    disk.symlink_to(tmp_path / "mnt")
    (source / "P1" / "CT").rename(tmp_path / "mnt")
    options = {**OPTIONS, **_following()}
    crawl(source, out, **options)
    instances = rows(out)
    (tmp_path / "mnt").rename(tmp_path / "unmounted")
    night = crawl(source, out, **options)
    assert ("vanished", "the link leads nowhere") == failed(night)["disk"]
    assert (instances.num_rows, 3) == (rows(out).num_rows, found(night)[4])
    disk.unlink()
    assert 3 == instances.num_rows - crawl(source, out, **options).instances.count_rows()


def _following() -> dict[str, Any]:
    """Give the option that follows links out of the source, where there is one."""
    return {"follow_links": "all"} if "follow_links" in RunOptions.__slots__ else {}


def test_a_full_run_keeps_what_it_cannot_list(source: Path, tmp_path: Path) -> None:
    """All else is read again."""
    out = tmp_path / "out"
    crawl(source, out, **OPTIONS)
    instances = rows(out)
    with away(source / "P1"):
        night = crawl(source, out, full=True, **OPTIONS)
    assert instances.equals(rows(out))
    assert (6, "--full") == (found(night)[4], night.run["run"]["read_anew"])
    crawl(source, out, **OPTIONS)
    assert_as_full(source, out, tmp_path)


def test_what_was_read_otherwise_cannot_stay(source: Path, tmp_path: Path) -> None:
    """A name that --desensitize hides would stand beside those that it has hidden."""
    out = tmp_path / "out"
    crawl(source, out, **OPTIONS)
    before, file = published(out), (out / "catalog.json").read_bytes()
    with away(source / "P1" / "CT"):
        with pytest.raises(ShrinkError, match=r"3 instances below P1/CT, which could not be list"):
            crawl(source, out, desensitize=True, **OPTIONS)
        assert (before, file) == (published(out), (out / "catalog.json").read_bytes())
        lost = crawl(source, out, desensitize=True, allow_shrink=True, **OPTIONS)
        assert 6 == lost.run["counts"]["instances"]


def test_globs_hold_for_what_stays(source: Path, tmp_path: Path) -> None:
    """What is not asked for any more goes, listed or not."""
    out = tmp_path / "out"
    crawl(source, out, **OPTIONS)
    with away(source / "P1"):
        night = crawl(source, out, exclude=("P1/CT/*",), **OPTIONS)
    assert (3, 3) == (found(night)[2], found(night)[4])


def test_who_takes_the_place_of_a_representative_is_described_when_it_is_back(
    source: Path, tmp_path: Path
) -> None:
    """It cannot be read now; it is not forgotten that it has to be."""
    out = tmp_path / "out"
    (source / "P2" / "CT" / "0.dcm").rename(source / "P2" / "0.dcm")
    crawl(source, out, **OPTIONS)
    (source / "P2" / "0.dcm").unlink()
    with away(source / "P2" / "CT"):
        for _ in range(2):
            night = crawl(source, out, **OPTIONS)
            assert 8 == night.run["counts"]["instances"]
    crawl(source, out, **OPTIONS)
    assert_as_full(source, out, tmp_path)


def test_a_name_that_comes_to_be_known_is_hidden_in_what_stays(tmp_path: Path) -> None:
    """What cannot be searched for it loses its texts, not its row, until it can be read again."""
    source, out = tmp_path / "in", tmp_path / "out"
    options = {**OPTIONS, "desensitize": True}
    nameless = {"PatientName": None, "SeriesDescription": "scan of Doe, Jane"}
    other = {"StudyInstanceUID": "1.2.9", "SeriesInstanceUID": "1.2.9.1"}
    for case, values in (("P1", nameless), ("P3", other)):
        (source / case).mkdir(parents=True)
        (source / case / "a.dcm").write_bytes(
            encode({"SOPInstanceUID": f"1.2.{case[1]}", **values})
        )
    crawl(source, out, **options)
    assert "scan of Doe, Jane" in rows(out)["SeriesDescription"].to_pylist()
    (source / "P2").mkdir()
    (source / "P2" / "b.dcm").write_bytes(encode({"SOPInstanceUID": "1.2.2"}))
    with away(source / "P1"):
        for _ in range(2):
            night = crawl(source, out, **options)
            assert (1, 3) == (found(night)[4], night.instances.count_rows())
            assert [None, None, None] == rows(out)["SeriesDescription"].to_pylist()
    crawl(source, out, **options)
    assert_as_full(source, out, tmp_path, desensitize=True)


NIGHTS = st.lists(
    st.tuples(
        EDITS,
        st.sets(st.integers(0, 2), max_size=2),
        st.integers(0, 2),
        st.sampled_from([False, False, False, True]),
    ),
    min_size=2,
    max_size=4,
)


@settings(max_examples=examples(6), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(nights=NIGHTS, partition_size=st.sampled_from([1, 2, 50]))
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_any_history_with_folders_that_are_away_ends_as_a_full_run(
    tmp_path_factory: pytest.TempPathFactory,
    nights: list[tuple[list[tuple[int, int, int]], set[int], int, bool]],
    partition_size: int,
) -> None:
    """Nothing of a folder that is away is lost, and all is as it should be when all are back."""
    folder = tmp_path_factory.mktemp("history")
    source, out = folder / "in", folder / "out"
    source.mkdir()
    (source / "notes.txt").write_text("text")
    options = {**OPTIONS, "partition_size": partition_size, "allow_shrink": True}
    before: list[tuple[str, str]] = []
    for edits, absent, after, full in nights:
        for edit in edits:
            _edit(source, edit)
        cases = {f"case{number}" for number in absent}
        with away(*(source / case for case in cases), after=after):
            night = crawl(source, out, full=full, **options)
        table = night.instances.to_table()
        assert night.run["counts"]["instances"] == table.num_rows
        columns = (table[name].to_pylist() for name in ("case", "url"))
        now = sorted(zip(*columns, strict=True))
        there = {case for case in cases if (source / case).exists() and not after}
        assert [one for one in before if one[0] in there] == [one for one in now if one[0] in there]
        before = now
    crawl(source, out, **options)
    assert_as_full(source, out, folder, allow_shrink=True)


NAMES = st.lists(st.sampled_from(["a", "b", "ab", "a.b", "a!"]), min_size=1, max_size=4)


@given(away_at=st.lists(NAMES, max_size=6), file=NAMES)
def test_a_place_is_found_for_all_that_lies_in_it(
    away_at: list[list[str]], file: list[str]
) -> None:
    """As a comparison of the names of folders has it, one by one."""
    places = [
        Unlisted("in", "/".join(one), f"/in/{'/'.join(one)}".encode(), "in", one[0], number)
        for number, one in enumerate(away_at)
    ]
    location = f"/in/{'/'.join(file)}".replace("/", os.sep).encode()
    inside = any(file[: len(one)] == one for one in away_at)
    assert inside == (UnlistedPlaces(places).find("in", location) is not None)
    assert UnlistedPlaces(places).find("other", location) is None
