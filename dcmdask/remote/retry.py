"""Take what failed of a store; say whether and when to try again, and when the store is down."""

from __future__ import annotations

import random
import threading
import time

from dcmdask.errors import StoreDownError

ATTEMPTS = 9
"""Of one read or write: with pauses that are half a minute on the whole."""

_PAUSE = 0.1
_LONGEST_PAUSE = 10.0
_LEAST = 6
"""Attempts that must have failed before a store may be down: one slow read alone says nothing."""


def pause_before(attempt: int) -> float:
    """Return the seconds to wait before an attempt (1 is the second): backoff with full jitter.

    Many readers whose store was busy at one moment must not all come back at one moment.
    """
    return random.uniform(0, min(_LONGEST_PAUSE, _PAUSE * 2**attempt))  # noqa: S311 - no secret


class Health:
    """What has come of a store of late, over all that was asked of it by this process.

    Parameters
    ----------
    url : str
        Of the container.
    longest : float
        Seconds in which nothing at all comes of it before it is asked whether it is down.
    """

    def __init__(self, url: str, longest: float) -> None:
        self._url = url
        self._longest = longest
        self._lock = threading.Lock()
        self._failed = 0
        self._since = 0.0
        self._down: StoreDownError | None = None

    def renew(self) -> None:
        """Forget what was: whoever begins now finds out by himself."""
        self._failed = 0
        self._down = None

    def succeed(self) -> None:
        """Note that it answered."""
        self._failed = 0

    def fail(self) -> None:
        """Note that it did not."""
        with self._lock:
            if not self._failed:
                self._since = time.monotonic()
            self._failed += 1

    @property
    def is_silent(self) -> bool:
        """Whether nothing at all has come of it for so long that it may be down."""
        return self._failed >= _LEAST and time.monotonic() - self._since > self._longest

    def lose(self, words: str) -> StoreDownError:
        """Note that it is down; give the error that says so."""
        self._down = self.down(words)
        return self._down

    def check(self) -> None:
        """Raise what `lose` gave, if it did: a reader may have taken it for another error."""
        if self._down is not None:
            raise self._down

    def down(self, words: str) -> StoreDownError:
        """Return the error of a store that does not answer."""
        remedy = "check the network and the endpoint; the same command goes on where it stopped"
        return StoreDownError(self._url, f"it does not answer ({words})", remedy)
