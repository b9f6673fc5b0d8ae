"""Who may use what a run computes on: nobody else a local cluster, and no secret goes in the clear."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dask
import pytest
from dask._task_spec import Task
from dask.utils import funcname
from running import (
    address_at,
    hooked,
    in_session,
    kill_session,
    run_command,
    started,
    wait_for,
    worker_command,
)
from source.making import instance
from source.unprivileged import run_unprivileged

from dcmdask.catalog.catalog import Catalog
from dcmdask.config import ReadOptions, RemoteOptions
from dcmdask.execution.messages import Reading
from dcmdask.execution.supervisor import read_partition
from dcmdask.types import Partition

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc")

_SECRET = "hunter2hunter2"  # noqa: S105 (nobody's)

# Opening a file of this name takes until another one is there.
_WAITS = """
import os, sys, time
def audit(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)):
        if os.fsencode(args[0]).endswith(b"waits.dcm"):
            while not os.path.exists(os.environ["GO_ON"]):
                time.sleep(0.02)
sys.addaudithook(audit)
"""

_PREPARED = """
import asyncio, pickle, socket
import distributed, distributed.comm.tcp, tornado.platform.asyncio
from distributed import Client, Scheduler
from distributed.core import connect
from distributed.protocol import dumps
from distributed.security import Security
warm = Security.temporary()
warm.get_connection_args("client")
"""

_ATTACK = """
async def asks(address, security):
    comm = await connect(address, timeout=3, **security.get_connection_args("client"))
    try:
        await comm.write({"op": "identity", "reply": True})
        return await asyncio.wait_for(comm.read(), 3)
    finally:
        comm.abort()

async def runs(address, security):
    async with Client(address, asynchronous=True, timeout=3, security=security) as client:
        return await client.run_on_scheduler(os.getuid)

async def browses(address, _security):
    host, _, port = address.rpartition("/")[2].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /health HTTP/1.0\\r\\n\\r\\n")
    answer = await asyncio.wait_for(reader.read(), 3)
    if not answer.startswith(b"HTTP"):
        raise OSError("no web server")
    return answer

async def enters(attack, address, security):
    try:
        return repr(await attack(address, security))[:40]
    except Exception as error:
        return None

async def main():
    found = {}
    # An open scheduler of its own shows that these attacks work where nothing is in their way.
    async with Scheduler(protocol="tcp://", host="127.0.0.1", port=0, dashboard=False,
                         dashboard_address="127.0.0.1:0") as own:
        web = f"http://127.0.0.1:{own.http_server.port}"
        for attack, address in ((asks, own.address), (runs, own.address), (browses, web)):
            found[f"own {attack.__name__}"] = await enters(attack, address, Security())
    ways = [
        (attack, f"{scheme}://127.0.0.1:{port}", security)
        for port in sys.argv[1:]
        for attack in (asks, runs, browses)
        for scheme, security in (("tcp", Security()), ("tls", warm))
    ]
    answers = await asyncio.gather(*(enters(*way) for way in ways))
    for (attack, address, _), answer in zip(ways, answers):
        found[f"{attack.__name__} {address}"] = answer
    print(json.dumps({"user": os.getuid(), "found": found}))

