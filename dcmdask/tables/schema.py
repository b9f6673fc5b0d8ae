"""The declared schema of every table, and how it is written into a file's metadata.

Nothing here is inferred from data: a column is declared or does not exist. `VERSION` grows with
every change of a published column.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dcmdask._version import __version__
from dcmdask.config import digest_of
from dcmdask.dicom.values import DATE, INTEGER, TEXT, TEXTS, arrow_type
from dcmdask.extract.registry import all_attributes
from dcmdask.table_types import InstancesTable
from dcmdask.tables.arrow import Column

VERSION = 3
"""Of the published tables as a whole."""

INSTANT: pa.DataType = pa.timestamp("us", tz="UTC")

LIGHT = (
    "TransferSyntaxUID",
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "StudyInstanceUID",
    "StudyDate",
    "StudyDescription",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "AcquisitionNumber",
    "InstanceNumber",
    "FrameOfReferenceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "Manufacturer",
)
"""The attributes read of every instance."""

KEY = ("StudyInstanceUID", "SeriesInstanceUID", "Modality", "SubSeries")
"""What a row of `crawl_db` and of `index` is one of."""

DEFAULT_SUBSERIES = 1
"""SubSeries of an instance without AcquisitionNumber."""

_PLACE = (
    ("url", TEXT),
    ("case", TEXT),
    ("path", TEXT),
    ("folder", TEXT),
    ("file_name", TEXT),
    ("archive", TEXT),
    ("size", INTEGER),
    ("modified", INSTANT),
    ("etag", TEXT),
)

INSTANCES = pa.schema([*_PLACE, *((word, arrow_type(word)) for word in LIGHT)])

FAILURES = pa.schema(
    [
        ("url", TEXT),
        ("case", TEXT),
        ("path", TEXT),
        ("kind", TEXT),
        ("message", TEXT),
        ("stage", TEXT),
        ("size", INTEGER),
        ("modified", INSTANT),
        ("etag", TEXT),
    ]
)

_MERGED = (
    ("instance_count", INTEGER),
    ("folders", TEXTS),
    ("representative_url", TEXT),
    ("varying", TEXTS),
)
_RESOLVED = (("ReferencedModality", TEXTS), ("ReferencedSeriesUID", TEXTS))
_DEEP = tuple((a.name, a.type) for a in all_attributes() if a.name not in KEY)
_KEY = (*((word, TEXT) for word in KEY[:3]), ("SubSeries", INTEGER))

ROW: pa.Field[Any] = pa.field("row", pa.int32())
"""The row of the manifest, in its partition, that the row of a part comes from; internal."""

SEEN = pa.schema([ROW, pa.field("others", pa.uint64())])
"""Where an instance comes from, and which names of others were hidden in it; internal.

The second is the digest of their pseudonyms, 0 for none: names of other instances of its series and
its study are hidden in it too, and a later run may find more of them, or fewer.
"""

NOTES = pa.schema(
    [
        ("url", TEXT),
        ("case", TEXT),
        ("path", TEXT),
        ("SOPInstanceUID", TEXT),
        ("note", TEXT),
        ("attribute", TEXT),
        ("message", TEXT),
    ]
)
"""One thing about an instance that is there but not whole: `note` is a `dcmdask.types.Note`."""

NOTED = pa.schema([*NOTES, pa.field("of_series", pa.bool_())])
"""Notes as partitions make them; internal.

`of_series` marks those that count only if `url` is the representative of its series.
"""

DESCRIBED = pa.schema([("url", TEXT), *_KEY, *_DEEP, ("ReferencedSOPUIDs", TEXTS)])
"""Deep metadata of one instance; internal: `crawl_db` takes its rows from it."""

CRAWL_DB = pa.schema([*_KEY, *_MERGED, *_DEEP, *_RESOLVED, ("ReferencedSOPUIDs", TEXTS)])

INDEX = pa.schema(
    [
        ("PatientID", TEXT),
        *_KEY,
        *_RESOLVED,
        ("instances", INTEGER),
        ("folder", TEXT),
        ("ProjectID", INTEGER),
        ("case", TEXT),
        ("folders", TEXTS),
        ("series_instances", INTEGER),
    ]
)

NAMED = pa.schema(
    [
        ("source_url", TEXT),
        ("of_series", pa.bool_()),
        ("SourceSOPInstanceUID", TEXT),
        ("SourceStudyInstanceUID", TEXT),
        ("SourceSeriesInstanceUID", TEXT),
        ("SourceModality", TEXT),
        ("SourceSubSeries", INTEGER),
        ("role", TEXT),
        ("attribute_path", TEXT),
        ("target_level", TEXT),
        ("target_uid", TEXT),
        ("instances", TEXTS),
        ("prefer", TEXT),
    ]
)
"""References as objects name them; internal: `references` are resolved from it.

