"""Take files that begin alike; move them along the layout of one of them, many elements at once.

What is passed here is passed for certain, so that nothing else need know of it: a file that cannot
follow, or has come to the end of the layout, is walked on in lockstep from where it stands.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from dcmdask.dicom.windows import WINDOW
from dcmdask.header.columnar.elements import (
    LONGEST_HEAD,
    VRS,
    Flags,
    Int,
    Words,
    slot_of,
)
from dcmdask.header.columnar.layout import Layout, Segment, lay_out
from dcmdask.header.columnar.lockstep import Lockstep

_FEWEST = 128
"""Files that are worth leading: fewer cost more here than in lockstep, where all walk together."""

_LEADERS = 8
_TRIES = 3
"""Elements of its own that a file may have in one place before it no longer follows."""

_MOST_STEPS = 512
"""Steps of the lockstep that one leader may cost: data without any order are walked at once."""


def follow(lockstep: Lockstep, files: Int) -> Int:
    """Move files along as far as any of them can lead.

    Parameters
    ----------
    lockstep : Lockstep
        How they are walked.
    files : numpy.ndarray of int64
        All at a top-level element.

    Returns
    -------
    numpy.ndarray of int64
        Those that have to be walked on.
    """
    done = []
    for _ in range(_LEADERS):
        if len(files) < _FEWEST:
            break
        # The one that is the least far: others may join it on their way.
        leader = int(np.argmin(_tags(lockstep, files)))
        layout = _lay_out(lockstep, int(files[leader]))
        if not len(layout):
            done.append(files[leader : leader + 1])
            files = np.delete(files, leader)
            continue
        group = _Group(lockstep, layout)
        group.join(files)
        group.run()
        done.append(group.done())
        files = group.lost()
    return np.concatenate([*done, files])


def _lay_out(lockstep: Lockstep, leader: int) -> Layout:
    state = lockstep.state
    position, end = int(state.position[leader]), int(state.end[leader])
    begin = position // WINDOW * WINDOW
    row = memoryview(state.windows.buffer.data)[begin:end]
    words = state.u64[position >> 1 : end >> 1]
    return lay_out(row, position - begin, words, implicit=lockstep.implicit, meta=lockstep.meta)


def _tags(lockstep: Lockstep, files: Int) -> Int:
    """Return the tag at which each file stands; that of one whose window ends may be anything."""
    state = lockstep.state
    words = state.u64[state.position[files] >> 1]
    tags: Int = ((words & 0xFFFF) << 16 | (words >> 16) & 0xFFFF).astype(np.int64)
    return tags


@dataclass(slots=True)
class _Group:
    """Files on their way along one layout.

    Parameters
    ----------
    lockstep : Lockstep
        What passes elements that are not the leader's.
    layout : Layout
        Of the leader.
    """

    lockstep: Lockstep
    layout: Layout
    _waiting: dict[int, list[Int]] = field(default_factory=lambda: defaultdict(list))
    _lost: list[Int] = field(default_factory=list)
    _apart: list[Int] = field(default_factory=list)
    _steps: int = 0

    def join(self, files: Int) -> None:
        """Let files on at the elements at which they stand; those that stand at none are lost."""
        self._lost.append(self._let_on(files, 0))

    def run(self) -> None:
        """Move all along, those that are least far first, so that they meet again."""
        for number in range(len(self.layout)):
            while number in self._waiting:
                files = np.concatenate(self._waiting.pop(number))
                if len(files) < _FEWEST:
                    self._apart.append(files)
                else:
                    self._pass(files, number)

    def done(self) -> Int:
        """Return the files at the end of the layout, near that of their window, or not to be led."""
        return _joined([*self._waiting.get(len(self.layout), []), *self._apart])

    def lost(self) -> Int:
        """Return the files that follow no longer, at the top level."""
        return _joined(self._lost)

    def _let_on(self, files: Int, start: int) -> Int:
        """Let files on; give those that stand at no element of the layout."""
        tags, which = np.unique(_tags(self.lockstep, files), return_inverse=True)
        spots = np.array([self.layout.tags.get(tag, -1) for tag in tags.tolist()], np.int64)
        spots[spots < start] = -1
        for number in spots[spots >= 0].tolist():
            self._waiting[number].append(files[spots[which] == number])
        strangers: Int = files[spots[which] < 0]
        return strangers

    def _pass(self, files: Int, start: int) -> None:
        """Pass one stretch with files that stand at its first element."""
        state = self.lockstep.state
        segment = self.layout.segment(start)
        position = state.position[files]
        room = position + segment.last + LONGEST_HEAD <= state.end[files]
        if not room.all():
            self._apart.append(files[~room])
            files, position = files[room], position[room]
        at = position >> 1
        equal = state.u64[at[:, None] + (segment.lanes >> 1)] == segment.expected
        good = equal.all(axis=1)
        parted = np.full(len(files), segment.stop - 1)
        if not good.all():
            parted[~good] = segment.elements[equal[~good].argmin(axis=1)]
        if segment.loose is not None:
            heads = state.u64[at + (segment.last >> 1)]
            good &= (heads & segment.mask) == segment.head
            self._pass_loose(files[good], position[good] + segment.last, heads[good], segment)
        else:
            state.position[files[good]] = position[good] + segment.last
            self._waiting[segment.stop].append(files[good])
        if not good.all():
            self._part(files[~good], position[~good], parted[~good], start)

    def _pass_loose(self, files: Int, position: Int, heads: Words, segment: Segment) -> None:
        """Pass an element by the length that each file gives it."""
        state, element = self.lockstep.state, segment.loose
        assert element is not None
        if self.layout.implicit:
            length = heads >> np.uint64(32)
        elif element.header == LONGEST_HEAD:
            length = state.u64[(position + 4) >> 1] >> np.uint64(32)
        else:
            length = heads >> np.uint64(48)
        length = length.astype(np.int64)
        begin = position + element.header
        after = begin + length
        good = ((length & 1) == 0) & (after <= state.end[files])
        if not good.all():
            # Undefined lengths are odd, and beyond any window.
            state.position[files[~good]] = position[~good]
            self._apart.append(files[~good])
            files, begin, length, after = files[good], begin[good], length[good], after[good]
        state.position[files] = after
        slot = slot_of(element.tag, meta=self.layout.meta)
        if slot is not None:
            state.offsets[slot, files] = begin
            state.lengths[slot, files] = length
            state.vr[slot, files] = VRS[slot] if self.layout.implicit else element.vr
        self._waiting[segment.stop].append(files)

    def _part(self, files: Int, position: Int, parted: Int, start: int) -> None:
        """See how files go on whose elements are no longer the leader's.

        Parameters
        ----------
        files, position, parted : numpy.ndarray of int64
            Which, where in the buffer they had begun, and the first element that differs.
        start : int
            Element at which they had begun.
        """
        state, layout = self.lockstep.state, self.layout
        for number in np.unique(parted).tolist():
            here = parted == number
            some = files[here]
            # Back to the top level: nobody else knows of nesting that is passed in here.
            top = layout.top_of(number)
            state.position[some] = position[here] + layout.distance(start, top)
            if top == number:
                alike = self._differs_in_length(some, number)
                if alike.any():
                    self._waiting[number].append(some[alike])
                    some = some[~alike]
            if len(some) < _FEWEST:
                self._apart.append(some)
            else:
                self._own_steps(some, start)

    def _differs_in_length(self, files: Int, number: int) -> Flags:
        """Tell which files have the leader's element with another length, and allow it from now on."""
        state = self.lockstep.state
        if not self.layout.loosen(number):
            return np.zeros(len(files), bool)
        segment = self.layout.segment(number)
        alike: Flags = (state.u64[state.position[files] >> 1] & segment.mask) == segment.head
        return alike

    def _own_steps(self, files: Int, start: int) -> None:
        """Pass elements that the leader does not have, or has otherwise."""
        for _ in range(_TRIES):
            files = self._step(files)
            files = self._let_on(files, start)
        self._lost.append(files)

    def _step(self, files: Int) -> Int:
        """Pass one element with all that is in it; give the files that are back at the top level."""
        state = self.lockstep.state
        inside = files
        outside = []
        while len(inside):
            if self._steps == _MOST_STEPS:
                self._apart.append(inside)
                break
            self._steps += 1
            inside = self.lockstep.once(inside)
            top = state.depth[inside] == 0
            outside.append(inside[top])
            inside = inside[~top]
        return _joined(outside)


def _joined(files: list[Int]) -> Int:
    return np.concatenate([np.empty(0, np.int64), *files])
