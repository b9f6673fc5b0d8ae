"""pydicom: each file read with `specific_tags` up to its pixels, its values as Python objects."""

from __future__ import annotations

import pydicom
from measure import Attribute, count_rows, measure
from pydicom.errors import InvalidDicomError


def read(paths: list[str], attributes: list[Attribute]) -> list[list[object]]:
    """Give the values of all files; those that cannot be read are left out."""
    tags = [attribute.tag for attribute in attributes]
    rows = []
    for path in paths:
        try:
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
        except InvalidDicomError:
            continue
        rows.append([value_of(dataset, attribute) for attribute in attributes])
    return rows


def value_of(dataset: pydicom.FileDataset, attribute: Attribute) -> object:
    """Give one value, of the file meta information if it stands there."""
    holder = dataset.file_meta if attribute.group == 0x0002 else dataset
    return holder.get(attribute.keyword)


if __name__ == "__main__":
    measure("pydicom", read, count_rows)
