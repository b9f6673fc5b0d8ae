"""Take URLs as users write them; part what is secret in them from what names a place.

A password before the host, a signature or a token in the query: reading uses them, as storage options
of that one place. Everything that is kept, shown or said has the URL without.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import unquote, unquote_plus

from dcmdask.errors import DcmdaskError
from dcmdask.remote.address import WEB, Address, is_url

USER, PASSWORD, QUERY = "user", "password", "query"

_CHAINED = re.compile(r"::(?=[A-Za-z][A-Za-z0-9+.-]*://)")
_URL = re.compile(
    rf"([A-Za-z][A-Za-z0-9+.-]*)://((?:(?!{_CHAINED.pattern}|[\s\"'<>]).)*)", re.DOTALL
)
# https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html, and Google's like it.
_SIGNED = ("x-amz-", "x-goog-", "x-oss-")
# Beside a Signature: S3 before version 4, CloudFront, Google before version 4, Aliyun.
_BESIDE_SIGNATURE = frozenset(
    ("expires", "awsaccesskeyid", "googleaccessid", "key-pair-id", "policy", "ossaccesskeyid")
)
# Beside a sig: shared access signatures of Azure, of a service, an account and a user.
_BESIDE_SIG = frozenset(
    [
        "sv",
        "ss",
        "srt",
        "sp",
        "se",
        "st",
        "spr",
        "sip",
        "sr",
        "si",
        "skoid",
        "sktid",
        "skt",
        "ske",
        "sks",
        "skv",
        "saoid",
        "suoid",
        "scid",
        "sdd",
        "ses",
    ]
)
_ENDS = ("token", "secret", "password", "signature", "apikey", "api_key", "api-key")
_NAMES = frozenset(
    [
        "sig",
        "pass",
        "passwd",
        "pwd",
        "passphrase",
        "auth",
        "authorization",
        "bearer",
        "jwt",
        "sas",
        "ticket",
        "credential",
        "credentials",
        "accesskey",
        "access_key",
        "sessionid",
        "session_id",
        "jsessionid",
    ]
)
_GOOGLE_KEY = re.compile(r"AIza[0-9A-Za-z_-]{35}")


class Parted(NamedTuple):
    """A URL in two.

    Attributes
    ----------
    url : str
        What names the place.
    user, password : str
        From before the host; empty where there is none.
    query : str
        What of the query is secret, as it was written.
    """

    url: str
    user: str
    password: str
    query: str


def parted(url: str) -> Parted:
    """Part a URL.

    Examples
    --------
    >>> parted("https://jane:pw@host/get?id=7&token=abc")
    Parted(url='https://host/get?id=7', user='jane', password='pw', query='token=abc')
    """
    # A user stands before the one sign, a query behind the other: a list may have millions without.
    found = _URL.match(url) if "@" in url or "?" in url else None
    if found is None or not is_url(url):
        return Parted(url, "", "", "")
    protocol, rest = found[1].lower(), url[found.end(1) + 3 :]
    info, rest = _userinfo(protocol, rest)
    user, _, password = info.partition(":")
    kept = f"{user}@" if info and protocol not in (*WEB, "s3", "s3a", "gs", "gcs") else ""
    rest, query = _secret_query(protocol, rest)
    return Parted(f"{found[1]}://{kept}{rest}", unquote(user), unquote(password), query)


def _userinfo(protocol: str, rest: str) -> tuple[str, str]:
    """Part what stands before the host, where it holds a secret."""
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    info, at, _ = host.rpartition("@")
    if not at and "@" in rest and re.search(r":(?![0-9]*$)", host):
        # No port follows the colon: a password with a slash that was not written %2F.
        info, at = rest.partition("@")[0], "@"
    if not at or (":" not in info and protocol not in WEB):
        # A user alone is part of the place; Azure has the account behind that sign.
        return "", rest
    return info, rest[len(info) + 1 :]


def _secret_query(protocol: str, rest: str) -> tuple[str, str]:
    """Part the secret parameters of a query; where it is none, a question mark is part of a key."""
    path, mark, query = rest.partition("?")
    query, hash_, fragment = query.partition("#")
    if not mark or not _has_query(protocol, query):
        return rest, ""
    parts = query.split("&")
    names = {_name(part) for part in parts}
    hidden = [part for part in parts if _is_secret(part, names)]
    shown = "&".join(part for part in parts if part not in hidden)
    return f"{path}{'?' if shown else ''}{shown}{hash_}{fragment}", "&".join(hidden)


def _has_query(protocol: str, query: str) -> bool:
    names = {_name(part) for part in query.split("&")}
    return protocol in WEB or bool(names & {"sig", "x-amz-signature", "x-goog-signature"})


def _name(part: str) -> str:
    return unquote_plus(part.partition("=")[0]).lower()


def _is_secret(part: str, names: set[str]) -> bool:
    name, value = _name(part), part.partition("=")[2]
    if not value:
        return False
    if name.startswith(_SIGNED) or name in _NAMES:
        return True
    if name.endswith(_ENDS):
        # A token of a page is none of a person.
        return "page" not in name and "continuation" not in name
    beside = (name in _BESIDE_SIG and "sig" in names) or (
        name in _BESIDE_SIGNATURE and "signature" in names
    )
    return beside or (name == "key" and _GOOGLE_KEY.fullmatch(value) is not None)


def with_query(key: str, query: str) -> str:
    """Return a key with what of its query is secret.

    Examples
    --------
    >>> with_query("get?id=7", "token=abc"), with_query("a.dcm", "sig=x")
    ('get?id=7&token=abc', 'a.dcm?sig=x')
    """
    return f"{key}{'&' if '?' in key else '?'}{query}"


def public_url(url: str) -> str:
    """Return a URL without what is secret in it; anything else as it is.

    Examples
    --------
    >>> public_url("sftp://jane:pw@host/in"), public_url("s3://bucket/a?b.dcm"), public_url("/in")
    ('sftp://jane@host/in', 's3://bucket/a?b.dcm', '/in')
    """
    return "::".join(parted(one).url for one in _CHAINED.split(url))


def redacted(text: str) -> str:
    """Return a text with every URL in it as `public_url` has it.

    Examples
    --------
    >>> redacted("source https://a:b@host/x?sig=1: denied")
    'source https://host/x denied'
    """
    return _URL.sub(lambda found: parted(found[0]).url, text) if "://" in text else text


def storage_of(found: Parted) -> tuple[str, ...]:
    """Return the storage options that the secrets of a URL are: for that place alone.

    Examples
    --------
    >>> storage_of(parted("s3://AKIA:abc@bucket/in")), storage_of(parted("https://host/in?token=1"))
    (('s3://bucket:key=AKIA', 's3://bucket:secret=abc'), ('https://host/in:query=token=1',))
    """
    address = Address.parse(found.url)
    names = {"s3": ("key", "secret"), "az": ("account_name", "account_key")}
    user, password = names.get(address.protocol, (USER, PASSWORD))
    said = []
    if found.user and (found.password or address.protocol in WEB):
        if address.protocol in (*WEB, *names):
            said.append(f"{address.root}:{user}={found.user}")
        said.append(f"{address.root}:{password}={found.password}")
    if found.query and address.protocol == "az":
        said.append(f"{address.root}:sas_token={found.query}")
    elif found.query:
        # A storage option is written with an equals sign behind its name.
        place = address.url.partition("?")[0].replace("=", "%3D")
        said.append(f"{place}:{QUERY}={found.query}")
    return tuple(said)


@contextmanager
def no_secrets_in_errors() -> Iterator[None]:
    """Keep what libraries said of a URL out of tracebacks, where an error has come of it."""
    try:
        yield
    except DcmdaskError as error:
        chain: BaseException | None = error
        while chain is not None:
            before = chain.__cause__ or chain.__context__
            if before is not None and redacted(str(before)) != str(before):
                chain.__cause__ = chain.__context__ = None
                break
            chain = before
        raise