`of_series` marks those that count only if `source_url` is the representative of its series.
"""

REFERENCES = pa.schema(
    [
        ("SourceSOPInstanceUID", TEXT),
        ("SourceSeriesInstanceUID", TEXT),
        ("SourceModality", TEXT),
        ("role", TEXT),
        ("attribute_path", TEXT),
        ("target_level", TEXT),
        ("target_uid", TEXT),
        ("TargetSeriesInstanceUID", TEXT),
        ("TargetModality", TEXT),
        ("resolution", TEXT),
        ("instance_total", INTEGER),
        ("instance_found", INTEGER),
    ]
)

CASES = pa.schema(
    [
        ("ProjectID", INTEGER),
        ("case", TEXT),
        ("files", INTEGER),
        ("instances", INTEGER),
        ("series", INTEGER),
        ("failures", INTEGER),
        ("bytes", INTEGER),
        ("skipped", INTEGER),
    ]
)

MANIFEST = pa.schema(
    [
        ("root", INTEGER),
        ("path", TEXT),
        ("location", pa.binary()),
        ("case", TEXT),
        ("size", INTEGER),
        ("modified", INTEGER),
        ("kind", TEXT),
        ("message", TEXT),
        ("etag", TEXT),
        ("piece", pa.int16()),
        ("pieces", pa.int16()),
        ("access", pa.binary()),
    ]
)
"""The listing; internal. `kind` is set where an entry is a failure before it is opened; `access` where
it is reached by more than its location, which is secret: sealed, and never kept.

A large archive is several rows, which differ in `piece` only: 0 for the first, and for any other
file, of which `pieces` is 1.
"""

READ = pa.schema(
    [
        *(field for field in MANIFEST if field.name not in ("root", "access")),
        pa.field("root", TEXT),
        pa.field("members", pa.int32()),
        pa.field("containers", pa.int32()),
        pa.field("key", pa.uint64()),
        pa.field("key_more", pa.uint64()),
        pa.field("facts", pa.uint64()),
    ]
)
"""The listing of a part, and what its archives held; internal: how a later run knows its files.

`root` is the name of the root here: its number is that of one run only.
"""

TEMPLATE = (
    "FileName",
    "PatientName",
    "PatientID",
    "StudyDate",
    "PatientBirthDate",
    "PatientAge",
    "PatientSex",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "Manufacturer",
    "Rows",
    "Columns",
    "ImageCount",
    "SeriesCount",
)
"""Columns of a case table after ProjectID: seed A's fixed template."""

CASE_ROWS = pa.schema(
    [
        ("ProjectID", INTEGER),
        ("case", TEXT),
        ("path", TEXT),
        ("Folder", TEXT),
        ("FileName", TEXT),
        ("PatientName", TEXT),
        ("PatientID", TEXT),
        ("StudyDate", DATE),
        ("PatientBirthDate", DATE),
        ("PatientAge", INTEGER),
        ("PatientSex", TEXT),
        ("StudyInstanceUID", TEXT),
        ("SeriesInstanceUID", TEXT),
        ("Modality", TEXT),
        ("Manufacturer", TEXT),
        ("Rows", INTEGER),
        ("Columns", INTEGER),
        ("ImageCount", INTEGER),
        ("SeriesCount", INTEGER),
    ]
)
"""Rows of the case tables with what they are sorted by; internal."""

VARYING = tuple(
    word
    for word in LIGHT
    if word in CRAWL_DB.names and word not in KEY and word != "AcquisitionNumber"
)
"""Attributes whose constancy over a series is judged: read of every instance, and in `crawl_db`."""


def stamped(schema: pa.Schema, package: str, settings: str) -> pa.Schema:
    """Return a schema with its version, the package's and the digest of the settings in it.

    Parameters
    ----------
    schema : pyarrow.Schema
        Of a table.
    package, settings : str
        Version of the package; digest of the settings that decide what the table holds.
    """
    metadata = {
        "dcmdask.schema_version": str(VERSION),
        "dcmdask.version": package,
        "dcmdask.settings": settings,
    }
    return schema.with_metadata(metadata)


def reading_digest(settings: Mapping[str, Any]) -> str:
    """Return the digest of all that decides what is read of a file.

    Parameters
    ----------
    settings : mapping
        Those of the run that do. The package and its columns are the rest: another release may read
        a value better, or keep its parts otherwise.
    """
    own = {"dcmdask": __version__, "schema": VERSION, "listing": READ.names, "seen": SEEN.names}
    return digest_of({**settings, **own})


def in_archive(rows: InstancesTable) -> Column:
    """Tell which instances are members of an archive, by their ``path`` and ``url``."""
    # Either may stand in the name of a file on disk.
    named, opened = pc.match_substring(rows["path"], "!"), pc.match_substring(rows["url"], "::")
    both: Column = pc.and_(named, opened)
    return both


def table_of(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Build a table of a declared schema from rows; absent columns are null."""
    listed = list(rows)
    columns = {name: [row.get(name) for row in listed] for name in schema.names}
    return pa.table(columns, schema=schema)
