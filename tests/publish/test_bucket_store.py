"""A catalog in a store: the bytes of a local one, one writer, whole or as before, resumed from anywhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from running import (
    SLOW,
    address_at,
    hooked,
    kill_session,
    other_lines,
    scheduler_command,
    started,
    wait_for,
    worker_command,
)
from servers import Answer, Bucket, FaultProxy
from support import encode
from test_resume import whole

import dcmdask
from dcmdask.catalog.catalog import Catalog
from dcmdask.config import RunOptions
from dcmdask.errors import CatalogError, DcmdaskError, HeaderError, LockedError, OutputError
from dcmdask.execution.pipeline import run
from dcmdask.publish import heartbeat, lease
from dcmdask.publish.bucket_store import BucketStore
from dcmdask.publish.lease import Lease
from dcmdask.remote import obstores
from dcmdask.remote.remote import Remote, open_remote
from dcmdask.state.folder import upload
from dcmdask.synthetic import write_synthetic
from dcmdask.types import Kind

Proxied = Callable[..., FaultProxy]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
OPTIONS: dict[str, Any] = {"merge_all": True, "workers": 1, "partition_size": 12}
FLAGS = ("--quiet", "--merge-all", "--partition-size", "12", "--workers", "1")


def told(bucket: Bucket) -> tuple[str, ...]:
    """Give the storage options of a bucket as they are written."""
    return tuple(f"{name}={value}" for name, value in bucket.options.items())


def crawl(source: Path, bucket: Bucket, **options: Any) -> Catalog:
    """Crawl into a bucket and open the catalog."""
    settings = {**OPTIONS, **options, "storage_option": told(bucket)}
    done = run([str(source)], RunOptions(out=bucket.url, **settings))
    return Catalog(done["out"], told(bucket))


def command(*words: object) -> list[str]:
    """Give a command line."""
    return [sys.executable, "-m", "dcmdask", *map(str, words)]


def environment(bucket: Bucket, machine: Path, hook: str = "") -> dict[str, str]:
    """Give the environment of a machine that has a folder for temporary files of its own."""
    machine.mkdir(exist_ok=True)
    options = {"DCMDASK_STORAGE_OPTION": " ".join(told(bucket)), "TMPDIR": str(machine)}
    return {**hooked(machine, hook), **options}


def said(
    bucket: Bucket, machine: Path, *words: object, **own: str
) -> subprocess.CompletedProcess[str]:
    """Run a command on a machine, with something in its environment; give what it says."""
    return subprocess.run(
        command(*words),
        env=environment(bucket, machine) | own,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def files(bucket: Bucket) -> dict[str, bytes]:
    """Give every published file by its name but catalog.json, the instances included."""
    catalog = json.loads(bucket.get("catalog.json"))
    folder = f"{catalog['folder']}/"
    found = {
        key.removeprefix(folder): bucket.get(key)
        for key in bucket.keys()  # noqa: SIM118 - no dict
        if key.startswith(folder)
    }
    parts = enumerate(catalog["instances"])
    return found | {f"instances/part-{n:05d}.parquet": bucket.get(key) for n, key in parts}


def kinds(bucket: Bucket) -> set[str]:
    """Give what there is: the first name of every key, or the second of what is private."""
    keys = [key.removeprefix(".dcmdask/").split("/") for key in bucket.keys()]  # noqa: SIM118
    return {key[0] for key in keys}


def kept(bucket: Bucket) -> set[str]:
    """Give what a catalog in order leaves there, and nothing else."""
    token = json.loads(bucket.get("catalog.json"))["state"]
    own = {f"catalog-{token}", f"state-{token}.json", f"state-{token}.index"}
    return own | {"catalog.json", "parts"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give linked patients in folders and zips, and a file that is none."""
    folder = tmp_path_factory.mktemp("source") / "exports"
    write_synthetic(folder / "site", patients=3, slices=6)
    write_synthetic(folder / "zip", patients=1, slices=6, seed=2, archives="zip")
    (folder / "site" / "notes.txt").write_text("no DICOM")
    return folder


