"""SEG: PS3.3 A.51 (Segmentation) and A.57 (Surface Segmentation)."""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID, SegmentationStorage, SurfaceSegmentationStorage

from dcmdask.dicom.functional_groups import group_item, items, text_of
from dcmdask.dicom.values import NUMBERS, TEXTS
from dcmdask.extract.table import (
    Extractor,
    computed,
    names_frame_of_reference,
    names_instances,
    plain,
)

LABEL_MAP_SEGMENTATION = UID("1.2.840.10008.5.1.4.1.1.66.7")
"""Label Map Segmentation Storage, younger than the data dictionary of some pydicom releases."""

_FRAMES = 0x52009230  # PerFrameFunctionalGroupsSequence


def segment_labels(dataset: Dataset) -> Any:
    """Return SegmentLabel of every segment, in order; None where one has none."""
    return [text_of(item, "SegmentLabel") for item in items(dataset, "SegmentSequence")]


def segment_descriptions(dataset: Dataset) -> Any:
    """Return SegmentDescription of every segment, in order; None where one has none."""
    return [text_of(item, "SegmentDescription") for item in items(dataset, "SegmentSequence")]


def spacing(dataset: Dataset) -> Any:
    """Return PixelSpacing and the distance of slices, mm, of the Pixel Measures macro.

    The distance is SpacingBetweenSlices, else SliceThickness (PS3.3 C.7.6.16.2.1).
    """
    measures = group_item(dataset, "PixelMeasuresSequence")
    if measures is None:
        return None
    in_plane = measures.get("PixelSpacing")
    between = measures.get("SpacingBetweenSlices") or measures.get("SliceThickness")
    return [*in_plane, between] if in_plane and between else None


def direction(dataset: Dataset) -> Any:
    """Return ImageOrientationPatient of the Plane Orientation macro: six cosines."""
    orientation = group_item(dataset, "PlaneOrientationSequence")
    return orientation.get("ImageOrientationPatient") if orientation is not None else None


SEG = Extractor(
    modality="SEG",
    sop_classes=(SegmentationStorage, SurfaceSegmentationStorage, LABEL_MAP_SEGMENTATION),
    attributes=(
        *plain("SegmentationType", "SegmentationFractionalType", "MaximumFractionalValue"),
        *plain("ContentLabel", "ContentDescription"),
        *computed("ROINames", TEXTS, segment_labels, "SegmentSequence"),
        *computed("ROIDescriptions", TEXTS, segment_descriptions, "SegmentSequence"),
        *computed("SegSpacing", NUMBERS, spacing, "*", unit="mm"),
        *computed("SegDirection", NUMBERS, direction, "*"),
    ),
    references=(
        *names_frame_of_reference(prefer="CT,MR,PT"),
        *names_instances(
            "image",
            "SegmentSequence",
            "ReferencedSurfaceSequence",
            "SegmentSurfaceSourceInstanceSequence",
        ),
        *names_instances(
            "image",
            "SharedFunctionalGroupsSequence",
            "DerivationImageSequence",
            "SourceImageSequence",
        ),
        *names_instances(
            "image",
            "PerFrameFunctionalGroupsSequence",
            "DerivationImageSequence",
            "SourceImageSequence",
            fallback=True,
        ),
    ),
    every_instance=True,
    bulk=_FRAMES,
)
