"""Take tables of what was read; return them without names.

Names repeat over thousands of rows, and so do texts: each pair of them is looked at once.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dcmdask.dicom.values import TEXT, TEXTS
from dcmdask.table_types import InstancesTable
from dcmdask.tables.arrow import Array, Column
from dcmdask.tables.factorize import Codes, codes_of, first_rows, map_distinct
from dcmdask.tables.privacy.hiding import gives_away, hide, pseudonym

NAME = "PatientName"
GROUPS = ("SeriesInstanceUID", "StudyInstanceUID")
"""What instances of one patient share: a name that one of them has may stand in a text of another."""

MOST_NAMES = 16
"""Names of one group that are looked for in the texts of all its instances. What has more is no series
or study of one patient, but one UID given to many."""

WITHHELD = 1
"""Instead of the digest of other names: they were not to be had, and no text is published."""


class OtherNames:
    """The names that instances know of each other.

    Parameters
    ----------
    groups : sequence of mapping
        For each of `GROUPS`, UID to names, as `names_of_groups` gives them.
    """

    def __init__(self, groups: Sequence[Mapping[str, Sequence[str]]]) -> None:
        self._groups = groups

    @classmethod
    def of_instances(cls, instances: InstancesTable) -> OtherNames:
        """Find them in instances: a table of at least `NAME` and `GROUPS`."""
        return cls([dict(names_of_groups(instances, group)) for group in GROUPS])

    def of(self, own: str | None, *groups: str | None) -> tuple[str, ...]:
        """Return the names beside its own that an instance of some groups may hold, sorted."""
        if not any(self._groups):
            return ()
        found = {
            name
            for names, group in zip(self._groups, groups, strict=True)
            if group is not None and len(names.get(group, ())) <= MOST_NAMES
            for name in names.get(group, ())
        }
        return tuple(sorted(found - {own}))


def names_of_groups(instances: InstancesTable, group: str) -> Iterator[tuple[str, list[str]]]:
    """Return groups whose instances do not all have one name, and their names, sorted.

    Of one that has more than `MOST_NAMES` one more than so many.

    Parameters
    ----------
    instances : pyarrow.Table
        At least `NAME` and the group, which may be null.
    group : str
        One of `GROUPS`.
    """
    first = pa.array(first_rows(codes_of(instances[group], instances[NAME])))
    found: dict[str, set[str | None]] = defaultdict(set)
    pairs = (instances[name].take(first).to_pylist() for name in (group, NAME))
    for uid, name in zip(*pairs, strict=True):
        found[uid].add(name)
    for uid, names in found.items():
        known = sorted(name for name in names if name is not None)
        if uid is not None and known and len(names) > 1:
            yield uid, known[: MOST_NAMES + 1]


def digest_of_names(names: Iterable[str]) -> int:
    """Return a number for the pseudonyms of some names; 0 for none, and never `WITHHELD`.

    Parameters
    ----------
    names : iterable of str
        In any order.
    """
    ordered = sorted(names)
    if not ordered:
        return 0
    digest = hashlib.sha256("\n".join(ordered).encode()).digest()
    return int.from_bytes(digest[:8], "big") | 2


@dataclass(frozen=True, slots=True)
class Hidden:
    """A table without names.

    Attributes
    ----------
    table : pyarrow.Table
        As it was, with other texts.
    left : list of (str, numpy.ndarray of int64)
        Columns in which words that may be of a name are left, and the rows.
    """

    table: pa.Table
    left: list[tuple[str, npt.NDArray[np.int64]]]


class Names:
    """The names to be hidden in each row of some instances.

    Parameters
    ----------
    instances : pyarrow.Table
        At least `NAME`, as it was read, and `GROUPS`.
    beside : pyarrow.Table or None
        The same of others, which are read for the names in them only.

    Attributes
    ----------
    sets : list of tuple of str
        Of names: the own one before the others.
    row : numpy.ndarray of int64
        Which set each row has.
    others : pyarrow.Array
        Digest of the pseudonyms of the other names of each row (`digest_of_names`).
    """

    def __init__(self, instances: InstancesTable, beside: InstancesTable | None = None) -> None:
        asked = instances.select([NAME, *GROUPS])
        known = (
            asked
            if beside is None
            else InstancesTable(pa.concat_tables([asked, beside.select([NAME, *GROUPS])]))
        )
        self._others = OtherNames.of_instances(known)
        columns = asked.columns
        codes = codes_of(*columns)
        first = pa.array(first_rows(codes))
        rows = zip(*(column.take(first).to_pylist() for column in columns), strict=True)
        numbers: dict[tuple[str, ...], int] = {}
        found = [self.of(*row) for row in rows]
        spots = np.array([numbers.setdefault(names, len(numbers)) for names in found], np.int64)
        digests = [
            digest_of_names(map(str, map(pseudonym, names[int(own is not None) :])))
            for names, own in zip(found, columns[0].take(first).to_pylist(), strict=True)
        ]
        self.sets = list(numbers)
        self.row: Codes = spots[codes]
        self.others = pa.array(np.array(digests, np.uint64)[codes])

    def of(self, own: str | None, *groups: str | None) -> tuple[str, ...]:
        """Return the names to be hidden in an instance of some groups."""
        others = self._others.of(own, *groups)
        known = {name: pseudonym(name) or "" for name in others}
        ordered = sorted(others, key=known.__getitem__)
        return (*ordered,) if own is None else (own, *ordered)

    def hide(self, table: pa.Table, columns: Iterable[str], row: Codes) -> Hidden:
        """Hide names in columns of text and of lists of text.

        Parameters
        ----------
        table : pyarrow.Table
            Of any rows.
        columns : iterable of str
            Which of its columns.
        row : numpy.ndarray of int64
            The set of names of each row; -1 for none.
        """
        left = []
        for word in columns:
            column = table[word]
            if column.null_count == len(column):
                continue
            changed, doubtful = self._hide_column(column, row)
            spot = table.column_names.index(word)
            if changed is not None:
                table = table.set_column(spot, table.field(spot), changed)
            if len(doubtful):
                left.append((word, doubtful))
        return Hidden(table, left)

    def _hide_column(self, column: Column, row: Codes) -> tuple[Array | None, Any]:
        codes = codes_of(row, column)
        first = first_rows(codes)
        values = column.take(pa.array(first)).to_pylist()
        sets = (self.sets[number] if number >= 0 else () for number in row[first].tolist())
        outcomes = [_hide_value(*pair) for pair in zip(values, sets, strict=True)]
        doubtful = np.flatnonzero(np.array([left for _, left in outcomes], bool)[codes])
        changed = [value for value, _ in outcomes]
        if changed == values:
            return None, doubtful
        return pa.array(changed, column.type).take(pa.array(codes)), doubtful


def _hide_value(value: Any, names: Sequence[str]) -> tuple[Any, bool]:
    if not names or value is None:
        return value, False
    if isinstance(value, str):
        return hide(value, names)
    # What is one text to a person may be several values: a backslash parts them.
    found = [_hide_value(item, names) for item in value]
    return [item for item, _ in found], any(left for _, left in found)


def pseudonyms(column: Column) -> Array:
    """Return a column of names as pseudonyms."""
    return map_distinct(pseudonym, TEXT, column)


def rows_with_named_paths(names: Names, *columns: Column) -> Codes:
    """Return the rows that have a path that holds part of one of their names.

    Parameters
    ----------
    names : Names
        Of the rows.
    *columns : pyarrow.ChunkedArray
        Pieces of the path, from its root on.
    """
    paths = zip(*(column.to_pylist() for column in columns), strict=True)
    sets = (names.sets[number] for number in names.row.tolist())
    found = [
        any(gives_away("/".join(path), name) for name in own)
        for path, own in zip(paths, sets, strict=True)
    ]
    return np.flatnonzero(found)


def free_text(schema: pa.Schema) -> list[str]:
    """Return the columns of attributes in which anything may be written, a name too.

    All columns of text are, but `NAME` itself, UIDs, and Modality, which is a part of what tells one
    series from another.
    """
    return [field.name for field in schema if _is_free_text(field.name, field.type)]


def _is_free_text(name: str, kind: pa.DataType) -> bool:
    if kind not in (TEXT, TEXTS) or not name[0].isupper() or name in (NAME, "Modality"):
        return False
    return not name.endswith(("UID", "UIDs"))
