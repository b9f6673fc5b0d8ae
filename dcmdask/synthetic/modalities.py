"""Which modalities a study has, and which of them refers to which."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pydicom.uid import (
    UID,
    ComprehensiveSRStorage,
    CTImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    RTDoseStorage,
    RTPlanStorage,
    RTStructureSetStorage,
    SegmentationStorage,
)

MODALITIES: tuple[str, ...] = ("CT", "PT", "MR", "SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "SR")

SLICED: Final = ("CT", "PT", "MR")
"""The modalities of one instance a slice; the others have one instance a series."""

NEEDS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "SEG": ("MR", "CT"),
        "RTSTRUCT": ("CT",),
        "RTPLAN": ("RTSTRUCT",),
        "RTDOSE": ("RTPLAN",),
        "SR": ("SEG", "CT"),
    }
)
"""What a modality refers to: the first of these that is written."""

SOP_CLASSES: Final[Mapping[str, UID]] = MappingProxyType(
    {
        "CT": CTImageStorage,
        "PT": PositronEmissionTomographyImageStorage,
        "MR": MRImageStorage,
        "SEG": SegmentationStorage,
        "RTSTRUCT": RTStructureSetStorage,
        "RTPLAN": RTPlanStorage,
        "RTDOSE": RTDoseStorage,
        "SR": ComprehensiveSRStorage,
    }
)
