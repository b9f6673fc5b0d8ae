"""Takes slices of CT, PT and MR; checks in what they differ from each other."""

import pytest
from pydicom import Dataset
from synthetic.reading import SLICES

pytestmark = pytest.mark.filterwarnings("error")


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
