"""Places as users write them: URLs told from paths, and taken apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmdask.remote.address import Address, below, is_url, local_path, url_of


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("s3://bucket", True),
        ("S3://bucket/a b", True),
        ("gs://b/a\nb", True),
        ("http://host:80/x", True),
        ("memory://a", True),
        ("git+ssh://host/x", True),
        ("file:///in", False),
        ("FILE:///in", False),
        ("local://in", False),
        ("/in/s3://x", False),
        ("in", False),
        ("C:\\in", False),
        ("c://in", False),
        ("s3:/bucket", False),
        ("", False),
    ],
)
def test_urls_are_told_from_paths(place: str, expected: bool) -> None:
    """A drive is no protocol, and files of this machine are no containers."""
    assert expected == is_url(place)


def test_local_urls_are_paths() -> None:
    """With what is percent-encoded in them; a path is left as it is."""
    assert "/in/a b" == local_path("file:///in/a%20b")
    assert "/in/a%20b" == local_path("/in/a%20b")
    assert "s3://b/a%20b" == local_path("s3://b/a%20b")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://bucket", ("s3", "bucket", "")),
        ("s3://bucket/", ("s3", "bucket", "")),
        ("s3://bucket//a", ("s3", "bucket", "/a")),
        ("s3a://bucket/a/b//", ("s3", "bucket", "a/b")),
        ("gcs://bucket/a", ("gs", "bucket", "a")),
        ("abfss://c@account.dfs.core.windows.net/a", ("az", "c@account.dfs.core.windows.net", "a")),
        ("HTTP://host:80/a?b#c", ("http", "host:80", "a?b#c")),
        ("memory://a/b", ("memory", "", "a/b")),
        ("memory:///a/b/", ("memory", "", "a/b")),
        ("sftp://me@host:22/a%20b", ("sftp", "me@host:22", "a%20b")),
    ],
)
def test_urls_are_taken_apart(url: str, expected: tuple[str, str, str]) -> None:
    """Under the names that fsspec has for protocols; keys are kept as they are."""
    address = Address.parse(url)
    assert expected == (address.protocol, address.container, address.key)


def test_an_address_has_a_name() -> None:
    """The last part of its key, or its container, or its protocol."""
    urls = ("s3://b/x/y.zip", "s3://b", "memory://", "http://host:80")
    assert ["y.zip", "b", "memory", "host:80"] == [Address.parse(url).name for url in urls]


keys = st.text(st.sampled_from("ab/ #%?.\u00e4"), max_size=12).map(lambda key: key.rstrip("/"))


@given(key=keys, container=st.sampled_from(["s3://b", "gs://b", "http://host:80"]))
def test_urls_of_keys_are_taken_apart_again(key: str, container: str) -> None:
    """Whatever a key looks like, but for slashes at its end."""
    address = Address.parse(url_of(container, key))
    assert (container, key) == (address.root, address.key)
    assert url_of(container, key) == address.url


@given(prefix=keys, name=keys.filter(bool))
def test_names_below_a_prefix_begin_with_it(prefix: str, name: str) -> None:
    """And end as they are."""
    key = below(prefix, name)
    assert key.endswith(name)
    assert key.removeprefix(f"{prefix}/" if prefix else "") == name
