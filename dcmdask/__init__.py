"""Find every DICOM object in a heap of folders and archives, and leave a catalog of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcmdask._version import __version__

if TYPE_CHECKING:
    from dcmdask.catalog.catalog import Catalog

__all__ = ["__version__", "crawl", "open_catalog"]


def crawl(
    sources: str | Path | Iterable[str | Path], out: str | Path | None = None, **options: Any
) -> Catalog:
    """Crawl sources and publish their catalog.

    Parameters
    ----------
    sources : str, pathlib.Path, or an iterable of them
        Folders, files and archives.
    out : str or pathlib.Path, optional
        Output folder or URL; by default ``.imgtools/<name>`` beside the one source.
    **options
        Fields of `dcmdask.config.RunOptions`: the options of ``dcmdask run`` with underscores,
        which its docstring lists.

    Returns
    -------
    Catalog
        The published catalog.

    Raises
    ------
    dcmdask.errors.DcmdaskError
        The run could not start or end; nothing was published.
    """
    # Imported where it is used: `import dcmdask` must not cost a second.
    from dcmdask.catalog.catalog import Catalog
    from dcmdask.config import RunOptions
    from dcmdask.execution.pipeline import run

    if isinstance(sources, (str, Path)):
        sources = [sources]
    place = None if out is None else str(out)
    done = run([str(source) for source in sources], RunOptions(out=place, **options))
    # As it was written: it may hold what is needed to reach it.
    return Catalog(done["out"] if place is None else place, options.get("storage_option", ()))


def open_catalog(out: str | Path, storage_option: Iterable[str] = ()) -> Catalog:
    """Open the catalog that a run left in `out`.

    Parameters
    ----------
    out : str or pathlib.Path
        Folder or URL.
    storage_option : iterable of str
        ``KEY=VALUE``: how a store is reached.

    Raises
    ------
    dcmdask.errors.CatalogError
        There is none.
    """
    from dcmdask.catalog.catalog import Catalog

    return Catalog(out, storage_option)
