"""Take a bucket and its storage options; give the client of it.

Two libraries, one configuration. obstore reads and writes, for speed. botocore, which s3fs brings,
finds credentials, region and endpoint by the usual means (environment, profile, instance, workload
identity), lists page by page whatever the keys are, and stands in for keys that obstore cannot ask
for.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any

from dcmdask.errors import HeaderError, UsageError
from dcmdask.remote.client import (
    ConflictError,
    Level,
    Listed,
    PassingError,
    denied,
    of_status,
    quoted,
)
from dcmdask.remote.obstores import ObstoreClient, is_plain
from dcmdask.remote.options import as_bool, known_only
from dcmdask.types import Kind

_OPTIONS = (
    "key",
    "secret",
    "token",
    "profile",
    "endpoint_url",
    "region",
    "anon",
    "requester_pays",
    "virtual_hosted",
    "verify",
)
_ALIASES = {"username": "key", "password": "secret", "region_name": "region"}
_DENIED = {
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
}
_ANY_REGION = "us-east-1"
_CONNECT = 5
_CONNECTIONS = 32


class S3Client:
    """A client of a bucket.

    Parameters
    ----------
    bucket : str
        Its name.
    options : mapping
        Of s3fs's names: ``key``, ``secret``, ``token``, ``profile``, ``endpoint_url``, ``region``,
        ``anon``, ``requester_pays``; and ``virtual_hosted``, ``verify``.
    stall : float
        Seconds that a listing waits for an answer.

    Raises
    ------
    UsageError
        An option is none of these.
    """

    def __init__(self, bucket: str, options: Mapping[str, str], stall: float) -> None:
        given = known_only("s3", options, _OPTIONS, _ALIASES)
        self._bucket = bucket
        self._pays = as_bool("requester_pays", given.get("requester_pays", "false"))
        self._session, self._s3 = _botocore(given, stall)
        self._fast = ObstoreClient(partial(self._store, self._config(given)))

    def _store(self, config: Mapping[str, Any], client: Mapping[str, Any], retries: Any) -> Any:
        from obstore.store import S3Store

        options = {**config["client_options"], **client}
        again = {"client_options": options, "retry_config": retries}
        return S3Store(self._bucket, **{**config, **again})

    def _config(self, given: Mapping[str, str]) -> dict[str, Any]:
        """Return the settings of obstore."""
        anonymous = as_bool("anon", given.get("anon", "false"))
        endpoint = self._s3.meta.endpoint_url
        is_aws = endpoint.endswith((".amazonaws.com", ".amazonaws.com.cn"))
        config: dict[str, Any] = {
            "region": self._region(is_aws=is_aws),
            "client_options": {
                "allow_http": endpoint.startswith("http://"),
                "allow_invalid_certificates": not as_bool("verify", given.get("verify", "true")),
            },
        }
        if not is_aws:
            config["endpoint"] = endpoint
            if as_bool("virtual_hosted", given.get("virtual_hosted", "false")):
                scheme, _, host = endpoint.partition("://")
                config |= {
                    "endpoint": f"{scheme}://{self._bucket}.{host}",
                    "virtual_hosted_style_request": True,
                }
        if self._pays:
            config["request_payer"] = True
        if anonymous:
            config["skip_signature"] = True
        else:
            config["credential_provider"] = self._credentials
        return config

    def _region(self, *, is_aws: bool) -> str:
        """Return the region of the bucket, which a store of Amazon tells whoever asks."""
        region: str = self._s3.meta.region_name or _ANY_REGION
        if not is_aws:
            return region
        from botocore.exceptions import BotoCoreError, ClientError

        answer: Any = {}
        try:
            answer = self._s3.head_bucket(Bucket=self._bucket)
        except ClientError as error:
            answer = error.response
        except BotoCoreError:
            return region
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return str(headers.get("x-amz-bucket-region", region))

    def _credentials(self) -> Any:
        """Return credentials as they are now: those of a role are renewed by botocore."""
        found = self._session.get_credentials()
        if found is None:
            raise denied()
        frozen = found.get_frozen_credentials()
        said = {"access_key_id": frozen.access_key, "secret_access_key": frozen.secret_key}
        expires = getattr(found, "_expiry_time", None)
        return {**said, "token": frozen.token, "expires_at": expires}

    def get(self, key: str, start: int, stop: int, etag: str | None, patience: float) -> bytes:
        """Return bytes of a key."""
        if is_plain(key):
            return self._fast.get(key, start, stop, etag, patience)
        wanted = self._named(key) | {"Range": f"bytes={start}-{stop - 1}"}
        if etag is not None:
            wanted["IfMatch"] = etag
        with _translated():
            answer = self._s3.get_object(**wanted)
            body: bytes = answer["Body"].read(stop - start)
            return body

    def _named(self, key: str) -> dict[str, Any]:
        named = {"Bucket": self._bucket, "Key": key}
        return named | {"RequestPayer": "requester"} if self._pays else named

    def head(self, key: str) -> Listed:
        """Say what a listing would say of a key."""
        if is_plain(key):
            return self._fast.head(key)
        with _translated():
            said = self._s3.head_object(**self._named(key))
        return Listed(
            key, said["ContentLength"], _micros(said["LastModified"]), quoted(said.get("ETag"))
        )

    def put(self, key: str, content: bytes | Path, only: str | None) -> str | None:
        """Write a key."""
        if is_plain(key):
            return self._fast.put(key, content, only)
        body = content.read_bytes() if isinstance(content, Path) else content
        condition = {} if only is None else {"IfMatch": only} if only else {"IfNoneMatch": "*"}
        try:
            with _translated():
                answer = self._s3.put_object(**self._named(key), Body=body, **condition)
        except HeaderError as error:
            if condition and error.kind == Kind.VANISHED:
                raise ConflictError from error
            raise
        return quoted(answer.get("ETag"))

    def delete(self, key: str) -> None:
        """Remove a key, if it is there."""
        if is_plain(key):
            self._fast.delete(key)
            return
        with _translated():
            self._s3.delete_object(**self._named(key))

    def pages(self, prefix: str) -> Iterator[list[Listed]]:
        """List all keys below a prefix, page by page."""
        for page in self._listing(Prefix=prefix):
            yield [_listed(one) for one in page.get("Contents", ())]

    def levels(self, prefix: str) -> Iterator[Level]:
        """List one level of keys below a prefix, page by page."""
        for page in self._listing(Prefix=prefix, Delimiter="/"):
            yield Level(
                [one["Prefix"] for one in page.get("CommonPrefixes", ())],
                [_listed(one) for one in page.get("Contents", ())],
            )

    def _listing(self, **what: Any) -> Iterator[Any]:
        """Ask for pages; one that does not come is asked for again, not the whole listing."""
        with _translated():
            yield from self._pages(what)

    def _pages(self, what: dict[str, Any]) -> Iterator[Any]:
        if self._pays:
            what = {**what, "RequestPayer": "requester"}
        paginator = self._s3.get_paginator("list_objects_v2")
        return iter(paginator.paginate(Bucket=self._bucket, **what))


def _listed(one: Mapping[str, Any]) -> Listed:
    return Listed(one["Key"], one["Size"], _micros(one["LastModified"]), quoted(one.get("ETag")))


def _micros(when: str) -> int:
    """Take a time as a listing says it (ISO 8601), or a header (RFC 9110 section 5.6.7)."""
    try:
        found = dt.datetime.fromisoformat(when)
    except ValueError:
        found = parsedate_to_datetime(when)
    return round(found.timestamp() * 1_000_000)


def _botocore(given: Mapping[str, str], stall: float) -> tuple[Any, Any]:
    import botocore.session
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    anonymous = as_bool("anon", given.get("anon", "false"))
    style = "virtual" if as_bool("virtual_hosted", given.get("virtual_hosted", "false")) else "auto"
    config = Config(
        connect_timeout=_CONNECT,
        read_timeout=stall,
        # A page that does not come is asked for again here: the token of the next one is inside.
        retries={"mode": "standard", "total_max_attempts": 5},
        max_pool_connections=_CONNECTIONS,
        signature_version=UNSIGNED if anonymous else None,
        s3={"addressing_style": "path" if given.get("endpoint_url") and style == "auto" else style},
        # What stores other than Amazon's do not know.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        session = botocore.session.Session(profile=given.get("profile"))
        # Times as they stand: to parse those of a listing took as long as all else of it.
        session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=str)
        if "key" in given or "secret" in given:
            session.set_credentials(given.get("key"), given.get("secret"), given.get("token"))
        region = given.get("region") or session.get_config_variable("region") or _ANY_REGION
        client = session.create_client(
            "s3",
            region_name=region,
            endpoint_url=given.get("endpoint_url"),
            verify=as_bool("verify", given.get("verify", "true")),
            config=config,
        )
    except (BotoCoreError, ValueError) as error:
        words = f"the settings for S3 cannot be used ({type(error).__name__})"
        raise UsageError(words, "check profile, region and endpoint_url") from error
    return session, client


@contextmanager
def _translated() -> Iterator[None]:
    """Say what botocore says in the words of this room."""
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        HTTPClientError,
        NoCredentialsError,
        PartialCredentialsError,
    )
    from botocore.exceptions import ConnectionError as NoConnectionError

    try:
        yield
    except ClientError as error:
        raise _error(error.response) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise HeaderError(Kind.ACCESS_DENIED, "no credentials were found") from error
    except (HTTPClientError, NoConnectionError, OSError) as error:
        raise PassingError("the connection failed") from error
    except BotoCoreError as error:
        words = f"the store gives no answer that is understood ({type(error).__name__})"
        raise HeaderError(Kind.UNEXPECTED, words) from error


def _error(answer: Mapping[str, Any]) -> Exception:
    code = str(answer.get("Error", {}).get("Code", ""))
    if code in _DENIED:
        return denied()
    if code == "NoSuchBucket":
        return HeaderError(Kind.VANISHED, "there is no such bucket")
    return of_status(int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)))
