"""Med-ImageTools' own pipelines take a crawl instead of crawling again, and nothing is lost by it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from support import crawl, encode, published

from dcmdask.catalog.catalog import Catalog
from dcmdask.cli.show import command
from dcmdask.config import RunOptions
from dcmdask.errors import OutputError
from dcmdask.execution.pipeline import run
from dcmdask.synthetic import write_synthetic

_REWRITTEN = ["crawl_db.json", "index.csv"]
_KEPT = ("crawl-cache.json", "sop_map.json")

# All in one process, which takes seconds to start. It says what each of the three data sets gave.
_PROGRAM = """
import json, sys
from pathlib import Path

import yaml
from click.testing import CliRunner
from imgtools.cli.autopipeline import autopipeline
from imgtools.cli.interlacer import interlacer
from imgtools.cli.nnunet_pipeline import nnunet_pipeline
from imgtools.dicom.crawl import parse_dicoms
from imgtools.io.sample_input import SampleInput

theirs, ours, odd = map(Path, sys.argv[1:])
rois = theirs / "rois.yaml"
rois.write_text(yaml.safe_dump({"GTV": ["GTV"]}))


def run(command, *arguments):
    done = CliRunner().invoke(command, [str(one) for one in arguments])
    assert done.exit_code == 0, (done.output, done.exception)


def process(base):
    for modalities in ("CT,RTSTRUCT", "CT,PT", "MR,SEG"):
        run(autopipeline, base / "data", base / "auto" / modalities, "-m", modalities, "-j", 1)
    (base / "nnunet").mkdir()
    run(nnunet_pipeline, base / "data", base / "nnunet", "-m", "CT,RTSTRUCT", "-ryaml", rois, "-j", 1)


def refuse(*arguments, **options):
    raise AssertionError("it crawls again")


process(theirs)
parse_dicoms.find_dicoms = refuse
process(ours)
run(interlacer, ours / "data")

said = {}
sample = SampleInput.build(directory=odd / "data", n_jobs=1)
for node in sample.interlacer.root_nodes:
    try:
        image, *_ = sample([node])
        said[node.SeriesInstanceUID] = list(image.GetSize())
    except Exception as error:
        said[node.SeriesInstanceUID] = str(error)
