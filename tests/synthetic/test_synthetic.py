"""Takes synthetic data sets of a few slices; checks them with pydicom, as any reader would."""

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset, dcmread
from pydicom.config import RAISE
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pydicom.valuerep import validate_value

from dcmdask.synthetic import synthetic
from dcmdask.synthetic.synthetic import MODALITIES, Synthesis, write_synthetic

pytestmark = pytest.mark.filterwarnings("error")

SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
PLAIN = (int, float, bytes)
PATIENTS = 2
SLICES = 7


def read_files(out: Path) -> dict[str, Dataset]:
    """Read every file below a folder, by its name."""
    return {
        path.relative_to(out).as_posix(): dcmread(path)
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a data set of all modalities."""
    out = tmp_path_factory.mktemp("synthetic")
    write_synthetic(out, patients=PATIENTS, slices=SLICES, vendor_elements=40)
    return out


@pytest.fixture(scope="module")
def files(out: Path) -> dict[str, Dataset]:
    """Read that data set."""
    return read_files(out)


@pytest.fixture(scope="module")
def first(files: dict[str, Dataset]) -> dict[str, list[Dataset]]:
    """Give the instances of the first patient by modality."""
    return by_modality(files, "SYN-0001")


def by_modality(files: dict[str, Dataset], patient: str = "SYN-0001") -> dict[str, list[Dataset]]:
    """Group the instances of a patient."""
    groups: dict[str, list[Dataset]] = {}
    for dataset in files.values():
        if dataset.PatientID == patient:
            groups.setdefault(dataset.Modality, []).append(dataset)
    return groups


def uids(datasets: list[Dataset]) -> list[str]:
    """Give the SOPInstanceUIDs."""
    return [dataset.SOPInstanceUID for dataset in datasets]


def refs(items: pydicom.Sequence) -> list[str]:
    """Give the ReferencedSOPInstanceUIDs of items."""
    return [item.ReferencedSOPInstanceUID for item in items]


def flatten(dataset: Dataset) -> Iterator[tuple[object, object]]:
    """Give tag and value of every element at any depth, but of pixels, and the lengths of lists."""
    for element in dataset:
        if element.VR == "SQ":
            yield element.tag, len(element.value)
            for item in element.value:
                yield from flatten(item)
        elif element.keyword != "PixelData":
            yield element.tag, element.value


def plain(value: object) -> object:
    """Give text for what pydicom has made of text, and other values as they are."""
    return value if type(value) in PLAIN else str(value)


def write_in(out: Path, syntax: str) -> dict[str, Dataset]:
    """Write a small data set in a transfer syntax, and read it."""
    write_synthetic(
        out, patients=1, slices=3, matrix=12, vendor_elements=400, transfer_syntax=syntax
    )
    return read_files(out)


# What is written


def test_says_what_it_wrote(tmp_path: Path) -> None:
    """The counts returned are those of the files on disk."""
    actual = write_synthetic(tmp_path, patients=2, slices=3)
    sizes = [path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()]
    expected = Synthesis(
        patients=2, studies=2, series=16, instances=28, files=len(sizes), bytes=sum(sizes)
    )
    assert expected == actual


def test_counts_what_was_read(files: dict[str, Dataset]) -> None:
    """There are as many patients, studies, series and instances as asked for."""
    per_patient = 3 * SLICES + 5
    assert PATIENTS * per_patient == len(files)
    assert PATIENTS * per_patient == len({str(each.SOPInstanceUID) for each in files.values()})
    assert PATIENTS * 8 == len({str(each.SeriesInstanceUID) for each in files.values()})
    assert PATIENTS == len({str(each.StudyInstanceUID) for each in files.values()})
    assert {"SYN-0001", "SYN-0002"} == {each.PatientID for each in files.values()}


def test_names_files_by_modality(files: dict[str, Dataset]) -> None:
    """Folders are patients and modalities, and every second patient's files have no suffix."""
    assert "CT" == files["SYN-0001/CT/CT-0001.dcm"].Modality
    assert "RTDOSE" == files["SYN-0002/RTDOSE/IM0001"].Modality
    assert {f"{each.PatientID}/{each.Modality}" for each in files.values()} == {
        name.rpartition("/")[0] for name in files
    }


def test_file_meta_agrees_with_dataset(files: dict[str, Dataset]) -> None:
    """The file meta information names the instance and class of the dataset."""
    for dataset in files.values():
        meta = dataset.file_meta
        assert dataset.SOPInstanceUID == meta.MediaStorageSOPInstanceUID
        assert dataset.SOPClassUID == meta.MediaStorageSOPClassUID
        assert ExplicitVRLittleEndian == meta.TransferSyntaxUID


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_value_is_valid(tmp_path: Path, syntax: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pydicom takes every value when told to refuse the invalid, read and checked one by one."""
    monkeypatch.setattr(pydicom.config.settings, "_reading_validation_mode", RAISE)
    write_synthetic(tmp_path, patients=2, slices=2, transfer_syntax=syntax, vendor_elements=500)
    for dataset in read_files(tmp_path).values():
        assert RAISE == pydicom.config.settings.reading_validation_mode
        # Reading checks numbers, dates and names only; the rest is asked for.
        for element in (*dataset.file_meta, *dataset.iterall()):
            for value in element.value if element.VM > 1 else [element.value]:
                if element.VR not in {"SQ", "AT"}:
                    validate_value(element.VR, plain(value), RAISE)


def test_uids_are_valid_and_of_one_length(files: dict[str, Dataset]) -> None:
    """Every UID that stands for a thing of the data set is valid and has 44 characters."""
    for dataset in files.values():
        for element in dataset.iterall():
            if element.VR == "UI" and str(element.value).startswith("2.25."):
                assert element.value.is_valid
                assert 44 == len(element.value)
                assert int(element.value[5:]) < 2**128


def test_patients_are_plausible(files: dict[str, Dataset]) -> None:
    """Age is the time from birth to study, in whole years, and every object says the same."""
    for dataset in files.values():
        whole_years = int(dataset.StudyDate) - int(dataset.PatientBirthDate)
        assert f"{whole_years // 10_000:03d}Y" == dataset.PatientAge
        assert dataset.PatientName == f"Synthetic^Patient {dataset.PatientID[-4:]}"
    facts = {
        (each.PatientID, each.PatientBirthDate, each.PatientSex, each.StudyDate, each.StudyID)
        for each in files.values()
    }
    assert PATIENTS == len(facts)


def test_no_template_is_left(out: Path) -> None:
    """Neither the token nor the date that stand for a patient in templates reaches a file."""
    for path in out.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert synthetic._TOKEN.encode() not in content
        assert synthetic._DATE.encode() not in content


def test_many_patients_have_distinct_uids(tmp_path: Path) -> None:
    """No two of a hundred patients share a UID, whatever is patched into which template."""
    write_synthetic(tmp_path, patients=100, slices=2, matrix=2, modalities=["CT", "RTSTRUCT"])
    read = list(read_files(tmp_path).values())
    assert len(read) == len(set(uids(read)))
    assert 200 == len({str(dataset.SeriesInstanceUID) for dataset in read})
    assert 1 < len({dataset.KVP for dataset in read if dataset.Modality == "CT"})


# Slices


@pytest.mark.parametrize("modality", ["CT", "PT", "MR"])
def test_slices_are_numbered_and_equally_spaced(
    first: dict[str, list[Dataset]], modality: str
) -> None:
    """InstanceNumber counts from 1, and positions differ by the thickness of a slice along z."""
    slices = first[modality]
    spacing = slices[0].SliceThickness
    start = slices[0].ImagePositionPatient
    assert list(range(1, SLICES + 1)) == [each.InstanceNumber for each in slices]
    for index, each in enumerate(slices):
        expected = [*start[:2], pytest.approx(start[2] + index * spacing, abs=1e-9)]
        assert expected == list(each.ImagePositionPatient)
        assert each.ImagePositionPatient[2] == each.SliceLocation


def test_slices_differ_in_pixels(first: dict[str, list[Dataset]]) -> None:
    """Neighbouring slices have other pixels, of the size that the header says."""
    for modality in ("CT", "PT", "MR"):
        pixels = [each.PixelData for each in first[modality]]
        assert SLICES == len(set(pixels))
        assert {64 * 64 * 2} == {len(each) for each in pixels}


def test_pt_counts_its_images(first: dict[str, list[Dataset]]) -> None:
    """ImageIndex runs from 1 to NumberOfSlices."""
    assert list(range(1, SLICES + 1)) == [each.ImageIndex for each in first["PT"]]
    assert {SLICES} == {each.NumberOfSlices for each in first["PT"]}


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


@pytest.mark.parametrize("elements", [1, 5, 40, 1000])
def test_vendor_elements_are_present(tmp_path: Path, elements: int) -> None:
    """CT and MR slices have as many private elements as asked for, under their creators."""
    write_synthetic(
        tmp_path, patients=1, slices=1, modalities=["CT", "PT", "MR"], vendor_elements=elements
    )
    groups = by_modality(read_files(tmp_path))
    for modality, expected in {"CT": elements, "MR": elements, "PT": 0}.items():
        private = [each for each in groups[modality][0] if each.tag.is_private]
        values = [each for each in private if not each.tag.is_private_creator]
        creators = {(each.tag.group, each.tag.elem) for each in private} - {
            (each.tag.group, each.tag.elem) for each in values
        }
        assert expected == len(values)
        assert {(each.tag.group, each.tag.elem >> 8) for each in values} == creators
        assert min(expected, 5) == len({each.tag.group for each in values})
        assert "UN" not in {each.VR for each in values}


# References


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


def walk_items(dataset: Dataset) -> Iterator[Dataset]:
    """Give every item of every sequence at any depth."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield item
                yield from walk_items(item)


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


# Pixels


@pytest.mark.parametrize("matrix", [1, 3, 10, 64])
def test_pixels_decode(tmp_path: Path, matrix: int) -> None:
    """Pixels of every modality decode to the shape that the header says, whatever the matrix."""
    pytest.importorskip("numpy")
    write_synthetic(tmp_path, patients=1, slices=3, matrix=matrix)
    groups = by_modality(read_files(tmp_path))
    for modality in ("CT", "PT", "MR"):
        assert (matrix, matrix) == groups[modality][0].pixel_array.shape
    assert (6, matrix, matrix) == groups["SEG"][0].pixel_array.shape
    assert (3, 16, 16) == groups["RTDOSE"][0].pixel_array.shape


def test_pixels_mean_something(first: dict[str, list[Dataset]]) -> None:
    """CT is air about a body, segments are apart, and the dose reaches what is prescribed."""
    numpy = pytest.importorskip("numpy")
    hounsfield = first["CT"][0].pixel_array + int(first["CT"][0].RescaleIntercept)
    assert -1000 == hounsfield.min()
    assert 0 < hounsfield.max() < 100
    frames = first["SEG"][0].pixel_array
    liver, spleen = frames[:SLICES], frames[SLICES:]
    assert numpy.all(liver.any(axis=(1, 2)))
    assert numpy.all(spleen.any(axis=(1, 2)))
    assert not numpy.any(liver & spleen)
    assert liver.sum() > spleen.sum()
    assert not liver[:, :, 32:].any()
    assert not spleen[:, :, :32].any()
    dose = first["RTDOSE"][0]
    assert 60.0 == pytest.approx(dose.pixel_array.max() * dose.DoseGridScaling, abs=0.01)


# Transfer syntaxes


@pytest.mark.parametrize("syntax", SYNTAXES[1:])
def test_transfer_syntaxes_say_the_same(tmp_path: Path, syntax: str) -> None:
    """Every element, private ones too, and every pixel is the same in each transfer syntax."""
    numpy = pytest.importorskip("numpy")
    first = write_in(tmp_path / "first", ExplicitVRLittleEndian)
    other = write_in(tmp_path / "other", syntax)
    assert list(first) == list(other)
    for name, expected in first.items():
        actual = other[name]
        assert syntax == actual.file_meta.TransferSyntaxUID
        assert list(flatten(expected)) == list(flatten(actual))
        assert ("PixelData" in expected) == ("PixelData" in actual)
        if "PixelData" in expected:
            assert numpy.array_equal(expected.pixel_array, actual.pixel_array)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_files_have_an_even_length(tmp_path: Path, syntax: str) -> None:
    """A file has an even number of bytes, deflated ones too."""
    write_synthetic(tmp_path, patients=2, slices=2, matrix=3, transfer_syntax=syntax)
    sizes = [path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()]
    assert [0] * len(sizes) == [size % 2 for size in sizes]


def test_some_lengths_are_undefined(first: dict[str, list[Dataset]]) -> None:
    """Beams, contours and frames stand in sequences that a reader has to walk."""
    assert first["RTPLAN"][0]["BeamSequence"].is_undefined_length
    assert first["RTSTRUCT"][0]["ROIContourSequence"].is_undefined_length
    assert first["SEG"][0]["PerFrameFunctionalGroupsSequence"].is_undefined_length


# Archives


def read_zip(path: Path) -> dict[str, bytes]:
    """Read the members of a zip archive."""
    with zipfile.ZipFile(path) as archive:
        assert {(1980, 1, 1, 0, 0, 0)} == {each.date_time for each in archive.infolist()}
        assert {zipfile.ZIP_DEFLATED} == {each.compress_type for each in archive.infolist()}
        return {name: archive.read(name) for name in archive.namelist()}


def read_tar(path: Path) -> dict[str, bytes]:
    """Read the members of a tar archive, compressed or not."""
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        assert {(0, 0, 0)} == {(each.mtime, each.uid, each.gid) for each in members}
        contents = {each.name: archive.extractfile(each) for each in members}
        return {name: file.read() for name, file in contents.items() if file is not None}


@pytest.mark.parametrize(
    ("archives", "read"), [("zip", read_zip), ("tar", read_tar), ("tar.gz", read_tar)]
)
def test_archives_hold_what_folders_hold(
    tmp_path: Path, archives: str, read: Callable[[Path], dict[str, bytes]]
) -> None:
    """An archive has the members, of the same bytes, that the patient's folder has as files."""
    write_synthetic(tmp_path / "folders", patients=2, slices=3)
    written = write_synthetic(tmp_path / "packed", patients=2, slices=3, archives=archives)
    assert 2 == written.files
    assert 28 == written.instances
    assert sum(path.stat().st_size for path in (tmp_path / "packed").iterdir()) == written.bytes
    for patient in ("SYN-0001", "SYN-0002"):
        folder = tmp_path / "folders" / patient
        expected = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        members = read(tmp_path / "packed" / f"{patient}.{archives}")
        assert expected == members
        assert {patient} == {dcmread(BytesIO(each)).PatientID for each in members.values()}


# The same again


SCRIPT = """
import sys
from pathlib import Path
from dcmdask.synthetic.synthetic import write_synthetic
for archives in ("none", "zip", "tar", "tar.gz"):
    out = Path(sys.argv[1], archives)
    write_synthetic(out, patients=2, slices=3, seed=5, archives=archives, vendor_elements=60)
"""


def hash_files(out: Path) -> dict[str, str]:
    """Give the digest of every file below a folder."""
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in out.rglob("*")
        if path.is_file()
    }


def test_same_arguments_give_same_bytes(tmp_path: Path) -> None:
    """Two processes of other hash seeds, time zones and times write equal files and archives."""
    written = []
    for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo")):
        root = str(Path(synthetic.__file__).parents[2])
        environment = os.environ | {"PYTHONHASHSEED": seed, "TZ": zone, "PYTHONPATH": root}
        subprocess.run(
            [sys.executable, "-W", "error", "-c", SCRIPT, str(tmp_path / seed)],
            check=True,
            env=environment,
        )
        written.append(hash_files(tmp_path / seed))
    assert 2 * (3 * 3 + 5) + 3 * 2 == len(written[0])
    assert written[0] == written[1]


def test_other_seeds_give_other_uids(tmp_path: Path) -> None:
    """Data sets of two seeds share no instance, series or study."""
    names = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")
    found = []
    for seed in (0, -1):
        write_synthetic(tmp_path / str(seed), patients=2, slices=2, seed=seed)
        datasets = read_files(tmp_path / str(seed)).values()
        found.append({each.get(name) for each in datasets for name in names} - {None})
    assert found[0].isdisjoint(found[1])


def test_more_patients_leave_the_first_as_they_were(tmp_path: Path) -> None:
    """A larger data set of the same seed starts with the files of the smaller."""
    write_synthetic(tmp_path / "small", patients=1, slices=2)
    write_synthetic(tmp_path / "large", patients=3, slices=2)
    small, large = hash_files(tmp_path / "small"), hash_files(tmp_path / "large")
    assert small == {name: large[name] for name in small}


# Reports and refusals


@pytest.mark.parametrize("archives", ["none", "zip"])
def test_reports_progress(tmp_path: Path, archives: str) -> None:
    """The report is told growing numbers, and at the end all instances."""
    told: list[int] = []
    written = write_synthetic(
        tmp_path,
        patients=3,
        slices=200,
        modalities=["CT"],
        matrix=2,
        archives=archives,
        report=told.append,
    )
    assert [256, 512, 600] == told
    assert told[-1] == written.instances


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patients": 0}, "patients is 0: write a number from 1"),
        ({"slices": 0}, "slices is 0: write a number from 1 to 65535"),
        ({"slices": 65_536}, "slices is 65536: write a number from 1 to 65535"),
        ({"matrix": 0}, "matrix is 0: write a number from 1"),
        ({"vendor_elements": -1}, "vendor_elements is -1: write a number from 0"),
        ({"archives": "rar"}, "archives is 'rar': write one of none, zip, tar, tar.gz"),
        ({"transfer_syntax": "1.2"}, "transfer_syntax is '1.2': write one of 1.2.840.10008.1.2.1"),
        ({"modalities": ["XA"]}, "modality 'XA' is unknown: write some of CT, PT"),
        ({"modalities": []}, "write a list of some of CT, PT"),
        ({"modalities": "CT"}, "write a list of some of CT, PT"),
        ({"modalities": ["RTSTRUCT", "MR"]}, "RTSTRUCT refers to CT: add CT to modalities"),
        ({"modalities": ["RTPLAN", "CT"]}, "RTPLAN refers to RTSTRUCT: add RTSTRUCT"),
        ({"modalities": ["RTDOSE", "CT"]}, "RTDOSE refers to RTPLAN: add RTPLAN"),
        ({"modalities": ["SEG", "PT"]}, "SEG refers to MR or CT: add MR to modalities"),
        ({"modalities": ["SR", "MR"]}, "SR refers to SEG or CT: add SEG to modalities"),
    ],
)
def test_refuses_what_it_cannot_serve(
    tmp_path: Path, arguments: dict[str, object], message: str
) -> None:
    """A bad argument raises ValueError, in one line that says what to write, and writes nothing."""
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        write_synthetic(tmp_path / "new", **arguments)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    assert not (tmp_path / "new").exists()


