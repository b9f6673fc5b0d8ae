"""The crawl from end to end, as the Python API and the sample data show it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import crawl

import dcmdask


def test_a_crawl_of_one_instance(write, tmp_path: Path) -> None:
    """One file gives one instance, one series, one case."""
    write("in/case/slice")
    catalog = dcmdask.crawl(tmp_path / "in", tmp_path / "out")
    assert catalog.instances.to_table()["path"].to_pylist() == ["case/slice"]
    assert catalog.index["SeriesInstanceUID"].to_pylist() == ["1.2.3.3"]
    assert catalog.cases.select(["ProjectID", "case"]).to_pylist() == [
        {"ProjectID": 1, "case": "case"}
    ]


@pytest.mark.data
def test_sample_data_listed_is_accounted_for(data: Path, tmp_path: Path) -> None:
    """Every file and member of the sample data ends as an instance, a skip or a failure."""
    catalog = crawl(data, tmp_path / "out")
    counts = catalog.run["counts"]
    assert counts["listed"] == catalog.instances.count_rows() + catalog.failures.num_rows