asyncio.run(main())
"""


@contextmanager
def _waiting_run(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a run on a local cluster that waits in the middle; give it then, with a secret."""
    for number in range(6):
        path = folder / "in" / "P1" / f"{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(instance(number))
    (folder / "in" / "P1" / "waits.dcm").write_bytes(instance(9))
    (folder / "tmp").mkdir()
    options = ("--in-process-below", 0, "--workers", 2, "--partition-size", 2)
    secret = ("--storage-option", f"s3:secret={_SECRET}")
    child = subprocess.Popen(
        [str(w) for w in run_command(folder / "in", folder / "out", "-q", *options, *secret)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={
            **hooked(folder, _WAITS),
            "TMPDIR": str(folder / "tmp"),
            "GO_ON": str(folder / "go on"),
        },
    )
    assert child.stdout is not None
    assert child.stderr is not None
    with child, child.stdout, child.stderr:
        try:
            parts = folder / "out" / ".dcmdask" / "parts"
            assert wait_for(lambda: len([*parts.glob("*.json")]) >= 3 or child.poll() is not None)
            yield child
        finally:
            kill_session(child.pid)


def _listening(pids: list[int]) -> dict[int, str]:
    """Give the ports at which processes listen, and at which address."""
    inodes = set()
    for pid in pids:
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            try:
                inodes.add(os.readlink(handle).removeprefix("socket:[").removesuffix("]"))
            except OSError:
                continue
    found = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, _, port = fields[1].partition(":")
                found[int(port, 16)] = address
    return found


@dataclass(frozen=True)
class Seen:
    """What could be seen of a run on a local cluster, and what another user got from it."""

    leader: int
    ports: dict[int, str]
    attack: dict[str, Any]
    told: dict[tuple[int, str], str]
    files: list[tuple[int, bytes]]
    left: list[str]
    end: tuple[int, str, str]
    instances: int


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Look at a run from outside while it waits, attack it, and let it go on."""
    folder = tmp_path_factory.mktemp("closed")
    with _waiting_run(folder) as child:
        pids = in_session(child.pid)
        ports = _listening(pids)
        told = {
            (pid, name): Path(f"/proc/{pid}/{name}").read_text("utf-8", "replace")
            for pid in pids
            for name in ("cmdline", "environ")
        }
        places = [path for path in (folder / "tmp").rglob("*") if not path.is_socket()]
        files = [
            (path.stat().st_mode & 0o777, path.read_bytes() if path.is_file() else b"")
            for path in places
            if path.is_file() or path.parent == folder / "tmp"
        ]
        done = run_unprivileged(_ATTACK, *ports, first=_PREPARED)
        assert 0 == done.returncode, done.stderr
        (folder / "go on").touch()
        out, err = child.communicate(timeout=60)
    return Seen(
        child.pid,
        ports,
        json.loads(done.stdout),
        told,
        files,
        os.listdir(folder / "tmp"),
        (child.returncode, out, err),
        Catalog(folder / "out").instances.count_rows(),
    )


@LINUX
def test_another_user_is_turned_away_from_a_local_cluster(seen: Seen) -> None:
    """Whoever has not its key gets no answer from any of its ports, and the crawl ends well."""
    # A scheduler; two workers and what starts each again; on loopback, and no web server.
    assert (5, {"0100007F"}) == (len(seen.ports), set(seen.ports.values()))
    assert 65534 == seen.attack["user"] or os.geteuid() != 0
    found = seen.attack["found"]
    own = [answer for way, answer in found.items() if way.startswith("own ")]
    assert (3, True) == (len(own), all(own))
    others = {way: answer for way, answer in found.items() if not way.startswith("own ")}
    assert 5 * 3 * 2 == len(others)
    assert {} == {way: answer for way, answer in others.items() if answer is not None}
    assert ((0, "", ""), 7) == (seen.end, seen.instances)


@LINUX
def test_the_key_of_a_local_cluster_is_nowhere_to_be_seen(seen: Seen) -> None:
    """Neither it nor a secret stands in a command line, an environment or a file."""
    for (pid, name), text in seen.told.items():
        assert "PRIVATE KEY" not in text
        # The user has put the secret into the command line of the run, and nobody else.
        assert _SECRET not in text or (pid, name) == (seen.leader, "cmdline")
    assert seen.files
    for _, content in seen.files:
        assert b"PRIVATE KEY" not in content
        assert _SECRET.encode() not in content
    assert 0o700 == seen.files[0][0]
    assert [] == seen.left


# -- a local cluster in Python -----------------------------------------------------------------------

_SCRIPTS = {
    "script and thread": (
        "import threading\ndone = []\n"
        "thread = threading.Thread(target=lambda: done.append(crawl()))\n"
        "thread.start(); thread.join(); done = done[0]"
    ),
    "notebook": "import asyncio\nasync def cell():\n    return crawl()\ndone = asyncio.run(cell())",
}


@pytest.mark.parametrize("how", _SCRIPTS)
def test_a_script_without_a_main_guard_crawls_on_a_local_cluster(tmp_path: Path, how: str) -> None:
    """It is run once, not again in every worker; in a thread and beside an event loop too."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dcm").write_bytes(instance())
    text = (
        "import dcmdask, dask.base\nprint('begins')\n"
        "def crawl():\n"
        f"    return dcmdask.crawl({str(tmp_path / 'in')!r}, {str(tmp_path / 'out')!r},\n"
        "        workers=1, in_process_below=0)\n"
        f"{_SCRIPTS[how]}\n"
        "print(done.run['counts']['instances'], dask.base.get_scheduler())\n"
    )
    (tmp_path / "job.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-" if how == "notebook" else str(tmp_path / "job.py")],
        input=text if how == "notebook" else "",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    # And nothing else of the program is computed there.
    assert (0, "", "begins\n1 None\n") == (done.returncode, done.stderr, done.stdout)


