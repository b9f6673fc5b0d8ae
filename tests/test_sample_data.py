"""The crawl of real data: what it finds, what refers to what, what it leaves out and why."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pydicom
import pytest
from header.oracle import expected
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import MediaStorageDirectoryStorage
from support import crawl

from dcmdask.catalog.catalog import Catalog
from dcmdask.dicom.values import MALFORMED
from dcmdask.extract.reading import computed_value
from dcmdask.extract.registry import attributes_of, extractor_for
from dcmdask.extract.table import Attribute
from dcmdask.header.reader import quiet_pydicom
from dcmdask.tables.schema import KEY

pytestmark = pytest.mark.data

NOT_DICOM = """
README.md
dcm_qa_enh/LICENSE
dcm_qa_nih/20180918GE/README-Study.txt
dcm_qa_nih/20180918GE/mr_0004/README-Series.txt
dcm_qa_nih/20180918GE/mr_0005/README-Series.txt
dcm_qa_nih/20180918GE/mr_0006/README-Series.txt
dcm_qa_nih/20180918GE/mr_0007/README-Series.txt
dcm_qa_nih/20180918Si/README-Study.txt
dcm_qa_nih/20180918Si/mr_0003/README-Series.txt
dcm_qa_nih/20180918Si/mr_0004/README-Series.txt
dcm_qa_nih/20180918Si/mr_0005/README-Series.txt
dcm_qa_nih/20180918Si/mr_0006/README-Series.txt
dcm_qa_nih/LICENSE
dcmqi/LICENSE.txt
dcmqi/paramaps/pm-example-3slices-252x255.nrrd
dcmqi/paramaps/pm-example-3slices-256x256.nrrd
dcmqi/paramaps/pm-example-float.nrrd
dcmqi/paramaps/pm-example.nrrd
dcmqi/segmentations/23x38x3/nrrd/label.nrrd
dcmqi/segmentations/23x38x3/screenshots/brainlab.jpg
dcmqi/segmentations/23x38x3/screenshots/slicer.png
dcmqi/segmentations/24x38x3/nrrd/label.nrrd
dcmqi/segmentations/24x38x3/screenshots/brainlab.jpg
dcmqi/segmentations/24x38x3/screenshots/slicer.png
dcmqi/segmentations/heart_seg.nrrd
dcmqi/segmentations/liver_seg.nrrd
dcmqi/segmentations/liver_spine_gapped_seg.nrrd
dcmqi/segmentations/liver_spine_seg.nrrd
dcmqi/segmentations/partial_overlaps-1.nrrd
dcmqi/segmentations/partial_overlaps-2.nrrd
dcmqi/segmentations/partial_overlaps-3.nrrd
dcmqi/segmentations/sparse_labelmap_noppv_seg.nrrd
dcmqi/segmentations/sparse_labelmap_ppv5_seg.nrrd
dcmqi/segmentations/spine_seg.nrrd
dcmqi/segmentations/spine_seg_label5.nrrd
dicom-numpy/LICENSE.txt
dicompyler-core/LICENSE
highdicom/LICENSE
highdicom/test_files/README.md
highdicom/test_files/frame_rgb.jpeg
highdicom/test_files/frame_rgb_empty.jpeg
ibsi/LICENSE.md
ibsi/README.md
pydicom/LICENSE
pydicom/charset_files/FileInfo.txt
pydicom/test_files/README.txt
pydicom/test_files/crayons.icc
pydicom/test_files/dicomdirtests/README.txt
pydicom/test_files/dicomdirtests/TINY_ALPHA/README
pydicom/test_files/no_meta.dcm
pydicom/test_files/rtplan.dump
pydicom/test_files/rtstruct.dump
pydicom/test_files/test1.json
pydicom/test_files/test_PN.json
rt-utils/LICENSE
rt-utils/oriented_data/info.txt
"""
# The one with the name of an instance begins with a stray byte: its first element is of no group.

DICOMDIR = """
pydicom/test_files/dicomdirtests/DICOMDIR
pydicom/test_files/dicomdirtests/DICOMDIR-bigEnd
pydicom/test_files/dicomdirtests/DICOMDIR-empty.dcm
pydicom/test_files/dicomdirtests/DICOMDIR-implicit
pydicom/test_files/dicomdirtests/DICOMDIR-nooffset
pydicom/test_files/dicomdirtests/DICOMDIR-nopatient
pydicom/test_files/dicomdirtests/DICOMDIR-reordered
pydicom/test_files/dicomdirtests/TINY_ALPHA/DICOMDIR
"""

MODALITIES = {
    None: 3,
    "ANN": 1,
    "CR": 5,
    "CT": 24,
    "DX": 1,
    "ECG": 1,
    "MR": 28,
    "NM": 1,
    "OT": 14,
    "PT": 2,
    "RTDOSE": 2,
    "RTPLAN": 3,
    "RTSTRUCT": 10,
    "RWV": 1,
    "SEG": 18,
    "SM": 6,
    "SR": 5,
    "US": 4,
}


@pytest.fixture(scope="module")
def catalog(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Crawl the sample data once."""
    return crawl(data, tmp_path_factory.mktemp("catalog"))


