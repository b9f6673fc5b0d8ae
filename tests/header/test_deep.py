"""Deep reading stops before the bulk of an object, and reads the bulk where nothing else serves."""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

import pydicom.filereader
import pytest
from header.datasets import damages
from header.windows import (
    SYNTAXES,
    element,
    file_of,
    leave_lengths_open,
    place_of,
    window_of,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ComprehensiveSRStorage,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RTDoseStorage,
    RTPlanStorage,
    RTStructureSetStorage,
    SegmentationStorage,
)
from support import examples

from dcmdask.errors import HeaderError
from dcmdask.extract.ct import CT
from dcmdask.extract.reading import Named
from dcmdask.extract.registry import EXTRACTORS, attributes_of
from dcmdask.extract.rtdose import RTDOSE
from dcmdask.extract.rtplan import RTPLAN
from dcmdask.extract.rtstruct import RTSTRUCT
from dcmdask.extract.seg import SEG
from dcmdask.extract.sr import SR
from dcmdask.extract.table import Extractor
from dcmdask.header.deep import Description, describe_header
from dcmdask.types import BLOCK, Kind, Window

pytestmark = pytest.mark.usefixtures("quiet")
FRAMES = 3000


def item(**values: Any) -> Dataset:
    """Give a dataset of some values; a list of datasets becomes a sequence."""
    dataset = Dataset()
    for word, value in values.items():
        several = isinstance(value, list) and value and isinstance(value[0], Dataset)
        setattr(dataset, word, Sequence(value) if several else value)
    return dataset


def describe(
    data: bytes, extractor: Extractor, *, attributes: bool = True, **options: Any
) -> Description:
    """Describe some bytes."""
    window, _ = window_of(data, **options)
    return describe_header(window, extractor, attributes=attributes)


def named(description: Description) -> list[tuple[str, str, str]]:
    """Give role, level and UID of what is named."""
    return [(ref.role, ref.level, ref.uid) for ref in description.references]


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the datasets that pydicom's reader makes."""
    counts: list[int] = []
    original = pydicom.filereader.read_dataset

    def counted(*args: Any, **kwargs: Any) -> Dataset:
        counts.append(1)
        return original(*args, **kwargs)

    monkeypatch.setattr(pydicom.filereader, "read_dataset", counted)
    return counts


# Segmentations


def frame(number: int, *, source: str = "") -> Dataset:
    """Give the groups of one frame."""
    groups = item(
        FrameContentSequence=[item(DimensionIndexValues=[1, number])],
        PlanePositionSequence=[item(ImagePositionPatient=[0, 0, number])],
        PixelMeasuresSequence=[item(PixelSpacing=[0.5, 0.25], SliceThickness=number)],
    )
    if source:
        image = item(ReferencedSOPInstanceUID=source)
        groups.DerivationImageSequence = Sequence([item(SourceImageSequence=[image])])
    return groups


def segmentation(frames: int, *, evidence: bool, sources: bool = False) -> Dataset:
    """Give a segmentation with its plane orientation shared and all else per frame."""
    dataset = item(
        SOPClassUID=SegmentationStorage,
        SOPInstanceUID="1.2.3",
        Modality="SEG",
        SegmentationType="BINARY",
        SegmentSequence=[item(SegmentLabel="Liver"), item(SegmentNumber=2)],
        SharedFunctionalGroupsSequence=[
            item(PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])])
        ],
        PerFrameFunctionalGroupsSequence=[
            frame(number, source=f"1.2.9.{number % 3}" if sources else "")
            for number in range(1, frames + 1)
        ],
    )
    if evidence:
        images = [item(ReferencedSOPInstanceUID="1.2.9.1")]
        series = item(SeriesInstanceUID="1.2.9", ReferencedInstanceSequence=images)
        dataset.ReferencedSeriesSequence = Sequence([series])
    return dataset


@cache
def large_segmentation(*, undefined: bool) -> Dataset:
    """Give a segmentation of many frames, its lengths open or not."""
    dataset = segmentation(FRAMES, evidence=True)
    if undefined:
        leave_lengths_open(dataset)
    return dataset


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("undefined", [True, False])
def test_of_thousands_of_frames_one_is_read(syntax: str, undefined: bool, built: list[int]) -> None:
    """A segmentation of 3,000 frames costs what its first frame costs, in bytes and in objects."""
    window, store = window_of(file_of(large_segmentation(undefined=undefined), syntax))
    description = describe_header(window, SEG, attributes=True)
    assert [0.5, 0.25, 1.0] == description.attributes["SegSpacing"]
    assert [1, 0, 0, 0, 1, 0] == description.attributes["SegDirection"]
    assert ["Liver", None] == description.attributes["ROINames"]
    assert [("image", "series", "1.2.9")] == named(description)
    assert description.complete
    assert len(built) < 30
    assert store.fetched <= 2 * BLOCK


