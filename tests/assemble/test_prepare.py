"""What is published is the same, held in memory at once or read range by range."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from support import crawl, encode

import dcmdask.assemble
import dcmdask.formats.parquet
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
    # One series of two folders, acquisitions and studies; places and series that share instances.
    for number in range(24):
        values = {
            "SOPInstanceUID": f"1.5.{number % 20}",
            "SeriesInstanceUID": "1.4" if number % 7 else "1.6",
            "StudyInstanceUID": None if number % 11 == 0 else f"1.3.{number % 2}",
            "AcquisitionNumber": (None, 1, 2, 11)[number % 4],
            "InstanceNumber": number // 2,
            "PatientID": f"P{number % 3}",
        }
        place = folder / "odd" / f"{number % 2}" / f"IM{number // 2}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(encode(values))
    (folder / "odd" / "copy").write_bytes((folder / "odd" / "0" / "IM0").read_bytes())
    for number in range(5):
        (folder / f"{number}.txt").write_text("not DICOM")
    return folder


@pytest.mark.parametrize("largest", [1, 7, 50, 100])
@pytest.mark.parametrize(
    "options",
    [
        {"merge_all": True, "export_json": True},
        {"only_merged": True, "excel": True, "layout": "cases"},
    ],
)
def test_ranges_decide_nothing(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    largest: int,
    options: dict[str, Any],
) -> None:
    """However few instances may be held, every file is byte for byte the same."""
    whole = crawl(source, tmp_path / "whole", partition_size=20, **options)
    monkeypatch.setattr(dcmdask.assemble.prepare, "LARGEST_RANGE", largest)
    cut = crawl(source, tmp_path / "cut", partition_size=20, **options)
    assert published(whole.out) == published(cut.out)
    assert whole.run["counts"] == cut.run["counts"]


@pytest.mark.parametrize("largest", [1, 50, 131_072])
def test_row_groups_are_cut_by_rows(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    """Not by ranges, of which a group may hold many or a range many groups."""
    monkeypatch.setattr(dcmdask.formats.parquet, "ROWS_A_GROUP", 8)
    monkeypatch.setattr(dcmdask.assemble.prepare, "LARGEST_RANGE", largest)
    out = crawl(source, tmp_path).out
    for path in out.glob("*.parquet"):
        file = pq.ParquetFile(path).metadata
        sizes = [file.row_group(number).num_rows for number in range(file.num_row_groups)]
        assert [8] * (file.num_rows // 8) == sizes[: file.num_rows // 8]
        assert file.num_rows == sum(sizes)


def test_what_belongs_to_no_series_is_held_too(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bound that series keep and all instances exceed is kept: nothing is held."""
    whole = crawl(source, tmp_path / "whole")
    count = whole.instances.count_rows()
    monkeypatch.setattr(dcmdask.assemble.prepare, "LARGEST_RANGE", count - 1)
    cut = crawl(source, tmp_path / "cut")
    assert published(whole.out) == published(cut.out)
