"""``--scheduler``: a Dask cluster that somebody else has started, and addresses where there is none."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from running import address_at, scheduler_command, started, worker_command
from source.making import instance, zip_of

from dcmdask.execution import cluster


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Start a scheduler and a worker with a nanny; give the address and the folder of their logs."""
    folder = tmp_path_factory.mktemp("cluster")
    place = folder / "scheduler.json"
    with started(scheduler_command(place), folder / "scheduler.log"):
        address = address_at(place)
        with started(worker_command(address, "--nthreads", "2"), folder / "worker.log"):
            yield address, folder


def test_a_running_cluster_is_used_and_left_running(
    command, scheduler: tuple[str, Path], tmp_path: Path
) -> None:
    """The catalog is that of a run without a cluster, and the cluster serves the next run too."""
    for number in range(6):
        path = tmp_path / "in" / "P1" / f"{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(instance(number, PatientName="Secret^Name"))
    (tmp_path / "in" / "P2.zip").write_bytes(zip_of({"x": instance(9)}))
    (tmp_path / "in" / "P1" / "cut.dcm").write_bytes(instance(8, PatientName="Secret^Name")[:300])
    address, logs = scheduler
    for out in ("alone", "first", "second"):
        args = () if out == "alone" else ("--scheduler", address)
        done = command(
            "run", tmp_path / "in", "--out", tmp_path / out, "--partition-size", 2, *args
        )
        assert (0, True) == (done.code, done.out.startswith("7 instances in 1 series"))
        lines = [line for line in done.err.splitlines() if not line[:2].isdigit()]
        assert (out != "alone") == len(lines)
        # Once a run, and no error.
        assert all(f"the scheduler at {address} has no TLS: whoever reaches" in x for x in lines)
    for name in ("crawl_db.parquet", "index.csv", "failures.parquet", "crawl_db.json"):
        alone = (tmp_path / "alone" / name).read_bytes()
        assert alone == (tmp_path / "first" / name).read_bytes()
        assert alone == (tmp_path / "second" / name).read_bytes()
    # What a cluster logs is read by people who may not know whose images these are.
    for log in ("scheduler.log", "worker.log"):
        assert "Secret" not in (logs / log).read_text()


def test_task_names_hold_no_patient(
    command, scheduler: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys and specifications of tasks, as a dashboard shows them, name partitions only."""
    import distributed

    path = tmp_path / "in" / "Secret^Name" / "Secret^Name.dcm"
    path.parent.mkdir(parents=True)
    path.write_bytes(instance(PatientName="Secret^Name", PatientID="SecretID"))
    keys: list[str] = []
    real = distributed.Client.map

    def submit(client: distributed.Client, *args: object, **options: object) -> object:
        futures = real(client, *args, **options)
        keys.extend(str(future.key) for future in futures)
        return futures

    monkeypatch.setattr(distributed.Client, "map", submit)
    address, _ = scheduler
    done = command("run", tmp_path / "in", "--out", tmp_path / "out", "--scheduler", address, "-q")
    assert 0 == done.code
    assert keys
    assert "Secret" not in "".join(keys)


def test_a_cluster_that_does_not_see_the_output_ends_with_one_line(
    command, scheduler: tuple[str, Path], tmp_path: Path, source: Path
) -> None:
    """A worker that finds no manifest says where the output must lie."""
    address, _ = scheduler
    out = tmp_path / "out"

    def hide() -> None:
        deadline = time.monotonic() + 30
        while not list(out.glob(".dcmdask/staging/manifest/*")) and time.monotonic() < deadline:
            time.sleep(0.001)
        for piece in out.glob(".dcmdask/staging/manifest/*"):
            piece.unlink()

    # As good as another machine: the manifest is gone when the worker looks for it.
    thread = threading.Thread(target=hide)
    thread.start()
    done = command("run", source, "--out", out, "--scheduler", address, "-q")
    thread.join()
    assert 1 == done.code
    assert "OUT must lie where every worker sees it" in done.line
    assert ["in"] == os.listdir(tmp_path)


@contextmanager
def _stranger(answer: bytes) -> Iterator[str]:
    """Listen as something that is no Dask scheduler; give the address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


ADDRESSES = {
    "nobody there": "tcp://127.0.0.1:1",
    "no such host": "tcp://host.invalid:8786",
    "no such protocol": "nonsense://127.0.0.1:1",
    "no port": "tcp://127.0.0.1",
    "port out of range": "127.0.0.1:99999",
    "no address": "somewhere",
    "nothing": "",
    "web address": "http://127.0.0.1:1",
}
COMING = ("nobody there", "no such host", "port out of range", "silence")
"""Where one may be at another time: the same command is worth another try."""


@pytest.mark.parametrize(
    "name",
    [
        *ADDRESSES,
        "web server",
        "rubbish",
        "silence",
    ],
)
def test_a_wrong_address_ends_with_one_line(
    command, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It is named, within 20 seconds, and no output is made."""
    assert cluster._CONNECT_SECONDS <= 15
    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 1)
    answers = {"web server": b"HTTP/1.1 400 Bad Request\r\n\r\n" * 9, "rubbish": b"\xff" * 99}
    with _stranger(answers.get(name, b"")) as address:
        wrong = ADDRESSES.get(name, address)
        begun = time.monotonic()
        done = command("run", source, "--out", tmp_path / "out", "--scheduler", wrong, "-q")
        assert time.monotonic() - begun < 20
    assert (75 if name in COMING else 1, "") == (done.code, done.out)
    assert "no Dask scheduler answers" in done.line
    assert wrong in done.line
    assert ["in"] == os.listdir(tmp_path)