@pytest.fixture(scope="module")
def instances(catalog: Catalog) -> list[dict[str, Any]]:
    """Give the rows of all instances."""
    rows: list[dict[str, Any]] = catalog.instances.to_table().to_pylist()
    return rows


@pytest.fixture(scope="module")
def references(catalog: Catalog, instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the references of every instance, with its path and the folders of the target."""
    paths: dict[str, list[str]] = {}
    folders: dict[tuple[Any, ...], set[str]] = {}
    for row in instances:
        paths.setdefault(row["SOPInstanceUID"], []).append(row["path"])
        key = (row["SeriesInstanceUID"], row["Modality"])
        folders.setdefault(key, set()).add(row["folder"].partition("/")[2])
    return [
        {
            **row,
            "source": path,
            "folders": folders.get((row["TargetSeriesInstanceUID"], row["TargetModality"]), set()),
        }
        for row in catalog.references.to_pylist()
        for path in paths[row["SourceSOPInstanceUID"]]
    ]


def files(data: Path) -> Iterator[tuple[str, bytes]]:
    """Give every file and every member by its path, as the catalog writes it."""
    for folder, _, names in os.walk(data):
        for name in names:
            path = Path(folder) / name
            where, content = path.relative_to(data).as_posix(), path.read_bytes()
            if content.startswith(b"PK\x03\x04") and content[128:132] != b"DICM":
                with zipfile.ZipFile(path) as archive:
                    for info in archive.infolist():
                        if not info.is_dir():
                            yield f"{where}!{info.filename}", archive.read(info)
            elif content.startswith(b"\x1f\x8b"):
                yield f"{where}!{path.stem}", gzip.decompress(content)
            else:
                yield where, content


def is_instance(content: bytes) -> bool:
    """Tell whether pydicom reads an instance: with a SOP Instance UID, or behind a DICM prefix."""
    try:
        dataset = pydicom.dcmread(io.BytesIO(content), force=True)
        directory = dataset.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage
        identified = bool(dataset.get("SOPInstanceUID"))
    except Exception:  # noqa: BLE001  pydicom raises of any class
        return False
    return not directory and (identified or content[128:132] == b"DICM")


def test_every_instance_that_pydicom_reads_is_there(
    data: Path, instances: list[dict[str, Any]]
) -> None:
    """Instances are exactly those files and members that pydicom reads as such."""
    with quiet_pydicom():
        expected = sorted(path for path, content in files(data) if is_instance(content))
    assert expected == sorted(row["path"] for row in instances)
    assert 1134 == len(instances)


def test_what_gave_no_instance_says_why(catalog: Catalog) -> None:
    """Each skip is known by name; nothing of the sample data fails."""
    expected = sorted(
        [(path, "not_dicom") for path in NOT_DICOM.split()]
        + [(path, "dicomdir") for path in DICOMDIR.split()]
    )
    found = sorted((row["path"], row["kind"]) for row in catalog.failures.to_pylist())
    assert expected == found


def index_of(catalog: Catalog) -> list[dict[str, Any]]:
    """Give the rows of index.parquet: one an acquisition, with lists of targets."""
    return pq.read_table(catalog.out / "index.parquet").to_pylist()


def test_counts(catalog: Catalog) -> None:
    """Patients, studies and series are those that the data hold; a UID may stand for several."""
    index = index_of(catalog)
    assert MODALITIES == Counter(row["Modality"] for row in index)
    assert 129 == len({tuple(row[name] for name in KEY) for row in index}) == len(index)
    assert 115 == len({row["SeriesInstanceUID"] for row in index})
    assert 63 == len({row["StudyInstanceUID"] for row in index})
    assert 42 == len({row["PatientID"] for row in index})


def test_index_lists_align(catalog: Catalog) -> None:
    """A target has its modality beside it and is a series of the index; one that is not, has none."""
    index = index_of(catalog)
    uids_held = {row["SeriesInstanceUID"] for row in index}
    held = {(row["SeriesInstanceUID"], row["Modality"]) for row in index}
    for row in index:
        uids, modalities = row["ReferencedSeriesUID"], row["ReferencedModality"]
        assert (uids is None) == (modalities is None)
        for target in zip(uids or [], modalities or [], strict=True):
            assert target in held or (target[1] is None and target[0] not in uids_held)


def shown(catalog: Catalog, case: str) -> set[tuple[str, str, tuple[str, ...]]]:
    """Give modality, folder and modalities referred to of the series of a case that refer."""
    return {
        (row["Modality"], row["folder"].partition("/")[2], tuple(row["ReferencedModality"]))
        for row in index_of(catalog)
        if row["case"] == case and row["ReferencedModality"]
    }


def test_radiotherapy_chain(catalog: Catalog, references: list[dict[str, Any]]) -> None:
    """Dose, plan, structure set and CT of one patient are one chain, each step an edge."""
    here = "dicompyler-core"
    expected = {
        ("RTSTRUCT", here, ("CT",)),
        ("RTPLAN", here, ("RTSTRUCT",)),
        ("RTDOSE", here, ("RTSTRUCT", "RTPLAN")),
    }
    assert expected == shown(catalog, here)
    edges = {
        (row["SourceModality"], row["role"], row["TargetModality"], row["resolution"])
        for row in references
        if row["source"].startswith(here) and row["resolution"] != "unresolved"
    }
    assert edges == {
        ("RTDOSE", "plan", "RTPLAN", "sop_uid"),
        ("RTDOSE", "structure_set", "RTSTRUCT", "sop_uid"),
        ("RTDOSE", "image", "CT", "via_structure_set"),
        ("RTPLAN", "structure_set", "RTSTRUCT", "sop_uid"),
        ("RTPLAN", "image", "CT", "via_structure_set"),
        ("RTSTRUCT", "image", "CT", "series_uid"),
    }
    named = {
        (row["instance_total"], row["instance_found"])
        for row in references
        if row["source"].startswith(here) and row["TargetModality"] == "CT"
    }
    assert {(98, 1)} == named


def test_emission_and_structure_sets(catalog: Catalog, references: list[dict[str, Any]]) -> None:
    """PT finds its CT by their frame, each structure set the image series beside it."""
    expected = set()
    for patient in ("ibsi/STS_008", "ibsi/STS_025"):
        expected |= {
            ("PT", f"{patient}/PET/image", ("CT",)),
            ("RTSTRUCT", f"{patient}/CT/mask", ("CT",)),
            ("RTSTRUCT", f"{patient}/PET/mask", ("PT",)),
            ("RTSTRUCT", f"{patient}/MR_T1/mask", ("MR",)),
        }
    assert expected == shown(catalog, "ibsi")
    for row in references:
        if row["source"].startswith("ibsi"):
            folder = os.path.dirname(row["source"])
            if row["SourceModality"] == "PT":
                image, how = folder.replace("/PET/", "/CT/"), "frame_of_reference"
            else:
                image, how = folder.replace("/mask", "/image"), "series_uid"
            assert ({image}, how, 0) == (row["folders"], row["resolution"], row["instance_found"])


def test_segmentations_of_dcmqi(references: list[dict[str, Any]]) -> None:
    """Of seven segmentations the images of six are there."""
    found = {
        row["source"]: row["resolution"]
        for row in references
        if row["source"].startswith("dcmqi") and row["SourceModality"] == "SEG"
    }
    assert {"series_uid": 6, "unresolved": 1} == Counter(found.values())
    assert "unresolved" == found["dcmqi/sr-example/seg.dcm"]


def test_segmentations_across_folders(references: list[dict[str, Any]]) -> None:
    """Images of one set of data are found for the segmentations of another."""
    across = {
        (os.path.basename(row["source"]), row["TargetModality"], row["resolution"])
        for row in references
        if row["source"].startswith("highdicom")
        and row["SourceModality"] == "SEG"
        and all(folder.startswith("pydicom") for folder in row["folders"])
    }
    expected = {
        (f"seg_image_ct_{name}.dcm", "CT", "series_uid")
        for name in ("binary", "binary_fractional", "binary_overlap", "true_fractional")
    }
    assert expected | {("seg_image_cr_binary.dcm", "CR", "series_uid")} == across


def test_reports(references: list[dict[str, Any]]) -> None:
    """Both reports of highdicom find their CT; that of dcmqi two of the three series it lists."""
    found = {
        (row["source"], row["role"], row["TargetModality"], row["resolution"])
        for row in references
        if row["SourceModality"] == "SR" and not row["source"].startswith("pydicom")
    }
    folder = "highdicom/test_files"
    assert found == {
        (f"{folder}/sr_document.dcm", "other_evidence", "CT", "series_uid"),
        (f"{folder}/sr_document_with_multiple_groups.dcm", "evidence", "CT", "series_uid"),
        ("dcmqi/sr-example/sr.dcm", "evidence", "SEG", "series_uid"),
        ("dcmqi/sr-example/sr.dcm", "evidence", "RWV", "series_uid"),
        ("dcmqi/sr-example/sr.dcm", "evidence", None, "unresolved"),
    }


# What `crawl_db` says of each series


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Give the items of a sequence."""
    value = dataset.get(keyword)
    return list(value) if isinstance(value, Sequence) else []


def candidates(dataset: Dataset, path: str) -> Iterator[Any]:
    """Give the values that a path of a table may mean, in a dataset that was read whole."""
    holder, _, keyword = path.rpartition(".")
    if not holder:
        yield dataset.get(keyword)
    elif holder != "*":
        yield from (item.get(keyword) for item in items(dataset, holder)[:1])
    else:
        for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
            for group in items(dataset, groups)[:1]:
                public = [e for e in group if e.VR == "SQ" and not e.tag.is_private and e.value]
                yield from (element.value[0].get(keyword) for element in public)


def expected_value(dataset: Dataset, attribute: Attribute) -> Any:
    """Give what a column should hold of an attribute."""
    if attribute.compute is not None:
        value = computed_value(dataset, attribute.compute, attribute.type)
        return None if value is MALFORMED else value
    for path in attribute.paths:
        for candidate in candidates(dataset, path):
            value = expected(candidate, path.rpartition(".")[2], attribute.type)
            if value is not None:
                return None if value is MALFORMED else value
    return None


def test_each_series_says_what_pydicom_reads(catalog: Catalog) -> None:
    """Every attribute of every series is what pydicom reads of the whole representative."""
    rows = catalog.crawl_db.to_pylist()
    with quiet_pydicom():
        for row in rows:
            with fsspec.open(row["representative_url"], "rb") as stream:
                dataset = pydicom.dcmread(io.BytesIO(stream.read()), force=True)
            extractor = extractor_for(dataset.get("SOPClassUID"), dataset.get("Modality"))
            for attribute in attributes_of(extractor):
                value = expected_value(dataset, attribute)
                assert value == row[attribute.name], (row["representative_url"], attribute.name)
    assert 129 == len(rows)


def test_every_url_opens(catalog: Catalog, instances: list[dict[str, Any]]) -> None:
    """What a member of an archive is called leads to its bytes."""
    members = [row for row in instances if "!" in row["path"]]
    assert 32 == len(members)
    for row in members:
        with fsspec.open(row["url"], "rb") as stream:
            content = io.BytesIO(stream.read())
        dataset = pydicom.dcmread(content, stop_before_pixels=True)
        assert dataset.SOPInstanceUID == row["SOPInstanceUID"]
    assert catalog.run["counts"]["members"] == len(members)
