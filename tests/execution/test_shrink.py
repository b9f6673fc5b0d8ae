"""A run that would empty a catalog publishes nothing, unless that is asked for."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from buckets.reading import storage
from servers import Bucket
from support import crawl, encode, published, rows

from dcmdask.catalog.catalog import Catalog
from dcmdask.config import RunOptions
from dcmdask.errors import ShrinkError, SourceError, UsageError
from dcmdask.execution import pipeline
from dcmdask.execution.plan import plan

GONE = "of 10 known instances 6 would be gone; nothing is left in P2"
WORDS = "; --allow-shrink accepts it"


def fill(folder: Path, count: int, *, nameless: bool = False, first: int = 0) -> None:
    """Write instances, with or without a UID of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        uid = None if nameless else f"1.2.{folder.name.encode().hex()[:6]}.{number}"
        (folder / f"{number}.dcm").write_bytes(encode({"SOPInstanceUID": uid}))


def state(out: Path) -> dict[str, bytes]:
    """Give all that is published, ``catalog.json`` and the instances among it."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and ".dcmdask" not in path.parts
    }


def refused(source: Path, out: Path, **options: Any) -> str:
    """Crawl, see that nothing is published, and give why."""
    before = state(out)
    with pytest.raises(ShrinkError) as caught:
        crawl(source, out, workers=1, **options)
    assert before == state(out)
    assert 4 == caught.value.exit_code
    assert str(caught.value).startswith(f"nothing was published in {out}: ")
    assert str(caught.value).endswith(WORDS)
    return caught.value.seen


def foreseen(source: Path, out: Path, tmp_path: Path, **options: Any) -> str | None:
    """Give why a plan says that a run would publish nothing."""
    folder = tmp_path / "plan"
    folder.mkdir()
    found = plan([str(source)], RunOptions(out=str(out), **options), folder).refused
    shutil.rmtree(folder)
    return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give four instances in one case and six in another."""
    fill(tmp_path / "in" / "P1", 4)
    fill(tmp_path / "in" / "P2", 6)
    return tmp_path / "in"


def test_more_than_half_is_too_much(source: Path, tmp_path: Path) -> None:
    """It says of how many, and what is empty; the same command goes on when it is meant."""
    out = tmp_path / "out"
    crawl(source, out, workers=1)
    shutil.rmtree(source / "P2")
    words = GONE
    assert words == foreseen(source, out, tmp_path) == refused(source, out)
    assert words == refused(source, out, full=True)
    accepted = crawl(source, out, workers=1, allow_shrink=True)
    assert 4 == accepted.run["counts"]["instances"]
    assert foreseen(source, out, tmp_path) is None


def test_half_may_go(source: Path, tmp_path: Path) -> None:
    """Not more than is said, and how much may be said."""
    out = tmp_path / "out"
    crawl(source, out, workers=1)
    (source / "P2" / "0.dcm").unlink()
    shutil.rmtree(source / "P1")
    assert "of 10 known instances 5 would be gone; nothing is left in P1" == refused(
        source, out, shrink_limit=0.4
    )
    crawl(source, out, workers=1)
    assert 5 == Catalog(out).run["counts"]["instances"]
    (source / "P2" / "1.dcm").unlink()
    assert "of 5 known instances 1 would be gone" == refused(source, out, shrink_limit=0)
    assert refused(source, out, shrink_limit=0) == foreseen(source, out, tmp_path, shrink_limit=0)
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="give a part of the whole, from 0 to 1"):
            RunOptions(shrink_limit=wrong)


