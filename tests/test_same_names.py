"""Sources of one name: told apart in every table, and kept apart by whatever run comes next."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from source.making import instance
from support import crawl, published, rows

from dcmdask.config import RunOptions
from dcmdask.execution.plan import plan


def _write(path: Path, number: int, **values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(instance(number, **values))


@pytest.fixture
def sites(tmp_path: Path) -> list[Path]:
    """Give two sources called ``data``, each with a case of one name and a loose file."""
    for number, site in enumerate("AB"):
        folder = tmp_path / f"site{site}" / "data"
        own = {"PatientID": f"PATIENT-{site}", "SeriesInstanceUID": f"1.2.3.{number}"}
        for slice_ in (1, 2):
            _write(folder / "CASE" / f"{slice_}.dcm", 10 * number + slice_, **own)
        _write(folder / "loose.dcm", 10 * number + 9, **own)
    return [tmp_path / "siteA" / "data", tmp_path / "siteB" / "data"]


def _told(out: Path) -> list[tuple[str, str, str, str]]:
    table = rows(out)
    names = ("PatientID", "case", "folder", "path")
    return sorted(zip(*(table[name].to_pylist() for name in names), strict=True))


def _numbers(out: Path) -> dict[str, int]:
    return json.loads((out / "projectid_map.json").read_text())


def _changes(said: dict[str, int]) -> tuple[int, ...]:
    return tuple(said[name] for name in ("new", "changed", "gone", "same"))


OF_A = [
    ("PATIENT-A", "CASE", "data/CASE", "CASE/1.dcm"),
    ("PATIENT-A", "CASE", "data/CASE", "CASE/2.dcm"),
    ("PATIENT-A", "data", "data", "loose.dcm"),
]
OF_B = [
    ("PATIENT-B", "data (2)", "data (2)", "loose.dcm"),
    ("PATIENT-B", "data/CASE", "data (2)/CASE", "CASE/1.dcm"),
    ("PATIENT-B", "data/CASE", "data (2)/CASE", "CASE/2.dcm"),
]


def test_each_keeps_its_names_and_numbers_in_any_run(sites: list[Path], tmp_path: Path) -> None:
    """Both, one of them, the other, both again: nothing moves to another patient or is read again."""
    out = tmp_path / "out"
    crawl(sites, out)
    assert [*OF_A, *OF_B] == _told(out)
    both, numbers = published(out), _numbers(out)
    (tmp_path / "plan").mkdir()
    found = plan([str(sites[1])], RunOptions(out=str(out)), tmp_path / "plan")
    assert (0, 0, 3, 3) == _changes(asdict(found.changes))
    for some, expected in ((sites[1:], OF_B), (sites[:1], OF_A)):
        catalog = crawl(some, out, allow_shrink=True)
        assert expected == _told(out)
        assert numbers == _numbers(out)
        # What was dropped a night before is new; what was there is not read again.
        assert 0 == catalog.run["run"]["changes"]["changed"]
    assert 3 == crawl(sites[::-1], out).run["run"]["changes"]["same"]
    assert both == published(out)


def test_a_source_that_comes_later_takes_no_name(sites: list[Path], tmp_path: Path) -> None:
    """Neither the folder's nor the case's, although it comes first in order of paths."""
    out = tmp_path / "out"
    crawl(sites[1:], out)
    before = _told(out)
    catalog = crawl(sites, out)
    assert (3, 0, 0, 3) == _changes(catalog.run["run"]["changes"])
    assert before == [row for row in _told(out) if row[0] == "PATIENT-B"]
    assert ("PATIENT-A", "data/CASE", "data (2)/CASE", "CASE/1.dcm") in _told(out)


def test_the_catalog_remembers_names_where_the_state_is_gone(
    sites: list[Path], tmp_path: Path
) -> None:
    """All is read again, under the names it had."""
    out = tmp_path / "out"
    crawl(sites, out)
    numbers = _numbers(out)
    shutil.rmtree(out / ".dcmdask")
    crawl(sites[1:], out)
    assert OF_B == _told(out)
    assert numbers == _numbers(out)


def test_sources_that_have_moved_keep_their_numbers(sites: list[Path], tmp_path: Path) -> None:
    """A mount has another path: its cases are those that they were."""
    out = tmp_path / "out"
    crawl(sites, out)
    numbers = _numbers(out)
    shutil.copytree(tmp_path / "siteA", tmp_path / "mnt" / "siteA")
    shutil.copytree(tmp_path / "siteB", tmp_path / "mnt" / "siteB")
    crawl([tmp_path / "mnt" / "siteB" / "data", tmp_path / "mnt" / "siteA" / "data"], out)
    assert [*OF_A, *OF_B] == _told(out)
    assert numbers == _numbers(out)


def test_a_series_is_described_from_its_own_source(sites: list[Path], tmp_path: Path) -> None:
    """The instance that described it is gone: the next one is read where it lies."""
    out = tmp_path / "out"
    crawl(sites, out)
    for site in sites:
        (site / "CASE" / "1.dcm").unlink()
    again = crawl(sites, out)
    assert 4 == again.run["counts"]["instances"]
    crawl(sites, tmp_path / "full")
    assert published(tmp_path / "full") == published(out)
