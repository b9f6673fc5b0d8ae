"""Take the text of a value; return its plain form, without what its VR calls insignificant.

One patient is one, however a writer pads: PS3.5 table 6.2-1 and section 6.2.1.2.
"""

from __future__ import annotations

from typing import Any, Final

# Both ends of these may be padded with spaces; of all others (ST, LT, UT, UC, UI ...) the end only.
_PADDED_BEFORE: Final = frozenset(("AE", "CS", "LO", "PN", "SH"))

_CHINESE: Final = "\x1b$)A"
"""Escape sequence of ISO 2022 IR 58, which pydicom leaves in the text that it decodes."""


class EndedText(str):
    """A text that ended at a NUL: what stood behind it, the rest of some buffer, is left out."""

    __slots__ = ()


def plain_text(text: str, vr: str | None) -> str:
    r"""Return one value without insignificant padding and delimiters.

    A NUL ends the text, as it does in the programs that wrote it; NULs before it are padding.

    Parameters
    ----------
    text : str
        One value, decoded.
    vr : str or None
        What the data dictionary says of its attribute; None for what is no attribute.

    Returns
    -------
    str
        An `EndedText` where something stood behind a NUL.

    Examples
    --------
    >>> plain_text(" 00123 ", "LO"), plain_text(" see below ", "LT")
    ('00123', ' see below')
    >>> plain_text("Doe^Jane^ =", "PN"), plain_text("Doe^Jane\0^\0x", "PN")
    ('Doe^Jane', 'Doe^Jane')
    """
    before, _, behind = text.lstrip("\0").partition("\0")
    plain = before.replace(_CHINESE, "").rstrip(" ")
    if vr in _PADDED_BEFORE:
        plain = plain.lstrip(" ")
    if vr == "PN":
        plain = _plain_name(plain)
    is_short = isinstance(text, EndedText) or behind.strip("\0 ")
    return EndedText(plain) if is_short else plain


def is_ended(value: Any) -> bool:
    """Tell whether a value, or one of several, ended at a NUL."""
    if isinstance(value, list):
        return any(isinstance(item, EndedText) for item in value)
    return isinstance(value, EndedText)


def _plain_name(name: str) -> str:
    """Leave out trailing delimiters of components, and trailing groups that are empty."""
    groups = (group.strip(" ").rstrip("^ ") for group in name.split("="))
    return "=".join(groups).rstrip("=")
