"""Take one partition of the manifest; leave its part files and give its summary. Knows no Dask."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from dcmdask._version import __version__
from dcmdask.config import ReadOptions
from dcmdask.errors import DcmdaskError, ReaderError
from dcmdask.header.reader import read_headers
from dcmdask.schema import INSTANCES, stamped
from dcmdask.source.fetch import Fetcher, Roots
from dcmdask.store import read_manifest, write_part
from dcmdask.types import HeaderTables, Partition, PartitionSummary

_COUNTERS = (
    "instances",
    "skips",
    "failures",
    "malformed_values",
    "cut_headers",
    "unidentified",
    "undescribed",
    "named_paths",
    "scanned",
)


def process_partition(partition: Partition, options: ReadOptions) -> PartitionSummary:
    """Read the headers of one partition and write its part.

    Raises
    ------
    OutputError
        The part cannot be written.
    ReaderError
        Something nobody foresaw, told by its class and place only.
    """
    manifest = read_manifest(partition)
    fetcher = Fetcher(Roots(options.roots))
    windows = fetcher.fetch(manifest)
    try:
        tables = read_headers(windows, desensitize=options.desensitize)
    except DcmdaskError:
        raise
    except Exception as error:
        # The one place: whatever it is, the supervisor finds the file that it costs.
        raise ReaderError(_where(error), no_memory=isinstance(error, MemoryError)) from error
    tally = fetcher.tally
    return _summary(
        partition,
        _write(partition, options, tables),
        tables,
        files=tally.files,
        members=tally.members,
        containers=tally.containers,
        bytes_listed=pc.sum(manifest["size"]).as_py() or 0,
        bytes_read=tally.bytes_read,
    )


def _write(partition: Partition, options: ReadOptions, tables: HeaderTables) -> str:
    schema = stamped(INSTANCES, __version__, options.settings)
    return write_part(options.staging, partition.number, tables, schema)


def _summary(
    partition: Partition, part: str, tables: HeaderTables, **seen: int
) -> PartitionSummary:
    counts = {name: tables.counts.get(name, 0) for name in _COUNTERS}
    return PartitionSummary(
        partition.number,
        part,
        **seen,
        **counts,
        series=_counted(tables.instances["SeriesInstanceUID"]),
        reasons=tables.reasons,
    )


def _counted(column: pa.ChunkedArray) -> dict[str, int]:
    counted = pc.value_counts(column.drop_null()).to_pylist()
    return {item["values"]: item["counts"] for item in counted}


def _where(error: Exception) -> str:
    """Name an unexpected error by its class and place: its words could quote a value."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    spot = f" at {trace.tb_frame.f_code.co_name}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{spot}"