@pytest.fixture(scope="module")
def local(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Give the files of the same catalog on this machine."""
    out = tmp_path_factory.mktemp("local") / "out"
    run([str(source)], RunOptions(out=str(out), **OPTIONS))
    return whole(out)


# -- the catalog -------------------------------------------------------------------------------------


def test_the_catalog_is_the_local_one(
    source: Path, local: dict[str, bytes], bucket: Bucket, tmp_path: Path
) -> None:
    """Every file is byte for byte that of a crawl into a folder; nothing else is left anywhere."""
    done = said(bucket, tmp_path / "a", "run", source, "--out", bucket.url, *FLAGS)
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
    assert local == files(bucket)
    assert kept(bucket) == kinds(bucket)
    assert ["site"] == os.listdir(tmp_path / "a")


def test_a_catalog_is_opened_by_its_url(source: Path, bucket: Bucket, tmp_path: Path) -> None:
    """Its tables are those of a local one, the instances a dataset over the store."""
    catalog = crawl(source, bucket)
    here = dcmdask.crawl(source, tmp_path / "out", **OPTIONS)
    for name in ("index", "crawl_db", "references", "failures", "cases"):
        assert getattr(here, name).equals(getattr(catalog, name))
    opened = dcmdask.open_catalog(f"{bucket.url}/", told(bucket))
    assert here.instances.to_table().equals(opened.instances.to_table())
    assert f"<Catalog {bucket.url}: {here.instances.count_rows()} instances" in repr(opened)


def test_a_copy_of_a_local_catalog_is_one(
    source: Path, bucket: Bucket, tmp_path: Path, local: dict[str, bytes]
) -> None:
    """A folder copied into a bucket is opened there, and the next run goes on from it."""
    here = dcmdask.crawl(source, tmp_path / "out", **OPTIONS)
    bucket.fill(tmp_path / "out")
    opened = dcmdask.open_catalog(bucket.url, told(bucket))
    assert here.index.equals(opened.index)
    assert here.instances.to_table().equals(opened.instances.to_table())
    (source / "site" / "more.txt").write_text("no DICOM either")
    try:
        again = crawl(source, bucket)
    finally:
        (source / "site" / "more.txt").unlink()
    assert 1 == again.run["run"]["changes"]["new"]
    crawl(source, bucket)
    assert local == files(bucket)
    assert kept(bucket) <= kinds(bucket)


def test_a_second_run_reads_nothing(source: Path, bucket: Bucket, tmp_path: Path) -> None:
    """From another machine too, it finds that nothing has changed, and writes but catalog.json."""
    first = crawl(source, bucket).run
    before = files(bucket)
    flags = (*FLAGS[1:], "--json")
    done = said(bucket, tmp_path / "b", "run", source, "--out", bucket.url, *flags)
    again = json.loads(done.stdout)
    assert again["counts"]["files"] == again["run"]["changes"]["same"]
    assert {"new": 0, "changed": 0, "gone": 0, "resumed": 0}.items() <= again["run"][
        "changes"
    ].items()
    assert (first["folder"], first["state"]) == (again["folder"], again["state"])
    assert before == files(bucket)
    assert kept(bucket) == kinds(bucket)


def test_a_file_that_is_gone_is_published_again(source: Path, bucket: Bucket) -> None:
    """Where somebody has removed one of the catalog's files, the next run puts it there again."""
    crawl(source, bucket)
    before = files(bucket)
    folder = json.loads(bucket.get("catalog.json"))["folder"]
    bucket.remove(f"{folder}/index.csv")
    crawl(source, bucket)
    assert before == files(bucket)


def test_incremental_runs_come_to_the_bytes_of_one(bucket: Bucket, tmp_path: Path) -> None:
    """Files come, change and go between runs from machine to machine; what is published is the same."""
    source = tmp_path / "exports"
    write_synthetic(source / "a", patients=2, slices=6)
    crawl(source, bucket)
    write_synthetic(source / "b", patients=1, slices=6, seed=3)
    gone = sorted((source / "a").rglob("*.dcm"))
    gone[0].unlink()
    gone[5].write_text("no DICOM any more")
    catalog = crawl(source, bucket)
    assert 0 < catalog.run["run"]["changes"]["same"]
    run([str(source)], RunOptions(out=str(tmp_path / "out"), **OPTIONS))
    expected = {n: f for n, f in whole(tmp_path / "out").items() if "instances/" not in n}
    assert expected == {n: f for n, f in files(bucket).items() if "instances/" not in n}
    assert kept(bucket) == kinds(bucket)
    parts = {key for key in bucket.keys() if key.endswith(".json") and "/parts/" in key}  # noqa: SIM118
    state = json.loads(bucket.get(f".dcmdask/state-{catalog.run['state']}.json"))
    assert {f".dcmdask/parts/{stem}.json" for stem in state["parts"]} == parts


def test_full_and_fresh(source: Path, bucket: Bucket, local: dict[str, bytes]) -> None:
    """With --full all is read again, with --fresh what was published is still known."""
    crawl(source, bucket)
    full = crawl(source, bucket, full=True).run
    assert ("--full", 0) == (full["run"]["read_anew"], full["run"]["changes"]["same"])
    fresh = crawl(source, bucket, fresh=True).run
    assert fresh["counts"]["files"] == fresh["run"]["changes"]["same"]
    assert local == files(bucket)
    assert kept(bucket) == kinds(bucket)


def test_numbers_are_kept_for_ever(source: Path, bucket: Bucket, tmp_path: Path) -> None:
    """ProjectIDs go from catalog to catalog, also over a run that had a map of its own."""
    crawl(source, bucket)
    numbers = files(bucket)["projectid_map.json"]
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"zip": 1}))
    crawl(source, bucket, projectid_map=str(own))
    assert numbers != own.read_bytes()
    assert numbers == files(bucket)["projectid_map.json"]
    crawl(source, bucket)
    assert numbers == files(bucket)["projectid_map.json"]


