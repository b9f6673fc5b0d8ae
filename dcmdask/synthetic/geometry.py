"""Where the slices of CT, PT and MR lie, as the text that their elements hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

AXIAL: Final = "1\\0\\0\\0\\1\\0"
"""ImageOrientationPatient of all slices."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the slices of a modality lie."""

    field_of_view: float
    """mm"""
    first: int
    """z of the first slice, µm"""
    spacing: int
    """from a slice to the next, µm"""

    def z(self, number: int) -> str:
        """Return the z of slice `number`, counted from 1, in mm."""
        return f"{(self.first + (number - 1) * self.spacing) / 1000:.3f}"

    def place(self, matrix: int, z: str) -> str:
        """Return ImagePositionPatient, the middle of the first pixel, of a slice at `z`."""
        corner = (self.field_of_view / matrix - self.field_of_view) / 2
        return f"{corner:.3f}\\{corner:.3f}\\{z}"

    def pixel_spacing(self, matrix: int) -> list[str]:
        """Return PixelSpacing in mm."""
        return [f"{self.field_of_view / matrix:.6g}"] * 2

    def step(self) -> str:
        """Return the spacing in mm."""
        return f"{self.spacing / 1000:.3f}"


GEOMETRY: Final[Mapping[str, Geometry]] = MappingProxyType(
    {
        "CT": Geometry(field_of_view=500.0, first=-500_000, spacing=2_500),
        "PT": Geometry(field_of_view=700.0, first=-500_000, spacing=3_270),
        "MR": Geometry(field_of_view=240.0, first=-60_000, spacing=3_000),
    }
)
