"""How far a header is read: where the light attributes end, and when none can be missing.

Elements stand in ascending order of tag (PS3.5 section 7.1), so that reading stops behind the last
one that is wanted. Some writers do not keep to it. Both readers of headers therefore look on where
it costs nothing, in the first bytes that were read anyway, and read on where something is missing
that an instance must have.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Final

from pydicom.datadict import tag_for_keyword
from pydicom.uid import UID

from dcmdask.tables.schema import LIGHT

LIGHT_TAGS: Final[dict[str, int]] = {
    word: tag
    for word in LIGHT
    if word != "TransferSyntaxUID" and (tag := tag_for_keyword(word)) is not None
}
"""Tags of the light attributes of a dataset."""

LAST: Final = max(LIGHT_TAGS.values())
"""The greatest of them: behind it nothing is wanted."""

_OPTIONAL: Final = ("NumberOfFrames", "PatientAge", "StudyDescription", "SeriesDescription")
EXPECTED: Final = tuple(word for word in LIGHT_TAGS if word not in _OPTIONAL)
"""What an image mostly has, if only empty; where all of it is there nothing else is looked for."""

PIXELS: Final = 0x7FE00008
"""FloatPixelData and its like; all that follows is no header."""

IDENTITY: Final = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
"""What every instance has."""

CLASS, ROWS = LIGHT_TAGS["SOPClassUID"], LIGHT_TAGS["Rows"]
_EXPECTED_TAGS: Final = tuple(LIGHT_TAGS[word] for word in EXPECTED)
_IDENTITY_TAGS: Final = tuple(LIGHT_TAGS[word] for word in IDENTITY)

# Of the names of those SOP classes whose instances have Rows; all others have none.
_IMAGES: Final = ("Image", "Segmentation", "Parametric Map", "Dose", "Spectroscopy", "Volume")


@lru_cache(maxsize=1024)
def may_be_image(sop_class: str) -> bool:
    """Tell whether instances of a SOP class have Rows, or may have as it is not known.

    Examples
    --------
    >>> may_be_image("1.2.840.10008.5.1.4.1.1.2"), may_be_image("1.2.840.10008.5.1.4.1.1.481.3")
    (True, False)
    """
    name = UID(sop_class).name
    return name == sop_class or any(word in name for word in _IMAGES)


def is_expected(met: Collection[int]) -> bool:
    """Tell whether all is there that may be expected.

    Parameters
    ----------
    met : collection of int
        Tags of the elements, empty ones too.
    """
    return all(tag in met for tag in _EXPECTED_TAGS)


def is_settled(found: Collection[int], sop_class: bytes) -> bool:
    """Tell whether nothing is missing that an instance must have.

    Parameters
    ----------
    found : collection of int
        Tags of the elements that hold something.
    sop_class : bytes
        Value of SOPClassUID.
    """
    if any(tag not in found for tag in _IDENTITY_TAGS):
        return False
    return ROWS in found or not may_be_image(sop_class.rstrip(b"\0 ").decode("latin-1"))
