"""Takes a size and a seed; checks what is written, that it is so again, and what is refused."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom import Dataset
from synthetic.reading import PATIENTS, SLICES, read_files

import dcmdask
from dcmdask.synthetic import MODALITIES, Synthesis, write_synthetic

pytestmark = pytest.mark.filterwarnings("error")

SCRIPT = """
import sys
from pathlib import Path
from dcmdask.synthetic import write_synthetic
for archives in ("none", "zip", "tar", "tar.gz"):
    out = Path(sys.argv[1], archives)
    write_synthetic(out, patients=2, slices=3, seed=5, archives=archives, vendor_elements=60)
"""


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
        root = str(Path(dcmdask.__file__).parents[1])
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
