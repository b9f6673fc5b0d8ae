"""Take text; print it so that nothing in it can steer a terminal or fail for want of a character.

What files and their names say is printed as it is, but for characters that are not seen: those that
control a terminal, that turn the direction of what stands beside them, or that have no width. They
become what Python writes for them. Joiners that Persian or Hindi words are spelled with are among
them: on a terminal it counts that two names which look alike are alike.
"""

from __future__ import annotations

import io
import re
import shutil
import sys
import unicodedata
from contextlib import suppress

import click

from dcmdask.remote.credentials import redacted

_PRINTABLE = re.compile(r"[\n\x20-\x7e]*")

_BLANK = frozenset(
    map(
        chr,
        (
            *(0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
            *range(0x180B, 0x1810),
            *range(0xFE00, 0xFE10),
            *range(0xE0100, 0xE01F0),
        ),
    )
)
"""Characters that Unicode takes for letters, marks or symbols, and that leave no trace."""

_MARKS = ("Mn", "Mc", "Me")
_MOST_MARKS = 5
"""Marks over one letter: vocalised Hebrew has as many. A hundred would cover the lines around."""

_LONGEST = 200
"""Cells of one value, where it is not a terminal that it is printed on."""

_LEAST = 20
"""Cells of one value on a terminal, however narrow."""

_LONGEST_COMPLAINT = 2000


def one_line(text: str) -> str:
    r"""Return a text in one line in which every character is seen.

    Examples
    --------
    >>> one_line("a\nb\x1b[2J"), one_line("a\u202eb")
    ('a\\nb\\x1b[2J', 'a\\u202eb')
    """
    return _seen(text, lines=False)


def _seen(text: str, *, lines: bool) -> str:
    if _PRINTABLE.fullmatch(text) and (lines or "\n" not in text):
        return text
    pieces = []
    marks = _MOST_MARKS  # a mark without a letter would go over what is printed before it
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category in _MARKS else 0
        if character == "\n" and lines:
            marks = _MOST_MARKS
            pieces.append(character)
        elif marks > _MOST_MARKS or not _is_seen(character, category):
            pieces.append(_written(character))
        else:
            pieces.append(character)
    return "".join(pieces)


def _is_seen(character: str, category: str) -> bool:
    # Not printable are: controls, format characters, what has no meaning or one of its own, and
    # separators; blanks of any width may stay.
    return (character.isprintable() or category == "Zs") and character not in _BLANK


def _written(character: str) -> str:
    number = ord(character)
    if character in "\t\n\r":
        return repr(character)[1:-1]
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


# -- length ------------------------------------------------------------------------------------------


def room(*, wide: bool = False) -> int | None:
    """Return how many cells one value may take: a line of the terminal; None for any number.

    Where it is no terminal that is printed on, values are cut all the same, at a length that no
    honest one has: a name in an archive may take 64 kB.

    Parameters
    ----------
    wide : bool
        Whether the user has asked for whole values.
    """
    if wide:
        return None
    if not sys.stdout.isatty():
        return _LONGEST
    return max(shutil.get_terminal_size().columns, _LEAST)


def cut(text: str, cells: int | None, *, tail: bool = False) -> str:
    """Return a text in one line, cut to so many cells, with an ellipsis where it was cut.

    Parameters
    ----------
    text : str
        A value.
    cells : int or None
        At most; None for all of it. An ideograph takes two.
    tail : bool
        Whether its end tells more than its beginning, as that of a path does: then it is cut in the
        first third.

    Examples
    --------
    >>> cut("abcdefghij", 7), cut("abcdefghij", 7, tail=True)
    ('abcdef…', 'ab…ghij')
    """
    if cells is not None:
        # What is cut off need not be made readable first.
        text = _ends(text, cells)
    line = one_line(text)
    if cells is None or len(line) * (1 if line.isascii() else 2) <= cells:
        return line
    from rich.cells import cell_len

    if cell_len(line) <= cells:
        return line
    dots = ellipsis()
    kept = max(cells - len(dots), 1)
    head = kept // 3 if tail else kept
    begin = _first(line, head)
    return begin + dots + (_first(line[::-1], kept - cell_len(begin))[::-1] if tail else "")


def _ends(text: str, cells: int) -> str:
    most = 8 * cells + 64  # with marks, which take none
    return text if len(text) <= 2 * most else text[:most] + text[-most:]


def _first(line: str, cells: int) -> str:
    """Return as much of a line as fits."""
    from rich.cells import get_character_cell_size

    taken = 0
    for number, character in enumerate(line):
        taken += get_character_cell_size(character)
        if taken > cells:
            return line[:number]
    return line


def ellipsis() -> str:
    """Return three dots as the terminal can show them."""
    return "…" if can_print("…") else "..."


def can_print(text: str) -> bool:
    """Tell whether what is printed to has the characters of a text."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True


# -- printing ----------------------------------------------------------------------------------------


class EnoughError(Exception):
    """Whoever reads what is printed has closed the pipe, as in ``dcmdask show OUT | head``."""


def in_lines(text: str) -> str:
    """Return a text of several lines in which every character is seen."""
    return _seen(text, lines=True)


def say(text: str = "") -> None:
    """Print lines for the user.

    Raises
    ------
    EnoughError
        Nobody reads them; click would end the process for it.
    """
    try:
        click.echo(in_lines(text))
    except BrokenPipeError as error:
        raise EnoughError from error


def complain(message: str) -> None:
    """Print the one line that says what went wrong."""
    # A word of the command line may be quoted that is a URL with a password.
    message = redacted(message)
    # The terminal may be what is gone; what is to be done stands at the end of the message.
    with suppress(OSError):
        click.echo(f"dcmdask: {cut(message, _LONGEST_COMPLAINT, tail=True)}", err=True)


def print_anything() -> None:
    """Have characters that the terminal's encoding lacks printed as their numbers."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
