"""Take a dataset and an extractor; give attribute values and the references the object names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyarrow as pa
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from dcmdask.dicom.functional_groups import FrameMacros, converted, items, text_of
from dcmdask.dicom.values import convert
from dcmdask.extract.base import COMMON_REFERENCES
from dcmdask.extract.registry import attributes_of
from dcmdask.extract.table import Attribute, Extractor, ReferencePath

GROUPS = (0x52009229, 0x52009230)
"""Shared and per-frame functional groups."""

# One list of instances, named differently by the modules that hold it (PS3.3 C.12.2, C.11.11,
# C.17.2, C.8.8.5).
_INSTANCE_LISTS = (
    "ReferencedInstanceSequence",
    "ReferencedImageSequence",
    "ReferencedSOPSequence",
    "ContourImageSequence",
)
# A ROI says so of its frame of reference, every other item and object otherwise (PS3.3 C.8.8.5).
_FRAMES = ("FrameOfReferenceUID", "ReferencedFrameOfReferenceUID")
_DEEPEST_CONTENT = 200


@dataclass(frozen=True, slots=True)
class Named:
    """One reference as an object names it.

    Attributes
    ----------
    role, level, prefer : str
        As in `ReferencePath`; a content tree gives ``instance``.
    path : str
        Where it stood first, with item numbers.
    uid : str
        Of the series, instance or frame of reference that is named.
    instances : tuple of str
        SOP Instance UIDs listed for it, sorted, each once.
    """

    role: str
    level: str
    path: str
    uid: str
    instances: tuple[str, ...]
    prefer: str = ""


@lru_cache(maxsize=256)
def wanted_tags(extractor: Extractor, *, attributes: bool, fallback: bool) -> tuple[int, ...]:
    """Return the top-level tags to ask of the reader.

    Parameters
    ----------
    extractor : Extractor
        What is read.
    attributes : bool
        Whether attributes are wanted beside references.
    fallback : bool
        Whether the fallback references are wanted, and only these.
    """
    paths = [ref.path for ref in _references(extractor) if ref.fallback == fallback]
    words = {path[0] if path else "FrameOfReferenceUID" for path in paths}
    if attributes:
        words |= {p.split(".")[0] for a in attributes_of(extractor) for p in a.paths}
    tags = {tag_for_keyword(word) for word in words - {"*"}}
    if "*" in words:
        tags |= set(GROUPS)
    return tuple(sorted(tag for tag in tags if tag is not None))


def read_attribute(dataset: Dataset, attribute: Attribute, macros: FrameMacros) -> Any:
    """Return the value of one attribute for its column, None, or `MALFORMED`.

    Parameters
    ----------
    dataset : Dataset
        Read with `wanted_tags`.
    attribute : Attribute
        What is asked for.
    macros : FrameMacros
        Of the dataset.
    """
    if attribute.compute is not None:
        return computed_value(dataset, attribute.compute, attribute.type)
    for path in attribute.paths:
        holder, _, keyword = path.rpartition(".")
        for item in _holders(dataset, holder, keyword, macros):
            value = converted(item, keyword, attribute.type)
            if value is not None:
                return value
    return None


def computed_value(dataset: Dataset, compute: Callable[[Dataset], Any], kind: pa.DataType) -> Any:
    """Return the value of a computed field for its column, None, or `MALFORMED`.

    A list has an entry for each item that it was made of, also where none of them says anything.
    """
    value = compute(dataset)
    is_blank = isinstance(value, list) and value and all(item is None for item in value)
    return value if is_blank else convert(value, kind)


def _holders(dataset: Dataset, holder: str, keyword: str, macros: FrameMacros) -> Iterable[Dataset]:
    """Return the datasets in which an attribute may stand."""
    if not holder:
        return (dataset,)
    return macros.items_with(keyword) if holder == "*" else items(dataset, holder)[:1]


def read_references(dataset: Dataset, extractor: Extractor, *, fallback: bool) -> list[Named]:
    """Return what an object names, in document order, each (role, level, UID) once.

    Parameters
    ----------
    dataset : Dataset
        Read with `wanted_tags`.
    extractor : Extractor
        Which paths to follow, beside the common ones.
    fallback : bool
        Follow the fallback paths instead of the others.
    """
    found: dict[tuple[str, str, str], Named] = {}
    for reference in _references(extractor):
        if reference.fallback == fallback:
            for named in _follow(dataset, reference):
                key = (named.role, named.level, named.uid)
                found[key] = _joined(found[key], named) if key in found else named
    return list(_without_listed(found))


def _references(extractor: Extractor) -> tuple[ReferencePath, ...]:
    return (*extractor.references, *COMMON_REFERENCES)


def _joined(first: Named, second: Named) -> Named:
    instances = tuple(sorted({*first.instances, *second.instances}))
    return Named(first.role, first.level, first.path, first.uid, instances, first.prefer)


def _without_listed(found: dict[tuple[str, str, str], Named]) -> Iterator[Named]:
    """Leave out instances that stand in a named series' list under the same role: said already."""
    listed = {(n.role, uid) for n in found.values() if n.level == "series" for uid in n.instances}
    for named in found.values():
        if named.level != "instance" or (named.role, named.uid) not in listed:
            yield named


