"""MR: PS3.3 A.4 (MR Image) and A.36 (Enhanced MR Image)."""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import (
    EnhancedMRImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
)

from dcmdask.dicom.functional_groups import first_item, group_item
from dcmdask.dicom.values import NUMBERS
from dcmdask.extract.base import EVIDENCE_OF_ENHANCED_IMAGES
from dcmdask.extract.table import Extractor, computed, measured, plain, renamed

_DIFFUSION = ("DiffusionGradientDirectionSequence", "DiffusionBMatrixSequence")
_B_MATRIX = ("XX", "XY", "XZ", "YY", "YZ", "ZZ")


def _diffusion_item(dataset: Dataset, keyword: str) -> Dataset | None:
    """Return an item of the MR Diffusion macro (PS3.3 C.8.13.5.9), at top level or in a group."""
    holder = group_item(dataset, "MRDiffusionSequence")
    return first_item(dataset, keyword) or (first_item(holder, keyword) if holder else None)


def gradient_direction(dataset: Dataset) -> Any:
    """Return the diffusion gradient direction of the instance: three cosines."""
    item = _diffusion_item(dataset, "DiffusionGradientDirectionSequence")
    return item.get("DiffusionGradientOrientation") if item else None


def b_matrix(dataset: Dataset) -> Any:
    """Return the diffusion b-matrix XX, XY, XZ, YY, YZ, ZZ in s/mm2."""
    item = _diffusion_item(dataset, "DiffusionBMatrixSequence")
    if item is None:
        return None
    values = [item.get(f"DiffusionBValue{axes}") for axes in _B_MATRIX]
    return None if None in values else values


MR = Extractor(
    modality="MR",
    sop_classes=(MRImageStorage, EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage),
    attributes=(
        *plain("ImageType"),
        *measured("MagneticFieldStrength", "T"),
        *measured("ImagingFrequency", "MHz", "TransmitterFrequency"),
        *plain("TransmitCoilName"),
        *renamed("SequenceName", "PulseSequenceName"),
        *plain("ScanningSequence", "SequenceVariant"),
        *plain("AcquisitionContrast", "AcquisitionType"),
        *measured("EchoTime", "ms", "EffectiveEchoTime"),
        *measured("RepetitionTime", "ms"),
        *measured("InversionTime", "ms", "InversionTimes"),
        *plain("EchoTrainLength", "NumberOfAverages"),
        *measured("FlipAngle", "degree"),
        *measured("PercentSampling", "%"),
        *measured("PercentPhaseFieldOfView", "%"),
        *measured("PixelBandwidth", "Hz/px"),
        *measured("DiffusionBValue", "s/mm2"),
        *computed(
            "DiffusionGradientDirectionSequence", NUMBERS, gradient_direction, *_DIFFUSION[:1], "*"
        ),
        *computed(
            "DiffusionBMatrixSequence", NUMBERS, b_matrix, *_DIFFUSION[1:], "*", unit="s/mm2"
        ),
        *plain("ParallelAcquisitionTechnique"),
        *plain("ParallelReductionFactorInPlane", "ParallelReductionFactorOutOfPlane"),
        *plain("NumberOfTemporalPositions"),
        *measured("TemporalResolution", "ms"),
        *measured("FrameReferenceTime", "ms"),
    ),
    references=EVIDENCE_OF_ENHANCED_IMAGES,
)
