"""Web servers: with ranges as a bucket, without them as far as a file is small."""

from __future__ import annotations

import email.utils
import http.server
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote, unquote

import fsspec
import pytest
from buckets.reading import read_url, remote_options, without_place
from source.making import bulky, instance, noise, read_folder, tar_of, zip_of
from support import crawl

from dcmdask.config import RunOptions
from dcmdask.execution.pipeline import run
from dcmdask.remote.remote import Remote

FILES = {
    "P1/a.dcm": instance(1),
    "P1/b.dcm": noise(2),
    "P1/of_10_kB.dcm": instance(3, ImageComments="y" * 10_000, KVP="120"),
    "P2/deep/c.dcm": instance(4),
    "P2/notes.txt": b"text",
    "P2/empty": b"",
    "P3.zip": zip_of({f"{n}.dcm": noise(n, 60_000) for n in range(10, 50)}, zipfile.ZIP_STORED),
    "P4.tar": tar_of({"x.dcm": instance(60), "y.dcm": bulky(61, 20_000)}),
}


class _Handler(http.server.BaseHTTPRequestHandler):
    """Gives files and pages of links, with ranges if its server does so."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        server, path = self.server, unquote(self.path)
        server.asked.append((self.command, path, self.headers.get("Range", "")))
        for text, status in server.refused.items():
            if text in path:
                self._send(status, b"")
                return
        name = path.removeprefix("/")
        if name in server.files:
            self._send_file(server.files[name])
            return
        folder = f"{name.rstrip('/')}/".removeprefix("/")
        below = {one.removeprefix(folder) for one in server.files if one.startswith(folder)}
        if not below:
            self._send(404, b"")
        elif not path.endswith("/"):
            self._send(301, b"", Location=quote(path) + "/")
        else:
            names = sorted({one.partition("/")[0] + ("/" if "/" in one else "") for one in below})
            links = "".join(f'<a href="{quote(one)}">{one}</a>\n' for one in names)
            others = (
                '<a href="../">up</a><a href="?C=M">sorted</a><a href="http://127.0.0.1:1/x">x</a>'
            )
            self._send(200, (others + links).encode(), **{"Content-Type": "text/html"})

    def _send_file(self, content: bytes) -> None:
        tag = f'"{hash(content) & 0xFFFFFFFF:x}"'
        said = {"ETag": tag, "Last-Modified": email.utils.formatdate(1_000_000_000, usegmt=True)}
        wanted = self.headers.get("Range")
        if not self.server.ranges or not wanted:
            if self.server.ranges:
                said["Accept-Ranges"] = "bytes"
            self._send(200, content, **said)
            return
        start, _, last = wanted.removeprefix("bytes=").partition("-")
        stop = min(int(last) + 1 if last else len(content), len(content))
        if int(start) >= len(content):
            self._send(416, b"", **{"Content-Range": f"bytes */{len(content)}"})
            return
        place = f"bytes {start}-{stop - 1}/{len(content)}"
        self._send(206, content[int(start) : stop], **said, **{"Content-Range": place})

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        pass


class Web(http.server.ThreadingHTTPServer):
    """A web server of some files."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes], *, ranges: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.ranges = ranges
        self.asked: list[tuple[str, str, str]] = []
        self.refused: dict[str, int] = {}
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_request: object) -> None:
        """Say nothing of clients that go in the middle of an answer, as they may."""


Serve = Callable[..., Web]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a web server of some files."""
    with ExitStack() as stack:

        def start(files: dict[str, bytes], *, ranges: bool = True) -> Web:
            server = stack.enter_context(Web(files, ranges=ranges))
            thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return server

        yield start


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder of the same files."""
    for name, content in FILES.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "in"


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_folder_of_a_web_server_is_read_as_the_folder(
    serve: Serve, folder: Path, slash: str
) -> None:
    """By the links of its pages, those that lead elsewhere left out; archives by ranges."""
    server = serve({f"in/{name}": content for name, content in FILES.items()})
    expected, reading = (
        read_folder(folder),
        read_url(f"{server.url}/in{slash}", remote_options(join_gap=0)),
    )
    assert without_place(expected.instances) == without_place(reading.instances)
    assert expected.kinds == reading.kinds
    size = len(FILES["P3.zip"])
    assert (
        sum(
            int(last) + 1 - int(first)
            for command, path, wanted in server.asked
            if command == "GET" and path.endswith("P3.zip") and wanted
            for first, last in [wanted.removeprefix("bytes=").split("-")]
        )
        < 0.5 * size
    )
    url = next(row["url"] for row in reading.instances if row["path"] == "P1/b.dcm")
    with fsspec.open(url) as stream:
        assert FILES["P1/b.dcm"] == stream.read()