def _follow(dataset: Dataset, reference: ReferencePath) -> Iterator[Named]:
    if reference.level == "content":
        yield from _follow_content(dataset, reference)
        return
    for place, item in _walk(dataset, reference.path, ""):
        if reference.level == "series":
            yield from _named_series(item, reference.role, place)
        elif reference.level == "instance":
            yield from _named_instance(item, reference.role, place)
        else:
            yield from _named_frame(item, reference, place)


def _walk(dataset: Dataset, path: tuple[str, ...], place: str) -> Iterator[tuple[str, Dataset]]:
    if not path:
        yield place, dataset
        return
    for number, item in enumerate(items(dataset, path[0])):
        yield from _walk(item, path[1:], f"{place}{path[0]}[{number}].")


def _named_series(item: Dataset, role: str, place: str) -> Iterator[Named]:
    listed = [
        (f"{place}{word}[{number}].", entry)
        for word in _INSTANCE_LISTS
        for number, entry in enumerate(items(item, word))
    ]
    uid = _uid(item, "SeriesInstanceUID")
    if uid:
        uids = {_uid(entry, "ReferencedSOPInstanceUID") for _, entry in listed} - {""}
        yield Named(role, "series", f"{place}SeriesInstanceUID", uid, tuple(sorted(uids)))
        return
    for spot, entry in listed:
        yield from _named_instance(entry, role, spot)


def _named_instance(item: Dataset, role: str, place: str) -> Iterator[Named]:
    if uid := _uid(item, "ReferencedSOPInstanceUID"):
        yield Named(role, "instance", f"{place}ReferencedSOPInstanceUID", uid, (uid,))


def _named_frame(item: Dataset, reference: ReferencePath, place: str) -> Iterator[Named]:
    for word in _FRAMES:
        if uid := _uid(item, word):
            level = "frame_of_reference"
            yield Named(reference.role, level, f"{place}{word}", uid, (), reference.prefer)


def _follow_content(dataset: Dataset, reference: ReferencePath) -> Iterator[Named]:
    """Yield the IMAGE, WAVEFORM and COMPOSITE items of an SR content tree (PS3.3 C.17.3)."""
    waiting = list(_walk(dataset, reference.path, ""))[::-1]
    while waiting:
        place, item = waiting.pop()
        for spot, entry in _walk(item, ("ReferencedSOPSequence",), place):
            yield from _named_instance(entry, reference.role, spot)
        if place.count(".") < _DEEPEST_CONTENT:
            waiting.extend(list(_walk(item, ("ContentSequence",), place))[::-1])


def _uid(item: Dataset, keyword: str) -> str:
    return (text_of(item, keyword) or "").strip()
