"""What is asked of a bucket: so few requests, so few bytes, and nothing of what is known."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from buckets.reading import crawl_bucket, read_bucket
from servers import Bucket, Count, FaultProxy
from source.making import instance, noise, tar_of, zip_of
from support import published

Proxied = Callable[..., FaultProxy]


def _reads(proxy: FaultProxy) -> Count:
    return proxy.counts.get("GET", Count())


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_of_large_members_of_a_zip_only_the_headers_are_read(
    bucket: Bucket, proxied: Proxied, method: int
) -> None:
    """Hardly more than a request a member, and a twentieth of the bytes."""
    content = zip_of({f"{n}.dcm": noise(n, 220_000) for n in range(50)}, method)
    bucket.put("a.zip", content)
    proxy = proxied(bucket.server)
    assert 50 == len(read_bucket(bucket.behind(proxy)).instances)
    assert _reads(proxy).requests <= 1.1 * 50
    assert _reads(proxy).bytes <= 0.05 * len(content)


def test_small_members_of_a_zip_are_read_together(bucket: Bucket, proxied: Proxied) -> None:
    """A request for many of them."""
    bucket.put("a.zip", zip_of({f"{n}.dcm": noise(n, 30_000) for n in range(200)}))
    proxy = proxied(bucket.server)
    assert 200 == len(read_bucket(bucket.behind(proxy)).instances)
    assert _reads(proxy).requests <= 0.2 * 200


def test_of_a_tar_of_large_members_the_headers_are_read(bucket: Bucket, proxied: Proxied) -> None:
    """Its members are found one behind the other, and passed over."""
    content = tar_of({f"{n:02}.dcm": noise(n, 500_000) for n in range(40)})
    bucket.put("a.tar", content)
    proxy = proxied(bucket.server)
    assert 40 == len(read_bucket(bucket.behind(proxy)).instances)
    assert _reads(proxy).bytes <= 0.2 * len(content)
    assert _reads(proxy).requests <= 4 * 40


def test_a_loose_object_is_read_by_one_request(
    bucket: Bucket, proxied: Proxied, tmp_path: Path
) -> None:
    """Of which nothing else is asked: what the listing says is known."""
    for number in range(40):
        bucket.put(f"P{number % 2}/{number}.dcm", noise(number, 100_000))
    proxy = proxied(bucket.server)
    catalog = crawl_bucket(bucket.behind(proxy), tmp_path / "out")
    assert 40 == catalog.run["counts"]["instances"]
    # One series: it is described from the first window of one of them.
    assert 40 == _reads(proxy).requests
    assert 40 * 8192 >= _reads(proxy).bytes
    # Whether the source is one object is asked once.
    assert proxy.counts["HEAD"].requests <= 1
    assert proxy.counts["LIST"].requests <= 3


def test_a_second_run_asks_for_no_object(bucket: Bucket, proxied: Proxied, tmp_path: Path) -> None:
    """Listing says that nothing has changed; what changed, was added or is gone is found so."""
    for number in range(6):
        bucket.put(f"P/{number}.dcm", noise(number))
    bucket.put("Q/a.zip", zip_of({"x.dcm": noise(10), "y.dcm": noise(11)}))
    bucket.put("Q/notes.txt", b"text")
    proxy = proxied(bucket.server)
    near, out = bucket.behind(proxy), tmp_path / "out"
    crawl_bucket(near, out)
    before = published(out)
    proxy.clear()
    catalog = crawl_bucket(near, out)
    assert 0 == _reads(proxy).requests
    assert 8 == catalog.run["run"]["changes"]["same"]
    assert before == published(out)
    # Same size, other content: its entity tag tells.
    bucket.put("P/0.dcm", noise(0).replace(b"P1", b"P9"))
    bucket.put("P/1.dcm", noise(1, 50_000))
    bucket.put("P/new.dcm", instance(20))
    bucket.put("Q/a.zip", zip_of({"x.dcm": noise(10)}))
    bucket.remove("P/2.dcm")
    proxy.clear()
    proxy.log = []
    catalog = crawl_bucket(near, out)
    asked = {one.path.rpartition("/")[2] for one in proxy.log if one.kind == "GET"}
    # The series is described anew by the least of those that have not changed.
    assert {"0.dcm", "1.dcm", "new.dcm", "a.zip", "3.dcm"} == asked
    changes = catalog.run["run"]["changes"]
    assert (1, 3, 1, 4) == tuple(changes[name] for name in ("new", "changed", "gone", "same"))
    paths = sorted(catalog.instances.to_table()["path"].to_pylist())
    rest = [f"P/{name}.dcm" for name in ("0", "1", "3", "4", "5", "new")]
    assert [*rest, "Q/a.zip!x.dcm"] == paths
    full = crawl_bucket(bucket, tmp_path / "full")
    assert full.run["counts"]["instances"] == catalog.run["counts"]["instances"]
    assert published(tmp_path / "full") == published(out)


def test_a_run_that_reaches_the_store_otherwise_reads_nothing_again(
    bucket: Bucket, proxied: Proxied, tmp_path: Path
) -> None:
    """How a store is reached is no setting of what is read."""
    bucket.put("a.dcm", instance(1))
    out = tmp_path / "out"
    crawl_bucket(bucket, out)
    proxy = proxied(bucket.server)
    catalog = crawl_bucket(bucket.behind(proxy), out, requests=2, join_gap=1)
    assert 0 == _reads(proxy).requests
    assert 1 == catalog.run["run"]["changes"]["same"]
