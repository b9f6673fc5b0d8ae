"""Files that change between one look at them and the next, at the very moment."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from source.making import bulky, instance, manifest_of, read_rows, tar_of, zip_of
from source.unprivileged import run_unprivileged, shared_folder

from dcmdask.source.archives import walk

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="open files are locked there")
MEMBERS = {f"{number}.dcm": bulky(number, 100_000) for number in range(8)}

Change = Callable[[Path], None]


def _shrink(path: Path) -> None:
    os.truncate(path, 150_000)


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(bytes(100_000))


def _vanish(path: Path) -> None:
    path.unlink()


def _replace(path: Path) -> None:
    path.write_bytes(bytes(500_000))


@POSIX
@pytest.mark.parametrize("change", [_shrink, _grow, _vanish, _replace])
@pytest.mark.parametrize(
    ("name", "make", "opener"),
    [("a.zip", zip_of, "open_zips"), ("a.tar", tar_of, "open_tar")],
)
def test_an_archive_that_changes_while_it_is_open_is_rows(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    make: Callable[[dict[str, bytes]], bytes],
    opener: str,
    change: Change,
) -> None:
    """What was begun is ended: each member and the archive have an outcome, the neighbour too."""
    (tmp_path / name).write_bytes(make(MEMBERS))
    (tmp_path / "b.dcm").write_bytes(instance(9))
    open_as_it_was = getattr(walk, opener)

    def opened(stream: IO[bytes], *others: Any) -> Iterator[Any]:
        for number, archive in enumerate(open_as_it_was(stream, *others)):
            if number == 0:
                change(tmp_path / name)
            yield archive

    manifest = manifest_of(tmp_path)
    monkeypatch.setattr(walk, opener, opened)
    reading = read_rows(*manifest)
    assert reading.accounted
    assert "b.dcm" in reading.paths
    assert "unexpected" not in reading.kinds.values()


_READ = """
from pathlib import Path
from source.making import manifest_of, read_rows
manifest = manifest_of(Path(sys.argv[1]))
os.chmod(Path(sys.argv[1]) / "a.dcm", 0)
os.chmod(Path(sys.argv[1]) / "b.zip", 0)
reading = read_rows(*manifest)
print(json.dumps([reading.paths, sorted(reading.kinds.items()), reading.accounted]))
"""


@POSIX
def test_a_permission_that_is_taken_between_listing_and_reading_is_a_row() -> None:
    """A file and an archive that were listed and may not be read any more."""
    with shared_folder() as folder:
        (folder / "in").mkdir()
        (folder / "in").chmod(0o777)
        for name, content in (
            ("a.dcm", instance(1)),
            ("b.zip", zip_of(MEMBERS)),
            ("c.dcm", instance(3)),
        ):
            path = folder / "in" / name
            path.write_bytes(content)
            if hasattr(os, "geteuid") and os.geteuid() == 0:
                os.chown(path, 65534, 65534)
        done = run_unprivileged(_READ, folder / "in")
    assert "" == done.stderr
    kinds = [["a.dcm", "access_denied"], ["b.zip", "access_denied"]]
    assert [["c.dcm"], kinds, True] == json.loads(done.stdout)
