"""A store that resets, stalls, refuses or goes down: the same catalog, or none and one line."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from buckets.reading import crawl_bucket, instances, read_bucket
from servers import Answer, Bucket, Count, Exchange, FaultProxy, Seaweed, fresh
from source.making import Reading, bulky, instance, noise, tar_of, zip_of
from support import published

from dcmdask.errors import StoreError
from dcmdask.remote import remote

Proxied = Callable[..., FaultProxy]
BUSY = [Answer("", 503, times=2)]
"""A burst that every read meets, however fast it is."""


@pytest.fixture(scope="module")
def filled(seaweed: Seaweed) -> Bucket:
    """Give loose files, zips and tars."""
    place = fresh(seaweed)
    for number in range(120):
        place.put(f"P{number % 3}/{number}.dcm", noise(number, 20_000))
    for number in range(4):
        members = {f"{n}.dcm": noise(1000 * (number + 1) + n, 60_000) for n in range(12)}
        place.put(f"Z{number}.zip", zip_of(members))
        place.put(f"T{number}.tar", tar_of(members))
    return place


def by_path(reading: Reading) -> list[dict[str, Any]]:
    """Give the instances in order of their paths: that of rows is no promise."""
    return sorted(reading.instances, key=lambda row: str(row["path"]))


@pytest.mark.parametrize(
    ("faults", "met"),
    [
        ({"reset": 0.05}, {"reset"}),
        ({"stall": 0.05}, {"stall"}),
        ({"answers": BUSY, "kinds": frozenset({"GET"})}, {"answered"}),
        ({"reset": 0.03, "stall": 0.03, "refuse": 0.05}, {"reset", "stall", "answered"}),
    ],
    ids=["resets", "stalls", "bursts", "all"],
)
def test_faults_that_pass_leave_no_trace(
    filled: Bucket, proxied: Proxied, faults: dict[str, object], met: set[str]
) -> None:
    """Every row is what it is without them, and what stalls is cut."""
    expected = read_bucket(filled)
    proxy = proxied(filled.server, seed=3, **faults)
    begun = time.monotonic()
    reading = read_bucket(filled.behind(proxy), stall=2.0 if "answers" in faults else 0.5)
    assert met <= proxy.met.keys()
    assert {} == reading.messages
    assert expected.paths == reading.paths
    assert by_path(expected) == by_path(reading)
    assert 216 == len(reading.instances)
    assert time.monotonic() - begun < 30


def test_a_crawl_through_faults_publishes_the_same_bytes(
    filled: Bucket, proxied: Proxied, tmp_path: Path
) -> None:
    """Files and tables are byte for byte those of a crawl without faults."""
    crawl_bucket(filled, tmp_path / "undisturbed")
    proxy = proxied(filled.server, seed=5, reset=0.01, stall=0.01, burst=(0.2, 1))
    proxy.faults.answers = [Answer("/P0", 503, times=2)]
    crawl_bucket(filled.behind(proxy), tmp_path / "out", read_timeout=8)
    assert {"answered"} <= proxy.met.keys()
    assert published(tmp_path / "undisturbed") == published(tmp_path / "out")
    assert instances(tmp_path / "undisturbed") == instances(tmp_path / "out")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_status_that_passes_is_tried_again(bucket: Bucket, proxied: Proxied, status: int) -> None:
    """An object and an archive that are refused some times are read."""
    bucket.put("a.dcm", instance(1))
    bucket.put("b.zip", zip_of({"x.dcm": noise(2), "y.dcm": instance(3)}))
    proxy = proxied(bucket.server, answers=[Answer("/", status, times=2)], kinds=frozenset({"GET"}))
    reading = read_bucket(bucket.behind(proxy))
    assert ["a.dcm", "b.zip!x.dcm", "b.zip!y.dcm"] == reading.paths
    assert {} == reading.kinds


def gets(proxy: FaultProxy, name: str) -> list[Exchange]:
    """Give the reads of an object."""
    assert proxy.log is not None
    return [one for one in proxy.log if one.kind == "GET" and one.path.endswith(name)]


def test_an_object_that_is_never_given_is_a_failure(
    bucket: Bucket, proxied: Proxied, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many attempts as its row says; the store answers for others, so it is not down."""
    monkeypatch.setattr(remote, "ATTEMPTS", 3)
    for number in range(3):
        bucket.put(f"{number}.dcm", instance(number))
    proxy = proxied(bucket.server, answers=[Answer("1.dcm", 500)], kinds=frozenset({"GET"}))
    proxy.log = []
    reading = read_bucket(bucket.behind(proxy))
    assert ["0.dcm", "2.dcm"] == reading.paths
    assert {"1.dcm": "unexpected"} == reading.kinds
    assert {"1.dcm": "given up after 3 attempts: status 500"} == reading.messages
    assert 3 == len(gets(proxy, "1.dcm"))


