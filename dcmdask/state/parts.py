"""Take what was read of some files; keep it as a part, and give it back whole or piece by piece.

A part is all that a crawl knows of some lines of its listing: the lines, their instances, what
describes their series, what they refer to, what is not whole of them, and what failed. Its summary
is written last, with the size and check sum of every other file: without a summary that fits there
is no part.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dcmdask._version import __version__
from dcmdask.errors import CatalogError
from dcmdask.state.folder import (
    Folder,
    StoreFolder,
    fetch,
    file_of,
    home_of,
    keep,
    names_of,
    remove,
    size_of,
)
from dcmdask.system.modes import private_file, private_folder
from dcmdask.system.writing import writing
from dcmdask.table_types import InstancesTable, ReadTable
from dcmdask.tables.arrow import Column
from dcmdask.tables.schema import (
    DESCRIBED,
    FAILURES,
    INSTANCES,
    NAMED,
    NOTED,
    READ,
    ROW,
    SEEN,
    stamped,
)
from dcmdask.types import PRIVATE, SKIPS, HeaderTables, PartitionSummary, Piece

_SUMMARY = "json"
_INSTANCES = "parquet"
_KINDS = {
    "read": READ,
    "seen": SEEN,
    "described": DESCRIBED.append(ROW),
    "references": NAMED.append(ROW),
    "failures": FAILURES.append(ROW),
    "notes": NOTED.append(ROW),
}
"""Tables of a part beside its instances, each an Arrow IPC file."""

_OWN = re.compile(r"\d{10,}-[0-9a-f]{8}\.")
"""Begins the name of every file of a part."""

_BLOCK = 1 << 20


def write_part(
    folder: Folder,
    position: int,
    tables: HeaderTables,
    read: ReadTable,
    reading: str,
    *,
    bytes_read: int = 0,
    tried: int = 0,
    refused: int = 0,
) -> PartitionSummary:
    """Write a part, and last its summary.

    Parameters
    ----------
    folder : Folder
        Where parts are.
    position : int
        Of its first row in the listing.
    tables : HeaderTables
        What was read.
    read : pyarrow.Table
        `dcmdask.tables.schema.READ` of all that the part answers for.
    reading : str
        Digest of the settings that it was read with.
    bytes_read : int
        Bytes fetched for it in this run.
    tried, refused : int
        Rows that were opened in this run, and those of which that failed for a reason of access.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    # Another stem at every attempt: a task that was given up and lives on cannot touch the part of
    # the one that took its place.
    stem = f"{position:010d}-{secrets.token_hex(4)}"
    summary = _summary(stem, position, tables, read)
    summary = replace(summary, bytes_read=bytes_read, tried=tried, refused=refused)
    # Instances are written as they will be published.
    schema = stamped(INSTANCES, __version__, reading)
    home = home_of(folder)
    with writing(home):
        written = []
        if tables.instances.num_rows:
            path = private_file(home / _name(stem, _INSTANCES))
            pq.write_table(tables.instances.cast(schema), path, compression="zstd")
            written.append(_INSTANCES)
        for kind in _KINDS:
            table: pa.Table = read if kind == "read" else getattr(tables, kind)
            if table.num_rows:
                _write_ipc(table, home / _name(stem, kind))
                written.append(kind)
        checks = {kind: check_of(home / _name(stem, kind)) for kind in written}
        _write_summary(home, summary, reading, checks)
    keep(folder, [_name(stem, kind) for kind in written])
    keep(folder, [_name(stem, _SUMMARY)])
    return summary


def _name(stem: str, kind: str) -> str:
    return f"{stem}.{kind}" if kind in (_INSTANCES, _SUMMARY) else f"{stem}.{kind}.arrow"


def _path(folder: Folder, stem: str, kind: str) -> Path:
    return file_of(folder, _name(stem, kind))


def _summary(stem: str, position: int, tables: HeaderTables, read: ReadTable) -> PartitionSummary:
    def total(column: Column) -> int:
        return int(pc.sum(column).as_py() or 0)

    skips = total(pc.is_in(tables.failures["kind"], value_set=pa.array(SKIPS, pa.string())))
    return PartitionSummary(
        stem,
        position,
        rows=read.num_rows,
        files=total(pc.equal(read["piece"], 0)),
        members=total(read["members"]),
        containers=total(read["containers"]),
        instances=tables.instances.num_rows,
        skips=skips,
        failures=tables.failures.num_rows - skips,
        bytes_listed=total(read["size"]) - _bytes_elsewhere(read),
        scanned=tables.scanned,
        reasons=tables.reasons,
    )


