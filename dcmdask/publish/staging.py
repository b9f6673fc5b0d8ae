"""Take what a run prepares; keep it in a folder of this machine until it is published."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dcmdask.own_names import MANIFEST
from dcmdask.publish.output import Check
from dcmdask.state.manifest import PieceWriter
from dcmdask.state.parts import Parts, check_of
from dcmdask.system.modes import private_folder, private_opener
from dcmdask.system.writing import writing


class Staging:
    """Where a run prepares what it will publish.

    Parameters
    ----------
    staging : pathlib.Path
        A folder for what this run alone needs.

    Attributes
    ----------
    staging, prepared : pathlib.Path
        As given, and the folder in it for what is to be published.
    """

    def __init__(self, staging: Path) -> None:
        self.staging = staging
        self.prepared = staging / "publish"
        self._known_checks: dict[str, list[int]] = {}

    def piece_writer(self) -> PieceWriter:
        """Return a writer for the manifest of this run."""
        return PieceWriter(self.staging / MANIFEST)

    def staged(self, name: str) -> Path:
        """Return the path under which an output is prepared; its folder exists."""
        path = self.prepared / name
        private_folder(path.parent)
        return path

    @contextmanager
    def open_output(self, name: str) -> Iterator[BinaryIO]:
        """Open one file to be prepared."""
        path = self.staged(name)
        with writing(path), open(path, "wb", opener=private_opener) as stream:
            yield stream

    def publish_instances(self, parts: Parts) -> list[str]:
        """Prepare the instances of parts; give the names of their files in OUT."""
        names = [f"instances/{name}" for name in parts.publish_instances(self.staged("instances"))]
        # Whoever wrote them has said so: they are not read again.
        self._known_checks = dict(zip(names, parts.instance_checks(), strict=True))
        return names

    def send(self) -> None:
        """Bring what is prepared to where it will be published, if that is not here."""

    def names(self) -> list[str]:
        """Return the names in OUT of all files that are prepared, in order."""
        files = (path for path in sorted(self.prepared.rglob("*")) if path.is_file())
        return [path.relative_to(self.prepared).as_posix() for path in files]

    def check(self, name: str) -> Check:
        """Return size, checksum and time of a file that is prepared."""
        path = self.prepared / name
        size, crc = self._known_checks.get(name) or check_of(path)
        return Check(size, crc, path.stat().st_mtime_ns)
