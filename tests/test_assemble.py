"""What is published is the same, held in memory at once or read range by range."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support import crawl, encode

import dcmdask.assemble
from dcmdask.synthetic import write_synthetic


def published(out: Path) -> dict[str, bytes]:
    """Give every published file but the one that holds times."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != "catalog.json" and ".dcmdask" not in path.parts
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give linked patients in folders and archives, and instances without a series."""
    folder = tmp_path_factory.mktemp("assemble") / "exports"
    write_synthetic(folder, patients=3, slices=5)
    write_synthetic(folder / "zip", patients=2, slices=4, seed=1, archives="zip")
    for number in range(9):
        values = {"SeriesInstanceUID": None, "SOPInstanceUID": f"1.2.{number}"}
        (folder / f"{number}.dcm").write_bytes(encode(values))
    return folder


@pytest.mark.parametrize("largest", [1, 7, 100])
@pytest.mark.parametrize(
    "options", [{"merge_all": True, "export_json": True}, {"only_merged": True, "excel": True}]
)
def test_ranges_decide_nothing(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    largest: int,
    options: dict[str, Any],
) -> None:
    """However few instances may be held, every file is byte for byte the same."""
    whole = crawl(source, tmp_path / "whole", **options)
    monkeypatch.setattr(dcmdask.assemble, "LARGEST_RANGE", largest)
    cut = crawl(source, tmp_path / "cut", **options)
    assert published(whole.out) == published(cut.out)


def test_what_belongs_to_no_series_is_held_too(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bound that series keep and all instances exceed is kept: nothing is held."""
    whole = crawl(source, tmp_path / "whole")
    count = whole.instances.count_rows()
    monkeypatch.setattr(dcmdask.assemble, "LARGEST_RANGE", count - 1)
    cut = crawl(source, tmp_path / "cut")
    assert published(whole.out) == published(cut.out)
