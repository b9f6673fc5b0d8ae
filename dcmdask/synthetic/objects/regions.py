"""Organs that are outlined in SEG or RTSTRUCT: a disc in each slice."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Region:
    """An organ."""

    label: str
    kind: str
    """RTROIInterpretedType"""
    code: str
    """of the organ, in SNOMED CT"""
    meaning: str
    middle: float
    """x, in parts of the width of the image"""
    radius: float
    color: tuple[int, int, int]


SEGMENTS: Final[Mapping[int, Region]] = MappingProxyType(
    {
        1: Region("Liver", "ORGAN", "10200004", "Liver", 0.3, 0.12, (221, 130, 101)),
        2: Region("Spleen", "ORGAN", "78961009", "Spleen", 0.7, 0.08, (157, 108, 162)),
    }
)
"""Of SEG, by SegmentNumber."""

ROIS: Final[Mapping[int, Region]] = MappingProxyType(
    {
        1: Region("BODY", "EXTERNAL", "38266002", "Entire body", 0.5, 0.44, (0, 255, 0)),
        2: Region("GTV", "GTV", "39607008", "Lung", 0.65, 0.05, (255, 0, 0)),
    }
)
"""Of RTSTRUCT, by ROINumber."""
