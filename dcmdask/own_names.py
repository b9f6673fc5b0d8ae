"""Names that runs give to what they keep in ``.dcmdask`` for each other, in a folder or a store."""

from __future__ import annotations

import re

MARK = "output.json"
LOCK = "lock"
NUMBERS_LOCK = "numbers.lock"
HOLDER = "holder.json"
UNFINISHED = "unfinished.json"
MOVES = "moves.json"
PREVIOUS = "previous"
PARTS = "parts"
STAGING = "staging"
MANIFEST = "manifest"

_DIGITS = "[0-9a-f]{16}"
_SINGLE = "|".join(map(re.escape, (MARK, HOLDER, UNFINISHED)))
_RECORDS = rf"state-{_DIGITS}\.(?:json|index)|sent-{_DIGITS}\.json"
_FOLDERS = "|".join((PARTS, STAGING, MANIFEST, rf"{PREVIOUS}(?:-[0-9a-f]{{8}})?"))

STATE = re.compile(rf"state-({_DIGITS})\.json")
"""The state of a catalog, with its token."""

RECORD = re.compile(rf"(state|sent)-({_DIGITS})\.(?:json|index)")
"""What is recorded of a catalog, by its token: one that is there, and one that was about to be sent."""

PIECE = re.compile(rf"{_DIGITS}/\d{{5,}}\.arrow")
"""A piece of the manifest of a run, in the folder of manifests of a store."""

OWN = re.compile(
    "|".join(
        (
            _SINGLE,
            _RECORDS,
            _FOLDERS,
            rf"{re.escape(HOLDER)}\.{_DIGITS}",
            *map(re.escape, (LOCK, NUMBERS_LOCK, MOVES)),
        )
    )
)
"""What lies right in the folder: no other name is given."""

KEPT = re.compile(
    rf"{_SINGLE}|{_RECORDS}"
    rf"|{PARTS}/[0-9]{{10}}-[0-9a-f]{{8}}\.(?:json|parquet|[a-z]+\.arrow)"
    rf"|{MANIFEST}/(?:{_DIGITS}/)?[0-9]{{5}}\.arrow"
)
"""Files in it that a store has, by their path, whose names none but a run gives."""


def state_name(token: str) -> str:
    """Return the name of the file of a state."""
    return f"state-{token}.json"


def index_name(token: str) -> str:
    """Return the name of the index of a state."""
    return f"state-{token}.index"


def sent_name(token: str) -> str:
    """Return the name of what says which files a run is about to send for a catalog."""
    return f"sent-{token}.json"
