"""Take an element as it stands in a file; give what its column holds: pydicom decides what it means."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from pydicom.charset import convert_encodings
from pydicom.dataelem import RawDataElement, convert_raw_data_element

from dcmdask.dicom.values import MALFORMED, convert, vr_of
from dcmdask.header.stated_charset import clean_charset
from dcmdask.tables.schema import INSTANCES

LONGEST: Final = 65_534
"""Bytes of a light attribute: what explicit VR can say; implicit VR can claim gigabytes."""


@lru_cache(maxsize=256)
def encodings_in(charset: bytes) -> tuple[str, ...]:
    r"""Return what text is encoded in, in the words of Python, by a SpecificCharacterSet.

    Examples
    --------
    >>> encodings_in(b""), encodings_in(b"ISO 2022 IR 6\\ISO 2022 IR 87 ")
    (('iso8859',), ('iso8859', 'iso2022_jp'))
    """
    names, _ = clean_charset(charset)
    return tuple(convert_encodings(names.decode("latin-1").split("\\")))


def meaning_of(raw: RawDataElement, encodings: tuple[str, ...], word: str) -> Any:
    """Return the value of a light attribute: None where there is none, `MALFORMED` for damage.

    Parameters
    ----------
    raw : pydicom.dataelem.RawDataElement
        As it stands.
    encodings : tuple of str
        Of its text.
    word : str
        Keyword of the column.
    """
    if raw.length > LONGEST or raw.VR == "SQ":
        return MALFORMED if raw.length else None
    try:
        value = convert_raw_data_element(raw, encoding=list(encodings)).value
        return convert(value, INSTANCES.field(word).type, vr_of(word))
    except MemoryError:
        # That says nothing of the value.
        raise
    except Exception:
        return MALFORMED
