"""Med-ImageTools' own Interlacer opens what a run writes, in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from support import crawl, encode

from dcmdask.synthetic import write_synthetic

pytestmark = pytest.mark.imgtools

_PROGRAM = """
import json, sys
from imgtools.dicom.interlacer import Interlacer

lacer = Interlacer(sys.argv[1])
chains = {
    query: sorted([node.Modality for node in group] for group in lacer.query(query))
    for query in sys.argv[2:]
}
print(json.dumps({"series": len(lacer.crawl_df), "roots": len(lacer.root_nodes), **chains}))
"""


@pytest.fixture
def python() -> str:
    """Give the interpreter that has med-imagetools."""
    found = os.environ.get("DCMDASK_IMGTOOLS_PYTHON")
    if not found:
        pytest.skip("set DCMDASK_IMGTOOLS_PYTHON to a Python that has med-imagetools")
    return found


def interlace(python: str, index: Path, *queries: str) -> dict[str, object]:
    """Open an index.csv with Interlacer and ask it for chains of modalities."""
    command = [python, "-c", _PROGRAM, str(index), *queries]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_interlacer_finds_the_chains_of_linked_patients(python: str, tmp_path: Path) -> None:
    """CT, structure set and PET of two synthetic patients hang together as they were made."""
    write_synthetic(tmp_path / "in", patients=2, slices=4)
    catalog = crawl(tmp_path / "in", tmp_path / "out")
    found = interlace(python, catalog.out / "index.csv", "CT,RTSTRUCT", "CT,PT", "MR,SEG")
    assert found == {
        "series": 16,
        "roots": 4,
        "CT,RTSTRUCT": [["CT", "RTSTRUCT"], ["CT", "RTSTRUCT"]],
        "CT,PT": [["CT", "PT"], ["CT", "PT"]],
        "MR,SEG": [["MR", "SEG"], ["MR", "SEG"]],
    }


def test_interlacer_takes_acquisitions_of_one_size(python: str, tmp_path: Path) -> None:
    """Two acquisitions of two slices each are two rows, which Interlacer refuses if they look alike."""
    source = tmp_path / "in" / "case"
    source.mkdir(parents=True)
    for number in range(4):
        values = {
            "SOPInstanceUID": f"1.2.3.4.{number}",
            "InstanceNumber": number,
            "AcquisitionNumber": number // 2 + 1,
        }
        (source / f"{number}").write_bytes(encode(values))
    catalog = crawl(tmp_path / "in", tmp_path / "out")
    assert interlace(python, catalog.out / "index.csv") == {"series": 2, "roots": 1}


@pytest.mark.data
def test_interlacer_opens_the_sample_data(python: str, data: Path, tmp_path: Path) -> None:
    """The index of the sample data opens, and PET of both patients hangs on their CT."""
    catalog = crawl(data, tmp_path / "out")
    found = interlace(python, catalog.out / "index.csv", "CT,PT")
    assert found["series"] == catalog.index.num_rows
    assert found["CT,PT"] == [["CT", "PT"], ["CT", "PT"]]
