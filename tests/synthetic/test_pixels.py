"""Takes pixels of every modality; checks that they decode, and mean something."""

from pathlib import Path

import pytest
from pydicom import Dataset
from synthetic.reading import SLICES, by_modality, read_files

from dcmdask.synthetic import write_synthetic

pytestmark = pytest.mark.filterwarnings("error")


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
