"""Take one partition of the manifest; leave its part and give its summary. Knows no Dask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.config import ReadOptions
from dcmdask.dicom.charset import default_charset
from dcmdask.errors import DcmdaskError, ReaderError
from dcmdask.header.reader import read_headers
from dcmdask.source.archives.tar_names import with_urls
from dcmdask.source.fetch import Fetcher
from dcmdask.source.places import Roots
from dcmdask.source.watch import UNWATCHED, RowWatch
from dcmdask.state.fingerprint import NEVER, fingerprints
from dcmdask.state.folder import opened
from dcmdask.state.manifest import read_beside, read_manifest
from dcmdask.state.parts import write_part
from dcmdask.table_types import FailuresTable, InstancesTable, ManifestTable, ReadTable
from dcmdask.tables.arrow import values_of
from dcmdask.tables.schema import READ
from dcmdask.types import PASSING, REFUSED, Partition, PartitionSummary


def process_partition(
    partition: Partition, options: ReadOptions, watch: RowWatch = UNWATCHED
) -> PartitionSummary:
    """Read the headers of one partition and write its part.

    Parameters
    ----------
    partition : Partition
        What to read.
    options : ReadOptions
        How.
    watch : RowWatch
        Of whoever watches over this process.

    Raises
    ------
    OutputError
        The part cannot be written.
    ReaderError
        Something nobody foresaw, told by its class and place only.
    """
    manifest = read_manifest(partition, options.remote)
    fetcher = Fetcher(Roots(options.roots, options.containers, options.remote), watch)
    try:
        with default_charset(options.charset):
            beside = _read_beside(partition, options, watch)
            windows = fetcher.fetch(manifest)
            tables = read_headers(windows, desensitize=options.desensitize, beside=beside)
    except DcmdaskError:
        raise
    except Exception as error:
        # The one place: whatever it is, the supervisor finds the file that it costs.
        raise ReaderError(_where(error), no_memory=isinstance(error, MemoryError)) from error
    tables = with_urls(tables, fetcher.renamed)
    with opened(options.parts, options.remote, options.mirror) as folder:
        return write_part(
            folder,
            partition.position,
            tables,
            _read(manifest, options.roots, tables.failures, fetcher),
            options.settings,
            bytes_read=fetcher.tally.bytes_read,
            tried=manifest["kind"].null_count,
            refused=_refused(manifest, tables.failures, fetcher),
        )


def _read_beside(
    partition: Partition, options: ReadOptions, watch: RowWatch
) -> InstancesTable | None:
    """Return instances whose names are looked for in those of a partition, as they were read."""
    manifest = read_beside(partition, options.remote)
    if not manifest.num_rows:
        return None
    behind = watch.behind(partition.stop - partition.start)
    fetcher = Fetcher(Roots(options.roots, options.containers, options.remote), behind)
    return read_headers(fetcher.fetch(manifest), desensitize=False).instances


def _refused(manifest: ManifestTable, failures: FailuresTable, fetcher: Fetcher) -> int:
    """Count the files that failed because nothing could be had of them: here, by whoever reads."""
    kinds = pc.is_in(failures["kind"], value_set=pa.array(REFUSED, pa.string()))
    rows = pa.array(sorted(fetcher.refused), failures["row"].type)
    failed = failures.filter(pc.or_(kinds, pc.is_in(failures["row"], value_set=rows)))["row"]
    return int(manifest["kind"].take(pc.unique(failed)).null_count)


def _read(
    manifest: ManifestTable,
    roots: tuple[str, ...],
    failures: FailuresTable,
    fetcher: Fetcher,
) -> ReadTable:
    """Return `dcmdask.tables.schema.READ`: what a later run must know to read only what changed."""
    columns: dict[str, Any] = {name: manifest[name].to_pylist() for name in manifest.column_names}
    columns["root"] = [roots[number] for number in columns["root"]]
    prints = fingerprints(
        zip(*(columns[name] for name in ("root", "path", "case", "location")), strict=True),
        columns["size"],
        columns["modified"],
        list(zip(columns["kind"], columns["message"], strict=True)),
        columns["etag"],
        (columns["piece"], columns["pieces"]),
    )
    passing = failures.filter(pc.is_in(failures["kind"], value_set=pa.array(PASSING, pa.string())))
    again = fetcher.refused.union(values_of(passing["row"]))
    # What the listing itself says is seen again by listing again.
    prints.facts[sorted(row for row in again if columns["kind"][row] is None)] = NEVER
    counts = np.zeros((2, manifest.num_rows), np.int32)
    for row, held in fetcher.inside.items():
        counts[:, row] = held
    columns |= {
        "members": counts[0],
        "containers": counts[1],
        "key": prints.keys[:, 0],
        "key_more": prints.keys[:, 1],
        "facts": prints.facts,
    }
    return ReadTable(pa.table({name: columns[name] for name in READ.names}, READ))


def _where(error: Exception) -> str:
    """Name an unexpected error by its class and place: its words could quote a value."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    spot = f" at {trace.tb_frame.f_code.co_name}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{spot}"
