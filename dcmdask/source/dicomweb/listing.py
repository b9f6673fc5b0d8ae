"""Take a root in a DICOMweb service; give manifest entries, from pages of QIDO-RS (PS3.18 section 10.6).

Studies are listed page by page, the instances of many of them at a time. A study is a case. What the
service says of an instance and its study is what a later run compares.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from dcmdask.config import RemoteOptions
from dcmdask.errors import HeaderError, SourceError
from dcmdask.remote.address import Address
from dcmdask.remote.remote import Remote
from dcmdask.source.dicomweb.json_model import (
    INSTANCE,
    INSTANCES_OF_STUDY,
    LARGEST,
    SERIES,
    STUDY,
    Match,
    first_value,
    matches_of,
    tag_of,
    uid_of,
)
from dcmdask.source.dicomweb.service import AT_ONCE, Service, open_service
from dcmdask.source.entries import Entry, Root
from dcmdask.source.source_listing import Asked
from dcmdask.types import Kind

PAGE = 1000
"""Matches that are asked for at once; a service may give fewer."""


class DicomwebListing:
    """DICOMweb services, and studies and series of them.

    Parameters
    ----------
    options : RemoteOptions
        How they are reached.
    """

    walks = True

    def __init__(self, options: RemoteOptions) -> None:
        self._options = options

    def root_of(self, source: str) -> Root:
        """Return the root that a URL names; the service is asked for one match."""
        service, address = Service.parse(source), Address.parse(source)
        remote = open_service(address.root, self._options)
        try:
            found = any(_pages(remote, _query(service), 1))
        except HeaderError as error:
            raise _refusal(source, error) from error
        if service.uids and not found:
            raise SourceError(source, "the service knows no such study or series", "check the URL")
        whole = Address(address.protocol, address.container, service.at(*service.uids))
        return Root(whole.url, whole.name)

    def list_root(self, root: Root, asked: Asked) -> Iterator[Entry]:
        """List what a service has: study after study, each in order of paths.

        Yields
        ------
        Entry
            An instance; a study whose instances cannot be listed as a failure.

        Raises
        ------
        SourceError, StoreError
            The studies cannot be listed.
        """
        remote = open_service(Address.parse(root.path).root, self._options)
        walk = _Walk(remote, Service.parse(root.path))
        at_once = max(min(self._options.requests, AT_ONCE) // 2, 1)
        waiting: deque[Future[list[Entry]]] = deque()
        with ThreadPoolExecutor(at_once, "dcmdask-studies") as pool:
            try:
                for study in walk.studies():
                    waiting.append(pool.submit(walk.instances, study))
                    if len(waiting) > 2 * at_once:
                        yield from _chosen(waiting.popleft().result(), asked)
                while waiting:
                    yield from _chosen(waiting.popleft().result(), asked)
            except HeaderError as error:
                raise _refusal(root.path, error) from error
            finally:
                for future in waiting:
                    future.cancel()


def _chosen(entries: list[Entry], asked: Asked) -> Iterator[Entry]:
    for entry in entries:
        if asked.wanted(entry.path):
            asked.found_case(entry.case or "")
            yield entry


class _Walk:
    """Lists one root.

    Parameters
    ----------
    remote : Remote
        The host.
    service : Service
        What of it.
    """

    def __init__(self, remote: Remote, service: Service) -> None:
        self._remote = remote
        self._service = service

    def studies(self) -> Iterator[Match]:
        """Give the studies, each once.

        Raises
        ------
        HeaderError
            A page cannot be had.
        """
        query = f"{self._service.key}/studies".lstrip("/")
        for uid in self._service.uids[:1]:
            query += f"?StudyInstanceUID={uid}"
        for page in _pages(self._remote, query, PAGE):
            for study in page:
                # Whatever a service makes of the parameter.
                if uid_of(study, STUDY) in self._service.uids[:1] or not self._service.uids:
                    yield study

    def instances(self, study: Match) -> list[Entry]:
        """Return the instances of a study; one failure where they cannot be listed."""
        uid = uid_of(study, STUDY)
        if uid is None:
            words = "listing: a study without a UID that can be asked for"
            key = self._service.at().encode()
            return [Entry("unnamed study", key, None, None, None, Kind.UNEXPECTED, words)]
        uids = (uid, *self._service.uids[1:])
        counted = first_value(study, INSTANCES_OF_STUDY) if len(uids) == 1 else None
        wanted = counted if isinstance(counted, int) else None
        query = f"{self._service.at(*uids)}/instances"
        try:
            found = [
                self._entry(study, match, uids)
                for page in _pages(self._remote, query, PAGE, wanted=wanted)
                for match in page
            ]
        except HeaderError as error:
            words = f"listing: {error.message}"
            key, kind = self._service.at(*uids).encode(), Kind(error.kind)
            return [Entry(self._path(uids), key, uid, None, None, kind, words)]
        return sorted(found, key=lambda entry: entry.path)

    def _entry(self, study: Match, match: Match, uids: tuple[str, ...]) -> Entry:
        series = uids[1] if len(uids) > 1 else uid_of(match, SERIES)
        sop = uid_of(match, INSTANCE)
        if series is None or sop is None:
            raise HeaderError(Kind.UNEXPECTED, "an instance is listed without UIDs")
        whole = (uids[0], series, sop)
        # Without anything to compare it is another one in every run, and read again.
        tag = tag_of((study, match)) or secrets.token_hex()
        location = self._service.at(*whole).encode()
        return Entry(self._path(whole), location, uids[0], None, None, etag=tag)

    def _path(self, uids: tuple[str, ...]) -> str:
        return "/".join(uids[len(self._service.uids) :]) or uids[-1]


def _query(service: Service) -> str:
    if len(service.uids) < 1:
        return f"{service.key}/studies".lstrip("/")
    return f"{service.at(*service.uids)}/instances"


def _pages(
    remote: Remote, query: str, size: int, *, wanted: int | None = None
) -> Iterator[list[Match]]:
    """Give what matches a query, page by page, each once.

    Parameters
    ----------
    remote : Remote
        The host.
    query : str
        Key, with parameters or without.
    size : int
        Of a page, at most.
    wanted : int or None
        How many there are, as the service says.

    Raises
    ------
    HeaderError
        A page cannot be had, or is the same again: a service that knows no offset has more.
    """
    seen: set[str | None] = set()
    got, first = 0, 0
    while True:
        mark = "&" if "?" in query else "?"
        page = matches_of(remote.get(f"{query}{mark}limit={size}&offset={got}", 0, LARGEST))
        fresh = []
        for match in page:
            uid = uid_of(match, INSTANCE) or uid_of(match, STUDY)
            if uid not in seen:
                seen.add(uid)
                fresh.append(match)
        if not fresh:
            if page and first == size:
                raise HeaderError(
                    Kind.UNEXPECTED, "the service gives the same page again and again"
                )
            return
        yield fresh
        first = first or len(page)
        got += len(page)
        if len(page) < size and wanted is not None and len(seen) >= wanted:
            return


def _refusal(source: str, error: HeaderError) -> SourceError:
    if error.kind == Kind.ACCESS_DENIED:
        remedy = "check user and password, or give a token: --storage-option headers=JSON"
        return SourceError(source, error.message, remedy)
    if error.kind == Kind.VANISHED:
        return SourceError(source, "no DICOMweb service answers there", "check the URL")
    return SourceError(source, error.message, "check the URL and --storage-option")
