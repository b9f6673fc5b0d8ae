"""Take a changed header; tell how its light attributes differ from what pydicom reads of all of it.

Every difference has a kind. All but `UNSAID` are told by the catalog for each file, by a note or by
a row of failures; that one is told of the representative of a series, which is read further.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from header.oracle import PIXELS, light_values, read_to_pixels
from pydicom.dataset import Dataset
from pydicom.filereader import read_partial

from dcmdask.dicom.windows import WINDOW
from dcmdask.errors import HeaderError
from dcmdask.header.bounds import LAST, LIGHT_TAGS
from dcmdask.header.light import LightHeader, scan_header
from dcmdask.header.reader import quiet_pydicom
from dcmdask.types import Kind, Note, Place, Window

SAME = "same"
NO_INSTANCE = "no instance, here and for pydicom"
UNSAID = "an element stands out of order behind a header that has all that is expected"
"""Looking for it would cost every file a second look."""
UNEXPLAINED = "unexplained"
"""What must not be."""

_LONGEST = 16_384
"""Bytes of a header: what is changed stands before its pixels."""

_GUESSES = (
    Note.INVALID_VR,
    Note.STRAY_DELIMITER,
    Note.CHARACTER_SET,
    Note.CUT,
    Note.WRONG_LENGTH,
    Note.OUT_OF_ORDER,
    Note.NUL_IN_TEXT,
    Note.NOT_UNDERSTOOD,
)


def difference(content: bytes) -> str:
    """Name the kind of difference between what is read here and what pydicom reads."""
    ours, theirs = _read(content), read_to_pixels(content)
    if isinstance(ours, str):
        identified = theirs is not None and bool(_sop(theirs))
        return f"{ours}, where pydicom reads a SOPInstanceUID" if identified else NO_INSTANCE
    if theirs is None or not len(theirs):
        return "pydicom gives up, here is an instance"
    values = light_values(theirs)
    differing = [word for word in values if values[word] != ours.values[word]]
    if not differing:
        return SAME
    said = [note for note in _GUESSES if any(one.note == note for one in ours.remarks)]
    if said:
        return f"noted: {said[0]}"
    return UNSAID if _is_unsaid(content, differing) else UNEXPLAINED


def headers_of(folder: Path) -> list[bytes]:
    """Give the headers of the files below a folder that have a DICM prefix, each once."""
    found = set()
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        if content[128:132] == b"DICM":
            pixels = content.find(b"\xe0\x7f\x10\0")
            found.add(content[: min(_LONGEST, pixels + 64 if pixels > 0 else _LONGEST)])
    return sorted(found)


def count(contents: Iterable[bytes]) -> Counter[str]:
    """Count the kinds of difference of some headers."""
    with quiet_pydicom():
        return Counter(map(difference, contents))


def _read(content: bytes) -> LightHeader | str:
    place = Place("", "", "", "", "", None, len(content), None)
    window = Window(place, content[:WINDOW], lambda at, size: content[at : at + size], 1 << 26)
    try:
        return scan_header(window)
    except HeaderError as error:
        return Kind(error.kind)


def _sop(dataset: Dataset) -> object:
    try:
        return dataset.get("SOPInstanceUID")
    except Exception:  # noqa: BLE001  pydicom raises of any class
        return None


def _is_unsaid(content: bytes, words: Iterable[str]) -> bool:
    """Tell whether the last element of each of these attributes stands behind where they end."""
    tags: list[int] = []

    def note(tag: int, _vr: str | None, _length: int) -> bool:
        tags.append(int(tag))
        return tag >= PIXELS

    read_partial(io.BytesIO(content), note, force=True)
    first = next((number for number, tag in enumerate(tags) if tag > LAST), len(tags))
    return all(LIGHT_TAGS.get(word) in tags[first:] for word in words)
