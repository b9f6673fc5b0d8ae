"""Zips unpacked to disk, then every file in them read by pydicom up to its pixels.

    python unpack_zips.py JOB FOLDER PROCESSES INSTANCES

Each process takes one zip at a time: unpacks it into a folder of its own, reads the attributes of
its files, and deletes them. Fails if these are not so many instances.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import zipfile
from functools import partial
from pathlib import Path

import pydicom
from measure import Attribute, count_rows, read_job
from read_pydicom import value_of


def read_zip(path: str, attributes: list[Attribute], folder: str) -> int:
    """Unpack a zip, read its files; give the number of instances."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(place)
        files = [file for file in Path(place).rglob("*") if file.is_file()]
        rows = [read_file(file, attributes) for file in files]
    return count_rows(rows, [], attributes).instances


def read_file(path: Path, attributes: list[Attribute]) -> list[object]:
    """Give the values of one file."""
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    return [value_of(dataset, attribute) for attribute in attributes]


def main() -> None:
    """Do what the command line says."""
    job, folder, processes, instances = sys.argv[1:]
    paths, attributes = read_job(Path(job))
    one = partial(read_zip, attributes=attributes, folder=folder)
    if processes == "1":
        found = sum(map(one, paths))
    else:
        with multiprocessing.Pool(int(processes)) as pool:
            found = sum(pool.imap_unordered(one, paths))
    if found != int(instances):
        raise SystemExit(f"{found} instances, not {instances}")


if __name__ == "__main__":
    main()
