"""Take modalities; say which of several targets a series hangs on, as Med-ImageTools asks for chains.

Its Interlacer knows one parent of a series, and finds what leads to a CT, an MR or a PT.
"""

from __future__ import annotations

IMAGES = frozenset(
    (
        *("BDUS", "BI", "CR", "CT", "DG", "DX", "ES", "GM", "IO", "IVOCT", "IVUS", "LS", "MG"),
        *("MR", "NM", "OCT", "OP", "OPM", "OPT", "OPTBSV", "OPTENF", "PA", "PT", "PX", "RF"),
        *("RG", "SM", "TG", "US", "XA", "XC"),
    )
)
"""Modalities of acquired images (PS3.3 C.7.3.1.1.1). RTIMAGE is not among them: it names its plan."""

_ROOTS = ("CT", "MR", "PT")
_ALIGNED = ("CT", "MR")
_PREFERRED = ("PT", "MR", "CT", "RTSTRUCT", "RTPLAN")
_STEPS = ("SEG", "RTSTRUCT", "RTPLAN", "RTDOSE")


def hangs_on(source: str | None, target: str | None) -> bool:
    """Tell whether a reference is one of a chain: not from image to image, as CT to scout.

    Only a PT hangs on another image, the CT or MR it was acquired with.

    Examples
    --------
    >>> hangs_on("CT", "CT"), hangs_on("PT", "CT"), hangs_on("RTSTRUCT", "CT")
    (False, True, True)
    """
    return source not in IMAGES or (source == "PT" and target in _ALIGNED)


def is_root(modality: str | None) -> bool:
    """Tell whether chains begin with such a series."""
    return modality in _ROOTS


def step_of(modality: str | None) -> int:
    """Return how far from images a modality stands in a chain: it leads on by nearer ones only.

    Examples
    --------
    >>> step_of("CT") < step_of("RTSTRUCT") < step_of("RTPLAN") < step_of("RTDOSE") < step_of("SR")
    True
    """
    if modality in IMAGES:
        return -1
    return _STEPS.index(modality) if modality in _STEPS else len(_STEPS)


def preference(modality: str | None) -> int:
    """Return how much a target of this modality is preferred to others: a plan to its images."""
    return _PREFERRED.index(modality) if modality in _PREFERRED else -1
