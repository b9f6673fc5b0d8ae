"""Reads synthetic data sets with pydicom, as any reader would."""

from pathlib import Path

import pydicom
from pydicom import Dataset, dcmread

PATIENTS = 2
SLICES = 7
"""Of the data set that tests share."""


def read_files(out: Path) -> dict[str, Dataset]:
    """Read every file below a folder, by its name."""
    return {
        path.relative_to(out).as_posix(): dcmread(path)
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


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