def test_refuses_a_folder_in_use(tmp_path: Path) -> None:
    """A folder that is not empty, or a file, is left alone."""
    file = tmp_path / "file"
    file.write_text("mine")
    for out in (tmp_path, file):
        with pytest.raises(ValueError, match="write the name of a new or an empty folder"):
            write_synthetic(out)
    assert [file] == list(tmp_path.iterdir())


def test_takes_an_empty_folder_and_a_new_one(tmp_path: Path) -> None:
    """An empty folder serves, and one whose parents do not exist yet."""
    for out in (tmp_path / "a" / "b", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        assert 1 == write_synthetic(out, patients=1, slices=1, modalities=["PT"]).instances


def test_every_modality_is_written_by_default(first: dict[str, list[Dataset]]) -> None:
    """All modalities are written, and each instance has the SOP class of its modality."""
    classes = {
        "CT": "CT Image Storage",
        "PT": "Positron Emission Tomography Image Storage",
        "MR": "MR Image Storage",
        "SEG": "Segmentation Storage",
        "RTSTRUCT": "RT Structure Set Storage",
        "RTPLAN": "RT Plan Storage",
        "RTDOSE": "RT Dose Storage",
        "SR": "Comprehensive SR Storage",
    }
    assert MODALITIES == tuple(classes)
    assert {name: {title} for name, title in classes.items()} == {
        name: {each.SOPClassUID.name for each in group} for name, group in first.items()
    }
