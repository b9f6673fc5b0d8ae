"""Secrets in URLs: reading uses them, and no byte that is kept, shown or said holds them."""

from __future__ import annotations

import base64
import json
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from buckets.test_web import FILES, Serve, Web, _Handler, serve  # noqa: F401 - fixture
from cli.conftest import Done, command, no_settings  # noqa: F401 - fixtures
from servers import Bucket, free_ports

import dcmdask
from dcmdask.catalog.catalog import Catalog
from dcmdask.config import RunOptions
from dcmdask.errors import DcmdaskError
from dcmdask.execution.pipeline import run
from dcmdask.execution.plan import plan
from dcmdask.remote import remote
from dcmdask.source.file_lists import inventory

SECRET = "q7Zx-Very/Secret+Indeed"  # noqa: S105 - of nobody
SPELLINGS = [
    SECRET,
    urlencode({"": SECRET})[1:],
    base64.b64encode(f"jane:{SECRET}".encode()).decode(),
    SECRET.replace("/", "%2F"),
]
SIGNED = {"X-Amz-Algorithm": "AWS4", "X-Amz-Date": "20240501", "X-Amz-Credential": "AKIDkey/x"}

Command = Callable[..., Done]
pytestmark = pytest.mark.usefixtures("forgotten")


@pytest.fixture
def forgotten() -> Iterator[None]:
    """Let no server be known from before."""
    yield
    remote._kept.cache_clear()


class _Guarded(_Handler):
    """Gives a file to who knows the password, or has a token or the signature of that file."""

    def do_GET(self) -> None:  # noqa: N802 - as its base calls it
        """Answer, or refuse."""
        path, _, query = self.path.partition("?")
        given = dict(parse_qsl(query))
        if not self._knows(path, given):
            self.server.asked.append((self.command, path, "refused"))
            self._send(self.server.refusal, b"")
            return
        rest = {n: v for n, v in given.items() if n != "token" and not n.startswith("X-Amz-")}
        self.path = f"{path}?{urlencode(rest)}" if rest else path
        super().do_GET()

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        if status == 301 and self.server.way == "token":
            # As web servers do: the query goes with it.
            headers["Location"] += f"?{urlencode({'token': SECRET})}"
        super()._send(status, body, **headers)

    def _knows(self, path: str, given: dict[str, str]) -> bool:
        way = self.server.way
        if way == "password":
            word = base64.b64encode(f"jane:{SECRET}".encode()).decode()
            return self.headers.get("Authorization") == f"Basic {word}"
        if way == "token":
            return given.get("token") == SECRET
        # As a store has it, which signs the method too.
        signed = given.get("X-Amz-Signature") == signature(path, given.get("id", ""))
        return signed and self.command == "GET"


def signature(path: str, number: str = "") -> str:
    """Give the signature of a file."""
    return f"{SECRET}{path}{number}"


@pytest.fixture
def guarded(serve: Serve) -> Callable[[str], Web]:  # noqa: F811 - the fixture
    """Start a web server that gives its files to whom it knows, in one of three ways."""

    def start(way: str, files: dict[str, bytes] | None = None) -> Web:
        server = serve({f"in/{n}": c for n, c in FILES.items()} if files is None else files)
        server.RequestHandlerClass = _Guarded
        server.way, server.refusal = way, 401 if way == "password" else 403
        return server

    return start


def url_of(server: Web, way: str, path: str = "/in/") -> str:
    """Give the URL of a place, with what opens it."""
    if way == "password":
        word = urlencode({"": SECRET})[1:]
        return server.url.replace("://", f"://jane:{word}@") + path
    return f"{server.url}{path}?token={urlencode({'': SECRET})[1:]}"


