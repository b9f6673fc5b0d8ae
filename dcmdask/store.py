"""Take tables and bytes; keep them in the output folder: manifest, parts, staging, publishing.

Everything is written under ``OUT/.dcmdask`` and moved into place at the end, ``catalog.json`` last.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import pyarrow as pa
import pyarrow.dataset as pds
import pyarrow.feather
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from dcmdask.errors import CatalogError, LockedError, OutputError
from dcmdask.schema import DESCRIBED, FAILURES, INSTANCES, MANIFEST, NAMED
from dcmdask.types import HeaderTables, Partition

CATALOG = "catalog.json"
PRIVATE = ".dcmdask"
PIECE_ROWS = 50_000
"""Manifest rows of one piece: what the driver holds of a listing."""

_BATCH_ROWS = 1_000
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_KINDS = {"described": DESCRIBED, "references": NAMED, "failures": FAILURES}


@contextmanager
def writing(place: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what the system says of a write into an `OutputError` with its remedy."""
    try:
        yield
    except (OSError, pa.ArrowInvalid) as error:
        raise _output_error(os.fspath(place), error) from error


def _output_error(place: str, error: Exception) -> OutputError:
    number = getattr(error, "errno", None)
    if number in _FULL or "No space left" in str(error) or "File too large" in str(error):
        return OutputError(place, "no space left", "free some, or choose another --out")
    if isinstance(error, PermissionError) or number == errno.EROFS:
        return OutputError(place, "no permission to write", "choose another --out")
    reason = getattr(error, "strerror", None) or type(error).__name__
    return OutputError(place, reason, "choose another --out")


class Store:
    """The output folder of a run.

    Parameters
    ----------
    out : pathlib.Path
        The folder; made if it is not there.

    Notes
    -----
    Use it as a context: entering takes the lock and clears what an earlier run left unfinished,
    leaving drops the staging area.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.private = out / PRIVATE
        self.staging = self.private / "staging"
        self._lock = FileLock(self.private / "lock")
        self._holder = self.private / "holder.json"

    def __enter__(self) -> Self:
        with writing(self.out):
            self.private.mkdir(parents=True, exist_ok=True)
        try:
            with writing(self.out):
                self._lock.acquire(blocking=False)
        except Timeout as error:
            raise LockedError(str(self.out), self._who(), "wait for it, or end it") from error
        try:
            with writing(self.out):
                self._holder.write_text(
                    json.dumps({"pid": os.getpid(), "host": socket.gethostname()})
                )
                self._restore()
                shutil.rmtree(self.staging, ignore_errors=True)
                for folder in ("manifest", "parts", "publish"):
                    (self.staging / folder).mkdir(parents=True)
        except OutputError:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        shutil.rmtree(self.staging, ignore_errors=True)
        self._holder.unlink(missing_ok=True)
        self._lock.release()
        if not (self.out / CATALOG).exists():
            self._leave_no_trace()

    def _leave_no_trace(self) -> None:
        """Remove what a run without a result made: its private folder, and OUT if it is empty."""
        shutil.rmtree(self.private, ignore_errors=True)
        try:
            self.out.rmdir()
        except OSError:
            return

    def _who(self) -> str:
        try:
            holder = json.loads(self._holder.read_text())
            return f"process {holder['pid']} on {holder['host']} writes there now"
        except (OSError, ValueError, KeyError):
            return "another run writes there now"

    # -- staging ---------------------------------------------------------------------------------

    def piece_writer(self) -> PieceWriter:
        """Give a writer for the manifest of this run."""
        return PieceWriter(self.staging / "manifest")

    def staged(self, name: str) -> Path:
        """Give the path under which an output is prepared; its folder exists."""
        path = self.staging / "publish" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write_table(self, name: str, table: pa.Table) -> None:
        """Prepare one Parquet table."""
        path = self.staged(name)
        with writing(path):
            pq.write_table(table, path, compression="zstd")

    @contextmanager
    def open_output(self, name: str) -> Iterator[BinaryIO]:
        """Open one file to be prepared."""
        path = self.staged(name)
        with writing(path), open(path, "wb") as stream:
            yield stream

    # -- publishing ------------------------------------------------------------------------------

    def publish(self, catalog: dict[str, Any], replaced: Sequence[str]) -> None:
        """Put what is prepared into its place, the catalog file last.

        Parameters
        ----------
        catalog : dict
            Content of ``catalog.json``.
        replaced : sequence of str
            Names in OUT that this run answers for: what stood there goes, prepared anew or not.

        Raises
        ------
        OutputError
            A file cannot be put in its place; the previous catalog stands again.
        """
        prepared = self.staging / "publish"
        previous = self.private / "previous"
        with self.open_output(CATALOG) as stream:
            stream.write(json.dumps(catalog, indent=2, ensure_ascii=False).encode() + b"\n")
        with writing(self.out):
            shutil.rmtree(previous, ignore_errors=True)
            previous.mkdir()
            moves = sorted(entry.name for entry in prepared.iterdir() if entry.name != CATALOG)
            try:
                for name in (CATALOG, *sorted({*replaced, *moves})):
                    if (self.out / name).exists():
                        os.replace(self.out / name, previous / name)
                for name in (*moves, CATALOG):
                    os.replace(prepared / name, self.out / name)
            except OSError:
                for name in moves:
                    if (self.out / name).exists() and not (prepared / name).exists():
                        os.replace(self.out / name, prepared / name)
                self._restore()
                raise
            shutil.rmtree(previous, ignore_errors=True)

    def _restore(self) -> None:
        """Put back a catalog that was set aside by a publishing that did not end."""
        previous = self.private / "previous"
        if previous.is_dir() and not (self.out / CATALOG).exists():
            names = sorted(entry.name for entry in previous.iterdir() if entry.name != CATALOG)
            for name in names:
                _remove(self.out / name)
                os.replace(previous / name, self.out / name)
            if (previous / CATALOG).exists():
                os.replace(previous / CATALOG, self.out / CATALOG)
        shutil.rmtree(previous, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class PieceWriter:
    """Writes the manifest in pieces, so that no more than one of them is held.

    Parameters
    ----------
    folder : pathlib.Path
        Where pieces go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: list[tuple[Any, ...]] = []
        self._pieces = 0

    def add(self, row: tuple[Any, ...]) -> tuple[str, int]:
        """Add one row; give its piece and its position there."""
        spot = (str(self._path()), len(self._rows))
        self._rows.append(row)
        if len(self._rows) == PIECE_ROWS:
            self.flush()
        return spot

    def flush(self) -> None:
        """Write what is held."""
        if not self._rows:
            return
        path = self._path()
        columns = dict(zip(MANIFEST.names, zip(*self._rows, strict=True), strict=True))
        table = pa.table({name: list(c) for name, c in columns.items()}, schema=MANIFEST)
        with (
            writing(path),
            pa.OSFile(str(path), "wb") as sink,
            pa.ipc.new_file(sink, MANIFEST) as writer,
        ):
            writer.write_table(table, max_chunksize=_BATCH_ROWS)
        self._rows = []
        self._pieces += 1

    def _path(self) -> Path:
        return self._folder / f"{self._pieces:05d}.arrow"


