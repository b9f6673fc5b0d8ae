"""DICOMweb services as they may be: pages, refusals, answers that are none, and no word of changes."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pydicom
import pytest
from support import crawl, encode

from dcmdask.catalog.catalog import Catalog
from dcmdask.config import RunOptions
from dcmdask.errors import SourceError, UsageError
from dcmdask.execution.pipeline import run
from dcmdask.source.dicomweb import listing

Match = dict[str, Any]
Change = Callable[[str, bytes], bytes | int]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        self.server.asked.append(self.path)
        assert "application/dicom+json" == self.headers["Accept"]
        asked = {name: values[0] for name, values in parse_qs(place.query).items()}
        found = self.server.answer(place.path.strip("/").split("/")[1:], asked)
        body: bytes | int = b"" if found is None else json.dumps(found).encode()
        body = self.server.change(self.path, body)
        status = body if isinstance(body, int) else 404 if found is None else 200
        self.send_response(status)
        self.send_header("Content-Length", str(0 if isinstance(body, int) else len(body)))
        self.end_headers()
        if isinstance(body, bytes):
            self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        pass


class Service(http.server.ThreadingHTTPServer):
    """A DICOMweb service of some instances: two a series, two series a study.

    Attributes
    ----------
    most : int
        Matches of a page, whatever is asked for.
    knows_offset : bool
        Whether it gives other pages than the first.
    said : tuple of str
        Tags that it answers queries with, beside UIDs.
    change : callable
        Path and answer to what is answered instead: bytes, or a status.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, count: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.instances = [self._instance(number) for number in range(count)]
        self.most = 1000
        self.knows_offset = True
        self.said: tuple[str, ...] = ("00100010", "00080060")
        self.change: Change = lambda _path, body: body
        self.asked: list[str] = []
        self.source = f"dicomweb+http://127.0.0.1:{self.server_port}/rs"

    def _instance(self, number: int) -> Match:
        uids = {
            "SOPInstanceUID": number,
            "SeriesInstanceUID": number // 2,
            "StudyInstanceUID": number // 4,
        }
        values = {name: f"1.2.{len(name)}.{uid}" for name, uid in uids.items()}
        dataset = pydicom.dcmread(_file(encode({**values, "InstanceNumber": number})))
        return {
            **dataset.to_json_dict(),
            "00083002": {"vr": "UI", "Value": ["1.2.840.10008.1.2.4.50"]},
        }

    def answer(self, parts: list[str], asked: dict[str, str]) -> list[Match] | None:
        """Give what a resource holds; None where there is none."""
        uids = dict(zip(parts[0::2], parts[1::2], strict=False))
        named = {"studies": "0020000D", "series": "0020000E", "instances": "00080018"}
        found = [
            one
            for one in self.instances
            if all(one[named[level]]["Value"] == [uid] for level, uid in uids.items())
        ]
        if parts[-1] == "metadata":
            return found or None
        kept = (*named.values(), *self.said)
        matches = [{tag: one[tag] for tag in kept if tag in one} for one in found]
        if parts[-1] == "studies":
            matches = list({one["0020000D"]["Value"][0]: one for one in matches}.values())
            matches = [
                {k: v for k, v in one.items() if k not in ("0020000E", "00080018")}
                for one in matches
            ]
        start = int(asked["offset"]) if self.knows_offset else 0
        return matches[start : start + min(int(asked["limit"]), self.most)]


def _file(content: bytes) -> Any:
    return pydicom.filebase.DicomBytesIO(content)


@pytest.fixture
def serve() -> Iterator[Callable[[int], Service]]:
    """Start a service of so many instances."""
    with ExitStack() as stack:

        def start(count: int) -> Service:
            server = stack.enter_context(Service(count))
            thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return server

        yield start


Serve = Callable[[int], Service]


def crawl_service(service: Service, out: Path, **options: Any) -> Catalog:
    """Crawl a service, and open the catalog."""
    return Catalog(run([service.source], RunOptions(out=str(out), **options))["out"])


def found(catalog: Catalog) -> list[int]:
    """Give the numbers of the instances."""
    return sorted(catalog.instances.to_table()["InstanceNumber"].to_pylist())


def changes(catalog: Catalog) -> tuple[int, int]:
    """Give how many are new, and how many changed."""
    said = catalog.run["run"]["changes"]
    return said["new"], said["changed"]


