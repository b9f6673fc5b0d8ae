"""The kinds of sources, a line each: what lists one, and what reads of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dcmdask.config import RemoteOptions
from dcmdask.remote.address import is_dicomweb, is_url
from dcmdask.source.dicomweb.listing import DicomwebListing
from dcmdask.source.dicomweb.reader import DicomwebReader
from dcmdask.source.folders.disk import Disk
from dcmdask.source.folders.local import FolderListing
from dcmdask.source.source_listing import SourceListing
from dcmdask.source.source_reader import SourceReader
from dcmdask.source.stores.object_listing import StoreListing
from dcmdask.source.stores.object_reader import Bucket


@dataclass(frozen=True, slots=True)
class SourceKind:
    """A kind of source.

    Attributes
    ----------
    is_named_by : callable
        What a user writes, or the URL of a container, to whether it names one of this kind.
    listing : callable
        What lists, by how stores are reached.
    reader : callable
        What reads, by the URL of a container (None for this machine) and how it is reached.
    """

    is_named_by: Callable[[str], bool]
    listing: Callable[[RemoteOptions], SourceListing]
    reader: Callable[[Any, RemoteOptions], SourceReader]


KINDS = (
    SourceKind(lambda place: not is_url(place), FolderListing, Disk),
    SourceKind(is_dicomweb, DicomwebListing, DicomwebReader),
    SourceKind(is_url, StoreListing, Bucket),
)
"""In order: the first that a place names."""


def kind_of(place: str) -> SourceKind:
    """Return the kind of what a user names, or of a container by its URL; empty for this machine."""
    return next(kind for kind in KINDS if kind.is_named_by(place))