@pytest.mark.parametrize("full", [False, True])
def test_what_was_moved_is_not_gone(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    """However it is called now, and compared by pieces where there is much; one more is too much."""
    monkeypatch.setattr("dcmdask.execution.shrink.LARGEST_RANGE", 3)
    out = tmp_path / "out"
    fill(source / "P1", 2, nameless=True, first=50)
    crawl(source, out, workers=1)
    source.rename(tmp_path / "moved")
    (tmp_path / "moved" / "P2").rename(tmp_path / "moved" / "elsewhere")
    for number in range(6):
        (tmp_path / "moved" / "elsewhere" / f"{number}.dcm").touch()
    words = (
        "of 12 known instances 12 would be gone unless they are found elsewhere; nothing is left in"
    )
    assert f"{words} P2" == foreseen(tmp_path / "moved", out, tmp_path)
    crawl(tmp_path / "moved", out, workers=1, full=full)
    assert 12 == Catalog(out).run["counts"]["instances"]
    shutil.rmtree(tmp_path / "moved" / "elsewhere")
    (tmp_path / "moved" / "P1" / "50.dcm").unlink()
    words = "of 12 known instances 7 would be gone; nothing is left in elsewhere"
    assert words == refused(tmp_path / "moved", out, full=full)


def test_copies_of_one_instance_are_told_by_what_they_are(tmp_path: Path) -> None:
    """Most files of a catalog may go where what they hold is still there."""
    source, out = tmp_path / "in", tmp_path / "out"
    fill(source / "P1", 2)
    for number in range(5):
        shutil.copytree(source / "P1", source / f"copy{number}")
    crawl(source, out, workers=1)
    for number in range(5):
        shutil.rmtree(source / f"copy{number}")
    crawl(source, out, workers=1)
    assert 2 == Catalog(out).run["counts"]["instances"]


@pytest.mark.parametrize("limit", [0.5, 1.0])
def test_nothing_listed_is_never_meant(source: Path, tmp_path: Path, limit: float) -> None:
    """Whatever part may be gone, and be it that only skips are known."""
    out = tmp_path / "out"
    crawl(source, out, workers=1)
    shutil.rmtree(source)
    source.mkdir()
    words = f"there is no file in {source} (is it mounted?), and the catalog knows 10 files"
    assert words == foreseen(source, out, tmp_path) == refused(source, out, shrink_limit=limit)
    (source / "notes.txt").write_text("text")
    crawl(source, out, workers=1, allow_shrink=True)
    (source / "notes.txt").unlink()
    assert refused(source, out, shrink_limit=limit).endswith("and the catalog knows 1 file")
    empty = crawl(source, out, workers=1, allow_shrink=True)
    assert 0 == empty.run["counts"]["files"]
    # That is what the next night finds again.
    crawl(source, out, workers=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"include": ("CT",)}, "--include CT leaves nothing of 10 paths such as P1/0.dcm"),
        (
            {"include": ("P1*",), "exclude": ("*1*",)},
            "--include P1* --exclude *1* leaves nothing of 10 paths such as P1/0.dcm",
        ),
        (
            {"exclude": ("P2/*",)},
            f"{GONE}; --exclude P2/* leaves out 6 paths such as P2/0.dcm",
        ),
    ],
)
def test_globs_that_leave_little_are_named(
    source: Path, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    """With a path beside which it is seen why they do not fit."""
    out = tmp_path / "out"
    crawl(source, out, workers=1)
    assert f"{words} (a glob fits a whole path)" == refused(source, out, **options)
    if "include" in options:
        with pytest.raises(SourceError, match=r"leaves nothing of 10 paths such as P1/0.dcm"):
            crawl(source, tmp_path / "other", workers=1, **options)
        assert not (tmp_path / "other").exists()


def test_other_settings_are_compared_too(source: Path, tmp_path: Path) -> None:
    """Where all is read again nothing is known of a file; its instance is there or not."""
    out = tmp_path / "out"
    crawl(source, out, workers=1)
    shutil.rmtree(source / "P2")
    words = GONE
    assert words == refused(source, out, desensitize=True)
    for path in (out / "instances").iterdir():
        path.unlink()
    # What was published is damaged: its number is left.
    assert words == _seen(source, out)
    fill(source / "P2", 6)
    crawl(source, out, workers=1, desensitize=True)
    assert 10 == rows(out).num_rows


def _seen(source: Path, out: Path) -> str:
    with pytest.raises(ShrinkError) as caught:
        crawl(source, out, workers=1, desensitize=True)
    return caught.value.seen


def test_a_catalog_that_cannot_be_read_is_none_to_lose(source: Path, tmp_path: Path) -> None:
    """The run moves it aside."""
    out = tmp_path / "out"
    crawl(source, out, workers=1)
    (out / "catalog.json").write_text("{")
    shutil.rmtree(source / "P2")
    crawl(source, out, workers=1, replace=True)
    assert 4 == Catalog(out).run["counts"]["instances"]


def _unreadable(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Have the listing name files that are not there when they are read."""
    from dcmdask.source.folders import local

    real = local._scanned

    def scanned(path: str) -> Any:
        items, error = real(path)
        return [_Gone(item) if item.name in names else item for item in items], error

    monkeypatch.setattr(local, "_scanned", scanned)
    monkeypatch.setattr(local, "is_link", lambda item: item.is_symlink())


class _Gone:
    """An entry of a folder that is gone when it is read."""

    def __init__(self, item: os.DirEntry[str]) -> None:
        self._item = item
        self.name, self.path = item.name, f"{item.path}.gone"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._item, name)


def test_reads_that_mostly_fail_publish_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first run says so as well; what was read is known when it is accepted."""
    out = tmp_path / "out"
    _unreadable(monkeypatch, *(f"{number}.dcm" for number in range(3)))
    words = (
        "6 of 10 files could not be read (vanished 6): is the source there, and seen by all "
        "workers?"
    )
    with pytest.raises(ShrinkError) as caught:
        crawl(source, out, workers=1)
    assert words == caught.value.seen
    assert not (out / "catalog.json").exists()
    accepted = crawl(source, out, workers=1, allow_shrink=True)
    assert (4, 6) == tuple(accepted.run["counts"][name] for name in ("instances", "failures"))
    # They are tried again every night, and no news.
    crawl(source, out, workers=1)
    # One that comes to them is a row.
    fill(source / "P3", 4, first=2)
    night = crawl(source, out, workers=1)
    assert (7, 7) == tuple(night.run["counts"][name] for name in ("instances", "failures"))


def test_few_reads_that_fail_are_rows(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new file that nobody may read does not stop the nights of all others."""
    out = tmp_path / "out"
    fill(source / "P3", 10)
    crawl(source, out, workers=1)
    fill(source / "P4", 1, first=77)
    _unreadable(monkeypatch, "77.dcm")
    night = crawl(source, out, workers=1)
    assert (20, 1) == tuple(night.run["counts"][name] for name in ("instances", "failures"))


def test_nothing_that_can_be_read_is_no_catalog(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first run of which every read fails ends with 1; over a catalog, with 4."""
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        _unreadable(patch, *(f"{number}.dcm" for number in range(6)))
        with pytest.raises(SourceError) as caught:
            crawl(source, out, workers=1)
        words = "nothing that lies there could be read (10 listed); nothing was published"
        assert f"source {source}: {words}" == str(caught.value)
    crawl(source, out, workers=1)
    before = published(out)
    _unreadable(monkeypatch, *(f"{number}.dcm" for number in range(6)))
    assert refused(source, out, full=True).startswith("10 of 10 files could not be read (vanished")
    assert before == published(out)


def test_a_catalog_in_a_bucket_is_not_emptied(source: Path, bucket: Bucket) -> None:
    """There is no other rule where OUT is a URL."""
    out = f"{bucket.url}/out"
    told = storage(bucket.options)

    def run(**options: Any) -> None:
        pipeline.run([str(source)], RunOptions(out=out, workers=1, storage_option=told, **options))

    run()
    before = Catalog(out, told).run
    shutil.rmtree(source / "P2")
    for full in (False, True):
        with pytest.raises(ShrinkError, match=r"of 10 known instances 6 would be gone; nothing is"):
            run(full=full)
        assert before == Catalog(out, told).run
    run(allow_shrink=True)
    assert 4 == Catalog(out, told).run["counts"]["instances"]
