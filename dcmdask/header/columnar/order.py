"""Take files at an element behind all that is wanted; find those in which something may follow.

Only what is certain is accepted: such a file is left to the reader of record, with the reason.
"""

from __future__ import annotations

import numpy as np

from dcmdask.header.bounds import EXPECTED, IDENTITY, LAST, PIXELS, may_be_image
from dcmdask.header.columnar.columns import texts_of
from dcmdask.header.columnar.elements import (
    IS_LONG,
    KIND_OF_VR,
    LONGEST_HEAD,
    OTHER,
    SLOT,
    Flags,
    Int,
)
from dcmdask.header.columnar.state import State

_EXPECTED = [SLOT[word] for word in EXPECTED]
_IDENTITY = [SLOT[word] for word in IDENTITY]


def unsettled_of(state: State, files: Int) -> Int:
    """Return the files in which something is missing that an instance must have."""
    held = state.lengths[:, files] > 0
    missing = np.logical_not(held[_IDENTITY].all(axis=0))
    rowless = np.flatnonzero(~missing & ~held[SLOT["Rows"]])
    if len(rowless):
        texts, which = texts_of(state, SLOT["SOPClassUID"], files[rowless])
        missing[rowless] = np.array([may_be_image(text) for text in texts], bool)[which]
    unsettled: Int = files[missing]
    return unsettled


def look_on(state: State, files: Int, implicit: Flags) -> None:
    """Return up those files in which an element stands behind others of a higher tag.

    Parameters
    ----------
    state : State
        First windows, walked.
    files : numpy.ndarray of int64
        Those that stand at an element behind all that is wanted. Where all is there that may be
        expected they are not looked at: what else could follow is optional.
    implicit : numpy.ndarray of bool
        Which files of the walk are implicit VR.

    Notes
    -----
    Plain elements are passed, as far as the first window reaches. `dcmdask.header.light` looks
    exactly so far.
    """
    expected = (state.offsets[_EXPECTED][:, files] >= 0).all(axis=0)
    files = files[~expected]
    position, end = state.position[files], state.end[files]
    while len(files):
        room = position + 8 <= end
        files, position, end = files[room], position[room], end[room]
        word = state.u64[position >> 1]
        tag = ((word & 0xFFFF) << 16 | (word >> 16) & 0xFFFF).astype(np.int64)
        low = tag <= LAST
        state.reason[files[low]] = "order"
        header, length, plain = _measure(state, position, word, implicit[files])
        plain &= ~low & (tag < PIXELS) & (position + header <= end)
        position = (position + header + length)[plain]
        files, end = files[plain], end[plain]


def _measure(state: State, position: Int, word: Int, implicit: Flags) -> tuple[Int, Int, Flags]:
    """Return the bytes before and of each value, and whether the element is a plain one."""
    kind = KIND_OF_VR[(word >> 32) & 0xFFFF]
    long = (kind >= IS_LONG) & ~implicit
    header = np.where(long, LONGEST_HEAD, 8)
    # A length of four bytes ends the head, wherever that ends.
    wide = (state.u64[(position + header - 8) >> 1] >> 32).astype(np.int64)
    length = np.where(long | implicit, wide, (word >> 48).astype(np.int64))
    # Delimiters have no VR; undefined lengths are odd.
    is_delimiter = (word & 0xFFFF) == 0xFFFE
    plain: Flags = (implicit | (kind != OTHER)) & ~is_delimiter & ((length & 1) == 0)
    return header, length, plain
