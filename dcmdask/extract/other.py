"""Every other kind of object: the base attributes and the references any object may hold."""

from __future__ import annotations

from dcmdask.extract.table import Extractor

OTHER = Extractor(modality="")
