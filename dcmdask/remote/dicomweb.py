"""Take a DICOMweb service (PS3.18); give what it answers as DICOM JSON, to queries and for metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dcmdask.remote.address import DICOMWEB
from dcmdask.remote.generic import FsspecClient
from dcmdask.remote.web_session import WebSecret


class DicomwebClient(FsspecClient):
    """A client of a web server that answers with DICOM JSON, never with a part of it.

    Parameters
    ----------
    protocol, container, options, stall, secrets : str, str, mapping, float, tuple of WebSecret
        As any web server has them, behind the prefix.
    """

    def __init__(
        self,
        protocol: str,
        container: str,
        options: Mapping[str, str],
        stall: float,
        secrets: tuple[WebSecret, ...] = (),
    ) -> None:
        plain = tuple(replace(one, place=one.place.removeprefix(DICOMWEB)) for one in secrets)
        super().__init__(protocol.removeprefix(DICOMWEB), container, options, stall, plain)

    def _headers(self, _start: int, _stop: int) -> dict[str, str]:
        return {"Accept": "application/dicom+json"}