def test_frames_are_not_read_for_references_alone(built: list[int]) -> None:
    """Another segmentation of the same series costs no frame at all."""
    window, store = window_of(file_of(large_segmentation(undefined=True)))
    assert [("image", "series", "1.2.9")] == named(describe_header(window, SEG, attributes=False))
    assert 0 == store.fetched
    assert len(built) < 15


def test_frames_are_read_where_nothing_else_names_an_image() -> None:
    """Without evidence the images stand in the derivation of every frame."""
    content = file_of(segmentation(40, evidence=False, sources=True), undefined=True)
    description = describe(content, SEG)
    expected = [("image", "instance", f"1.2.9.{number}") for number in (1, 2, 0)]
    assert expected == named(description)
    path = "PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]."
    assert f"{path}ReferencedSOPInstanceUID" == description.references[0].path


def test_an_empty_list_of_frames() -> None:
    """What follows an empty sequence is not taken for its first item."""
    dataset = segmentation(1, evidence=True)
    dataset.PerFrameFunctionalGroupsSequence = Sequence()
    content = file_of(dataset) + element(0x7FE00010, "OW", b"\0" * 100)
    description = describe(content, SEG)
    assert description.complete
    assert None is description.attributes["SegSpacing"]


@pytest.mark.parametrize("undefined", [True, False])
def test_an_encoding_other_than_promised(undefined: bool) -> None:
    """Where the meta group says implicit and the dataset is explicit, its frames are found."""
    content = file_of(segmentation(2, evidence=True), undefined=undefined)
    lie = ImplicitVRLittleEndian.encode().ljust(20, b"\0")
    content = content.replace(ExplicitVRLittleEndian.encode().ljust(20, b"\0"), lie, 1)
    assert [0.5, 0.25, 1.0] == describe(content, SEG).attributes["SegSpacing"]


def test_a_damaged_first_frame_costs_its_values_only() -> None:
    """References and attributes stand although the first frame cannot be read."""
    content = file_of(segmentation(1, evidence=True), undefined=True)
    at = content.index(struct.pack("<HH2s", 0x5200, 0x9230, b"SQ"))
    description = describe(content[: at + 40], SEG)
    assert not description.whole
    assert "BINARY" == description.attributes["SegmentationType"]
    assert [("image", "series", "1.2.9")] == named(description)


# Structure sets


def structure_set(*, references: bool, contours: int = 3, series: bool = True) -> Dataset:
    """Give a structure set whose contours name the images 1.2.9.0, 1.2.9.1, ..."""
    images = [item(ReferencedSOPInstanceUID=f"1.2.9.{number}") for number in range(contours)]
    frame_of = item(FrameOfReferenceUID="1.2.7")
    if references:
        listed = item(ContourImageSequence=images)
        if series:
            listed.SeriesInstanceUID = "1.2.9"
        study = item(ReferencedSOPInstanceUID="1.2.8", RTReferencedSeriesSequence=[listed])
        frame_of.RTReferencedStudySequence = Sequence([study])
    drawn = [
        item(ContourImageSequence=[image], ContourData=["1.5"] * 3000, NumberOfContourPoints=1000)
        for image in images
    ]
    return item(
        SOPClassUID=RTStructureSetStorage,
        SOPInstanceUID="1.2.3",
        Modality="RTSTRUCT",
        StructureSetLabel="Plan",
        ReferencedFrameOfReferenceSequence=[frame_of],
        StructureSetROISequence=[item(ROIName="Heart"), item(ROINumber=2), item(ROIName="Lung")],
        ROIContourSequence=[item(ContourSequence=drawn)],
    )


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("undefined", [True, False])
def test_contours_stay_unread_where_references_stand_before(
    syntax: str, undefined: bool, built: list[int]
) -> None:
    """A structure set that names its images costs nothing of its contours."""
    content = file_of(structure_set(references=True), syntax, undefined=undefined)
    window, store = window_of(content)
    description = describe_header(window, RTSTRUCT, attributes=True)
    assert ["Heart", None, "Lung"] == description.attributes["ROINames"]
    assert 3 == description.attributes["NumROIs"]
    expected = [("image", "series", "1.2.9"), ("frame_of_reference", "frame_of_reference", "1.2.7")]
    assert expected == named(description)
    assert ("1.2.9.0", "1.2.9.1", "1.2.9.2") == description.references[0].instances
    if syntax != DeflatedExplicitVRLittleEndian:
        assert 0 == store.fetched
    assert len(built) < 20


