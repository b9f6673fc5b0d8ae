"""Which table it is, in signatures: a name for each table that is declared, for type checkers.

At run time each is a `pyarrow.Table`. A name says which rows stand there, and of which schema the
columns are: all of them, or those that the function's text asks for; tables of a partition have
``row`` beside them. What `filter`, `take`, `select` and `sort_by` give bears the name of what it was
taken from; where a table is made, or comes out of a stream, it is given one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    import pyarrow as pa

InstancesTable = NewType("InstancesTable", "pa.Table")
"""`dcmdask.tables.schema.INSTANCES`."""

SeenTable = NewType("SeenTable", "pa.Table")
"""`dcmdask.tables.schema.SEEN`."""

DescribedTable = NewType("DescribedTable", "pa.Table")
"""`dcmdask.tables.schema.DESCRIBED`."""

NamedTable = NewType("NamedTable", "pa.Table")
"""`dcmdask.tables.schema.NAMED`."""

FailuresTable = NewType("FailuresTable", "pa.Table")
"""`dcmdask.tables.schema.FAILURES`."""

NotedTable = NewType("NotedTable", "pa.Table")
"""`dcmdask.tables.schema.NOTED`."""

NotesTable = NewType("NotesTable", "pa.Table")
"""`dcmdask.tables.schema.NOTES`."""

ManifestTable = NewType("ManifestTable", "pa.Table")
"""`dcmdask.tables.schema.MANIFEST`."""

ReadTable = NewType("ReadTable", "pa.Table")
"""`dcmdask.tables.schema.READ`."""

MergedTable = NewType("MergedTable", "pa.Table")
"""`dcmdask.tables.series.MERGED`."""

WholeTable = NewType("WholeTable", "pa.Table")
"""`dcmdask.tables.series.WHOLE`."""

SeriesTable = NewType("SeriesTable", "pa.Table")
"""`dcmdask.tables.series.WHOLE`, and what the series refer to."""

CrawlDbTable = NewType("CrawlDbTable", "pa.Table")
"""`dcmdask.tables.schema.CRAWL_DB`."""

IndexTable = NewType("IndexTable", "pa.Table")
"""`dcmdask.tables.schema.INDEX`."""

IndexRowsTable = NewType("IndexRowsTable", "pa.Table")
"""`dcmdask.formats.imgtools.INDEX_ROWS`."""

NumberedTable = NewType("NumberedTable", "pa.Table")
"""`dcmdask.tables.references.NUMBERED`."""

ListedTable = NewType("ListedTable", "pa.Table")
"""`dcmdask.tables.references.LISTED`."""

FoundTable = NewType("FoundTable", "pa.Table")
"""`dcmdask.tables.references.FOUND`."""

ResolvedTable = NewType("ResolvedTable", "pa.Table")
"""`dcmdask.tables.schema.REFERENCES`, and what only the index needs of the source."""

ReferencesTable = NewType("ReferencesTable", "pa.Table")
"""`dcmdask.tables.schema.REFERENCES`."""

CasesTable = NewType("CasesTable", "pa.Table")
"""`dcmdask.tables.schema.CASES`."""

CaseRowsTable = NewType("CaseRowsTable", "pa.Table")
"""`dcmdask.tables.schema.CASE_ROWS`."""

FirstsTable = NewType("FirstsTable", "pa.Table")
"""`dcmdask.tables.cases.FIRSTS`."""

CaseSeriesTable = NewType("CaseSeriesTable", "pa.Table")
"""`dcmdask.tables.cases.SERIES`."""

CountsTable = NewType("CountsTable", "pa.Table")
"""`dcmdask.tables.cases.COUNTS`."""
