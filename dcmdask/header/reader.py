"""Take a partition's windows; give its tables: instances, descriptions, references, notes, failures.

The light attributes are read of every instance. Deep metadata are read of the least instance of
each series as it turns up, and references of every object of a kind that refers to others.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydicom.config import disable_value_validation

from dcmdask.dicom.windows import Heads
from dcmdask.errors import HeaderError
from dcmdask.extract.reading import Named
from dcmdask.extract.registry import extractor_for
from dcmdask.extract.table import Extractor
from dcmdask.header.columnar import scan_windows
from dcmdask.header.deep import Description, describe_header
from dcmdask.header.light import scan_header
from dcmdask.header.names import without_names
from dcmdask.header.notes import Notes, Remark, Spot, note_rows
from dcmdask.table_types import DescribedTable, FailuresTable, InstancesTable, NamedTable, SeenTable
from dcmdask.tables.schema import (
    DEFAULT_SUBSERIES,
    DESCRIBED,
    FAILURES,
    INSTANCES,
    KEY,
    LIGHT,
    NAMED,
    ROW,
    SEEN,
    table_of,
)
from dcmdask.tables.series import representatives
from dcmdask.types import Failure, HeaderTables, Kind, Note, Place, Window

_PLACE_COLUMNS = (
    "url",
    "case",
    "path",
    "folder",
    "file_name",
    "archive",
    "size",
    "modified",
    "etag",
)
_STAGE = "read"

_PACKED = 4096
"""Rows that are held as objects, at a kilobyte or two each, before they become a table."""

_PACKED_TEXT = 4 * 1024 * 1024
"""Bytes of their URLs that are held so."""

# Asking a schema for its names makes a list of them each time.
_DESCRIBED = frozenset(DESCRIBED.names)

# As they are kept in a part: each row with that of the manifest it comes from.
_DESCRIBED_OF, _NAMED_OF, _FAILURES_OF = (
    schema.append(ROW) for schema in (DESCRIBED, NAMED, FAILURES)
)

Rank = tuple[bool, int, bool, str, str, str]
Int = npt.NDArray[np.int64]


class _Quiet:
    """What keeps pydicom quiet, shared by all threads of a process that read at the same time."""

    lock: Final = threading.Lock()
    users = 0
    settings = ExitStack()


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom from judging values: what it says of them could hold a patient's name.

    It warns and logs of what it finds odd; a caller who makes errors of warnings would lose the
    instance. Its settings are the process's: whoever reads first changes them, whoever reads last
    gives them back.
    """
    with _Quiet.lock:
        _Quiet.users += 1
        if _Quiet.users == 1:
            log = logging.getLogger("pydicom")
            _Quiet.settings.enter_context(disable_value_validation())
            _Quiet.settings.enter_context(warnings.catch_warnings())
            _Quiet.settings.callback(setattr, log, "disabled", log.disabled)
            warnings.simplefilter("ignore")
            log.disabled = True
    try:
        yield
    finally:
        with _Quiet.lock:
            _Quiet.users -= 1
            if not _Quiet.users:
                _Quiet.settings.close()


def read_headers(
    windows: Iterable[Window | Heads | Failure],
    *,
    desensitize: bool,
    beside: InstancesTable | None = None,
) -> HeaderTables:
    """Read the headers of some windows.

    Parameters
    ----------
    windows : iterable of Window, Heads or Failure
        From a source; each is read before the next one is asked for. Heads are scanned many at
        once, windows one by one with pydicom.
    desensitize : bool
        Whether PatientName is replaced by its pseudonym, wherever it stands.
    beside : pyarrow.Table or None
        Instances, as they were read, whose names are hidden too where they share a series or study.

    Returns
    -------
    HeaderTables
        A row of ``instances`` or of ``failures`` for every file or member.
    """
    reading = _Reading()
    with quiet_pydicom():
        for found in windows:
            if isinstance(found, Failure):
                reading.add_failure(found)
            elif isinstance(found, Heads):
                reading.scan(found)
            else:
                reading.read(found)
    tables = reading.tables()
    return without_names(tables, beside) if desensitize else tables


