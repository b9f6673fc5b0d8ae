"""A real DICOMweb server: the catalog is that of a folder of the same files, but for where they lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import ImplicitVRLittleEndian
from servers import Orthanc
from support import crawl, encode

from dcmdask.catalog.catalog import Catalog
from dcmdask.config import RunOptions
from dcmdask.errors import SourceError
from dcmdask.execution.pipeline import run
from dcmdask.synthetic import write_synthetic

pytestmark = pytest.mark.orthanc

OF_THE_PLACE = {
    "url", "case", "path", "folder", "folders", "file_name", "archive", "size", "modified", "etag",
    "representative_url", "TransferSyntaxUID",
}  # fmt: skip
"""Columns that say where something lies; and what this version of Orthanc does not tell."""


def crawl_service(server: Orthanc, out: Path, below: str = "", **options: Any) -> Catalog:
    """Crawl what a server has, and open the catalog."""
    return Catalog(run([f"{server.source}{below}"], RunOptions(out=str(out), **options))["out"])


def tables(catalog: Catalog) -> dict[str, list[dict[str, Any]]]:
    """Give what was read, without where it lies."""
    found = {
        "instances": catalog.instances.to_table(),
        "crawl_db": catalog.crawl_db,
        "references": catalog.references,
    }
    return {
        name: sorted(
            ({k: v for k, v in row.items() if k not in OF_THE_PLACE} for row in table.to_pylist()),
            key=repr,
        )
        for name, table in found.items()
    }


def test_a_service_makes_the_catalog_of_its_files(orthanc: Orthanc, tmp_path: Path) -> None:
    """Instances, series and references; the second run reads nothing, the next one what is new."""
    write_synthetic(tmp_path / "in", patients=2, slices=3)
    orthanc.fill(tmp_path / "in")
    catalog = crawl_service(orthanc, tmp_path / "out")
    assert tables(crawl(tmp_path / "in", tmp_path / "local")) == tables(catalog)
    assert 0 == catalog.failures.num_rows
    row = catalog.instances.to_table().to_pylist()[0]
    uids = [row[name] for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")]
    study, series, sop = uids
    below = f"studies/{study}/series/{series}/instances/{sop}"
    assert f"{orthanc.url}{orthanc.root}/{below}" == row["url"]
    assert (study, "/".join(uids), None) == (row["case"], row["path"], row["etag"])

    again = crawl_service(orthanc, tmp_path / "out")
    assert {"new": 0, "changed": 0, "gone": 0} == _changes(again)
    orthanc.ask(
        "/instances", encode({"PatientName": "Müller^Jörg", "SpecificCharacterSet": "ISO_IR 100"})
    )
    later = crawl_service(orthanc, tmp_path / "out")
    assert {"new": 1, "changed": 0, "gone": 0} == _changes(later)
    assert "Müller^Jörg" in later.instances.to_table()["PatientName"].to_pylist()


def _changes(catalog: Catalog) -> dict[str, int]:
    said = catalog.run["run"]["changes"]
    return {name: said[name] for name in ("new", "changed", "gone")}


def test_a_study_or_a_series_is_a_source(orthanc: Orthanc, tmp_path: Path) -> None:
    """Of others nothing is read; what is not there is said."""
    for number in (1, 2, 3):
        said = {"SOPInstanceUID": f"1.2.3.4.{number}", "SeriesInstanceUID": f"1.2.3.{number}"}
        orthanc.ask("/instances", encode({**said, "StudyInstanceUID": f"1.2.{number // 3}"}))
    study = crawl_service(orthanc, tmp_path / "study", "/studies/1.2.0")
    assert ["1.2.3.1/1.2.3.4.1", "1.2.3.2/1.2.3.4.2"] == _column(study, "path")
    series = crawl_service(orthanc, tmp_path / "series", "/studies/1.2.0/series/1.2.3.2")
    assert (["1.2.3.4.2"], ["1.2.0"]) == (_column(series, "path"), _column(series, "case"))
    with pytest.raises(SourceError, match="knows no such study"):
        crawl_service(orthanc, tmp_path / "none", "/studies/1.2.7")


def _column(catalog: Catalog, name: str) -> list[str]:
    return sorted(catalog.instances.to_table()[name].to_pylist())


def test_who_may_not_ask_is_told(orthanc: Orthanc, tmp_path: Path) -> None:
    """And no password is in any file of a run."""
    source = orthanc.source.replace(f"{orthanc.key}:{orthanc.secret}@", "")
    with pytest.raises(SourceError, match="denies access"):
        run([source], RunOptions(out=str(tmp_path / "no")))
    orthanc.ask("/instances", encode(syntax=ImplicitVRLittleEndian))
    headers = (f"headers={json.dumps(orthanc.authorization)}",)
    done = run([source], RunOptions(out=str(tmp_path / "token"), storage_option=headers))
    assert 1 == done["counts"]["instances"]
    crawl_service(orthanc, tmp_path / "out")
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not [path for path in written if orthanc.secret.encode() in path.read_bytes()]


@pytest.mark.data
@pytest.mark.parametrize("name", ["ibsi", "dcm_qa_enh"])
def test_real_files_make_the_catalog_of_their_folder(
    orthanc: Orthanc, data: Path, tmp_path: Path, name: str
) -> None:
    """Structure sets with what they refer to, and functional groups."""
    orthanc.fill(data / name)
    local, remote = crawl(data / name, tmp_path / "local"), crawl_service(orthanc, tmp_path / "out")
    assert tables(local) == tables(remote)
    assert json.loads(orthanc.ask("/statistics"))["CountInstances"] == len(_column(remote, "path"))
