"""Take a partition's windows; give its tables: instances, descriptions, references, failures.

The light attributes are read of every instance. Deep metadata are read of the least instance of
each series as it turns up, and references of every object of a kind that refers to others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pydicom.config

from dcmdask.errors import HeaderError
from dcmdask.extract.reading import Named
from dcmdask.extract.registry import extractor_for
from dcmdask.header.deep import describe_header
from dcmdask.header.light import LightHeader, scan_header
from dcmdask.privacy import gives_away, pseudonym
from dcmdask.schema import DEFAULT_SUBSERIES, DESCRIBED, FAILURES, INSTANCES, KEY, NAMED, table_of
from dcmdask.types import SKIPS, Failure, HeaderTables, Kind, Place, Window

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
_UIDS = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
_STAGE = "read"

Rank = tuple[bool, int, bool, str, str]


def quiet_pydicom() -> None:
    """Keep pydicom from judging values: what it says of them could hold a patient's name."""
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE


def read_headers(windows: Iterable[Window | Failure], *, desensitize: bool) -> HeaderTables:
    """Read the headers of some windows.

    Parameters
    ----------
    windows : iterable of Window or Failure
        From a source; each window is read before the next one is asked for.
    desensitize : bool
        Whether PatientName is replaced by its pseudonym.

    Returns
    -------
    HeaderTables
        A row of ``instances`` or of ``failures`` for every item.
    """
    reading = _Reading(desensitize)
    for found in windows:
        if isinstance(found, Failure):
            reading.add_failure(found)
        else:
            reading.read(found)
    return reading.tables()


@dataclass(slots=True)
class _Best:
    """The least instance of a series so far, and what it says."""

    rank: Rank
    values: dict[str, Any]


@dataclass(slots=True)
class _Reading:
    """What has been read so far of one partition."""

    desensitize: bool
    columns: dict[str, list[Any]] = field(
        default_factory=lambda: {name: [] for name in INSTANCES.names}
    )
    failures: list[Failure] = field(default_factory=list)
    best: dict[tuple[Any, ...], _Best] = field(default_factory=dict)
    named: list[dict[str, Any]] = field(default_factory=list)
    series_named: dict[tuple[Any, ...], list[dict[str, Any]]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def add_failure(self, failure: Failure) -> None:
        self.failures.append(failure)
        self.counts["skips" if failure.kind in SKIPS else "failures"] += 1

    def read(self, window: Window) -> None:
        place = window.place
        try:
            header = scan_header(window)
        except HeaderError as error:
            self.add_failure(Failure(place, Kind(error.kind), error.message, _STAGE))
            return
        self._add_instance(place, header)
        self._describe(window, header.values)

    def _add_instance(self, place: Place, header: LightHeader) -> None:
        values = header.values
        self.counts["instances"] += 1
        self.counts["malformed_values"] += header.malformed
        self.counts["cut_headers"] += header.cut
        self.counts["unidentified"] += any(values[word] is None for word in _UIDS)
        if self.desensitize:
            self.counts["named_paths"] += gives_away(place.path, values["PatientName"])
            values["PatientName"] = pseudonym(values["PatientName"])
        for name in _PLACE_COLUMNS:
            self.columns[name].append(getattr(place, name))
        for name, value in values.items():
            self.columns[name].append(value)

    def _describe(self, window: Window, values: dict[str, Any]) -> None:
        """Read deeply what is, so far, the least of its series, or refers to others by itself."""
        extractor = extractor_for(values["SOPClassUID"], values["Modality"])
        key = series_key(values)
        least = False
        if key is not None:
            rank = _rank(values, window.place.url)
            best = self.best.get(key)
            least = best is None or rank < best.rank
        # An object without Rows is no image: it is there for what it says of others.
        refers = extractor.every_instance or values["Rows"] is None
        if not least and not refers:
            return
        try:
            description = describe_header(window, extractor, attributes=least)
        except HeaderError:
            # The instance stands; what could not be read of it stays null and is counted.
            self.counts["undescribed"] += 1
            described: dict[str, Any] = {}
            references: list[Named] = []
        else:
            self.counts["malformed_values"] += description.malformed
            described, references = description.attributes, description.references
        rows = [
            _named_row(values, window.place.url, reference, of_series=not refers)
            for reference in references
        ]
        if least:
            assert key is not None
            identity = dict(zip(KEY, key, strict=True))
            sops = sorted({uid for ref in references for uid in ref.instances})
            extra = {"url": window.place.url, "ReferencedSOPUIDs": sops or None}
            self.best[key] = _Best(rank, {**_light_part(values), **described, **identity, **extra})
        if refers:
            self.named.extend(rows)
        elif key is not None:
            self.series_named[key] = rows

    def tables(self) -> HeaderTables:
        """Give what was read as tables of declared schemas."""
        named = [*self.named, *(row for rows in self.series_named.values() for row in rows)]
        return HeaderTables(
            instances=pa.table(self.columns, schema=INSTANCES),
            described=table_of((best.values for best in self.best.values()), DESCRIBED),
            references=table_of(named, NAMED),
            failures=table_of((failure_row(failure) for failure in self.failures), FAILURES),
            counts=dict(self.counts),
        )


def series_key(values: dict[str, Any]) -> tuple[Any, ...] | None:
    """Give `dcmdask.schema.KEY` of an instance; None where it has no SeriesInstanceUID."""
    series = values["SeriesInstanceUID"]
    if series is None:
        return None
    number = values["AcquisitionNumber"]
    sub = DEFAULT_SUBSERIES if number is None else number
    return (values["StudyInstanceUID"], series, values["Modality"], sub)


def _rank(values: dict[str, Any], url: str) -> Rank:
    """Give what the representative is the least of; absent values come last."""
    number, sop = values["InstanceNumber"], values["SOPInstanceUID"]
    return (number is None, number or 0, sop is None, sop or "", url)


def _light_part(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in DESCRIBED.names}


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


def failure_row(failure: Failure) -> dict[str, Any]:
    """Give a failure as a row of `dcmdask.schema.FAILURES`."""
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
    }
