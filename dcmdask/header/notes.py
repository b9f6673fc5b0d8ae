"""Take what is seen of instances while they are read; return it as rows of notes.

An instance that is whole leaves nothing here and costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.table_types import InstancesTable, NotedTable
from dcmdask.tables.schema import NOTED, ROW, table_of
from dcmdask.types import Note

Int = npt.NDArray[np.int64]

UIDS: Final = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
"""What tells an instance from others."""

MESSAGES: Final[Mapping[Note, str]] = {
    Note.CUT: "the file ends in the middle of an element of its header",
    Note.NOT_UNDERSTOOD: "the value is none of its kind and stayed empty",
    Note.NUL_IN_TEXT: "the text was taken to end at a NUL; what stands behind it is left out",
    Note.CHARACTER_SET: "no known character set; text was read in the default one",
    Note.INVALID_VR: "an element has no valid VR; read on where its length leads to another one",
    Note.STRAY_DELIMITER: "a delimiter stands where nothing is open; it was passed over",
    Note.OUT_OF_ORDER: "elements stand behind others of a higher tag",
    Note.WRONG_LENGTH: "a sequence or item is not as long as it says; read as far as it went",
    Note.NOT_DESCRIBED: "metadata or references could not all be read",
    Note.UNIDENTIFIED: "the UID is missing or empty",
    Note.NAME_IN_TEXT: "a word may be of the patient's name",
    Note.NAME_IN_PATH: "the path holds part of the patient's name",
    Note.WITHHELD: "texts are left out: they may hold a name that could not be read again",
}
"""What is said of each; never a value."""

_NOTED: Final = NOTED.append(ROW)
_WHERE: Final = ("url", "case", "path", "SOPInstanceUID")
_PACKED: Final = 4096
"""Rows that are held as objects before they become a table."""


class Remark(NamedTuple):
    """One thing about an instance.

    Attributes
    ----------
    note : Note
        Which thing.
    attribute : str or None
        Keyword or column that it is about, where it is about one.
    """

    note: Note
    attribute: str | None = None


class Spot(NamedTuple):
    """The instance that is spoken of.

    Attributes
    ----------
    url, case, path : str
        Where it is.
    row : int
        Of the manifest, in its partition.
    sop : str or None
        Its SOPInstanceUID.
    """

    url: str
    case: str
    path: str
    row: int
    sop: str | None


def note_rows(spot: Spot, remarks: Iterable[Remark], *, of_series: bool) -> list[dict[str, Any]]:
    """Return rows of `dcmdask.tables.schema.NOTED`, each thing said once.

    Parameters
    ----------
    spot : Spot
        The instance.
    remarks : iterable of Remark
        What is said of it.
    of_series : bool
        Whether it counts only if the instance is the representative of its series.
    """
    return [
        {
            "url": spot.url,
            "case": spot.case,
            "path": spot.path,
            "SOPInstanceUID": spot.sop,
            "note": str(remark.note),
            "attribute": remark.attribute,
            "message": MESSAGES[remark.note],
            "of_series": of_series,
            "row": spot.row,
        }
        for remark in dict.fromkeys(remarks)
    ]


class Notes:
    """The notes of one partition, as they come."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._tables: list[pa.Table] = [_NOTED.empty_table()]

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add rows from `note_rows`."""
        self._rows.extend(rows)
        if len(self._rows) >= _PACKED:
            self._pack()

    def add_files(
        self,
        instances: InstancesTable,
        rows: Int,
        remark: Remark,
        chosen: Int,
        *,
        of_series: bool = False,
    ) -> None:
        """Say one thing of many instances at once.

        Parameters
        ----------
        instances : pyarrow.Table
            Of any columns, those that say where an instance is among them.
        rows : numpy.ndarray of int64
            Manifest row of each.
        remark : Remark
            What is said.
        chosen : numpy.ndarray of int64
            Of which of them.
        of_series : bool
            As of `note_rows`.
        """
        said = instances.select(_WHERE).take(pa.array(chosen))
        count = said.num_rows
        columns = {name: said[name] for name in _WHERE} | {
            "note": pa.repeat(str(remark.note), count),
            "attribute": pa.repeat(pa.scalar(remark.attribute, pa.string()), count),
            "message": pa.repeat(MESSAGES[remark.note], count),
            "of_series": pa.repeat(of_series, count),
            "row": pa.array(rows[chosen], ROW.type),
        }
        self._tables.append(pa.table(columns, schema=_NOTED))

    def add_unidentified(self, instances: InstancesTable, rows: Int) -> None:
        """Say which UIDs are missing of which instances."""
        for word in UIDS:
            if instances[word].null_count:
                missing = np.flatnonzero(np.asarray(pc.is_null(instances[word])))
                self.add_files(instances, rows, Remark(Note.UNIDENTIFIED, word), missing)

    def table(self) -> NotedTable:
        """Return all of them as `dcmdask.tables.schema.NOTED`, with the row each comes from."""
        self._pack()
        return NotedTable(pa.concat_tables(self._tables))

    def _pack(self) -> None:
        if self._rows:
            self._tables.append(table_of(self._rows, _NOTED))
            self._rows = []
