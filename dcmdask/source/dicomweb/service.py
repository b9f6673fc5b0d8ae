"""Take the URL of a DICOMweb source; say which service it is of, and what of it is meant."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from dcmdask.config import RemoteOptions
from dcmdask.errors import UsageError
from dcmdask.remote.address import Address, below
from dcmdask.remote.remote import Remote, open_remote

AT_ONCE = 16
"""Requests that one process has under way at most, whatever is asked for: an archive of images has
some fifty threads, and other users."""

_LEVELS = ("studies", "series", "instances")


@dataclass(frozen=True, slots=True)
class Service:
    """A DICOMweb service, and what of it is meant.

    Attributes
    ----------
    key : str
        Of the service on its host.
    uids : tuple of str
        Of a study, and of a series of it; empty for all that there is.
    """

    key: str
    uids: tuple[str, ...] = ()

    @classmethod
    def parse(cls, url: str) -> Self:
        """Take a URL apart (PS3.18 section 10.1.1).

        Examples
        --------
        >>> Service.parse("dicomweb+https://host/dicom-web/studies/1.2/series/3")
        Service(key='dicom-web', uids=('1.2', '3'))

        Raises
        ------
        UsageError
            It names an instance, or something that is none of these.
        """
        parts = Address.parse(url).key.split("/")
        at = next((n for n, part in enumerate(parts) if part == _LEVELS[0]), len(parts))
        names, uids = parts[at::2], parts[at + 1 :: 2]
        if "?" in url or tuple(names) not in ((), _LEVELS[:1], _LEVELS[:2]):
            remedy = "write it as in dicomweb+https://host/dicom-web/studies/UID/series/UID"
            raise UsageError(f"source {url} names no service, study or series", remedy)
        # A level without a UID is all of it.
        return cls("/".join(parts[:at]), tuple(uids))

    def at(self, *uids: str) -> str:
        """Return the key of a study, series or instance; of the service without any UID."""
        parts = [part for pair in zip(_LEVELS, uids, strict=False) for part in pair]
        return below(self.key, "/".join(parts)) if parts else self.key


def open_service(container: str, options: RemoteOptions) -> Remote:
    """Return the host of a service, which is asked more gently than a store."""
    return open_remote(container, replace(options, requests=min(options.requests, AT_ONCE)))