@dataclass(slots=True)
class _Best:
    """The least instance of a series so far, and what it says."""

    rank: Rank
    values: dict[str, Any]


@dataclass(slots=True)
class _Reading:
    """What has been read so far of one partition."""

    columns: dict[str, list[Any]] = field(
        default_factory=lambda: {name: [] for name in INSTANCES.names}
    )
    rows: list[int] = field(default_factory=list)
    blocks: list[InstancesTable] = field(default_factory=list)
    row_blocks: list[Int] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)
    series_notes: dict[tuple[Any, ...], list[dict[str, Any]]] = field(default_factory=dict)
    scanned: int = 0
    failures: list[Failure] = field(default_factory=list)
    failed: list[FailuresTable] = field(default_factory=list)
    text: int = 0
    best: dict[tuple[Any, ...], _Best] = field(default_factory=dict)
    named: list[dict[str, Any]] = field(default_factory=list)
    series_named: dict[tuple[Any, ...], list[dict[str, Any]]] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)

    def add_failure(self, failure: Failure) -> None:
        self.failures.append(failure)
        # A name may take 60 kB.
        self.text += len(failure.place.url)
        if len(self.failures) == _PACKED or self.text > _PACKED_TEXT:
            self._pack_failures()

    def _pack_failures(self) -> None:
        self.failed.append(failure_table(self.failures))
        self.failures.clear()
        self.text = 0

    def _pack_instances(self) -> None:
        table = InstancesTable(pa.table(self.columns, schema=INSTANCES))
        self._add_block(table, np.array(self.rows, np.int64))
        self.rows = []
        for values in self.columns.values():
            values.clear()

    def _add_block(self, instances: InstancesTable, rows: Int) -> None:
        self.blocks.append(instances)
        self.row_blocks.append(rows)
        self.notes.add_unidentified(instances, rows)

    def read(self, window: Window) -> None:
        place = window.place
        try:
            header = scan_header(window)
        except HeaderError as error:
            self.add_failure(Failure(place, Kind(error.kind), error.message, _STAGE))
            return
        values = header.values
        self._add_instance(place, values)
        spot = Spot(place.url, place.case, place.path, place.row, values["SOPInstanceUID"])
        self.notes.add(note_rows(spot, header.remarks, of_series=False))
        self._describe(window, values, spot, header.remarks)

    def scan(self, heads: Heads) -> None:
        """Scan many files at once; read with pydicom what the scan leaves, and describe."""
        found = scan_windows(heads.windows, heads.more)
        self.reasons.update(found.reasons)
        accepted = np.flatnonzero(found.accepted)
        places = heads.places.take(pa.array(accepted))
        columns = {name: places[name] for name in _PLACE_COLUMNS} | found.columns
        table = InstancesTable(pa.table(columns, schema=INSTANCES))
        self.scanned += table.num_rows
        lines = places["row"].to_numpy().astype(np.int64)
        self._add_block(table, lines)
        for remark, some in found.remarks:
            self.notes.add_files(table, lines, remark, some)
        noted = _by_file(found.remarks)
        rows = _worth_describing(table)
        said = table.select(["path", "url", "case", *LIGHT]).take(pa.array(rows, pa.int64()))
        left = np.flatnonzero(~found.accepted).tolist()
        heads.expect([*accepted[rows].tolist(), *left])
        for row, values in zip(rows, said.to_pylist(), strict=True):
            with heads.reopen(int(accepted[row])) as window:
                where = (values["url"], values["case"], values["path"])
                spot = Spot(*where, int(lines[row]), values["SOPInstanceUID"])
                self._describe(window, values, spot, noted.get(row, []))
        for number in left:
            with heads.reopen(number) as window:
                if isinstance(window, Failure):
                    self.add_failure(window)
                else:
                    self.read(window)

    def _add_instance(self, place: Place, values: dict[str, Any]) -> None:
        for name in _PLACE_COLUMNS:
            self.columns[name].append(getattr(place, name))
        for name, value in values.items():
            self.columns[name].append(value)
        self.rows.append(place.row)
        if len(self.rows) == _PACKED:
            self._pack_instances()

    def _describe(
        self,
        window: Window | Failure,
        values: dict[str, Any],
        spot: Spot,
        remarks: Sequence[Remark],
    ) -> None:
        """Read deeply what is, so far, the least of its series, or refers to others by itself."""
        extractor = extractor_for(values["SOPClassUID"], values["Modality"])
        key = series_key(values)
        least = False
        if key is not None:
            rank = _rank(values, spot.path, spot.url)
            best = self.best.get(key)
            least = best is None or rank < best.rank
        whole = _is_read_whole(values["SOPClassUID"], values["Modality"])
        refers = whole or values["Rows"] is None
        if not least and not refers:
            return
        thorough = any(remark.note == Note.OUT_OF_ORDER for remark in remarks)
        description = _describe_as_far(
            window, extractor, attributes=least, references=refers, thorough=thorough
        )
        rows = [
            {**_named_row(values, spot.url, reference, of_series=not refers), "row": spot.row}
            for reference in description.references
        ]
        if refers:
            self.named.extend(rows)
            self.notes.add(note_rows(spot, _of_instance(description, remarks), of_series=False))
        if least:
            assert key is not None
            self.best[key] = _Best(rank, self._series_row(values, description, key, spot))
            said = _of_series(description, remarks, alone=not refers)
            self.series_notes[key] = note_rows(spot, said, of_series=True)
            if not refers:
                self.series_named[key] = rows

    def _series_row(
        self, values: dict[str, Any], description: Description, key: tuple[Any, ...], spot: Spot
    ) -> dict[str, Any]:
        """Return what an instance says of its series."""
        sops = sorted({uid for ref in description.references for uid in ref.instances})
        extra = {"url": spot.url, "row": spot.row, "ReferencedSOPUIDs": sops or None}
        said = {**_light_part(values), **description.attributes}
        return {**said, **dict(zip(KEY, key, strict=True)), **extra}

    def tables(self) -> HeaderTables:
        """Return what was read as tables of declared schemas."""
        named = [*self.named, *(row for rows in self.series_named.values() for row in rows)]
        self._pack_instances()
        self._pack_failures()
        instances = InstancesTable(pa.concat_tables(self.blocks))
        rows = np.concatenate(self.row_blocks)
        none = pa.array(np.zeros(len(rows), np.uint64))
        seen = SeenTable(pa.table([pa.array(rows, ROW.type), none], schema=SEEN))
        described = table_of((best.values for best in self.best.values()), _DESCRIBED_OF)
        for noted in self.series_notes.values():
            self.notes.add(noted)
        return HeaderTables(
            instances=instances,
            seen=seen,
            described=DescribedTable(described),
            references=NamedTable(table_of(named, _NAMED_OF)),
            failures=FailuresTable(pa.concat_tables(self.failed)),
            notes=self.notes.table(),
            scanned=self.scanned,
            reasons=dict(self.reasons),
        )


