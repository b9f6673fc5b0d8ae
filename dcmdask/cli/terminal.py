"""Take text; print it so that no name in it can steer a terminal or fail for want of a character."""

from __future__ import annotations

import io
import re
import sys

import click

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROL_IN_LINES = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def one_line(text: str) -> str:
    r"""Give a text in one line: control characters become what Python writes for them.

    Examples
    --------
    >>> one_line("a\nb\x1b[2J")
    'a\\nb\\x1b[2J'
    """
    return _CONTROL.sub(_written, text)


class EnoughError(Exception):
    """Whoever reads what is printed has closed the pipe, as in ``dcmdask show OUT | head``."""


def say(text: str = "") -> None:
    """Print lines for the user.

    Raises
    ------
    EnoughError
        Nobody reads them; click would end the process for it.
    """
    try:
        click.echo(_CONTROL_IN_LINES.sub(_written, text))
    except BrokenPipeError as error:
        raise EnoughError from error


def complain(message: str) -> None:
    """Print the one line that says what went wrong."""
    click.echo(f"dcmdask: {one_line(message)}", err=True)


def print_anything() -> None:
    """Have characters that the terminal's encoding lacks printed as their numbers."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _written(found: re.Match[str]) -> str:
    return repr(found[0])[1:-1]
