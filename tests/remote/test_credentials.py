"""Secrets in URLs are parted from what names a place, whatever else stands in them."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dcmdask.config import RunOptions
from dcmdask.errors import UsageError
from dcmdask.listing.listing import with_storage
from dcmdask.remote.credentials import parted, public_url, redacted, storage_of
from dcmdask.remote.sealing import SEAL, mark_of, new_seal, sealed, unsealed
from dcmdask.remote.web_session import web_secrets

SAS = "sv=2022-11-02&ss=b&srt=co&sp=rl&se=2024-06-01T00%3A00Z&sig=abc%2Fdef%3D"


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("https://jane:pw@host:8443/in/a.zip", "https://host:8443/in/a.zip"),
        ("https://token@host/in", "https://host/in"),
        ("https://jane:p/w@host/in", "https://host/in"),
        ("sftp://jane:p%40w@host:22/in", "sftp://jane@host:22/in"),
        ("sftp://jane@host/in", "sftp://jane@host/in"),
        ("s3://AKIA:abc/def@bucket/in", "s3://bucket/in"),
        ("s3://bucket/in/a@b:c.dcm", "s3://bucket/in/a@b:c.dcm"),
        ("s3://bucket/a?b=1&token=c.dcm", "s3://bucket/a?b=1&token=c.dcm"),
        ("abfss://c@account.dfs.core.windows.net/in", "abfss://c@account.dfs.core.windows.net/in"),
        (f"az://container/in?{SAS}", "az://container/in"),
        (
            f"https://a.blob.core.windows.net/c/x.zip?{SAS}",
            "https://a.blob.core.windows.net/c/x.zip",
        ),
        (f"https://h/x?snapshot=2024&{SAS}", "https://h/x?snapshot=2024"),
        ("https://h/x?se=1&sp=2", "https://h/x?se=1&sp=2"),
        (
            "https://b.s3.amazonaws.com/a.dcm?versionId=7&X-Amz-Signature=1&X-Amz-Expires=2",
            "https://b.s3.amazonaws.com/a.dcm?versionId=7",
        ),
        ("https://h/a?AWSAccessKeyId=1&Expires=2&Signature=3", "https://h/a"),
        ("https://h/a?Expires=2&id=3", "https://h/a?Expires=2&id=3"),
        ("https://h/a?x-goog-signature=1&X-Goog-Date=2", "https://h/a"),
        ("https://h/wado?objectUID=1.2&access_token=x", "https://h/wado?objectUID=1.2"),
        ("https://h/a?accessToken=x&apiKey=y&id=1#f", "https://h/a?id=1#f"),
        ("https://h/list?pageToken=x&key=path/in", "https://h/list?pageToken=x&key=path/in"),
        ("https://h/a?token=", "https://h/a?token="),
        ("https://h/a?client_secret=x", "https://h/a"),
        ("zip://in/a.dcm::https://u:p@h/a.zip?sig=1", "zip://in/a.dcm::https://h/a.zip"),
        ("/in/https:/a", "/in/https:/a"),
        ("file:///in/a?token=b", "file:///in/a?token=b"),
        ("C:\\in", "C:\\in"),
    ],
)
def test_what_names_a_place_stays(url: str, public: str) -> None:
    """And what opens it goes; a path, and a key that looks like a query, are left alone."""
    assert public == public_url(url) == public_url(public)


@given(
    # More than eight characters, also where it is quoted; a surrogate cannot be.
    secret=st.text(st.characters(exclude_categories=["Cs"]), min_size=9, max_size=20),
    name=st.sampled_from(["token", "sig", "X-Amz-Signature", "password", "api_key"]),
    before=st.text("abc/=&.:", max_size=8),
    protocol=st.sampled_from(["http", "https"]),
)
def test_no_text_that_holds_a_url_tells_its_secret(
    secret: str, name: str, before: str, protocol: str
) -> None:
    """Wherever it stands in the URL, and that in a text."""
    word = quote(secret, safe="")
    for url in (
        f"{protocol}://jane:{word}@host/{before}",
        f"{protocol}://host/{before}?a=1&{name}={word}&b=2",
    ):
        assert word not in public_url(url)
        assert word not in redacted(f"source {url}: it is not there ('{url}')")
        found = parted(url)
        assert secret == found.password or word in found.query


def test_a_secret_is_for_its_place_alone() -> None:
    """The nearest of several; not for a host or a folder whose name only begins so."""
    said = [
        *storage_of(parted("https://jane:pw@host/a/?token=1")),
        *storage_of(parted("https://host/a/date=2024/b?token=2")),
        *storage_of(parted("https://other/?token=3")),
    ]
    pairs = [(one.partition("=")[0], one.partition("=")[2]) for one in said]
    secrets = web_secrets("https://host", pairs)

    def of(url: str) -> tuple[str, bool]:
        found = next((one for one in secrets if one.is_of(url)), None)
        return ("", False) if found is None else (found.query, bool(found.header))

    assert ("token=1", True) == of("https://host/a/x.dcm")
    assert ("token=2", True) == of("https://host/a/date=2024/b/x.dcm")
    assert ("", True) == of("https://host/ab")
    assert ("", False) == of("https://hosting/a/x.dcm")


def test_one_place_has_one_user() -> None:
    """Two would read something else each; which, nobody could tell."""
    options = with_storage(RunOptions(), storage_of(parted("https://a:b@host/x")))
    assert options == with_storage(options, storage_of(parted("https://a:b@host/y")))
    with pytest.raises(
        UsageError, match=r"https://host is named with two different users"
    ) as caught:
        with_storage(options, storage_of(parted("https://a:secret@host/y")))
    assert "secret" not in str(caught.value)


@given(st.text())
def test_what_is_sealed_opens_with_the_key_alone(text: str) -> None:
    """And looks another way every time."""
    assume("\ud800" > max(text, default=" "))
    option = new_seal()
    key = option.partition("=")[2]
    content = sealed(text, key)
    assert text == unsealed(content, [("key", "x"), (SEAL, key)])
    assert content != sealed(text, key)
    assert not text or text.encode() not in content or len(text) < 3


def test_marks_tell_secrets_apart_and_no_secret() -> None:
    """They are digests, the same for the same."""
    assert mark_of("a") == mark_of("a") != mark_of("b")
    assert "secret" not in mark_of("secret")