def _bytes_elsewhere(read: ReadTable) -> int:
    """Return what of the size of archives is that of their other pieces."""
    cut = read.filter(pc.greater(read["pieces"], 1)).select(["size", "piece", "pieces"]).to_pylist()
    return sum(row["size"] - Piece(row["piece"], row["pieces"]).share(row["size"]) for row in cut)


def _write_ipc(table: pa.Table, path: Path) -> None:
    # Paths repeat themselves: a fifth of the bytes, for a millisecond a part.
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with (
        pa.OSFile(str(private_file(path)), "wb") as sink,
        pa.ipc.new_file(sink, table.schema, options=options) as writer,
    ):
        writer.write_table(table)


def check_of(path: Path) -> list[int]:
    """Return size and check sum (CRC-32) of a file."""
    size = check = 0
    with open(path, "rb") as stream:
        while block := stream.read(_BLOCK):
            size += len(block)
            check = zlib.crc32(block, check)
    return [size, check]


def _write_summary(
    home: Path, summary: PartitionSummary, reading: str, checks: dict[str, list[int]]
) -> None:
    path = home / _name(summary.part, _SUMMARY)
    fresh = path.with_suffix(".new")
    said = {"summary": asdict(summary), "reading": reading, "files": checks}
    private_file(fresh).write_text(json.dumps(said), encoding="utf-8")
    os.replace(fresh, path)


