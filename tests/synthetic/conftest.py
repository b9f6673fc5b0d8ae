"""One data set of all modalities for all tests that only read."""

from pathlib import Path

import pytest
from pydicom import Dataset
from synthetic.reading import PATIENTS, SLICES, by_modality, read_files

from dcmdask.synthetic import write_synthetic


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a data set of all modalities."""
    out = tmp_path_factory.mktemp("synthetic")
    write_synthetic(out, patients=PATIENTS, slices=SLICES, vendor_elements=40)
    return out


@pytest.fixture(scope="session")
def files(out: Path) -> dict[str, Dataset]:
    """Read that data set."""
    return read_files(out)


@pytest.fixture(scope="session")
def first(files: dict[str, Dataset]) -> dict[str, list[Dataset]]:
    """Give the instances of the first patient by modality."""
    return by_modality(files, "SYN-0001")
