"""Take a dataset; give items of its sequences and of its functional groups (PS3.3 C.7.6.16)."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

_SHARED = "SharedFunctionalGroupsSequence"
_PER_FRAME = "PerFrameFunctionalGroupsSequence"


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Give the items of a sequence; none where it is absent, empty or not a sequence."""
    value = dataset.get(keyword)
    return list(value) if isinstance(value, Sequence) else []


def first_item(dataset: Dataset, keyword: str) -> Dataset | None:
    """Give the first item of a sequence, or None."""
    found = items(dataset, keyword)
    return found[0] if found else None


def frame_groups(dataset: Dataset) -> list[Dataset]:
    """Give the functional groups that hold for the first frame: the shared ones, then its own."""
    found = (first_item(dataset, keyword) for keyword in (_SHARED, _PER_FRAME))
    return [item for item in found if item is not None]


def group_item(dataset: Dataset, macro: str) -> Dataset | None:
    """Give the first item of one macro's sequence, shared or of the first frame."""
    for group in frame_groups(dataset):
        item = first_item(group, macro)
        if item is not None:
            return item
    return None


def group_items_with(dataset: Dataset, keyword: str) -> Iterator[Dataset]:
    """Give the items of all macros that hold an attribute, shared before per frame."""
    for group in frame_groups(dataset):
        for element in group:
            if isinstance(element.value, Sequence) and element.value:
                item = element.value[0]
                if keyword in item:
                    yield item


def all_groups(dataset: Dataset) -> Iterator[tuple[str, Dataset]]:
    """Give every functional group with where it stands: shared, then frame by frame."""
    for keyword in (_SHARED, _PER_FRAME):
        for number, item in enumerate(items(dataset, keyword)):
            yield f"{keyword}[{number}]", item
