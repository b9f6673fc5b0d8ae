"""Take tables, piece by piece; write a workbook: typed cells, a header that stays, filters.

Numbers are numbers and dates are dates; whatever is text stays text, with its leading zeros, and is
never run. Rows are written as they come and not held. The same rows give the same bytes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from dcmdask.errors import UsageError
from dcmdask.formats.text import as_cell
from dcmdask.system.modes import private_folder, private_opener
from dcmdask.system.writing import output_error, writing

MOST_ROWS = 1_048_576
"""Rows of a sheet, with its header: a longer table goes on in a further sheet."""

_LONGEST_TEXT = 32_767
"""UTF-16 units of a cell."""
_CUT = " ... cut: the CSV has all"

_LARGEST_NUMBER = 2**53
_FIRST_DATE = dt.date(1900, 1, 1)
_MADE = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
"""What a workbook says of when it was made: not when, so that its bytes say only what it holds."""

_DATE_WIDTH, _NUMBER_WIDTH, _TEXT_WIDTH, _UID_WIDTH = 12, 12, 20, 44


def check_library() -> None:
    """See that workbooks can be written.

    Raises
    ------
    UsageError
        The library is not installed.
    """
    try:
        import xlsxwriter  # noqa: F401
    except ImportError as error:
        words = "--excel xlsx needs XlsxWriter, which is not installed"
        raise UsageError(words, "pip install 'dcmdask[excel]'") from error


class Workbook:
    """A workbook of one table.

    Parameters
    ----------
    path : pathlib.Path
        Where it is written when it is closed.
    columns : sequence of str
        Which columns of the rows, in which order.
    title : str
        Name of the sheet.
    scratch : pathlib.Path
        A folder for rows that are not in the file yet.
    """

    def __init__(self, path: Path, columns: Sequence[str], title: str, scratch: Path) -> None:
        import xlsxwriter

        self._path = path
        self._columns = columns
        self._title = title
        options = {"constant_memory": True, "tmpdir": str(scratch), "use_zip64": True}
        with writing(path):
            private_folder(scratch)
            self._stream = open(path, "wb", opener=private_opener)  # noqa: SIM115 - closed with it
        self._book = xlsxwriter.Workbook(self._stream, options)
        self._book.set_properties({"created": _MADE})
        self._bold = self._book.add_format({"bold": True})
        self._as_text = self._book.add_format({"num_format": "@"})
        self._as_date = self._book.add_format({"num_format": "yyyy-mm-dd"})
        self._sheets = 0
        self._row = 0
        self._sheet: Any = None
        self._begin_sheet()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_exception: object) -> None:
        if kind is None:
            self.close()
        self.drop()

    def drop(self) -> None:
        """Let go of the file as it is: no workbook, unless it was closed."""
        for stream in (self._stream, *(one.row_data_fh for one in self._book.worksheets())):
            # What cannot be written now is part of no workbook.
            with suppress(OSError):
                stream.close()

    def add(self, rows: pa.Table) -> None:
        """Write some rows."""
        start = 0
        while start < rows.num_rows:
            if self._row == MOST_ROWS:
                self._end_sheet()
                self._begin_sheet()
            some = rows.slice(start, MOST_ROWS - self._row)
            with writing(self._path):
                self._write(some)
            start += some.num_rows

    def close(self) -> None:
        """Put it in the file."""
        from xlsxwriter.exceptions import XlsxWriterException

        self._end_sheet()
        try:
            with writing(self._path):
                self._book.close()
                self._stream.close()
        except XlsxWriterException as error:
            cause = error.__context__
            cause = cause if isinstance(cause, Exception) else error
            raise output_error(str(self._path), cause) from error

    def _begin_sheet(self) -> None:
        self._sheets += 1
        number = f" ({self._sheets})" if self._sheets > 1 else ""
        self._sheet = self._book.add_worksheet(f"{self._title}{number}")
        self._sheet.freeze_panes(1, 0)
        # Digits that are text are meant to be.
        self._sheet.ignore_errors({"number_stored_as_text": f"A1:XFD{MOST_ROWS}"})
        for place, name in enumerate(self._columns):
            self._sheet.set_column(place, place, _width_of(name))
            self._sheet.write_string(0, place, name, self._bold)
        self._row = 1

    def _end_sheet(self) -> None:
        self._sheet.autofilter(0, 0, self._row - 1, len(self._columns) - 1)

    def _write(self, rows: pa.Table) -> None:
        columns = [rows[name] for name in self._columns]
        writers = [self._writer(column.type) for column in columns]
        for values in zip(*(column.to_pylist() for column in columns), strict=True):
            for place, value in enumerate(values):
                if value is not None:
                    writers[place](self._row, place, value)
            self._row += 1

    def _writer(self, kind: pa.DataType) -> Callable[[int, int, Any], None]:
        """Return what writes a value of a type."""
        if pa.types.is_date(kind):
            return self._write_date
        if pa.types.is_integer(kind) or pa.types.is_floating(kind):
            return self._write_number
        return self._write_text

    def _write_date(self, row: int, place: int, value: dt.date) -> None:
        # There are no dates before in a workbook.
        if value < _FIRST_DATE:
            self._write_text(row, place, value.isoformat())
        else:
            self._sheet.write_datetime(row, place, value, self._as_date)

    def _write_number(self, row: int, place: int, value: float) -> None:
        # A cell holds a float.
        if abs(value) > _LARGEST_NUMBER:
            self._write_text(row, place, str(value))
        else:
            self._sheet.write_number(row, place, value)

    def _write_text(self, row: int, place: int, value: Any) -> None:
        text = as_cell(value)
        if len(text) > _LONGEST_TEXT // 2 and len(text.encode("utf-16-le")) // 2 > _LONGEST_TEXT:
            text = text[: _LONGEST_TEXT // 2] + _CUT
        self._sheet.write_string(row, place, text, self._as_text)


def _width_of(name: str) -> int:
    """Return the width of a column, in characters: rows to come are not known."""
    if name.endswith("UID"):
        return _UID_WIDTH
    if name.endswith("Date"):
        return _DATE_WIDTH
    is_text = name.startswith(("Patient", "File", "Folder", "folder", "Manufacturer"))
    return _TEXT_WIDTH if is_text else _NUMBER_WIDTH
