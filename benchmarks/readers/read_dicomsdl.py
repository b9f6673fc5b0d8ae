"""dicomsdl (C++): each file opened up to the last attribute wanted, its values as Python objects."""

from __future__ import annotations

import dicomsdl
from measure import Attribute, count_rows, measure


def read(paths: list[str], attributes: list[Attribute]) -> list[list[object]]:
    """Give the values of all files; those that cannot be read are left out."""
    words = [attribute.keyword for attribute in attributes]
    end = max(attribute.tag for attribute in attributes) + 1
    rows = []
    for path in paths:
        try:
            dataset = dicomsdl.open_file(path, end)
            rows.append([getattr(dataset, word) for word in words])
        except RuntimeError:
            continue
    return rows


if __name__ == "__main__":
    measure("dicomsdl", read, count_rows)
