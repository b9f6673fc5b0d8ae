"""Every place where the standard keeps references is followed, every item of every sequence."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from support import examples

from dcmdask.extract.ct import CT
from dcmdask.extract.mr import MR
from dcmdask.extract.other import OTHER
from dcmdask.extract.pt import PT
from dcmdask.extract.reading import Named, read_references, wanted_tags
from dcmdask.extract.registry import EXTRACTORS
from dcmdask.extract.rtdose import RTDOSE
from dcmdask.extract.rtplan import RTPLAN
from dcmdask.extract.rtstruct import RTSTRUCT
from dcmdask.extract.seg import SEG
from dcmdask.extract.sr import SR
from dcmdask.extract.table import Extractor

EVERY = (*EXTRACTORS, OTHER)
REFERRING = pytest.mark.parametrize(
    "extractor", EVERY, ids=lambda extractor: extractor.modality or "other"
)


def item(**values: Any) -> Dataset:
    """Give a dataset of some values; a dataset or a list of them becomes a sequence."""
    dataset = Dataset()
    for word, value in values.items():
        if isinstance(value, Dataset):
            setattr(dataset, word, Sequence([value]))
        elif isinstance(value, list):
            setattr(dataset, word, Sequence(value))
        else:
            setattr(dataset, word, value)
    return dataset


def sop(*uids: str) -> list[Dataset]:
    """Give items that name instances."""
    return [item(ReferencedSOPInstanceUID=uid) for uid in uids]


def series(uid: str, *sops: str, under: str = "ReferencedInstanceSequence") -> Dataset:
    """Give an item that names a series and lists instances of it."""
    return item(SeriesInstanceUID=uid, **{under: sop(*sops)})


def names(
    dataset: Dataset, extractor: Extractor, *, fallback: bool = False
) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """Give role, level, UID and instances of what is named."""
    found = read_references(dataset, extractor, fallback=fallback)
    return [(ref.role, ref.level, ref.uid, ref.instances) for ref in found]


def paths(dataset: Dataset, extractor: Extractor, *, fallback: bool = False) -> list[str]:
    """Give where references stand."""
    return [ref.path for ref in read_references(dataset, extractor, fallback=fallback)]


# Modules that any object may have


@REFERRING
@pytest.mark.parametrize(
    "under", ["ReferencedInstanceSequence", "ReferencedImageSequence", "ReferencedSOPSequence"]
)
def test_common_instance_reference(extractor: Extractor, under: str) -> None:
    """Every series is named with its instances, whatever the list of these is called."""
    listed = [series("1.1", "1.1.2", "1.1.1", under=under), series("1.2", "1.2.1", under=under)]
    dataset = item(ReferencedSeriesSequence=listed)
    expected = [
        ("image", "series", "1.1", ("1.1.1", "1.1.2")),
        ("image", "series", "1.2", ("1.2.1",)),
    ]
    assert expected == names(dataset, extractor)


@REFERRING
def test_common_instance_reference_to_other_studies(extractor: Extractor) -> None:
    """Every series of every other study is named."""
    others = [
        item(
            StudyInstanceUID="9.1", ReferencedSeriesSequence=[series("1.1"), series("1.2", "1.2.1")]
        ),
        item(StudyInstanceUID="9.2", ReferencedSeriesSequence=[series("1.3")]),
    ]
    dataset = item(StudiesContainingOtherReferencedInstancesSequence=others)
    expected = [
        ("image", "series", "1.1", ()),
        ("image", "series", "1.2", ("1.2.1",)),
        ("image", "series", "1.3", ()),
    ]
    assert expected == names(dataset, extractor)


@REFERRING
@pytest.mark.parametrize(
    ("keyword", "role"),
    [
        ("ReferencedImageSequence", "image"),
        ("SourceImageSequence", "image"),
        ("ReferencedInstanceSequence", "instance"),
        ("SourceInstanceSequence", "instance"),
    ],
)
def test_general_reference(extractor: Extractor, keyword: str, role: str) -> None:
    """Instances are named one by one, with the number of their item."""
    dataset = item(**{keyword: sop("1.1", "1.2")})
    expected = [(role, "instance", "1.1", ("1.1",)), (role, "instance", "1.2", ("1.2",))]
    assert expected == names(dataset, extractor)
    assert f"{keyword}[1].ReferencedSOPInstanceUID" == paths(dataset, extractor)[1]


@pytest.mark.parametrize("extractor", [CT, MR, PT], ids=lambda extractor: extractor.modality)
def test_related_series(extractor: Extractor) -> None:
    """Related series are named by their UID alone."""
    related = [item(StudyInstanceUID="9", SeriesInstanceUID=uid) for uid in ("1.1", "1.2")]
    dataset = item(RelatedSeriesSequence=related)
    expected = [("related_series", "series", uid, ()) for uid in ("1.1", "1.2")]
    assert expected == names(dataset, extractor)


@pytest.mark.parametrize("extractor", [CT, MR, PT], ids=lambda extractor: extractor.modality)
@pytest.mark.parametrize(
    "evidence", ["ReferencedImageEvidenceSequence", "SourceImageEvidenceSequence"]
)
def test_evidence_of_enhanced_images(extractor: Extractor, evidence: str) -> None:
    """Enhanced images list what they refer to by study and series."""
    listed = [
        series("1.1", "1.1.1", under="ReferencedSOPSequence"),
        series("1.2", "1.2.1", under="ReferencedSOPSequence"),
    ]
    dataset = item(**{evidence: item(StudyInstanceUID="9", ReferencedSeriesSequence=listed)})
    expected = [
        ("image", "series", "1.1", ("1.1.1",)),
        ("image", "series", "1.2", ("1.2.1",)),
    ]
    assert expected == names(dataset, extractor)


# RTSTRUCT


def test_structure_set_names_every_item_of_every_sequence() -> None:
    """Two frames of two studies of two series each are eight series and two frames."""
    frames = []
    for a in (1, 2):
        studies = []
        for b in (1, 2):
            listed = [
                series(f"1.{a}.{b}.{c}", f"1.{a}.{b}.{c}.9", under="ContourImageSequence")
                for c in (1, 2)
            ]
            studies.append(item(RTReferencedSeriesSequence=listed))
        frames.append(item(FrameOfReferenceUID=f"7.{a}", RTReferencedStudySequence=studies))
    found = names(item(ReferencedFrameOfReferenceSequence=frames), RTSTRUCT)
    expected = [
        *(
            ("image", "series", f"1.{a}.{b}.{c}", (f"1.{a}.{b}.{c}.9",))
            for a in (1, 2)
            for b in (1, 2)
            for c in (1, 2)
        ),
        ("frame_of_reference", "frame_of_reference", "7.1", ()),
        ("frame_of_reference", "frame_of_reference", "7.2", ()),
    ]
    assert expected == found


def test_structure_set_without_series_uid() -> None:
    """Images that are listed under no series are named one by one."""
    listed = item(ContourImageSequence=sop("1.1", "1.2"))
    study = item(RTReferencedSeriesSequence=listed)
    dataset = item(ReferencedFrameOfReferenceSequence=item(RTReferencedStudySequence=study))
    expected = [("image", "instance", uid, (uid,)) for uid in ("1.1", "1.2")]
    assert expected == names(dataset, RTSTRUCT)
    where = "ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]."
    where += "RTReferencedSeriesSequence[0].ContourImageSequence[1].ReferencedSOPInstanceUID"
    assert where == paths(dataset, RTSTRUCT)[1]


def test_structure_set_without_references_before_its_contours() -> None:
    """Every contour of every ROI names its images; each image is named once, where it stood first."""
    rois = [
        item(
            ContourSequence=[
                item(ContourImageSequence=sop("1.1")),
                item(ContourImageSequence=sop("1.2")),
            ]
        ),
        item(
            ContourSequence=item(ContourImageSequence=sop("1.2", "1.3")),
            SourceSeriesSequence=item(SeriesInstanceUID="1.9"),
        ),
    ]
    dataset = item(ROIContourSequence=rois)
    assert [] == names(dataset, RTSTRUCT)
    expected = [
        *(("image", "instance", uid, (uid,)) for uid in ("1.1", "1.2", "1.3")),
        ("image", "series", "1.9", ()),
    ]
    assert expected == names(dataset, RTSTRUCT, fallback=True)
    where = "ROIContourSequence[0].ContourSequence[1].ContourImageSequence[0]."
    assert f"{where}ReferencedSOPInstanceUID" == paths(dataset, RTSTRUCT, fallback=True)[1]


def test_rois_name_frames_of_reference() -> None:
    """Where no frame of reference is listed, each ROI names its own."""
    rois = [item(ReferencedFrameOfReferenceUID=uid) for uid in ("7.1", "7.2", "7.1")]
    dataset = item(StructureSetROISequence=rois)
    level = "frame_of_reference"
    expected = [(level, level, "7.1", ()), (level, level, "7.2", ())]
    assert expected == names(dataset, RTSTRUCT)
    assert "StructureSetROISequence[1].ReferencedFrameOfReferenceUID" == paths(dataset, RTSTRUCT)[1]


def test_predecessor_structure_sets() -> None:
    """The structure set that is replaced is named as such."""
    dataset = item(PredecessorStructureSetSequence=sop("1.1", "1.2"))
    expected = [("predecessor", "instance", uid, (uid,)) for uid in ("1.1", "1.2")]
    assert expected == names(dataset, RTSTRUCT)


# RTPLAN, RTDOSE


@pytest.mark.parametrize(
    ("dataset", "role"),
    [
        (item(ReferencedStructureSetSequence=sop("1.1", "1.2")), "structure_set"),
        (item(ReferencedRTPlanSequence=sop("1.1", "1.2")), "related_plan"),
        (item(ReferencedDoseSequence=sop("1.1", "1.2")), "dose"),
        (
            item(
                FractionGroupSequence=[
                    item(ReferencedDoseSequence=sop(uid)) for uid in ("1.1", "1.2")
                ]
            ),
            "dose",
        ),
        (
            item(BeamSequence=[item(ReferencedDoseSequence=sop(uid)) for uid in ("1.1", "1.2")]),
            "dose",
        ),
        (
            item(IonBeamSequence=[item(ReferencedDoseSequence=sop(uid)) for uid in ("1.1", "1.2")]),
            "dose",
        ),
        (
            item(BeamSequence=item(ReferencedReferenceImageSequence=sop("1.1", "1.2"))),
            "image",
        ),
    ],
)
def test_plan(dataset: Dataset, role: str) -> None:
    """A plan names its structure sets, other plans, and doses of groups and beams."""
    expected = [(role, "instance", uid, (uid,)) for uid in ("1.1", "1.2")]
    assert expected == names(dataset, RTPLAN)


@pytest.mark.parametrize(
    ("dataset", "role"),
    [
        (item(ReferencedRTPlanSequence=sop("1.1", "1.2")), "plan"),
        (item(ReferencedStructureSetSequence=sop("1.1", "1.2")), "structure_set"),
        (item(ReferencedTreatmentRecordSequence=sop("1.1", "1.2")), "treatment_record"),
        (item(ReferencedSpatialRegistrationSequence=sop("1.1", "1.2")), "registration"),
        (
            item(PlanOverviewSequence=item(ReferencedStructureSetSequence=sop("1.1", "1.2"))),
            "structure_set",
        ),
        (item(PlanOverviewSequence=item(ReferencedImageSequence=sop("1.1", "1.2"))), "image"),
        (item(ReferencedImageSequence=sop("1.1", "1.2")), "image"),
        (item(ReferencedInstanceSequence=sop("1.1", "1.2")), "instance"),
    ],
)
def test_dose(dataset: Dataset, role: str) -> None:
    """A dose names plans, structure sets, records, registrations, and images."""
    expected = [(role, "instance", uid, (uid,)) for uid in ("1.1", "1.2")]
    assert expected == names(dataset, RTDOSE)


@pytest.mark.parametrize("extractor", [RTDOSE, SEG, PT], ids=lambda extractor: extractor.modality)
def test_own_frame_of_reference(extractor: Extractor) -> None:
    """Objects that stand for an image name the frame they share with it."""
    expected = [("frame_of_reference", "frame_of_reference", "7.1", ())]
    assert expected == names(item(FrameOfReferenceUID="7.1"), extractor)


@pytest.mark.parametrize("extractor", [CT, MR, OTHER], ids=lambda extractor: extractor.modality)
def test_an_image_names_no_frame_of_reference(extractor: Extractor) -> None:
    """An image refers to nothing by its frame of reference."""
    assert [] == names(item(FrameOfReferenceUID="7.1"), extractor)


# SEG


def derived(*uids: str) -> Dataset:
    """Give a functional group that is derived from images."""
    return item(DerivationImageSequence=item(SourceImageSequence=sop(*uids)))


def test_segmentation_of_two_series() -> None:
    """Both series stay."""
    dataset = item(ReferencedSeriesSequence=[series("1.1", "1.1.1"), series("1.2", "1.2.1")])
    found = names(dataset, SEG)
    assert ["1.1", "1.2"] == [uid for _, _, uid, _ in found]


def test_segmentation_by_shared_derivation() -> None:
    """What all frames are derived from stands before the frames."""
    dataset = item(SharedFunctionalGroupsSequence=derived("1.1", "1.2"))
    expected = [("image", "instance", uid, (uid,)) for uid in ("1.1", "1.2")]
    assert expected == names(dataset, SEG)


def test_segmentation_by_derivation_of_its_frames() -> None:
    """Every frame names what it is derived from, each image once."""
    dataset = item(PerFrameFunctionalGroupsSequence=[derived("1.1"), derived("1.2", "1.1")])
    assert [] == names(dataset, SEG)
    expected = [("image", "instance", uid, (uid,)) for uid in ("1.1", "1.2")]
    assert expected == names(dataset, SEG, fallback=True)


def test_surface_segmentation() -> None:
    """A surface names the images it was drawn on."""
    surface = item(SegmentSurfaceSourceInstanceSequence=sop("1.1", "1.2"))
    dataset = item(SegmentSequence=item(ReferencedSurfaceSequence=surface))
    expected = [("image", "instance", uid, (uid,)) for uid in ("1.1", "1.2")]
    assert expected == names(dataset, SEG)


# SR


@pytest.mark.parametrize(
    ("keyword", "role"),
    [
        ("CurrentRequestedProcedureEvidenceSequence", "evidence"),
        ("PertinentOtherEvidenceSequence", "other_evidence"),
        ("PredecessorDocumentsSequence", "predecessor"),
        ("IdenticalDocumentsSequence", "identical_document"),
    ],
)
def test_report(keyword: str, role: str) -> None:
    """Every series of every study that a report lists is named, in each of its lists."""
    studies = [
        item(
            StudyInstanceUID=f"9.{study}",
            ReferencedSeriesSequence=[
                series(
                    f"1.{study}.{number}", f"1.{study}.{number}.5", under="ReferencedSOPSequence"
                )
                for number in (1, 2)
            ],
        )
        for study in (1, 2)
    ]
    expected = [
        (role, "series", f"1.{study}.{number}", (f"1.{study}.{number}.5",))
        for study in (1, 2)
        for number in (1, 2)
    ]
    assert expected == names(item(**{keyword: studies}), SR)


def test_report_lists_under_two_roles() -> None:
    """The same series as evidence and as other evidence is two references."""
    listed = [item(ReferencedSeriesSequence=series("1.1", "1.1.1", under="ReferencedSOPSequence"))]
    dataset = item(
        CurrentRequestedProcedureEvidenceSequence=listed, PertinentOtherEvidenceSequence=listed
    )
    assert ["evidence", "other_evidence"] == [role for role, *_ in names(dataset, SR)]


def test_report_by_content_only() -> None:
    """Images, waveforms and composites of any depth are named in document order, each once."""
    leaves = [
        item(ValueType=kind, ReferencedSOPSequence=sop(uid))
        for kind, uid in (("IMAGE", "1.1"), ("WAVEFORM", "1.2"), ("COMPOSITE", "1.3"))
    ]
    deep = item(ValueType="CONTAINER", ContentSequence=[leaves[1], item(ContentSequence=leaves[2])])
    dataset = item(ContentSequence=[leaves[0], deep, leaves[0]])
    assert [] == names(dataset, SR)
    expected = [("content", "instance", uid, (uid,)) for uid in ("1.1", "1.2", "1.3")]
    assert expected == names(dataset, SR, fallback=True)
    where = "ContentSequence[1].ContentSequence[1].ContentSequence[0].ReferencedSOPSequence[0]."
    assert f"{where}ReferencedSOPInstanceUID" == paths(dataset, SR, fallback=True)[2]


def test_content_of_any_depth_comes_to_an_end() -> None:
    """A tree a thousand items deep is followed as far as any report goes."""
    dataset = item(ReferencedSOPSequence=sop("1.1"))
    for _ in range(1000):
        dataset = item(ContentSequence=dataset)
    assert [] == names(dataset, SR, fallback=True)


# What a reference is


def test_the_same_reference_twice_is_one() -> None:
    """One series named by two items is one reference with the instances of both."""
    dataset = item(
        ReferencedSeriesSequence=[series("1.1", "1.1.2"), series("1.1", "1.1.1", "1.1.2")]
    )
    assert [("image", "series", "1.1", ("1.1.1", "1.1.2"))] == names(dataset, OTHER)
    assert ["ReferencedSeriesSequence[0].SeriesInstanceUID"] == paths(dataset, OTHER)


def test_an_instance_of_a_named_series_is_not_named_again() -> None:
    """What a series lists is said with it; under another role it is another reference."""
    dataset = item(
        ReferencedSeriesSequence=series("1.1", "1.1.1"),
        SourceImageSequence=sop("1.1.1", "1.2.1"),
        SourceInstanceSequence=sop("1.1.1"),
    )
    expected = [
        ("image", "series", "1.1", ("1.1.1",)),
        ("image", "instance", "1.2.1", ("1.2.1",)),
        ("instance", "instance", "1.1.1", ("1.1.1",)),
    ]
    assert expected == names(dataset, OTHER)


@pytest.mark.parametrize("uid", ["", None])
def test_an_item_without_uid_names_nothing(uid: str | None) -> None:
    """Empty UIDs are no references."""
    empty = item(ReferencedSOPInstanceUID=uid)
    dataset = item(
        ReferencedImageSequence=[empty, Dataset()],
        ReferencedSeriesSequence=[item(SeriesInstanceUID=uid, ReferencedInstanceSequence=empty)],
        FrameOfReferenceUID=uid,
    )
    assert [] == names(dataset, PT)


def test_padding_is_no_part_of_a_uid() -> None:
    """A blank before or behind a UID hides no target."""
    dataset = item(ReferencedImageSequence=Dataset())
    dataset.ReferencedImageSequence[0].add_new(0x00081155, "LO", " 1.1 ")
    assert [("image", "instance", "1.1", ("1.1",))] == names(dataset, OTHER)


def test_a_sequence_that_is_none_names_nothing() -> None:
    """An element that should be a sequence and is text leads nowhere."""
    dataset = Dataset()
    dataset.add_new(0x00081140, "LO", "no sequence")
    dataset.add_new(0x00081115, "OB", b"\0\1\2\3")
    assert [] == names(dataset, OTHER)


@REFERRING
def test_wanted_tags_are_those_of_the_tables(extractor: Extractor) -> None:
    """All that is asked of the reader is sorted, and the fallback asks for its bulk only."""
    wanted = wanted_tags(extractor, attributes=False, fallback=False)
    assert tuple(sorted(set(wanted))) == wanted
    assert set(wanted) <= set(wanted_tags(extractor, attributes=True, fallback=False))
    bulk = wanted_tags(extractor, attributes=False, fallback=True)
    assert len({ref.path[0] for ref in extractor.references if ref.fallback}) == len(bulk)


@settings(max_examples=examples(50))
@given(
    st.lists(
        st.tuples(st.sampled_from(("1.1", "1.2", "")), st.lists(st.sampled_from(("5", "6", "7")))),
        max_size=6,
    )
)
def test_each_target_is_named_once(listed: list[tuple[str, list[str]]]) -> None:
    """However items repeat themselves, a role, a level and a UID are one reference."""
    dataset = item(ReferencedSeriesSequence=[series(uid, *sops) for uid, sops in listed])
    found = read_references(dataset, OTHER, fallback=False)
    keys = [(ref.role, ref.level, ref.uid) for ref in found]
    assert len(set(keys)) == len(keys)
    assert all(isinstance(ref, Named) and ref.uid for ref in found)
    every = {uid for _, sops in listed for uid in sops}
    assert every == {uid for ref in found for uid in ref.instances}