def _describe_as_far(
    window: Window | Failure,
    extractor: Extractor,
    *,
    attributes: bool,
    references: bool,
    thorough: bool,
) -> Description:
    """Read an object deeply as far as it can be; the instance stands, whatever comes of it.

    Parameters
    ----------
    window : Window or Failure
        Of the object, or what has become of it.
    extractor : Extractor
        What to read.
    attributes, references : bool
        Whether its series is described by it; whether it refers to others by itself. What it
        refers to must not depend on the first: that is a matter of what else is read here.
    thorough : bool
        Whether its elements are out of order.
    """
    lost = Description(complete=False, whole=not attributes)
    if isinstance(window, Failure):
        return lost
    with suppress(HeaderError):
        return describe_header(window, extractor, attributes=attributes, thorough=thorough)
    if attributes and references:
        with suppress(HeaderError):
            only = describe_header(window, extractor, attributes=False, thorough=thorough)
            return replace(only, whole=False)
    return lost


def _of_instance(description: Description, remarks: Sequence[Remark]) -> Iterator[Remark]:
    """Return what is not whole of an object that refers to others by itself.

    Parameters
    ----------
    description : Description
        Of the object.
    remarks : sequence of Remark
        What was said of it before.
    """
    if not description.complete:
        yield Remark(Note.NOT_DESCRIBED)
    said = {remark.note for remark in remarks}
    yield from (remark for remark in description.walked if remark.note not in said)


