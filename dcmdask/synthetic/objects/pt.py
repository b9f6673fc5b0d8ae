"""A PET image (PS3.3, A.21)."""

from typing import Final

from dcmdask.synthetic.objects.values import Values, code, image
from dcmdask.synthetic.patients import DATE
from dcmdask.synthetic.plan import Plan

_RECONSTRUCTION: Final[Values] = {
    "CorrectedImage": ["DECY", "ATTN", "SCAT", "DTIM", "RANSNG", "NORM"],
    "RandomsCorrectionMethod": "SING",
    "AttenuationCorrectionMethod": "CT-derived 511 keV attenuation map",
    "ScatterCorrectionMethod": "Model Based",
    "DecayCorrection": "START",
    "ReconstructionMethod": "3D Iterative 2 iterations 24 subsets",
    "ReconstructionDiameter": "700",
}
"""What was made of the counts, as the PET series module says it (PS3.3, C.8.9.1)."""

_DETECTION: Final[Values] = {
    "DetectorLinesOfResponseUsed": "ALL",
    "CollimatorType": "NONE",
    "AcquisitionStartCondition": "MANUAL",
    "AcquisitionTerminationCondition": "TIME",
    "TypeOfDetectorMotion": "NONE",
    "EnergyWindowRangeSequence": [
        {"EnergyWindowLowerLimit": "425", "EnergyWindowUpperLimit": "650"}
    ],
}
"""How it was counted."""

_TRACER: Final[Values] = {
    "Radiopharmaceutical": "Fluorodeoxyglucose",
    "RadiopharmaceuticalStartTime": "085900.00",
    "RadiopharmaceuticalStartDateTime": f"{DATE}085900.00",
    "RadionuclideTotalDose": "370000000",
    "RadionuclideHalfLife": "6586.2",
    "RadionuclidePositronFraction": "0.967",
    "RadionuclideCodeSequence": code("77004003", "SCT", "^18^Fluorine"),
    "RadiopharmaceuticalCodeSequence": code("35321007", "SCT", "Fluorodeoxyglucose F^18^"),
}
"""The one item of the PET isotope module (PS3.3, C.8.9.2)."""

_ORIENTATION: Final[Values] = {
    "PatientOrientationCodeSequence": [
        {
            **code("102538003", "SCT", "recumbent")[0],
            "PatientOrientationModifierCodeSequence": code("40199007", "SCT", "supine"),
        }
    ],
    "PatientGantryRelationshipCodeSequence": code("102540008", "SCT", "headfirst"),
}
"""NM/PET patient orientation module (PS3.3, C.8.4.6)"""

_PIXELS: Final[Values] = {
    "FrameReferenceTime": "60000",
    "DecayFactor": "1.00632",
    "DoseCalibrationFactor": "1",
    "ScatterFractionFactor": "0.31",
    "DeadTimeFactor": "1.02",
    "SliceSensitivityFactor": "1",
    "WindowCenter": "8000",
    "WindowWidth": "16000",
    "RescaleIntercept": "0",
    "RescaleSlope": "4.25",
}
"""What the stored values mean, as the PET image module says it (PS3.3, C.8.9.4)."""


def build_pt(plan: Plan) -> dict[str, object]:
    """Return its elements."""
    return {
        **image(plan, "PT"),
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "SeriesDescription": "Synthetic PET attenuation corrected",
        "SeriesType": ["STATIC", "IMAGE"],
        "Units": "BQML",
        "CountsSource": "EMISSION",
        "NumberOfSlices": plan.slices,
        "ImageIndex": 1,
        **_RECONSTRUCTION,
        **_DETECTION,
        "RadiopharmaceuticalInformationSequence": [_TRACER],
        **_ORIENTATION,
        **_PIXELS,
    }
