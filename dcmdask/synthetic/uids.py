"""Take what a UID is for; give it, the same for the same thing."""

from typing import Final

from dcmdask.synthetic.modalities import MODALITIES

BEFORE_TOKEN: Final = "2.25.1"  # noqa: S105  no secret
"""What every UID begins with."""
TOKEN: Final = "908172635405142332415069"  # noqa: S105  no secret
"""24 digits that stand for the patient in all UIDs of a template."""

_STUDY: Final = 1
_DIMENSIONS: Final = 2
_VENDOR: Final = 3
_FRAMES: Final = 10
_SERIES: Final = 100
_INSTANCES: Final = 200
"""Kinds of things that have a UID; frames, series and instances add the place in MODALITIES."""


def _uid(kind: int, number: int = 0, token: str = TOKEN) -> str:
    """Return a UID of 44 characters, an even number, which needs no padding (PS3.5, 9.1 and B.2).

    What follows ``2.25.`` is one number below 2**128, as a UUID is: 39 digits, the first is 1.
    """
    return f"{BEFORE_TOKEN}{token}{kind:04d}{number:010d}"


STUDY_UID: Final = _uid(_STUDY)
DIMENSIONS_UID: Final = _uid(_DIMENSIONS)
"""Of the one organization of dimensions that a SEG has."""


def series_uid(modality: str) -> str:
    """Return the SeriesInstanceUID of a modality."""
    return _uid(_SERIES + MODALITIES.index(modality))


def instance_uid(modality: str, number: int = 0, token: str = TOKEN) -> str:
    """Return the SOPInstanceUID of instance `number` of a modality, counted from 1.

    Number 0 is that of the template.
    """
    return _uid(_INSTANCES + MODALITIES.index(modality), number, token)


def frame_uid(modality: str) -> str:
    """Return the FrameOfReferenceUID: MR has its own, PT shares that of CT."""
    return _uid(_FRAMES + MODALITIES.index("MR" if modality == "MR" else "CT"))


def vendor_uid(number: int) -> str:
    """Return the UID that is the value of private element `number`."""
    return _uid(_VENDOR, number)
