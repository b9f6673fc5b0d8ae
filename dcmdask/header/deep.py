"""Take a window and an extractor; give deep metadata and the references the object names.

Reading stops before the bulk of an object (contours, frames, content); of the per-frame groups
only those of the first frame are built. The bulk is read only where an object names nothing
before it.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field
from typing import Any, cast

from pydicom.dataset import Dataset
from pydicom.filereader import read_partial, read_sequence_item
from pydicom.sequence import Sequence

from dcmdask.dicom.functional_groups import FrameMacros
from dcmdask.dicom.sequence_items import ITEM
from dcmdask.dicom.texts import is_ended
from dcmdask.dicom.values import MALFORMED
from dcmdask.errors import HeaderError
from dcmdask.extract.reading import (
    GROUPS,
    Named,
    read_attribute,
    read_references,
    wanted_tags,
)
from dcmdask.extract.registry import attributes_of
from dcmdask.extract.table import ASIDE, Extractor
from dcmdask.header.bounds import PIXELS
from dcmdask.header.deflate import plain_window
from dcmdask.header.excerpt import excerpt
from dcmdask.header.gather import CHARSET, Gathered, gather
from dcmdask.header.notes import Remark
from dcmdask.header.walk import translated
from dcmdask.types import Kind, Note, Window

_PER_FRAME = GROUPS[1]


@dataclass(frozen=True, slots=True)
class Description:
    """What one object says of its series and of others.

    Attributes
    ----------
    attributes : dict
        Column to value; empty where only references were asked for.
    references : list of Named
        What it names.
    remarks : list of Remark
        What is not whole of its attributes.
    walked : list of Remark
        What is odd of the file, as far as it was read.
    complete : bool
        All references could be read.
    whole : bool
        All attributes that were asked for could be read.
    """

    attributes: dict[str, Any] = field(default_factory=dict)
    references: list[Named] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    walked: list[Remark] = field(default_factory=list)
    complete: bool = True
    whole: bool = True

    @property
    def malformed(self) -> list[str]:
        """Columns whose value became None."""
        return [one.attribute or "" for one in self.remarks if one.note == Note.NOT_UNDERSTOOD]


def describe_header(
    window: Window, extractor: Extractor, *, attributes: bool, thorough: bool = False
) -> Description:
    """Read the deep metadata of one object.

    Parameters
    ----------
    window : Window
        Of the object.
    extractor : Extractor
        What to read.
    attributes : bool
        Whether its series is described by it; otherwise only its references are read.
    thorough : bool
        Whether its elements are out of order, so that they are looked for up to the pixel data.

    Raises
    ------
    HeaderError
        Where the object cannot be read deeply.
    """
    window, _ = plain_window(window)
    read = _read_all if thorough else _read_to_bulk
    dataset, walked, whole = read(window, extractor, attributes=attributes)
    complete = True
    if attributes and not thorough:
        whole &= _add_first_frame(window, dataset, extractor)
    values, remarks = _read_attributes(dataset, extractor) if attributes else ({}, [])
    references: list[Named] = []
    try:
        with translated(window):
            references += read_references(dataset, extractor, fallback=False)
        if _says_nothing(references) and any(ref.fallback for ref in extractor.references):
            references += _read_bulk_references(window, extractor)
    except HeaderError:
        complete = False  # what stands before the damage stays true
    return Description(values, references, remarks, list(walked), complete, whole)


def _last_before_bulk(extractor: Extractor) -> int:
    return min(extractor.bulk or _PER_FRAME, _PER_FRAME)


def _read_to_bulk(window: Window, extractor: Extractor, *, attributes: bool) -> Gathered:
    last = _last_before_bulk(extractor)
    tags = wanted_tags(extractor, attributes=attributes, fallback=False)
    if (content := excerpt(window, last, frozenset({CHARSET, *tags}))) is not None:
        with translated(window):
            return Gathered(read_partial(io.BytesIO(content)))
    return gather(window, last, frozenset(tags))


def _read_all(window: Window, extractor: Extractor, *, attributes: bool) -> Gathered:
    tags = frozenset(wanted_tags(extractor, attributes=attributes, fallback=False))
    return gather(window, PIXELS, tags | {_PER_FRAME} if attributes else tags)


def _add_first_frame(window: Window, dataset: Dataset, extractor: Extractor) -> bool:
    """Add the groups of the first frame, where reading stopped before them; tell of damage."""
    if _last_before_bulk(extractor) != _PER_FRAME:
        return True
    try:
        with translated(window):
            group = _first_frame(window, dataset)
    except HeaderError:
        return False
    if group is not None:
        dataset.PerFrameFunctionalGroupsSequence = Sequence([group])
    return True


def _first_frame(window: Window, dataset: Dataset) -> Dataset | None:
    implicit, little = _encoding(window, dataset)
    order = "<" if little else ">"
    head = window.read(8 if implicit else 12)
    if len(head) < 8 or _tag(head, order) != _PER_FRAME:
        return None
    begin = window.tell()
    item = window.read(8)
    if len(item) < 8 or _tag(item, order) != ITEM:
        return None
    window.seek(begin)
    charset = dataset.original_character_set
    return read_sequence_item(cast(Any, window), implicit, little, cast(Any, charset))


def _encoding(window: Window, dataset: Dataset) -> tuple[bool, bool]:
    """Tell how the element at the window is encoded: implicit VR, little endian.

    pydicom says what the transfer syntax promised, not what it found: the element is asked itself.
    A length that reads like these VRs would be odd, which none is.
    """
    head = window.read(8)
    window.seek(-len(head), 1)
    _, little = dataset.original_encoding
    return head[4:8] not in (b"SQ\0\0", b"UN\0\0"), bool(little)


def _tag(head: bytes, order: str) -> int:
    group, element = struct.unpack(f"{order}HH", head[:4])
    return int(group << 16 | element)


def _says_nothing(references: list[Named]) -> bool:
    return not any(
        ref.level in ("series", "instance") and ref.role not in ASIDE for ref in references
    )


def _read_bulk_references(window: Window, extractor: Extractor) -> list[Named]:
    tags = wanted_tags(extractor, attributes=False, fallback=True)
    dataset, _, whole = gather(window, PIXELS, frozenset(tags))
    with translated(window):
        references = read_references(dataset, extractor, fallback=True)
    if not whole and not references:
        raise HeaderError(Kind.CORRUPT, "the file ends inside a sequence")
    return references


def _read_attributes(dataset: Dataset, extractor: Extractor) -> tuple[dict[str, Any], list[Remark]]:
    values: dict[str, Any] = {}
    remarks = []
    macros = FrameMacros(dataset)
    for attribute in attributes_of(extractor):
        try:
            value = read_attribute(dataset, attribute, macros)
        except MemoryError:
            raise
        except Exception:
            value = MALFORMED
        if value is MALFORMED:
            remarks.append(Remark(Note.NOT_UNDERSTOOD, attribute.name))
            value = None
        elif value is not None and is_ended(value):
            remarks.append(Remark(Note.NUL_IN_TEXT, attribute.name))
        values[attribute.name] = value
    return values, remarks
