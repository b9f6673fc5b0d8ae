"""Take a compressed stream; give the plain one. One line a format."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from typing import IO, cast

OPENERS: dict[str, Callable[[IO[bytes]], IO[bytes]]] = {
    "gzip": lambda stream: cast(IO[bytes], gzip.GzipFile(fileobj=stream, mode="rb")),
    "bz2": lambda stream: cast(IO[bytes], bz2.BZ2File(stream)),
    "xz": lambda stream: cast(IO[bytes], lzma.LZMAFile(stream)),  # noqa: SIM115 - closed with what it reads
}
"""How each compressed format is opened for reading."""
