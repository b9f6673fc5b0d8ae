"""In a store nothing is removed or written over that no run has put there, as in a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from publish.test_bucket_store import crawl, kept, kinds, said, told
from servers import Bucket, fresh
from support import encode

import dcmdask
from dcmdask.catalog.catalog import Catalog
from dcmdask.errors import OutputError
from dcmdask.publish.output import OF_PEOPLE

Keep = dict[str, bytes]
STAC = b'{"type": "Catalog", "id": "mine", "stac_version": "1.0.0", "folder": "cases", "links": []}'


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a case of one instance."""
    folder = tmp_path_factory.mktemp("foreign") / "exports"
    (folder / "P1").mkdir(parents=True)
    (folder / "P1" / "a.dcm").write_bytes(encode())
    return folder


def put(bucket: Bucket, *names: str) -> Keep:
    """Put objects of the user's."""
    for name in names:
        bucket.put(name, STAC if name == "catalog.json" else b"the user's own " + name.encode())
    return {name: bucket.get(name) for name in names}


def content(bucket: Bucket) -> Keep:
    """Give all that there is."""
    return {key: bucket.get(key) for key in bucket.keys()}  # noqa: SIM118 - no dict


def test_a_catalog_file_of_somebody_else_is_refused(
    source: Path, bucket: Bucket, tmp_path: Path
) -> None:
    """One line says so, before anything is written; with --replace it is there under a new name."""
    names = ("catalog.json", "cases/precious.csv", "instances/x", "index.csv", ".dcmdask/lock/x")
    mine = put(bucket, *names)
    done = said(bucket, tmp_path / "m", "run", source, "--out", bucket.url, "--quiet")
    line = (
        f"dcmdask: output {bucket.url}/catalog.json: no run wrote it; choose another --out, or add "
        f"--replace, which first moves what is in the way to {bucket.url}/replaced-<time>\n"
    )
    assert (1, "", line) == (done.returncode, done.stdout, done.stderr)
    assert mine == content(bucket)
    run = crawl(source, bucket, replace=True).run["run"]
    assert STAC == bucket.get(f"{run['set_aside_in']}/catalog.json")
    del mine["catalog.json"]
    crawl(source, bucket, full=True)
    assert mine.items() <= content(bucket).items()
    assert 1 == Catalog(bucket.url, told(bucket)).index.num_rows


def test_a_folder_of_our_name_is_refused(source: Path, bucket: Bucket) -> None:
    """Where no run has left it."""
    mine = put(bucket, ".dcmdask/mine.txt")
    with pytest.raises(OutputError, match=r"\.dcmdask: it is there and no run made it; choose ano"):
        crawl(source, bucket)
    assert mine == content(bucket)


@pytest.mark.parametrize("server", ["seaweed", "moto"])
def test_objects_beside_a_catalog_stay(
    source: Path, request: pytest.FixtureRequest, server: str
) -> None:
    """Also those that lie in the folder of a catalog, have the name of one, or look like parts."""
    bucket = fresh(request.getfixturevalue(server))
    folder = crawl(source, bucket).run["folder"]
    other = "catalog-0123456789abcdef"
    mine = put(
        bucket,
        *("index.csv", "cases/P1.csv", f"{folder}/mine.csv", f"{folder}/cases/mine.csv"),
        *(f"{other}/index.csv", ".dcmdask/parts/mine.parquet", ".dcmdask/manifest/mine.arrow"),
        *(".dcmdask/state-mine.json", ".dcmdask/mine.txt"),
    )
    for _ in range(2):
        crawl(source, bucket, full=True)
    assert mine.items() <= content(bucket).items()
    now = Catalog(bucket.url, told(bucket)).run["folder"]
    left = {key for key in content(bucket) if key.startswith(f"{folder}/")}
    assert {f"{folder}/mine.csv", f"{folder}/cases/mine.csv"} == left
    assert now != folder


@pytest.mark.parametrize("content_", [b"changed", None])
def test_a_file_of_a_catalog_that_was_changed_is_said_and_stays(
    source: Path, bucket: Bucket, tmp_path: Path, content_: bytes | None
) -> None:
    """Of another size or of the same; the next catalog has a folder of its own, as always."""
    folder = crawl(source, bucket).run["folder"]
    shown = said(bucket, tmp_path / "m", "show", bucket.url)
    assert "note" not in shown.stdout
    before = bucket.get(f"{folder}/index.csv")
    replaced = before[:-3] + b"!\r\n" if content_ is None else content_
    bucket.put(f"{folder}/index.csv", replaced)
    bucket.remove(f"{folder}/cases/P1.csv")
    lines = said(bucket, tmp_path / "m", "show", bucket.url).stdout.splitlines()
    assert "  note: changed since it was published: index.csv" in lines
    assert "  note: removed since it was published: cases/P1.csv" in lines
    after = crawl(source, bucket, full=True).run
    assert replaced == bucket.get(f"{folder}/index.csv")
    assert before == bucket.get(f"{after['folder']}/index.csv")


