"""What the walk knows of elements: the tags it wants, and what length follows which VR."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.valuerep import EXPLICIT_VR_LENGTH_16, EXPLICIT_VR_LENGTH_32

from dcmdask.tables.schema import LIGHT

Int = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]
Slots = npt.NDArray[np.int8]
Words = npt.NDArray[np.uint64]

DEEPEST: Final = 16
"""Depth of nesting that is walked, counting sequences and their items."""

NO_END: Final = np.iinfo(np.int64).max
META: Final = 0x0002
DELIMITERS: Final = 0xFFFE

CHARSET = "SpecificCharacterSet"
DIRECTORY = "MediaStorageSOPClassUID"
SYNTAX = "TransferSyntaxUID"


def tag_of(keyword: str) -> int:
    """Return the tag of a keyword."""
    tag = tag_for_keyword(keyword)
    assert tag is not None
    return int(tag)


KEYWORDS = (SYNTAX, DIRECTORY, CHARSET, *(word for word in LIGHT if word != SYNTAX))
"""What the walk notes of every file: the light attributes and what it needs to read them."""

SLOT = {word: number for number, word in enumerate(KEYWORDS)}
TAGS = np.array([tag_of(word) for word in KEYWORDS], dtype=np.int64)
VRS = np.array(
    [int.from_bytes(dictionary_VR(int(tag)).encode()[:2], "little") for tag in TAGS], np.uint16
)
SHORT_VRS = tuple(vr.value for vr in EXPLICIT_VR_LENGTH_16)
LONG_VRS = tuple(vr.value for vr in EXPLICIT_VR_LENGTH_32 if vr != "SQ")
"""VRs whose length takes two bytes, and four but for SQ (PS3.5 section 7.1.2)."""

LONGEST_HEAD: Final = 12
"""Bytes of tag, VR and length at most."""

OTHER, IS_SHORT, IS_LONG, IS_SEQUENCE = 0, 1, 2, 3
"""Kinds of VR: none, length in two bytes, length in four bytes behind two that are reserved, SQ."""


def _vr_kinds() -> Bytes:
    """Give, for every two bytes that may stand where a VR stands, what length follows them."""
    kinds = np.full(1 << 16, OTHER, np.uint8)
    for names, kind in ((SHORT_VRS, IS_SHORT), (LONG_VRS, IS_LONG), (("SQ",), IS_SEQUENCE)):
        for name in names:
            kinds[int.from_bytes(name.encode(), "little")] = kind
    return kinds


def _hash(tags: Int) -> Int:
    return ((tags >> 16) * 419 + tags) & 0xFFFF


def _slots() -> Slots:
    """Give, for the hash of a tag, the one slot whose tag it may be."""
    table = np.full(1 << 16, -1, np.int8)
    hashes = _hash(TAGS)
    assert len(set(hashes.tolist())) == len(TAGS)
    table[hashes] = np.arange(len(TAGS))
    return table


KIND_OF_VR = _vr_kinds()
_SLOT_OF_HASH = _slots()
_SLOT_OF_TAG = {int(tag): number for number, tag in enumerate(TAGS)}


def slots_of(tags: Int, *, meta: bool) -> tuple[Slots, Flags]:
    """Return the slots of tags, and which are wanted of the meta group or of the dataset."""
    slot = _SLOT_OF_HASH[_hash(tags)]
    wanted = slot >= 0
    wanted[wanted] = (TAGS[slot[wanted]] == tags[wanted]) & (((tags[wanted] >> 16) == META) == meta)
    return slot, wanted


def slot_of(tag: int, *, meta: bool) -> int | None:
    """Return the slot of a tag, if it is wanted of the meta group or of the dataset."""
    return _SLOT_OF_TAG.get(tag) if (tag >> 16 == META) == meta else None


def is_public_sequence(tag: int) -> bool:
    """Tell whether the data dictionary says SQ: what implicit VR leaves to its reader."""
    try:
        return dictionary_VR(tag) == "SQ"
    except KeyError:
        return False
