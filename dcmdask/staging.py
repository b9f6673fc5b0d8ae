"""Take what a run prepares; keep it in a folder of this machine until it is published."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dcmdask.manifest import PieceWriter
from dcmdask.parts import Parts
from dcmdask.writing import writing


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

    def piece_writer(self) -> PieceWriter:
        """Give a writer for the manifest of this run."""
        return PieceWriter(self.staging / "manifest")

    def staged(self, name: str) -> Path:
        """Give the path under which an output is prepared; its folder exists."""
        path = self.prepared / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @contextmanager
    def open_output(self, name: str) -> Iterator[BinaryIO]:
        """Open one file to be prepared."""
        path = self.staged(name)
        with writing(path), open(path, "wb") as stream:
            yield stream

    def publish_instances(self, parts: Parts) -> list[str]:
        """Prepare the instances of parts; give the names of their files in OUT."""
        names = parts.publish_instances(self.prepared / "instances")
        return [f"instances/{name}" for name in names]

    def send(self) -> None:
        """Bring what is prepared to where it will be published, if that is not here."""

    def sizes(self) -> dict[str, int]:
        """Give the size of every file that is prepared."""
        return {
            path.relative_to(self.prepared).as_posix(): path.stat().st_size
            for path in sorted(self.prepared.rglob("*"))
            if path.is_file()
        }
