"""A plan of two beams (PS3.3, A.20)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from dcmdask.synthetic.geometry import GEOMETRY
from dcmdask.synthetic.objects.values import Values, reference
from dcmdask.synthetic.patients import DATE
from dcmdask.synthetic.plan import Plan
from dcmdask.synthetic.uids import frame_uid

_BEAMS: Final[Mapping[int, int]] = MappingProxyType({1: 0, 2: 180})
"""Number to angle of the gantry, degrees"""
_JAWS: Final = ("X", "Y")


def build_rtplan(plan: Plan) -> dict[str, object]:
    """Return its elements."""
    del plan  # the same for every size
    return {
        "SeriesDescription": "Synthetic plan",
        "FrameOfReferenceUID": frame_uid("CT"),
        "PositionReferenceIndicator": "",
        "RTPlanLabel": "SYNTHETIC",
        "RTPlanName": "Two opposed beams",
        "RTPlanDate": DATE,
        "RTPlanTime": "151500",
        "PlanIntent": "CURATIVE",
        "RTPlanGeometry": "PATIENT",
        "DoseReferenceSequence": [
            {
                "DoseReferenceNumber": "1",
                "DoseReferenceStructureType": "SITE",
                "DoseReferenceDescription": "GTV",
                "DoseReferenceType": "TARGET",
                "TargetPrescriptionDose": "60",
            }
        ],
        "FractionGroupSequence": [
            {
                "FractionGroupNumber": "1",
                "NumberOfFractionsPlanned": "30",
                "NumberOfBeams": f"{len(_BEAMS)}",
                "NumberOfBrachyApplicationSetups": "0",
                "ReferencedBeamSequence": [
                    {"BeamDose": "1", "BeamMeterset": "110.5", "ReferencedBeamNumber": f"{number}"}
                    for number in _BEAMS
                ],
            }
        ],
        "BeamSequence": [_make_beam(number, angle) for number, angle in _BEAMS.items()],
        "PatientSetupSequence": [{"PatientPosition": "HFS", "PatientSetupNumber": "1"}],
        "ReferencedStructureSetSequence": [reference("RTSTRUCT")],
        "ApprovalStatus": "UNAPPROVED",
    }


def _make_beam(number: int, angle: int) -> Values:
    return {
        "TreatmentMachineName": "SYNTHETIC",
        "PrimaryDosimeterUnit": "MU",
        "SourceAxisDistance": "1000",
        "BeamLimitingDeviceSequence": [
            {"RTBeamLimitingDeviceType": device, "NumberOfLeafJawPairs": "1"} for device in _JAWS
        ],
        "BeamNumber": f"{number}",
        "BeamName": f"Beam {number}",
        "BeamType": "STATIC",
        "RadiationType": "PHOTON",
        "TreatmentDeliveryType": "TREATMENT",
        "NumberOfWedges": "0",
        "NumberOfCompensators": "0",
        "NumberOfBoli": "0",
        "NumberOfBlocks": "0",
        "FinalCumulativeMetersetWeight": "1",
        "NumberOfControlPoints": "2",
        "ControlPointSequence": [
            _make_first_control_point(angle),
            {"ControlPointIndex": "1", "CumulativeMetersetWeight": "1"},
        ],
        "ReferencedPatientSetupNumber": "1",
    }


def _make_first_control_point(angle: int) -> Values:
    """Return the control point that says all; in the second only the meterset differs."""
    return {
        "ControlPointIndex": "0",
        "NominalBeamEnergy": "6",
        "DoseRateSet": "600",
        "BeamLimitingDevicePositionSequence": [
            {"RTBeamLimitingDeviceType": device, "LeafJawPositions": ["-50", "50"]}
            for device in _JAWS
        ],
        "GantryAngle": f"{angle}",
        "GantryRotationDirection": "NONE",
        "BeamLimitingDeviceAngle": "0",
        "BeamLimitingDeviceRotationDirection": "NONE",
        "PatientSupportAngle": "0",
        "PatientSupportRotationDirection": "NONE",
        "IsocenterPosition": ["0", "0", GEOMETRY["CT"].z(1)],
        "CumulativeMetersetWeight": "0",
    }
