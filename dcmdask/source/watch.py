"""What a process that reads tells whoever watches over it, and what it counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from dcmdask.types import NO_ROW, Kind


@dataclass(slots=True)
class Tally:
    """What fetching has seen, counted apart from what reading makes of it.

    Attributes
    ----------
    files, members, containers : int
        Files; members of archives; archives that only stand for their members, less the further
        pieces of archives that are failures of their own: no file is counted for these.
    bytes_read : int
        Bytes read of files, before any inflation.
    """

    files: int = 0
    members: int = 0
    containers: int = 0
    bytes_read: int = 0


@dataclass(frozen=True, slots=True)
class RowWatch:
    """What whoever watches over a process that reads wants to know, and has found out before.

    Attributes
    ----------
    begin : callable
        Told the number of each row before it is opened; `NO_ROW` where several are read at once,
        `ELSEWHERE` behind the last one.
    left_out : mapping
        Number of a row to the kind and message of the failure that it is without being opened.
    singly : bool
        Whether no file is read together with others, so that `begin` names the one at fault also
        where a header is, not its file.
    beat : callable
        Told that a row goes on: an archive is one row, and may honestly take minutes.
    """

    begin: Callable[[int], None] = lambda _row: None
    left_out: Mapping[int, tuple[Kind, str]] = field(default_factory=dict)
    singly: bool = False
    beat: Callable[[], None] = lambda: None

    def behind(self, rows: int) -> RowWatch:
        """Return the same for rows that come behind so many others: none of these is blamed."""
        begin = self.begin
        return replace(
            self, begin=lambda row: begin(row + rows if row > NO_ROW else row), left_out={}
        )


UNWATCHED = RowWatch()
"""Nobody watches."""
