"""The dose of the plan on a coarse grid (PS3.3, A.18)."""

from typing import Final

from dcmdask.synthetic.geometry import AXIAL, GEOMETRY
from dcmdask.synthetic.objects.values import DESCRIBED, reference
from dcmdask.synthetic.plan import Plan
from dcmdask.synthetic.uids import frame_uid

_MATRIX: Final = 16
_SPACING: Final = 12.5
"""mm"""


def build_rtdose(plan: Plan) -> dict[str, object]:
    """Return its elements."""
    geometry = GEOMETRY["CT"]
    numbers = plan.middle(DESCRIBED)
    corner = (1 - _MATRIX) * _SPACING / 2
    return {
        "SeriesDescription": "Synthetic dose",
        "FrameOfReferenceUID": frame_uid("CT"),
        "PositionReferenceIndicator": "",
        "ImagePositionPatient": [f"{corner}", f"{corner}", geometry.z(numbers.start)],
        "ImageOrientationPatient": AXIAL,
        "SliceThickness": geometry.step(),
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "NumberOfFrames": f"{len(numbers)}",
        "FrameIncrementPointer": 0x3004_000C,
        "Rows": _MATRIX,
        "Columns": _MATRIX,
        "PixelSpacing": [f"{_SPACING}"] * 2,
        "BitsAllocated": 32,
        "BitsStored": 32,
        "HighBit": 31,
        "PixelRepresentation": 0,
        "DoseUnits": "GY",
        "DoseType": "PHYSICAL",
        "DoseSummationType": "PLAN",
        "GridFrameOffsetVector": [
            f"{index * geometry.spacing / 1000}" for index in range(len(numbers))
        ],
        "DoseGridScaling": "0.0001",
        "TissueHeterogeneityCorrection": "IMAGE",
        "ReferencedRTPlanSequence": [reference("RTPLAN")],
        "PixelData": plan.pack("I", _make_dose(len(numbers))),
    }


def _make_dose(frames: int) -> list[int]:
    """Return stored values that fall off from near the middle, and a little from frame to frame."""
    return [
        max(0, 600_000 - 4_000 * ((row - _MATRIX // 2) ** 2 + abs(column - 8)) - frame)
        for frame in range(frames)
        for row in range(_MATRIX)
        for column in range(_MATRIX)
    ]
