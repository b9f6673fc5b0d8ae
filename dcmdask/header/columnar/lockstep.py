"""Take files at an element each; move all of them one element on, with a few array operations.

A step costs little more for a thousand files than for one. Only what is certain is passed: a file
that departs from the plain way in anything is left to pydicom, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dcmdask.dicom.sequence_items import ITEM, ITEM_END, SEQUENCE_END, UNDEFINED
from dcmdask.header.bounds import LAST
from dcmdask.header.columnar.elements import (
    DEEPEST,
    DELIMITERS,
    IS_LONG,
    IS_SEQUENCE,
    KIND_OF_VR,
    META,
    NO_END,
    OTHER,
    VRS,
    Flags,
    Int,
    Slots,
    is_public_sequence,
    slots_of,
)
from dcmdask.header.columnar.state import State


@dataclass(frozen=True, slots=True)
class _Elements:
    """The element at which each active file stands.

    Attributes
    ----------
    tag, length : numpy.ndarray of int64
        Of the element.
    vr : numpy.ndarray of uint16 or None
        Its two letters; None in implicit VR.
    header : numpy.ndarray of int64 or int
        Bytes before the value.
    long, strange : numpy.ndarray of bool
        Whether its length takes four bytes; whether its VR is none.
    """

    tag: Int
    vr: npt.NDArray[np.uint16] | None
    length: Int
    header: Int | int
    long: Flags
    strange: Flags


@dataclass(frozen=True, slots=True)
class Lockstep:
    """How files of one encoding are walked.

    Attributes
    ----------
    state : State
        Of the walk.
    implicit : bool
        Whether elements have no VR.
    meta : bool
        Whether the walk ends with the file meta group (PS3.10 section 7.1).
    """

    state: State
    implicit: bool = False
    meta: bool = False

    def walk(self, active: Int) -> None:
        """Walk files until all have retired."""
        while len(active):
            active = self.once(active)

    def once(self, active: Int) -> Int:
        """Move files one element on; give those that go on."""
        state = self.state
        inside = state.depth[active] > 0
        if inside.any():
            self._leave_items(active[inside])
            active = state.still(active)
        active = self._with_room(active)
        at = state.position[active] >> 1
        if self.meta:
            inside = state.u16[at] == META
            active, at = active[inside], at[inside]
        elements = self._read_elements(at)
        # The length of a long element stands four bytes further on: pydicom reads it before it
        # stops, whatever the tag.
        if elements.long.any():
            lacking = elements.long & (state.position[active] + 12 > state.end[active])
            if lacking.any():
                self._at_end(active[lacking])
                active = active[~lacking]
                elements = self._read_elements(at[~lacking])
        return self._step(active, elements)

    def _with_room(self, active: Int) -> Int:
        room = self.state.position[active] + 8 <= self.state.end[active]
        if room.all():
            return active
        self._at_end(active[~room])
        return active[room]

    def _read_elements(self, at: Int) -> _Elements:
        """Read tag, VR and length of the element at each position (in units of two bytes)."""
        u16 = self.state.u16
        tag = (u16[at].astype(np.int64) << 16) | u16[at + 1]
        third, fourth = u16[at + 2], u16[at + 3].astype(np.int64)
        if self.implicit:
            none = np.zeros(len(at), bool)
            return _Elements(tag, None, third | (fourth << 16), 8, none, none)
        kind = KIND_OF_VR[third]
        long = kind >= IS_LONG
        length, header = fourth, np.full(len(at), 8)
        if long.any():
            far = at[long]
            length[long] = u16[far + 4] | (u16[far + 5].astype(np.int64) << 16)
            header[long] = 12
        return _Elements(tag, third, length, header, long, kind == OTHER)

    def _step(self, active: Int, elements: _Elements) -> Int:
        """Move every active file one element on; give those that go on."""
        state = self.state
        tag, length = elements.tag, elements.length
        depth = state.depth[active]
        delimiter = (tag >> 16) == DELIMITERS
        top = depth == 0
        finished = top & (tag > LAST) & ~delimiter
        state.behind[active[finished]] = True
        special = elements.strange | delimiter | (length == UNDEFINED) | ((depth & 1) == 1)
        special &= ~finished
        slot, wanted = slots_of(tag, meta=self.meta)
        wanted &= top
        nested = special & wanted
        if nested.any():
            # A sequence where a value is wanted: what that comes to is for pydicom to say.
            state.reason[active[nested]] = "value_vr"
            special &= ~nested
        if special.any():
            vr = None if elements.vr is None else elements.vr[special]
            self._pass_special(active[special], tag[special], length[special], vr)
        plain = self._pass_plain(active, elements, slot, ~(special | finished | nested), wanted)
        going_on: Int = active[plain | (special & (state.reason[active] == ""))]
        return going_on

    def _pass_plain(
        self, active: Int, elements: _Elements, slot: Slots, plain: Flags, wanted: Flags
    ) -> Flags:
        """Move files on whose element is plain, and record wanted values; give which moved on."""
        state = self.state
        length = elements.length
        position = state.position[active]
        odd = plain & ((length & 1) == 1)
        if odd.any():
            state.reason[active[odd]] = "odd_length"
            plain = plain & ~odd
        wanted = wanted & plain
        begin = position + elements.header
        after = begin + length
        over = plain & (after > state.end[active])
        if over.any():
            # A wanted value is read again from its element on, any other is passed over.
            self._over_end(active[over], np.where(wanted, position, after)[over])
            plain = plain & ~over
            wanted = wanted & plain
        if wanted.any():
            files, slots = active[wanted], slot[wanted]
            state.offsets[slots, files] = begin[wanted]
            state.lengths[slots, files] = length[wanted]
            state.vr[slots, files] = VRS[slots] if elements.vr is None else elements.vr[wanted]
        state.position[active[plain]] = after[plain]
        return plain

    def _leave_items(self, files: Int) -> None:
        """Leave items of defined length that have been walked to their end.

        pydicom parses such an item element by element too, so that one whose elements do not fit
        its length reads differently from one that is passed over.
        """
        state = self.state
        files = files[(state.depth[files] & 1) == 0]
        ends = state.item_end[state.depth[files], files]
        position = state.position[files]
        state.reason[files[position > ends]] = "items"
        state.depth[files[position == ends]] -= 1

    def _pass_special(
        self, files: Int, tag: Int, length: Int, vr: npt.NDArray[np.uint16] | None
    ) -> None:
        """Move files on that stand at an item, a delimiter, or an element of undefined length."""
        state = self.state
        depth = state.depth[files]
        between = (depth & 1) == 1
        into = between & (tag == ITEM)
        out = between & (tag == SEQUENCE_END)
        # The delimiter of an item whose length is defined belongs to what is in it.
        is_open = state.item_end[depth, files] == NO_END
        done = ~between & (tag == ITEM_END) & (depth > 0) & is_open
        enter = ~between & ((tag >> 16) != DELIMITERS) & (length == UNDEFINED)
        no_vr = ~between & ((tag >> 16) != DELIMITERS) & ~enter
        state.reason[files[no_vr]] = "vr"
        state.reason[files[~(into | out | done | enter | no_vr)]] = "items"
        if into.any():
            self._enter_items(files[into])
        state.depth[files[out | done]] -= 1
        state.position[files[out | done]] += 8
        if enter.any():
            self._enter_sequences(files[enter], tag[enter], None if vr is None else vr[enter])

    def _enter_items(self, files: Int) -> None:
        state = self.state
        at = state.position[files] >> 1
        # Items have no VR in any encoding (PS3.5 section 7.5).
        length = state.u16[at + 2] | (state.u16[at + 3].astype(np.int64) << 16)
        state.depth[files] += 1
        state.position[files] += 8
        ends = np.where(length == UNDEFINED, NO_END, state.position[files] + length)
        state.item_end[state.depth[files], files] = ends

    def _enter_sequences(self, files: Int, tag: Int, vr: npt.NDArray[np.uint16] | None) -> None:
        """Enter what is a sequence of undefined length beyond doubt."""
        state = self.state
        if vr is None:
            tags, which = np.unique(tag, return_inverse=True)
            sequence = np.array([is_public_sequence(one) for one in tags.tolist()], bool)[which]
        else:
            sequence = KIND_OF_VR[vr] == IS_SEQUENCE
        deep = sequence & (state.depth[files] + 2 > DEEPEST)
        state.reason[files[~sequence]] = "undefined_length"
        state.reason[files[deep]] = "depth"
        entered = files[sequence & ~deep]
        state.depth[entered] += 1
        state.position[entered] += 8 if vr is None else 12

    def _at_end(self, files: Int) -> None:
        """Retire files whose window ends: the header too, or a second window is needed."""
        state = self.state
        position, final = state.position[files], state.final[files]
        clean = final & (position == state.end[files]) & (state.depth[files] == 0)
        state.reason[files[final & ~clean]] = "cut"
        state.wait(files[~final], position[~final])

    def _over_end(self, files: Int, resume: Int) -> None:
        """Retire files with an element that ends beyond the window."""
        final = self.state.final[files]
        self.state.reason[files[final]] = "cut"
        self.state.wait(files[~final], resume[~final])
