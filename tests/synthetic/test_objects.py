"""Takes the objects of a patient; checks what they hold, and that each leads to what it refers to."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset
from synthetic.reading import SLICES, by_modality, read_files, refs, uids

from dcmdask.synthetic import write_synthetic

pytestmark = pytest.mark.filterwarnings("error")


def test_headers_are_as_rich_as_a_scanners(first: dict[str, list[Dataset]]) -> None:
    """Slices have about a hundred standard elements, of which the acquisition's are these."""
    for modality, keywords in {
        "CT": "KVP XRayTubeCurrent ConvolutionKernel ExposureTime SpiralPitchFactor "
        "GantryDetectorTilt ContrastBolusAgent ReconstructionDiameter RescaleSlope",
        "PT": "RadiopharmaceuticalInformationSequence EnergyWindowRangeSequence DecayCorrection "
        "Units FrameReferenceTime ActualFrameDuration",
        "MR": "EchoTime RepetitionTime FlipAngle MagneticFieldStrength",
    }.items():
        dataset = first[modality][0]
        assert [] == [keyword for keyword in keywords.split() if keyword not in dataset]
        assert 80 < len([tag for tag in dataset.keys() if not tag.is_private])  # noqa: SIM118


def walk_items(dataset: Dataset) -> Iterator[Dataset]:
    """Give every item of every sequence at any depth."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield item
                yield from walk_items(item)


def test_every_reference_resolves(files: dict[str, Dataset]) -> None:
    """Each UID in a reference is that of an instance, a series or a study of the same patient."""
    for patient in ("SYN-0001", "SYN-0002"):
        datasets = [each for group in by_modality(files, patient).values() for each in group]
        classes = {str(each.SOPInstanceUID): each.SOPClassUID for each in datasets}
        series = {str(each.SeriesInstanceUID) for each in datasets}
        study = {str(each.StudyInstanceUID) for each in datasets}
        frames = {str(each.get("FrameOfReferenceUID")) for each in datasets}
        for dataset in datasets:
            for element in dataset.iterall():
                if element.keyword == "ReferencedSOPInstanceUID":
                    assert element.value in classes.keys() | study
                elif element.keyword == "SeriesInstanceUID":
                    assert element.value in series
                elif element.keyword in {"FrameOfReferenceUID", "ReferencedFrameOfReferenceUID"}:
                    assert element.value in frames
        for dataset in datasets:
            for item in walk_items(dataset):
                target = item.get("ReferencedSOPInstanceUID")
                if target in classes:
                    assert classes[target] == item.ReferencedSOPClassUID


def test_dose_leads_to_ct(first: dict[str, list[Dataset]]) -> None:
    """RTDOSE names the RTPLAN, that the RTSTRUCT, and that the CT series with all its slices."""
    (dose,), (plan,), (structures,) = first["RTDOSE"], first["RTPLAN"], first["RTSTRUCT"]
    assert uids([plan]) == refs(dose.ReferencedRTPlanSequence)
    assert uids([structures]) == refs(plan.ReferencedStructureSetSequence)
    (frame,) = structures.ReferencedFrameOfReferenceSequence
    (study,) = frame.RTReferencedStudySequence
    (series,) = study.RTReferencedSeriesSequence
    assert first["CT"][0].FrameOfReferenceUID == frame.FrameOfReferenceUID
    assert first["CT"][0].StudyInstanceUID == study.ReferencedSOPInstanceUID
    assert first["CT"][0].SeriesInstanceUID == series.SeriesInstanceUID
    assert uids(first["CT"]) == refs(series.ContourImageSequence)


def test_contours_lie_on_their_slices(first: dict[str, list[Dataset]]) -> None:
    """Each contour is at the z of the CT slice it names, and both ROIs are observed."""
    (structures,) = first["RTSTRUCT"]
    z_of = {str(each.SOPInstanceUID): each.ImagePositionPatient[2] for each in first["CT"]}
    assert ["BODY", "GTV"] == [roi.ROIName for roi in structures.StructureSetROISequence]
    numbers = [roi.ROINumber for roi in structures.StructureSetROISequence]
    assert numbers == [roi.ReferencedROINumber for roi in structures.ROIContourSequence]
    assert numbers == [roi.ReferencedROINumber for roi in structures.RTROIObservationsSequence]
    for roi in structures.ROIContourSequence:
        assert SLICES == len(roi.ContourSequence)
        for contour in roi.ContourSequence:
            (target,) = refs(contour.ContourImageSequence)
            assert 3 * contour.NumberOfContourPoints == len(contour.ContourData)
            assert {z_of[target]} == set(contour.ContourData[2::3])


def test_segmentation_names_mr(first: dict[str, list[Dataset]]) -> None:
    """SEG names the MR series with all its slices, and each frame lies on the slice it names."""
    (segmentation,) = first["SEG"]
    (series,) = segmentation.ReferencedSeriesSequence
    assert first["MR"][0].SeriesInstanceUID == series.SeriesInstanceUID
    assert uids(first["MR"]) == refs(series.ReferencedInstanceSequence)
    positions = {str(each.SOPInstanceUID): each.ImagePositionPatient for each in first["MR"]}
    frames = segmentation.PerFrameFunctionalGroupsSequence
    assert segmentation.NumberOfFrames == len(frames)
    for frame in frames:
        (target,) = refs(frame.DerivationImageSequence[0].SourceImageSequence)
        assert positions[target] == frame.PlanePositionSequence[0].ImagePositionPatient


def test_report_names_its_evidence(first: dict[str, list[Dataset]]) -> None:
    """SR names the SEG and the MR series with their instances; its content names the SEG."""
    (report,) = first["SR"]
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    assert report.StudyInstanceUID == study.StudyInstanceUID
    actual = {
        str(series.SeriesInstanceUID): refs(series.ReferencedSOPSequence)
        for series in study.ReferencedSeriesSequence
    }
    expected = {
        str(first[modality][0].SeriesInstanceUID): uids(first[modality])
        for modality in ("SEG", "MR")
    }
    assert expected == actual
    content = {item.ValueType: item for item in report.ContentSequence}
    assert {"TEXT", "NUM", "IMAGE"} == set(content)
    assert uids(first["SEG"]) == refs(content["IMAGE"].ReferencedSOPSequence)


def test_frames_of_reference(first: dict[str, list[Dataset]]) -> None:
    """PT and all RT objects share the frame of reference of CT; SEG has that of MR, another."""
    frame = {
        modality: {str(each.FrameOfReferenceUID) for each in group}
        for modality, group in first.items()
        if modality != "SR"
    }
    assert 1 == len(frame["CT"])
    assert [frame["CT"]] * 4 == [frame[name] for name in ("PT", "RTSTRUCT", "RTPLAN", "RTDOSE")]
    assert frame["MR"] == frame["SEG"]
    assert frame["CT"].isdisjoint(frame["MR"])


@pytest.mark.parametrize(
    ("modalities", "target"),
    [(("CT", "SEG", "SR"), "CT"), (("SEG", "MR"), "MR"), (("SEG", "CT", "MR"), "MR")],
)
def test_segmentation_of_what_there_is(
    tmp_path: Path, modalities: tuple[str, ...], target: str
) -> None:
    """SEG refers to MR, and to CT only when there is no MR; the order of arguments is no matter."""
    write_synthetic(tmp_path, patients=1, slices=2, modalities=modalities)
    groups = by_modality(read_files(tmp_path))
    (series,) = groups["SEG"][0].ReferencedSeriesSequence
    assert set(modalities) == set(groups)
    assert uids(groups[target]) == refs(series.ReferencedInstanceSequence)
    assert groups[target][0].FrameOfReferenceUID == groups["SEG"][0].FrameOfReferenceUID


def test_report_on_ct_without_segmentation(tmp_path: Path) -> None:
    """SR names CT when there is no SEG."""
    write_synthetic(tmp_path, patients=1, slices=2, modalities=["CT", "SR"])
    groups = by_modality(read_files(tmp_path))
    (study,) = groups["SR"][0].CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert uids(groups["CT"]) == refs(series.ReferencedSOPSequence)


def test_long_series_are_referred_to_whole(tmp_path: Path) -> None:
    """With many slices few are contoured and segmented, yet each is referred to."""
    write_synthetic(tmp_path, patients=1, slices=120, matrix=4)
    groups = by_modality(read_files(tmp_path))
    (frame,) = groups["RTSTRUCT"][0].ReferencedFrameOfReferenceSequence
    (series,) = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert uids(groups["CT"]) == refs(series.ContourImageSequence)
    (series,) = groups["SEG"][0].ReferencedSeriesSequence
    assert uids(groups["MR"]) == refs(series.ReferencedInstanceSequence)
    assert 50 == groups["SEG"][0].NumberOfFrames
    assert 50 == groups["RTDOSE"][0].NumberOfFrames