def test_memory(source: Path, local: dict[str, bytes]) -> None:
    """A store that only this process sees will do: what its workers leave is put there for them."""
    url = "memory://dcmdask-test/out"
    catalog = dcmdask.crawl(source, url, **OPTIONS)
    again = dcmdask.crawl(source, url, **OPTIONS)
    assert again.run["counts"]["files"] == again.run["run"]["changes"]["same"]
    rows = catalog.instances.to_table()
    assert catalog.run["counts"]["instances"] == rows.num_rows
    remote = open_remote("memory://", RunOptions().remote)
    key = f"dcmdask-test/out/{catalog.run['folder']}/index.csv"
    assert local["index.csv"] == remote.get(key, 0, 1 << 20)


# -- ended runs --------------------------------------------------------------------------------------


def _kill(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(signal.SIGKILL)
    child.wait(30)
    kill_session(child.pid)


def _parts(bucket: Bucket) -> int:
    return sum(key.endswith(".json") and "/parts/" in key for key in bucket.keys())  # noqa: SIM118


@POSIX
def test_a_killed_run_goes_on_from_an_empty_machine(
    source: Path, local: dict[str, bytes], bucket: Bucket, tmp_path: Path
) -> None:
    """Nothing but the store is left of it; the next run reads what is missing, to the same bytes."""
    words = command("run", source, "--out", bucket.url, *FLAGS)
    slow = environment(bucket, tmp_path / "first", SLOW)
    child = subprocess.Popen(words, env=slow, start_new_session=True)
    assert wait_for(lambda: _parts(bucket) >= 3)
    _kill(child)
    assert "catalog.json" not in kinds(bucket)
    flags = (*FLAGS[1:], "--json")
    done = said(bucket, tmp_path / "second", "run", source, "--out", bucket.url, *flags)
    catalog = json.loads(done.stdout)
    assert 0 < catalog["run"]["changes"]["resumed"] < catalog["counts"]["files"]
    assert f"process {child.pid} on " in catalog["run"]["after"]
    assert local == files(bucket)
    assert kept(bucket) == kinds(bucket)


_KILLED = """
import os, signal, sys
import dcmdask.publish.bucket_store as room
from dcmdask.config import RunOptions
from dcmdask.execution.pipeline import run
where, source, out, *options = sys.argv[1:]
def die(*_what): os.kill(os.getpid(), signal.SIGKILL)
real = room.upload
if where == "no file": room.upload = die
if where == "half the files": room.upload = lambda r, f: (real(r, f[: len(f) // 2]), die())
if where == "no state": room.BucketStore._write = (
    lambda self, name, what, real=room.BucketStore._write:
        die() if name.startswith("state") else real(self, name, what))
if where == "no name": room.BucketStore._name = die
if where == "named": room.BucketStore._discard = die
room_options = RunOptions(out=out, storage_option=tuple(options), workers=1, merge_all=True,
                          partition_size=12)
run([source], room_options)
"""


@POSIX
@pytest.mark.parametrize("where", ["no file", "half the files", "no state", "no name", "named"])
def test_a_run_killed_while_it_publishes(bucket: Bucket, tmp_path: Path, where: str) -> None:
    """The catalog is the one before, or after, and whole; the next run leaves nothing but its own."""
    source = tmp_path / "exports"
    write_synthetic(source / "a", patients=1, slices=6)
    before = crawl(source, bucket)
    write_synthetic(source / "b", patients=1, slices=6, seed=1)
    words = [sys.executable, "-c", _KILLED, where, str(source), bucket.url, *told(bucket)]
    done = subprocess.run(words, env=environment(bucket, tmp_path / "m"), check=False, timeout=60)
    assert -signal.SIGKILL == done.returncode
    catalog = Catalog(bucket.url, told(bucket))
    assert (where == "named") == (before.run["state"] != catalog.run["state"])
    assert catalog.run["counts"]["series"] == catalog.crawl_db.num_rows
    assert catalog.run["counts"]["instances"] == catalog.instances.to_table().num_rows
    changes = crawl(source, bucket).run["run"]["changes"]
    assert changes["new"] == changes["resumed"]
    assert (where == "named") == (changes["new"] == 0)
    run([str(source)], RunOptions(out=str(tmp_path / "out"), **OPTIONS))
    expected = {n: f for n, f in whole(tmp_path / "out").items() if "instances/" not in n}
    assert expected == {n: f for n, f in files(bucket).items() if "instances/" not in n}
    assert kept(bucket) == kinds(bucket)


@pytest.mark.parametrize("name", ["index.csv", "cases.parquet", "state-", "catalog.json"])
def test_a_put_that_fails_while_publishing(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """One line says so, the previous catalog stands, nothing half is left, and what was read is."""
    source = tmp_path / "exports"
    write_synthetic(source / "a", patients=1, slices=6)
    before = crawl(source, bucket)
    write_synthetic(source / "b", patients=1, slices=6, seed=1)
    real = Remote.put

    def put(self: Remote, key: str, *what: Any) -> Any:
        if name in key:
            raise HeaderError(Kind.ACCESS_DENIED, "the store denies access")
        return real(self, key, *what)

    with monkeypatch.context() as patch:
        patch.setattr(Remote, "put", put)
        with pytest.raises(OutputError, match="the store denies access; look at the credentials"):
            crawl(source, bucket)
    assert before.run == Catalog(bucket.url, told(bucket)).run
    assert before.run["counts"]["series"] == before.crawl_db.num_rows
    assert kept(bucket) | {"unfinished.json"} == kinds(bucket)
    again = crawl(source, bucket)
    assert 0 == again.run["counts"]["bytes_read"]
    assert 0 < again.run["run"]["changes"]["resumed"]


def test_an_interrupted_run_lets_go(bucket: Bucket) -> None:
    """What is interrupted leaves no word of who writes there, and nothing where nothing was."""
    with suppress(KeyboardInterrupt), _store(bucket) as store:
        store.known("", full=False)
        assert {"holder.json", "unfinished.json"} == kinds(bucket)
        raise KeyboardInterrupt
    assert [] == bucket.keys()


# -- one writer --------------------------------------------------------------------------------------


def _store(bucket: Bucket) -> BucketStore:
    return BucketStore(bucket.url, RunOptions(storage_option=told(bucket)).remote)


def _lease(bucket: Bucket) -> Lease:
    remote = open_remote(f"s3://{bucket.name}", RunOptions(storage_option=told(bucket)).remote)
    return Lease(remote, f"{bucket.prefix}.dcmdask/holder.json", bucket.url)


def _left_behind(bucket: Bucket, **more: object) -> None:
    """Leave what a run says of itself."""
    word = {"pid": 77, "host": "elsewhere", "began": "2026-01-02T03:04:05Z", "run": "x", **more}
    bucket.put(".dcmdask/holder.json", json.dumps(word).encode())


def test_a_second_run_is_refused(source: Path, bucket: Bucket, tmp_path: Path) -> None:
    """While one is under way another one says who, and touches nothing."""
    with _store(bucket):
        before = bucket.keys()
        done = said(bucket, tmp_path / "b", "run", source, "--out", bucket.url, *FLAGS)
        assert before == bucket.keys()
    who = rf"dcmdask: output {bucket.url}: process {os.getpid()} on "
    assert done.stderr.startswith(who)
    assert done.stderr.endswith(" writes there now; wait for it, or end it\n")
    assert (1, "") == (done.returncode, done.stdout)


def test_a_run_on_another_machine_is_respected(bucket: Bucket) -> None:
    """One that gave a sign of life of late is waited for, and it is said how long."""
    _left_behind(bucket)
    words = "process 77 on elsewhere, begun 2026-01-02T03:04:05Z writes there now; wait for it, "
    with pytest.raises(LockedError, match=words) as caught, _store(bucket):
        pass
    assert "or end it; if it was killed, its place is free in" in str(caught.value)
    assert [".dcmdask/holder.json"] == bucket.keys()


def test_a_run_that_gives_no_sign_of_life_is_taken_for_dead(
    source: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the clock of the store; the run after it says whose place it took."""
    _left_behind(bucket)
    monkeypatch.setattr(heartbeat, "STALE", 1.0)
    time.sleep(2.1)
    after = crawl(source, bucket).run["run"]["after"]
    assert "process 77 on elsewhere, begun 2026-01-02T03:04:05Z" == after
    assert kept(bucket) == kinds(bucket)


@pytest.mark.skipif(sys.platform != "linux", reason="only there a process is known for dead")
def test_a_run_that_was_killed_here_is_known_for_dead(bucket: Bucket) -> None:
    """Its number may be another process's by now: what counts is when that was started."""
    machine, started = lease._machine(), lease._started(os.getpid())
    own = {"host": lease.socket.gethostname(), "machine": machine}
    _left_behind(bucket, **own, pid=os.getpid(), started=started)
    with pytest.raises(LockedError, match=r"wait for it, or end it$"), _store(bucket):
        pass
    _left_behind(bucket, **own, pid=os.getpid(), started="1")
    with _store(bucket) as store:
        assert f"process {os.getpid()} on " in (store.interrupted or "")


def test_what_a_run_says_of_itself_may_be_damaged(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows who wrote it: it is respected as long as it may live, and no longer."""
    bucket.put(".dcmdask/holder.json", b'{"pid": 7')
    with pytest.raises(LockedError, match="another run writes there now"), _store(bucket):
        pass
    monkeypatch.setattr(heartbeat, "STALE", 1.0)
    time.sleep(2.1)
    with _store(bucket) as store:
        assert "another run" == store.interrupted


def test_of_many_who_find_a_dead_run_one_takes_its_place(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many come at once, one writes and all others are told."""
    _left_behind(bucket)
    monkeypatch.setattr(Lease, "_age", lambda _self, seen: 90.0 if seen.said["pid"] == 77 else 0.0)
    leases = [_lease(bucket) for _ in range(8)]

    def take(one: Lease) -> bool:
        try:
            one.take()
        except LockedError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(take, leases))
    assert 1 == sum(taken)
    leases[taken.index(True)].drop()
    assert [] == bucket.keys()


def test_a_run_is_respected_where_a_store_passes_over_conditions(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some servers of S3 write whatever the condition is, and say that all is well."""
    put = obstores.ObstoreClient.put
    monkeypatch.setattr(
        obstores.ObstoreClient,
        "put",
        lambda client, key, content, _only: put(client, key, content, None),
    )
    with _store(bucket):
        first = bucket.get(".dcmdask/holder.json")
        with pytest.raises(LockedError, match="writes there now"):
            _lease(bucket).take()
        assert first == bucket.get(".dcmdask/holder.json")


def test_a_run_says_that_it_lives(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes its word again and again as long as it is under way."""
    monkeypatch.setattr(heartbeat, "SECONDS", 0.05)
    with _store(bucket):
        first = json.loads(bucket.get(".dcmdask/holder.json"))["beats"]
        assert wait_for(lambda: json.loads(bucket.get(".dcmdask/holder.json"))["beats"] > first + 3)


def test_a_word_that_does_not_arrive_is_not_the_last(
    bucket: Bucket, proxied: Proxied, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that refuses for a while does not make others take a run for dead."""
    monkeypatch.setattr(heartbeat, "SECONDS", 0.05)
    proxy = proxied(bucket.server)
    with _store(bucket.behind(proxy)):
        proxy.faults.answers = [Answer("holder.json", 403)]
        proxy.log = log = []
        assert wait_for(lambda: len(log) > 3)
        proxy.faults.answers = []
        first = json.loads(bucket.get(".dcmdask/holder.json"))["beats"]
        assert wait_for(lambda: json.loads(bucket.get(".dcmdask/holder.json"))["beats"] > first + 3)


def test_a_piece_of_a_file_that_fails_is_sent_again(
    bucket: Bucket, proxied: Proxied, tmp_path: Path
) -> None:
    """The file is not begun anew: one of thousands of pieces fails now and then."""
    proxy = proxied(bucket.server, answers=[Answer("partNumber=2", 503, 1)])
    proxy.log = []
    assert 11_000_000 == _sent(bucket.behind(proxy), tmp_path, 11_000_000)
    assert 1 == sum(one.path.partition("?")[2].startswith("uploads") for one in proxy.log)
    assert 2 == sum("partNumber=2" in one.path for one in proxy.log)


def test_a_file_on_a_slow_line_may_take_its_time(
    bucket: Bucket, proxied: Proxied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long a store may take to answer says nothing of how long it takes to send a file."""
    monkeypatch.setattr(obstores, "_PATIENT", 0.2)
    proxy = proxied(bucket.server, delay=0.3)
    assert 1_000_000 == _sent(bucket.behind(proxy), tmp_path, 1_000_000)


def _sent(bucket: Bucket, folder: Path, size: int) -> int:
    """Put a file into a bucket; give how large it is there."""
    path = folder / "large.bin"
    path.write_bytes(bytes(size))
    remote = open_remote(f"s3://{bucket.name}", RunOptions(storage_option=told(bucket)).remote)
    upload(remote, [(f"{bucket.prefix}large.bin", path)])
    return remote.head(f"{bucket.prefix}large.bin").size or 0


@pytest.mark.parametrize("gone", [False, True])
def test_a_run_that_was_taken_for_dead_publishes_nothing(
    source: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    """It stops before it names its catalog, and removes nothing of the run that took its place."""
    before = crawl(source, bucket)
    real = BucketStore.publish

    def publish(self: BucketStore, *what: Any) -> Any:
        bucket.put(".dcmdask/parts/0000000000-01234567.read.arrow", b"of the other one")
        _left_behind(bucket)
        if gone:
            bucket.remove(".dcmdask/holder.json")
        return real(self, *what)

    monkeypatch.setattr(BucketStore, "publish", publish)
    with pytest.raises(LockedError, match="this one was taken for dead; run again"):
        crawl(source, bucket, full=True)
    assert before.run == Catalog(bucket.url, told(bucket)).run
    assert {"parts", f"catalog-{before.run['state']}"} < kinds(bucket)
    assert bucket.get(".dcmdask/parts/0000000000-01234567.read.arrow")
    assert gone or b"elsewhere" in bucket.get(".dcmdask/holder.json")


def test_a_run_that_was_taken_for_dead_stops_reading(
    source: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It need not come to its end to see that it works in vain."""
    monkeypatch.setattr(heartbeat, "SECONDS", 0.05)
    real, calls = BucketStore.took, [0]

    def took(self: BucketStore, stem: str) -> None:
        calls[0] += 1
        if calls[0] == 2:
            _left_behind(bucket)
            assert wait_for(lambda: not self._lease.is_held)
        real(self, stem)

    monkeypatch.setattr(BucketStore, "took", took)
    with pytest.raises(LockedError, match=r"process 77 on elsewhere, begun .* taken for dead"):
        crawl(source, bucket)
    assert 2 == calls[0]
    assert b"elsewhere" in bucket.get(".dcmdask/holder.json")


def test_a_catalog_that_somebody_else_published_is_not_written_over(
    source: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where catalog.json is another one than at the beginning, that one stays."""
    catalog = crawl(source, bucket)
    real = BucketStore.publish

    def publish(self: BucketStore, *what: Any) -> Any:
        bucket.put("catalog.json", json.dumps({**catalog.run, "by": "another"}).encode())
        return real(self, *what)

    monkeypatch.setattr(BucketStore, "publish", publish)
    with pytest.raises(LockedError, match="another run has published there since this one began"):
        crawl(source, bucket, full=True)
    assert "another" == Catalog(bucket.url, told(bucket)).run["by"]
    assert catalog.run["counts"]["series"] == Catalog(bucket.url, told(bucket)).crawl_db.num_rows


def test_a_catalog_that_is_replaced_while_it_is_read_says_so(
    bucket: Bucket, tmp_path: Path
) -> None:
    """Tables of two runs are never taken for one catalog."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("text")
    old = crawl(tmp_path / "in", bucket)
    (tmp_path / "in" / "a.dcm").write_bytes(encode())
    crawl(tmp_path / "in", bucket)
    with pytest.raises(CatalogError, match="published there since it was opened; open it again"):
        _ = old.index
    assert 1 == Catalog(bucket.url, told(bucket)).index.num_rows


# -- commands ----------------------------------------------------------------------------------------


def test_commands_take_urls(source: Path, bucket: Bucket, tmp_path: Path) -> None:
    """What `run` says to do next works; `plan` compares with the catalog in the store."""
    machine = tmp_path / "m"
    first = said(bucket, machine, "plan", source, "--out", bucket.url)
    assert f"  {bucket.url}: no catalog there yet; a run reads everything\n" in first.stdout
    assert [] == bucket.keys()
    done = said(bucket, machine, "run", source, "--out", bucket.url)
    assert f"next: dcmdask show {bucket.url}\n" in done.stdout
    again = said(bucket, machine, "plan", source, "--out", bucket.url)
    assert f"  against {bucket.url}: 0 new, 0 changed, 0 gone," in again.stdout
    shown = said(bucket, machine, "show", bucket.url)
    assert "patient SYN-0001\n" in shown.stdout
    failed = said(bucket, machine, "failures", bucket.url, "--skips")
    assert "not_dicom: 1 file" in failed.stdout


def test_the_next_command_is_told_without_secrets(
    source: Path, bucket: Bucket, tmp_path: Path
) -> None:
    """Options of this command are needed by the next one; what may be a secret is left to the user."""
    own = [word for one in told(bucket) for word in ("--storage-option", one)]
    words = command("run", source, "--out", bucket.url, *own)
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    hidden = "--storage-option key=... --storage-option secret=..."
    endpoint = f"--storage-option endpoint_url={bucket.server.url}"
    assert f"next: dcmdask show {bucket.url} {hidden} {endpoint}\n" in done.stdout
    for text in (done.stdout, done.stderr, bucket.get("catalog.json").decode()):
        assert bucket.server.secret not in text


def test_the_next_command_needs_no_options_for_a_catalog_of_this_machine(
    bucket: Bucket, tmp_path: Path
) -> None:
    """They were those of the source."""
    bucket.put("a.dcm", encode({"PatientID": "1"}))
    own = [word for one in told(bucket) for word in ("--storage-option", one)]
    words = command("run", bucket.url, "--out", tmp_path / "out", *own)
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert f"next: dcmdask show {tmp_path / 'out'}\n" in done.stdout


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"secret": "wrong-one"}, "the store denies access; look at the credentials"),
        ({"name": "no-such-bucket"}, "there is no such bucket; make it, or choose another --out"),
    ],
)
def test_a_store_that_refuses_is_one_line(
    source: Path, bucket: Bucket, tmp_path: Path, change: dict[str, str], words: str
) -> None:
    """Before anything is listed or read, it is said what is wrong and what to do."""
    url = f"s3://{change['name']}/out" if "name" in change else bucket.url
    given = {**bucket.options, **({"secret": change["secret"]} if "secret" in change else {})}
    environ = environment(bucket, tmp_path / "m")
    environ["DCMDASK_STORAGE_OPTION"] = " ".join(f"{n}={v}" for n, v in given.items())
    for name in ("run", "plan"):
        done = subprocess.run(
            command(name, source, "--out", url),
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert 1 == done.returncode
        assert f"dcmdask: output {url}" in done.stderr
        assert words in done.stderr
        assert "wrong-one" not in done.stderr
    shown = subprocess.run(
        command("show", url), env=environ, capture_output=True, text=True, check=False
    )
    assert 1 == shown.returncode
    assert shown.stderr.startswith(f"dcmdask: catalog {url}: ")
    assert [] == bucket.keys()


def test_an_output_that_cannot_be_meant(source: Path) -> None:
    """Usage errors say what to write instead."""
    for out in ("s3://", "s3:///x", "zip://a::s3://bucket/b", "s3://bucket/x?versionId=1"):
        with pytest.raises(DcmdaskError, match=r"write .*s3://bucket/catalogs/site"):
            run([str(source)], RunOptions(out=out))
    with pytest.raises(DcmdaskError, match="a web server takes no files: name a bucket"):
        run([str(source)], RunOptions(out="https://host/out"))
    with pytest.raises(DcmdaskError, match="name a file of this machine"):
        run([str(source)], RunOptions(out="memory://o", projectid_map="s3://bucket/map.json"))


_SEES_NOTHING = """
import os.path
real = os.path.isdir
os.path.isdir = lambda path: "/driver/" not in str(path) and real(path)
"""
"""What makes a worker one of another machine: of the folders of the one that the run is on it has
none."""


@POSIX
def test_workers_of_other_machines(
    source: Path, local: dict[str, bytes], bucket: Bucket, tmp_path: Path
) -> None:
    """They find the manifest in the store and leave parts there; nothing of either stays here."""
    place, machine = tmp_path / "scheduler.json", tmp_path / "driver"
    # Credentials are not sent in the clear: run and worker each find their own.
    own = {"AWS_ACCESS_KEY_ID": bucket.server.key, "AWS_SECRET_ACCESS_KEY": bucket.server.secret}
    own["DCMDASK_STORAGE_OPTION"] = f"endpoint_url={bucket.server.url}"
    worker = environment(bucket, tmp_path / "worker", _SEES_NOTHING) | own
    with started(scheduler_command(place), tmp_path / "scheduler.log"):
        address = address_at(place)
        words = worker_command(address, "--nthreads", "2")
        with started(words, tmp_path / "worker.log", env=worker):
            flags = (*FLAGS, "--scheduler", address)
            done = said(bucket, machine, "run", source, "--out", bucket.url, *flags, **own)
    assert (0, []) == (done.returncode, other_lines(done.stderr))
    assert local == files(bucket)
    assert kept(bucket) == kinds(bucket)
    assert ["site"] == os.listdir(machine)
    assert not [name for name in os.listdir(tmp_path / "worker") if name.startswith("dcmdask-")]


def test_a_store_that_does_not_answer_is_one_line(source: Path, tmp_path: Path) -> None:
    """It says so within the time that a moment's trouble is given."""
    options = ("--storage-option", "endpoint_url=http://127.0.0.1:9", "--storage-option")
    words = command("run", source, "--out", "s3://bucket/out", *options, "anon=true")
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert 75 == done.returncode
    assert "store s3://bucket: it does not answer" in done.stderr
    assert "the same command goes on where it stopped" in done.stderr


def test_no_catalog_in_a_store(bucket: Bucket) -> None:
    """A prefix that holds none is said to."""
    with pytest.raises(CatalogError, match=r"no catalog\.json there; name the --out of a run"):
        Catalog(bucket.url, told(bucket))
