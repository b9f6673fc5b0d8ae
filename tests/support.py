"""Makes instances and crawls them, for tests."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import settings
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from dcmdask.catalog.catalog import Catalog
from dcmdask.config import RunOptions
from dcmdask.execution.pipeline import run
from dcmdask.publish.output import OF_PEOPLE
from dcmdask.state.parts import list_stems, read_summary
from dcmdask.types import PRIVATE


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


def unfinished(out: Path) -> list[str]:
    """Give the parts that a run which was ended has left, and see that each of them is whole.

    Nothing else may be there but numbers, which are given before tables use them: nothing
    published, no half part, no staging, no word of who writes.
    """
    assert {PRIVATE} == {path.name for path in out.iterdir()} - OF_PEOPLE
    private, parts = out / PRIVATE, out / PRIVATE / "parts"
    kept = ["lock", "output.json", "parts", "unfinished.json"]
    assert set(kept) == {path.name for path in private.iterdir()} - {"numbers.lock"}
    stems = list_stems(parts)
    reading = json.loads((out / PRIVATE / "unfinished.json").read_text())["reading"]
    assert all(read_summary(parts, stem, reading, thorough=True) for stem in stems)
    assert set(stems) == {path.name.partition(".")[0] for path in parts.iterdir()}
    return stems


def published(out: Path) -> dict[str, bytes]:
    """Give every published file but the two that may differ: catalog.json and the instances."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
        and path.name != "catalog.json"
        and path.relative_to(out).parts[0] not in (".dcmdask", "instances")
    }


def rows(out: Path) -> pa.Table:
    """Give the instances, sorted."""
    table = Catalog(out).instances.to_table()
    return table.sort_by([(name, "ascending") for name in ("url", "SOPInstanceUID")])


def examples(number: int) -> int:
    """Return how many examples a property is tried with: as many more as the profile has."""
    return number * settings.default.max_examples // 100
