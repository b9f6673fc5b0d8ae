"""Take an output folder; give its tables as Arrow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from dcmdask.errors import CatalogError
from dcmdask.schema import INSTANCES
from dcmdask.store import read_catalog_file

if TYPE_CHECKING:
    import pyarrow.dataset as pds


class Catalog:
    """A published catalog.

    Parameters
    ----------
    out : str or pathlib.Path
        Output folder of a run.

    Raises
    ------
    CatalogError
        There is none.

    Attributes
    ----------
    out : pathlib.Path
        The folder.
    run : dict
        Content of ``catalog.json``.
    """

    def __init__(self, out: str | Path) -> None:
        self.out = Path(out).expanduser().absolute()
        self.run: dict[str, Any] = read_catalog_file(self.out)
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

        files = [str(self.out / name) for name in self.run.get("instances", [])]
        if not files:
            return pds.dataset(INSTANCES.empty_table())
        return pds.dataset(files, format="parquet")

    @property
    def crawl_db(self) -> pa.Table:
        """A row a series, with its modality's metadata."""
        return self._table("crawl_db")

    @property
    def index(self) -> pa.Table:
        """A row a series: what it is, where it lies, what it refers to."""
        return self._table("index")

    @property
    def references(self) -> pa.Table:
        """A row a reference between objects."""
        return self._table("references")

    @property
    def failures(self) -> pa.Table:
        """A row a file or member that gave no instance."""
        return self._table("failures")

    @property
    def cases(self) -> pa.Table:
        """A row a case."""
        return self._table("cases")

    def _table(self, name: str) -> pa.Table:
        path = self.out / f"{name}.parquet"
        try:
            table = pq.read_table(path)
        except FileNotFoundError as error:
            self._check()
            raise CatalogError(str(self.out), f"{path.name} is gone", "run again") from error
        except (OSError, pa.ArrowInvalid) as error:
            self._check()
            remedy = "run again with --full"
            raise CatalogError(str(self.out), f"{path.name} is damaged", remedy) from error
        self._check()
        return table

    def _check(self) -> None:
        """Raise `CatalogError` where another catalog has taken the place of this one."""
        if read_catalog_file(self.out).get("state") != self._state:
            words = "another run has published there since it was opened"
            raise CatalogError(str(self.out), words, "open it again")
