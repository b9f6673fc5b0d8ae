"""Take a container of Google's or Azure's and its storage options; give the client of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dcmdask.remote.obstores import ObstoreClient
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
_SWITCHES = ("skip_signature", "use_emulator")


def gcs_client(bucket: str, options: Mapping[str, str]) -> ObstoreClient:
    """Give the client of a bucket of Google Cloud Storage.

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

    config, client = _config("gs", options, _GCS, {})
    return ObstoreClient(
        lambda times: GCSStore(
            bucket, client_options=_joined(client, times), retry_config=_ONCE, **config
        )
    )


def azure_client(container: str, options: Mapping[str, str]) -> ObstoreClient:
    """Give the client of a container of Azure Blob Storage.

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
    config, client = _config("az", options, _AZURE, {})
    if at:
        config.setdefault("account_name", host.partition(".")[0])
    return ObstoreClient(
        lambda times: AzureStore(
            name, client_options=_joined(client, times), retry_config=_ONCE, **config
        )
    )


_ONCE: Any = {"max_retries": 0}


def _config(
    protocol: str,
    options: Mapping[str, str],
    names: Mapping[str, str],
    aliases: Mapping[str, str],
) -> tuple[dict[str, Any], Any]:
    given = known_only(protocol, options, names, aliases)
    config: dict[str, Any] = {}
    for name, value in given.items():
        word = names[name]
        config[word] = as_bool(name, value) if word in _SWITCHES else value
    plain = given.get("endpoint_url", "").startswith("http://") or "use_emulator" in given
    return config, {"allow_http": plain}


def _joined(client: Mapping[str, Any], times: Mapping[str, str]) -> Any:
    return {**client, **times}
