"""Take a typed value; give it as files for people write it: DICOM's own form for dates and times."""

from __future__ import annotations

import datetime as dt
from typing import Any


def as_json(value: Any) -> Any:
    """Give a value that JSON knows; dates as YYYYMMDD and times as HHMMSS.FFFFFF (PS3.5 6.2)."""
    if isinstance(value, dt.date):
        return f"{value.year:04d}{value.month:02d}{value.day:02d}"
    if isinstance(value, dt.time):
        return value.strftime("%H%M%S.%f") if value.microsecond else value.strftime("%H%M%S")
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return value


def as_cell(value: Any) -> str:
    """Give a value as the text of a CSV cell; an absent one is empty."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ";".join(as_cell(item) for item in value)
    return str(as_json(value))
