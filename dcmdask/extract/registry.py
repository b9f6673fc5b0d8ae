"""Take a SOP class and a modality; give the extractor. One line a modality."""

from __future__ import annotations

from dcmdask.extract.base import BASE
from dcmdask.extract.ct import CT
from dcmdask.extract.mr import MR
from dcmdask.extract.other import OTHER
from dcmdask.extract.pt import PT
from dcmdask.extract.rtdose import RTDOSE
from dcmdask.extract.rtplan import RTPLAN
from dcmdask.extract.rtstruct import RTSTRUCT
from dcmdask.extract.seg import SEG
from dcmdask.extract.sr import SR
from dcmdask.extract.table import Attribute, Extractor

EXTRACTORS = (CT, MR, PT, SEG, RTSTRUCT, RTDOSE, RTPLAN, SR)

_BY_CLASS = {uid: extractor for extractor in EXTRACTORS for uid in extractor.sop_classes}
_BY_MODALITY = {extractor.modality: extractor for extractor in EXTRACTORS}


def extractor_for(sop_class: str | None, modality: str | None) -> Extractor:
    """Return the extractor of an object: by its SOP class, else by its modality, else the fallback.

    Examples
    --------
    >>> extractor_for("1.2.840.10008.5.1.4.1.1.481.2", None).modality
    'RTDOSE'
    >>> extractor_for(None, "ECG").modality
    ''
    """
    return _BY_CLASS.get(sop_class or "") or _BY_MODALITY.get(modality or "") or OTHER


def attributes_of(extractor: Extractor) -> tuple[Attribute, ...]:
    """Return the base attributes, then the extractor's own."""
    return (*BASE, *extractor.attributes)


def all_attributes() -> tuple[Attribute, ...]:
    """Return every attribute of any extractor, once, in order of first mention."""
    found: dict[str, Attribute] = {}
    for attribute in (*BASE, *(a for extractor in EXTRACTORS for a in extractor.attributes)):
        found.setdefault(attribute.name, attribute)
    return tuple(found.values())
