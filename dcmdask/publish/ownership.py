"""Take an output folder and what runs have said of its files; tell which files in it are not theirs.

A run replaces and removes only what is known to be ours: by its size and time as they were recorded
when it was published, else by its checksum. What was recorded stands in the state of a catalog and,
for an output that has lost it, in ``catalog.json``, which carries a checksum of itself.
"""

from __future__ import annotations

import json
import os
import stat
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from dcmdask.errors import OutputError
from dcmdask.own_names import PREVIOUS, STATE
from dcmdask.publish.output import (
    CATALOG,
    OF_PEOPLE,
    Check,
    FolderOutput,
    StoreOutput,
    json_object,
    state_of,
    token_of,
)
from dcmdask.remote.client import Listed, quoted
from dcmdask.remote.remote import Remote
from dcmdask.state.folder import download
from dcmdask.state.parts import check_of
from dcmdask.types import PRIVATE

_CHECK = "check"
_KEYS = {"dcmdask", "schema", "settings", "sources", "counts", "state", "run"}
"""What stands in ``catalog.json`` of every release."""

_SHARED = ".imgtools"
"""Where a catalog goes by default, and where Med-ImageTools writes too."""

_LITTER = (".DS_Store", "Thumbs.db", "desktop.ini", ".directory")
_LITTER_BEGINS = ("._", ".nfs")
"""What systems leave in any folder that somebody looks into: it goes along, and refuses no run."""

_PRECISIONS = (100, 1_000, 1_000_000)
"""Nanoseconds to which file systems and servers cut a time that they have first told in full."""


class Stranger(NamedTuple):
    """An entry of an output that is not as a run has left it.

    Attributes
    ----------
    name : str
        Relative to the output, posix.
    changed : bool
        Whether a run has published a file of this name.
    """

    name: str
    changed: bool


class Proofs:
    """What runs have said of the files that they published into one output.

    Parameters
    ----------
    said : iterable of mapping
        Name to `Check`, of each catalog that is known.
    rewritten : iterable of mapping
        Name to the `Check` of what Med-ImageTools makes of such a file.

    Attributes
    ----------
    rewritten : set
        Files that were found to be what Med-ImageTools has made of them. They are ours, as all that
        is in them was.
    renewed : dict
        Files whose content had to be read, with the time that they have now.
    """

    def __init__(
        self,
        said: Iterable[Mapping[str, Check]],
        rewritten: Iterable[Mapping[str, Check]] = (),
    ) -> None:
        self._rewritten = list(rewritten)
        self.rewritten: set[str] = set()
        self._checks: dict[str, list[Check]] = {}
        self._folders: set[str] = set()
        self.renewed: dict[str, Check] = {}
        for checks in said:
            self.add(checks)

    def add(self, checks: Mapping[str, Check]) -> None:
        """Add what a run says of its files."""
        for name, check in checks.items():
            known = self._checks.setdefault(_composed(name), [])
            if check not in known:
                known.append(check)
            self._folders.update(map(_composed, _folders_above(name)))

    def names(self, name: str) -> bool:
        """Tell whether a run has published a file of this name."""
        return _composed(name) in self._checks

    def is_folder(self, name: str) -> bool:
        """Tell whether a run has published files in a folder of this name."""
        return _composed(name) in self._folders

    def holds(self, name: str, path: str | os.PathLike[str]) -> bool:
        """Tell whether a file is, byte for byte, one that a run has published under a name.

        Parameters
        ----------
        name : str
            As it is in the output.
        path : path
            Where it is now. Links are nobody's.
        """
        try:
            status = os.lstat(path)
            if not stat.S_ISREG(status.st_mode):
                return False
            if name == CATALOG:
                return is_own_catalog(Path(path).read_bytes())
            return self._is_known(name, path, status) or self._is_rewritten(name, path, status)
        except OSError:
            return False

    def _is_known(self, name: str, path: str | os.PathLike[str], status: os.stat_result) -> bool:
        alike = [one for one in self._checks.get(_composed(name), ()) if one.size == status.st_size]
        if any(_is_as_written(one, status.st_mtime_ns) for one in alike):
            return True
        if not alike or all(one.crc is None for one in alike):
            return False
        now = check_of(Path(path))
        if not any([one.size, one.crc] == now for one in alike):
            return False
        self.renewed[name] = Check(now[0], now[1], status.st_mtime_ns)
        return True

    def _is_rewritten(
        self, name: str, path: str | os.PathLike[str], status: os.stat_result
    ) -> bool:
        checks = [said[name] for said in self._rewritten if name in said]
        if status.st_size not in [one.size for one in checks]:
            return False
        if read_check(Path(path)) not in checks:
            return False
        self.rewritten.add(name)
        return True


