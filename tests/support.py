"""Makes instances and crawls them, for tests."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from dcmdask.catalog import Catalog
from dcmdask.config import RunOptions
from dcmdask.pipeline import run


def encode(values: dict[str, Any] | None = None, *, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Give the bytes of one instance: a CT slice with `values` set on top; None removes."""
    dataset = Dataset()
    defaults = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": "1.2.3.4.1",
        "StudyInstanceUID": "1.2.3.2",
        "SeriesInstanceUID": "1.2.3.3",
        "Modality": "CT",
        "PatientID": "P1",
        "PatientName": "Doe^Jane",
        "InstanceNumber": 1,
        "Rows": 4,
        "Columns": 4,
    }
    for keyword, value in {**defaults, **(values or {})}.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", CTImageStorage)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "1.2.3.4.1")
    stream = io.BytesIO()
    dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def crawl(source: Path | list[Path], out: Path, **options: Any) -> Catalog:
    """Crawl and open the catalog."""
    sources = source if isinstance(source, list) else [source]
    done = run([str(path) for path in sources], RunOptions(out=str(out), **options))
    return Catalog(done["out"])
