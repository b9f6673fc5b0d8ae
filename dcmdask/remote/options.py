"""Take storage options as they were written; give those of one protocol, checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dcmdask.errors import UsageError

_OPEN = (
    "endpoint_url",
    "endpoint",
    "region",
    "region_name",
    "anon",
    "profile",
    "requester_pays",
    "virtual_hosted",
    "verify",
    "account_name",
    "use_emulator",
    "project",
)
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


def is_open(name: str) -> bool:
    """Tell whether the value of an option may be shown, and travel in the clear: it is no secret.

    Examples
    --------
    >>> is_open("s3:region"), is_open("secret")
    (True, False)
    """
    return name.rpartition(":")[2] in _OPEN


def as_bool(name: str, value: str) -> bool:
    """Return a switch.

    Raises
    ------
    UsageError
        It is neither on nor off.
    """
    word = value.lower()
    if word not in (*_TRUE, *_FALSE):
        # Without what it is: a secret may stand there by mistake.
        raise UsageError(f"--storage-option {name}", "write true or false")
    return word in _TRUE


def known_only(
    protocol: str,
    options: Mapping[str, str],
    known: Iterable[str],
    aliases: Mapping[str, str],
) -> dict[str, str]:
    """Return options under their usual names.

    Raises
    ------
    UsageError
        One is not known: its value is not said, it may be a secret.
    """
    found = {aliases.get(name, name): value for name, value in options.items()}
    for name in found:
        if name not in known:
            words = ", ".join(known)
            raise UsageError(f"--storage-option {name} for {protocol}", f"use one of {words}")
    return found


def options_of(protocol: str, options: Iterable[tuple[str, str]], root: str = "") -> dict[str, str]:
    """Return the options of one protocol: those written for it (``s3:key``), and those for any.

    And those of one container by its URL: what was secret in it.

    Examples
    --------
    >>> options_of("s3", [("anon", "true"), ("gs:token", "x"), ("s3:region", "eu-west-1")])
    {'anon': 'true', 'region': 'eu-west-1'}
    """
    found = {}
    for name, value in options:
        owner, colon, rest = name.rpartition(":")
        if not colon or owner in (protocol, root):
            found[rest] = value
    return found
