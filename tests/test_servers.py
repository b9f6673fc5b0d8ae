"""The stores that tests run against behave as stores do, and the proxy before them as it is told."""

from __future__ import annotations

import http.client
import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import fsspec
import obstore
import pytest
import running
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, PreconditionError
from servers import (
    Answer,
    Bucket,
    Count,
    FaultProxy,
    Moto,
    Seaweed,
    fresh,
    make_bucket,
    open_store,
    remove,
    storage_options,
)

Proxied = Callable[..., FaultProxy]


@dataclass
class Account:
    """A server as seen by somebody with another key."""

    url: str
    key: str
    secret: str


def test_what_is_put_is_listed_and_got(bucket: Bucket, tmp_path: Path) -> None:
    """A folder of files comes back as it was, whole and in ranges."""
    content = {"a.dcm": b"0123456789" * 1000, "b/c d.dcm": b"x", "b/é.dcm": b""}
    for name, data in content.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    keys = bucket.fill(tmp_path)
    assert sorted(content) == bucket.keys() == [key.removeprefix(bucket.prefix) for key in keys]
    assert content == {key: bucket.get(key) for key in content}
    store = open_store(bucket.server, bucket.name)
    got = obstore.get(store, bucket.prefix + "a.dcm", options={"range": (9990, 10_100)})
    assert (9990, 10_000) == got.range
    assert b"0123456789" == bytes(got.bytes())
    bucket.remove("a.dcm")
    assert ["b/c d.dcm", "b/é.dcm"] == bucket.keys()


def test_a_bucket_is_made_and_removed(seaweed: Seaweed) -> None:
    """A bucket of its own is there until it is removed with all that is in it."""
    make_bucket(seaweed, "for-one-test")
    whole = Bucket(seaweed, "for-one-test", "")
    assert "s3://for-one-test/a" == whole.put("a", b"1")
    assert "s3://for-one-test" == whole.url
    remove(seaweed, "for-one-test")
    with pytest.raises((NotFoundError, BaseError), match="NoSuchBucket"):
        whole.keys()


@pytest.mark.parametrize("which", ["key", "secret", "none"])
def test_nobody_else_gets_in(bucket: Bucket, which: str) -> None:
    """Who has another key, another secret or none is refused, through either client."""
    url = bucket.put("a.dcm", b"1")
    options = dict(bucket.options)
    if which == "none":
        del options["key"], options["secret"]
        options["anon"] = True
    else:
        options[which] = "AKIASOMEBODYELSE"
        other = Account(bucket.server.url, options["key"], options["secret"])
        with pytest.raises(BaseError, match="403"):
            replace(bucket, server=other).get("a.dcm")
    files = fsspec.filesystem("s3", skip_instance_cache=True, **options)
    with pytest.raises(PermissionError):
        files.cat_file(url)


def test_conditions_are_held_to(bucket: Bucket) -> None:
    """What is there is not made anew, and a stale tag neither replaces nor reads."""
    store = open_store(bucket.server, bucket.name)
    path = bucket.prefix + "lock"
    first = obstore.put(store, path, b"1", mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, path, b"2", mode="create")
    second = obstore.put(store, path, b"3", mode={"e_tag": first["e_tag"]})
    with pytest.raises(PreconditionError):
        obstore.put(store, path, b"4", mode={"e_tag": first["e_tag"]})
    with pytest.raises(PreconditionError):
        obstore.get(store, path, options={"if_match": first["e_tag"], "range": (0, 1)})
    got = obstore.get(store, path, options={"if_match": second["e_tag"], "range": (0, 1)})
    assert b"3" == bytes(got.bytes())
    assert second["e_tag"] == got.meta["e_tag"]


def test_orders_of_listings_differ(bucket: Bucket, moto: Moto) -> None:
    """Moto lists in the order of bytes, SeaweedFS in that of a tree of folders."""
    orders = []
    for place in (fresh(moto), bucket):
        for key in ("a/b", "a-b"):
            place.put(key, b"1")
        store = open_store(place.server, place.name)
        (listed,) = obstore.list(store, prefix=place.prefix)
        orders.append([one["path"].removeprefix(place.prefix) for one in listed])
    assert [["a-b", "a/b"], ["a/b", "a-b"]] == orders


def test_two_servers_run_side_by_side(seaweed: Seaweed) -> None:
    """A second one has ports and objects of its own, and is gone with its folder when closed."""
    with Seaweed() as other:
        make_bucket(other, "tests")
        assert other.url != seaweed.url
        assert [] == Bucket(other, "tests", "").keys()
        leader = other.process.pid
        assert running.in_session(leader)
    assert running.wait_for(lambda: not running.in_session(leader))
    assert not other.folder.exists()


