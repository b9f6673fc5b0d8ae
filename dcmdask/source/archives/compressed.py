"""Take the URL of a file that was compressed by itself; give the file, as fsspec wants it.

fsspec has file systems for zip and tar but none for a single compressed file, so that the one
member of ``scan.dcm.gz`` would have no URL. These are registered under ``fsspec.specs``:
``gzip://scan.dcm::file:///in/scan.dcm.gz``.

They also give a tar whose name is wrong about its compression another name, from which fsspec
infers nothing: ``tar://b.dcm::gzip://a.tar::file:///in/a.tar.gz``, compressed or not.
"""

from __future__ import annotations

import io
from typing import IO, Any, ClassVar, cast

import fsspec
from fsspec.archive import AbstractArchiveFileSystem

from dcmdask.source.archives.codecs import OPENERS
from dcmdask.source.archives.sniff import archive_kind
from dcmdask.source.archives.streams import Over

_MAGIC_BYTES = 16


class _Nameless(Over):
    """A stream that hides the name of another, from which fsspec would infer a compression."""


class InnerFileSystem(AbstractArchiveFileSystem):  # type: ignore[misc]
    """A file system that gives files of another file, to read only.

    Parameters
    ----------
    fo : str or file-like
        The other file.
    target_protocol : str, optional
        Protocol of `fo`.
    target_options : dict, optional
        Options of that protocol.
    """

    root_marker = ""
    cachable = False

    def __init__(
        self,
        fo: Any = "",
        target_protocol: str | None = None,
        target_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if isinstance(fo, str):
            self.of = fsspec.open(fo, protocol=target_protocol, **(target_options or {}))
            fo = self.of.open()  # kept: the file closes with its opener
        self.fo = fo

    def _open(self, path: str, mode: str = "rb", **_options: Any) -> IO[bytes]:
        if mode != "rb":
            raise ValueError(f"{path}: a file in another one can only be read")
        self.fo.seek(0)
        return self.give(self._strip_protocol(path))

    def give(self, path: str) -> IO[bytes]:
        """Return a file by its path."""
        raise FileNotFoundError(path)

    def info(self, path: str, **_options: Any) -> dict[str, Any]:
        """Describe a file; its size is known only once it was read."""
        return {"name": self._strip_protocol(path), "type": "file", "size": None}

    def ls(self, path: str, detail: bool = True, **_options: Any) -> list[Any]:
        """List the file itself, under the name it is asked by."""
        info = self.info(path)
        return [info] if detail else [info["name"]]


class _CompressedFileSystem(InnerFileSystem):
    """A file system of the one file that a compressed file holds, under any name."""

    _format: ClassVar[str]

    def give(self, _path: str) -> IO[bytes]:
        """Return the one file."""
        compressed = archive_kind(self.fo.read(_MAGIC_BYTES)) == self._format
        self.fo.seek(0)
        nameless = cast(IO[bytes], _Nameless(self.fo))
        if compressed:
            return OPENERS[self._format](nameless)
        return cast(IO[bytes], io.BufferedReader(cast(Any, nameless)))


class GzipFileSystem(_CompressedFileSystem):
    """The file in a gzip file."""

    protocol = "gzip"
    _format = "gzip"


class Bz2FileSystem(_CompressedFileSystem):
    """The file in a bzip2 file."""

    protocol = "bz2"
    _format = "bz2"


class XzFileSystem(_CompressedFileSystem):
    """The file in an xz file."""

    protocol = "xz"
    _format = "xz"
