"""The sample data from a bucket: the catalog is that of the local folder, whatever the store is."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from buckets.reading import comparable, crawl_bucket, instances
from servers import Bucket, Moto, Seaweed, fresh
from source.making import instance, zip_of
from support import crawl, published

from dcmdask.catalog.catalog import Catalog

ALL = {"merge_all": True, "export_json": True}


def _zipped(data: Path, folder: Path) -> Path:
    """Give a folder of one zip a case."""
    folder.mkdir()
    for case in sorted(path for path in data.iterdir() if path.is_dir()):
        with zipfile.ZipFile(
            folder / f"{case.name}.zip", "w", zipfile.ZIP_DEFLATED, True, 1
        ) as made:
            for path in sorted(path for path in case.rglob("*") if path.is_file()):
                made.writestr(str(path.relative_to(case)), path.read_bytes())
    return folder


@pytest.mark.data
@pytest.mark.parametrize("how", ["loose", "zips"])
def test_the_sample_data_in_a_bucket_make_the_catalog_of_the_local_folder(
    data: Path, bucket: Bucket, tmp_path: Path, how: str
) -> None:
    """Every published file is the same, but for columns that say where something lies."""
    source = data if how == "loose" else _zipped(data, tmp_path / data.name)
    local, out = tmp_path / "local", tmp_path / "out"
    crawl(source, local, **ALL)
    Bucket(bucket.server, bucket.name, f"{bucket.prefix}{data.name}/").fill(source)
    crawl_bucket(bucket, out, data.name, **ALL)
    expected, actual = comparable(local), comparable(out)
    assert expected.keys() == actual.keys()
    for name, content in expected.items():
        assert content == actual[name], name
    assert instances(local) == instances(out)
    names = ("listed", "instances", "skips", "failures", "series", "bytes_listed")
    counts = [Catalog(place).run["counts"] for place in (local, out)]
    assert [counts[0][name] for name in names] == [counts[1][name] for name in names]


def test_stores_that_list_in_other_orders_make_the_same_catalog(
    seaweed: Seaweed, moto: Moto, tmp_path: Path
) -> None:
    """Byte order and the order of folders: the same files, the urls among them."""
    files = {
        f"{folder}{number}.dcm": instance(number * 10 + spot, SeriesInstanceUID=f"1.2.{spot}")
        for spot, folder in enumerate(("a/b/", "a-b/", "a", "a/", "a.b/", "A/"))
        for number in (1, 2, 3)
    }
    files |= {"a.zip": zip_of({"x/1.dcm": instance(99)}), "a/z.txt": b"text"}
    made = []
    for server in (seaweed, moto):
        place = Bucket(server, fresh(server).name, "same-keys/")
        for name, content in files.items():
            place.put(name, content)
        out = tmp_path / type(server).__name__
        crawl_bucket(place, out, partition_size=3, **ALL)
        made.append(out)
    first, second = map(published, made)
    assert first.keys() == second.keys()
    texts = [name for name in first if not name.endswith(".parquet")]
    assert [first[name] for name in texts] == [second[name] for name in texts]
    assert comparable(made[0]) == comparable(made[1])
    assert instances(made[0]) == instances(made[1])
    urls = [sorted(Catalog(out).instances.to_table()["url"].to_pylist()) for out in made]
    assert urls[0] == urls[1]
