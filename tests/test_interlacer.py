"""Med-ImageTools' own Interlacer opens what a run writes, in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    RTDoseStorage,
    RTPlanStorage,
    RTStructureSetStorage,
)
from support import crawl, encode

from dcmdask.catalog.catalog import Catalog
from dcmdask.synthetic import write_synthetic

pytestmark = pytest.mark.imgtools

# One process for all tests: importing Med-ImageTools takes seconds.
_PROGRAM = """
import json, pathlib, sys
import pandas
from imgtools.dicom.crawl import Crawler
from imgtools.dicom.interlacer import Interlacer

say, sys.stdout = sys.stdout, sys.stderr

def answer(ask):
    if "crawl" in ask:
        crawler = Crawler(pathlib.Path(ask["crawl"]), pathlib.Path(ask["out"]), n_jobs=1, force=True)
        crawler.crawl()
        return None
    columns = ask.get("columns")
    lacer = Interlacer(pandas.DataFrame(columns) if columns else ask["index"])
    found = {
        query: sorted(sorted(node.SeriesInstanceUID for node in group) for group in lacer.query(query))
        for query in ask["queries"]
    }
    return {"series": len(lacer.series_nodes), "roots": len(lacer.root_nodes), **found}

for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), file=say, flush=True)
"""

QUERIES = (
    *("CT", "MR", "PT", "CT,PT", "CT,RTSTRUCT", "MR,RTSTRUCT", "PT,RTSTRUCT", "CT,PT,RTSTRUCT"),
    *("CT,SEG", "MR,SEG", "CT,RTDOSE", "CT,RTSTRUCT,RTDOSE"),
)

Ask = Callable[..., Any]


@pytest.fixture(scope="session")
def imgtools() -> Iterator[Ask]:
    """Give what asks Med-ImageTools, in the interpreter that has it."""
    python = os.environ.get("DCMDASK_IMGTOOLS_PYTHON")
    if not python:
        pytest.skip("set DCMDASK_IMGTOOLS_PYTHON to a Python that has med-imagetools")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([python, "-c", _PROGRAM], text=True, **pipes) as process:

        def ask(**question: Any) -> Any:
            assert process.stdin is not None
            assert process.stdout is not None
            print(json.dumps(question), file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())

        yield ask


def interlace(imgtools: Ask, catalog: Catalog, *queries: str) -> dict[str, Any]:
    """Ask Interlacer for chains: of index.csv, and of the table as a frame, which say the same."""
    columns = json.loads(json.dumps(catalog.index.to_pandas().to_dict("list"), default=list))
    of_frame = imgtools(columns=columns, queries=queries)
    of_file = imgtools(index=str(catalog.out / "index.csv"), queries=queries)
    assert of_file == of_frame
    return of_file


# What others find as well


@pytest.mark.data
@pytest.mark.parametrize("name", ["ibsi", "rt-utils", "dcm_qa_enh", "dcm_qa_nih"])
def test_chains_are_those_of_their_own_index(
    imgtools: Ask, data: Path, tmp_path: Path, name: str
) -> None:
    """Of sets that Med-ImageTools reads whole, the same series answer the same queries."""
    theirs = ask_theirs(imgtools, data / name, tmp_path)
    assert theirs == interlace(imgtools, crawl(data / name, tmp_path / "out"), *QUERIES)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("dicompyler-core", {"CT,RTDOSE": 1, "CT,RTSTRUCT,RTDOSE": 1}),  # it loses plans of doses
        ("dcmqi", {"CT,SEG": 1}),  # it passes over a file called label.seg
        ("highdicom", {"CT": 1, "CT,SEG": 1}),  # an SR has the series UID of the CT
    ],
)
def test_no_chain_of_their_own_index_is_lost(
    imgtools: Ask, data: Path, tmp_path: Path, name: str, more: dict[str, int]
) -> None:
    """Where it loses some, what it finds is found, and so many sets of series beside."""
    theirs = ask_theirs(imgtools, data / name, tmp_path)
    ours = interlace(imgtools, crawl(data / name, tmp_path / "out"), *QUERIES)
    assert more == {
        query: len(ours[query]) - len(theirs[query])
        for query in QUERIES
        if len(ours[query]) != len(theirs[query])
    }
    for query in QUERIES:
        for group in theirs[query]:
            assert any(set(group) <= set(own) for own in ours[query])


def ask_theirs(imgtools: Ask, source: Path, tmp_path: Path) -> dict[str, Any]:
    """Crawl with Med-ImageTools and ask its own index."""
    imgtools(crawl=str(source), out=str(tmp_path / "theirs"))
    index = tmp_path / "theirs" / source.name / "index.csv"
    return imgtools(index=str(index), queries=QUERIES)


# What is known because it was made so


def test_interlacer_finds_the_chains_of_linked_patients(imgtools: Ask, tmp_path: Path) -> None:
    """CT, structure set, plan, dose and PET of two synthetic patients hang together as made."""
    write_synthetic(tmp_path / "in", patients=2, slices=4)
    catalog = crawl(tmp_path / "in", tmp_path / "out")
    found = interlace(imgtools, catalog, *QUERIES)
    assert (16, 4) == (found.pop("series"), found.pop("roots"))
    uids: dict[str, list[str]] = {}
    for row in catalog.crawl_db.sort_by("PatientID").to_pylist():
        uids.setdefault(row["Modality"], []).append(row["SeriesInstanceUID"])
    linked = {*QUERIES} - {"MR,RTSTRUCT", "PT,RTSTRUCT", "CT,PT,RTSTRUCT", "CT,SEG"}
    for query, groups in found.items():
        chains = zip(*(uids[modality] for modality in query.split(",")), strict=True)
        assert sorted(sorted(chain) for chain in chains if query in linked) == groups


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., None]:
    """Write an object of one patient: ``put("1.3", "CT", 2)`` has the SOPInstanceUID 1.3.2."""
    classes = {
        "CT": CTImageStorage,
        "MR": MRImageStorage,
        "PT": PositronEmissionTomographyImageStorage,
        "RTSTRUCT": RTStructureSetStorage,
        "RTPLAN": RTPlanStorage,
        "RTDOSE": RTDoseStorage,
    }

    def put_object(uid: str, modality: str, number: int = 1, **values: Any) -> None:
        path = tmp_path / "in" / "P1" / uid / f"{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        identity = {
            "SOPClassUID": classes[modality],
            "SOPInstanceUID": f"{uid}.{number}",
            "SeriesInstanceUID": uid,
            "Modality": modality,
            "InstanceNumber": number,
            "FrameOfReferenceUID": "1.8.1",
        }
        path.write_bytes(encode({**identity, **values}))

    return put_object


def named(*uids: str) -> list[Dataset]:
    """Give items that name instances."""
    items = [Dataset() for _ in uids]
    for item, uid in zip(items, uids, strict=True):
        item.ReferencedSOPClassUID = CTImageStorage
        item.ReferencedSOPInstanceUID = uid
    return items


def drawn_on(*series: str) -> dict[str, Any]:
    """Give what a structure set says that was drawn on some series."""
    study, frame = Dataset(), Dataset()
    study.RTReferencedSeriesSequence = [Dataset() for _ in series]
    for item, uid in zip(study.RTReferencedSeriesSequence, series, strict=True):
        item.SeriesInstanceUID = uid
        item.ContourImageSequence = named(f"{uid}.1")
    frame.RTReferencedStudySequence = [study]
    frame.FrameOfReferenceUID = "1.8.1"
    return {"ReferencedFrameOfReferenceSequence": [frame]}


def chains(imgtools: Ask, tmp_path: Path) -> dict[str, list[list[str]]]:
    """Give the answers to all queries that have some."""
    found = interlace(imgtools, crawl(tmp_path / "in", tmp_path / "out"), *QUERIES)
    return {query: found[query] for query in QUERIES if found[query]}


def test_a_pet_with_two_ct_hangs_on_one(
    imgtools: Ask, put: Callable[..., None], tmp_path: Path
) -> None:
    """Both CT share its frame: it is found with one of them, the same every time."""
    put("1.3.1", "CT")
    put("1.3.2", "CT")
    put("1.3.3", "PT")
    put("1.3.4", "RTSTRUCT", **drawn_on("1.3.2"))
    assert chains(imgtools, tmp_path) == {
        "CT": [["1.3.1"], ["1.3.2"]],
        "PT": [["1.3.3"]],
        "CT,PT": [["1.3.1", "1.3.3"]],
        "CT,RTSTRUCT": [["1.3.2", "1.3.4"]],
    }


def test_a_structure_set_on_ct_and_pet_hangs_on_the_ct(
    imgtools: Ask, put: Callable[..., None], tmp_path: Path
) -> None:
    """Of two targets it knows one: ``A;B`` would lose the series."""
    put("1.3.1", "CT")
    put("1.3.2", "PT")
    put("1.3.3", "RTSTRUCT", **drawn_on("1.3.2", "1.3.1", "1.3.77"))
    found = chains(imgtools, tmp_path)
    assert [["1.3.1", "1.3.3"]] == found["CT,RTSTRUCT"]
    assert [["1.3.1", "1.3.2"]] == found["CT,PT"]


@pytest.mark.parametrize("without", [(), ("RTSTRUCT",), ("RTSTRUCT", "RTPLAN")])
def test_a_dose_with_plan_and_image_hangs_on_what_leads_to_the_ct(
    imgtools: Ask, put: Callable[..., None], tmp_path: Path, without: tuple[str, ...]
) -> None:
    """Over its plan where that leads there, else by itself, by whatever is missing between."""
    put("1.3.1", "CT")
    objects: dict[str, tuple[str, dict[str, Any]]] = {
        "RTSTRUCT": ("1.3.2", drawn_on("1.3.1")),
        "RTPLAN": ("1.3.3", {"ReferencedStructureSetSequence": named("1.3.2.1")}),
        "RTDOSE": (
            "1.3.4",
            {
                "ReferencedRTPlanSequence": named("1.3.3.1"),
                "ReferencedImageSequence": named("1.3.1.1"),
            },
        ),
    }
    for modality in objects.keys() - set(without):
        uid, values = objects[modality]
        put(uid, modality, **values)
    found = chains(imgtools, tmp_path)
    assert [["1.3.1", "1.3.4"]] == found["CT,RTDOSE"]
    assert (() == without) == ("CT,RTSTRUCT,RTDOSE" in found)


def test_scouts_have_nothing_to_do_with_what_was_planned_on_them(
    imgtools: Ask, put: Callable[..., None], tmp_path: Path
) -> None:
    """Slices name a scout, an MR its localizer: both are where chains begin, and end."""
    put("1.3.1", "CT")
    for number in (1, 2):
        put("1.3.2", "CT", number, ReferencedImageSequence=named("1.3.1.1"))
    put("1.3.3", "MR", FrameOfReferenceUID="1.8.2")
    put("1.3.4", "MR", FrameOfReferenceUID="1.8.2", ReferencedImageSequence=named("1.3.3.1"))
    put("1.3.5", "RTSTRUCT", **drawn_on("1.3.2"))
    assert chains(imgtools, tmp_path) == {
        "CT": [["1.3.1"], ["1.3.2"]],
        "MR": [["1.3.3"], ["1.3.4"]],
        "CT,RTSTRUCT": [["1.3.2", "1.3.5"]],
    }
    references = Catalog(tmp_path / "out").references.to_pylist()
    assert ("1.3.2", "1.3.1") in {
        (row["SourceSeriesInstanceUID"], row["TargetSeriesInstanceUID"]) for row in references
    }


def test_acquisitions_of_one_size_are_one_series(
    imgtools: Ask, put: Callable[..., None], tmp_path: Path
) -> None:
    """Two acquisitions of two slices each would be rows that look alike, which it refuses."""
    for number in range(4):
        put("1.3.1", "CT", number, AcquisitionNumber=number // 2 + 1)
    assert {"CT": [["1.3.1"]]} == chains(imgtools, tmp_path)
    row = (tmp_path / "out" / "index.csv").read_text().splitlines()[1]
    assert "P1,1.2.3.2,1.3.1,1,CT,,,4,in/P1/1.3.1" == row
