"""Take what the system says of a write; raise one error that says where, why, and what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from dcmdask.errors import OutputError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_WORDS = ("No space left", "File too large")


@contextmanager
def writing(place: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what the system says of a write into an `OutputError` with its remedy."""
    try:
        yield
    except (OSError, UnicodeEncodeError, pa.ArrowInvalid) as error:
        raise output_error(os.fspath(place), error) from error


def output_error(place: str, error: Exception) -> OutputError:
    """Say what the system said of a write, with its remedy."""
    number = getattr(error, "errno", None)
    if number in _FULL or any(words in str(error) for words in _FULL_WORDS):
        return OutputError(place, "no space left", "free some, or choose another --out")
    if isinstance(error, PermissionError) or number == errno.EROFS:
        return OutputError(place, "no permission to write", "choose another --out")
    if isinstance(error, UnicodeEncodeError):
        return OutputError(place, "its name is no valid text", "choose another --out")
    reason = getattr(error, "strerror", None) or type(error).__name__
    return OutputError(place, reason, "choose another --out")
