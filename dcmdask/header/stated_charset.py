"""Take the raw SpecificCharacterSet of a file; return one that pydicom can follow.

UIDs, codes, dates and numbers need no character set: one that is odd must not cost them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from pydicom.charset import convert_encodings, default_encoding, python_encoding

LONGEST: Final = 1024
"""Bytes of all names that there are, and some: what is longer is no name of any."""

# What pydicom also takes for the default: other spellings of it.
_DEFAULT: Final = re.compile(r"ISO.?(2022.)?IR.?6|iso.?8859([-_]1)?", re.IGNORECASE)


@lru_cache(maxsize=1024)
def clean_charset(value: bytes) -> tuple[bytes, bool]:
    r"""Return the value without padding, and whether all of it was understood.

    The names are CS (PS3.5 section 6.2): spaces around each are insignificant, and a NUL ends it.
    Of a name that is none of any character set pydicom would make the default; one that makes it
    raise is left empty, which means the same.

    Examples
    --------
    >>> clean_charset(b"ISO_IR 192\0"), clean_charset(b" ISO_IR 100\0\0xy")
    ((b'ISO_IR 192', True), (b'ISO_IR 100', False))
    >>> clean_charset(b"\\ISO 2022 IR 87 "), clean_charset(b"KLINGON")
    ((b'\\ISO 2022 IR 87', True), (b'KLINGON', False))
    """
    if len(value) > LONGEST:
        return b"", False
    names, understood = [], True
    for padded in value.split(b"\\"):
        before, _, behind = padded.strip(b"\0 ").partition(b"\0")
        name = before.strip(b" ")
        usable, known = _judge(name.decode("latin-1"))
        names.append(name if usable else b"")
        understood &= known and not behind
    return b"\\".join(names), understood


def _judge(name: str) -> tuple[bool, bool]:
    """Tell whether pydicom takes a name without raising, and whether it is one that it knows."""
    if name in python_encoding:
        return True, True
    try:
        encoding = convert_encodings([name])[0]
        # Some codecs are no text, as "hex"; of no bytes nobody asks them.
        b"00".decode(encoding, "replace")
    except Exception:
        return False, False
    return True, encoding != default_encoding or _DEFAULT.fullmatch(name) is not None
