"""Take answers in the DICOM JSON Model (PS3.18 annex F); give the parts that listing needs of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from dcmdask.errors import HeaderError
from dcmdask.types import Kind

LARGEST = 256 * 1024 * 1024
"""Bytes of one answer at most: a page of a thousand matches has a few megabytes."""

Match = Mapping[str, Any]
"""One object of an answer: tag, as eight hex digits, to what it says of it."""

STUDY, SERIES, INSTANCE = "0020000D", "0020000E", "00080018"
SOP_CLASS, INSTANCES_OF_STUDY = "00080016", "00201208"

_UID = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z._-]{0,63}")
"""Of PS3.5 section 9.1, and what comes close: nothing that means anything in a path or URL."""

_PASSING = frozenset(
    [
        "00080005",  # SpecificCharacterSet: of the answer
        "00080054",  # RetrieveAETitle
        "00080056",  # InstanceAvailability
        "00080061",  # ModalitiesInStudy
        "00080062",  # SOPClassesInStudy
        "00081190",  # RetrieveURL
    ]
)
_COUNTS = "002012"
"""How many series and instances there are: of the others as well."""

_OF_ITSELF = frozenset([STUDY, SERIES, INSTANCE, SOP_CLASS, "00200013"])
"""Which one it is: every answer has them, and they never change."""


def matches_of(answer: bytes) -> list[Match]:
    """Return what an answer holds; nothing where there is no content (status 204).

    Raises
    ------
    HeaderError
        It is something else, such as a page that asks who one is.
    """
    if len(answer) >= LARGEST:
        raise HeaderError(Kind.TOO_LARGE, f"an answer of more than {LARGEST:,} bytes")
    try:
        found = json.loads(answer) if answer.strip() else []
    except (ValueError, RecursionError) as error:
        raise _no_json() from error
    if isinstance(found, Mapping):
        found = [found]
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
        raise _no_json()
    return found


def _no_json() -> HeaderError:
    return HeaderError(Kind.UNEXPECTED, "the answer is not DICOM JSON; is it a DICOMweb service?")


def uid_of(match: Match, tag: str) -> str | None:
    """Return a UID of a match; None where it has none that can be asked for.

    Examples
    --------
    >>> uid_of({"0020000D": {"vr": "UI", "Value": ["1.2"]}}, STUDY)
    '1.2'
    """
    value = first_value(match, tag)
    return value if isinstance(value, str) and _UID.fullmatch(value) else None


def first_value(match: Match, tag: str) -> Any:
    """Return the first value of an attribute; None where there is none."""
    said = match.get(tag)
    values = said.get("Value") if isinstance(said, Mapping) else None
    return values[0] if isinstance(values, list) and values else None


def tag_of(matches: Iterable[Match]) -> str | None:
    """Return what changes when what a service says of an instance does.

    Parameters
    ----------
    matches : iterable of mapping
        Of the instance and of its study. What depends on other instances is left out.

    Returns
    -------
    str or None
        None where they say no more than which instance it is: by that nothing can be compared.
    """
    said = [
        (tag, value.get("Value") if isinstance(value, Mapping) else value)
        for match in matches
        for tag, value in match.items()
        if tag not in _PASSING and not tag.startswith(_COUNTS)
    ]
    if not any(value for tag, value in said if tag not in _OF_ITSELF):
        return None
    text = json.dumps(sorted(said, key=lambda one: one[0]), sort_keys=True)
    return f'"{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"'
