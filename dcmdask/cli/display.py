"""How far a run has come: a live display on a terminal, plain lines every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Column

from dcmdask.cli.terminal import one_line
from dcmdask.errors import DcmdaskError, OutputError
from dcmdask.remote.credentials import redacted
from dcmdask.system import interrupts
from dcmdask.types import Progress as State

_EVERY = 5.0
_MEGA = 1_000_000
_ROOM_FOR_A_BAR = 72
_STAGES = {
    "list": "listing",
    "read": "reading headers",
    "assemble": "building the catalog",
    "publish": "publishing",
}

Watch = Callable[[State], None]


class _Pace:
    """Files a second and time left; reading begins with the first files that are listed."""

    def __init__(self) -> None:
        self._begun: float | None = None

    def words(self, state: State) -> str:
        """Say what has come of how much."""
        now = time.monotonic()
        self._begun = self._begun or now
        seconds = now - self._begun
        if state.stage == "list":
            text = f"{state.known + state.found:,} files found"
            text += f", {state.known:,} of them known" if state.known else ""
            text += f", {state.bytes_found / _MEGA:,.0f} MB to read"
            return f"{text}, {state.done:,} read" if state.done else text
        found = f"{state.instances:,} instances, {state.failures:,} failed"
        if state.stage != "read":
            # Of this run and of those before.
            return f"{state.done:,} files, {found}"
        text = (
            f"{state.done:,} of {state.found:,} files, {found}, {state.bytes_done / _MEGA:,.0f} MB"
        )
        if seconds > 0 and state.done:
            rate = state.done / seconds
            text += f", {rate:,.0f} files/s"
            if state.done < state.found:
                text += f", {(state.found - state.done) / rate:,.0f} s left"
        return text


@contextmanager
def watching(*, quiet: bool, log_file: Path | None) -> Iterator[Watch]:
    """Give a watcher of progress that shows it on stderr and, if asked, in a file.

    The file also says how it ended, if not well.
    """
    with _log(log_file) as log:
        writers: list[Watch] = [_Lines(log, every=_EVERY)] if log is not None else []
        try:
            if quiet:
                yield _all(writers)
            elif sys.stderr.isatty():
                with _live() as live:
                    yield _all([*writers, live])
            else:
                yield _all([*writers, _Lines(sys.stderr, every=_EVERY)])
        except BaseException as error:
            if log is not None:
                told = isinstance(error, (DcmdaskError, interrupts.Ended))
                words = str(error) if told else type(error).__name__
                _print(f"{_now()} ended: {one_line(redacted(words))}", log)
            raise


def _all(watches: list[Watch]) -> Watch:
    def watch(state: State) -> None:
        interrupts.check()
        for one in watches:
            one(state)

    return watch


@contextmanager
def _log(path: Path | None) -> Iterator[IO[str] | None]:
    if path is None:
        yield None
        return
    try:
        if not path.parent.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
        stream = open(path, "a", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115 - below
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputError(str(path), reason, "choose another --log-file") from error
    try:
        yield stream
    finally:
        with suppress(OSError):
            stream.close()


class _Lines:
    """One line at every change of stage, and every few seconds between."""

    def __init__(self, stream: IO[str], every: float) -> None:
        self._stream = stream
        self._every = every
        self._pace = _Pace()
        self._stage = ""
        self._said = 0.0

    def __call__(self, state: State) -> None:
        now = time.monotonic()
        words = self._pace.words(state)
        if state.stage == self._stage and now - self._said < self._every:
            return
        self._stage, self._said = state.stage, now
        _print(f"{_now()} {_STAGES[state.stage]}: {words}", self._stream)


def _now() -> str:
    return time.strftime("%H:%M:%S")


def _print(line: str, stream: IO[str]) -> None:
    # A full disk or a closed pipe under the progress must not end the work it tells of.
    with suppress(OSError, ValueError):
        print(line, file=stream, flush=True)


@contextmanager
def _live() -> Iterator[Watch]:
    pace = _Pace()
    console = Console(stderr=True)
    bar = [BarColumn(bar_width=16)] if console.width >= _ROOM_FOR_A_BAR else []
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        *bar,
        # It takes what room there is and goes on in a second line: a cut number helps nobody.
        TextColumn("{task.fields[words]}", table_column=Column(ratio=1, overflow="fold")),
    )
    progress = Progress(
        *columns, console=console, transient=True, refresh_per_second=5, expand=True
    )
    progress.start()
    try:
        task = progress.add_task("starting", total=None, words="")

        def watch(state: State) -> None:
            progress.update(
                task,
                description=_STAGES[state.stage],
                total=state.found if state.stage != "list" else None,
                completed=state.done,
                words=pace.words(state),
            )

        yield watch
    finally:
        # The terminal may be what has ended the run.
        with suppress(OSError):
            progress.stop()