def texts_below(folder: Path) -> Iterator[tuple[str, str]]:
    """Give every file below a folder as text, tables with their values too."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path), path.read_bytes().decode("latin-1")
            if path.suffix == ".parquet":
                yield str(path), repr(pq.read_table(path).to_pylist())
            elif path.suffix == ".arrow":
                with pa.ipc.open_file(path) as reader:
                    yield str(path), repr(reader.read_all().to_pylist())


def tell_tales(texts: Iterator[tuple[str, str]]) -> list[str]:
    """Give where a secret stands."""
    return [place for place, text in texts if any(word in text for word in SPELLINGS)]


def said(done: Done) -> Iterator[tuple[str, str]]:
    """Give what a command printed."""
    yield from (("stdout", done.out), ("stderr", done.err))


@pytest.mark.parametrize("way", ["password", "token"])
def test_a_secret_in_a_source_is_used_and_never_kept(
    command: Command,  # noqa: F811 - the fixture
    guarded: Callable[[str], Web],
    tmp_path: Path,
    way: str,
) -> None:
    """Planned, read, shown, and read again, where nothing is new; no byte of it tells."""
    server = guarded(way)
    source, out, log = url_of(server, way), tmp_path / "out", tmp_path / "log"
    words = [command("plan", source, "--out", out)]
    words.append(command("run", source, "--out", out, "--log-file", log, "--requests", 4))
    words.append(command("run", source, "--out", out, "--json", "--requests", 4))
    words += [command(name, out) for name in ("show", "failures")]
    assert [0] * 5 == [one.code for one in words]
    assert [] == [tale for one in words for tale in tell_tales(said(one))]
    assert [] == tell_tales(texts_below(tmp_path))
    catalog = Catalog(out)
    assert 46 == catalog.instances.count_rows()
    assert f"{server.url}/in/P1/a.dcm" in catalog.instances.to_table()["url"].to_pylist()
    assert len(FILES) == json.loads(words[2].out)["run"]["changes"]["same"]
    assert not [one for one in server.asked if one[2] == "refused"]


@pytest.mark.parametrize("way", ["password", "token"])
@pytest.mark.parametrize("wrong", ["secret", "path", "host"])
def test_a_refusal_says_no_secret(
    command: Command,  # noqa: F811 - the fixture
    guarded: Callable[[str], Web],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    wrong: str,
) -> None:
    """Neither the line, nor the log, nor the traceback of whoever calls it from Python."""
    monkeypatch.setattr("dcmdask.remote.retry.ATTEMPTS", 1)
    monkeypatch.setattr("dcmdask.remote.remote.ATTEMPTS", 1)
    server = guarded(way)
    url = url_of(server, way, "/nowhere/" if wrong == "path" else "/in/")
    if wrong == "secret":
        server.way = "signed"
    if wrong == "host":
        url = url.replace(str(server.server_port), str(free_ports(1)[0]))
    done = command("run", url, "--out", tmp_path / "out", "--log-file", tmp_path / "log")
    # Whoever does not answer may answer later.
    assert (75 if wrong == "host" else 1, "") == (done.code, done.out)
    assert f"{server.url.rpartition(':')[0]}" in done.line
    assert [] == [*tell_tales(said(done)), *tell_tales(texts_below(tmp_path))]
    with pytest.raises(DcmdaskError) as caught:
        dcmdask.crawl(url, tmp_path / "other")
    assert [] == tell_tales(
        iter([("traceback", "".join(traceback.format_exception(caught.value)))])
    )


@pytest.fixture
def signed_list(tmp_path: Path) -> Callable[..., Path]:
    """Write a list of files, each signed by itself, as of one night."""

    def write(server: Web, paths: list[str], night: int = 1) -> Path:
        lines = []
        for path in paths:
            name, _, query = path.partition("?")
            given = {**dict(parse_qsl(query)), **SIGNED, "X-Amz-Expires": str(night)}
            given["X-Amz-Signature"] = signature(name, given.get("id", ""))
            lines.append(f"{server.url}{name}?{urlencode(given)}\n")
        (tmp_path / f"list{night}").write_text("".join(lines))
        return tmp_path / f"list{night}"

    return write


def test_a_list_of_signed_urls_is_known_the_next_night(
    guarded: Callable[..., Web], signed_list: Callable[..., Path], tmp_path: Path
) -> None:
    """By what of each is no secret: what selects a file stays, what opens it is another every night."""
    content = list(FILES.values())
    files = {f"get?id={number}": content[number] for number in range(len(content))}
    server = guarded("signed", files)
    paths = [f"/{name}" for name in files]
    out = tmp_path / "out"
    for night in (1, 2):
        options = RunOptions(out=str(out), from_list=str(signed_list(server, paths, night)))
        catalog = run([], options)
    assert (46, len(files)) == (catalog["counts"]["instances"], catalog["run"]["changes"]["same"])
    urls = {row["path"]: row["url"] for row in Catalog(out).instances.to_table().to_pylist()}
    assert f"{server.url}/get?id=0" == urls["get?id=0"]
    assert [] == tell_tales(texts_below(out))
    assert "X-Amz" not in "".join(text for _, text in texts_below(out))


def test_what_is_still_to_be_read_tells_no_signature(
    guarded: Callable[..., Web], signed_list: Callable[..., Path], tmp_path: Path
) -> None:
    """The manifest too, which a killed run leaves behind, holds what only that run can read."""
    server = guarded("signed")
    paths = [f"/in/{name}" for name in FILES]
    options = RunOptions(out=str(tmp_path / "out"), from_list=str(signed_list(server, paths)))
    (tmp_path / "plan").mkdir()
    assert len(FILES) == plan([], options, tmp_path / "plan").listing.files
    texts = [*texts_below(tmp_path / "plan")]
    assert any("P1/a.dcm" in text for _, text in texts)
    assert [] == tell_tales(iter(texts))
    assert not [text for _, text in texts if "X-Amz" in text]


def test_the_next_command_is_said_without_the_password_of_an_endpoint(
    command: Command,  # noqa: F811 - the fixture
    bucket: Bucket,
) -> None:
    """An endpoint is no secret, but for what may stand before its host."""
    bucket.put("in/a.dcm", FILES["P1/a.dcm"])
    options = {**bucket.options, "endpoint_url": bucket.server.url.replace("://", "://jane:pwpw@")}
    words = [f"--storage-option={name}={value}" for name, value in options.items()]
    done = command("run", f"{bucket.url}/in", "--out", f"{bucket.url}/out", *words)
    assert "pwpw" not in done.out + done.err


def test_files_that_differ_in_a_token_alone_stay_apart(
    guarded: Callable[..., Web], tmp_path: Path
) -> None:
    """Nothing else tells them: neither takes the other's place, and the token stands nowhere."""
    server = guarded("open", {})
    first, second = FILES["P1/a.dcm"], FILES["P1/b.dcm"]

    class _ByToken(_Guarded):
        def do_GET(self) -> None:  # noqa: N802 - as its base calls it
            """Give what the token is for."""
            token = dict(parse_qsl(self.path.partition("?")[2])).get("token", "")
            found = {f"{SECRET}1": first, f"{SECRET}2": second}.get(token)
            self._send(404, b"") if found is None else self._send_file(found)

    server.RequestHandlerClass = _ByToken
    token = urlencode({"": SECRET})[1:]
    lines = "".join(f"{server.url}/get?token={token}{number}\n" for number in (1, 2, 1))
    (tmp_path / "list").write_text(lines)
    out = tmp_path / "out"
    run([], RunOptions(out=str(out), from_list=str(tmp_path / "list")))
    table = Catalog(out).instances.to_table()
    assert 2 == len(set(table["url"].to_pylist())) == len(set(table["SOPInstanceUID"].to_pylist()))
    assert [] == tell_tales(texts_below(out))


