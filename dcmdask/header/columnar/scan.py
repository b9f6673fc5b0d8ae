"""Take first windows of files; decide how each is walked, and give the values of those that were.

Only what is certain is accepted. A file that departs from the plain way in anything (no prefix,
big endian, a VR that does not fit, an odd length, a header that is cut or outgrows its windows) is
left to pydicom, with the reason, and so is every value that is not of the plainest form.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from dcmdask.dicom.windows import WINDOW, More, Windows
from dcmdask.header.columnar.columns import columns_of, texts_of
from dcmdask.header.columnar.elements import DIRECTORY, SLOT, SYNTAX, VRS, Flags, Int
from dcmdask.header.columnar.follow import follow
from dcmdask.header.columnar.lockstep import Lockstep
from dcmdask.header.columnar.order import look_on, unsettled_of
from dcmdask.header.columnar.state import State
from dcmdask.header.notes import Remark
from dcmdask.tables.arrow import Array

_LONGEST_VALUE = 0xFFFE  # what explicit VR has room for; a longer one is judged by pydicom's reader
_LONGEST_UID = 64
_PREFIX = int.from_bytes(b"DICM", "little")


@dataclass(frozen=True, slots=True)
class Scan:
    """What the walk gave.

    Attributes
    ----------
    accepted : numpy.ndarray of bool
        Files whose values stand in `columns`, shape (files,).
    columns : dict
        Keyword to Arrow array of the accepted files' values, in order.
    remarks : list of (Remark, numpy.ndarray of int64)
        What is not whole, and of which of the accepted files.
    reasons : Counter
        Why the others were left to pydicom.
    """

    accepted: Flags
    columns: dict[str, Array]
    remarks: list[tuple[Remark, Int]]
    reasons: Counter[str]


def scan_windows(windows: Windows, more: More) -> Scan:
    """Scan some files, with a second window for those that outgrow their first.

    Parameters
    ----------
    windows : Windows
        First windows are filled.
    more : More
        How to read on.

    Examples
    --------
    >>> from dcmdask.dicom.windows import Windows
    >>> scan = scan_windows(Windows.empty(2), lambda wanted: [])
    >>> scan.accepted.tolist(), dict(scan.reasons)
    ([False, False], {'no_prefix': 2})
    """
    state = State(windows)
    implicit = _walk_first(state)
    _walk_second(state, implicit, more)
    return _finish(state, implicit)


def _walk_first(state: State) -> Flags:
    """Walk all files as far as their first windows reach; tell which are implicit VR."""
    implicit = np.zeros(state.windows.files, bool)
    files = np.arange(state.windows.files, dtype=np.int64)
    prefix = (state.u64[(state.position - 4) >> 1] & np.uint64(0xFFFFFFFF)) == _PREFIX
    files = _keep(state, files, prefix & (state.end - state.position >= 8), "no_prefix")
    meta = Lockstep(state, meta=True)
    meta.walk(follow(meta, files))
    # A meta group that outgrows its window would have to be resumed as one: it is not worth it.
    state.give_up_waiting()
    files = _choose_encoding(state, state.still(files), implicit)
    for lockstep, some in _by_encoding(state, files, implicit):
        lockstep.walk(follow(lockstep, some))
    look_on(state, np.flatnonzero(state.behind & (state.reason == "")), implicit)
    return implicit


def _walk_second(state: State, implicit: Flags, more: More) -> None:
    """Walk on in second windows those files that outgrew their first."""
    waiting = sorted(state.pending.items())
    if not waiting:
        return
    windows = state.windows
    files, resume_at = np.array(waiting, np.int64).T
    rows = [windows.row(windows.files + number) for number, _ in waiting]
    wanted = [(*file, row) for file, row in zip(waiting, rows, strict=True)]
    windows.filled[windows.files + files] = more(wanted)
    last = windows.filled[windows.files + files] < WINDOW
    state.pending = {}
    state.resume(files, resume_at, last)
    files = state.still(files)
    for lockstep, some in _by_encoding(state, files, implicit):
        top = state.depth[some] == 0
        lockstep.walk(np.concatenate([some[~top], follow(lockstep, some[top])]))
    state.give_up_waiting()


def _by_encoding(state: State, files: Int, implicit: Flags) -> list[tuple[Lockstep, Int]]:
    is_implicit = implicit[files]
    explicit = (Lockstep(state), files[~is_implicit])
    return [explicit, (Lockstep(state, implicit=True), files[is_implicit])]


def _keep(state: State, files: Int, good: Flags, reason: str) -> Int:
    state.reason[files[~good]] = reason
    return files[good]


def _choose_encoding(state: State, files: Int, implicit: Flags) -> Int:
    """Sort files by transfer syntax; those in encodings the walk does not know are left."""
    slot = SLOT[SYNTAX]
    length = state.lengths[slot, files]
    known = (state.vr[slot, files] == VRS[slot]) & (length > 0) & (length <= _LONGEST_UID)
    files = _keep(state, files, known, "syntax")
    texts, which = texts_of(state, slot, files)
    implicit[files] = np.array([text == ImplicitVRLittleEndian for text in texts], bool)[which]
    plain = np.array([_is_walkable(text) for text in texts], bool)[which]
    files = _keep(state, files, plain, "syntax")
    texts, which = texts_of(state, SLOT[DIRECTORY], files)
    is_image = np.array([text != MediaStorageDirectoryStorage for text in texts], bool)[which]
    files = _keep(state, files, is_image, "directory")
    # What pydicom looks at before it trusts the transfer syntax: the first element's VR, and
    # whether a command set (group 0000) stands first.
    room = state.end[files] - state.position[files] >= 8
    files = _keep(state, files, room, "cut")
    head = state.u64[state.position[files] >> 1]
    bytes_of_vr = head[:, None].view(np.uint8).reshape(-1, 8)[:, 4:6]
    letters = ((bytes_of_vr > 0x40) & (bytes_of_vr < 0x5B)).all(axis=1)
    command = (head & np.uint64(0xFFFF)) == 0
    return _keep(state, files, (letters != implicit[files]) & ~command, "encoding")


def _is_walkable(syntax: str) -> bool:
    """Tell whether a dataset in this transfer syntax is plain little endian."""
    if syntax in (ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian):
        return False
    return syntax.startswith("1.2.840.10008.1.2")


def _finish(state: State, implicit: Flags) -> Scan:
    """Return the values of the files that were walked to the end."""
    unsettled = unsettled_of(state, np.flatnonzero(state.behind & (state.reason == "")))
    state.reason[unsettled] = "unfinished"
    good = state.reason == ""
    filled = state.lengths > 0
    fits = ~filled | ((state.vr == VRS[:, None]) & (state.lengths <= _LONGEST_VALUE))
    accepted = good & fits.all(axis=0)
    state.reason[good & ~accepted] = "value_vr"
    columns, remarks = columns_of(state, np.flatnonzero(accepted), implicit)
    reasons = Counter(str(reason) for reason in state.reason[~accepted].tolist())
    return Scan(accepted, columns, remarks, reasons)