print(json.dumps(said))
"""


@dataclass(frozen=True)
class Processed:
    """What the pipelines were given and gave.

    Attributes
    ----------
    theirs, ours : Path
        The same data set, crawled by Med-ImageTools and by a run; in each the folders that came of it.
    odd : Path
        A data set that Med-ImageTools cannot read all of.
    before : dict
        What the run published of `ours`.
    said : dict
        What loading each series of `odd` gave: a size or a message.
    """

    theirs: Path
    ours: Path
    odd: Path
    before: dict[str, bytes]
    said: dict[str, Any]


def write_odd(folder: Path) -> None:
    """Write series in archives, on disk and in both, in acquisitions, and with names that are quoted."""
    common = {"Rows": 2, "Columns": 2, "BitsAllocated": 16, "BitsStored": 16, "HighBit": 15}
    common |= {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"}
    common |= {"PixelRepresentation": 0, "PixelData": bytes(8), "PixelSpacing": [1, 1]}
    common |= {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "SpecificCharacterSet": "ISO_IR 192"}

    def slices(uid: str, **values: Any) -> dict[str, bytes]:
        own = {**common, "SeriesInstanceUID": uid, **values}
        places = [
            {"SOPInstanceUID": f"{uid}.{z}", "ImagePositionPatient": [0, 0, z]} for z in (1, 2)
        ]
        return {f"{z}.dcm": encode({**own, **place}) for z, place in enumerate(places)}

    def put(name: str, files: dict[str, bytes]) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".zip":
            with zipfile.ZipFile(path, "w") as archive:
                for member, content in files.items():
                    archive.writestr(member, content)
        else:
            path.mkdir()
            for member, content in files.items():
                (path / member).write_bytes(content)

    put("a/only.zip", slices("1.1"))
    put("b/both.zip", slices("1.2"))
    put("b/unpacked", slices("1.2"))
    put('c/"x, y"', slices("1.3", PatientID='山 "x"', PatientName=None))
    for number in (1, 2):
        own = slices("1.4", AcquisitionNumber=number)
        put(
            f"d/{number}",
            {name: data.replace(b"1.4.", f"1.4{number}".encode()) for name, data in own.items()},
        )
    put("e", slices("1.5", PatientID=None, StudyInstanceUID=None))


@pytest.fixture(scope="module")
def processed(tmp_path_factory: pytest.TempPathFactory) -> Processed:
    """Give what came of the pipelines."""
    python = os.environ.get("DCMDASK_IMGTOOLS_PYTHON")
    if not python:
        pytest.skip("set DCMDASK_IMGTOOLS_PYTHON to a Python that has med-imagetools")
    theirs, ours, odd = (tmp_path_factory.mktemp(name) for name in ("theirs", "ours", "odd"))
    write_synthetic(theirs / "data", patients=2, slices=4)
    for path in [path for path in (theirs / "data").rglob("*") if path.is_file()]:
        # Its own crawl sees no other.
        path.rename(path.with_suffix(".dcm"))
    shutil.copytree(theirs / "data", ours / "data")
    write_odd(odd / "data")
    for base in (ours, odd):
        # Where a catalog goes by default is where Med-ImageTools looks.
        run([str(base / "data")], RunOptions())
    before = published(ours / ".imgtools" / "data")
    command = [python, "-c", _PROGRAM, *map(str, (theirs, ours, odd))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=odd, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return Processed(theirs, ours, odd, before, json.loads(done.stdout.splitlines()[-1]))


def given(base: Path) -> dict[str, bytes | None]:
    """Give the files that the pipelines wrote: images with their content, reports by name."""
    files = [path for name in ("auto", "nnunet") for path in (base / name).rglob("*")]
    return {
        re.sub(r"_\d{8}_\d{6}", "", path.relative_to(base).as_posix()): (
            path.read_bytes() if path.name.endswith(".nii.gz") else None
        )
        for path in files
        if path.is_file()
    }


@pytest.mark.imgtools
def test_pipelines_give_what_they_give_after_their_own_crawl(processed: Processed) -> None:
    """`autopipeline` and `nnunet-pipeline`: the same names, the same bytes of every image."""
    expected = given(processed.theirs)
    assert expected == given(processed.ours)
    images = [name for name, content in expected.items() if content is not None]
    assert len([name for name in images if name.startswith("auto/")]) == 2 * (3 + 2 + 3)
    assert len([name for name in images if name.startswith("nnunet/")]) == 2 * 2


@pytest.mark.imgtools
def test_what_they_load_stays_and_what_they_rewrite_is_told(processed: Processed) -> None:
    """Their crawl is ours, untouched; `show` names in one line what they write each time."""
    out = processed.ours / ".imgtools" / "data"
    for name in _KEPT:
        assert processed.before[name] == (out / name).read_bytes()
    altered = Catalog(out).altered()
    assert ([], [], _REWRITTEN) == (altered.changed, altered.removed, altered.rewritten)
    shown = CliRunner().invoke(command, [str(out)]).output.splitlines()
    words = "rewritten by Med-ImageTools since, until the next run: crawl_db.json, index.csv"
    assert [line for line in shown if "since" in line] == [f"  note: {words}"]


@pytest.mark.imgtools
def test_what_they_rewrite_is_told_of_any_names(processed: Processed) -> None:
    """Archives, acquisitions, quotes, letters, what is absent: what they make of it is foreseen."""
    out = processed.odd / ".imgtools" / "data"
    altered = Catalog(out).altered()
    assert ([], [], _REWRITTEN) == (altered.changed, altered.removed, altered.rewritten)


@pytest.mark.imgtools
def test_a_series_of_two_folders_is_not_taken_for_half_of_it(processed: Processed) -> None:
    """Acquisitions in a folder each, of the same file names: an error, not the slices of one of them."""
    assert "are not a subset" in processed.said["1.4"]
    assert "data/d/1/../2/0.dcm" in processed.said["1.4"]


@pytest.mark.imgtools
def test_members_of_archives_are_missed_with_their_place(processed: Processed) -> None:
    """A series that is only in an archive names it; one that is unpacked as well is read from there."""
    assert "data/a/only.zip/0.dcm" in processed.said["1.1"]
    assert processed.said["1.2"] == [2, 2, 2]
    assert processed.said["1.3"] == [2, 2, 2]


# -- without Med-ImageTools --------------------------------------------------------------------------


def rewrite(out: Path) -> None:
    """Write index.csv and crawl_db.json of some simple series as Med-ImageTools does."""
    series = json.loads((out / "crawl-cache.json").read_text())
    rows = [
        {
            "PatientID": entry["PatientID"],
            "StudyInstanceUID": entry["StudyInstanceUID"],
            "SeriesInstanceUID": uid,
            "SubSeries": name,
            "Modality": entry["Modality"],
            "ReferencedModality": entry["ReferencedModality"],
            "ReferencedSeriesUID": entry["ReferencedSeriesUID"],
            "instances": len(entry["instances"]),
            "folder": entry["folder"],
        }
        for uid, entries in series.items()
        for name, entry in entries.items()
    ]
    pd.DataFrame.from_records(rows).to_csv(out / "index.csv", index=False)
    (out / "crawl_db.json").write_text(json.dumps(series, indent=4))


@pytest.fixture
def linked(tmp_path: Path) -> tuple[Path, Path, dict[str, bytes]]:
    """Give a source, its catalog as Med-ImageTools has rewritten it, and as it was."""
    source, out = tmp_path / "in", tmp_path / "out"
    write_synthetic(source, patients=1, slices=2)
    crawl(source, out)
    before = published(out)
    rewrite(out)
    return source, out, before


def test_the_next_run_writes_anew_what_they_rewrote(
    linked: tuple[Path, Path, dict[str, bytes]],
) -> None:
    """It is told apart from what somebody has changed; nothing is refused, and all is as it was."""
    source, out, before = linked
    altered = Catalog(out).altered()
    assert ([], [], _REWRITTEN) == (altered.changed, altered.removed, altered.rewritten)
    again = crawl(source, out)
    assert before == published(out)
    assert [[]] * 3 == list(again.altered())
    assert [] == again.run["run"]["set_aside"]


def test_a_change_to_what_they_rewrote_is_kept(linked: tuple[Path, Path, dict[str, bytes]]) -> None:
    """Whoever edits an index.csv that Med-ImageTools wrote does not lose it to the next run."""
    source, out, _ = linked
    path = out / "index.csv"
    path.write_bytes(path.read_bytes().replace(b"SYN-0001", b"SYN-0009"))
    assert Catalog(out).altered().changed == ["index.csv"]
    with pytest.raises(OutputError, match=r"index\.csv: it was changed since it was published"):
        crawl(source, out)
