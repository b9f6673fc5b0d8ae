"""Takes patients as they are written; checks that they are plausible, and that no two are one."""

from pathlib import Path

import pytest
from pydicom import Dataset
from synthetic.reading import PATIENTS, read_files, uids

from dcmdask.synthetic import write_synthetic

pytestmark = pytest.mark.filterwarnings("error")


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


def test_many_patients_have_distinct_uids(tmp_path: Path) -> None:
    """No two of a hundred patients share a UID, whatever is patched into which template."""
    write_synthetic(tmp_path, patients=100, slices=2, matrix=2, modalities=["CT", "RTSTRUCT"])
    read = list(read_files(tmp_path).values())
    assert len(read) == len(set(uids(read)))
    assert 200 == len({str(dataset.SeriesInstanceUID) for dataset in read})
    assert 1 < len({dataset.KVP for dataset in read if dataset.Modality == "CT"})
