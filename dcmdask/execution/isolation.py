"""Take how the reading of some rows was lost; give which rows to read next, and which to record.

A partition is read whole first. Where that is lost, it is cut at the row at fault: what lies before
it is read once more, the row itself alone or not again, what lies behind it goes on. So every row is
read twice at most, however many files hang or kill, and not once more for each of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto

from dcmdask.types import NO_ROW, Kind

Blames = Mapping[int, tuple[Kind, str]]
"""Number of a row to the kind and message of the failure that it is without being opened."""

_PATIENT = 4
"""Files that hang one behind the other before they are waited for less: by then it is the disk."""

_PATIENT_IN_ALL = 8
"""Files of one partition that may take the full time, also with others between them that are read:
a minute each, that is as long as a partition of an honest network share takes."""

_IMPATIENCE = 0.1
"""Part of the time that a file gets then."""

_MOST_IN_A_ROW = 8
"""Files that hang one behind the other before the rest of their partition is not tried any more.
The next partition begins with half as many, and with little patience: of a share that is gone, it
costs 4 minutes to find out, then 24 seconds each 4,096 files. All of it is tried again next time."""

_MOST = 64
"""Files that hang in one partition, wherever, before the rest of it is not tried any more."""

_ONE_BY_ONE = 8
"""Losses of one partition after which what is left is read in order, file by file: among many at
once, describing comes after all have been opened, and each loss there would cost all of them."""

_UNTRIED = (Kind.TIMEOUT, "not waited for: too many files before it hung")


class Why(Enum):
    """How a reading process was lost."""

    HUNG = auto()
    LATE = auto()
    DIED = auto()
    RAISED = auto()
    NO_MEMORY = auto()


_CERTAIN = (Why.HUNG, Why.RAISED)
"""What one file does by itself. A process may also be killed by somebody else, or be out of memory
or of time for what it read before: then the file is read once more, alone, before it is blamed."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Rows that were not read.

    Attributes
    ----------
    why : Why
        How the reading process was lost.
    kind, words : Kind, str
        What the file at fault is recorded as.
    row : int
        The row that it was at, counted from the start of the partition; negative for none.
    """

    why: Why
    kind: Kind
    words: str
    row: int


@dataclass(frozen=True, slots=True)
class Span:
    """Rows that are read together, counted from the start of their partition.

    Attributes
    ----------
    start, stop : int
        The rows.
    singly : bool
        Whether they are read one after the other, so that it shows which is at fault.
    """

    start: int
    stop: int
    singly: bool = False


class Search:
    """What of one partition is still to be read, and what is known to be at fault.

    Parameters
    ----------
    rows : int
        Rows of the partition.
    hung : int
        Files that hung one behind the other before it.

    Attributes
    ----------
    left_out : dict
        `Blames` so far.
    hung : int
        Files that hung one behind the other, to this point.
    """

    def __init__(self, rows: int, hung: int = 0) -> None:
        self.left_out: dict[int, tuple[Kind, str]] = {}
        self.hung = min(hung, _PATIENT)
        self._hung_in_all = 0
        self._losses = 0
        self._suspects: set[int] = set()
        self._waiting = [Span(0, rows)]

    def next(self) -> Span | None:
        """Return what to read next; None when all is read."""
        if not self._waiting:
            return None
        span = self._waiting.pop()
        return replace(span, singly=span.singly or self._losses >= _ONE_BY_ONE)

    def blames(self, span: Span) -> Blames:
        """Return what is not opened of a span, by row from its own start."""
        rows = range(span.start, span.stop)
        return {row - span.start: self.left_out[row] for row in rows if row in self.left_out}

    def is_open(self, span: Span) -> bool:
        """Tell whether anything of a span is opened at all."""
        return len(self.blames(span)) < span.stop - span.start

    def patience(self, seconds: float) -> float:
        """Return the seconds that a file may hang, of those that it might by the settings."""
        patient = self.hung < _PATIENT and self._hung_in_all < _PATIENT_IN_ALL
        return seconds if patient else seconds * _IMPATIENCE

    def succeed(self, span: Span) -> None:
        """Take note that a span was read."""
        if self.is_open(span):
            self.hung = 0

    def lose(self, span: Span, loss: Loss) -> None:
        """Take note that a span was lost; blame a row, or have it read in smaller pieces."""
        self._losses += 1
        if loss.why is Why.HUNG:
            self._count_hang(span, loss.row)
        rows = [row for row in range(span.start, span.stop) if row not in self.left_out]
        if len(rows) == 1:
            if self._is_proven(rows[0], loss):
                self._blame(rows[0], loss)
            self._cut(span)
        elif loss.row in rows:
            self._cut_at(span, loss)
        elif loss.row == NO_ROW and loss.why is not Why.LATE and not span.singly:
            # Headers of many files were being scanned at once: one by one, it will show whose.
            self._waiting.append(replace(span, singly=True))
        else:
            self._cut(span, (span.start + span.stop) // 2)
        if self.hung >= _MOST_IN_A_ROW or self._hung_in_all >= _MOST:
            self._give_up(loss.row + 1)

    def _count_hang(self, span: Span, row: int) -> None:
        # What it hung at is the first that was tried since it last hung, or others were read.
        self.hung = self.hung + 1 if row in (span.start, NO_ROW) else 1
        self._hung_in_all += 1

    def _is_proven(self, row: int, loss: Loss) -> bool:
        """Tell whether a row that was read alone is to blame, or is read once more."""
        proven = row in self._suspects or loss.why not in (Why.DIED, Why.NO_MEMORY)
        self._suspects.add(row)
        return proven

    def _cut_at(self, span: Span, loss: Loss) -> None:
        row = loss.row
        if loss.why in _CERTAIN:
            self._blame(row, loss)
            self._cut(span, row + 1)
        elif loss.why is Why.LATE:
            # What was read in all the time that there is will hardly be read in it again.
            self._cut(span, (span.start + row) // 2, row, row + 1)
        else:
            self._suspects.add(row)
            self._cut(span, row, row + 1)

    def _blame(self, row: int, loss: Loss) -> None:
        self.left_out[row] = (loss.kind, f"{loss.words} while reading it")

    def _cut(self, span: Span, *at: int) -> None:
        """Have the pieces of a span read, the first of them next."""
        edges = [span.start, *at, span.stop]
        pieces = [
            replace(span, start=start, stop=stop)
            for start, stop in itertools.pairwise(edges)
            if start < stop
        ]
        self._waiting.extend(reversed(pieces))

    def _give_up(self, behind: int) -> None:
        """Try nothing any more from a row on; what lies before it was there to be opened."""
        for span in self._waiting:
            for row in range(max(span.start, behind), span.stop):
                self.left_out.setdefault(row, _UNTRIED)