def _folders_above(name: str) -> Iterator[str]:
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def _composed(name: str) -> str:
    """Return a name in one form: some file systems take characters apart."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _is_as_written(check: Check, modified: int) -> bool:
    """Tell whether a file of the right size is taken for the one that was written, unread."""
    if check.crc is None:
        # Of a release that recorded no more than the size.
        return True
    if check.modified is None:
        return False
    return check.modified == modified or any(
        modified % unit == 0 and check.modified - check.modified % unit == modified
        for unit in _PRECISIONS
    )


def proofs_of(output: FolderOutput) -> Proofs:
    """Return what the runs into a folder have said of their files, also of one that was killed."""
    said: list[Mapping[str, Check]] = []
    rewritten: list[Mapping[str, Check]] = []
    with suppress(OSError), os.scandir(output.private) as items:
        for token in sorted(found[1] for item in items if (found := STATE.fullmatch(item.name))):
            state = state_of(output, token)
            if state is not None:
                said.append(state.published)
                rewritten.append(state.rewritten)
    for place in (output.out, output.private / PREVIOUS):
        with suppress(OSError):
            said.append(published_by((place / CATALOG).read_bytes()))
    return Proofs(said, rewritten)


def read_check(path: Path) -> Check:
    """Return size and checksum of a file."""
    size, crc = check_of(path)
    return Check(size, crc)


# -- catalog.json ------------------------------------------------------------------------------------


def catalog_text(catalog: Mapping[str, Any]) -> bytes:
    """Return the content of ``catalog.json``, with a checksum of the rest as its last entry."""
    rest = {name: value for name, value in catalog.items() if name != _CHECK}
    text = json.dumps({**rest, _CHECK: _checksum(rest)}, indent=2, ensure_ascii=False) + "\n"
    # A path that is no UTF-8 has surrogates in it; written so, they are JSON.
    return text.encode("utf-8", "backslashreplace")


def is_own_catalog(text: bytes | None) -> bool:
    """Tell whether the content of a ``catalog.json`` is what a run has written.

    Other tools have a file of this name (STAC, Intake), and so may people. One of ours carries a
    checksum; one of a release before that has the entries that all of ours have.
    """
    said = json_object(text)
    if said is None:
        return False
    check = said.pop(_CHECK, None)
    return said.keys() >= _KEYS if check is None else bool(check == _checksum(said))


def is_like_a_catalog(text: bytes | None) -> bool:
    """Tell whether the content of a ``catalog.json`` is ours but for changes."""
    said = json_object(text)
    return said is not None and said.keys() >= _KEYS


def published_by(text: bytes | None) -> dict[str, Check]:
    """Return what a ``catalog.json`` that is ours says of the files published with it."""
    said = json_object(text) if is_own_catalog(text) else None
    found: dict[str, Check] = {}
    with suppress(AttributeError, ValueError):
        for name, words in (said or {}).get("published", {}).items():
            size, _, crc = words.partition(" ")
            found[name] = Check(int(size), int(crc, 16))
    return found


def described(checks: Mapping[str, Check]) -> dict[str, str]:
    """Return what ``catalog.json`` says of published files: size, and CRC-32 in hexadecimal digits.

    Examples
    --------
    >>> described({"index.csv": Check(12, 0xAB)})
    {'index.csv': '12 000000ab'}
    """
    return {name: f"{check.size} {check.crc or 0:08x}" for name, check in checks.items()}


def _checksum(catalog: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(catalog).encode('ascii')):08x}"


def names_right_in(published: Iterable[str]) -> set[str]:
    """Return the files and folders right in an output under which a catalog has its files.

    The map of ProjectIDs is none of them: it is what people edit, and stays.

    Examples
    --------
    >>> sorted(names_right_in(["index.csv", "cases/P1.csv", "projectid_map.json", "../x"]))
    ['cases', 'index.csv']
    """
    parts = (name.replace(os.sep, "/").split("/") for name in published)
    found = {one[0] for one in parts if not {"", ".", ".."} & set(one)}
    return found - OF_PEOPLE - {PRIVATE}


# -- what is not ours --------------------------------------------------------------------------------


def strangers(
    out: Path, names: Iterable[str], proofs: Proofs, *, litter: bool = False
) -> list[Stranger]:
    """Return what lies under some names of an output, or below them, and is not ours.

    Parameters
    ----------
    out : pathlib.Path
        The output.
    names : iterable of str
        Names right in it that a run would replace.
    proofs : Proofs
        What is known to be ours.
    litter : bool
        Whether what systems leave in any folder counts; in one that is only replaced it goes along.

    Returns
    -------
    list of Stranger
        In order of names. A folder in which nothing is ours is one.
    """
    wanted = sorted(set(names))
    return [one for name in wanted for one in _look(f"{out}/{name}", name, proofs, litter=litter)]


def _look(path: str, name: str, proofs: Proofs, *, litter: bool) -> Iterator[Stranger]:
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISDIR(mode) and proofs.is_folder(name):
        for child in sorted(os.listdir(path)):
            if litter or not is_litter(child):
                yield from _look(f"{path}/{child}", f"{name}/{child}", proofs, litter=litter)
    elif not proofs.holds(name, path):
        yield Stranger(name, _was_ours(name, path, proofs))


def _was_ours(name: str, path: str, proofs: Proofs) -> bool:
    if name == CATALOG:
        with suppress(OSError):
            return is_like_a_catalog(Path(path).read_bytes())
    return proofs.names(name) or proofs.is_folder(name)


class Altered(NamedTuple):
    """Published files that are no longer as they were.

    Attributes
    ----------
    changed, removed : list of str
        Names in the output.
    rewritten : list of str
        Those that Med-ImageTools wrote anew from ``crawl-cache.json``; the next run replaces them.
    """

    changed: list[str]
    removed: list[str]
    rewritten: list[str]


def altered_files(output: FolderOutput) -> Altered:
    """Return which of the files that were published into a folder were changed or removed since."""
    text = output.catalog()
    state = state_of(output, token_of(text))
    if state is None:
        published = _with_times(published_by(text), output.out / CATALOG)
    else:
        published = state.published
    proofs = Proofs([published], [] if state is None else [state.rewritten])
    altered = Altered([], [], [])
    # What people edit is no news.
    for name in sorted(published.keys() - OF_PEOPLE | {CATALOG}):
        if not os.path.lexists(output.out / name):
            altered.removed.append(name)
        elif not proofs.holds(name, output.out / name):
            altered.changed.append(name)
        elif name in proofs.rewritten:
            altered.rewritten.append(name)
    return altered


def _with_times(published: Mapping[str, Check], catalog: Path) -> dict[str, Check]:
    """Take files that are no younger than their catalog file, which is written last, for as old."""
    with suppress(OSError):
        latest = catalog.stat().st_mtime_ns
        found = {}
        for name, check in published.items():
            with suppress(OSError):
                modified = (catalog.parent / name).stat().st_mtime_ns
                found[name] = check._replace(modified=min(modified, latest))
        return {**published, **found}
    return dict(published)


def altered_objects(output: StoreOutput, scratch: Path) -> Altered:
    """Return which of the objects that were published into a store were changed or removed since.

    Parameters
    ----------
    output : StoreOutput
        The output.
    scratch : pathlib.Path
        Folder for what has to be read.
    """
    state = state_of(output, token_of(output.catalog()))
    altered = Altered([], [], [])
    there = output.listed()
    for name, check in sorted((state.published if state else {}).items()):
        now = there.get(name)
        if now is None:
            altered.removed.append(name)
        elif name not in OF_PEOPLE and not _looks_alike(output, check, now, scratch):
            altered.changed.append(name)
    return altered


def _looks_alike(output: StoreOutput, check: Check, now: Listed, scratch: Path) -> bool:
    """Tell as `is_object`; by size alone where no tag was noted, as of a copy of a folder."""
    if check.etag is None or now.etag is None:
        return check.size == (now.size or 0)
    return is_object(output.remote, check, now, scratch)


def is_object(remote: Remote, check: Check, now: Listed, scratch: Path) -> bool:
    """Tell whether an object of a store is the one that was written.

    Parameters
    ----------
    remote : Remote
        Its container.
    check : Check
        What is known of the one that was written.
    now : Listed
        What a listing says of it.
    scratch : pathlib.Path
        Folder for its content, where size and entity tag do not decide.
    """
    if check.size != (now.size or 0):
        return False
    if check.crc is None or (check.etag and quoted(check.etag) == quoted(now.etag)):
        return True
    path = scratch / "compared"
    download(remote, now.key, check.size, path)
    found = check_of(path)
    path.unlink()
    return [check.size, check.crc] == found


def is_litter(name: str) -> bool:
    """Tell whether a file is one that systems leave in any folder that is looked into."""
    return name in _LITTER or name.startswith(_LITTER_BEGINS)


def refusal(place: str, found: list[Stranger]) -> OutputError:
    """Say what of an output is not ours, and what can be done.

    Parameters
    ----------
    place : str
        Path or URL of the output.
    found : list of Stranger
        At least one.
    """
    # Without its catalog file, nothing else can be known to be ours.
    lost = Stranger(CATALOG, changed=True)
    first = lost if lost in found else min(found, key=lambda one: (one.changed, one.name))
    more = len(found) - 1
    reason = "it was changed since it was published" if first.changed else "no run wrote it"
    if more:
        verb = "is" if more == 1 else "are"
        reason += f", and {more:,} more {verb} not as a run has left them"
    if not first.changed and _SHARED in place.replace(os.sep, "/").split("/"):
        reason += f" (Med-ImageTools writes into {_SHARED} too)"
    remedy = (
        "choose another --out, or add --replace, which first moves what is in the way to "
        f"{place}/replaced-<time>"
    )
    return OutputError(f"{place}/{first.name}", reason, remedy)
