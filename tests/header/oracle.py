"""What pydicom reads of a whole header, and what a column should hold of that.

Written without the package's own readers and texts, so that each is held against the other. The
columns' plain form of a text is a departure from pydicom's: padding that the VR calls insignificant
is gone (PS3.5 table 6.2-1), so are trailing delimiters of a name (section 6.2.1.2) and what stands
behind a NUL, and the escape sequence of ISO 2022 IR 58 that pydicom leaves in names.
"""

from __future__ import annotations

import io
import re
from typing import Any

import pyarrow as pa
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import read_partial
from pydicom.multival import MultiValue

from dcmdask.dicom.values import MALFORMED, TEXT, TEXTS, convert
from dcmdask.tables.schema import INSTANCES, LIGHT

PIXELS = 0x7FE00008


def plain(text: str, vr: str) -> str:
    """Give one text without what is insignificant."""
    text = re.sub(r"\0.*", "", re.sub(r"^\0+", "", text), flags=re.DOTALL)
    text = text.replace("\x1b$)A", "")
    if vr == "PN":
        groups = [re.sub(r"[\^ ]+$", "", group.lstrip(" ")) for group in text.split("=")]
        return re.sub(r"=+$", "", "=".join(groups).strip(" "))
    return re.sub(r"^ +| +$" if vr in ("AE", "CS", "LO", "SH") else r" +$", "", text)


def expected(value: Any, keyword: str, kind: pa.DataType) -> Any:
    """Give what a column should hold of a value of pydicom's; `MALFORMED` stays."""
    tag = tag_for_keyword(keyword)
    if tag is None or isinstance(value, bytes) or kind not in (TEXT, TEXTS):
        return convert(value, kind)
    vr = dictionary_VR(tag)
    if converted := convert(value, kind):
        if converted is MALFORMED:
            return MALFORMED
        several = isinstance(value, list | tuple | MultiValue)
        texts = [
            plain("" if one is None else str(one), vr) for one in (value if several else [value])
        ]
        if kind == TEXTS:
            return [text or None for text in texts] if any(texts) else None
        return "\\".join(texts) or None
    return None


def light_values(dataset: Dataset) -> dict[str, Any]:
    """Give the light values of a dataset that pydicom read."""
    values = {}
    for word in LIGHT:
        holder = dataset.file_meta if word == "TransferSyntaxUID" else dataset
        try:
            value = expected(holder.get(word), word, INSTANCES.field(word).type)
        except Exception:  # noqa: BLE001  pydicom raises of any class
            value = MALFORMED
        values[word] = None if value is MALFORMED else value
    return values


def read_to_pixels(content: bytes) -> FileDataset | None:
    """Read a header with pydicom up to its pixel data, no tricks; None where it gives up."""
    try:
        stream = io.BytesIO(content)
        return read_partial(stream, lambda tag, _vr, _length: tag >= PIXELS, force=True)
    except Exception:  # noqa: BLE001  pydicom raises of any class
        return None
