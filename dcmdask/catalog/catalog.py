"""Take an output, a folder or a URL; give its tables as Arrow."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from dcmdask.config import RunOptions
from dcmdask.errors import CatalogError
from dcmdask.formats.imgtools import index_rows
from dcmdask.publish.output import FolderOutput, open_output
from dcmdask.publish.ownership import Altered, altered_files, altered_objects
from dcmdask.remote.address import is_url
from dcmdask.remote.credentials import no_secrets_in_errors, parted, storage_of
from dcmdask.system import scratch
from dcmdask.table_types import IndexTable
from dcmdask.tables.schema import INDEX, INSTANCES

if TYPE_CHECKING:
    import pyarrow.dataset as pds


class Catalog:
    """A published catalog.

    Parameters
    ----------
    out : str or pathlib.Path
        Output of a run: a folder, or the URL of one.
    storage_option : iterable of str
        ``KEY=VALUE``: how a store is reached.

    Raises
    ------
    CatalogError
        There is none.

    Attributes
    ----------
    out : pathlib.Path or str
        The folder, or its URL.
    run : dict
        Content of ``catalog.json``.
    """

    def __init__(self, out: str | Path, storage_option: Iterable[str] = ()) -> None:
        said = tuple(storage_option)
        if isinstance(out, str) and is_url(out):
            found = parted(out)
            out, said = found.url, (*said, *storage_of(found))
        self._options = RunOptions(storage_option=said).remote
        with no_secrets_in_errors():
            self._output = open_output(out, self._options, partial(scratch.make_for, self))
            self._open()

    def _open(self) -> None:
        here = self._output
        self.out: Path | str = here.out if isinstance(here, FolderOutput) else here.place
        self.run: dict[str, Any] = self._output.read_catalog()
        self._state = self.run.get("state")

    def __repr__(self) -> str:
        counts = self.run.get("counts", {})
        return (
            f"<Catalog {self.out}: {counts.get('instances', 0)} instances, "
            f"{counts.get('series', 0)} series>"
        )

    @property
    def instances(self) -> pds.Dataset:
        """All instances; a dataset, as they may be many: ``.to_table()`` loads them."""
        import pyarrow.dataset as pds

        names = self.run.get("instances", [])
        if not names:
            return pds.dataset(INSTANCES.empty_table())
        files, system = self._output.locate(names)
        return pds.dataset(files, format="parquet", filesystem=system)

    @property
    def crawl_db(self) -> pa.Table:
        """A row a series, with its modality's metadata."""
        return self._table("crawl_db")

    @property
    def index(self) -> pa.Table:
        """A row a series, or a series and one it refers to: the rows of index.csv.

        Med-ImageTools' Interlacer takes it: ``Interlacer(catalog.index.to_pandas())``. It takes no
        lists and no two rows that differ in SubSeries only, so that this is ``index.parquet`` with
        its acquisitions put together and a row a target. Single acquisitions are in `crawl_db`.
        """
        table = self._table("index")
        if not set(INDEX.names) <= set(table.column_names):
            words = "index.parquet is of an earlier release"
            raise CatalogError(str(self.out), words, "run again")
        return index_rows(IndexTable(table))

    @property
    def references(self) -> pa.Table:
        """A row a reference between objects."""
        return self._table("references")

    @property
    def failures(self) -> pa.Table:
        """A row a file or member that gave no instance."""
        return self._table("failures")

    @property
    def notes(self) -> pa.Table:
        """A row a thing about an instance that is there but not whole."""
        return self._table("notes")

    @property
    def cases(self) -> pa.Table:
        """A row a case."""
        return self._table("cases")

    def altered(self) -> Altered:
        """Return which of the published files were changed, removed or rewritten since.

        Sizes and times are compared; a file is read only where its size is the same and its time
        is another.
        """
        if isinstance(self._output, FolderOutput):
            return altered_files(self._output)
        with scratch.folder() as place:
            return altered_objects(self._output, place)

    def _table(self, name: str) -> pa.Table:
        file = f"{name}.parquet"
        path = None
        try:
            path = self._output.fetch(file)
            table = pq.read_table(path)
        except FileNotFoundError as error:
            self._check()
            raise CatalogError(str(self.out), f"{file} is gone", "run again") from error
        except (OSError, pa.ArrowInvalid) as error:
            self._check()
            # In a folder it was changed, by a disk or by somebody, who may want to keep it.
            is_folder = isinstance(self._output, FolderOutput)
            remedy = "run again with --full" + (" --replace" if is_folder else "")
            raise CatalogError(str(self.out), f"{file} is damaged", remedy) from error
        finally:
            if path is not None:
                self._output.release(path)
        self._check()
        return table

    def _check(self) -> None:
        """Raise `CatalogError` where another catalog has taken the place of this one."""
        if self._output.read_catalog().get("state") != self._state:
            words = "another run has published there since it was opened"
            raise CatalogError(str(self.out), words, "open it again")
