"""The least that reading headers can cost: open, read one window, close."""

from __future__ import annotations

import os

from measure import Attribute, Counted, measure

from dcmdask.dicom.windows import WINDOW
from dcmdask.source.heads import READ_FLAGS, read_into


def read(paths: list[str], _attributes: list[Attribute]) -> None:
    """Open, read, close."""
    row = memoryview(bytearray(WINDOW))
    for path in paths:
        handle = os.open(path, READ_FLAGS)
        read_into(handle, 0, row)
        os.close(handle)


def count(_made: None, _paths: list[str], _attributes: list[Attribute]) -> Counted:
    """Count nothing: no value is taken."""
    return Counted(0, 0)


if __name__ == "__main__":
    measure("dcmdask", read, count)