def read_summary(
    folder: Folder, stem: str, reading: str, *, thorough: bool
) -> PartitionSummary | None:
    """Return the summary of a part; None where the part is not whole, or was read otherwise.

    Parameters
    ----------
    folder : Folder
        Where parts are.
    stem : str
        Of the part.
    reading : str
        Digest of the settings that it must have been read with: a task of a run that was ended may
        live on somewhere and leave its part later.
    thorough : bool
        Whether contents are read and checked; otherwise sizes are. What a killed run or a machine
        that went down left behind may have its size and not its bytes.
    """
    try:
        said = json.loads(_path(folder, stem, _SUMMARY).read_text(encoding="utf-8"))
        if said["reading"] != reading:
            return None
        for kind, (size, check) in said["files"].items():
            if size_of(folder, _name(stem, kind)) != size:
                return None
            if thorough and check_of(_path(folder, stem, kind)) != [size, check]:
                return None
        return PartitionSummary(**said["summary"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def list_stems(folder: Folder) -> list[str]:
    """Return the parts in a folder that have a summary, in order of names."""
    names = (name for name in names_of(folder) if name.endswith(f".{_SUMMARY}"))
    return sorted(name.removesuffix(f".{_SUMMARY}") for name in names if _OWN.match(name))


def remove_others(folder: Folder, kept: Iterable[str]) -> None:
    """Remove what is in a folder of parts and of no part that is kept; a foreign file stays."""
    stems = set(kept)
    own = (name for name in names_of(folder) if _OWN.match(name))
    remove(folder, (name for name in own if name.partition(".")[0] not in stems))


def remove_parts(folder: Folder, stems: Iterable[str]) -> None:
    """Remove some parts, their summaries first."""
    gone = list(stems)
    remove(folder, [_name(stem, _SUMMARY) for stem in gone])
    remove(folder, [_name(stem, kind) for stem in gone for kind in (_INSTANCES, *_KINDS)])


def fetch_summaries(folder: Folder, stems: Iterable[str]) -> None:
    """Begin to fetch the summaries of some parts: they will be asked for one after the other."""
    fetch(folder, (_name(stem, _SUMMARY) for stem in stems))


def fetch_tables(folder: Folder, stems: Iterable[str], kind: str) -> None:
    """Begin to fetch a table of some parts: it will be asked for part by part."""
    fetch(folder, (_name(stem, kind) for stem in stems))


def names_of_part(stem: str) -> tuple[list[str], str]:
    """Return the names of the files that a part may have, and that of its summary."""
    return [_name(stem, kind) for kind in (_INSTANCES, *_KINDS)], _name(stem, _SUMMARY)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a crawl.

    Attributes
    ----------
    folder : Folder
        Where they are.
    stems : tuple of str
        Of their files, in order.
    """

    folder: Folder
    stems: tuple[str, ...]

    def fetch(self) -> None:
        """Begin to fetch all that a catalog is made of: it will be asked for file by file."""
        kinds = ("references", _INSTANCES, "described", "failures", "notes", "read")
        fetch(self.folder, (_name(stem, kind) for kind in kinds for stem in self.stems))

    def instance_names(self) -> list[str]:
        """Return the names of the files of instances, in order of parts."""
        names = (_name(stem, _INSTANCES) for stem in self.stems)
        return [name for name in names if size_of(self.folder, name) is not None]

    def instance_files(self) -> list[Path]:
        """Return the files of instances, in order of parts."""
        return [file_of(self.folder, name) for name in self.instance_names()]

    def instance_checks(self) -> list[list[int]]:
        """Return size and checksum of the files of instances, in order, as they were written."""
        found = []
        for name in self.instance_names():
            stem = name.partition(".")[0]
            said = json.loads(_path(self.folder, stem, _SUMMARY).read_text(encoding="utf-8"))
            found.append(list(said["files"][_INSTANCES]))
        return found

    def publish_instances(self, staged: Path) -> list[str]:
        """Put the instances into a folder under the names they are published by; give the names.

        The same file under another name where the file system has that, else a copy: the next run
        needs the part as it is.
        """
        files = self.instance_files()
        names = [f"part-{number:05d}.parquet" for number in range(len(files))]
        with writing(staged):
            if files:
                private_folder(staged)
            for path, name in zip(files, names, strict=True):
                _link(path, staged / name)
        return names

    def instance_batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield some columns of all instances, piece by piece."""
        for name in self.instance_names():
            with _reading(self.folder), pq.ParquetFile(file_of(self.folder, name)) as file:
                yield from file.iter_batches(columns=list(columns))

    def batches(self, kind: str) -> Iterator[pa.RecordBatch]:
        """Yield ``described``, ``references``, ``failures`` or ``notes`` of parts, in pieces."""
        names = [name for name in _KINDS[kind].names if name != ROW.name]
        for stem in self.stems:
            yield from read_part(self.folder, stem, kind, names).to_batches()


def read_part(
    folder: Folder, stem: str, kind: str, columns: Sequence[str] | None = None
) -> pa.Table:
    """Return a table of one part, or some of its columns.

    Parameters
    ----------
    folder, stem : Folder, str
        Of the part.
    kind : str
        ``read``, ``seen``, ``described``, ``references``, ``failures`` or ``notes``.
    columns : sequence of str or None
        Which; None for all.

    Raises
    ------
    CatalogError
        It is damaged.
    """
    schema = _KINDS[kind]
    chosen = schema.names if columns is None else list(columns)
    path = _path(folder, stem, kind)
    if not path.exists():
        return schema.empty_table().select(chosen)
    fields = sorted(schema.get_field_index(name) for name in chosen)
    options = pa.ipc.IpcReadOptions(included_fields=fields)
    with (
        _reading(folder),
        pa.memory_map(str(path)) as source,
        pa.ipc.open_file(source, options=options) as reader,
    ):
        return reader.read_all().select(chosen)


@contextmanager
def _reading(folder: Folder) -> Iterator[None]:
    """Turn what a damaged part makes Arrow say into one line with its remedy."""
    try:
        yield
    except (OSError, pa.ArrowInvalid) as error:
        words = f"a part in {PRIVATE} is damaged"
        raise CatalogError(_output_of(folder), words, "run again with --full") from error


def _output_of(folder: Folder) -> str:
    if isinstance(folder, StoreFolder):
        return folder.url.rpartition(f"/{PRIVATE}/")[0] or folder.url
    return str(folder.parent.parent)


def read_part_instances(
    folder: Folder, stem: str, columns: Sequence[str] | None = None
) -> InstancesTable:
    """Return the instances of one part, or some of their columns."""
    chosen = INSTANCES.names if columns is None else list(columns)
    path = _path(folder, stem, _INSTANCES)
    if not path.exists():
        return InstancesTable(INSTANCES.empty_table().select(chosen))
    with _reading(folder), pq.ParquetFile(path) as file:
        table = file.read(columns=chosen).select(chosen).replace_schema_metadata()
        return InstancesTable(table)


def _link(path: Path, name: Path) -> None:
    try:
        os.link(path, name)
    except OSError:
        shutil.copyfile(path, name)
