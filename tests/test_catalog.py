"""A published catalog is opened and asked for its tables."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import Write
from support import crawl

from dcmdask.catalog.catalog import Catalog
from dcmdask.errors import CatalogError


def test_an_index_of_an_earlier_release_is_said(write: Write, tmp_path: Path) -> None:
    """It lacks a column: the other tables are there, and a run writes it anew."""
    write("in/1.dcm")
    crawl(tmp_path / "in", tmp_path / "out")
    path = tmp_path / "out" / "index.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["series_instances"]), path)
    catalog = Catalog(tmp_path / "out")
    with pytest.raises(CatalogError, match="of an earlier release; run again"):
        catalog.index  # noqa: B018 - it is read as it is asked for
    assert 1 == catalog.crawl_db.num_rows
