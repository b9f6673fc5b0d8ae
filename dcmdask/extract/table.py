"""The shape of a modality: what an attribute, a reference path and an extractor are.

A modality is one file beside this one that fills these tables, and one line in the registry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pydicom.dataset import Dataset

from dcmdask.dicom.values import arrow_type

ASIDE = ("predecessor", "identical_document", "related_plan", "dose")
"""Roles that say what an object was made from, or what was made of it: not what it is about."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One column of `crawl_db` and where the standard keeps it.

    Attributes
    ----------
    name : str
        The column: the keyword, or the name of a computed field.
    type : pyarrow.DataType
        Type of the column.
    paths : tuple of str
        Tried in order: a keyword, ``Sequence.Keyword`` (first item), or ``*.Keyword`` for the
        functional groups of an enhanced object (shared ones, else those of the first frame,
        PS3.3 C.7.6.16).
    unit : str
        Unit of the value; empty where it has none.
    compute : callable or None
        For a computed field: dataset in, value out.
    """

    name: str
    type: pa.DataType
    paths: tuple[str, ...]
    unit: str = ""
    compute: Callable[[Dataset], Any] | None = None


@dataclass(frozen=True, slots=True)
class ReferencePath:
    """Where objects of a modality name others.

    Attributes
    ----------
    path : tuple of str
        Keywords of the sequences that lead to the item; every item of each is followed.
    role : str
        What the target is to the source.
    level : str
        ``series`` (items with SeriesInstanceUID and, mostly, a list of instances), ``instance``
        (items with ReferencedSOPInstanceUID), ``frame_of_reference`` (items with
        FrameOfReferenceUID or ReferencedFrameOfReferenceUID) or ``content`` (an SR content tree).
    fallback : bool
        Asked only where no other path of the object names anything: it stands in the bulk.
    prefer : str
        For a frame of reference: which modalities may be meant, the preferred before ``>``.
    """

    path: tuple[str, ...]
    role: str
    level: str
    fallback: bool = False
    prefer: str = ""


@dataclass(frozen=True, slots=True)
class Extractor:
    """What to read of one kind of object.

    Attributes
    ----------
    modality : str
        Value of Modality; empty for the fallback.
    sop_classes : tuple of str
        SOP Class UIDs that are read so whatever their Modality says.
    attributes : tuple of Attribute
        Beside the base attributes.
    references : tuple of ReferencePath
        Beside those any object may hold.
    every_instance : bool
        Each instance refers to others by itself, so that each is read deeply, not only the
        representative of its series.
    bulk : int or None
        Tag of the first element that only fallback paths need, so that reading stops before it.
    """

    modality: str
    sop_classes: tuple[str, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    references: tuple[ReferencePath, ...] = ()
    every_instance: bool = False
    bulk: int | None = None


def plain(*keywords: str) -> tuple[Attribute, ...]:
    """Return attributes that stand at top level or in a group under their own keyword."""
    return tuple(Attribute(word, arrow_type(word), (word, f"*.{word}")) for word in keywords)


def renamed(keyword: str, *others: str) -> tuple[Attribute, ...]:
    """Return one attribute without a unit, and the other names it has in enhanced objects."""
    return measured(keyword, "", *others)


def measured(
    keyword: str, unit: str, *others: str, kind: pa.DataType | None = None
) -> tuple[Attribute, ...]:
    """Return one attribute with a unit, and the other names it has in enhanced objects.

    `others` must have the same unit as `keyword`.
    """
    paths = (keyword, f"*.{keyword}", *(path for word in others for path in (word, f"*.{word}")))
    return (Attribute(keyword, kind or arrow_type(keyword), paths, unit),)


def within(sequence: str, *keywords: str) -> tuple[Attribute, ...]:
    """Return attributes that stand in the first item of a sequence."""
    return tuple(Attribute(word, arrow_type(word), (f"{sequence}.{word}",)) for word in keywords)


def computed(
    name: str,
    kind: pa.DataType,
    compute: Callable[[Dataset], Any],
    *needs: str,
    unit: str = "",
) -> tuple[Attribute, ...]:
    """Return one computed field and the top-level elements that it needs (``*``: the groups)."""
    return (Attribute(name, kind, needs, unit, compute),)


def names_series(role: str, *path: str, fallback: bool = False) -> tuple[ReferencePath, ...]:
    """Return a path whose items hold SeriesInstanceUID and, mostly, a list of instances."""
    return (ReferencePath(path, role, "series", fallback),)


def names_instances(role: str, *path: str, fallback: bool = False) -> tuple[ReferencePath, ...]:
    """Return a path whose items hold ReferencedSOPInstanceUID."""
    return (ReferencePath(path, role, "instance", fallback),)


def names_frame_of_reference(*path: str, prefer: str) -> tuple[ReferencePath, ...]:
    """Return a path whose items name a frame of reference; no path: the object's own."""
    return (ReferencePath(path, "frame_of_reference", "frame_of_reference", False, prefer),)
