"""Keys that are no paths: all are read, and their urls open wherever fsspec can ask for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import fsspec
import pytest
from buckets.reading import crawl_bucket, list_url, read_bucket, remote_options
from servers import Bucket, Moto, make_bucket, remove
from source.making import instance, zip_of

KEYS = (
    "plain.dcm",
    "/lead.dcm",
    "//two.dcm",
    "a//b.dcm",
    "a/./b.dcm",
    "a/../c.dcm",
    "./d.dcm",
    "in a/file with spaces .dcm",
    "100%.dcm",
    "a%2Fb.dcm",
    "a+b.dcm",
    "hash#.dcm",
    "what?.dcm",
    "star*[x]{y}.dcm",
    "\u00e4\u65e5\u672c/\u00e9.dcm",
    "e\u0301.dcm",
    "quote'\".dcm",
    "back\\slash.dcm",
    "a&b=c;d,e@f$g.dcm",
    "tab\there.dcm",
    "bell\x07.dcm",
    "\U0001f9b4.dcm",
    "folder/no file behind it/x",
    "~",
)
"""As S3 takes them: any text of up to 1024 bytes."""

NO_URL = {"//two.dcm", "/lead.dcm"}
BY_KEY = {key: instance(number, PatientID=str(number)) for number, key in enumerate(KEYS, 1)}


@pytest.fixture(scope="module")
def odd(moto: Moto) -> Iterator[Bucket]:
    """Give a bucket of such keys and markers of folders."""
    make_bucket(moto, "odd")
    client = boto3.client(
        "s3",
        endpoint_url=moto.url,
        aws_access_key_id=moto.key,
        aws_secret_access_key=moto.secret,
        region_name="us-east-1",
    )
    others = ("folder/", "folder/empty/")
    for key, content in {**BY_KEY, **dict.fromkeys(others, b"")}.items():
        client.put_object(Bucket="odd", Key=key, Body=content)
    yield Bucket(moto, "odd", "")
    client.close()


def test_every_key_is_read(odd: Bucket) -> None:
    """Under its own name; markers of folders are no files."""
    reading = read_bucket(odd)
    assert {} == reading.kinds
    assert sorted(KEYS) == reading.paths
    assert {row["path"]: row["PatientID"] for row in reading.instances} == {
        key: str(number) for number, key in enumerate(KEYS, 1)
    }
    for row in reading.instances:
        assert row["folder"].split("/")[0] == "odd"
        assert row["case"]
        assert f"s3://odd/{row['path']}" == row["url"]


def test_urls_open(odd: Bucket) -> None:
    """What a table calls an instance is what fsspec opens, byte for byte."""
    unread = []
    for row in read_bucket(odd).instances:
        try:
            with fsspec.open(row["url"], **odd.options) as stream:
                same = stream.read() == BY_KEY[row["path"]]
        except Exception:  # noqa: BLE001 - whatever it says of it
            same = False
        if not same:
            unread.append(row["path"])
    assert NO_URL >= set(unread)


def test_every_key_is_read_singly(odd: Bucket) -> None:
    """As a worker does that looks for a file at fault: the same rows."""
    from buckets.reading import read_url

    remote = remote_options(odd.options)
    assert [
        sorted(reading.instances, key=lambda row: row["path"])
        for reading in [read_url(odd.url, remote, singly=True)]
    ] == [sorted(read_bucket(odd).instances, key=lambda row: row["path"])]


def test_a_crawl_of_odd_keys_is_published(odd: Bucket, tmp_path: Path) -> None:
    """Cases have names and files, and a second run knows every key."""
    catalog = crawl_bucket(odd, tmp_path / "out", merge_all=True)
    assert len(KEYS) == catalog.run["counts"]["instances"]
    assert "" not in catalog.cases["case"].to_pylist()
    catalog = crawl_bucket(odd, tmp_path / "out", merge_all=True)
    assert len(KEYS) == catalog.run["run"]["changes"]["same"]


@pytest.mark.parametrize("key", ["a+b.dcm", "what?.dcm", "a/./b.dcm", "a//b.dcm", "/lead.dcm"])
def test_one_object_of_odd_key_is_a_source(odd: Bucket, key: str) -> None:
    """Named by its url."""
    remote = remote_options(odd.options)
    _, rows = list_url(f"{odd.url}/{key}", remote)
    assert [key] == [row["location"].decode() for row in rows]


@pytest.mark.parametrize("prefix", ["a", "a/", "\u00e4\u65e5\u672c", "in a"])
def test_a_prefix_is_a_source(odd: Bucket, prefix: str) -> None:
    """With or without its slash; a longer name that begins so lies not below it."""
    _, rows = list_url(f"{odd.url}/{prefix}", remote_options(odd.options))
    folder = prefix.rstrip("/") + "/"
    data = [key for key in KEYS if key.startswith(folder)]
    assert sorted(data) == sorted(row["location"].decode() for row in rows)


def test_an_archive_of_odd_key_is_read(moto: Moto) -> None:
    """By ranges, which botocore asks for where the other client cannot."""
    make_bucket(moto, "odd-archive")
    place = Bucket(moto, "odd-archive", "")
    client = boto3.client(
        "s3",
        endpoint_url=moto.url,
        aws_access_key_id=moto.key,
        aws_secret_access_key=moto.secret,
        region_name="us-east-1",
    )
    client.put_object(Bucket=place.name, Key="a//b.zip", Body=zip_of({"x/y.dcm": instance(1)}))
    client.close()
    reading = read_bucket(place)
    assert ["a//b.zip!x/y.dcm"] == reading.paths
    with fsspec.open(reading.instances[0]["url"], s3=place.options) as stream:
        assert instance(1) == stream.read()
    remove(moto, place.name, "nothing")