@pytest.mark.parametrize("most", [1000, 3])
def test_all_pages_are_asked_for(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Pages of the size that is asked for, and of a service that gives fewer."""
    monkeypatch.setattr(listing, "PAGE", 4)
    service = serve(41)
    service.most = most
    catalog = crawl_service(service, tmp_path / "out", partition_size=10)
    assert list(range(41)) == found(catalog)
    assert 11 == len(set(catalog.instances.to_table()["case"].to_pylist()))
    syntaxes = set(catalog.instances.to_table()["TransferSyntaxUID"].to_pylist())
    assert {"1.2.840.10008.1.2.4.50"} == syntaxes


def test_a_service_that_cannot_be_listed_to_its_end_is_refused(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than a catalog of its first page."""
    monkeypatch.setattr(listing, "PAGE", 2)
    service = serve(12)
    service.knows_offset = False
    with pytest.raises(SourceError, match="same page"):
        crawl_service(service, tmp_path / "out")


def test_a_study_that_cannot_be_listed_keeps_what_is_known(serve: Serve, tmp_path: Path) -> None:
    """It is a row; its instances stay in the catalog until it can be listed again."""
    service = serve(12)
    crawl_service(service, tmp_path / "out")
    service.change = lambda path, body: 403 if "/1.2.16.1/instances" in path else body
    catalog = crawl_service(service, tmp_path / "out")
    assert list(range(12)) == found(catalog)
    assert [("1.2.16.1", "access_denied")] == [
        (row["path"], row["kind"]) for row in catalog.failures.to_pylist()
    ]


def test_an_instance_that_is_not_given_is_a_row_and_read_again(
    serve: Serve, tmp_path: Path
) -> None:
    """Refused, gone, or a page of text; one that is busy is asked again at once."""
    service = serve(8)
    busy = [503, 503]
    ends = {"/1.2.14.1/metadata": 403, "/1.2.14.2/metadata": 404, "/1.2.14.3/metadata": b"<html>"}

    def change(path: str, body: bytes) -> bytes | int:
        if path.endswith("/1.2.14.4/metadata") and busy:
            return busy.pop()
        return next((said for end, said in ends.items() if path.endswith(end)), body)

    service.change = change
    catalog = crawl_service(service, tmp_path / "out")
    assert [0, 4, 5, 6, 7] == found(catalog)
    kinds = {row["path"][-1]: row["kind"] for row in catalog.failures.to_pylist()}
    assert {"1": "access_denied", "2": "vanished", "3": "unexpected"} == kinds
    ends.clear()
    assert list(range(8)) == found(crawl_service(service, tmp_path / "out"))


def test_what_a_service_says_is_compared(serve: Serve, tmp_path: Path) -> None:
    """A name that was corrected is read again; where nothing is said, all is."""
    service = serve(8)
    crawl_service(service, tmp_path / "out")
    for one in service.instances[4:]:
        one["00100010"] = {"vr": "PN", "Value": [{"Alphabetic": "Roe^Jane"}]}
    catalog = crawl_service(service, tmp_path / "out")
    assert (0, 4) == changes(catalog)
    assert {"Doe^Jane", "Roe^Jane"} == set(catalog.instances.to_table()["PatientName"].to_pylist())
    service.instances[0]["00100010"] = "no attribute"
    assert (0, 1) == changes(crawl_service(service, tmp_path / "out"))
    service.said = ()
    assert (0, 8) == changes(crawl_service(service, tmp_path / "out"))
    assert (0, 8) == changes(crawl_service(service, tmp_path / "out"))


@pytest.mark.parametrize("answer", [b"<html>log in</html>", b"7", b'["text"]'])
def test_what_is_no_service_is_said(serve: Serve, tmp_path: Path, answer: bytes) -> None:
    """A page that asks who one is, say."""
    service = serve(1)
    service.change = lambda _path, _body: answer
    with pytest.raises(SourceError, match="not DICOM JSON"):
        crawl_service(service, tmp_path / "out")


@pytest.mark.parametrize(
    "below", ["/studies/1/instances", "/studies/1/series/2/instances/3", "/studies?x=1"]
)
def test_what_cannot_be_meant_is_said(serve: Serve, tmp_path: Path, below: str) -> None:
    """An instance, all instances of a study, a query."""
    with pytest.raises(UsageError, match="names no service, study or series"):
        run([f"{serve(1).source}{below}"], RunOptions(out=str(tmp_path / "out")))


def test_a_service_takes_no_catalog(tmp_path: Path) -> None:
    """It is a web server."""
    (tmp_path / "in").mkdir()
    with pytest.raises(UsageError, match="takes no files"):
        run([str(tmp_path / "in")], RunOptions(out="dicomweb+https://host/rs"))


def test_a_file_by_itself_has_what_those_read_together_have(serve: Serve, tmp_path: Path) -> None:
    """The tables are those of the files."""
    service = serve(5)
    for number, one in enumerate(service.instances):
        dataset = pydicom.Dataset.from_json({k: v for k, v in one.items() if k != "00083002"})
        values = {element.keyword: element.value for element in dataset}
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{number}.dcm").write_bytes(
            encode(values, syntax="1.2.840.10008.1.2.4.50")
        )
    names = ["SOPInstanceUID", "PatientName", "Rows", "TransferSyntaxUID"]
    catalogs = crawl(tmp_path / "in", tmp_path / "l"), crawl_service(service, tmp_path / "o")
    tables = [one.instances.to_table().select(names).sort_by(names[0]) for one in catalogs]
    assert tables[0] == tables[1]
