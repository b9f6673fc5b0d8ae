"""Take sources and what was asked for; return where the output is, which is nobody's data.

A folder that holds a catalog is nobody's data and is passed over by every crawl. So a catalog may go
into a folder that is not there, that is empty, or that is an output already; into another one only
if no source is touched by that and no DICOM file is seen in it.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from dcmdask.config import RemoteOptions
from dcmdask.dicom.windows import META_AT, has_prefix
from dcmdask.errors import DcmdaskError, HeaderError, OutputError, UsageError
from dcmdask.marks import has_only_own_names, is_output, names_an_output
from dcmdask.publish.output import CATALOG, checked_url
from dcmdask.publish.ownership import is_litter, is_own_catalog
from dcmdask.remote.address import WEB, Address, below, is_url, local_path
from dcmdask.remote.remote import Remote, open_remote
from dcmdask.source.entries import OUTPUTS, Root
from dcmdask.state.folder import read_now
from dcmdask.types import PRIVATE

_FILES = 300
"""Files that are looked into at most: a folder of data shows itself sooner."""

_OBJECTS = 32
"""Objects of a store that are looked into at most."""

_REMEDY = "name an empty or new folder with --out"


def output_of(roots: list[Root], out: str | None) -> Path | str:
    """Give the output, a folder or a URL: as asked, else ``.imgtools/<name>`` beside the one source.

    Raises
    ------
    UsageError
        There are several sources and none was named, it is a source, or nothing can be written
        there.
    """
    if out is not None and is_url(out):
        return _checked_out(roots, out)
    if out is not None:
        place = Path(local_path(out)).expanduser().absolute()
        if any(not root.only and _is_same(place, root.path) for root in roots):
            raise UsageError(f"--out {out} is a source", "name a folder in it or beside it")
        return place
    if len(roots) != 1:
        raise UsageError("several sources", "say where the catalog goes with --out")
    root = roots[0]
    if root.is_remote:
        raise UsageError(f"source {root.path}", "say where the catalog goes with --out")
    if len(root.only) == 1:
        name = Path(root.only[0]).name.split(".")[0] or "crawl"
        return Path(root.path) / OUTPUTS / name
    return Path(root.path).parent / OUTPUTS / root.name


def _checked_out(roots: list[Root], out: str) -> str:
    url = checked_url(out)
    if Address.parse(url).protocol in WEB:
        raise UsageError(f"--out {url}: a web server takes no files", "name a bucket or a folder")
    if any(not root.only and root.path == url for root in roots):
        raise UsageError(f"--out {url} is a source", "name a place below it or beside it")
    return url


def _is_same(path: Path, other: str) -> bool:
    return os.path.realpath(path) == os.path.realpath(other)


def left_out(out: Path | str) -> frozenset[str]:
    """Give what of the output is never listed: its real path, or its URL."""
    return frozenset({os.path.realpath(out) if isinstance(out, Path) else out})


def refuse_data(
    out: Path | str, roots: Iterable[Root], remote: RemoteOptions, *, walked: bool
) -> None:
    """Refuse an output that is, or lies in, a folder of data.

    Parameters
    ----------
    out : pathlib.Path or str
        The folder, or its URL.
    roots : iterable of Root
        The sources.
    remote : RemoteOptions
        How stores are reached.
    walked : bool
        Whether the sources are walked; a list of files says by itself what is a source.

    Raises
    ------
    OutputError
        It is, and it is neither empty nor an output of a run.
    """
    if isinstance(out, Path):
        sources = list(_places(roots, remote=False))
        _refuse_folder(out, sources if walked else [])
    else:
        sources = list(_places(roots, remote=True))
        _refuse_prefix(out, sources if walked else [], remote)


def _places(roots: Iterable[Root], *, remote: bool) -> Iterator[tuple[str, bool]]:
    """Return where sources are, and whether each is a folder and not one file of it."""
    for root in roots:
        if root.is_remote != remote:
            continue
        for name in root.only or ("",):
            yield below(root.path.rstrip("/"), name) if name else root.path, not name


def _words(sources: list[tuple[str, bool]], out: str, separator: str) -> str | None:
    """Say how an output lies to the sources; None where they have nothing to do with each other."""
    for place, is_folder in sources:
        if f"{place}{separator}".startswith(f"{out}{separator}"):
            return f"the source {place} lies in it"
        if is_folder and out.startswith(f"{place.rstrip(separator)}{separator}"):
            return f"it lies in the source {place} and holds what no run wrote"
    return None


# -- folders -----------------------------------------------------------------------------------------


def _refuse_folder(out: Path, sources: list[tuple[str, bool]]) -> None:
    if not _holds_something(out) or is_output(out) or _has_own_catalog(out):
        return
    real = [(os.path.realpath(place), is_folder) for place, is_folder in sources]
    words = _words(real, os.path.realpath(out), os.sep)
    if words is None and (found := _dicom_in(out)) is not None:
        words = f"it holds DICOM files, as {found}"
    if words is not None:
        raise OutputError(str(out), words, _REMEDY)


def _holds_something(out: Path) -> bool:
    """Tell whether a folder is not empty, but for what systems and a run killed early leave there."""
    try:
        with os.scandir(out) as items:
            names = (item.name for item in items if not is_litter(item.name))
            first = set(itertools.islice(names, 2))
        if first == {PRIVATE}:
            return not has_only_own_names(os.listdir(out / PRIVATE))
    except OSError:
        # Not there, or nothing that could be written into: who writes says so.
        return False
    return bool(first)


def _has_own_catalog(out: Path) -> bool:
    with suppress(OSError):
        return is_own_catalog((out / CATALOG).read_bytes())
    return False


def _dicom_in(out: Path) -> str | None:
    """Return the name of a DICOM file right in a folder or one level below; None if none is seen."""
    for path in itertools.islice(_files_of(out), _FILES):
        with suppress(OSError), open(path, "rb") as stream:
            if has_prefix(stream.read(META_AT)):
                return os.path.relpath(path, out)
    return None


def _files_of(out: Path) -> Iterator[str]:
    """Return plain files right in a folder, then those one level below: no links, nothing special."""
    folders = []
    for item in _scan(out):
        if item.is_dir(follow_symlinks=False):
            folders.append(item.path)
        elif item.is_file(follow_symlinks=False):
            yield item.path
    for folder in itertools.islice(sorted(folders), _FILES):
        for item in _scan(folder):
            if item.is_file(follow_symlinks=False):
                yield item.path


def _scan(folder: str | Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder, as far as it can be seen and would be looked at."""
    try:
        with os.scandir(folder) as items:
            return sorted(itertools.islice(items, _FILES), key=lambda item: item.name)
    except OSError:
        return []


