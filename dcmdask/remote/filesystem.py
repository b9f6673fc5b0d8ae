"""Take a container and its storage options; give it as a file system of fsspec, for who reads tables.

The options are those of `dcmdask.remote.remote`, in the words of the file system of each protocol.
"""

from __future__ import annotations

from typing import Any

import fsspec

from dcmdask.config import RemoteOptions
from dcmdask.errors import UsageError
from dcmdask.remote.address import Address
from dcmdask.remote.options import as_bool, options_of

_SWITCHES = ("anon", "requester_pays", "use_emulator")
_S3_ALIASES = {"username": "key", "password": "secret", "region_name": "region"}


def file_system(address: Address, options: RemoteOptions) -> Any:
    """Return the file system of a container.

    Raises
    ------
    UsageError
        It needs what is not installed.
    """
    given = options_of(address.protocol, options.storage, address.root)
    settings: dict[str, Any] = {
        name: as_bool(name, value) if name in _SWITCHES else value for name, value in given.items()
    }
    if address.protocol == "s3":
        settings = _s3({_S3_ALIASES.get(name, name): value for name, value in settings.items()})
    elif address.protocol == "gs":
        settings = _gs(settings)
    try:
        return fsspec.filesystem(address.protocol, **settings)
    except ImportError as error:
        words = f"{address.protocol}:// needs what is not installed"
        raise UsageError(words, f"install it: {error}") from error


def path_in(address: Address, key: str) -> str:
    """Return the path of a key in the file system of its container."""
    return f"{address.container}/{key}" if address.container else f"/{key}"


def _s3(settings: dict[str, Any]) -> dict[str, Any]:
    client: dict[str, Any] = {}
    if "region" in settings:
        client["region_name"] = settings.pop("region")
    if "verify" in settings:
        client["verify"] = as_bool("verify", settings.pop("verify"))
    if as_bool("virtual_hosted", settings.pop("virtual_hosted", "false")):
        settings["config_kwargs"] = {"s3": {"addressing_style": "virtual"}}
    return {**settings, "client_kwargs": client} if client else settings


def _gs(settings: dict[str, Any]) -> dict[str, Any]:
    if "service_account_key" in settings:
        import json

        settings["token"] = json.loads(settings.pop("service_account_key"))
    if settings.pop("anon", False):
        settings["token"] = "anon"  # noqa: S105 - that there is none
    for name in ("endpoint", "endpoint_url"):
        if name in settings:
            settings["endpoint_url"] = settings.pop(name)
    return settings
