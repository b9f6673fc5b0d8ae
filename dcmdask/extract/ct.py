"""CT: PS3.3 A.3 (CT Image) and A.38 (Enhanced CT Image)."""

from __future__ import annotations

from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
)

from dcmdask.dicom.values import NUMBER
from dcmdask.extract.base import EVIDENCE_OF_ENHANCED_IMAGES
from dcmdask.extract.table import Extractor, measured, plain

CT = Extractor(
    modality="CT",
    sop_classes=(CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage),
    attributes=(
        *plain("ImageType"),
        *measured("ContrastFlowDuration", "s"),
        *measured("ContrastFlowRate", "ml/s"),
        *plain("ContrastBolusAgent"),
        *measured("ContrastBolusVolume", "ml"),
        *plain("ContrastBolusStartTime", "ContrastBolusStopTime", "ContrastBolusIngredient"),
        *measured("ContrastBolusIngredientConcentration", "mg/ml"),
        *measured("KVP", "kV"),
        # IS in a CT image, FD under another keyword in an enhanced one: a float column holds both.
        *measured("XRayTubeCurrent", "mA", "XRayTubeCurrentInmA", kind=NUMBER),
        *measured("ExposureTime", "ms", "ExposureTimeInms", kind=NUMBER),
        *measured("Exposure", "mAs", "ExposureInmAs", kind=NUMBER),
        *plain("ExposureModulationType"),
        *measured("CTDIvol", "mGy"),
        *plain("ReconstructionAlgorithm"),
        *measured("ReconstructionDiameter", "mm"),
        *plain("ReconstructionMethod"),
        *measured("ReconstructionTargetCenterPatient", "mm"),
        *measured("ReconstructionFieldOfView", "mm"),
        *plain("ConvolutionKernel", "SpiralPitchFactor"),
        *measured("SingleCollimationWidth", "mm"),
        *measured("TotalCollimationWidth", "mm"),
        *measured("TableSpeed", "mm/s"),
        *plain("TableMotion"),
        *measured("GantryDetectorTilt", "degree"),
        *plain("DetectorType", "DetectorConfiguration"),
        *measured("DataCollectionCenterPatient", "mm"),
    ),
    references=EVIDENCE_OF_ENHANCED_IMAGES,
)