def _of_series(
    description: Description, remarks: Sequence[Remark], *, alone: bool
) -> Iterator[Remark]:
    """Return what is not whole of the object as one that describes its series.

    Parameters
    ----------
    description : Description
        Of the object.
    remarks : sequence of Remark
        What was said of it before.
    alone : bool
        Whether it speaks for its series only, with its references too.
    """
    if alone:
        yield from _of_instance(description, remarks)
    # What is not complete of others has been said of the object itself.
    if description.complete and not description.whole:
        yield Remark(Note.NOT_DESCRIBED)
    yield from (remark for remark in description.remarks if remark not in remarks)


def _by_file(remarks: Iterable[tuple[Remark, Int]]) -> dict[int, list[Remark]]:
    """Return what is said of each file of which something is."""
    found: dict[int, list[Remark]] = {}
    for remark, files in remarks:
        for number in files.tolist():
            found.setdefault(number, []).append(remark)
    return found


@lru_cache(maxsize=1024)
def _is_read_whole(sop_class: str | None, modality: str | None) -> bool:
    return extractor_for(sop_class, modality).every_instance


def _worth_describing(table: InstancesTable) -> list[int]:
    """Return the rows to read deeply: the least of each series, and what refers to others."""
    pairs = list(
        zip(*(table[name].to_pylist() for name in ("SOPClassUID", "Modality")), strict=True)
    )
    whole = {pair for pair in set(pairs) if _is_read_whole(*pair)}
    # An object without Rows is no image: it is there for what it says of others.
    chosen = table["Rows"].is_null().to_numpy()
    if whole:
        chosen |= np.array([pair in whole for pair in pairs], bool)
    chosen[representatives(table)] = True
    found: list[int] = np.flatnonzero(chosen).tolist()
    return found


def series_key(values: dict[str, Any]) -> tuple[Any, ...] | None:
    """Return `dcmdask.tables.schema.KEY` of an instance; None where it has no SeriesInstanceUID."""
    series = values["SeriesInstanceUID"]
    if series is None:
        return None
    number = values["AcquisitionNumber"]
    sub = DEFAULT_SUBSERIES if number is None else number
    return (values["StudyInstanceUID"], series, values["Modality"], sub)


def _rank(values: dict[str, Any], path: str, url: str) -> Rank:
    """Return what the representative is the least of; absent values come last."""
    number, sop = values["InstanceNumber"], values["SOPInstanceUID"]
    return (number is None, number or 0, sop is None, sop or "", path, url)


def _light_part(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in _DESCRIBED}


def _named_row(
    values: dict[str, Any], url: str, reference: Named, *, of_series: bool
) -> dict[str, Any]:
    number = values["AcquisitionNumber"]
    return {
        "source_url": url,
        "of_series": of_series,
        "SourceSOPInstanceUID": values["SOPInstanceUID"],
        "SourceStudyInstanceUID": values["StudyInstanceUID"],
        "SourceSeriesInstanceUID": values["SeriesInstanceUID"],
        "SourceModality": values["Modality"],
        "SourceSubSeries": DEFAULT_SUBSERIES if number is None else number,
        "role": reference.role,
        "attribute_path": reference.path,
        "target_level": reference.level,
        "target_uid": reference.uid,
        "instances": list(reference.instances),
        "prefer": reference.prefer,
    }


def failure_table(failures: Iterable[Failure]) -> FailuresTable:
    """Return failures as `dcmdask.tables.schema.FAILURES`, with the row each comes from."""
    return FailuresTable(table_of(map(_failure_row, failures), _FAILURES_OF))


def _failure_row(failure: Failure) -> dict[str, Any]:
    place = failure.place
    return {
        "url": place.url,
        "case": place.case,
        "path": place.path,
        "kind": str(failure.kind),
        "message": failure.message,
        "stage": failure.stage,
        "size": place.size,
        "modified": place.modified,
        "etag": place.etag,
        "row": place.row,
    }
