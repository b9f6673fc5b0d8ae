"""Take a dataset; give items of its sequences and of its functional groups (PS3.3 C.7.6.16)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, cast

import pyarrow as pa
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

from dcmdask.dicom.charset import Encodings, current_default
from dcmdask.dicom.sequence_items import pass_items
from dcmdask.dicom.values import MALFORMED, TEXT, convert, vr_of

_SHARED = "SharedFunctionalGroupsSequence"
_PER_FRAME = "PerFrameFunctionalGroupsSequence"
_LONGEST_KNOWN = 256
"""Bytes of a value that is remembered."""

_MAY_BE_SEQUENCE = ("SQ", "UN", None)  # None: implicit VR


def items(dataset: Dataset, keyword: str | BaseTag) -> list[Dataset]:
    """Return the items of a sequence; none where it is absent, empty or not a sequence.

    Raises
    ------
    HeaderError
        Where building them would take all memory.
    """
    tag = _tag(keyword)
    raw = dataset.get_item(tag)
    if raw is None:
        return []
    if isinstance(raw, RawDataElement) and raw.value and raw.VR in _MAY_BE_SEQUENCE:
        stream = io.BytesIO(raw.value)
        pass_items(stream, len(raw.value), implicit=raw.is_implicit_VR, build=True)
        if raw.VR == "UN" and _is_sequence(dataset, tag):
            # pydicom looks up the VR of short values only.
            dataset[tag] = raw._replace(VR="SQ")
    value = dataset[tag].value
    return list(value) if isinstance(value, Sequence) else []


def value_of(dataset: Dataset, keyword: str) -> Any:
    """Return the value of an attribute that is no sequence: None, or `MALFORMED` if it is one."""
    tag = _tag(keyword)
    raw = dataset.get_item(tag)
    if raw is None:
        return None
    if isinstance(raw, RawDataElement) and raw.VR == "SQ":
        return MALFORMED
    return dataset[tag].value


def converted(dataset: Dataset, keyword: str, kind: pa.DataType) -> Any:
    """Return the value of an attribute for a column: None, or `MALFORMED`, as `convert` does."""
    tag = _tag(keyword)
    raw = dataset.get_item(tag)
    if raw is None:
        return None
    if isinstance(raw, RawDataElement) and raw.VR != "SQ" and _stands_alone(tag):
        value = raw.value
        if value is not None and len(value) <= _LONGEST_KNOWN:
            charset = dataset.original_character_set or "iso8859"
            known = charset if isinstance(charset, str) else tuple(charset)
            return _converted(raw._replace(value_tell=0), known, kind, keyword, current_default())
    return convert(value_of(dataset, keyword), kind, vr_of(keyword))


@lru_cache(maxsize=16_384)
def _converted(
    raw: RawDataElement,
    charset: str | tuple[str, ...],
    kind: pa.DataType,
    keyword: str,
    _default: Encodings,  # what is kept is kept for this default
) -> Any:
    # Series of one scanner and one study say the same of most things: pydicom is asked once.
    encoding = charset if isinstance(charset, str) else list(charset)
    return convert(convert_raw_data_element(raw, encoding=encoding).value, kind, vr_of(keyword))


@lru_cache(maxsize=1024)
def _stands_alone(tag: BaseTag) -> bool:
    """Tell whether pydicom needs no other element to know what one says."""
    return not tag.is_private and dictionary_has_tag(tag) and " or " not in dictionary_VR(tag)


@lru_cache(maxsize=1024)
def _tag(keyword: str) -> BaseTag:
    # pydicom looks a keyword up at every access: half the cost of an attribute that is not there.
    return Tag(keyword)


def text_of(dataset: Dataset, keyword: str) -> str | None:
    """Return the text of an attribute; None where there is none or it cannot be understood."""
    text = converted(dataset, keyword, TEXT)
    return text if isinstance(text, str) else None


def first_item(dataset: Dataset, keyword: str) -> Dataset | None:
    """Return the first item of a sequence, or None."""
    found = items(dataset, keyword)
    return found[0] if found else None


def frame_groups(dataset: Dataset) -> list[Dataset]:
    """Return the functional groups that hold for the first frame: the shared ones, then its own."""
    found = (first_item(dataset, keyword) for keyword in (_SHARED, _PER_FRAME))
    return [item for item in found if item is not None]


def group_item(dataset: Dataset, macro: str) -> Dataset | None:
    """Return the first item of one macro's sequence, shared or of the first frame."""
    for group in frame_groups(dataset):
        item = first_item(group, macro)
        if item is not None:
            return item
    return None


class FrameMacros:
    """The items of all macros that hold for the first frame, shared before per frame.

    They are built as far as they are asked for, and once: an enhanced object is asked for each of
    some fifty attributes.

    Parameters
    ----------
    dataset : Dataset
        Of one object.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._found: list[Dataset] = []
        self._more = _macro_items(dataset)
        self._error: Exception | None = None

    def items_with(self, keyword: str) -> Iterator[Dataset]:
        """Yield the items that hold an attribute.

        Raises
        ------
        Exception
            Whatever pydicom says of damage, to everyone who comes to it.
        """
        tag = _tag(keyword)
        number = 0
        while number < len(self._found) or self._grow():
            item = self._found[number]
            number += 1
            if tag in item:
                yield item

    def _grow(self) -> bool:
        """Build one more; tell whether there was one."""
        if self._error is not None:
            raise self._error
        try:
            self._found.append(next(self._more))
        except StopIteration:
            return False
        except Exception as error:
            self._error = error
            raise
        return True


def _macro_items(dataset: Dataset) -> Iterator[Dataset]:
    for group in frame_groups(dataset):
        for tag in sorted(group.keys()):
            if not tag.is_private and _is_sequence(group, tag):
                yield from items(group, tag)[:1]


def _is_sequence(dataset: Dataset, tag: BaseTag) -> bool:
    vr = cast(Any, dataset.get_item(tag)).VR
    known = dictionary_has_tag(tag) and dictionary_VR(tag) == "SQ"
    return vr == "SQ" or (known and vr in _MAY_BE_SEQUENCE)
