"""Take tables and bytes; keep them in the output folder: manifest, parts, staging, publishing.

Everything is written under ``OUT/.dcmdask`` and moved into place at the end, ``catalog.json`` last.
Of a run that was ended on the way nothing stays, or the next one undoes it.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from dcmdask.errors import CatalogError, LockedError, OutputError
from dcmdask.schema import DESCRIBED, FAILURES, INSTANCES, MANIFEST, NAMED
from dcmdask.types import PRIVATE, HeaderTables, Partition

CATALOG = "catalog.json"
FOLDERS = ("cases", "instances")
"""Folders of a catalog: such a one in an OUT without a catalog is the user's, and is not touched."""

PIECE_ROWS = 4_096
"""Manifest rows after which a piece is written, where the next partition ends: what the driver holds
of a listing, and what a reader waits for."""

_BATCH_ROWS = 1_000
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_KINDS = {"described": DESCRIBED, "references": NAMED, "failures": FAILURES}


@contextmanager
def writing(place: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what the system says of a write into an `OutputError` with its remedy."""
    try:
        yield
    except (OSError, UnicodeEncodeError, pa.ArrowInvalid) as error:
        raise _output_error(os.fspath(place), error) from error


def _output_error(place: str, error: Exception) -> OutputError:
    number = getattr(error, "errno", None)
    if number in _FULL or "No space left" in str(error) or "File too large" in str(error):
        return OutputError(place, "no space left", "free some, or choose another --out")
    if isinstance(error, PermissionError) or number == errno.EROFS:
        return OutputError(place, "no permission to write", "choose another --out")
    if isinstance(error, UnicodeEncodeError):
        return OutputError(place, "its name is no valid text", "choose another --out")
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
        self._prepared = self.staging / "publish"
        self._previous = self.private / "previous"
        self._moves = self.private / "moves.json"
        self._lock = FileLock(self.private / "lock")
        self._holder = self.private / "holder.json"
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        try:
            with writing(self.out):
                os.fspath(self.out).encode()
                ways = (self.private, *self.private.parents)
                self._made = [path for path in ways if not path.exists()]
                self.private.mkdir(parents=True, exist_ok=True)
            self._take_lock()
        except BaseException:
            self._remove_made()
            raise
        try:
            with writing(self.out):
                self._begin()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self._leave()

    def _take_lock(self) -> None:
        try:
            self._lock.acquire(blocking=False)
        except Timeout as error:
            # Before OSError, of which it is one.
            raise LockedError(str(self.out), self._who(), "wait for it, or end it") from error
        except OSError as error:
            raise _output_error(str(self.out), error) from error
        except NotImplementedError as error:
            reason = "its file system knows no locks"
            raise OutputError(str(self.out), reason, "choose another --out") from error

    def _begin(self) -> None:
        holder = {"pid": os.getpid(), "host": socket.gethostname()}
        self._holder.write_text(json.dumps(holder))
        self._undo_publishing()
        if not (self.out / CATALOG).exists():
            for name in FOLDERS:
                if (self.out / name).exists():
                    words = "it is there and no run made it"
                    remedy = "choose another --out, or move it away"
                    raise OutputError(str(self.out / name), words, remedy)
        shutil.rmtree(self.staging, ignore_errors=True)
        for folder in ("manifest", "parts", "publish"):
            (self.staging / folder).mkdir(parents=True)

    def _leave(self) -> None:
        """Leave what is published and nothing else; let go of the lock last."""
        with suppress(OSError):
            # Where this fails, what was set aside stays, and the next run does it again.
            self._undo_publishing()
            shutil.rmtree(self.staging, ignore_errors=True)
            self._holder.unlink(missing_ok=True)
        empty = not (self.out / CATALOG).exists() and not self._previous.exists()
        if empty:
            shutil.rmtree(self.private, ignore_errors=True)
        self._lock.release()
        if empty:
            self._remove_made()

    def _remove_made(self) -> None:
        """Remove the folders that entering made, as far as nothing lies in them."""
        for path in dict.fromkeys((self.private, *self._made)):
            with suppress(OSError):
                path.rmdir()

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
        path = self._prepared / name
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
        text = json.dumps(catalog, indent=2, ensure_ascii=False) + "\n"
        with self.open_output(CATALOG) as stream:
            # A path that is no UTF-8 has surrogates in it; written so, they are JSON.
            stream.write(text.encode("utf-8", "backslashreplace"))
        with writing(self.out):
            shutil.rmtree(self._previous, ignore_errors=True)
            self._previous.mkdir()
            moves = sorted(e.name for e in self._prepared.iterdir() if e.name != CATALOG)
            self._moves.write_text(json.dumps(moves))
            try:
                for name in (CATALOG, *sorted({*replaced, *moves})):
                    if (self.out / name).exists():
                        os.replace(self.out / name, self._previous / name)
                for name in (*moves, CATALOG):
                    os.replace(self._prepared / name, self.out / name)
            except BaseException:
                # An interrupt too: what was set aside is the only catalog there is.
                self._undo_publishing()
                raise
            self._undo_publishing()

    def _undo_publishing(self) -> None:
        """Undo a publishing that did not end, or drop what one that did had set aside.

        The catalog file is the first that is set aside and the last that is put in place: where it
        stands, either nothing has moved or everything. Done twice, or over again after a crash half
        way, it comes to the same.
        """
        if self._moves.exists() and not (self.out / CATALOG).exists():
            self._prepared.mkdir(parents=True, exist_ok=True)
            for name in self._moved_names():
                # What is no longer prepared was put in place; the rest of OUT is not of this run.
                if (self.out / name).exists() and not (self._prepared / name).exists():
                    os.replace(self.out / name, self._prepared / name)
            if self._previous.is_dir():
                names = sorted(entry.name for entry in self._previous.iterdir())
                for name in sorted(names, key=lambda name: name == CATALOG):
                    os.replace(self._previous / name, self.out / name)
        shutil.rmtree(self._previous, ignore_errors=True)
        self._moves.unlink(missing_ok=True)

    def _moved_names(self) -> list[str]:
        try:
            return [str(name) for name in json.loads(self._moves.read_text())]
        except ValueError:  # the machine went down before it was on disk, so nothing had moved
            return []


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

    @property
    def rows(self) -> int:
        """Rows that are held."""
        return len(self._rows)

    def add(self, row: tuple[Any, ...]) -> None:
        """Add one row of `dcmdask.schema.MANIFEST`."""
        self._rows.append(row)

    def flush(self) -> Path:
        """Write what is held as a piece; give its path."""
        path = self._folder / f"{self._pieces:05d}.arrow"
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
        return path


def read_manifest(partition: Partition) -> pa.Table:
    """Give the manifest rows of a partition; reads only the batches that hold them.

    Raises
    ------
    OutputError
        The manifest is not there: on a cluster, where OUT is not seen by every worker.
    """
    if not os.path.exists(partition.piece):
        remedy = "OUT must lie where every worker sees it, and stay until the run ends"
        raise OutputError(partition.piece, "the manifest is not there", remedy)
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

    def instances(self, columns: Sequence[str], where: pc.Expression | None = None) -> pa.Table:
        """Give some columns of the instances, of those rows that fit."""
        # Imported where it is used: most crawls hold their instances, and start the sooner.
        import pyarrow.dataset as pds

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

    def batches(self, name: str) -> Iterator[pa.RecordBatch]:
        """Give one of ``described``, ``references``, ``failures`` of all parts, piece by piece."""
        for stem in self.stems:
            path = self.folder / f"{stem}.{name}.arrow"
            if path.exists():
                with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
                    yield from map(reader.get_batch, range(reader.num_record_batches))

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
