"""Archives that are overwritten while they are read: one failure, no mixed bytes, the next run reads."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from buckets.reading import (
    crawl_bucket,
    list_url,
    read_listed,
    remote_options,
)
from servers import Bucket
from source.making import Members, Reading, instance, noise, tar_of, zip_of

from dcmdask.catalog.catalog import Catalog
from dcmdask.remote.obstores import ObstoreClient
from dcmdask.source.entries import Entry, Root

Listed = tuple[Root, list[dict[str, Any]]]
CHANGED = "it has changed since it was listed"


def _members(patient: str) -> Members:
    """Give members that are read by ranges, every third as a whole."""
    return {
        f"{number}.dcm": noise(number) if number % 3 else instance(number, PatientID=patient)
        for number in range(1, 25)
    }


MAKERS = {
    "stored.zip": lambda members: zip_of(members, zipfile.ZIP_STORED),
    "deflated.zip": zip_of,
    "plain.tar": tar_of,
    "packed.tar.gz": lambda members: tar_of(members, "w:gz"),
}


def _read(place: Bucket, listed: Listed) -> Reading:
    # One read after the other: a test knows which is the first to meet the change.
    return read_listed(*listed, remote_options(place.options, join_gap=0, requests=1))


@pytest.mark.parametrize("name", MAKERS)
def test_an_archive_that_changed_since_it_was_listed_is_one_failure(
    bucket: Bucket, name: str
) -> None:
    """None of it is read; listed anew it is."""
    bucket.put(name, MAKERS[name](_members("OLD")))
    remote = remote_options(bucket.options)
    listed = list_url(bucket.url, remote)
    bucket.put(name, MAKERS[name](_members("NEW")))
    reading = _read(bucket, listed)
    assert [] == reading.instances
    assert {name: "vanished"} == reading.kinds
    assert {name: CHANGED} == reading.messages
    again = _read(bucket, list_url(bucket.url, remote))
    assert 24 == len(again.instances)
    assert {} == again.kinds


@pytest.mark.parametrize("after", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", MAKERS)
def test_an_archive_that_changes_between_two_reads_is_never_mixed(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, name: str, after: int
) -> None:
    """Members that were read are as they were, all others and the archive are failures."""
    make = MAKERS[name]
    bucket.put(name, make(_members("OLD")))
    listed = list_url(bucket.url, remote_options(bucket.options))
    get, reads = ObstoreClient.get, []

    def get_and_change(self: ObstoreClient, *words: object) -> bytes:
        found = get(self, *words)
        reads.append(words)
        if len(reads) == after:
            bucket.put(name, make(_members("NEW")))
        return found

    monkeypatch.setattr(ObstoreClient, "get", get_and_change)
    reading = _read(bucket, listed)
    assert {"NEW"}.isdisjoint(row["PatientID"] for row in reading.instances)
    expected = _members("OLD").keys()
    assert {row["path"].removeprefix(f"{name}!") for row in reading.instances} <= expected
    if reading.kinds:
        assert {"vanished"} == set(reading.kinds.values())
        assert [name] == [path for path in reading.kinds if "!" not in path]
    else:
        assert len(expected) == len(reading.instances)


def test_the_next_run_reads_an_archive_that_changed(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that met the change tells of it, the same command then of nothing but instances."""
    bucket.put("a.zip", zip_of(_members("OLD")))
    bucket.put("b.dcm", instance(100))
    out = tmp_path / "out"
    monkeypatch.setattr("dcmdask.source.stores.object_listing.Entry", _stale)
    crawl_bucket(bucket, out)
    failures = Catalog(out).failures.to_pylist()
    assert [("a.zip", "vanished", CHANGED)] == [
        (row["path"], row["kind"], row["message"]) for row in failures
    ]
    monkeypatch.undo()
    catalog = crawl_bucket(bucket, out)
    assert 0 == catalog.failures.num_rows
    assert 25 == catalog.run["counts"]["instances"]


def _stale(*words: object, etag: str | None = None) -> object:
    """Give an entry with the entity tag of another object, if it is an archive's."""
    is_archive = str(words[0]).endswith(".zip")
    return Entry(*words, etag='"0123456789abcdef0123456789abcdef"' if is_archive else etag)


def test_a_list_that_says_another_size_is_no_skip(bucket: Bucket, tmp_path: Path) -> None:
    """Of an old list without tags: an object that is not what was listed is read by the next run."""
    bucket.put("P/small.dcm", instance(1))
    bucket.put("P/large.dcm", noise(2, 60_000))
    for number in range(3, 6):
        bucket.put(f"P/{number}.dcm", instance(number))
    for said in (12, 3_000_000):
        list_file = tmp_path / "list.csv"
        urls = [f"{bucket.url}/P/{name}.dcm" for name in ("small", "large")]
        others = [f"{bucket.url}/P/{number}.dcm,\n" for number in range(3, 6)]
        listed = (f"{url},{said}\n" for url in urls)
        list_file.write_text("".join(["url,size\n", *listed, *others]))
        catalog = crawl_bucket(bucket, tmp_path / "out", from_list=str(list_file))
        failures = {row["path"]: row["kind"] for row in catalog.failures.to_pylist()}
        assert "vanished" == failures["P/small.dcm"]
    list_file.write_text("".join(["url\n", *(f"{url}\n" for url in urls)]))
    found = {"from_list": str(list_file), "allow_shrink": True}
    catalog = crawl_bucket(bucket, tmp_path / "out", **found)
    assert 2 == catalog.run["counts"]["instances"]