@pytest.mark.parametrize("undefined", [True, False])
def test_contours_are_read_where_nothing_else_names_an_image(undefined: bool) -> None:
    """A frame of reference alone leaves the images to the contours."""
    content = file_of(structure_set(references=False), undefined=undefined)
    expected = [
        ("frame_of_reference", "frame_of_reference", "1.2.7"),
        *(("image", "instance", f"1.2.9.{number}") for number in range(3)),
    ]
    assert expected == named(describe(content, RTSTRUCT))


def test_contours_too_large_to_read_cost_only_themselves() -> None:
    """What stands before the contours is kept where these outgrow their bytes, and it is said."""
    content = file_of(structure_set(references=False, contours=30))
    description = describe(content, RTSTRUCT, budget=BLOCK)
    assert not description.complete
    assert "Plan" == description.attributes["StructureSetLabel"]
    assert [("frame_of_reference", "frame_of_reference", "1.2.7")] == named(description)


def test_a_predecessor_is_no_image() -> None:
    """A structure set that names only the one it replaces is asked for its contours."""
    dataset = structure_set(references=False, contours=1)
    before = item(ReferencedSOPInstanceUID="1.2.4")
    dataset.PredecessorStructureSetSequence = Sequence([before])
    roles = [role for role, _, _ in named(describe(file_of(dataset), RTSTRUCT))]
    assert ["frame_of_reference", "predecessor", "image"] == roles


# Plans and doses


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("undefined", [True, False])
def test_a_plan_is_read_beyond_its_beams(syntax: str, undefined: bool) -> None:
    """The structure set of a plan stands behind its beams, whatever their length says."""
    points = [item(ControlPointIndex=number, GantryAngle=number) for number in range(50)]
    dose = item(ReferencedSOPInstanceUID="1.2.6")
    beams = [item(BeamNumber=1, ControlPointSequence=points, ReferencedDoseSequence=[dose])]
    dataset = item(
        SOPClassUID=RTPlanStorage,
        SOPInstanceUID="1.2.3",
        Modality="RTPLAN",
        RTPlanLabel="A",
        BeamSequence=beams,
        ReferencedStructureSetSequence=[item(ReferencedSOPInstanceUID="1.2.5")],
    )
    description = describe(file_of(dataset, syntax, undefined=undefined), RTPLAN)
    assert "A" == description.attributes["RTPlanLabel"]
    expected = [("structure_set", "instance", "1.2.5"), ("dose", "instance", "1.2.6")]
    assert expected == named(description)


def test_histograms_before_the_plan_of_a_dose_are_passed(built: list[int]) -> None:
    """Dose-volume histograms of undefined length are walked over, not built."""
    histograms = [item(DVHData=["1", "2"], DVHType="CUMULATIVE") for _ in range(500)]
    dataset = item(
        SOPClassUID=RTDoseStorage,
        SOPInstanceUID="1.2.3",
        Modality="RTDOSE",
        DoseUnits="GY",
        DVHSequence=histograms,
        ReferencedRTPlanSequence=[item(ReferencedSOPInstanceUID="1.2.5")],
    )
    description = describe(file_of(dataset, undefined=True), RTDOSE)
    assert [("plan", "instance", "1.2.5")] == named(description)
    assert "GY" == description.attributes["DoseUnits"]
    assert len(built) < 10


# Reports


def report(**values: Any) -> Dataset:
    """Give a report whose content names the image 1.2.9.1 two levels down."""
    image = item(ReferencedSOPInstanceUID="1.2.9.1")
    leaf = item(ValueType="IMAGE", ReferencedSOPSequence=[image])
    branch = item(ValueType="CONTAINER", ContentSequence=[leaf, item(ValueType="TEXT")])
    return item(
        SOPClassUID=ComprehensiveSRStorage,
        SOPInstanceUID="1.2.3",
        Modality="SR",
        ValueType="CONTAINER",
        CompletionFlag="COMPLETE",
        ContentSequence=[item(ValueType="TEXT", TextValue="x" * 60_000), branch],
        **values,
    )


def listing(series: str) -> list[Dataset]:
    """Give evidence that lists one instance of a series."""
    sops = [item(ReferencedSOPInstanceUID=f"{series}.1")]
    entry = item(SeriesInstanceUID=series, ReferencedSOPSequence=sops)
    return [item(StudyInstanceUID="1.2.8", ReferencedSeriesSequence=[entry])]


def test_content_stays_unread_where_evidence_stands_before() -> None:
    """A report that lists its evidence costs nothing of its content."""
    dataset = report(CurrentRequestedProcedureEvidenceSequence=listing("1.2.9"))
    window, store = window_of(file_of(dataset, undefined=True))
    description = describe_header(window, SR, attributes=True)
    assert [("evidence", "series", "1.2.9")] == named(description)
    assert "COMPLETE" == description.attributes["CompletionFlag"]
    assert 0 == store.fetched


