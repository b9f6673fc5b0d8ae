"""Take text; tell which of it a spreadsheet that opens a CSV file would not leave as it is.

Excel and LibreOffice judge every cell by what it looks like, in the language of whoever opens it:
``00123`` becomes 123, ``1234567890123456`` loses its last digit, ``3-4`` and ``MAR5`` become dates,
``=1+1`` is run. Saved again, the file holds what they made of it. An apostrophe before a text keeps
it as it is, apostrophe included, through any number of times that the file is opened and saved. (The
formula ``="00123"`` shows better, but is saved as ``00123``, which the next opening spoils.)

Dates in typed columns need nothing: YYYYMMDD is a number of eight digits to all of them, and stays.
"""

from __future__ import annotations

import pyarrow.compute as pc

from dcmdask.tables.arrow import Array

_RUNS = r"^[=+\-@\t\r\n＝＋－＠]"  # noqa: RUF001 - those of full width run in Chinese and Japanese
_ESCAPED = r"^'"

_CJK_DIGITS = "〇一二三四五六七八九十百千万"
_DIGIT = rf"\pN|[{_CJK_DIGITS}]"
_BEGINS = rf"^[\pZ\s]*([上下]午|[\pN\p{{Sc}}.,:/\\\-+(%'’{_CJK_DIGITS}])"  # noqa: RUF001
# Letters of exponents, of AM and PM, of T and Z in times; separators of any language.
_GOES_ON = (
    rf"[\pN\p{{Sc}}\pZ\s.,:/\\\-+()%'’eEdDaApPmMtTzZ{_CJK_DIGITS}年月日号時时分秒點点上下午]*$"  # noqa: RUF001
)
_NUMBER = _BEGINS + _GOES_ON

_MONTHS = (
    "jan|feb|f[eé]v|mar|m[aä]r|apr|avr|abr|mai|maj|may|mei|mag|mrt|maa|jui|jun|giu|jul|lug|aug|"
    "ao[uû]|ago|sep|set|oct|okt|ott|out|nov|dec|d[eé]c|dez|dic|ene|gen"
)
_BESIDE = r"[\pN\pZ\s.,/\\\-:'’]*"  # noqa: RUF001
_MONTH = rf"(?i)^{_BESIDE}(?:{_MONTHS})\pL{{0,8}}{_BESIDE}$"

_WORDS = "true|false|wahr|falsch|vrai|faux|verdadero|falso|vero|verdadeiro|waar|onwaar|真|假"  # "yes" is none
_BOOLEAN = rf"(?i)^[\pZ\s]*({_WORDS})[\pZ\s]*$"

# Twelve digits are shown, and saved, as 1.23E+11.
_PLAIN = r"^(0|[1-9][0-9]{0,10})$"
# No number in any language, as groups of digits have three; no date, as that has three numbers.
_UID = r"^[0-2]\.[0-9]+(\.[0-9]+){2,}$"
_SHORT_GROUP = r"\.[0-9]{1,2}(\.|$)"
_LOOKED_AT = 1024
"""Texts that are looked at to know whether a column repeats itself."""

_UID_OF_UUID = r"^2\.25\.[1-9][0-9]{4,}$"


def is_taken_for_more(texts: Array) -> Array:
    """Tell which texts a spreadsheet takes for a formula, a number, a date, a time or a truth.

    Those are among them that begin with an apostrophe, so that taking one off is always right.

    Parameters
    ----------
    texts : pyarrow.Array
        Text without nulls.

    Examples
    --------
    >>> is_taken_for_more(pa.array(["00123", "12345", "3-4", "=1+1", "SYN-1", "1.2.840.1"])).to_pylist()
    [True, False, True, True, False, False]
    """
    # Most columns say the same many times, and there are seven patterns; paths are each another.
    some = texts.slice(0, _LOOKED_AT)
    if 2 * pc.count_distinct(some).as_py() > len(some):
        return _are_taken_for_more(texts)
    encoded = texts.dictionary_encode()
    return _are_taken_for_more(encoded.dictionary).take(encoded.indices)


def _are_taken_for_more(texts: Array) -> Array:
    looks = pc.and_(_fits(texts, _DIGIT), pc.or_(_fits(texts, _NUMBER), _fits(texts, _MONTH)))
    long_uid = pc.and_(_fits(texts, _UID), _fits(texts, _SHORT_GROUP))
    stays = pc.or_(_fits(texts, _PLAIN), pc.or_(long_uid, _fits(texts, _UID_OF_UUID)))
    others = (_fits(texts, one) for one in (_RUNS, _ESCAPED, _BOOLEAN))
    found: Array = pc.and_not(looks, stays)
    for other in others:
        found = pc.or_(found, other)
    return found


def _fits(texts: Array, pattern: str) -> Array:
    fits: Array = pc.match_substring_regex(texts, pattern)
    return fits
