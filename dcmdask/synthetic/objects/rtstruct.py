"""A structure set of two ROIs (PS3.3, A.19)."""

import math
from itertools import chain
from typing import Final

from dcmdask.synthetic.geometry import GEOMETRY
from dcmdask.synthetic.objects.regions import ROIS, Region
from dcmdask.synthetic.objects.values import DESCRIBED, Values, code, reference, series_reference
from dcmdask.synthetic.patients import DATE
from dcmdask.synthetic.plan import Plan
from dcmdask.synthetic.uids import STUDY_UID, frame_uid

_DETACHED_STUDY: Final = "1.2.840.10008.3.1.2.3.1"
"""Retired, and what most structure sets still say of their study."""
_CORNERS: Final = 16


def build_rtstruct(plan: Plan) -> dict[str, object]:
    """Return its elements."""
    numbers = plan.middle(DESCRIBED // len(ROIS))
    return {
        "SeriesDescription": "Synthetic structures",
        "FrameOfReferenceUID": frame_uid("CT"),
        "PositionReferenceIndicator": "",
        "StructureSetLabel": "SYNTHETIC",
        "StructureSetName": "Body and target",
        "StructureSetDate": DATE,
        "StructureSetTime": "143000",
        "ReferencedFrameOfReferenceSequence": [_make_frame_reference(plan)],
        "StructureSetROISequence": [_make_roi(number, roi) for number, roi in ROIS.items()],
        "ROIContourSequence": [
            {
                "ROIDisplayColor": [f"{part}" for part in roi.color],
                "ContourSequence": [_make_contour(roi, number) for number in numbers],
                "ReferencedROINumber": f"{roi_number}",
            }
            for roi_number, roi in ROIS.items()
        ],
        "RTROIObservationsSequence": [
            _make_observation(number, roi) for number, roi in ROIS.items()
        ],
        "ApprovalStatus": "UNAPPROVED",
    }


def _make_frame_reference(plan: Plan) -> Values:
    """Return the item that leads from the frame of reference to the CT slices."""
    study = {
        "ReferencedSOPClassUID": _DETACHED_STUDY,
        "ReferencedSOPInstanceUID": STUDY_UID,
        "RTReferencedSeriesSequence": [series_reference(plan, "CT", "ContourImageSequence")],
    }
    return {"FrameOfReferenceUID": frame_uid("CT"), "RTReferencedStudySequence": [study]}


def _make_roi(number: int, roi: Region) -> Values:
    return {
        "ROINumber": f"{number}",
        "ReferencedFrameOfReferenceUID": frame_uid("CT"),
        "ROIName": roi.label,
        "ROIGenerationAlgorithm": "MANUAL",
    }


def _make_contour(roi: Region, number: int) -> Values:
    """Return the outline of an ROI on CT slice `number`."""
    geometry = GEOMETRY["CT"]
    x = (roi.middle - 0.5) * geometry.field_of_view
    radius = roi.radius * geometry.field_of_view
    angles = [2 * math.pi * corner / _CORNERS for corner in range(_CORNERS)]
    points = [
        (
            f"{x + radius * math.cos(angle):.2f}",
            f"{radius * math.sin(angle):.2f}",
            geometry.z(number),
        )
        for angle in angles
    ]
    return {
        "ContourImageSequence": [reference("CT", number)],
        "ContourGeometricType": "CLOSED_PLANAR",
        "NumberOfContourPoints": f"{_CORNERS}",
        "ContourData": list(chain.from_iterable(points)),
    }


def _make_observation(number: int, roi: Region) -> Values:
    return {
        "ObservationNumber": f"{number}",
        "ReferencedROINumber": f"{number}",
        "RTROIIdentificationCodeSequence": code(roi.code, "SCT", roi.meaning),
        "RTROIInterpretedType": roi.kind,
        "ROIInterpreter": "",
    }