# -- stores ------------------------------------------------------------------------------------------


def _refuse_prefix(out: str, sources: list[tuple[str, bool]], options: RemoteOptions) -> None:
    address = Address.parse(out)
    try:
        remote = open_remote(address.root, options)
        prefix = f"{address.key}/" if address.key else ""
        if _is_output_prefix(remote, prefix):
            return
        keys = [one.key for one in next(remote.pages(prefix), []) if one.key != prefix]
        words = _words(sources, out, "/") if keys else None
        if keys and words is None and (found := _dicom_of(remote, keys)) is not None:
            words = f"it holds DICOM files, as {found.removeprefix(prefix)}"
    except (HeaderError, DcmdaskError):
        # Whoever writes there says what the store says.
        return
    if words is not None:
        raise OutputError(out, words, "name an empty or new prefix with --out")


def _is_output_prefix(remote: Remote, prefix: str) -> bool:
    """Tell whether a run has written below a prefix."""
    own = f"{prefix}{PRIVATE}/"
    names = (one.key[len(own) :] for level in remote.levels(own) for one in level.found)
    if names_an_output(names):
        return True
    with suppress(HeaderError):
        found = read_now(remote, f"{prefix}{CATALOG}")
        return found is not None and is_own_catalog(found[0])
    return False


def _dicom_of(remote: Remote, keys: list[str]) -> str | None:
    """Return the first of some keys that is a DICOM file; None if none is among those looked into."""
    some = keys[:_OBJECTS]
    for key, future in [(key, remote.begin(key, 0, META_AT)) for key in some]:
        with suppress(HeaderError):
            if has_prefix(future.result()):
                return key
    return None