def test_a_local_cluster_that_cannot_start_is_one_line(
    command, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what to write instead."""
    monkeypatch.setattr("dcmdask.execution.local_cluster.PROGRAM", "raise SystemExit(3)")
    done = command("run", source, "--out", tmp_path / "out", "-q", "--in-process-below", 0)
    assert (1, "") == (done.code, done.out)
    assert "no local Dask cluster could be started: try --workers 1" in done.line


# -- a scheduler that somebody else has started ------------------------------------------------------


def test_a_secret_does_not_go_to_a_scheduler_in_the_clear(
    command, source: Path, tmp_path: Path
) -> None:
    """The run does not begin, and names the option and what to do, not the secret."""
    options = ("--storage-option", "region=x", "--storage-option", f"s3:secret={_SECRET}")
    address = ("--scheduler", "tcp://127.0.0.1:1")
    done = command("run", source, "--out", tmp_path / "out", "-q", *options, *address)
    assert (2, "") == (done.code, done.out)
    assert done.line == (
        "dcmdask: --storage-option s3:secret with --scheduler tcp://127.0.0.1:1, which has no TLS: "
        "leave it out and have run and workers find their own credentials (environment, profile, "
        "identity), or use a scheduler at tls://"
    )
    assert ["in"] == os.listdir(tmp_path)


def test_what_is_no_secret_may_go_in_the_clear(
    command, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endpoint or a profile is no reason to refuse."""
    monkeypatch.setattr("dcmdask.execution.cluster._CONNECT_SECONDS", 1)
    options = ("--storage-option", "endpoint_url=http://host", "--storage-option", "s3:profile=x")
    address = ("--scheduler", "tcp://127.0.0.1:1")
    done = command("run", source, "--out", tmp_path / "out", "-q", *options, *address)
    assert "no Dask scheduler answers" in done.line


def test_secrets_are_in_no_name_and_no_text_of_a_task() -> None:
    """Tasks and options as they are printed or logged hold none, nor what Dask calls a task."""
    remote = RemoteOptions((("secret", _SECRET),))
    reading = ReadOptions(("in",), "/parts", False, 1, 1, "", ("s3://bucket",), remote)
    partition = Partition(number=0, piece="/m", start=0, stop=1, position=0)
    task = partial(read_partition, options=reading)
    for text in (repr(task), repr(Task("key", task, partition)), funcname(task), repr(reading)):
        assert _SECRET not in text
    request = Reading(partition, reading, (), False)
    assert _SECRET not in repr(request)


def _certificates(folder: Path) -> dict[str, str]:
    """Make a certificate and its key; give Dask's settings that name them."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "cluster of a test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir()
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    own = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    (folder / "key.pem").write_bytes(key.private_bytes(*own, serialization.NoEncryption()))
    settings = {"distributed.comm.tls.ca-file": str(folder / "cert.pem")}
    for role in ("client", "scheduler", "worker"):
        settings[f"distributed.comm.tls.{role}.cert"] = str(folder / "cert.pem")
        settings[f"distributed.comm.tls.{role}.key"] = str(folder / "key.pem")
    return settings


def _in_environment(settings: dict[str, str]) -> dict[str, str]:
    """Give Dask's settings as variables of the environment."""
    names = {name: name.replace(".", "__").replace("-", "_").upper() for name in settings}
    return {f"DASK_{names[name]}": value for name, value in settings.items()}


def test_a_scheduler_with_tls_is_used_with_a_secret(command, source: Path, tmp_path: Path) -> None:
    """By Dask's own settings; no warning, and no secret in a log, also where a task fails."""
    settings = _certificates(tmp_path / "keys")
    env = {**os.environ, **_in_environment(settings)}
    place = tmp_path / "scheduler.json"
    own = ("--protocol", "tls", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", *own]
    scheduler += ["--scheduler-file", str(place)]
    secret = ("--storage-option", f"s3:secret={_SECRET}")
    with started(scheduler, tmp_path / "scheduler.log", env=env):
        address = address_at(place)
        assert address.startswith("tls://127.0.0.1:")
        words = worker_command(address, "--nthreads", "1", "--no-nanny")
        with started(words, tmp_path / "worker.log", env=env), dask.config.set(settings):
            options = ("-q", "--scheduler", address, *secret)
            done = command("run", source, "--out", tmp_path / "out", *options)
            assert (0, "", "") == (done.code, done.out, done.err)
            hidden = ("--fresh", "--full", "--partition-size", 1)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("dcmdask.execution.reading.read_partition", _fails)
                done = command("run", source, "--out", tmp_path / "out", *options, *hidden)
            assert 1 == done.code
            assert "a task failed on the cluster (ZeroDivisionError)" in done.line
    logs = [(tmp_path / f"{name}.log").read_text() for name in ("scheduler", "worker")]
    assert "ZeroDivisionError" in logs[1]
    assert _SECRET not in "".join(logs)
    assert 3 == Catalog(tmp_path / "out").instances.count_rows()


def _fails(_partition: Partition, **_options: ReadOptions) -> None:
    raise ZeroDivisionError


# Workers have no module of the tests: it travels as it is.
_fails.__module__ = "__main__"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "there are no certificates for it: set distributed.comm.tls.ca-file, .client.cert"),
        ({"distributed.comm.tls.ca-file": "/nowhere"}, "there are no certificates for it"),
        ({"file": "missing"}, "cannot be used (No such file or directory): set distributed.comm"),
        ({"file": "rubbish"}, "cannot be used (no certificate): set distributed.comm"),
    ],
    ids=["none", "half of them", "missing", "rubbish"],
)
def test_certificates_that_are_missing_are_one_line(
    command, source: Path, tmp_path: Path, settings: dict[str, str], words: str
) -> None:
    """It says which settings to make, before anything is listed."""
    if "file" in settings:
        place = tmp_path / "in" / "rubbish.pem"
        place.write_text("no certificate")
        path = str(place) if settings["file"] == "rubbish" else "/nowhere.pem"
        names = ("ca-file", "client.cert", "client.key")
        settings = {f"distributed.comm.tls.{name}": path for name in names}
    with dask.config.set(settings):
        address = "tls://127.0.0.1:1"
        done = command("run", source, "--out", tmp_path / "out", "-q", "--scheduler", address)
    assert (2, "") == (done.code, done.out)
    assert f"--scheduler {address}: " in done.line
    assert words in done.line
    assert ["in"] == os.listdir(tmp_path)


def test_a_configuration_that_requires_encryption_is_heeded(
    command, source: Path, tmp_path: Path
) -> None:
    """An address without TLS is then wrong usage."""
    with dask.config.set({"distributed.comm.require-encryption": True}):
        address = "tcp://127.0.0.1:1"
        done = command("run", source, "--out", tmp_path / "out", "-q", "--scheduler", address)
    assert 2 == done.code
    assert "requires encryption: name a scheduler at tls://" in done.line
