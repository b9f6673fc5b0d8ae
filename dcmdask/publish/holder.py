"""Who writes in an output folder, said in a file, for file systems that lock for one machine only."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from dcmdask.publish import heartbeat
from dcmdask.publish.heartbeat import Heartbeat
from dcmdask.system import modes


class Holder:
    """Who writes in an output folder, said in a file that is touched as long as it lives."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._heartbeat = Heartbeat("dcmdask-holder", self._touch)

    def take(self) -> None:
        """Say that it is this process, from now on."""
        began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        said = {"pid": os.getpid(), "host": socket.gethostname(), "began": began}
        modes.private_file(self._path).write_text(json.dumps(said))
        self._heartbeat.start()

    def drop(self) -> None:
        """Say that it is nobody."""
        self._heartbeat.end()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _touch(self) -> None:
        with suppress(OSError):
            os.utime(self._path)

    def said(self) -> str | None:
        """Name the process that the file names; None where there is no file."""
        try:
            said = json.loads(self._path.read_text())
            return f"process {said['pid']} on {said['host']}, begun {said['began']}"
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            return "another run"

    def who(self) -> str:
        """Say who writes there."""
        return f"{self.said() or 'another run'} writes there now"

    def lives_elsewhere(self) -> bool:
        """Tell whether a process of another machine has touched the file of late."""
        try:
            elsewhere = json.loads(self._path.read_text())["host"] != socket.gethostname()
            # By the clock of the file system: those of two machines may differ.
            with tempfile.TemporaryFile(dir=self._path.parent) as now:
                age = os.fstat(now.fileno()).st_mtime - self._path.stat().st_mtime
        except (OSError, ValueError, KeyError, TypeError):
            return False
        # A clock that was wrong may have left a time to come.
        return bool(elsewhere) and abs(age) < heartbeat.STALE
