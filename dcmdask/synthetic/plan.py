"""What is to be written, checked, and what follows from it for the template of every kind."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.uid import UID

from dcmdask.synthetic.modalities import NEEDS, SLICED


@dataclass(frozen=True, slots=True)
class Plan:
    """The arguments of a data set, as `dcmdask.synthetic.data_set.write_synthetic` has them."""

    patients: int
    slices: int
    seed: int
    modalities: tuple[str, ...]
    matrix: int
    syntax: UID
    vendor_elements: int

    def digits(self, number: int) -> str:
        """Return a patient's number as text of one width for all patients."""
        return f"{number:0{max(4, len(str(self.patients)))}d}"

    def count(self, modality: str) -> int:
        """Return how many instances a series of `modality` has."""
        return self.slices if modality in SLICED else 1

    def target(self, modality: str) -> str:
        """Return the modality that `modality` refers to."""
        return next(need for need in NEEDS[modality] if need in self.modalities)

    def instances(self) -> int:
        """Return how many instances are written in all."""
        return self.patients * sum(self.count(modality) for modality in self.modalities)

    def middle(self, most: int) -> range:
        """Return the numbers of at most `most` slices in the middle."""
        kept = min(self.slices, most)
        first = (self.slices - kept) // 2 + 1
        return range(first, first + kept)

    def pack(self, letter: str, values: Sequence[int]) -> bytes:
        """Return numbers as bytes in the byte order of the transfer syntax; as `struct.pack`."""
        order = "<" if self.syntax.is_little_endian else ">"
        return struct.pack(f"{order}{len(values)}{letter}", *values)