def test_a_series_that_loses_what_described_it_is_read_with_the_signature_of_tonight(
    guarded: Callable[..., Web],
    signed_list: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is known is not listed for reading, and is reached all the same; so from a long list."""
    monkeypatch.setattr(inventory, "HELD", 2)
    files = {"in/a.dcm": FILES["P1/a.dcm"], "in/b.dcm": FILES["P1/b.dcm"], "in/c.dcm": b"none"}
    server = guarded("signed", files)
    out = tmp_path / "out"
    paths = [f"/{name}" for name in files]
    for night, listed in ((1, paths), (2, paths[1:])):
        options = RunOptions(out=str(out), from_list=str(signed_list(server, listed, night)))
        catalog = run([], options)
    assert (1, 0) == (catalog["counts"]["instances"], catalog["counts"]["failures"])
    assert ["in/b.dcm"] == [
        url.partition("://")[2].partition("/")[2]
        for url in Catalog(out).crawl_db["representative_url"].to_pylist()
    ]


def test_a_list_may_lie_behind_a_secret(
    command: Command,  # noqa: F811 - the fixture
    guarded: Callable[..., Web],
    tmp_path: Path,
) -> None:
    """It is read with it, and what is wrong with it is said without."""
    lines = {"list": b"in/P1/a.dcm\n", "bad.csv": b"path,size\nx,many\n"}
    server = guarded("token", {**{f"in/{n}": c for n, c in FILES.items()}, **lines})
    source = url_of(server, "token", "/")
    good = command("run", source, "--from-list", url_of(server, "token", "/list"), "--out", tmp_path / "out")  # fmt: skip
    bad = command("run", source, "--from-list", url_of(server, "token", "/bad.csv"), "--out", tmp_path / "out")  # fmt: skip
    assert (0, 2) == (good.code, bad.code)
    assert f"--from-list {server.url}/bad.csv, line 2" in bad.line
    assert [] == [
        *tell_tales(said(good)),
        *tell_tales(said(bad)),
        *tell_tales(texts_below(tmp_path)),
    ]


def test_keys_in_urls_of_a_bucket_open_source_and_output(
    command: Command,  # noqa: F811 - the fixture
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As some tools write them; for a source, an output, and who opens it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    bucket.put("in/a.dcm", FILES["P1/a.dcm"])
    keys = f"://{bucket.server.key}:{bucket.server.secret}@"
    source = f"{bucket.url}/in".replace("://", keys)
    out = f"{bucket.url}/out".replace("://", keys)
    endpoint = f"endpoint_url={bucket.server.url}"
    done = [command("run", source, "--out", out, "--storage-option", endpoint)]
    done += [
        command(name, out, "--storage-option", endpoint) for name in ("show", "failures", "show")
    ]
    assert [0] * 4 == [one.code for one in done]
    assert f"catalog: {bucket.url}/out" in done[0].out
    assert not [one for one in done if bucket.server.secret in one.out + one.err]
    assert 1 == dcmdask.open_catalog(out, [endpoint]).instances.count_rows()
    for name in bucket.keys():  # noqa: SIM118 - no mapping
        assert bucket.server.secret.encode() not in bucket.get(name)


def test_usage_errors_quote_no_secret(command: Command, tmp_path: Path) -> None:  # noqa: F811
    """Words of the command line that are URLs are said without."""
    url = f"https://jane:{SECRET}@host/in?token={SECRET}"
    for words in (
        ("show", tmp_path, url),
        ("run", url),
        ("run", tmp_path, "--out", url),
        ("run", tmp_path, "--out", tmp_path / "out", "--projectid-map", url),
        ("run", f"sftp://jane:{SECRET}@", "--out", tmp_path / "out"),
        ("run", f"nosuch://jane:{SECRET}@host/in", "--out", tmp_path / "out"),
    ):
        done = command(*words)
        assert done.code in (1, 2, 75)
        assert [] == tell_tales(said(done))
        assert "://" in done.line
