"""Takes data sets as archives; checks their members."""

import tarfile
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread

from dcmdask.synthetic import write_synthetic

pytestmark = pytest.mark.filterwarnings("error")


def read_zip(path: Path) -> dict[str, bytes]:
    """Read the members of a zip archive."""
    with zipfile.ZipFile(path) as archive:
        assert {(1980, 1, 1, 0, 0, 0)} == {each.date_time for each in archive.infolist()}
        assert {zipfile.ZIP_DEFLATED} == {each.compress_type for each in archive.infolist()}
        return {name: archive.read(name) for name in archive.namelist()}


def read_tar(path: Path) -> dict[str, bytes]:
    """Read the members of a tar archive, compressed or not."""
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        assert {(0, 0, 0)} == {(each.mtime, each.uid, each.gid) for each in members}
        contents = {each.name: archive.extractfile(each) for each in members}
        return {name: file.read() for name, file in contents.items() if file is not None}


@pytest.mark.parametrize(
    ("archives", "read"), [("zip", read_zip), ("tar", read_tar), ("tar.gz", read_tar)]
)
def test_archives_hold_what_folders_hold(
    tmp_path: Path, archives: str, read: Callable[[Path], dict[str, bytes]]
) -> None:
    """An archive has the members, of the same bytes, that the patient's folder has as files."""
    write_synthetic(tmp_path / "folders", patients=2, slices=3)
    written = write_synthetic(tmp_path / "packed", patients=2, slices=3, archives=archives)
    assert 2 == written.files
    assert 28 == written.instances
    assert sum(path.stat().st_size for path in (tmp_path / "packed").iterdir()) == written.bytes
    for patient in ("SYN-0001", "SYN-0002"):
        folder = tmp_path / "folders" / patient
        expected = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        members = read(tmp_path / "packed" / f"{patient}.{archives}")
        assert expected == members
        assert {patient} == {dcmread(BytesIO(each)).PatientID for each in members.values()}
