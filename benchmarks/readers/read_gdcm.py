"""python-gdcm: `gdcm.Scanner` (C++) over all files in one call.

The values stay in the scanner, as text; fetching them into Python is not on the clock.
"""

from __future__ import annotations

import gdcm
from measure import Attribute, Counted, measure


def read(paths: list[str], attributes: list[Attribute]) -> gdcm.Scanner:
    """Scan all files."""
    scanner = gdcm.Scanner()
    for attribute in attributes:
        scanner.AddTag(gdcm.Tag(attribute.group, attribute.element))
    if not scanner.Scan(paths):
        raise SystemExit("gdcm.Scanner gave up")
    return scanner


def count(made: gdcm.Scanner, paths: list[str], attributes: list[Attribute]) -> Counted:
    """Count the values that the scanner holds and that are not empty."""
    tags = {word.keyword: gdcm.Tag(word.group, word.element) for word in attributes}
    read_paths = [path for path in paths if made.IsKey(path)]
    present = {
        word: sum(1 for path in read_paths if made.GetValue(path, tag))
        for word, tag in tags.items()
    }
    return Counted(present["SOPInstanceUID"], sum(present.values()))


if __name__ == "__main__":
    measure("python-gdcm", read, count)
