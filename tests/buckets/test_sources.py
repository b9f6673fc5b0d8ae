"""What may be named as a source: prefixes, objects, several of them, mixed with folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from buckets.reading import crawl_bucket, crawl_urls, list_url, remote_options, storage
from cli.conftest import Done, command, no_settings  # noqa: F401 - fixtures
from servers import Bucket
from source.making import instance, zip_of

from dcmdask.catalog.catalog import Catalog
from dcmdask.config import RunOptions
from dcmdask.errors import UsageError
from dcmdask.execution.pipeline import run

Command = Callable[..., Done]


@pytest.fixture
def filled(bucket: Bucket) -> Bucket:
    """Give two cases, an archive and a text."""
    bucket.put("P1/a.dcm", instance(1))
    bucket.put("P1/deep/b.dcm", instance(2))
    bucket.put("P2/c.dcm", instance(3))
    bucket.put("P3.zip", zip_of({"d.dcm": instance(4)}))
    bucket.put("notes.txt", b"text")
    return bucket


def _paths(catalog: Catalog) -> list[str]:
    return sorted(catalog.instances.to_table()["path"].to_pylist())


def _flags(place: Bucket) -> list[str]:
    return [f"--storage-option={option}" for option in storage(place.options)]


def test_a_folder_and_prefixes_are_one_crawl(filled: Bucket, tmp_path: Path) -> None:
    """Instances of both kinds of places in one catalog; cases of one name are told apart."""
    (tmp_path / "in" / "P1").mkdir(parents=True)
    (tmp_path / "in" / "P1" / "x.dcm").write_bytes(instance(10))
    sources = [
        tmp_path / "in",
        f"{filled.url}/P1",
        f"{filled.url}/P2/c.dcm",
        f"{filled.url}/P3.zip",
    ]
    catalog = crawl_urls(sources, tmp_path / "out", filled)
    assert ["P1/x.dcm", "P3.zip!d.dcm", "a.dcm", "c.dcm", "deep/b.dcm"] == _paths(catalog)
    urls = catalog.instances.to_table()["url"].to_pylist()
    assert {"file", "s3", "zip"} == {url.partition(":")[0] for url in urls}
    cases = catalog.cases["case"].to_pylist()
    assert len(cases) == len(set(cases))
    again = crawl_urls(reversed(sources), tmp_path / "out", filled)
    assert 5 == again.run["run"]["changes"]["same"]


@pytest.mark.parametrize(
    ("below", "holder"), [("/P1", ""), ("/P1/", ""), ("/P1/a.dcm", ""), ("/P1/deep", "/P1/")]
)
def test_a_source_in_another_is_refused(
    filled: Bucket, tmp_path: Path, below: str, holder: str
) -> None:
    """Its files would be listed twice."""
    sources = [f"{filled.url}{below}", f"{filled.url}{holder}"]
    for order in (sources, sources[::-1]):
        with pytest.raises(UsageError, match=r"lies in source s3://tests/.*: name one of them"):
            crawl_urls(order, tmp_path / "out", filled)


def test_sources_whose_names_begin_alike_are_two(filled: Bucket, tmp_path: Path) -> None:
    """A prefix ends with a slash, whether it was written or not."""
    filled.put("P11/z.dcm", instance(11))
    catalog = crawl_urls([f"{filled.url}/P1", f"{filled.url}/P11"], tmp_path / "out", filled)
    assert ["a.dcm", "deep/b.dcm", "z.dcm"] == _paths(catalog)


def test_objects_are_chosen_by_globs(filled: Bucket, tmp_path: Path) -> None:
    """Over paths below the source, as in a folder."""
    catalog = crawl_urls(
        [filled.url], tmp_path / "out", filled, include=("P1/*", "*.zip"), exclude=("*/deep/*",)
    )
    assert ["P1/a.dcm", "P3.zip!d.dcm"] == _paths(catalog)
    assert 2 == catalog.run["counts"]["files"]


def test_a_bucket_needs_an_output(
    command: Command,  # noqa: F811 - the fixture
    filled: Bucket,
) -> None:
    """There is no folder beside it: one line says what to write."""
    done = command("run", filled.url, *_flags(filled))
    assert (2, "") == (done.code, done.out)
    assert f"dcmdask: source {filled.url}: say where the catalog goes with --out" == done.line


def test_a_plan_of_a_bucket_is_what_a_run_does(
    command: Command,  # noqa: F811 - the fixture
    filled: Bucket,
    tmp_path: Path,
) -> None:
    """It counts, writes nothing, and tells what has changed against a catalog."""
    out = tmp_path / "out"
    done = command("plan", filled.url, "--out", out, *_flags(filled))
    assert (0, "") == (done.code, done.err)
    assert done.out.startswith("5 files, ")
    assert "cases: 4" in done.out
    assert not out.exists()
    done = command("run", filled.url, "--out", out, "--json", *_flags(filled))
    assert 0 == done.code
    said = json.loads(done.out)
    assert 4 == said["counts"]["instances"]
    # Nothing that is published says how the store was reached.
    for path in out.rglob("*"):
        if path.is_file():
            assert filled.server.secret.encode() not in path.read_bytes()
    filled.put("P1/a.dcm", instance(7))
    filled.remove("P2/c.dcm")
    done = command("plan", filled.url, "--out", out, *_flags(filled))
    assert "0 new, 1 changed, 1 gone, 3 unchanged" in done.out


def test_a_bucket_is_named_in_other_ways(filled: Bucket) -> None:
    """By the scheme that others use for it, and with slashes at its end: the same files."""
    remote = remote_options(filled.options)
    expected = list_url(filled.url, remote)
    assert 5 == len(expected[1])
    for url in (filled.url.replace("s3://", "s3a://"), f"{filled.url}//", f"{filled.url}/"):
        assert expected == list_url(url, remote)


def test_a_local_folder_may_be_a_url(tmp_path: Path) -> None:
    """Of this machine, with a blank in it."""
    (tmp_path / "in put").mkdir()
    (tmp_path / "in put" / "a.dcm").write_bytes(instance())
    for url in (f"file://{tmp_path}/in%20put", f"file://{tmp_path}/in put/a.dcm"):
        done = run([url], RunOptions(out=str(tmp_path / "out")))
        assert 1 == done["counts"]["instances"]


def test_archives_in_a_bucket_are_not_moved(bucket: Bucket, tmp_path: Path) -> None:
    """Who asks for that is told so, before anything is read."""
    bucket.put("P/a.dcm", instance(1))
    with pytest.raises(UsageError, match="leave it out"):
        crawl_bucket(bucket, tmp_path / "out", move_top_level_zips=True)


def test_files_of_a_catalog_in_the_bucket_are_nobodys_data(bucket: Bucket, tmp_path: Path) -> None:
    """What another run left below the source is one row, beside its one named object."""
    bucket.put("P/a.dcm", instance(1))
    bucket.put("P/.dcmdask/b.dcm", instance(2))
    for number in range(3):
        bucket.put(f"P/@eaDir/{number}.jpg", b"{}")
    for key in (
        "catalog.json",
        "catalog-0123456789abcdef/index.csv",
        ".dcmdask/parts/0000000000-01234567.json",
    ):
        bucket.put(f"out/{key}", b"{}")
    for _ in range(2):
        catalog = crawl_bucket(bucket, tmp_path / "out")
    assert 0 == catalog.run["run"]["changes"]["changed"]
    read = sorted(catalog.instances.to_table()["path"].to_pylist())
    assert ["P/.dcmdask/b.dcm", "P/a.dcm"] == read
    columns = ("path", "url", "kind", "case")
    rows = zip(*(catalog.failures[name].to_pylist() for name in columns), strict=True)
    assert [
        ("P/@eaDir", f"{bucket.url}/P/@eaDir", "not_entered", "P"),
        ("out", f"{bucket.url}/out", "not_entered", None),
        ("out/catalog.json", f"{bucket.url}/out/catalog.json", "not_dicom", "out"),
    ] == sorted(rows)


def test_prefixes_of_one_name_are_told_apart(bucket: Bucket, tmp_path: Path) -> None:
    """Each keeps its folders, cases and numbers in a run of its own; nothing is read again."""
    for number, site in enumerate("AB"):
        bucket.put(f"site{site}/data/CASE/a.dcm", instance(number + 1, PatientID=site))
    urls = [f"{bucket.url}/site{site}/data" for site in "AB"]
    out = tmp_path / "out"
    first = crawl_urls(urls, out, bucket).instances.to_table()
    found = sorted(
        zip(*(first[n].to_pylist() for n in ("PatientID", "case", "folder")), strict=True)
    )
    assert [("A", "CASE", "data/CASE"), ("B", "data/CASE", "data (2)/CASE")] == found
    catalog = crawl_urls(urls[1:], out, bucket)
    assert 1 == catalog.run["run"]["changes"]["same"]
    assert ["data/CASE"] == catalog.cases["case"].to_pylist()
    assert [2] == catalog.cases["ProjectID"].to_pylist()
