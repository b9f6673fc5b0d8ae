"""Take a window and an extractor; give deep metadata and the references the object names.

Reading stops before the bulk of an object (contours, frames, content); of the per-frame groups
only those of the first frame are built. The bulk is read only where an object names nothing
before it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any, cast

from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import read_sequence_item
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from dcmdask.errors import HeaderError
from dcmdask.extract.reading import (
    GROUPS,
    Named,
    read_attribute,
    read_references,
    wanted_tags,
)
from dcmdask.extract.registry import attributes_of
from dcmdask.extract.table import Extractor
from dcmdask.header.deflate import plain_window
from dcmdask.header.light import read_until
from dcmdask.types import Kind, Window
from dcmdask.values import MALFORMED

_PER_FRAME = GROUPS[1]
_PIXELS = 0x7FE00008  # FloatPixelData and its like; all that follows is no header
# References that say where an object comes from, not what it is about.
_ANCESTRY = ("predecessor", "identical_document")


@dataclass(frozen=True, slots=True)
class Description:
    """What one object says of its series and of others.

    Attributes
    ----------
    attributes : dict
        Column to value; empty where only references were asked for.
    references : list of Named
        What it names.
    malformed : int
        Values that became None.
    """

    attributes: dict[str, Any] = field(default_factory=dict)
    references: list[Named] = field(default_factory=list)
    malformed: int = 0


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
    try:
        references = read_references(dataset, extractor, fallback=False)
        if _says_nothing(references) and any(ref.fallback for ref in extractor.references):
            references += _read_bulk_references(window, extractor)
        values, malformed = _read_attributes(dataset, extractor) if attributes else ({}, 0)
    except HeaderError:
        raise
    except Exception as error:
        # Sequences are parsed as they are asked for: what is wrong inside one shows only here.
        window.raise_error()
        raise HeaderError(Kind.CORRUPT, f"pydicom gave up with {type(error).__name__}") from error
    return Description(values, references, malformed)


def _read_to_bulk(window: Window, extractor: Extractor, *, attributes: bool) -> FileDataset:
    last = min(extractor.bulk or _PER_FRAME, _PER_FRAME)
    tags = wanted_tags(extractor, attributes=attributes, fallback=False)
    dataset = read_until(window, lambda tag, _vr, _length: tag >= last, [*tags])
    if attributes and _PER_FRAME in tags:
        group = _first_frame(window, dataset)
        if group is not None:
            dataset.PerFrameFunctionalGroupsSequence = Sequence([group])
    return dataset


def _first_frame(window: Window, dataset: FileDataset) -> Dataset | None:
    """Read the first item of the per-frame groups, if reading stopped before them."""
    implicit, little = dataset.original_encoding
    order = "<" if little else ">"
    begin = window.tell()
    head = window.read(8)
    if len(head) < 8 or struct.unpack(f"{order}HH", head[:4]) != (
        _PER_FRAME >> 16,
        _PER_FRAME & 0xFFFF,
    ):
        window.seek(begin)
        return None
    if not implicit and head[4:6] in (b"SQ", b"UN"):
        window.read(4)
    encoding = dataset.original_character_set
    try:
        return read_sequence_item(
            cast(Any, window), bool(implicit), bool(little), cast(Any, encoding)
        )
    except Exception as error:
        window.raise_error()
        raise HeaderError(Kind.CORRUPT, "the groups of the first frame are damaged") from error


def _says_nothing(references: list[Named]) -> bool:
    return not any(
        ref.level in ("series", "instance") and ref.role not in _ANCESTRY for ref in references
    )


def _read_bulk_references(window: Window, extractor: Extractor) -> list[Named]:
    tags = wanted_tags(extractor, attributes=False, fallback=True)
    dataset = read_until(window, _at_pixels, [*tags])
    return read_references(dataset, extractor, fallback=True)


def _at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return int(tag) >= _PIXELS


def _read_attributes(dataset: Dataset, extractor: Extractor) -> tuple[dict[str, Any], int]:
    values: dict[str, Any] = {}
    malformed = 0
    for attribute in attributes_of(extractor):
        try:
            value = read_attribute(dataset, attribute)
        except HeaderError:
            raise
        except Exception:
            value = MALFORMED
        if value is MALFORMED:
            malformed += 1
            value = None
        values[attribute.name] = value
    return values, malformed