def test_a_catalog_file_that_was_changed_is_refused(source: Path, bucket: Bucket) -> None:
    """What a run keeps is left as it is, so that all goes on once that is mended."""
    crawl(source, bucket)
    before = content(bucket)
    edited = {**json.loads(before["catalog.json"]), "sources": []}
    bucket.put("catalog.json", json.dumps(edited).encode())
    with pytest.raises(OutputError, match=r"catalog\.json: it was changed since it was published"):
        crawl(source, bucket)
    bucket.put("catalog.json", before["catalog.json"])
    assert before == content(bucket)
    assert 1 == crawl(source, bucket).run["run"]["changes"]["same"]


def test_of_a_copied_catalog_only_what_was_copied_is_removed(
    source: Path, bucket: Bucket, tmp_path: Path
) -> None:
    """A file that was put in the place of one, be it of the same size, is somebody's."""
    dcmdask.crawl(source, tmp_path / "out")
    bucket.fill(tmp_path / "out")
    mine = {"index.csv": bucket.get("index.csv")[:-3] + b"!\r\n"}
    bucket.put("index.csv", mine["index.csv"])
    mine |= put(bucket, "cases/mine.csv")
    crawl(source, bucket, full=True)
    beside = {key for key in content(bucket) if not key.startswith((".dcmdask/", "catalog"))}
    assert {*mine, *OF_PEOPLE} == beside
    assert mine.items() <= content(bucket).items()


def test_what_a_killed_run_had_sent_goes_with_the_next_one(
    source: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is known by the word that was left before it was sent; what is not in it stays."""
    from dcmdask.publish import bucket_store

    crawl(source, bucket)

    class KilledError(BaseException):
        pass

    def upload(remote: Any, files: list[tuple[str, Path]]) -> None:
        real(remote, files[:5])
        raise KilledError

    real: Callable[..., Any] = bucket_store.upload
    with monkeypatch.context() as patch:
        patch.setattr(bucket_store, "upload", upload)
        patch.setattr(bucket_store.BucketStore, "_tidy", lambda _self: None)
        with pytest.raises(KilledError):
            crawl(source, bucket, full=True)
    (sent,) = (key for key in content(bucket) if key.startswith(".dcmdask/sent-"))
    folder = f"catalog-{sent.removeprefix('.dcmdask/sent-').removesuffix('.json')}"
    assert 5 == sum(key.startswith(f"{folder}/") for key in content(bucket))
    mine = put(bucket, f"{folder}/mine.txt")
    crawl(source, bucket)
    left = {key: text for key, text in content(bucket).items() if key.startswith(f"{folder}/")}
    assert mine == left
    assert kept(bucket) | {folder} == kinds(bucket)


def test_numbers_that_people_edited_are_in_the_next_catalog(source: Path, bucket: Bucket) -> None:
    """So the file that they edited need not stay."""
    folder = crawl(source, bucket).run["folder"]
    bucket.put(f"{folder}/projectid_map.json", b'{"P1": 70}')
    after = crawl(source, bucket).run["folder"]
    assert {"P1": 70} == json.loads(bucket.get(f"{after}/projectid_map.json"))
    assert kept(bucket) == kinds(bucket)


@pytest.mark.parametrize(
    ("sources", "out", "words"),
    [
        ("/src/p3/CT", "/src/p3", "/src/p3/CT lies in it"),
        ("/src", "/src/p2", "/src and holds what no run wrote"),
        ("/src/p1", "/src/p2", "it holds DICOM files, as CT/1.dcm"),
    ],
)
def test_a_prefix_of_data_is_no_output(bucket: Bucket, sources: str, out: str, words: str) -> None:
    """One line says why, and nothing is written."""
    for number in (1, 2, 3):
        bucket.put(f"src/p{number}/CT/1.dcm", encode())
    before = content(bucket)
    with pytest.raises(OutputError) as caught:
        dcmdask.crawl(bucket.url + sources, bucket.url + out, storage_option=told(bucket))
    assert f"output {bucket.url}{out}: " in str(caught.value)
    assert words in str(caught.value)
    assert str(caught.value).endswith("; name an empty or new prefix with --out")
    assert before == content(bucket)
