"""A segmentation of two segments (PS3.3, A.51)."""

from collections.abc import Sequence
from typing import Final, TypeAlias

from dcmdask.synthetic.geometry import AXIAL, GEOMETRY, Geometry
from dcmdask.synthetic.objects.regions import SEGMENTS
from dcmdask.synthetic.objects.values import DESCRIBED, Values, code, reference, series_reference
from dcmdask.synthetic.pixels import make_disc, pack_bits
from dcmdask.synthetic.plan import Plan
from dcmdask.synthetic.uids import DIMENSIONS_UID, frame_uid

_SEGMENT_NUMBER: Final = 0x0062_000B
_SEGMENT_IDENTIFICATION: Final = 0x0062_000A
_IMAGE_POSITION: Final = 0x0020_0032
_PLANE_POSITION: Final = 0x0020_9113

_Frames: TypeAlias = Sequence[tuple[int, int]]
"""Of each frame, number of its segment and of its slice."""


def build_seg(plan: Plan) -> dict[str, object]:
    """Return its elements."""
    source = plan.target("SEG")
    numbers = plan.middle(DESCRIBED // len(SEGMENTS))
    frames = [(segment, number) for segment in SEGMENTS for number in numbers]
    return {
        "ImageType": ["DERIVED", "PRIMARY"],
        "SeriesDescription": f"Synthetic segmentation of {source}",
        "ContentLabel": "SEGMENTATION",
        "ContentDescription": "Two organs",
        "ContentCreatorName": "Reader^Synthetic",
        "FrameOfReferenceUID": frame_uid(source),
        "PositionReferenceIndicator": "",
        "SegmentationType": "BINARY",
        "SegmentSequence": [_make_segment(number) for number in SEGMENTS],
        "ReferencedSeriesSequence": [series_reference(plan, source, "ReferencedInstanceSequence")],
        "DimensionOrganizationSequence": [{"DimensionOrganizationUID": DIMENSIONS_UID}],
        "DimensionIndexSequence": [
            _make_dimension(_SEGMENT_NUMBER, _SEGMENT_IDENTIFICATION, "Segment"),
            _make_dimension(_IMAGE_POSITION, _PLANE_POSITION, "Position"),
        ],
        "SharedFunctionalGroupsSequence": [_make_shared(plan, GEOMETRY[source])],
        "PerFrameFunctionalGroupsSequence": [
            _make_frame(plan, source, segment, number, number - numbers.start + 1)
            for segment, number in frames
        ],
        **_make_pixels(plan, frames),
    }


def _make_segment(number: int) -> Values:
    region = SEGMENTS[number]
    return {
        "SegmentNumber": number,
        "SegmentLabel": region.label,
        "SegmentDescription": f"{region.meaning}, a disc in each slice",
        "SegmentAlgorithmType": "MANUAL",
        "SegmentedPropertyCategoryCodeSequence": code("123037004", "SCT", "Anatomical Structure"),
        "SegmentedPropertyTypeCodeSequence": code(region.code, "SCT", region.meaning),
        "RecommendedDisplayCIELabValue": [34885, 53485, 50171],
    }


def _make_dimension(pointer: int, group: int, label: str) -> Values:
    return {
        "DimensionOrganizationUID": DIMENSIONS_UID,
        "DimensionIndexPointer": pointer,
        "FunctionalGroupPointer": group,
        "DimensionDescriptionLabel": label,
    }


def _make_shared(plan: Plan, geometry: Geometry) -> Values:
    """Return the functional groups of all frames."""
    return {
        "PixelMeasuresSequence": [
            {
                "SliceThickness": geometry.step(),
                "SpacingBetweenSlices": geometry.step(),
                "PixelSpacing": geometry.pixel_spacing(plan.matrix),
            }
        ],
        "PlaneOrientationSequence": [{"ImageOrientationPatient": AXIAL}],
    }


def _make_frame(plan: Plan, source: str, segment: int, number: int, position: int) -> Values:
    """Return the functional groups of the frame of `segment` that lies on slice `number`."""
    geometry = GEOMETRY[source]
    image = {
        **reference(source, number),
        "SpatialLocationsPreserved": "YES",
        "PurposeOfReferenceCodeSequence": code(
            "121322", "DCM", "Source image for image processing operation"
        ),
    }
    return {
        "DerivationImageSequence": [
            {
                "DerivationCodeSequence": code("113076", "DCM", "Segmentation"),
                "SourceImageSequence": [image],
            }
        ],
        "FrameContentSequence": [{"DimensionIndexValues": [segment, position]}],
        "PlanePositionSequence": [
            {"ImagePositionPatient": geometry.place(plan.matrix, geometry.z(number))}
        ],
        "SegmentIdentificationSequence": [{"ReferencedSegmentNumber": segment}],
    }


def _make_pixels(plan: Plan, frames: _Frames) -> Values:
    """Return the image pixel module: a bit a pixel, frame after frame."""
    return {
        "NumberOfFrames": f"{len(frames)}",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": plan.matrix,
        "Columns": plan.matrix,
        "BitsAllocated": 1,
        "BitsStored": 1,
        "HighBit": 0,
        "PixelRepresentation": 0,
        "LossyImageCompression": "00",
        "PixelData": pack_bits(
            "".join(
                "0" * start + "1" * (stop - start) + "0" * (plan.matrix - stop)
                for segment, number in frames
                for region in [SEGMENTS[segment]]
                for start, stop in make_disc(
                    plan.matrix, region.radius + number % 7 / 100, region.middle
                )
            )
        ),
    }
