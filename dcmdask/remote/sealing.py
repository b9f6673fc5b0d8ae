"""Take a secret of one line of a list; give it as what only this run can read.

It goes with the line to whoever reads the file. The key goes another way, with the storage options,
and is nowhere when the run is over.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable

SEAL = "dcmdask:seal"
"""Storage option of no store: the key."""

_NONCE = 16


def new_seal() -> str:
    """Return the storage option to seal with in one run."""
    return f"{SEAL}={secrets.token_hex(32)}"


def sealed(text: str, key: str) -> bytes:
    """Return a text that only who has the key can read: nobody, when the run is over."""
    nonce = secrets.token_bytes(_NONCE)
    return nonce + _mixed(text.encode("utf-8", "surrogateescape"), nonce, key)


def unsealed(content: bytes, storage: Iterable[tuple[str, str]]) -> str:
    """Return what was sealed, with the key among some storage options."""
    key = dict(storage)[SEAL]
    nonce, text = content[:_NONCE], content[_NONCE:]
    return _mixed(text, nonce, key).decode("utf-8", "surrogateescape")


def _mixed(text: bytes, nonce: bytes, key: str) -> bytes:
    # A stream of its own for every text: no two have the same nonce.
    stream = hashlib.shake_256(bytes.fromhex(key) + nonce).digest(len(text))
    return bytes(one ^ other for one, other in zip(text, stream, strict=True))


def mark_of(secret: str) -> str:
    """Return what tells two places apart that differ in what is secret alone."""
    digest = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
    return digest[:16]