@pytest.mark.parametrize("undefined", [True, False])
def test_content_is_read_where_a_report_lists_only_its_predecessor(undefined: bool) -> None:
    """The document that is replaced is no evidence."""
    dataset = report(PredecessorDocumentsSequence=listing("1.2.4"))
    expected = [("predecessor", "series", "1.2.4"), ("content", "instance", "1.2.9.1")]
    assert expected == named(describe(file_of(dataset, undefined=undefined), SR))


def test_a_long_sequence_of_unknown_vr() -> None:
    """A sequence that an archive stored as UN is one however long it is (PS3.5 section 6.2.2)."""
    sops = [item(ReferencedSOPInstanceUID=f"1.2.9.{number}") for number in range(3000)]
    dataset = item(ReferencedImageSequence=sops)
    value = file_of(dataset, ImplicitVRLittleEndian)
    value = value[value.index(struct.pack("<HH", 0x0008, 0x1140)) + 8 :]
    assert len(value) > 0xFFFF
    head = file_of(item(SOPClassUID=CTImageStorage))
    description = describe(head + element(0x00081140, "UN", value), CT)
    assert 3000 == len(description.references)


# Hostile objects


def test_a_sequence_of_too_many_items_is_not_built(
    monkeypatch: pytest.MonkeyPatch, built: list[int]
) -> None:
    """A wanted sequence is weighed before it is built; attributes stand all the same."""
    monkeypatch.setattr("dcmdask.dicom.sequence_items.LARGEST", 2_000)
    head = file_of(item(SOPClassUID=CTImageStorage, SOPInstanceUID="1.2.3"))
    items = (b"\xfe\xff\x00\xe0" + b"\0" * 4) * 20_000
    behind = element(0x00180060, "DS", b"120 ")
    description = describe(head + element(0x00081140, "SQ", items) + behind, CT)
    assert (False, 120.0) == (description.complete, description.attributes["KVP"])
    assert len(built) < 10


def test_nesting_too_deep_to_build_costs_only_itself() -> None:
    """A wanted sequence that pydicom's recursion cannot follow leaves what stands elsewhere."""
    head = file_of(item(SOPClassUID=ComprehensiveSRStorage, SOPInstanceUID="1.2.3", Modality="SR"))
    start = b"\xfe\xff\x00\xe0" + b"\xff" * 4
    content = element(0x0040A730, "SQ", b"", 0xFFFFFFFF) + start
    description = describe(head + content * 5_000, SR)
    assert not description.complete
    assert [] == description.references


def test_an_error_of_a_fetch_is_told_as_it_was() -> None:
    """A file that is gone half way is gone, not corrupt."""

    def fail(_offset: int, _count: int) -> bytes:
        raise HeaderError(Kind.VANISHED, "gone")

    content = file_of(item(SOPClassUID=RTPlanStorage)) + element(0x300A00B0, "SQ", b"", 10**6)
    with pytest.raises(HeaderError, match="vanished"):
        describe_header(Window(place_of(), content, fail, 10**7), RTPLAN, attributes=True)


OBJECTS = {
    "SEG": segmentation(2, evidence=True),
    "RTSTRUCT": structure_set(references=False),
    "SR": report(),
    "CT": item(
        SOPClassUID=CTImageStorage,
        ImageType=["ORIGINAL", "PRIMARY"],
        KVP="120",
        ReferencedImageSequence=[item(ReferencedSOPInstanceUID="1.2.3")],
        SharedFunctionalGroupsSequence=[item(PixelMeasuresSequence=[item(SliceThickness=1)])],
        PerFrameFunctionalGroupsSequence=[item(CTExposureSequence=[item(CTDIvol=1.0)])],
    ),
}
BASES = [
    file_of(dataset, syntax, undefined=undefined)
    for dataset in OBJECTS.values()
    for undefined in (False, True)
    for syntax in SYNTAXES
]


@settings(
    max_examples=examples(250),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.sampled_from(BASES).flatmap(damages),
    st.sampled_from(EXTRACTORS),
    st.sampled_from((132, 8192)),
)
def test_damage_is_a_description_or_an_error_of_ours(
    content: bytes, extractor: Extractor, head: int
) -> None:
    """A damaged object gives what can be read of it, or a HeaderError; within its budget."""
    window, store = window_of(content, head=head, budget=200_000)
    try:
        description = describe_header(window, extractor, attributes=True)
    except HeaderError:
        description = Description()
    else:
        expected = [attribute.name for attribute in attributes_of(extractor)]
        assert expected == list(description.attributes)
    assert all(isinstance(reference, Named) for reference in description.references)
    assert store.fetched <= 200_000


def test_lengths_left_open_read_the_same() -> None:
    """Defined and undefined lengths say the same of an object."""
    for dataset in OBJECTS.values():
        closed = describe(file_of(dataset), SEG)
        leave_lengths_open(dataset)
        assert closed == describe(file_of(dataset), SEG)
