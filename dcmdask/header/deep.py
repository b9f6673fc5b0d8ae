"""Take a window and an extractor; give deep metadata and the references the object names.

Reading stops before the bulk of an object (contours, frames, content); of the per-frame groups
only those of the first frame are built. The bulk is read only where an object names nothing
before it.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import read_partial, read_sequence_item
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from dcmdask.errors import HeaderError
from dcmdask.extract.groups import FrameMacros
from dcmdask.extract.items import ITEM
from dcmdask.extract.reading import (
    GROUPS,
    Named,
    read_attribute,
    read_references,
    wanted_tags,
)
from dcmdask.extract.registry import attributes_of
from dcmdask.extract.table import ASIDE, Extractor
from dcmdask.header.deflate import plain_window
from dcmdask.header.excerpt import excerpt
from dcmdask.header.light import read_until
from dcmdask.types import Kind, Window
from dcmdask.values import MALFORMED

_PER_FRAME = GROUPS[1]
_PIXELS = 0x7FE00008  # FloatPixelData and its like; all that follows is no header
_CHARSET = 0x00080005


@dataclass(frozen=True, slots=True)
class Description:
    """What one object says of its series and of others.

    Attributes
    ----------
    attributes : dict
        Column to value; empty where only references were asked for.
    references : list of Named
        What it names.
    malformed : list of str
        Columns whose value became None.
    complete : bool
        All references could be read.
    whole : bool
        All attributes that were asked for could be read.
    """

    attributes: dict[str, Any] = field(default_factory=dict)
    references: list[Named] = field(default_factory=list)
    malformed: list[str] = field(default_factory=list)
    complete: bool = True
    whole: bool = True


def describe_header(window: Window, extractor: Extractor, *, attributes: bool) -> Description:
    """Read the deep metadata of one object.

    Parameters
    ----------
    window : Window
        Of the object.
    extractor : Extractor
        What to read.
    attributes : bool
        Whether its series is described by it; otherwise only its references are read.

    Raises
    ------
    HeaderError
        Where the object cannot be read deeply.
    """
    window, _ = plain_window(window)
    dataset = _read_to_bulk(window, extractor, attributes=attributes)
    whole, complete = not attributes or _add_first_frame(window, dataset, extractor), True
    values, malformed = _read_attributes(dataset, extractor) if attributes else ({}, [])
    references: list[Named] = []
    try:
        with _translated(window):
            references += read_references(dataset, extractor, fallback=False)
        if _says_nothing(references) and any(ref.fallback for ref in extractor.references):
            references += _read_bulk_references(window, extractor)
    except HeaderError:
        complete = False  # what stands before the damage stays true
    return Description(values, references, malformed, complete, whole)


@contextmanager
def _translated(window: Window) -> Iterator[None]:
    """Make a `HeaderError` of what pydicom raises: sequences are parsed as they are asked for."""
    try:
        yield
    except (HeaderError, MemoryError):
        raise
    except Exception as error:
        window.raise_error()
        raise HeaderError(Kind.CORRUPT, f"pydicom gave up with {type(error).__name__}") from error


def _last_before_bulk(extractor: Extractor) -> int:
    return min(extractor.bulk or _PER_FRAME, _PER_FRAME)


def _read_to_bulk(window: Window, extractor: Extractor, *, attributes: bool) -> FileDataset:
    last = _last_before_bulk(extractor)
    tags = wanted_tags(extractor, attributes=attributes, fallback=False)
    if (content := excerpt(window, last, frozenset({_CHARSET, *tags}))) is not None:
        with _translated(window):
            return read_partial(io.BytesIO(content))
    return read_until(window, lambda tag, _vr, _length: int(tag) >= last, [*tags])


def _add_first_frame(window: Window, dataset: FileDataset, extractor: Extractor) -> bool:
    """Add the groups of the first frame, where reading stopped before them; tell of damage."""
    if _last_before_bulk(extractor) != _PER_FRAME:
        return True
    try:
        with _translated(window):
            group = _first_frame(window, dataset)
    except HeaderError:
        return False
    if group is not None:
        dataset.PerFrameFunctionalGroupsSequence = Sequence([group])
    return True


def _first_frame(window: Window, dataset: FileDataset) -> Dataset | None:
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


def _encoding(window: Window, dataset: FileDataset) -> tuple[bool, bool]:
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
    dataset = read_until(window, _at_pixels, [*tags])
    with _translated(window):
        return read_references(dataset, extractor, fallback=True)


def _at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return int(tag) >= _PIXELS


def _read_attributes(dataset: Dataset, extractor: Extractor) -> tuple[dict[str, Any], list[str]]:
    values: dict[str, Any] = {}
    malformed = []
    macros = FrameMacros(dataset)
    for attribute in attributes_of(extractor):
        try:
            value = read_attribute(dataset, attribute, macros)
        except MemoryError:
            raise
        except Exception:
            value = MALFORMED
        if value is MALFORMED:
            malformed.append(attribute.name)
            value = None
        values[attribute.name] = value
    return values, malformed
