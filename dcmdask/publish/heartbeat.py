"""A run says that it lives, every few seconds, to whoever cannot see its process."""

from __future__ import annotations

import threading
from collections.abc import Callable

SECONDS = 10.0
"""Between two signs of life."""

STALE = 60.0
"""Seconds without one after which a run is taken for dead: five may be lost on the way."""


class Heartbeat:
    """A thread that says so until it is ended, or this process is.

    Parameters
    ----------
    name : str
        Of the thread.
    say : callable
        Says it once; what it raises ends the thread.
    """

    def __init__(self, name: str, say: Callable[[], None]) -> None:
        self._name = name
        self._say = say
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._go_on, daemon=True, name=self._name).start()

    def end(self) -> None:
        """Say nothing any more."""
        self._ended.set()

    def _go_on(self) -> None:
        while not self._ended.wait(SECONDS):
            self._say()
