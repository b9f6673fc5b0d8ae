"""A modality that is added is a file and two places in the registry; all else follows from these."""

from __future__ import annotations

import subprocess
from pathlib import Path

from conftest import Write
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, UltrasoundImageStorage
from running import hooked, run_command

from dcmdask.catalog.catalog import Catalog

_ULTRASOUND = """
from pydicom.uid import UltrasoundImageStorage
from dcmdask.extract.table import Extractor, ReferencePath, measured, plain

US = Extractor(
    modality="US",
    sop_classes=(UltrasoundImageStorage,),
    attributes=(*plain("TransducerType"), *measured("DepthOfScanField", "mm")),
    references=(ReferencePath(("ReferencedStereometricInstanceSequence",), "source", "instance"),),
)
"""
"""What the file would hold."""

_REGISTERED = """
from dcmdask.extract import registry
registry.EXTRACTORS += (US,)
registry._BY_CLASS[UltrasoundImageStorage] = US
"""


def test_a_modality_is_a_table_and_a_line(write: Write, tmp_path: Path) -> None:
    """Its attributes are columns and stand in the JSON, its references are resolved."""
    write(
        "in/ct.dcm", SOPInstanceUID="1.2.1", SOPClassUID=CTImageStorage, SeriesInstanceUID="1.3.1"
    )
    named = Dataset()
    named.ReferencedSOPClassUID, named.ReferencedSOPInstanceUID = CTImageStorage, "1.2.1"
    write(
        "in/us.dcm",
        SOPInstanceUID="1.2.2",
        SOPClassUID=UltrasoundImageStorage,
        SeriesInstanceUID="1.3.2",
        Modality="US",
        TransducerType="CURVED LINEAR",
        DepthOfScanField=160,
        ReferencedStereometricInstanceSequence=[named],
    )
    out = tmp_path / "out"
    env = hooked(tmp_path, _ULTRASOUND + _REGISTERED)
    subprocess.run(run_command(tmp_path / "in", out, "--quiet"), check=True, env=env, timeout=100)
    catalog = Catalog(out)
    (row,) = (one for one in catalog.crawl_db.to_pylist() if one["Modality"] == "US")
    assert ("CURVED LINEAR", 160) == (row["TransducerType"], row["DepthOfScanField"])
    assert '"TransducerType": "CURVED LINEAR"' in (out / "crawl_db.json").read_text()
    (reference,) = catalog.references.to_pylist()
    assert ("source", "sop_uid", "1.3.1", "CT") == tuple(
        reference[name]
        for name in ("role", "resolution", "TargetSeriesInstanceUID", "TargetModality")
    )
