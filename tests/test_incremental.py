"""A second run reads only what is new or changed, and publishes what a full one would."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import crawl, encode, examples, published, rows

from dcmdask.catalog.catalog import Catalog
from dcmdask.config import ReadOptions
from dcmdask.errors import OutputError
from dcmdask.execution.worker import process_partition
from dcmdask.listing.listing import open_roots, write_manifest
from dcmdask.state.fingerprint import NEVER
from dcmdask.state.manifest import PieceWriter
from dcmdask.state.parts import read_part
from dcmdask.state.previous_runs import Known
from dcmdask.synthetic import write_synthetic
from dcmdask.types import Partition

OPTIONS: dict[str, Any] = {"merge_all": True, "export_json": True, "workers": 1}


def counts(catalog: Catalog) -> dict[str, Any]:
    """Give what is counted of the files, not of the work."""
    work = ("bytes_read", "scanned", "left_to_pydicom")
    return {name: n for name, n in catalog.run["counts"].items() if name not in work}


def assert_as_full(source: Path, out: Path, tmp_path: Path, **options: Any) -> None:
    """See that a catalog is what a full run publishes."""
    full = tmp_path / "full"
    shutil.rmtree(full, ignore_errors=True)
    numbers = out / "projectid_map.json"
    full.mkdir()
    shutil.copy(numbers, full / "projectid_map.json")
    expected = crawl(source, full, **{**OPTIONS, **options})
    assert published(full) == published(out)
    assert rows(full).equals(rows(out))
    assert counts(expected) == counts(Catalog(out))


def changes(catalog: Catalog) -> tuple[int, ...]:
    """Give what a run found new, changed, gone and the same."""
    found = catalog.run["run"]["changes"]
    return tuple(found[name] for name in ("new", "changed", "gone", "same"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give folders, a zip, a tar.gz and a file that is no DICOM."""
    folder = tmp_path / "exports"
    write_synthetic(folder / "site", patients=1, slices=4)
    for number, archives in enumerate(("zip", "tar.gz")):
        write_synthetic(folder / archives, patients=1, slices=3, seed=number + 1, archives=archives)
    (folder / "notes.txt").write_text("not DICOM")
    return folder


