"""Signals that end a command: raised where it can clean up, held back while it publishes.

Only the command line has them handled. A library leaves signals to the program that uses it: there
all of this does nothing.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_CLEANING = 10.0
"""Seconds after a signal in which no other one is heard: whoever presses Ctrl-C twice ends nothing
sooner, and what is being put in order would be left half done."""


class Ended(BaseException):
    """A signal other than Ctrl-C has ended the command.

    Parameters
    ----------
    number : int
        Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")


class _Signals:
    """What was received, and whether it may be raised now."""

    def __init__(self) -> None:
        self.first: int | None = None
        self.is_published = False
        self._heard = 0.0
        self._is_held = False

    def receive(self, number: int, _frame: FrameType | None) -> None:
        """Raise, unless that would interrupt what is being put in order."""
        now = time.monotonic()
        if self.first is not None and now - self._heard < _CLEANING:
            return
        self.first, self._heard = self.first or number, now
        self.check()

    def check(self) -> None:
        """Raise what was received, if now is a time for it."""
        if self.first is None or self._is_held:
            return
        raise KeyboardInterrupt if self.first == signal.SIGINT else Ended(self.first)

    def hold(self, is_held: bool) -> None:
        """Raise nothing from now on, or again."""
        self._is_held = is_held


_signals = _Signals()


@contextmanager
def handled() -> Iterator[None]:
    """Have the signals that end a command raised in its main thread.

    One that is ignored stays so, as SIGHUP is under ``nohup``.
    """
    global _signals  # noqa: PLW0603 - a process has one set of handlers
    _signals = _Signals()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    for name in _NAMES:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
            before[number] = signal.signal(number, _signals.receive)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def check() -> None:
    """Raise what was raised before where nobody saw it, as in a callback of the collector."""
    _signals.check()


def hold() -> None:
    """Raise nothing from now on: a catalog is being put in place, which is a matter of moments."""
    _signals.hold(True)


def let_go(*, published: bool) -> None:
    """Raise again what is received; say whether a catalog stands by now."""
    _signals.hold(False)
    _signals.is_published |= published


def ended_by() -> tuple[int, bool]:
    """Return the signal that has ended the command, and whether it had published by then."""
    return _signals.first or signal.SIGINT, _signals.is_published
