"""Take a key of a store; let one run at a time hold it, as long as the run says that it lives.

A store knows no locks. It knows writes on a condition: only where there is nothing, only where the
object is still the one that was seen. Where one knows not even these, what was written is read back.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcmdask.errors import HeaderError, LockedError, OutputError, StoreError
from dcmdask.publish import heartbeat
from dcmdask.publish.heartbeat import Heartbeat
from dcmdask.remote.client import ConflictError
from dcmdask.remote.remote import Remote
from dcmdask.state.folder import reaching, read_now

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a key held when it was looked at."""

    said: dict[str, Any]
    etag: str | None
    modified: int | None

    @property
    def who(self) -> str:
        try:
            said = self.said
            return f"process {said['pid']} on {said['host']}, begun {said['began']}"
        except KeyError:
            return "another run"


class Lease:
    """Who writes in an output of a store, said in an object that is written again and again.

    Parameters
    ----------
    remote : Remote
        The container.
    key : str
        Of the object.
    place : str
        The output, for messages.
    """

    def __init__(self, remote: Remote, key: str, place: str) -> None:
        self._remote = remote
        self._key = key
        self._place = place
        self._run = secrets.token_hex(8)
        self._etag: str | None = None
        self._beats = 0
        self._lost: str | None = None
        self._held = False
        self._renewed = 0.0
        self._heartbeat = Heartbeat("dcmdask-lease", self._renew_if_reached)
        self._lock = threading.Lock()
        began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._said = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "began": began,
            "run": self._run,
            "machine": _machine(),
            "started": _started(os.getpid()),
        }

    def take(self) -> str | None:
        """Take it; give what is known of a run that ended without a word.

        Raises
        ------
        LockedError
            A run lives that holds it.
        """
        died: str | None = None
        for _ in range(_ATTEMPTS):
            # Looked at first: a store that knows no conditions would write over one that lives.
            seen = self._look()
            if seen is not None:
                self._refuse(seen)
                died = seen.who
            if self._put("" if seen is None else seen.etag):
                self._held = True
                self._heartbeat.start()
                return died
        raise LockedError(self._place, "other runs begin there now", "run again")

    def _refuse(self, seen: _Seen) -> None:
        """Raise `LockedError` where the run that was seen may live."""
        lives = _lives(seen.said)
        if lives is False:
            return
        left = math.inf if lives else heartbeat.STALE - self._age(seen)
        remedy = "wait for it, or end it"
        # A clock that was wrong may have left a time to come.
        if lives or 0 < left < 2 * heartbeat.STALE:
            if not lives:
                remedy += f"; if it was killed, its place is free in {math.ceil(left)} s"
            raise LockedError(self._place, f"{seen.who} writes there now", remedy)

    def _age(self, seen: _Seen) -> float:
        """Give the seconds since the last sign of life, by the clock of the store."""
        if seen.modified is None:
            return 0.0
        probe = f"{self._key}.{self._run}"
        with reaching(self._place):
            self._remote.put(probe, b"")
            now = self._remote.head(probe).modified
            self._remote.delete([probe])
        return 0.0 if now is None else (now - seen.modified) / 1_000_000

    def _put(self, only: str | None) -> bool:
        """Say that this run lives; tell whether the condition held and nobody else was faster."""
        self._beats += 1
        text = json.dumps({**self._said, "beats": self._beats}).encode()
        began = time.monotonic()
        try:
            with reaching(self._place):
                self._etag = self._remote.put(self._key, text, only)
            is_own = self._etag is not None or self._is_own()
        except ConflictError:
            # An answer may have been lost, and the attempt after it met what it had written itself.
            is_own = self._is_own()
        if is_own:
            self._renewed = began
        return is_own

    def _is_own(self) -> bool:
        seen = self._look()
        if seen is None or seen.said.get("run") != self._run:
            return False
        self._etag = seen.etag
        return True

    def _look(self) -> _Seen | None:
        with reaching(self._place):
            found = read_now(self._remote, self._key)
        if found is None:
            return None
        text, now = found
        try:
            said = json.loads(text)
        except ValueError:
            said = None
        return _Seen(said if isinstance(said, dict) else {}, now.etag, now.modified)

    # -- while it is held ------------------------------------------------------------------------

    def _renew_if_reached(self) -> None:
        # The next one may arrive.
        with suppress(OutputError, HeaderError, StoreError):
            self.renew()

    def renew(self) -> None:
        """Say that this run lives.

        Raises
        ------
        LockedError
            Another one has taken it for dead, and its place.
        """
        with self._lock:
            if self._lost is None and not (self._etag is None and not self._is_own()):
                if self._put(self._etag):
                    return
                seen = self._look()
                self._lost = "no run" if seen is None else seen.who
            elif self._lost is None:
                self._lost = "another run"
        self.check()

    def check(self) -> None:
        """Raise `LockedError` where it is known that another run has taken the place of this one."""
        if self._lost is not None:
            words = f"{self._lost} writes there now: this one was taken for dead"
            raise LockedError(self._place, words, "run again: it goes on where it stopped")

    @property
    def is_held(self) -> bool:
        """Whether it is held, and the last sign of life is none that nobody believes any more."""
        return (
            self._held and self._lost is None and time.monotonic() - self._renewed < heartbeat.STALE
        )

    def end(self) -> None:
        """Say nothing any more."""
        self._heartbeat.end()

    def drop(self) -> None:
        """Let go of it."""
        self.end()
        with self._lock:
            if self._held and self._lost is None and self._is_own():
                self._remote.delete([self._key])
            self._held = False


def _lives(said: dict[str, Any]) -> bool | None:
    """Tell whether the process that is named lives; None where that cannot be seen from here."""
    machine = _machine()
    if (
        machine is None
        or said.get("machine") != machine
        or said.get("host") != socket.gethostname()
    ):
        return None
    pid, started = said.get("pid"), said.get("started")
    if not isinstance(pid, int) or started is None:
        return None
    return bool(_started(pid) == started)


def _machine() -> str | None:
    """Give what names this start of this machine and its numbers of processes; Linux says it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _started(pid: int) -> str | None:
    """Give when a process was started, in ticks since the machine was; None if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # It is there until its parent has asked how it ended.
    return None if fields[0] in "ZX" else fields[19]