def read_manifest(partition: Partition) -> pa.Table:
    """Give the manifest rows of a partition; reads only the batches that hold them."""
    first, last = partition.start // _BATCH_ROWS, (partition.stop - 1) // _BATCH_ROWS
    with pa.memory_map(partition.piece) as source, pa.ipc.open_file(source) as reader:
        batches = [reader.get_batch(number) for number in range(first, last + 1)]
        table = pa.Table.from_batches(batches, schema=MANIFEST)
        begin = first * _BATCH_ROWS
        return table.slice(partition.start - begin, partition.stop - partition.start)


def write_part(staging: str, number: int, tables: HeaderTables, schema: pa.Schema) -> str:
    """Write the tables of one partition; give the stem that names them.

    Instances are written as they will be published, under the stamped `schema`.

    The stem differs at every attempt, so that a task that was given up and lives on cannot touch
    the part of the one that took its place.
    """
    stem = f"{number:07d}-{secrets.token_hex(4)}"
    folder = Path(staging) / "parts"
    with writing(folder):
        if tables.instances.num_rows:
            instances = tables.instances.cast(schema)
            pq.write_table(instances, folder / f"{stem}.parquet", compression="zstd")
        for name in _KINDS:
            table: pa.Table = getattr(tables, name)
            if table.num_rows:
                _write_ipc(table, folder / f"{stem}.{name}.arrow")
    return stem


def _write_ipc(table: pa.Table, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that a run's partitions left.

    Attributes
    ----------
    folder : pathlib.Path
        Where they are.
    stems : tuple of str
        Of the parts that count, in order of partitions.
    """

    folder: Path
    stems: tuple[str, ...]

    def instance_files(self) -> list[Path]:
        """Give the Parquet files of instances, in order of partitions."""
        paths = (self.folder / f"{stem}.parquet" for stem in self.stems)
        return [path for path in paths if path.exists()]

    def publish_instances(self, store: Store) -> int:
        """Put the parts of instances under the names they are published by; count them."""
        files = self.instance_files()
        with writing(store.out):
            for number, path in enumerate(files):
                os.replace(path, store.staged(f"instances/part-{number:05d}.parquet"))
        return len(files)

    def instances(self, columns: Sequence[str], where: pds.Expression | None = None) -> pa.Table:
        """Give some columns of the instances, of those rows that fit."""
        files = self.instance_files()
        if not files:
            return INSTANCES.empty_table().select(list(columns))
        data = pds.dataset([str(path) for path in files], schema=INSTANCES, format="parquet")
        return data.to_table(columns=list(columns), filter=where)

    def instance_batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Give some columns of all instances, piece by piece."""
        for path in self.instance_files():
            with pq.ParquetFile(path) as file:
                yield from file.iter_batches(columns=list(columns))

    def read(self, name: str) -> pa.Table:
        """Give one of ``described``, ``references``, ``failures`` of all parts."""
        schema = _KINDS[name]
        tables = [schema.empty_table()]
        for stem in self.stems:
            path = self.folder / f"{stem}.{name}.arrow"
            if path.exists():
                with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
                    tables.append(reader.read_all())
        return pa.concat_tables(tables)


def read_catalog_file(out: Path) -> dict[str, Any]:
    """Give the content of ``catalog.json``.

    Raises
    ------
    CatalogError
        There is none, or it is no JSON object.
    """
    path = out / CATALOG
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CatalogError(str(out), "no catalog.json there", "name the --out of a run") from error
    except (OSError, ValueError) as error:
        raise CatalogError(str(out), "catalog.json cannot be read", "run again") from error
    if not isinstance(content, dict):
        raise CatalogError(str(out), "catalog.json is no JSON object", "run again")
    return content
