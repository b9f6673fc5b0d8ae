"""Two numbers that a run and its reading process both see: no message could be sent from every state."""

from __future__ import annotations

import itertools
import mmap
import os
import struct
import sys
from functools import partial

from dcmdask.system import scratch
from dcmdask.types import ELSEWHERE

_NUMBERS = struct.Struct("qq")
_names = itertools.count()


class SharedRow:
    """Two numbers in memory that both processes see: the row the child is at, and its beats.

    No message: the child may be in no state to send one, and one a file would cost more than
    reading some of them. It has no name that could be left behind: a file that was never seen, or,
    where there are no such, memory that goes with its last user.

    Parameters
    ----------
    place : str
        What the child finds it by: the number of a handle that it inherits, or a name.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self.handles: tuple[int, ...] = ()
        if sys.platform == "win32":
            self._memory = mmap.mmap(-1, _NUMBERS.size, tagname=place)
        else:
            self.handles = (int(place),)
            self._memory = mmap.mmap(int(place), _NUMBERS.size)
        self._view = memoryview(self._memory).cast("q")
        # Called before every file that is opened: a tenth of what a function of Python would cost.
        self.set = partial(self._view.__setitem__, 0)

    @classmethod
    def make(cls) -> SharedRow:
        """Make one for a child that is about to be started."""
        if sys.platform == "win32":
            return cls(f"dcmdask-{os.getpid()}-{next(_names)}")
        with scratch.nameless_file() as file:
            file.write(_NUMBERS.pack(ELSEWHERE, 0))
            file.flush()
            return cls(str(os.dup(file.fileno())))

    def look(self) -> tuple[int, int]:
        """Return row and beats."""
        return self._view[0], self._view[1]

    def beat(self) -> None:
        """Say that the row goes on."""
        self._view[1] += 1

    def unname(self) -> None:
        """Let go of the handle: the memory itself stays."""
        for handle in self.handles:
            os.close(handle)
        self.handles = ()

    def close(self) -> None:
        """Let go of the memory."""
        del self.set
        self._view.release()
        self._memory.close()
        self.unname()