def test_a_server_that_does_not_come_up_tells_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the program said last is in the error."""
    monkeypatch.setattr(Moto, "_command", lambda _self: ["/bin/echo", "no room"])
    with pytest.raises(RuntimeError, match="no room"):
        Moto()


def test_the_proxy_counts_what_passes(bucket: Bucket, proxied: Proxied) -> None:
    """Requests and bytes are exact by kind, and the log has every one of them."""
    proxy = proxied(bucket.server)
    near = bucket.behind(proxy)
    proxy.log = []
    store = open_store(proxy, bucket.name)
    for number in range(3):
        near.put(f"{number}.dcm", bytes(100_000))
    for number in range(3):
        assert 8192 == len(
            obstore.get_range(store, f"{bucket.prefix}{number}.dcm", start=0, end=8192)
        )
    assert 100_000 == len(near.get("0.dcm"))
    assert 100_000 == obstore.head(store, bucket.prefix + "1.dcm")["size"]
    assert 3 == len(near.keys())
    counts = proxy.counts
    assert Count(3) == counts["PUT"]
    assert Count(4, 3 * 8192 + 100_000) == counts["GET"]
    assert Count(1) == counts["HEAD"]
    assert 1 == counts["LIST"].requests
    assert counts["LIST"].bytes > 500
    first = next(one for one in proxy.log if one.kind == "GET")
    assert (f"/{bucket.name}/{bucket.prefix}0.dcm", "bytes=0-8191") == (first.path, first.range)
    assert (206, 8192) == (first.status, first.bytes)
    assert {} == proxy.met
    proxy.clear()
    assert {} == proxy.counts
    near.get("0.dcm")
    assert Count(1, 100_000) == proxy.counts["GET"]


def once(proxy: FaultProxy, path: str, **options: object) -> tuple[int, bytes]:
    """Make one request by hand, without anything that tries again."""
    with closing(http.client.HTTPConnection(urlsplit(proxy.url).netloc, timeout=2)) as connection:
        connection.request("GET", path, **options)
        answer = connection.getresponse()
        return answer.status, answer.read()


class _Plain(http.server.BaseHTTPRequestHandler):
    """Answers as servers may: in chunks, without a length, with nothing at all."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        content = b"0123456789" * 1000
        if self.path == "/nothing":
            self.send_response(204)
            self.end_headers()
            return
        self.send_response(200)
        if self.path == "/chunks":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for at in range(0, len(content), 999):
                piece = content[at : at + 999]
                self.wfile.write(b"%x;name=value\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\nTrailer: yes\r\n\r\n")
        elif self.path == "/until-the-end":
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(content)
        else:
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        host = self.headers["Host"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(host)))
        self.end_headers()
        self.wfile.write(host)
        self.server.got = content

    def log_message(self, *_words: object) -> None:
        pass


