"""Where each file of a walk stands, and what was found in it so far."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dcmdask.dicom.windows import META_AT, WINDOW, Windows
from dcmdask.header.columnar.elements import DEEPEST, NO_END, TAGS, Int, Words

_BEFORE = 2
"""Bytes of a second window that have been seen."""


@dataclass(slots=True)
class State:
    """The files of a walk; every array is indexed by file, in its last axis.

    Parameters
    ----------
    windows : Windows
        The bytes; first windows are filled.

    Attributes
    ----------
    u16, u64 : numpy.ndarray
        The buffer in units of two bytes, and the eight bytes that begin at each of these: elements
        of well-formed files begin at even offsets. `u64` is not aligned, and overlaps itself.
    position, end : numpy.ndarray of int64
        Where in the buffer the next element of a file begins, and where its bytes end.
    depth : numpy.ndarray of int16
        Odd inside a sequence of undefined length, where items follow each other; even in an item.
    item_end : numpy.ndarray of int64
        Where the item of each depth ends, shape (depth, files).
    final : numpy.ndarray of bool
        Whether the file ends where its window does.
    offsets, lengths, vr : numpy.ndarray
        Of each wanted element, shape (slots, files); the offset is -1 where it was not met.
    behind : numpy.ndarray of bool
        Whether it stands at an element behind all that is wanted.
    reason : numpy.ndarray of object
        Why a file is left to pydicom; empty for none.
    pending : dict
        File to the offset in it where its second window begins.
    """

    windows: Windows
    u16: npt.NDArray[np.uint16] = field(init=False)
    u64: Words = field(init=False)
    position: Int = field(init=False)
    end: Int = field(init=False)
    depth: npt.NDArray[np.int16] = field(init=False)
    item_end: Int = field(init=False)
    final: npt.NDArray[np.bool_] = field(init=False)
    offsets: Int = field(init=False)
    lengths: Int = field(init=False)
    vr: npt.NDArray[np.uint16] = field(init=False)
    behind: npt.NDArray[np.bool_] = field(init=False)
    reason: npt.NDArray[np.object_] = field(init=False)
    pending: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        files = self.windows.files
        buffer = self.windows.buffer
        self.u16 = buffer.view("<u2")
        self.u64 = np.ndarray((len(self.u16) - 4,), "<u8", buffer.data, 0, (2,))
        start = np.arange(files, dtype=np.int64) * WINDOW
        self.position = start + META_AT
        self.end = start + self.windows.filled[:files]
        self.depth = np.zeros(files, np.int16)
        self.item_end = np.full((DEEPEST + 1, files), NO_END, np.int64)
        self.final = self.windows.whole.copy()
        self.offsets = np.full((len(TAGS), files), -1, np.int64)
        self.lengths = np.zeros((len(TAGS), files), np.int64)
        self.vr = np.zeros((len(TAGS), files), np.uint16)
        self.behind = np.zeros(files, bool)
        self.reason = np.full(files, "", object)
        self.pending = {}

    def still(self, files: Int) -> Int:
        """Return those files that nothing speaks against so far."""
        good: Int = files[self.reason[files] == ""]
        return good

    def wait(self, files: Int, where: Int) -> None:
        """Note where the second windows of files begin; only first windows are resumed.

        They begin a little before: whether a value that was passed over is there at all shows by
        its last bytes.
        """
        begin = (where - files * WINDOW - _BEFORE).tolist()
        self.pending.update(zip(files.tolist(), begin, strict=True))

    def give_up_waiting(self) -> None:
        """Leave files to pydicom for which there is no further window."""
        self.reason[list(self.pending)] = "outgrown"
        self.pending = {}

    def resume(self, files: Int, resume_at: Int, last: npt.NDArray[np.bool_]) -> None:
        """Let files go on in their second windows.

        Parameters
        ----------
        files, resume_at : numpy.ndarray of int64
            Which, and the offset in each where its second window begins.
        last : numpy.ndarray of bool
            Whether each file ends with that window.
        """
        rows = self.windows.files + files
        self.reason[files[self.windows.filled[rows] < _BEFORE]] = "cut"
        self.position[files] = rows * WINDOW + _BEFORE
        # Ends of items that are still open move with the window.
        held = self.item_end[:, files]
        moved = held - files * WINDOW - resume_at + rows * WINDOW
        self.item_end[:, files] = np.where(held == NO_END, held, moved)
        self.end[files] = rows * WINDOW + self.windows.filled[rows]
        self.final[files] = last
