"""Take a container of Google's or Azure's and its storage options; give the client of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from dcmdask.remote.client import Listed
from dcmdask.remote.generic import FsspecClient
from dcmdask.remote.obstores import ObstoreClient, UnnamableError, is_plain
from dcmdask.remote.options import as_bool, known_only

_GCS = {
    "token": "service_account",
    "service_account_key": "service_account_key",
    "endpoint_url": "base_url",
    "anon": "skip_signature",
}
_AZURE = {
    "account_name": "account_name",
    "account_key": "account_key",
    "sas_token": "sas_key",
    "tenant_id": "tenant_id",
    "client_id": "client_id",
    "client_secret": "client_secret",
    "endpoint_url": "endpoint",
    "anon": "skip_signature",
    "use_emulator": "use_emulator",
}
_OF_ADLFS = frozenset(_AZURE) - {"endpoint_url", "use_emulator"}
_STALL = 10.0
_SWITCHES = ("skip_signature", "use_emulator")


class CloudClient(ObstoreClient):
    """A client over obstore, with fsspec's for keys that obstore cannot name.

    Parameters
    ----------
    make : callable
        As for `ObstoreClient`.
    spare : callable
        Makes the other client, when it is needed.
    """

    def __init__(
        self, make: Callable[[dict[str, str], Any], Any], spare: Callable[[], FsspecClient]
    ) -> None:
        super().__init__(make)
        self._spare = cache(spare)

    def get(self, key: str, start: int, stop: int, etag: str | None, patience: float) -> bytes:
        """Return bytes of a key."""
        if is_plain(key):
            return super().get(key, start, stop, etag, patience)
        return self._spare().get(key, start, stop, etag, patience)

    def head(self, key: str) -> Listed:
        """Say what a listing would say of a key."""
        return super().head(key) if is_plain(key) else self._spare().head(key)

    def pages(self, prefix: str) -> Iterator[list[Listed]]:
        """List all keys below a prefix, in order of their bytes as these stores have it."""
        last = b""
        try:
            for page in super().pages(prefix):
                yield page
                last = max((found.key.encode() for found in page), default=last)
        except UnnamableError:
            for page in self._spare().every(prefix):
                yield [found for found in page if found.key.encode() > last]


def gcs_client(bucket: str, options: Mapping[str, str]) -> CloudClient:
    """Return the client of a bucket of Google Cloud Storage.

    Parameters
    ----------
    bucket : str
        Its name.
    options : mapping
        ``token`` (file of a service account), ``service_account_key`` (its text),
        ``endpoint_url``, ``anon``; else application default credentials, workload identity
        included.
    """
    from obstore.store import GCSStore

    config, client = _config("gs", options, _GCS)
    given = dict(options)
    if as_bool("anon", given.pop("anon", "false")):
        given["token"] = "anon"  # noqa: S105 - what gcsfs calls nobody
    return CloudClient(
        lambda times, retries: GCSStore(
            bucket, client_options=_joined(client, times), retry_config=retries, **config
        ),
        lambda: FsspecClient("gs", bucket, given, _STALL),
    )


def azure_client(container: str, options: Mapping[str, str]) -> CloudClient:
    """Return the client of a container of Azure Blob Storage.

    Parameters
    ----------
    container : str
        Its name, or ``container@account.dfs.core.windows.net``.
    options : mapping
        ``account_name``, ``account_key``, ``sas_token``, ``tenant_id``, ``client_id``,
        ``client_secret``, ``endpoint_url``, ``anon``, ``use_emulator``; else the environment,
        managed and workload identity included.
    """
    from obstore.store import AzureStore

    name, at, host = container.partition("@")
    config, client = _config("az", options, _AZURE)
    if at:
        config.setdefault("account_name", host.partition(".")[0])
    given = {word: value for word, value in options.items() if word in _OF_ADLFS}
    given |= {"account_name": config["account_name"]} if "account_name" in config else {}
    return CloudClient(
        lambda times, retries: AzureStore(
            name, client_options=_joined(client, times), retry_config=retries, **config
        ),
        lambda: FsspecClient("az", name, given, _STALL),
    )


def _config(
    protocol: str,
    options: Mapping[str, str],
    names: Mapping[str, str],
) -> tuple[dict[str, Any], Any]:
    given = known_only(protocol, options, names, {})
    config: dict[str, Any] = {}
    for name, value in given.items():
        word = names[name]
        config[word] = as_bool(name, value) if word in _SWITCHES else value
    plain = given.get("endpoint_url", "").startswith("http://") or "use_emulator" in given
    return config, {"allow_http": plain}


def _joined(client: Mapping[str, Any], times: Mapping[str, str]) -> Any:
    return {**client, **times}
