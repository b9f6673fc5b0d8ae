"""What a run and its reading process say to each other, and how it is sent through a pipe."""

from __future__ import annotations

import pickle
import queue
import struct
from dataclasses import dataclass
from typing import IO, Any

from dcmdask.config import ReadOptions
from dcmdask.execution.isolation import Blames
from dcmdask.types import Partition

READY = "ready"
"""What a reading process says first: it has loaded."""

_LENGTH = struct.Struct("<Q")
# What the other side can make of a message by dying in the middle of it, or by saying another.
_UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    MemoryError,
    OverflowError,
    struct.error,
    pickle.UnpicklingError,
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A request to read a slice of a partition.

    Attributes
    ----------
    partition : Partition
        The slice.
    options : ReadOptions
        How it is read.
    left_out : mapping of int to tuple
        Rows of it that are not opened: the failures that they are, as they are to blame for what
        was lost.
    singly : bool
        Whether files are read one by one.
    """

    partition: Partition
    options: ReadOptions
    left_out: Blames
    singly: bool


def send(stream: IO[bytes], message: Any) -> None:
    """Send a message.

    Raises
    ------
    OSError
        The other side is gone.
    """
    body = pickle.dumps(message)
    stream.write(_LENGTH.pack(len(body)) + body)
    stream.flush()


def listen(stream: IO[bytes], messages: queue.SimpleQueue[Any]) -> None:
    """Pass on what the other side says; None when it is gone, be it in the middle of a word."""
    try:
        while head := stream.read(_LENGTH.size):
            messages.put(pickle.loads(stream.read(_LENGTH.unpack(head)[0])))  # noqa: S301 - our own child
    except _UNREADABLE:
        pass
    finally:
        messages.put(None)
