"""Take what a user writes for a place; say whether it is a URL, and take it apart."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote

_URL = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)://(.*)$", re.DOTALL)
_ALIASES = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az", "adl": "az"}
_WITHOUT_CONTAINER = ("memory",)

DICOMWEB = "dicomweb+"
"""What stands before the URL of a web server that is asked as DICOMweb has it (PS3.18)."""

WEB = ("http", "https", f"{DICOMWEB}http", f"{DICOMWEB}https")
"""Protocols of web servers, which take no files."""


def is_url(place: str) -> bool:
    r"""Tell whether a place is a URL, and not a path of this machine.

    Examples
    --------
    >>> is_url("s3://bucket/exports"), is_url("C:\\exports"), is_url("file:///exports")
    (True, False, False)
    """
    found = _URL.match(place)
    return found is not None and found[1].lower() not in ("file", "local")


def is_dicomweb(place: str) -> bool:
    """Tell whether a place is a DICOMweb service, or lies in one.

    Examples
    --------
    >>> is_dicomweb("dicomweb+https://host/dicom-web"), is_dicomweb("https://host/dicom-web")
    (True, False)
    """
    return is_url(place) and place.lower().startswith(DICOMWEB)


def local_path(place: str) -> str:
    """Give a path of this machine, also where it was written as ``file://`` URL."""
    found = _URL.match(place)
    if found is None or is_url(place):
        return place
    path = unquote(found[2])
    # file:///C:/exports
    return path[1:] if os.name == "nt" and re.match(r"^/[A-Za-z]:", path) else path


@dataclass(frozen=True, slots=True)
class Address:
    """A place that is no file of this machine.

    Attributes
    ----------
    protocol : str
        As fsspec calls it.
    container : str
        Bucket or host; empty where the protocol has none.
    key : str
        Name in it, without a slash at the end.
    """

    protocol: str
    container: str
    key: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Take a URL apart.

        Examples
        --------
        >>> Address.parse("s3a://bucket/exports/2024/")
        Address(protocol='s3', container='bucket', key='exports/2024')
        """
        found = _URL.match(url)
        assert found is not None
        protocol, rest = found[1].lower(), found[2]
        protocol = _ALIASES.get(protocol, protocol)
        if protocol in _WITHOUT_CONTAINER:
            return cls(protocol, "", rest.strip("/"))
        container, _, key = rest.partition("/")
        return cls(protocol, container, key.rstrip("/"))

    @property
    def root(self) -> str:
        """The URL of the container."""
        return f"{self.protocol}://{self.container}"

    @property
    def url(self) -> str:
        """The URL of the place."""
        return url_of(self.root, self.key)

    @property
    def name(self) -> str:
        """The last part: of the key, or else the container."""
        return self.key.rpartition("/")[2] or self.container or self.protocol


def url_of(root: str, key: str) -> str:
    """Give the URL of a key in a container.

    Examples
    --------
    >>> url_of("s3://bucket", "a/b.dcm"), url_of("memory://", "a")
    ('s3://bucket/a/b.dcm', 'memory://a')
    """
    return f"{before_keys(root)}{key}" if key else root


def before_keys(root: str) -> str:
    """Give what stands before a key in its URL."""
    return root if root.endswith("://") else f"{root}/"


def below(prefix: str, name: str) -> str:
    """Give the key of a name below a prefix.

    Examples
    --------
    >>> below("exports", "a.dcm"), below("", "a.dcm")
    ('exports/a.dcm', 'a.dcm')
    """
    return f"{prefix}/{name}" if prefix else name