def test_a_whole_crawl_of_a_web_server(serve: Serve, folder: Path, tmp_path: Path) -> None:
    """A run over it finds what one over the folder finds, and a second one reads nothing."""
    server = serve({f"in/{name}": content for name, content in FILES.items()})
    expected = crawl(folder, tmp_path / "local").run["counts"]
    found = run([f"{server.url}/in/"], RunOptions(out=str(tmp_path / "out"), requests=4))
    for name in ("listed", "instances", "failures", "skips", "series"):
        assert expected[name] == found["counts"][name]
    server.asked.clear()
    again = run([f"{server.url}/in/"], RunOptions(out=str(tmp_path / "out"), requests=4))
    assert len(FILES) == again["run"]["changes"]["same"]
    assert not [one for one in server.asked if one[0] == "GET" and one[1].endswith(".dcm")]


def test_one_file_of_a_web_server_is_a_source(serve: Serve) -> None:
    """An archive by its url, of which no listing is asked."""
    server = serve({"x/P3.zip": FILES["P3.zip"], "x/other.dcm": instance(7)})
    reading = read_url(f"{server.url}/x/P3.zip", remote_options())
    assert 40 == len(reading.instances)
    assert {} == reading.kinds
    assert {"/x/P3.zip"} == {path for _, path, _ in server.asked if ".dcmdask" not in path}


def test_a_server_without_ranges_gives_small_files(serve: Serve, folder: Path) -> None:
    """Each is what it is in a folder, also where more than its first window is needed."""
    small = {name: content for name, content in FILES.items() if name != "P3.zip"}
    (folder / "P3.zip").unlink()
    server = serve({f"in/{name}": content for name, content in small.items()}, ranges=False)
    expected, reading = read_folder(folder), read_url(f"{server.url}/in/", remote_options())
    assert without_place(expected.instances) == without_place(reading.instances)
    assert expected.kinds == reading.kinds


def test_a_large_archive_of_a_server_without_ranges_is_a_failure(serve: Serve) -> None:
    """It says why; a large file whose header is at its beginning is read all the same."""
    server = serve({"in/P3.zip": FILES["P3.zip"], "in/l.dcm": bulky(5)}, ranges=False)
    reading = read_url(f"{server.url}/in/", remote_options())
    assert {"P3.zip": "unexpected"} == reading.kinds
    assert {"P3.zip": "the server does not give parts of a file"} == reading.messages
    assert ["l.dcm"] == reading.paths


def test_reads_are_the_bytes_that_were_asked_for(serve: Serve) -> None:
    """Of a server with ranges and of one without; behind the end there are none."""
    content = noise(1, 20_000)
    for ranges in (True, False):
        server = serve({"a.dcm": content}, ranges=ranges)
        remote = Remote(server.url, remote_options())
        etag = remote.head("a.dcm").etag
        for start, stop in ((0, 100), (0, 50_000), (8192, 40_000), (19_000, 21_000), (15, 16)):
            assert content[start:stop] == remote.get("a.dcm", start, stop, etag)
        assert b"" == remote.get("a.dcm", 30_000, 30_010, etag)


def test_names_are_as_they_stand_in_urls(serve: Serve) -> None:
    """What has to be written otherwise there is read, and its url opens."""
    server = serve({"in/a \u00e4#%?.dcm": instance(1)})
    (row,) = read_url(f"{server.url}/in/", remote_options()).instances
    with fsspec.open(row["url"]) as stream:
        assert instance(1) == stream.read()


def test_what_a_web_server_refuses_is_a_failure(serve: Serve) -> None:
    """A file that may not be read, one that is gone."""
    server = serve({f"in/{name}.dcm": instance(n) for n, name in enumerate("abc", 1)})
    server.refused = {"b.dcm": 403, "c.dcm": 404}
    reading = read_url(f"{server.url}/in/", remote_options())
    assert ["a.dcm"] == reading.paths
    assert {"b.dcm", "c.dcm"} == reading.kinds.keys()
    assert {"access_denied", "vanished"} >= set(reading.kinds.values())
