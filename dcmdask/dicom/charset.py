"""Read text in a character set that the caller names, where what an object states does not fit it.

An object states a character set for its text (PS3.3 C.12.1.1.2). Some state none, and their text is
no ASCII; some state one in which their bytes mean nothing. Nothing is guessed: without a default
such text is read as pydicom reads it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from pydicom.charset import ESC, decode_bytes, default_encoding
from pydicom.dataelem import RawDataElement
from pydicom.hooks import hooks
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR, TEXT_VR_DELIMS

Encodings = tuple[str, ...]

_TEXT: Final = frozenset(str(vr.value) for vr in (*CUSTOMIZABLE_CHARSET_VR,)) | {"PN"}
_DEFAULT: ContextVar[Encodings] = ContextVar("default_charset", default=())
_LOST: Final = "\ufffd"


class _Hooked:
    """What pydicom asked before, shared by all threads that read with a default at the same time."""

    lock: Final = threading.Lock()
    users = 0
    before: Any = None


@contextmanager
def default_charset(names: str) -> Iterator[None]:
    """Read text with a default, in this thread.

    Parameters
    ----------
    names : str
        Python's names of the encodings, joined by ``+``; empty for no default.
    """
    if not names:
        yield
        return
    token = _DEFAULT.set(tuple(names.split("+")))
    with _Hooked.lock:
        _Hooked.users += 1
        if _Hooked.users == 1:
            _Hooked.before = hooks.raw_element_value
            hooks.register_callback("raw_element_value", _convert_value)
    try:
        yield
    finally:
        with _Hooked.lock:
            _Hooked.users -= 1
            if not _Hooked.users:
                hooks.register_callback("raw_element_value", _Hooked.before)
        _DEFAULT.reset(token)


def current_default() -> Encodings:
    """Return the default of this thread; empty where there is none."""
    return _DEFAULT.get()


def _convert_value(
    raw: RawDataElement,
    data: dict[str, Any],
    *,
    encoding: str | MutableSequence[str] | None = None,
    **more: Any,
) -> None:
    """Convert a value as pydicom does, in the character set that fits it."""
    default = list(_DEFAULT.get())
    if default and data["VR"] in _TEXT and isinstance(raw.value, bytes):
        stated = [encoding] if isinstance(encoding, str) else list(encoding or [default_encoding])
        if not is_text_in(raw.value, stated) and is_text_in(raw.value, default):
            encoding = default
    _Hooked.before(raw, data, encoding=encoding, **more)


def is_text_in(value: bytes, encodings: list[str]) -> bool:
    """Tell whether bytes are text in a character set.

    Parameters
    ----------
    value : bytes
        Of a value.
    encodings : list of str
        Python's names, as pydicom makes them of what an object states. What it makes of none, of
        ISO_IR 6 and of what it does not know holds ASCII only.

    Examples
    --------
    >>> is_text_in(b"Wang", ["iso8859"]), is_text_in("王".encode("gbk"), ["iso8859"])
    (True, False)
    """
    if ESC in value:
        text = decode_bytes(value, encodings, TEXT_VR_DELIMS)
        return ESC.decode() not in text and _LOST not in text
    if value.isascii():
        return True
    if encodings[0] == default_encoding:
        return False
    try:
        value.decode(encodings[0])
    except (UnicodeError, LookupError):
        return False
    return True
