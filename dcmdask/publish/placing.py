"""Take what is prepared in an output folder; put it in place, or take that back after a crash.

What stood there is set aside first and removed at the very end, file by file and only what is known
to be ours. Nothing is ever moved onto a name that is taken.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from dcmdask.errors import OutputError
from dcmdask.own_names import MOVES, PREVIOUS
from dcmdask.publish.output import CATALOG, OF_PEOPLE
from dcmdask.publish.ownership import Proofs, Stranger, refusal, strangers
from dcmdask.system.modes import private_opener

_GONE_BY_ITSELF = ".nfs"
"""Begins the name of a file that was removed while somebody reads it: its server removes it."""


def move(source: Path, target: Path) -> None:
    """Move a file or a folder to a name that is free.

    Raises
    ------
    FileExistsError
        The name is taken, be it only since a moment ago.
    OSError
        It cannot be moved.
    """
    if (
        os.name == "posix"
        and source.is_file()
        and not source.is_symlink()
        and _link(source, target)
    ):
        source.unlink()
        return
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    os.rename(source, target)


def _link(source: Path, target: Path) -> bool:
    """Return a file a second name, which fails where the name is taken; tell whether it has it."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        # A file system without a second name for a file.
        return False
    return True


class Placing:
    """Puts prepared files of an output folder into place.

    Parameters
    ----------
    out : pathlib.Path
        The output.
    private : pathlib.Path
        Its ``.dcmdask``.
    prepared : pathlib.Path
        Where files are prepared, under the names that they will have in the output.

    Attributes
    ----------
    proofs : Proofs
        What is known to be ours; whoever uses it sees to that.
    """

    def __init__(self, out: Path, private: Path, prepared: Path) -> None:
        self._out = out
        self._prepared = prepared
        self._previous = private / PREVIOUS
        self._moves = private / MOVES
        self._aside: Path | None = None
        self.proofs = Proofs(())

    @property
    def has_set_aside(self) -> bool:
        """Whether something that stood there is still kept."""
        return any(self._previous.parent.glob(f"{PREVIOUS}*"))

    # -- what is not ours ------------------------------------------------------------------------

    def names_at_stake(self) -> set[str]:
        """Return the names that undoing a half-done publishing touches."""
        if not self.is_half_done():
            return set()
        # The map of ProjectIDs may have been edited by people, unless it was set aside.
        names = {CATALOG, *self._moved_names()} - OF_PEOPLE
        return names.union(_names_in(self._previous))

    def check(self, names: Iterable[str], *, replace: bool) -> list[str]:
        """Refuse, or move out of the way, what lies under some names and is not ours.

        Parameters
        ----------
        names : iterable of str
            Right in the output.
        replace : bool
            Whether it is moved to a folder ``replaced-<time>`` of the output.

        Returns
        -------
        list of str
            What was moved, as it is named in the output.

        Raises
        ------
        OutputError
            There is something, and it stays where it is.
        """
        found = strangers(self._out, names, self.proofs)
        if found and not replace:
            raise refusal(str(self._out), found)
        for one in found:
            self._set_aside(self._out / one.name, one)
        return [one.name for one in found]

    @property
    def aside(self) -> Path | None:
        """Folder that was made for what is not ours, if one was."""
        return self._aside

    def _set_aside(self, path: Path, one: Stranger) -> None:
        if self._aside is None or os.path.lexists(self._aside / one.name):
            self._aside = _new_folder(self._out)
        target = self._aside / one.name
        target.parent.mkdir(parents=True, exist_ok=True)
        move(path, target)

    # -- putting in place ------------------------------------------------------------------------

    def place(self, moves: list[str], replaced: Iterable[str]) -> None:
        """Set aside what stands there and put in place what is prepared, the catalog file last.

        Parameters
        ----------
        moves : list of str
            What is prepared, beside the catalog file.
        replaced : iterable of str
            Names in the output that go, prepared anew or not.

        Raises
        ------
        OSError
            Something cannot be moved; what was there before stands again.
        """
        if _names_in(self._previous):
            # What could not be removed, as somebody reads it.
            other = f"{PREVIOUS}-{secrets.token_hex(4)}"
            os.rename(self._previous, self._previous.with_name(other))
        self._previous.mkdir(mode=0o700, exist_ok=True)
        with open(self._moves, "w", encoding="utf-8", opener=private_opener) as stream:
            json.dump(moves, stream)
        sync(self._moves)
        sync(self._moves.parent, os.O_RDONLY)
        try:
            for name in (CATALOG, *sorted({*replaced, *moves} - {CATALOG})):
                if os.path.lexists(self._out / name):
                    move(self._out / name, self._previous / name)
            for name in (*moves, CATALOG):
                move(self._prepared / name, self._out / name)
            sync(self._out, os.O_RDONLY)
        except BaseException:
            # An interrupt too: what was set aside is the only catalog there is.
            with suppress(OutputError):
                self.undo()
            raise
        self.undo()

    def undo(self) -> None:
        """Undo a publishing that did not end, or drop what one that did had set aside.

        The catalog file is the first that is set aside and the last that is put in place: where it
        stands, either nothing has moved or everything. Done twice, or over again after a crash half
        way, it comes to the same.

        Raises
        ------
        OutputError
            Somebody has put something where the previous catalog was: both stay.
        """
        if self.is_half_done():
            self._prepared.mkdir(parents=True, exist_ok=True)
            for name in self._moved_names():
                self._take_back(name)
            names = sorted(_names_in(self._previous), key=lambda name: name == CATALOG)
            for name in names:
                taken = list(self._not_restored(name))
                if taken:
                    raise refusal(str(self._out), taken)
        for folder in (self._previous, *self._previous.parent.glob(f"{PREVIOUS}-*")):
            self._discard(folder, "")
        self._moves.unlink(missing_ok=True)

    def _not_restored(self, name: str) -> Iterator[Stranger]:
        """Put back what was set aside; return what has taken the place of a file of ours."""
        for one in _restore(self._previous, self._out, name):
            stranger = Stranger(one, changed=False)
            if self.proofs.holds(one, self._previous / one):
                yield stranger
            else:
                # Neither of the two is ours.
                self._set_aside(self._previous / one, stranger)

    def is_half_done(self) -> bool:
        """Tell whether a run was ended while it put its catalog in place."""
        return self._moves.exists() and not os.path.lexists(self._out / CATALOG)

    def _take_back(self, name: str) -> None:
        """Take back what was put in place: what is no longer prepared. The rest is not of this run."""
        placed, prepared = self._out / name, self._prepared / name
        if not os.path.lexists(placed):
            return
        if os.path.lexists(prepared):
            if _is_one_file(placed, prepared):
                placed.unlink()
            return
        move(placed, prepared)
        # What somebody has put into a folder of ours meanwhile goes back to where it was.
        for one in strangers(self._prepared, [name], self.proofs, litter=True):
            self._put_back(self._prepared / one.name, one.name)

    def _moved_names(self) -> list[str]:
        try:
            return [str(name) for name in json.loads(self._moves.read_text("utf-8"))]
        except ValueError:  # the machine went down before it was on disk, so nothing had moved
            return []

    def _discard(self, folder: Path, before: str) -> None:
        """Remove what is ours of a folder that was set aside; put back what is not.

        What cannot be removed or put back now stays there, and is looked at by the next run.
        """
        for name in _names_in(folder):
            path, full = folder / name, f"{before}{name}"
            with suppress(OSError):
                if path.is_dir() and not path.is_symlink():
                    self._discard(path, f"{full}/")
                elif self.proofs.holds(full, path):
                    path.unlink()
                elif not name.startswith(_GONE_BY_ITSELF):
                    self._put_back(path, full)
        with suppress(OSError):
            folder.rmdir()

    def _put_back(self, path: Path, name: str) -> None:
        """Put what is not ours where it was, or, where that is taken, beside it."""
        target = self._out / name
        if os.path.lexists(target):
            self._set_aside(path, Stranger(name, changed=False))
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        move(path, target)


def _restore(source: Path, target: Path, name: str) -> Iterator[str]:
    """Move an entry of a folder into another one; return what is taken there, and stays."""
    here, there = source / name, target / name
    if not os.path.lexists(there):
        move(here, there)
    elif all(one.is_dir() and not one.is_symlink() for one in (here, there)):
        for child in _names_in(here):
            yield from _restore(source, target, f"{name}/{child}")
        with suppress(OSError):
            here.rmdir()
    elif _is_one_file(here, there):
        here.unlink()
    else:
        yield name


def _is_one_file(path: Path, other: Path) -> bool:
    """Tell whether a move ended half way: the file has both names."""
    return path.is_file() and other.is_file() and os.path.samefile(path, other)


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _new_folder(out: Path) -> Path:
    """Make the folder for what is moved out of the way; its name says when."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    number = 1
    while True:
        folder = out / (f"replaced-{stamp}" if number == 1 else f"replaced-{stamp}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


def sync(path: Path, flags: int = os.O_RDWR) -> None:
    """See that a file is on disk, or, opened to be read, the names in a folder."""
    # Where the system cannot: it is a precaution.
    with suppress(OSError):
        handle = os.open(path, flags | getattr(os, "O_BINARY", 0))
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
