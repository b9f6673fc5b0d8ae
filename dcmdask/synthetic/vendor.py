"""Private elements as a scanner of GE writes them: the blocks they stand in, and their values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from types import MappingProxyType
from typing import Final

from pydicom.datadict import private_dictionary_VM, private_dictionary_VR
from pydicom.dataset import Dataset

from dcmdask.synthetic.uids import vendor_uid

VENDOR_MODALITIES: Final = ("CT", "MR")
"""Modalities whose instances have such elements."""

_VENDOR_CREATORS: Final = (
    (0x0009, "GEMS_IDEN_01"),
    (0x0019, "GEMS_ACQU_01"),
    (0x0021, "GEMS_RELA_01"),
    (0x0027, "GEMS_IMAG_01"),
    (0x0043, "GEMS_PARM_01"),
)
_BLOCKS: Final = range(0x10, 0x100)
"""The blocks that a group can reserve (PS3.5, 7.8.1)."""


@dataclass(frozen=True, slots=True)
class _VendorElement:
    """An element of the private dictionary."""

    group: int
    creator: str
    offset: int
    """The last two digits of its tag."""
    vr: str
    values: int
    """The least multiplicity."""


@cache
def _list_vendor_elements() -> tuple[_VendorElement, ...]:
    """Return what GE's creators define, the groups in turn, so that few elements reach them all."""
    groups = (_list_of_creator(group, creator) for group, creator in _VENDOR_CREATORS)
    turns = zip_longest(*groups)
    return tuple(element for turn in turns for element in turn if element is not None)


def _list_of_creator(group: int, creator: str) -> list[_VendorElement]:
    elements = []
    for offset in range(0x100):
        tag = group << 16 | _BLOCKS.start << 8 | offset
        try:
            vr = private_dictionary_VR(tag, creator)
            least = private_dictionary_VM(tag, creator).partition("-")[0]
        except KeyError:
            continue
        if vr in _VENDOR_VALUES:
            elements.append(_VendorElement(group, creator, offset, vr, int(least)))
    return elements


def max_vendor_elements() -> int:
    """Return how many elements there is room for in an instance."""
    return len(_list_vendor_elements()) * len(_BLOCKS)


_VENDOR_VALUES: Final[Mapping[str, Callable[[int], object]]] = MappingProxyType(
    {
        "CS": lambda number: f"CODE_{number}",
        "DS": lambda number: f"{number}.5",
        "FL": lambda number: number / 4,
        "IS": lambda number: f"{number}",
        "LO": lambda number: f"Synthetic {number}",
        "LT": lambda number: f"Synthetic text {number}",
        "OB": lambda number: bytes([number % 256]) * 16,
        "SH": lambda number: f"SYN {number}",
        "SL": lambda number: -number,
        "SS": lambda number: -(number % 30_000),
        "ST": lambda number: f"Synthetic text {number}",
        "UI": vendor_uid,
        "UL": lambda number: number,
        "US": lambda number: number % 60_000,
    }
)
"""VR to the value of the element of some number. Elements of other VRs are not written."""


def add_vendor_elements(dataset: Dataset, elements: int) -> None:
    """Add private elements, a block after the other, with their creators."""
    known = _list_vendor_elements()
    for number in range(elements):
        turn, index = divmod(number, len(known))
        element = known[index]
        block = _BLOCKS[turn]
        dataset.add_new(element.group << 16 | block, "LO", element.creator)
        value = _VENDOR_VALUES[element.vr](number)
        dataset.add_new(
            element.group << 16 | block << 8 | element.offset,
            element.vr,
            value if element.values == 1 else [value] * element.values,
        )
