"""What listing wants of every kind of source: the small Protocol that a listing of one fulfils."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from dcmdask.source.entries import Entry, Root
from dcmdask.source.folders.links import INSIDE


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a root is to be listed.

    Attributes
    ----------
    leave_out : frozenset of str
        Real paths of folders, and URLs of prefixes, of which nothing is listed: the output.
    wanted : callable
        Relative posix path to whether a file is listed.
    found_case : callable
        Told of every case, also of one without files.
    inside : tuple of str
        Real paths of the folders among the roots: links into them do not lead out.
    follow_links : str
        Which links are followed: ``inside``, ``all`` or ``none``.
    server_folders : bool
        Whether folders of a file server are entered.
    """

    leave_out: frozenset[str] = frozenset()
    wanted: Callable[[str], bool] = lambda _path: True
    found_case: Callable[[str], None] = lambda _case: None
    inside: tuple[str, ...] = ()
    follow_links: str = INSIDE
    server_folders: bool = False


EVERYTHING = Asked()
"""All that there is."""


class RootListing(Protocol):
    """Lists what lies in roots.

    Attributes
    ----------
    walks : bool
        Whether it finds by itself what there is: what it cannot list may be a folder of much.
    """

    walks: bool

    def list_root(self, root: Root, asked: Asked) -> Iterator[Entry]:
        """List a root: a file, or a place of which nothing is read as a failure or a skip.

        Raises
        ------
        SourceError, StoreError
            It does not come to its end: a part of it would be a wrong catalog.
        """
        ...


class SourceListing(RootListing, Protocol):
    """Finds what a user names, and lists it."""

    def root_of(self, source: str) -> Root:
        """Return the root that a source is.

        Raises
        ------
        SourceError
            It is not there, or cannot be read.
        UsageError, StoreError
            The URL or the settings cannot be used; the store does not answer.
        """
        ...
