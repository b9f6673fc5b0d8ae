"""Takes the port of an HTTP server on this machine; gives another before it that counts, delays and fails.

It parses no more than it needs to tell one message from the next: a request costs it some 150 µs.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import unquote, urlsplit


class Server(Protocol):
    """What answers like S3.

    Attributes
    ----------
    url : str
        Where: ``http://127.0.0.1:8333``.
    key, secret : str
        Of the one account it knows.
    """

    url: str
    key: str
    secret: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A status given instead of passing a request on.

    Attributes
    ----------
    text : str
        Stands somewhere in the path of the request, query included.
    status : int
    times : int or None
        How often it is given for one and the same request; then it is passed on. None: always.
    """

    text: str
    status: int
    times: int | None = None


@dataclass(slots=True)
class Faults:
    """What goes wrong; each field may be set while the proxy runs.

    What is drawn depends on the seed, on the request (method, path, range) and on how often it was
    made before, not on the order in which requests arrive.

    Attributes
    ----------
    delay : float
        Seconds that every piece waits, each way. A new connection waits for a round trip more, as
        its handshake would.
    reset : float
        Probability that a connection is reset in the middle of a body; of the head, where there is
        no body.
    stall : float
        Probability that the rest of an answer, from the middle of its body on, never comes.
    refuse : float
        Probability of 503.
    burst : tuple of float or None
        503 to every request for so many seconds, every so many seconds; counted from `began`.
    down : bool
        503 to every request.
    answers : list of Answer
        Other statuses, by path; the first that fits.
    kinds : frozenset of str or None
        Kinds of requests that meet any of this but the delay; None: all. See `Proxy.counts`.
    seed : int
    began : float
        When bursts began to be counted, by `time.monotonic`.
    """

    delay: float = 0
    reset: float = 0
    stall: float = 0
    refuse: float = 0
    burst: tuple[float, float] | None = None
    down: bool = False
    answers: list[Answer] = field(default_factory=list)
    kinds: frozenset[str] | None = None
    seed: int = 0
    began: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Count:
    """Requests of one kind, and the bytes of the bodies that were passed back for them."""

    requests: int = 0
    bytes: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.requests + other.requests, self.bytes + other.bytes)

    def __sub__(self, other: Count) -> Count:
        return Count(self.requests - other.requests, self.bytes - other.bytes)


@dataclass(slots=True)
class Exchange:
    """One request and what came of it.

    Attributes
    ----------
    kind : str
        The method, but LIST for a GET that lists.
    method, path, range : str
        As asked; the range is empty if none was.
    status : int
        0 as long as there is no answer.
    bytes : int
        Of the body that was passed back.
    fault : str
        "reset" or "stall" if it is to end so, "answered" if it was not passed on, else empty.
    """

    kind: str
    method: str
    path: str
    range: str
    status: int = 0
    bytes: int = 0
    fault: str = ""
    _own: bytes = b""
    _is_due: bool = False
    _cut: int | None = None


