"""Stores that cannot be crawled: one line that says why and what to do, and no secret."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Done, command, no_settings  # noqa: F401 - fixtures
from servers import Bucket, free_ports
from source.making import instance

from dcmdask.remote import remote

Command = Callable[..., Done]
SECRET = "VerySecretIndeed"  # noqa: S105 - of nobody


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Take away the credentials of whoever runs the tests, and let no store be known from before."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    yield
    remote._kept.cache_clear()


@pytest.fixture
def run(command: Command, tmp_path: Path) -> Command:  # noqa: F811 - the fixture
    """Run over a URL with storage options; see that there is one line without a secret."""

    def run_with(url: str, options: dict[str, Any], *words: object) -> Done:
        settings = [f"--storage-option={name}={value}" for name, value in options.items()]
        done = command("run", url, "--out", tmp_path / "out", "-q", *settings, *words)
        if done.code:
            assert "" == done.out
            assert done.line.startswith("dcmdask: ")
            assert SECRET not in done.line
            assert not any(
                str(options.get(name, SECRET)) in done.line for name in ("key", "secret")
            )
            assert not (tmp_path / "out" / "catalog.json").exists()
        return done

    return run_with


def test_right_credentials_are_let_in(run: Command, bucket: Bucket) -> None:
    """Given as options, by their names of s3fs or their aliases, for any protocol or for one."""
    bucket.put("a.dcm", instance())
    assert 0 == run(bucket.url, bucket.options).code
    others = {
        "username": bucket.server.key,
        "s3:password": bucket.server.secret,
        "endpoint_url": bucket.server.url,
        "gs:token": "not for S3",
    }
    assert 0 == run(bucket.url, others).code


def test_credentials_of_the_environment_are_let_in(
    run: Command, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As every other program of AWS finds them."""
    bucket.put("a.dcm", instance())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bucket.server.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", bucket.server.secret)
    assert 0 == run(bucket.url, {"endpoint_url": bucket.server.url}).code


@pytest.mark.parametrize("below", ["", "/a.dcm"], ids=["prefix", "object"])
@pytest.mark.parametrize("which", ["key", "secret", "none", "anon"])
def test_others_are_not_let_in(run: Command, bucket: Bucket, which: str, below: str) -> None:
    """Another key, another secret, none, or anonymous where it is private."""
    bucket.put("a.dcm", instance())
    options = dict(bucket.options)
    if which in options:
        options[which] = SECRET
    else:
        del options["key"], options["secret"]
        if which == "anon":
            options["anon"] = "true"
    done = run(bucket.url + below, options)
    assert 1 == done.code
    assert done.line.startswith(f"dcmdask: source {bucket.url}")
    why = "no credentials were found" if which == "none" else "the store denies access"
    assert f": {why}; check the credentials (environment, profile, --storage-option)" in done.line


def test_what_is_not_there_is_said(run: Command, bucket: Bucket) -> None:
    """No such bucket, no such prefix, no such object."""
    bucket.put("a.dcm", instance())
    done = run("s3://no-such-bucket/x", bucket.options)
    assert 1 == done.code
    assert "source s3://no-such-bucket/x: there is no such bucket; check the URL" in done.line
    for name in ("nothing", "nothing/", "a.dcm/", "a.dc"):
        done = run(f"{bucket.url}/{name}", bucket.options)
        assert 1 == done.code
        assert "no such object, and none below it; check the URL" in done.line


@pytest.mark.parametrize(
    "url", ["s3://", "s3:///a", "s3://Not_A_Name!/a", "nonsense://a/b", "x://a"]
)
def test_a_url_that_cannot_be_meant_is_said(run: Command, bucket: Bucket, url: str) -> None:
    """No bucket, no name of a bucket, no protocol."""
    done = run(url, bucket.options)
    assert done.code in (1, 2)
    assert not url.startswith("s3:///") or f"source {url} names no bucket" in done.line


@pytest.mark.parametrize("below", ["", "/below"])
def test_an_endpoint_that_does_not_answer_is_said(
    run: Command, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    """One line and exit code 75, after a time that the settings bound."""
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    (port,) = free_ports(1)
    options = {"key": "AKIAKEY", "secret": SECRET, "endpoint_url": f"http://127.0.0.1:{port}"}
    done = run(f"s3://tests{below}", options, "--read-timeout", "1")
    assert 75 == done.code
    words = "store s3://tests: it does not answer (the connection failed); check the network"
    assert words in done.line


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("sekret", "--storage-option sekret for s3: use one of key, secret, token"),
        ("s3:sekret", "--storage-option sekret for s3: use one of key, secret, token"),
        ("anon", "write true or false"),
    ],
)
def test_an_option_that_is_not_known_is_said(
    run: Command, bucket: Bucket, option: str, says: str
) -> None:
    """Without its value: it may be a secret."""
    done = run(bucket.url, {option: "perhaps" if option == "anon" else SECRET})
    assert 2 == done.code
    assert says in done.line


def test_an_option_without_a_value_is_said(command: Command) -> None:  # noqa: F811
    """Without the word either: a secret may have been written for both."""
    done = command("run", "s3://tests/a", "--storage-option", SECRET)
    assert 2 == done.code
    assert "--storage-option without =: write KEY=VALUE" in done.line
    assert SECRET not in done.line


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [
        ("s3://tests/a", "obstore", "s3"),
        ("s3://tests/a", "botocore.session", "s3"),
        ("gs://tests/a", "obstore.store", "gcs"),
        ("az://tests/a", "obstore.store", "azure"),
        ("http://127.0.0.1:1/a", "aiohttp", "http"),
    ],
)
def test_an_extra_that_is_missing_is_said(
    run: Command, monkeypatch: pytest.MonkeyPatch, url: str, module: str, extra: str
) -> None:
    """With the command that installs it."""
    for name in list(sys.modules):
        if name.startswith((module, "fsspec.implementations.http", "dcmdask.remote.")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    done = run(url, {})
    assert 2 == done.code
    scheme = url.partition("://")[0]
    assert f"{scheme}:// needs what is not installed: pip install 'dcmdask[{extra}]'" in done.line
