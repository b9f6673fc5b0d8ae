"""PT: PS3.3 A.21 (PET Image) and A.56 (Enhanced PET Image).

The dose lives in the items of RadiopharmaceuticalInformationSequence (C.8.9.2), the energy windows
in those of EnergyWindowRangeSequence (C.8.9.1), never at top level.
"""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import EnhancedPETImageStorage, PositronEmissionTomographyImageStorage

from dcmdask.dicom.functional_groups import first_item, items, text_of
from dcmdask.dicom.values import TEXTS, arrow_type
from dcmdask.extract.base import EVIDENCE_OF_ENHANCED_IMAGES
from dcmdask.extract.table import (
    Attribute,
    Extractor,
    computed,
    measured,
    names_frame_of_reference,
    plain,
    within,
)

_DOSE = "RadiopharmaceuticalInformationSequence"
_WINDOW = "EnergyWindowRangeSequence"
_CODE = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")


def _within(sequence: str, keyword: str, unit: str) -> tuple[Attribute, ...]:
    return (Attribute(keyword, arrow_type(keyword), (f"{sequence}.{keyword}",), unit),)


def radiopharmaceutical_codes(dataset: Dataset) -> Any:
    """Return the codes of the radiopharmaceutical as ``(value, scheme, "meaning")`` (PS3.16)."""
    holder = first_item(dataset, _DOSE)
    if holder is None:
        return None
    return [
        '({}, {}, "{}")'.format(*(text_of(item, word) or "" for word in _CODE))
        for item in items(holder, "RadiopharmaceuticalCodeSequence")
    ]


PT = Extractor(
    modality="PT",
    sop_classes=(PositronEmissionTomographyImageStorage, EnhancedPETImageStorage),
    attributes=(
        *plain("ImageType", "Units"),
        *within(_DOSE, "Radiopharmaceutical", "RadiopharmaceuticalStartTime"),
        *_within(_DOSE, "RadionuclideTotalDose", "Bq (MBq in enhanced objects)"),
        *_within(_DOSE, "RadionuclideHalfLife", "s"),
        *within(_DOSE, "RadionuclidePositronFraction"),
        *_within(_DOSE, "RadiopharmaceuticalVolume", "cm3"),
        *_within(_DOSE, "RadiopharmaceuticalSpecificActivity", "Bq/micromole"),
        *within(_DOSE, "RadiopharmaceuticalStartDateTime", "RadiopharmaceuticalStopDateTime"),
        *within(_DOSE, "RadiopharmaceuticalRoute"),
        *computed("RadiopharmaceuticalCodeSequence", TEXTS, radiopharmaceutical_codes, _DOSE),
        *plain("DecayCorrection", "DecayFactor", "AttenuationCorrectionMethod"),
        *plain("ScatterCorrectionMethod", "DecayCorrected", "DeadTimeCorrectionFlag"),
        *plain("ReconstructionMethod", "SUVType"),
        *measured("FrameReferenceTime", "ms"),
        *measured("FrameTime", "ms"),
        *measured("ActualFrameDuration", "ms"),
        *plain("AcquisitionStartCondition", "AcquisitionTerminationCondition", "TimeSliceVector"),
        *plain("DetectorType"),
        *measured("CoincidenceWindowWidth", "ns"),
        *_within(_WINDOW, "EnergyWindowLowerLimit", "keV"),
        *_within(_WINDOW, "EnergyWindowUpperLimit", "keV"),
    ),
    references=(
        *EVIDENCE_OF_ENHANCED_IMAGES,
        *names_frame_of_reference(prefer="CT>MR"),
    ),
)