@pytest.fixture
def plain() -> Iterator[Account]:
    """Give a server of plain HTTP."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Plain) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield Account(f"http://127.0.0.1:{server.server_port}", "", "")
        server.shutdown()
        thread.join()


def test_messages_of_every_form_pass(plain: Account, proxied: Proxied) -> None:
    """Lengths, chunks, ends of connections and empty answers are told apart, on one connection."""
    proxy = proxied(plain, delay=0.001)
    netloc = urlsplit(proxy.url).netloc
    with closing(http.client.HTTPConnection(netloc, timeout=5)) as connection:
        for path in ("/chunks", "/nothing", "/length", "/chunks", "/until-the-end"):
            connection.request("GET", path)
            answer = connection.getresponse()
            size = len(answer.read())
            assert (0 if path == "/nothing" else 10_000) == size
    assert Count(5, 40_000) == proxy.counts["GET"]


def test_the_host_is_passed_on_as_it_was(plain: Account, proxied: Proxied) -> None:
    """Signatures cover it; a client that asks first whether it may send is told so."""
    proxy = proxied(plain)
    host, port = urlsplit(proxy.url).hostname, urlsplit(proxy.url).port
    with socket.create_connection((host, port), 5) as connection:
        connection.sendall(
            b"PUT /a HTTP/1.1\r\nHost: as.signed\r\nContent-Length: 5\r\n"
            b"Expect: 100-continue\r\nConnection: close\r\n\r\n"
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 Continue\r\n")
        connection.sendall(b"12345")
        with connection.makefile("rb") as answer:
            assert answer.read().endswith(b"\r\n\r\nas.signed")
    assert Count(1, 9) == proxy.counts["PUT"]


def test_a_refused_upload_is_not_sent(plain: Account, proxied: Proxied) -> None:
    """Who asks first is answered at once; who does not, after the body."""
    proxy = proxied(plain, down=True)
    netloc = urlsplit(proxy.url).netloc
    sizes = []
    for body, headers in (
        (None, {"Expect": "100-continue", "Content-Length": "5"}),
        (b"12345", {}),
    ):
        with closing(http.client.HTTPConnection(netloc, timeout=5)) as connection:
            connection.request("PUT", "/a", body, headers)
            answer = connection.getresponse()
            assert 503 == answer.status
            sizes.append(len(answer.read()))
    assert Count(2, sum(sizes)) == proxy.counts["PUT"]


@pytest.mark.parametrize("path", ["/length", "/chunks", "/until-the-end"])
def test_a_connection_is_reset_in_a_body(plain: Account, proxied: Proxied, path: str) -> None:
    """Some of the body arrives, then the connection is gone."""
    proxy = proxied(plain, reset=1)
    with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        once(proxy, path)
    assert 0 < proxy.counts["GET"].bytes < 10_000
    assert {"reset": 1} == proxy.met


def test_an_answer_without_a_body_is_reset_too(plain: Account, proxied: Proxied) -> None:
    """What was done is done, but its client does not hear of it."""
    proxy = proxied(plain, reset=1)
    with pytest.raises((ConnectionResetError, http.client.HTTPException)):
        once(proxy, "/nothing")
    assert {"reset": 1} == proxy.met


def test_an_answer_stalls(plain: Account, proxied: Proxied) -> None:
    """Half of the body arrives and no more, and the connection stays."""
    proxy = proxied(plain, stall=1)
    with pytest.raises(TimeoutError):
        once(proxy, "/length")
    assert Count(1, 5000) == proxy.counts["GET"]
    assert {"stall": 1} == proxy.met


def test_faults_do_not_depend_on_the_order_of_requests(plain: Account, proxied: Proxied) -> None:
    """The same requests are refused whichever comes first, as often as the probability says."""
    paths = [f"/length/{number}" for number in range(100)]
    refused = []
    for order in (paths, paths[::-1]):
        proxy = proxied(plain, refuse=0.3, seed=7)
        refused.append({path for path in order if once(proxy, path)[0] == 503})
        assert len(refused[-1]) == proxy.met["answered"]
        # Another try is another draw.
        assert {503, 200} == {once(proxy, path)[0] for path in refused[-1]}
    assert refused[0] == refused[1]
    assert 15 < len(refused[0]) < 45


def test_answers_are_chosen_by_path(plain: Account, proxied: Proxied) -> None:
    """A status of its own for some paths, always or so many times; settings change while it runs."""
    answers = [Answer("/secret", 403), Answer("a b", 500, times=2)]
    proxy = proxied(plain, answers=answers)
    assert [403, 403, 200] == [once(proxy, path)[0] for path in ("/secret/1", "/secret/1", "/a")]
    assert [500, 500, 200] == [once(proxy, "/a%20b")[0] for _ in range(3)]
    proxy.faults.down = True
    status, body = once(proxy, "/a")
    assert 503 == status
    assert b"<Code>SlowDown</Code>" in body
    proxy.faults.kinds = frozenset({"PUT"})
    assert 200 == once(proxy, "/a")[0]


def test_bursts_come_and_go(plain: Account, proxied: Proxied) -> None:
    """Within a burst every request is refused, between two none."""
    proxy = proxied(plain, burst=(10, 20))
    assert 503 == once(proxy, "/a")[0]
    proxy.faults.began -= 10
    assert 200 == once(proxy, "/a")[0]
    proxy.faults.began -= 10
    assert 503 == once(proxy, "/a")[0]


def test_every_piece_waits_its_delay(bucket: Bucket, proxied: Proxied) -> None:
    """A round trip to connect and one a request; requests at the same time wait together."""
    near = bucket.behind(proxied(bucket.server, delay=0.03))
    begun = time.monotonic()
    near.put("a.dcm", b"1")
    assert time.monotonic() - begun > 0.12
    store = open_store(near.server, near.name)
    begun = time.monotonic()
    obstore.get_ranges(store, near.prefix + "a.dcm", starts=[0], ends=[1])
    assert 0.12 < time.monotonic() - begun < 1


def test_a_client_that_tries_again_gets_through(bucket: Bucket, proxied: Proxied) -> None:
    """With a third of all answers spoilt, obstore gets every object."""
    for number in range(20):
        bucket.put(f"{number}.dcm", bytes([number]) * 20_000)
    proxy = proxied(bucket.server, reset=0.2, refuse=0.2)
    near = bucket.behind(proxy)
    assert [bytes([n]) * 20_000 for n in range(20)] == [near.get(f"{n}.dcm") for n in range(20)]
    assert {"reset", "answered"} == proxy.met.keys()
    proxy.close()
    proxy.close()


def test_options_are_in_the_words_of_s3fs(bucket: Bucket, proxied: Proxied) -> None:
    """The options of a server, and of a proxy before it, open it with s3fs."""
    url = bucket.put("a.dcm", b"123")
    for server in (bucket.server, proxied(bucket.server)):
        files = fsspec.filesystem("s3", skip_instance_cache=True, **storage_options(server))
        assert b"123" == files.cat_file(url)
