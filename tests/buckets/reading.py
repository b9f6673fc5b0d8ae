"""Crawls and reads buckets, for tests; says what of two catalogs of the same files must be the same."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from servers import Bucket
from source.making import Reading
from support import published

from dcmdask.catalog.catalog import Catalog
from dcmdask.config import RemoteOptions, RunOptions
from dcmdask.execution.pipeline import run
from dcmdask.header.reader import read_headers
from dcmdask.source.entries import Root
from dcmdask.source.fetch import Fetcher
from dcmdask.source.places import Roots
from dcmdask.source.stores.object_listing import container_root, list_container
from dcmdask.tables.schema import MANIFEST

OF_THE_PLACE = ("url", "representative_url", "etag", "modified")
"""Columns that say where something lies, or since when."""


def storage(options: Mapping[str, str]) -> tuple[str, ...]:
    """Give storage options as they are written on a command line."""
    return tuple(f"{name}={value}" for name, value in options.items())


def crawl_urls(sources: Iterable[object], out: Path, place: Bucket, **options: Any) -> Catalog:
    """Crawl what lies on the server of a bucket, and open the catalog."""
    settings = RunOptions(out=str(out), storage_option=storage(place.options), **options)
    return Catalog(run([str(source) for source in sources], settings)["out"])


def crawl_bucket(place: Bucket, out: Path, below: str = "", **options: Any) -> Catalog:
    """Crawl what lies below a bucket's prefix, and open the catalog."""
    return crawl_urls([f"{place.url}/{below}".rstrip("/")], out, place, **options)


def comparable(out: Path) -> dict[str, object]:
    """Give all published files; of tables, what does not name the place."""
    return {
        name: _without_place(content) if name.endswith(".parquet") else content
        for name, content in published(out).items()
    }


def _without_place(content: bytes) -> pa.Table:
    return _dropped(pq.read_table(io.BytesIO(content))).replace_schema_metadata()


def _dropped(table: pa.Table) -> pa.Table:
    return table.drop_columns([name for name in OF_THE_PLACE if name in table.column_names])


def instances(out: Path) -> list[dict[str, Any]]:
    """Give the instances without what names the place, sorted by path."""
    rows = _dropped(Catalog(out).instances.to_table()).to_pylist()
    return sorted(rows, key=lambda row: (row["path"], str(row["SOPInstanceUID"])))


def without_place(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give rows without what names the place, sorted by path."""
    kept = [{k: v for k, v in row.items() if k not in OF_THE_PLACE} for row in rows]
    return sorted(kept, key=lambda row: (row["path"], str(row.get("SOPInstanceUID"))))


def remote_options(options: Mapping[str, str] | None = None, **settings: Any) -> RemoteOptions:
    """Give how a store is reached, with a few requests at a time."""
    return RemoteOptions(tuple((options or {}).items()), **{"requests": 8, **settings})


def list_url(url: str, remote: RemoteOptions) -> tuple[Root, list[dict[str, Any]]]:
    """Give a root and its manifest rows, in order of their paths."""
    root = container_root(url, remote)
    entries = sorted(list_container(root, remote), key=lambda entry: entry.path)
    return root, [dict(zip(MANIFEST.names, (0, *entry), strict=True)) for entry in entries]


def read_listed(
    root: Root, rows: list[dict[str, Any]], remote: RemoteOptions, *, singly: bool = False
) -> Reading:
    """Read what was listed, in this process as a worker does; see that all is accounted for."""
    fetcher = Fetcher(Roots((root.name,), (root.container,), remote))
    table = pa.Table.from_pylist(rows, schema=MANIFEST)
    found = fetcher.fetch_windows(rows) if singly else fetcher.fetch(table)
    tables = read_headers(found, desensitize=False)
    reading = Reading(fetcher.tally, tables.instances.to_pylist(), tables.failures.to_pylist())
    assert reading.accounted
    return reading


def read_url(url: str, remote: RemoteOptions, *, singly: bool = False) -> Reading:
    """List and read a URL in this process."""
    return read_listed(*list_url(url, remote), remote, singly=singly)


def read_bucket(place: Bucket, **settings: Any) -> Reading:
    """List and read a bucket's prefix in this process."""
    return read_url(place.url, remote_options(place.options, **settings))
