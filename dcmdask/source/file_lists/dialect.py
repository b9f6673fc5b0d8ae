"""Take how a list of files begins; return how it is written: its encoding, columns, separators.

Lists come from spreadsheets, from PowerShell and from Windows. What is not understood is refused,
with what was seen: a line that is taken for a path would be a file that is not there.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Sequence

LOOKED_AT = 100
"""Lines that are looked at to learn how a list is written."""

_SEPARATORS = (",", ";", "\t")
_MARKS = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_EXCEL = re.compile(r"sep=(.)\s*", re.IGNORECASE)
# Of words alone: neither a slash nor a point, as even the shortest path to a file mostly has.
_WORDS = re.compile(r"\s*[^\W\d][\w #()-]*\s*")


def encoding_of(begin: bytes) -> str:
    r"""Return the encoding of a text by its first bytes, four at least if there are so many.

    Examples
    --------
    >>> encoding_of(b"\xff\xfea\0"), encoding_of(b"\0a\0/"), encoding_of(b"a/b.")
    ('utf-16', 'utf-16-be', 'utf-8-sig')
    """
    for mark, name in _MARKS:
        if begin.startswith(mark):
            return name
    # Without a mark: no path has a NUL, and the first letter of one is one of ASCII.
    if len(begin) > 1 and begin[0] and not begin[1]:
        return "utf-16-le"
    if len(begin) > 1 and not begin[0] and begin[1]:
        return "utf-16-be"
    return "utf-8-sig"


def said_separator(line: str) -> str | None:
    r"""Return the separator that a line of Excel's announces; None where it is no such line.

    Examples
    --------
    >>> said_separator("sep=;\r\n"), said_separator("path;size\n")
    (';', None)
    """
    found = _EXCEL.fullmatch(line)
    return found[1] if found else None


def split(line: str, separator: str) -> list[str]:
    r"""Return the cells of one line.

    Examples
    --------
    >>> split('"a;b";2\n', ";")
    ['a;b', '2']
    """
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        # A name that holds a carriage return is no row of a table.
        return [line]


def header_of(line: str, is_known: Callable[[str], bool]) -> tuple[str, list[str]] | None:
    """Return separator and columns of a line that names a known column; None where none does.

    Examples
    --------
    >>> header_of("path;size", lambda name: name == "path")
    (';', ['path', 'size'])
    """
    for separator in _SEPARATORS:
        names = split(line, separator)
        if any(map(is_known, names)):
            return separator, names
    return None


def unknown_columns(lines: Sequence[str]) -> list[str] | None:
    """Return the names in the first line where the lines are a table without a known column.

    Examples
    --------
    >>> unknown_columns(["filename,bytes", "P1/1.dcm,10"]), unknown_columns(["P1/1, 2.dcm"])
    (['filename', 'bytes'], None)
    """
    for separator in _SEPARATORS:
        names = split(lines[0], separator)
        is_header = len(names) > 1 and all(map(_WORDS.fullmatch, names))
        if is_header and all(len(split(line, separator)) == len(names) for line in lines[1:]):
            return [name.strip() for name in names]
    return None


def column_of_paths(line: str, is_there: Callable[[str], bool]) -> str | None:
    """Return the separator at which a line without a header falls into cells one of which is a file."""
    for separator in _SEPARATORS:
        cells = split(line, separator)
        if len(cells) > 1 and any(cell and is_there(cell) for cell in cells):
            return separator
    return None


def as_here(path: str) -> str:
    r"""Return a path that Windows has written as this machine writes it.

    Examples
    --------
    >>> as_here("P1\\1.dcm")
    'P1/1.dcm'
    """
    return path.replace("\\", os.sep)
