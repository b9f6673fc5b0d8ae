"""``dcmdask COMMAND``: finds the command, and turns what went wrong into one line and a code.

The codes:

===  =============================================================================================
0    done
1    it could not be done, and will not before something is changed
2    wrong usage
3    done, and some file failed (``--strict``)
4    nothing was published: the catalog would have lost most of what it knows (``--allow-shrink``)
75   a store, the scheduler or the workers are gone: the same command goes on when they are back
130  interrupted: the same command goes on; by another signal, 128 and its number (SIGTERM: 143)
===  =============================================================================================
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn, TextIO

import click

from dcmdask._version import __version__
from dcmdask.cli.terminal import EnoughError, complain, print_anything
from dcmdask.errors import DcmdaskError
from dcmdask.remote.credentials import redacted
from dcmdask.system import interrupts
from dcmdask.system.lean import be_lean

_BY_SIGNAL = 128
_CRAWLS = ("dcmdask run", "dcmdask demo")
_DEBUG = "DCMDASK_DEBUG"
_COMMANDS = {
    "run": "Crawl sources and publish their catalog.",
    "plan": "List sources and say what a run would do.",
    "show": "Show a catalog as a tree.",
    "failures": "Show what could not be read, by kind.",
    "synth": "Write a synthetic, linked data set.",
    "demo": "Synthesise a small data set, crawl it, and show the result.",
}


class _Commands(click.Group):
    """The commands, each imported only when it is asked for: start-up is part of every run."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        return _command(name) if name in _COMMANDS else None

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def _command(name: str) -> click.Command:
    command: click.Command = importlib.import_module(f"dcmdask.cli.{name}").command
    return command


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="dcmdask")
@click.pass_context
def cli(context: click.Context) -> None:
    """Find every DICOM object in folders and archives, headers only, and leave a catalog.

    Begin with: dcmdask demo
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
    elif not {"-h", "--help"} & set(sys.argv[1:]) and any(
        n.startswith("DCMDASK_") for n in os.environ
    ):
        from dcmdask.cli.settings import check_environment

        # What is set is an option of this command, or nearly always of a run.
        first = (context.invoked_subcommand, "run")
        names = dict.fromkeys((*(name for name in first if name in _COMMANDS), *_COMMANDS))
        check_environment(lambda: map(_command, names))


def main() -> NoReturn:
    """Run the command line and exit with one of the codes above."""
    print_anything()
    be_lean()
    # Of a connection that is given up it prints what nobody waits for any more.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    with interrupts.handled(), _warnings_on_stderr():
        code = _run()
    try:
        sys.stderr.flush()
    except (OSError, ValueError):
        # Progress that nobody could be shown.
        _close(sys.stderr)
    sys.exit(code)


def _run() -> int:
    """Run the command; say what went wrong; return the exit code."""
    try:
        code = cli(prog_name="dcmdask", standalone_mode=False)
        # What is still in the buffer fails here, where it can be said, or at exit, where it cannot.
        sys.stdout.flush()
    except click.UsageError as error:
        complain(f"{_problem(error)} (see: {_asked()} --help)")
        code = 2
    except click.ClickException as error:
        complain(error.format_message())
        code = error.exit_code
    except DcmdaskError as error:
        complain(str(error))
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort, interrupts.Ended):
        code = _say_what_ended_it()
    except (EnoughError, BrokenPipeError):
        _close(sys.stdout)
        code = 0
    except Exception as error:  # noqa: BLE001 - whatever it is, it is said in one line
        if os.environ.get(_DEBUG):
            # Patients may be named there, passwords never.
            click.echo(redacted(traceback.format_exc()), err=True)
        complain(_unexpected(error))
        _close(sys.stdout)
        code = 1
    return code if isinstance(code, int) else 0


def _say_what_ended_it() -> int:
    """Say that it was a signal, and what became of the run; return the exit code."""
    number, published = interrupts.ended_by()
    words = "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
    if _asked() in _CRAWLS:
        words += (
            ": the catalog is published"
            if published
            else ": nothing was published; the same command goes on where it stopped"
        )
    complain(words)
    return _BY_SIGNAL + number


class _Complain(logging.Handler):
    """Says what the package warns of in one line."""

    def emit(self, record: logging.LogRecord) -> None:
        complain(f"warning: {record.getMessage()}")


@contextmanager
def _warnings_on_stderr() -> Iterator[None]:
    log = logging.getLogger("dcmdask")
    handler = _Complain(logging.WARNING)
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.propagate = True
        log.removeHandler(handler)


def _close(stream: TextIO) -> None:
    """Lead what is still in the buffer of a stream nowhere, so that exit does not fail over it."""
    with suppress(OSError, ValueError), open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), stream.fileno())


def _asked() -> str:
    """Return the command that was asked for, as far as there is such a one."""
    name = next((word for word in sys.argv[1:2] if word in _COMMANDS), None)
    return f"dcmdask {name}" if name else "dcmdask"


def _problem(error: click.UsageError) -> str:
    """Return click's words, and the form of the command where they do not say what to write."""
    words = error.format_message().rstrip(".")
    if error.ctx is None:
        return words
    if error.ctx.command is cli and not isinstance(error, click.NoSuchOption):
        return f"{words}; write one of {', '.join(_COMMANDS)}"
    if type(error) in (click.UsageError, click.MissingParameter):
        usage = error.ctx.get_usage().partition(": ")[2]
        return f"{words}; write: {' '.join(usage.split())}"
    return words


def _unexpected(error: Exception) -> str:
    """Name an error by its class and place: its words, as a traceback's, could quote a patient."""
    if isinstance(error, OSError) and error.strerror:
        return f"the system says: {error.strerror}"
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    spot = f" in {trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}" if trace else ""
    return (
        f"a defect: {type(error).__name__}{spot}. Please report it; "
        f"{_DEBUG}=1 shows more, which may name patients"
    )