def spoil(path: Path) -> None:
    """Make a file unreadable as DICOM, with its size and time as they were."""
    status = path.stat()
    path.write_bytes(b"\0" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_what_has_not_changed_is_not_opened(source: Path, tmp_path: Path) -> None:
    """Neither files nor archives are read again: what they hold now does not matter."""
    out = tmp_path / "out"
    crawl(source, out, **OPTIONS)
    before, instances = published(out), rows(out)
    for path in source.rglob("*"):
        if path.is_file():
            spoil(path)
    again = crawl(source, out, **OPTIONS)
    files = sum(path.is_file() for path in source.rglob("*"))
    assert (0, 0, 0, files) == changes(again)
    assert before == published(out)
    assert instances.equals(rows(out))
    # Also where the catalog has to be built anew.
    (source / "more.txt").write_text("new")
    again = crawl(source, out, **OPTIONS)
    assert (1, 0, 0, files) == changes(again)
    assert instances.equals(rows(out))


def test_new_changed_and_gone_files_make_the_catalog_of_a_full_run(
    source: Path, tmp_path: Path
) -> None:
    """Whatever happened to files and archives between two runs, the result is that of one."""
    out = tmp_path / "out"
    crawl(source, out, **OPTIONS)
    loose = sorted((source / "site").rglob("*.dcm"))
    loose[0].unlink()
    loose[-1].write_bytes(encode({"SOPInstanceUID": "1.2.9", "PatientID": "other"}))
    (source / "new").mkdir()
    (source / "new" / "a.dcm").write_bytes(encode())
    archive = next((source / "zip").rglob("*.zip"))
    with zipfile.ZipFile(archive, "a") as members:
        members.writestr("added.dcm", encode({"SOPInstanceUID": "1.2.8"}))
    next((source / "tar.gz").rglob("*.tar.gz")).unlink()
    again = crawl(source, out, **OPTIONS)
    files = sum(path.is_file() for path in source.rglob("*"))
    assert (1, 2, 2, files - 3) == changes(again)
    assert_as_full(source, out, tmp_path)


def test_a_series_that_loses_its_representative_is_described_by_the_next(
    source: Path, tmp_path: Path
) -> None:
    """Of an unchanged series only the instance is opened that takes the place of the one gone."""
    out = tmp_path / "out"
    folder = source / "series"
    folder.mkdir()
    for number in range(1, 6):
        sop = f"1.2.7.{number}"
        values = {"SOPInstanceUID": sop, "InstanceNumber": number, "KVP": str(100 + number)}
        (folder / f"{number}.dcm").write_bytes(encode({**values, "SeriesInstanceUID": "1.2.7"}))
    crawl(source, out, **OPTIONS)
    (folder / "1.dcm").unlink()
    for number in (3, 4, 5):
        spoil(folder / f"{number}.dcm")
    catalog = crawl(source, out, **OPTIONS)
    row = catalog.crawl_db.filter(pa.compute.field("SeriesInstanceUID") == "1.2.7").to_pylist()[0]
    assert (102.0, 4) == (row["KVP"], row["instance_count"])
    assert row["representative_url"].endswith("series/2.dcm")


def test_a_representative_that_cannot_be_read_leaves_its_place_to_the_next(
    tmp_path: Path,
) -> None:
    """A file that was read once and is no longer what it was costs itself, not its series."""
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for number in range(1, 6):
        values = {"SOPInstanceUID": f"1.2.{number}", "InstanceNumber": number}
        (source / f"{number}.dcm").write_bytes(encode({**values, "KVP": str(100 + number)}))
    crawl(source, out, **OPTIONS)
    (source / "1.dcm").unlink()
    spoil(source / "2.dcm")
    spoil(source / "3.dcm")
    row = crawl(source, out, allow_shrink=True, **OPTIONS).crawl_db.to_pylist()[0]
    assert (104.0, 2) == (row["KVP"], row["instance_count"])
    assert_as_full(source, out, tmp_path)


@pytest.mark.parametrize("partition_size", [1, 3, 4096])
def test_representatives_that_go_one_after_the_other(tmp_path: Path, partition_size: int) -> None:
    """However often the first instance of a series goes, the next run describes the new first."""
    source, out = tmp_path / "in", tmp_path / "out"
    for series in ("1.2.1", "1.2.2"):
        for number in range(1, 6):
            path = source / f"{number % 2}" / f"{series}-{number}.dcm"
            path.parent.mkdir(parents=True, exist_ok=True)
            values = {"SOPInstanceUID": f"{series}.{number}", "SeriesInstanceUID": series}
            kvp = {"InstanceNumber": number, "KVP": str(90 + number)}
            path.write_bytes(encode({**values, **kvp}))
    crawl(source, out, partition_size=partition_size, **OPTIONS)
    for number in range(1, 5):
        (source / f"{number % 2}" / f"1.2.1-{number}.dcm").unlink()
        crawl(source, out, partition_size=partition_size, **OPTIONS)
        assert_as_full(source, out, tmp_path)


def test_settings_that_change_what_is_read_read_all_again(source: Path, tmp_path: Path) -> None:
    """With --desensitize no name of an earlier run stays, and the run says why it read all."""
    out = tmp_path / "out"
    crawl(source, out, **OPTIONS)
    hidden = crawl(source, out, desensitize=True, **OPTIONS)
    assert "it was read with other settings or releases" == hidden.run["run"]["read_anew"]
    assert all(name.startswith("hash:") for name in rows(out)["PatientName"].to_pylist())
    for path in (out / ".dcmdask").rglob("*"):
        assert not path.is_file() or b"Synthetic^Patient" not in path.read_bytes()
    assert_as_full(source, out, tmp_path, desensitize=True)


def test_settings_that_change_what_is_written_read_nothing(source: Path, tmp_path: Path) -> None:
    """Another layout is written from what is known."""
    out = tmp_path / "out"
    crawl(source, out, workers=1)
    again = crawl(source, out, **OPTIONS)
    assert 0 == again.run["counts"]["bytes_read"]
    assert_as_full(source, out, tmp_path)


def test_a_full_run_reads_all_again(source: Path, tmp_path: Path) -> None:
    """What has changed and shows neither in size nor in time is seen by --full only."""
    out = tmp_path / "out"
    crawl(source, out, **OPTIONS)
    spoil(next((source / "site").rglob("*.dcm")))
    assert 1 == crawl(source, out, **OPTIONS).run["counts"]["skips"]
    assert 2 == crawl(source, out, full=True, **OPTIONS).run["counts"]["skips"]


def test_a_file_of_the_catalog_that_was_deleted_is_written_again(
    source: Path, tmp_path: Path
) -> None:
    """A run into an output that is not whole makes it whole, without reading."""
    out = tmp_path / "out"
    crawl(source, out, **OPTIONS)
    before = published(out)
    (out / "index.csv").unlink()
    part = out / Catalog(out).run["instances"][0]
    part.unlink()
    again = crawl(source, out, **OPTIONS)
    assert 0 == again.run["counts"]["bytes_read"]
    assert before == published(out)
    assert part.exists()


def test_an_empty_folder_is_a_new_case(source: Path, tmp_path: Path) -> None:
    """A case without files is seen although no file has changed."""
    out = tmp_path / "out"
    crawl(source, out, **OPTIONS)
    (source / "empty").mkdir()
    again = crawl(source, out, **OPTIONS)
    assert "empty" in again.cases["case"].to_pylist()
    assert_as_full(source, out, tmp_path)


def test_a_case_map_that_was_edited_counts(source: Path, tmp_path: Path) -> None:
    """Numbers that someone changed in the map are those of the next catalog."""
    out = tmp_path / "out"
    crawl(source, out, **OPTIONS)
    (out / "projectid_map.json").write_text('{"site": 70}')
    again = crawl(source, out, **OPTIONS)
    numbers = dict(zip(*(again.cases[n].to_pylist() for n in ("case", "ProjectID")), strict=True))
    assert 70 == numbers["site"]


def test_other_sources_are_another_catalog(source: Path, tmp_path: Path) -> None:
    """A source that is no longer named is gone, one that is new is read; names may change cases."""
    out = tmp_path / "out"
    crawl([source / "site", source / "zip"], out, **OPTIONS)
    crawl([source / "zip", source / "tar.gz"], out, allow_shrink=True, **OPTIONS)
    both = crawl(source, out, **OPTIONS)
    assert_as_full(source, out, tmp_path)
    assert both.run["run"]["changes"]["new"]


@pytest.mark.parametrize("state", ["parts", "state"])
def test_a_catalog_without_its_parts_is_read_again(
    source: Path, tmp_path: Path, state: str
) -> None:
    """What a run keeps for itself may be lost: the next one reads what it does not know."""
    out = tmp_path / "out"
    crawl(source, out, **OPTIONS)
    if state == "parts":
        shutil.rmtree(out / ".dcmdask" / "parts")
    else:
        for path in (out / ".dcmdask").glob("state-*"):
            path.unlink()
    crawl(source, out, **OPTIONS)
    assert_as_full(source, out, tmp_path)


def test_small_parts_are_put_together(tmp_path: Path) -> None:
    """Many runs that each find one new file do not leave a file each."""
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for number in range(14):
        path = source / f"{number}.dcm"
        path.write_bytes(encode({"SOPInstanceUID": f"1.2.{number}", "InstanceNumber": number}))
        catalog = crawl(source, out, **OPTIONS)
    assert len(catalog.run["instances"]) < 12
    assert_as_full(source, out, tmp_path)


def test_nights_without_news_leave_nothing_behind(tmp_path: Path) -> None:
    """However small its parts are, an unchanged catalog is left as it is, and so is what is kept."""
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for number in range(12):
        (source / f"{number}.dcm").write_bytes(encode({"SOPInstanceUID": f"1.2.{number}"}))
        crawl(source, out, partition_size=40, **OPTIONS)
    kept = sorted(path.name for path in (out / ".dcmdask").rglob("*"))
    for _ in range(2):
        crawl(source, out, partition_size=40, **OPTIONS)
        assert kept == sorted(path.name for path in (out / ".dcmdask").rglob("*"))


def test_a_run_that_fails_every_night_does_not_fill_the_disk(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was put together for a catalog that could not be published is there once."""
    out = tmp_path / "out"
    crawl(source, out, partition_size=3, **OPTIONS)
    (source / "late.dcm").write_bytes(encode())
    kept = []
    for _ in range(3):
        with monkeypatch.context() as patch:
            patch.setattr("dcmdask.execution.pipeline.assemble", _full_disk)
            with pytest.raises(OutputError):
                crawl(source, out, partition_size=3, **OPTIONS)
        kept.append(len(list((out / ".dcmdask" / "parts").iterdir())))
    assert kept[1] == kept[2]
    crawl(source, out, partition_size=3, **OPTIONS)
    assert_as_full(source, out, tmp_path)


def _full_disk(*_what: Any) -> Any:
    raise OutputError("OUT", "no space left", "free some")


def test_a_map_elsewhere_is_written_although_nothing_changed(source: Path, tmp_path: Path) -> None:
    """Numbers that were given once are kept wherever the map is asked for next."""
    out, own = tmp_path / "out", tmp_path / "map.json"
    crawl(source, out, **OPTIONS)
    numbers = json.loads((out / "projectid_map.json").read_text())
    for _ in range(2):
        own.unlink(missing_ok=True)
        (out / "projectid_map.json").replace(own)
        crawl(source, out, projectid_map=str(own), **OPTIONS)
        assert numbers == json.loads(own.read_text())
        shutil.copy(own, out / "projectid_map.json")


@pytest.mark.parametrize("damage", ["index", "state", "table"])
def test_what_was_damaged_is_read_again(source: Path, tmp_path: Path, damage: str) -> None:
    """A disk that loses bytes of what a run keeps is healed by the same command.

    Of what is published, it is changed, as if by somebody: moved aside where that is asked for.
    """
    out = tmp_path / "out"
    crawl(source, out, **OPTIONS)
    before = published(out)
    path = next((out / ".dcmdask").glob("state-*.index"))
    if damage == "state":
        path = path.with_suffix(".json")
    elif damage == "table":
        path = out / "crawl_db.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    if damage == "table":
        with pytest.raises(
            OutputError, match=r"crawl_db\.parquet: it was changed since it was pub"
        ):
            crawl(source, out, **OPTIONS)
    again = crawl(source, out, replace=damage == "table", **OPTIONS)
    if damage == "table":
        aside = out / again.run["run"]["set_aside_in"]
        assert ["crawl_db.parquet"] == [path.name for path in aside.iterdir()]
        shutil.rmtree(aside)
    assert before == published(out)
    assert (damage == "table") == (again.run["run"]["read_anew"] is None)


@pytest.mark.skipif(sys.platform == "win32", reason="positioned reads of POSIX")
@pytest.mark.parametrize("name", ["loose.dcm", "a.zip"])
def test_a_read_that_was_refused_once_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """An error of a disk or a share is that of an hour: what came of it is not remembered."""
    source, staging = tmp_path / "in", tmp_path / "parts"
    source.mkdir()
    staging.mkdir()
    content = encode({"PatientComments": "x" * 9000, "SOPInstanceUID": "1.2"})
    if name == "a.zip":
        with zipfile.ZipFile(source / name, "w") as archive:
            archive.writestr("x.dcm", content)
    else:
        (source / name).write_bytes(content)
    partition = _partition_of(source, tmp_path)
    options = ReadOptions(("in",), str(staging), False, 60, 60, "")
    real, calls = os.preadv, [0]

    def refuse(*what: Any) -> int:
        calls[0] += 1
        if calls[0] == 2:
            raise OSError(errno.EIO, "I/O error")
        return real(*what)

    class Refusing(io.FileIO):
        def read(self, count: int = -1) -> bytes:
            if name == "a.zip" and self.tell() > 0:
                raise OSError(errno.EIO, "I/O error")
            return super().read(count)

    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", refuse)
        patch.setattr("dcmdask.source.folders.disk.io.FileIO", Refusing)
        summary = process_partition(partition, options)
    facts = read_part(staging, summary.part, "read")["facts"].to_pylist()
    assert [NEVER] == facts
    calm = process_partition(partition, options)
    assert NEVER not in read_part(staging, calm.part, "read")["facts"].to_pylist()


def _partition_of(source: Path, tmp_path: Path) -> Partition:
    """Give the one partition of a folder."""
    roots = open_roots([str(source)])
    pieces = tmp_path / "pieces"
    pieces.mkdir()
    growing = write_manifest(
        roots,
        Known(pieces, ""),
        PieceWriter(pieces),
        partition_size=10,
        leave_out=frozenset(),
        wanted=lambda _path: True,
    )
    (partition,) = list(growing)[-1].partitions
    return partition


def _edit(source: Path, edit: tuple[int, int, int]) -> None:
    """Change something: a file or a member of an archive comes, changes or goes."""
    what, number, series = edit
    path = source / f"case{number % 3}" / f"{number}.dcm"
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {
        "SOPInstanceUID": f"1.2.{series}.{number}",
        "SeriesInstanceUID": f"1.2.{series}",
        "InstanceNumber": number,
        "KVP": str(80 + number),
        "SliceThickness": str(1 + what),
    }
    if what == 0:
        path.unlink(missing_ok=True)
    elif what == 1:
        path.write_bytes(encode(values))
    elif what == 2:
        path.write_bytes(encode({**values, "Modality": None, "SeriesInstanceUID": None}))
    elif what == 3:
        path.write_text("no DICOM" * number)
    else:
        with zipfile.ZipFile(source / f"case{number % 3}" / "a.zip", "a") as archive:
            archive.writestr(f"{number}-{len(archive.namelist())}.dcm", encode(values))


EDITS = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 8), st.integers(1, 3)), max_size=6)


@settings(max_examples=examples(15), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(nights=st.lists(EDITS, min_size=2, max_size=4), partition_size=st.sampled_from([1, 2, 50]))
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_any_history_makes_the_catalog_of_a_full_run(
    tmp_path_factory: pytest.TempPathFactory,
    nights: list[list[tuple[int, int, int]]],
    partition_size: int,
) -> None:
    """Whatever comes, changes and goes from run to run, the catalog is that of one full run."""
    folder = tmp_path_factory.mktemp("history")
    source, out = folder / "in", folder / "out"
    source.mkdir()
    (source / "notes.txt").write_text("text")
    for edits in nights:
        for edit in edits:
            _edit(source, edit)
        crawl(source, out, partition_size=partition_size, allow_shrink=True, **OPTIONS)
    assert_as_full(source, out, folder)
