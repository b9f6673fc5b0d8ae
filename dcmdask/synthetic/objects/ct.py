"""A CT image (PS3.3, A.3)."""

from typing import Final

from dcmdask.synthetic.objects.values import Values, code, image
from dcmdask.synthetic.patients import DATE
from dcmdask.synthetic.plan import Plan

_CONTRAST: Final[Values] = {
    "ContrastBolusRoute": "IV",
    "ContrastBolusVolume": "100",
    "ContrastFlowRate": "2.5",
}
"""Contrast/bolus module (PS3.3, C.7.6.4)"""

_ACQUISITION: Final[Values] = {
    "ScanOptions": "HELICAL MODE",
    "DataCollectionDiameter": "500",
    "ReconstructionDiameter": "500",
    "DistanceSourceToDetector": "949.147",
    "DistanceSourceToPatient": "541",
    "GantryDetectorTilt": "0",
    "TableHeight": "151.4",
    "RotationDirection": "CW",
    "XRayTubeCurrent": "9999",
    "Exposure": "12",
    "FilterType": "BODY FILTER",
    "GeneratorPower": "30000",
    "FocalSpots": "1.2",
    "RevolutionTime": 0.5,
    "SingleCollimationWidth": 0.625,
    "TotalCollimationWidth": 40.0,
    "TableSpeed": 110.0,
    "TableFeedPerRotation": 55.0,
    "SpiralPitchFactor": 1.375,
    "ExposureModulationType": "XYZ_EC",
    "EstimatedDoseSaving": 20.0,
    "CTDIvol": 9.81,
    "CTDIPhantomTypeCodeSequence": code("113691", "DCM", "IEC Body Dosimetry Phantom"),
}
"""CT image module (PS3.3, C.8.2.1)"""

_PIXELS: Final[Values] = {
    "PixelRepresentation": 1,
    "PixelPaddingValue": -2000,
    "WindowCenter": "40",
    "WindowWidth": "400",
    "RescaleIntercept": "-1024",
    "RescaleSlope": "1",
    "RescaleType": "HU",
}
"""What the stored values mean."""

_PROCEDURE: Final[Values] = {
    "RequestedProcedureDescription": "CT chest with contrast",
    "PerformedProcedureStepStartDate": DATE,
    "PerformedProcedureStepStartTime": "100000",
    "PerformedProcedureStepID": "PPS1",
    "PerformedProcedureStepDescription": "CT chest with contrast",
}
"""What was asked for and what was done."""


def build_ct(plan: Plan) -> dict[str, object]:
    """Return its elements."""
    return {
        **image(plan, "CT"),
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "SeriesDescription": "Synthetic CT chest with contrast",
        **_CONTRAST,
        **_ACQUISITION,
        "TemporalPositionIndex": 1,
        **_PIXELS,
        **_PROCEDURE,
    }