def test_an_object_that_was_archived_is_a_failure(bucket: Bucket, proxied: Proxied) -> None:
    """Azure answers 409 for one: that is its row, and no end of the run."""
    for number in range(3):
        bucket.put(f"{number}.dcm", instance(number))
    proxy = proxied(bucket.server, answers=[Answer("1.dcm", 409)], kinds=frozenset({"GET"}))
    reading = read_bucket(bucket.behind(proxy))
    assert ["0.dcm", "2.dcm"] == reading.paths
    assert {"1.dcm": "the store answers with status 409"} == reading.messages


def test_what_is_refused_is_a_failure_at_once_and_read_by_the_next_run(
    bucket: Bucket, proxied: Proxied, tmp_path: Path
) -> None:
    """403 and 404 are asked for once; the next run asks for these and no others."""
    for name in ("fine", "denied", "gone", "second"):
        bucket.put(f"P/{name}.dcm", instance(len(name) * 10 + ord(name[0])))
    bucket.put("P/denied.zip", zip_of({"x.dcm": noise(2)}))
    bucket.put("P/fine.zip", zip_of({"x.dcm": noise(3)}))
    refused = [Answer("denied", 403), Answer("gone", 404)]
    proxy = proxied(bucket.server, answers=refused, kinds=frozenset({"GET"}))
    proxy.log = []
    near, out = bucket.behind(proxy), tmp_path / "out"
    catalog = crawl_bucket(near, out)
    assert {
        "P/denied.dcm": "access_denied",
        "P/denied.zip": "access_denied",
        "P/gone.dcm": "vanished",
    } == {row["path"]: row["kind"] for row in catalog.failures.to_pylist()}
    for name in ("denied.dcm", "denied.zip", "gone.dcm"):
        assert 1 == len(gets(proxy, name))
    proxy.clear()
    proxy.faults.answers = []
    catalog = crawl_bucket(near, out)
    assert 0 == catalog.failures.num_rows
    assert 6 == catalog.run["counts"]["instances"]
    assert [] == gets(proxy, "fine.dcm") + gets(proxy, "second.dcm") + gets(proxy, "fine.zip")


@pytest.mark.parametrize("after", [25, 60], ids=["in the middle", "near the end"])
def test_a_store_that_goes_down_ends_the_run_which_can_be_resumed(
    bucket: Bucket, proxied: Proxied, tmp_path: Path, after: int
) -> None:
    """Nothing is published, however little is left to read; then only what is missing is read."""
    for number in range(60):
        bucket.put(f"P/{number}.dcm", instance(number))
    for number in range(3):
        bucket.put(f"Z{number}.zip", zip_of({"x.dcm": bulky(number + 100)}))
    crawl_bucket(bucket, tmp_path / "undisturbed")
    proxy = proxied(bucket.server)
    stopped = threading.Thread(target=_stop, args=(proxy, after))
    stopped.start()
    near, out = bucket.behind(proxy), tmp_path / "out"
    settings = {"partition_size": 10, "requests": 4, "read_timeout": 2}
    with pytest.raises(StoreError, match=r"it does not answer \(status 503\); .* goes on where"):
        crawl_bucket(near, out, **settings)
    stopped.join()
    assert [".dcmdask"] == [path.name for path in out.iterdir()]
    proxy.clear()
    proxy.faults.down = False
    catalog = crawl_bucket(near, out, **settings)
    assert 0 == catalog.failures.num_rows
    assert 0 < catalog.run["run"]["changes"]["resumed"] < 63
    assert proxy.counts["GET"].requests < 60
    assert published(tmp_path / "undisturbed") == published(out)


def _stop(proxy: FaultProxy, after: int) -> None:
    """Take the store down after so many reads."""
    while proxy.counts.get("GET", Count()).requests < after:
        time.sleep(0.001)
    proxy.faults.down = True


def test_a_store_that_was_down_is_read_by_the_next_run_of_the_same_process(
    bucket: Bucket, proxied: Proxied
) -> None:
    """What was found out before is not held against it."""
    for number in range(10):
        bucket.put(f"{number}.dcm", instance(number))
    proxy = proxied(bucket.server, down=True, kinds=frozenset({"GET"}))
    near = bucket.behind(proxy)
    with pytest.raises(StoreError):
        read_bucket(near, stall=0.2)
    proxy.faults.down = False
    assert 10 == len(read_bucket(near, stall=0.2).instances)