class FaultProxy:
    """An HTTP proxy on loopback before a server, in a thread of its own.

    Parameters
    ----------
    server : Server
        Passed on to. Key and secret are its own: the host that a client signed is passed on as it is.
    **faults
        Fields of `Faults`.

    Attributes
    ----------
    url, key, secret : str
        As of any `Server`.
    faults : Faults
    log : list of Exchange or None
        All exchanges, in the order of the requests; None, as at first, if they are not kept.
    """

    def __init__(self, server: Server, **faults: object) -> None:
        parts = urlsplit(server.url)
        self.target = (parts.hostname or "", parts.port or 80)
        self.key, self.secret = server.key, server.secret
        self.faults = Faults(**faults)  # type: ignore[arg-type]
        self.log: list[Exchange] | None = None
        self._requests: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._faults_met: Counter[str] = Counter()
        self._made: Counter[bytes] = Counter()
        self._answers_given: Counter[bytes] = Counter()
        self.connections: set[asyncio.BaseTransport] = set()
        self.loop = asyncio.new_event_loop()
        self._server = self.loop.run_until_complete(
            self.loop.create_server(lambda: _Client(self), "127.0.0.1", 0, backlog=1024)
        )
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._thread = threading.Thread(target=self.loop.run_forever, name="faultproxy")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all connections and the thread; a second time does nothing."""
        if self.loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._close(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    async def _close(self) -> None:
        self._server.close()
        for transport in list(self.connections):
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # Transports close their sockets one turn of the loop after they are told to.
        await asyncio.sleep(0)

    @property
    def counts(self) -> dict[str, Count]:
        """Give requests and bytes by kind: GET, HEAD, PUT, POST, DELETE and LIST.

        Requests count when their head is there, those that are not passed on too. Bytes are of the
        bodies of answers, as they are handed to the client: without the framing of chunks.
        """
        requests, sizes = dict(self._requests), dict(self._bytes)
        return {kind: Count(number, sizes.get(kind, 0)) for kind, number in requests.items()}

    @property
    def met(self) -> dict[str, int]:
        """Give how often each fault happened: "reset", "stall", "answered"."""
        return dict(self._faults_met)

    def clear(self) -> None:
        """Count from nothing, and empty the log if there is one."""
        for counter in (self._requests, self._bytes, self._faults_met):
            counter.clear()
        self._made.clear()
        self._answers_given.clear()
        if self.log is not None:
            self.log = []

    def _begin(self, exchange: Exchange) -> None:
        """Count a request, and settle what comes of it."""
        self._requests[exchange.kind] += 1
        if self.log is not None:
            self.log.append(exchange)
        faults = self.faults
        if faults.kinds is not None and exchange.kind not in faults.kinds:
            return
        certain = self._is_answered(exchange, faults)
        if certain is not None:
            self._answer(exchange, certain)
            return
        if not (faults.reset or faults.stall or faults.refuse):
            return
        words = _words(exchange)
        self._made[words] += 1
        drawn = hashlib.blake2b(
            b"%d %d " % (faults.seed, self._made[words]) + words, digest_size=24
        ).digest()
        refuse, stall, reset = (part / 2**64 for part in struct.unpack("<3Q", drawn))
        if refuse < faults.refuse:
            self._answer(exchange, 503)
        elif reset < faults.reset:
            exchange.fault = "reset"
        elif stall < faults.stall:
            exchange.fault = "stall"

    def _is_answered(self, exchange: Exchange, faults: Faults) -> int | None:
        """Give the status that a request is answered with for sure, if any."""
        for number, answer in enumerate(faults.answers):
            if answer.text not in exchange.path and answer.text not in unquote(exchange.path):
                continue
            if answer.times is None:
                return answer.status
            words = b"%d " % number + _words(exchange)
            self._answers_given[words] += 1
            if self._answers_given[words] <= answer.times:
                return answer.status
        return 503 if faults.down or _in_burst(faults) else None

    def _answer(self, exchange: Exchange, status: int) -> None:
        exchange.status = status
        exchange.fault = "answered"
        exchange._own = _error(status, exchange)
        self._faults_met["answered"] += 1

    def _passed(self, exchange: Exchange, size: int) -> None:
        """Count bytes of a body."""
        exchange.bytes += size
        self._bytes[exchange.kind] += size


def _words(exchange: Exchange) -> bytes:
    """Give what makes one request the same as another."""
    return f"{exchange.method} {exchange.path} {exchange.range}".encode()


def _in_burst(faults: Faults) -> bool:
    if faults.burst is None:
        return False
    lasts, every = faults.burst
    return (time.monotonic() - faults.began) % every < lasts


_CODES = {
    403: ("Forbidden", "AccessDenied"),
    404: ("Not Found", "NoSuchKey"),
    412: ("Precondition Failed", "PreconditionFailed"),
    429: ("Too Many Requests", "SlowDown"),
    500: ("Internal Server Error", "InternalError"),
    503: ("Slow Down", "SlowDown"),
}


def _error(status: int, exchange: Exchange) -> bytes:
    """Give the answer that S3 gives in such a case."""
    reason, code = _CODES.get(status, ("Error", "Error"))
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code>'
        f"<Message>Said by the proxy of the tests.</Message><RequestId>proxy</RequestId></Error>"
    ).encode()
    head = (
        f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/xml\r\n"
        f"Content-Length: {len(body)}\r\nx-amz-request-id: proxy\r\n\r\n"
    ).encode()
    return head if exchange.method == "HEAD" else head + body


_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r]*chunked", re.IGNORECASE)
_RANGE = re.compile(rb"\r\nrange:[ \t]*([^\r]*)", re.IGNORECASE)
_EXPECT = re.compile(rb"\r\nexpect:[ \t]*100-continue", re.IGNORECASE)
_LISTS = re.compile(rb"[?&](?:list-type=|prefix=|delimiter=|comp=list)")

_FOREVER = 1 << 62
"""Bytes of a body that ends with its connection."""


class _Body:
    """Tells where a body ends.

    Attributes
    ----------
    left : int
        Bytes that are still to come; of a chunked one, 1 until its end was seen.
    """

    __slots__ = ("_chunk", "_chunked", "_line", "_trailing", "left")

    def __init__(self, head: bytes, otherwise: int) -> None:
        length = _LENGTH.search(head)
        self._chunked = length is None and _CHUNKED.search(head) is not None
        # Bytes of the chunk still to come, with the end of its line; 0: a line is to come.
        self._chunk = 0
        self._line = b""
        self._trailing = False
        if self._chunked:
            self.left = 1
        else:
            self.left = int(length.group(1)) if length else otherwise

    @property
    def length(self) -> int | None:
        """Give the bytes it has, if that was said."""
        return None if self._chunked or self.left >= _FOREVER else self.left

    def take(self, data: bytes) -> tuple[int, int]:
        """Give how many of some bytes belong to it, and how many of these are content."""
        if self._chunked:
            return self._take_chunks(data)
        size = min(len(data), self.left)
        if self.left < _FOREVER:
            self.left -= size
        return size, size

    def _take_chunks(self, data: bytes) -> tuple[int, int]:
        at = content = 0
        while at < len(data) and self.left:
            if self._chunk:
                size = min(self._chunk, len(data) - at)
                # The last two are the end of the line.
                content += max(0, min(size, self._chunk - 2))
                self._chunk -= size
                at += size
                continue
            end = data.find(b"\n", at)
            if end < 0:
                self._line += data[at:]
                return len(data), content
            line = (self._line + data[at:end]).strip()
            self._line, at = b"", end + 1
            if self._trailing:
                self.left = 1 if line else 0
            else:
                size = int(line.partition(b";")[0], 16)
                self._chunk = size + 2 if size else 0
                self._trailing = size == 0
        return at, content


class _Side(asyncio.Protocol):
    """One of the two connections that a client's way to the server is made of."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None
        self.lost = False
        self._head = b""
        self._waiting = 0
        self._last = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.proxy.connections.add(transport)

    def connection_lost(self, _error: Exception | None) -> None:
        self.lost = True
        if self.transport is not None:
            self.proxy.connections.discard(self.transport)

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Do something after so many seconds, and after all that was asked for before."""
        if seconds <= 0 and not self._waiting:
            call()
            return
        # The loop does not say which of two calls for the same moment comes first.
        self._last = max(self.proxy.loop.time() + seconds, self._last + 1e-6)
        self._waiting += 1
        self.proxy.loop.call_at(self._last, self._due, call)

    def _due(self, call: Callable[[], None]) -> None:
        self._waiting -= 1
        call()

    def send(self, data: bytes, seconds: float) -> None:
        """Send some bytes after so many seconds."""
        if data:
            self.later(seconds, lambda: self._write(data))

    def _write(self, data: bytes) -> None:
        if self.transport is not None and not self.lost:
            self.transport.write(data)

    def close(self) -> None:
        """Close the connection once all is sent."""
        if self.transport is not None:
            self.transport.close()

    def reset(self) -> None:
        """Close the connection as a host does that knows nothing of it any more."""
        if self.transport is not None and not self.lost:
            with suppress(OSError):
                self.transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            self.transport.abort()

    def split_head(self, data: bytes) -> tuple[bytes, bytes]:
        """Give the next head and what follows; an empty one as long as it is not whole."""
        data = self._head + data if self._head else data
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            self._head = data
            return b"", b""
        self._head = b""
        return data[:end], data[end:]


class _Client(_Side):
    """The connection from a client."""

    def __init__(self, proxy: FaultProxy) -> None:
        super().__init__(proxy)
        self.pending: deque[Exchange] = deque()
        self._body: _Body | None = None
        self._exchange: Exchange | None = None
        self._is_new = True

    def data_received(self, data: bytes) -> None:
        passed = []
        while data:
            if self._exchange is None:
                head, data = self.split_head(data)
                if not head:
                    break
                self._body = _Body(head, 0)
                self._exchange = self._begin(head)
                size = 0
                if not self._exchange._own:
                    passed.append(head)
                elif self._body.left and _EXPECT.search(head):
                    # Its body will not be sent to one who refuses it.
                    self._answered(self._exchange)
                    self.later(0, self.close)
                    break
            else:
                assert self._body is not None
                size, _ = self._body.take(data)
                if not self._exchange._own:
                    passed.append(data[:size])
                data = data[size:]
            if self._body.left == 0:
                if self._exchange._own:
                    self._answered(self._exchange)
                self._exchange = None
        if passed:
            self._pass_on(b"".join(passed))

    def _begin(self, head: bytes) -> Exchange:
        method, path, _ = head.partition(b"\r\n")[0].split(b" ", 2)
        ranged = _RANGE.search(head)
        exchange = Exchange(
            "LIST" if method == b"GET" and _LISTS.search(path) else method.decode("latin-1"),
            method.decode("latin-1"),
            path.decode("latin-1"),
            ranged.group(1).decode("latin-1") if ranged else "",
        )
        self.proxy._begin(exchange)
        self.pending.append(exchange)
        return exchange

    def _pass_on(self, data: bytes) -> None:
        if self.other is None:
            self.other = _Upstream(self.proxy, self)
            self.other.connect()
        self.other.send(data, self._way())

    def _way(self) -> float:
        """Give the seconds of the way to the server."""
        ways = 3 if self._is_new else 1
        self._is_new = False
        return ways * self.proxy.faults.delay

    def _answered(self, exchange: Exchange) -> None:
        """Let an answer of our own go when its turn comes."""
        exchange._is_due = True
        self.answer_due(self._way())

    def answer_due(self, seconds: float = 0) -> None:
        """Send the answers of our own whose turn it is."""
        while self.pending and self.pending[0]._is_due:
            exchange = self.pending.popleft()
            size = len(exchange._own.partition(b"\r\n\r\n")[2])
            self.proxy._passed(exchange, size)
            self.send(exchange._own, seconds + self.proxy.faults.delay)

    def connection_lost(self, _error: Exception | None) -> None:
        super().connection_lost(_error)
        if self.other is not None:
            self.other.lost_other()


class _Upstream(_Side):
    """The connection to the server, of one client."""

    def __init__(self, proxy: FaultProxy, client: _Client) -> None:
        super().__init__(proxy)
        self.other: _Client = client
        self._body: _Body | None = None
        self._has_failed = False
        self._early: list[bytes] = []
        self._task: asyncio.Task[None] | None = None

    def connect(self) -> None:
        """Begin to connect; what is sent meanwhile waits."""
        self._task = self.proxy.loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            await self.proxy.loop.create_connection(lambda: self, *self.proxy.target)
        except OSError:
            self.other.reset()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.other.lost:
            self.lost_other()
        elif self._early:
            self._write(b"".join(self._early))

    def _write(self, data: bytes) -> None:
        if self.transport is None:
            self._early.append(data)
        else:
            super()._write(data)

    def lost_other(self) -> None:
        """Go with the client."""
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._has_failed:
            return
        passed: list[bytes] = []
        while data and self.other.pending:
            exchange = self.other.pending[0]
            if self._body is None:
                head, data = self.split_head(data)
                if not head:
                    break
                exchange.status = int(head[9:12])
                passed.append(head)
                if exchange.status < 200:
                    continue
                self._body = _Body(head, _FOREVER)
                if exchange.method == "HEAD" or exchange.status in (204, 304):
                    self._body.left = 0
                if exchange.fault:
                    if self._body.left == 0:
                        passed[-1] = head[: len(head) // 2]
                        self._fail(exchange, passed)
                        return
                    exchange._cut = (self._body.length or 0) // 2
            else:
                size, content = self._body.take(data)
                if exchange._cut is not None and exchange.bytes + content >= exchange._cut:
                    # Of chunks, whose sum is not known before their end, half of the first piece.
                    size = exchange._cut - exchange.bytes if exchange._cut else size // 2
                    self.proxy._passed(exchange, size)
                    passed.append(data[:size])
                    self._fail(exchange, passed)
                    return
                self.proxy._passed(exchange, content)
                passed.append(data[:size])
                data = data[size:]
            if self._body.left == 0:
                self._end(passed)
        self._pass_back(passed)

    def _end(self, passed: list[bytes]) -> None:
        """Take an exchange as done."""
        self._body = None
        self.other.pending.popleft()
        if self.other.pending and self.other.pending[0]._is_due:
            self._pass_back(passed)
            passed.clear()
            self.other.answer_due()

    def _pass_back(self, passed: list[bytes]) -> None:
        self.other.send(b"".join(passed), self.proxy.faults.delay)

    def _fail(self, exchange: Exchange, passed: list[bytes]) -> None:
        """Pass back what is there, then end as was drawn."""
        self._has_failed = True
        self._pass_back(passed)
        self.proxy._faults_met[exchange.fault] += 1
        if exchange.fault == "reset":
            self.other.later(self.proxy.faults.delay, self.other.reset)
        elif self.transport is not None:
            self.transport.pause_reading()

    def connection_lost(self, _error: Exception | None) -> None:
        super().connection_lost(_error)
        if self._has_failed or self.other.lost:
            return
        is_within = bool(self.other.pending) and (
            self._body is None or self._body.length is not None or self._body.left < _FOREVER
        )
        end = self.other.reset if is_within else self.other.close
        self.other.later(self.proxy.faults.delay, end)
