"""RTSTRUCT: PS3.3 A.19 and C.8.8.5, C.8.8.6."""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage

from dcmdask.dicom.functional_groups import items, text_of
from dcmdask.dicom.values import INTEGER, TEXTS
from dcmdask.extract.table import (
    Extractor,
    computed,
    names_frame_of_reference,
    names_instances,
    names_series,
    plain,
)

_CONTOURS = 0x30060039  # ROIContourSequence
_FRAME = "ReferencedFrameOfReferenceSequence"


def roi_names(dataset: Dataset) -> Any:
    """Return ROIName of every ROI, in order; None where one has none."""
    return [text_of(item, "ROIName") for item in items(dataset, "StructureSetROISequence")]


def number_of_rois(dataset: Dataset) -> Any:
    """Return the number of items of StructureSetROISequence."""
    return len(items(dataset, "StructureSetROISequence"))


RTSTRUCT = Extractor(
    modality="RTSTRUCT",
    sop_classes=(RTStructureSetStorage,),
    attributes=(
        *plain("StructureSetLabel", "StructureSetName", "StructureSetDate", "StructureSetTime"),
        *computed("ROINames", TEXTS, roi_names, "StructureSetROISequence"),
        *computed("NumROIs", INTEGER, number_of_rois, "StructureSetROISequence"),
    ),
    references=(
        *names_series("image", _FRAME, "RTReferencedStudySequence", "RTReferencedSeriesSequence"),
        *names_frame_of_reference(_FRAME, prefer="CT,MR,PT"),
        *names_frame_of_reference("StructureSetROISequence", prefer="CT,MR,PT"),
        *names_instances("predecessor", "PredecessorStructureSetSequence"),
        *names_instances(
            "image",
            "ROIContourSequence",
            "ContourSequence",
            "ContourImageSequence",
            fallback=True,
        ),
        *names_series("image", "ROIContourSequence", "SourceSeriesSequence", fallback=True),
    ),
    every_instance=True,
    bulk=_CONTOURS,
)
