"""What an element says becomes a typed value, None or MALFORMED, never an exception."""

from __future__ import annotations

import datetime as dt
import io
import math
import struct
import warnings
from typing import Any

import pyarrow as pa
import pydicom
import pytest
from header.oracle import plain
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.config import disable_value_validation
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.valuerep import DA, TM
from support import examples

from dcmdask.dicom.texts import plain_text
from dcmdask.dicom.values import (
    DATE,
    INTEGER,
    INTEGERS,
    MALFORMED,
    NUMBER,
    NUMBERS,
    TEXT,
    TEXTS,
    TIME,
    arrow_type,
    convert,
)

quickly = settings(max_examples=examples(60))
KINDS = (TEXT, TEXTS, INTEGER, INTEGERS, NUMBER, NUMBERS, DATE, TIME)
PAD = st.sampled_from(("", " ", "  ", "\0"))
DEFAULT_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)


def read(keyword: str, value: bytes, vr: str) -> Any:
    """Give what pydicom reads of one element in explicit VR."""
    tag = tag_for_keyword(keyword)
    assert tag is not None
    value += b" " * (len(value) % 2)
    if vr == "SQ" or vr.startswith(("O", "UN", "UT", "UC")):
        head = struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr.encode(), 0, len(value))
    else:
        head = struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(value))
    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(io.BytesIO(head + value), force=True)
        return dataset.get(keyword)


# Which column an attribute gets


@pytest.mark.parametrize(
    ("keyword", "kind"),
    [
        ("Rows", INTEGER),  # US
        ("InstanceNumber", INTEGER),  # IS
        ("FileMetaInformationGroupLength", INTEGER),  # UL
        ("SmallestImagePixelValue", INTEGER),  # US or SS
        ("ImageType", TEXTS),  # CS 2-n
        ("SliceThickness", NUMBER),  # DS
        ("MagneticFieldStrength", NUMBER),
        ("DiffusionBValue", NUMBER),  # FD
        ("PixelSpacing", NUMBERS),  # DS 2
        ("TimeSliceVector", INTEGERS),  # US 1-n
        ("StudyDate", DATE),
        ("StudyTime", TIME),
        ("RadiopharmaceuticalStartDateTime", TEXT),  # DT keeps its offset
        ("PatientAge", TEXT),  # AS
        ("PatientName", TEXT),  # PN
        ("SOPInstanceUID", TEXT),  # UI
        ("CalibrationDate", TEXTS),  # dates in a list stand as they are written
    ],
)
def test_type_follows_vr_and_vm(keyword: str, kind: pa.DataType) -> None:
    """The data dictionary decides the column."""
    assert kind == arrow_type(keyword)


def test_unknown_keyword_is_an_error() -> None:
    """A table that names what does not exist fails when it is built."""
    with pytest.raises(KeyError, match="NoSuchKeyword"):
        arrow_type("NoSuchKeyword")


# Numbers


@quickly
@given(st.integers(-(2**31), 2**31 - 1), PAD, PAD)
def test_is_reads_as_integer(number: int, before: str, after: str) -> None:
    """IS is an integer whatever padding surrounds it."""
    before = before.strip("\0")
    assert number == convert(
        read("InstanceNumber", f"{before}{number}{after}".encode(), "IS"), INTEGER
    )


@pytest.mark.parametrize("text", ["1.5", "x", "1 2", "0x10", "--1", "1e400", "nan", "inf", "1,5"])
def test_is_that_is_no_integer_is_malformed(text: str) -> None:
    """What no integer column holds is MALFORMED, also where pydicom itself raises."""
    try:
        value = read("InstanceNumber", text.encode(), "IS")
    except (OverflowError, ValueError):
        return
    assert MALFORMED is convert(value, INTEGER)


def test_is_written_as_a_decimal_counts_if_it_is_whole() -> None:
    """Some writers put 1.0 into IS; nothing is lost."""
    assert 3 == convert(read("InstanceNumber", b"3.0", "IS"), INTEGER)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
def test_integer_beyond_the_column_is_malformed(number: int) -> None:
    """An integer that 64 bits do not hold is not cut."""
    assert MALFORMED is convert(number, INTEGER)


@quickly
@given(st.floats(allow_nan=False, allow_infinity=False), PAD)
def test_ds_reads_as_number(number: float, after: str) -> None:
    """DS is the float that its digits say."""
    assert number == convert(read("SliceThickness", f"{number!r}{after}".encode(), "DS"), NUMBER)


@pytest.mark.parametrize("text", ["x", "1..5", "nan", "inf", "-inf", "1e999", "1,5", "1 2"])
def test_ds_that_is_no_number_is_malformed(text: str) -> None:
    """Neither text nor an infinity stands in a float column."""
    assert MALFORMED is convert(read("SliceThickness", text.encode(), "DS"), NUMBER)


@quickly
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=6))
def test_ds_list_keeps_every_value(numbers: list[float]) -> None:
    """Several DS values are a list; one in a list attribute is a list too."""
    text = "\\".join(map(repr, numbers))
    assert numbers == convert(read("PixelSpacing", text.encode(), "DS"), NUMBERS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1\\\\3", [1.0, None, 3.0]),
        ("1\\ \\3", [1.0, None, 3.0]),
        ("\\", None),
        ("", None),
        (" ", None),
        ("1\\x", MALFORMED),
    ],
)
def test_list_with_empty_or_bad_values(text: str, expected: Any) -> None:
    """An empty value among others is null; only empty ones are no list; a bad one spoils it."""
    assert expected == convert(read("PixelSpacing", text.encode(), "DS"), NUMBERS)


def test_is_list_with_padding_between_values() -> None:
    """An IS reader leaves the blanks of an empty IS among others; it is null all the same."""
    value = read("ReferencedFrameNumber", b"1\\ \\3", "IS")
    assert [1, None, 3] == convert(value, INTEGERS)


@pytest.mark.parametrize("kind", [INTEGER, NUMBER, DATE, TIME])
def test_several_values_where_one_is_allowed_are_malformed(kind: pa.DataType) -> None:
    """None of several values is picked."""
    assert MALFORMED is convert(MultiValue(str, ["1", "2"]), kind)


@quickly
@given(st.integers(0, 2**16 - 1))
def test_us_reads_as_integer(number: int) -> None:
    """US is an integer."""
    assert number == convert(read("Rows", struct.pack("<H", number), "US"), INTEGER)


@quickly
@given(st.floats(allow_nan=False, allow_infinity=False, width=64))
def test_fd_reads_as_number(number: float) -> None:
    """FD is a float, bit for bit."""
    assert number == convert(read("DiffusionBValue", struct.pack("<d", number), "FD"), NUMBER)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_fd_that_is_not_finite_is_malformed(number: float) -> None:
    """NaN and infinities are no measurement."""
    assert MALFORMED is convert(read("DiffusionBValue", struct.pack("<d", number), "FD"), NUMBER)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_us_of_a_wrong_length_is_malformed(size: int) -> None:
    """A binary number whose length does not fit is no number."""
    value = convert(read("Rows", b"\1" * size + b"\2" * (size % 2) + b"\3\3", "US"), INTEGER)
    assert value is MALFORMED


# Dates and times


@quickly
@given(st.dates(), PAD, st.booleans())
def test_da_reads_as_date(date: dt.date, after: str, old: bool) -> None:
    """DA is a date, in the form of today and in that of ACR-NEMA."""
    text = f"{date:%Y.%m.%d}" if old else f"{date:%Y%m%d}"
    text = text.rjust(10 if old else 8, "0")
    assert date == convert(read("StudyDate", f"{text}{after}".encode(), "DA"), DATE)


@quickly
@given(st.one_of(DEFAULT_TEXT, st.from_regex(r"[0-9. ]{6,10}", fullmatch=True)))
def test_da_is_never_another_date_than_pydicoms(text: str) -> None:
    """Where DA is understood, pydicom understands the same; else it is MALFORMED or empty."""
    value = convert(read("StudyDate", text.encode(), "DA"), DATE)
    if isinstance(value, dt.date):
        assert value == DA(text.strip())
    elif not text.strip():
        assert value is None
    else:
        assert value is MALFORMED


@pytest.mark.parametrize(
    "text",
    ["20041301", "20040230", "00000101", "2004", "200401", "2004-08-26", "2004.0826", "today"],
)
def test_da_that_is_no_date_is_malformed(text: str) -> None:
    """A date that does not exist is not bent into one that does."""
    assert MALFORMED is convert(read("StudyDate", text.encode(), "DA"), DATE)


@quickly
@given(st.times(), st.integers(0, 6), st.booleans())
def test_tm_reads_as_time(time: dt.time, digits: int, colons: bool) -> None:
    """TM is a time to the microsecond, with or without the colons of ACR-NEMA."""
    fraction = f"{time.microsecond:06d}"[:digits]
    text = f"{time:%H:%M:%S}" if colons else f"{time:%H%M%S}"
    expected = time.replace(microsecond=int(fraction.ljust(6, "0")))
    text += f".{fraction}" if digits else ""
    assert expected == convert(read("StudyTime", text.encode(), "TM"), TIME)


@quickly
@given(
    st.from_regex(
        r"([01][0-9]|2[0-3])([0-5][0-9](([0-5][0-9]|60)(\.[0-9]{0,6})?)?)?", fullmatch=True
    )
)
def test_tm_equals_pydicoms_time(text: str) -> None:
    """Every form that the standard allows says what pydicom says, a leap second included."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom says that it moves a leap second
        expected = TM(text)
    assert dt.time(
        expected.hour, expected.minute, expected.second, expected.microsecond
    ) == convert(read("StudyTime", text.encode(), "TM"), TIME)


@pytest.mark.parametrize(
    "text", ["24", "1", "1260", "12:3045", "1230:45", "noon", "120000.1234567"]
)
def test_tm_that_is_no_time_is_malformed(text: str) -> None:
    """What is no time of day is MALFORMED."""
    assert MALFORMED is convert(read("StudyTime", text.encode(), "TM"), TIME)


# Text


@quickly
@given(DEFAULT_TEXT.filter(lambda text: "\\" not in text), PAD)
def test_text_is_what_pydicom_reads(text: str, after: str) -> None:
    """LO stands as pydicom gives it; nothing but padding is nothing."""
    value = read("StudyDescription", f"{text}{after}".encode(), "LO")
    assert (text.rstrip(" ") or None) == convert(value, TEXT)


def test_several_texts_where_one_is_allowed_stay_as_they_stood() -> None:
    """Text keeps all of its values."""
    assert "a\\b" == convert(read("StudyDescription", b"a\\b", "LO"), TEXT)


def test_text_list_loses_the_padding_of_each_value() -> None:
    """The CS reader strips only the last of several CS values."""
    assert ["DERIVED", "PRIMARY"] == convert(read("ImageType", b"DERIVED \\PRIMARY ", "CS"), TEXTS)


def test_text_that_no_column_holds_is_malformed() -> None:
    """A surrogate, which utf-7 can spell, would end the whole partition in Arrow."""
    lone = b"+2AA-".decode("utf-7")
    assert MALFORMED is convert(lone, TEXT)
    assert MALFORMED is convert(["a", lone], TEXTS)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_bytes_and_items_are_no_value(kind: pa.DataType) -> None:
    """An explicit VR that is not the attribute's gives what no column holds."""
    assert MALFORMED is convert(b"abc", kind)
    assert MALFORMED is convert(Sequence([Dataset()]), kind)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("value", [None, "", b"", Sequence(), MultiValue(str, [])])
def test_nothing_is_none(kind: pa.DataType, value: Any) -> None:
    """An empty element is null in a column of any type."""
    assert convert(value, kind) is None


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_malformed_stays(kind: pa.DataType) -> None:
    """What was not understood before is not understood here."""
    assert MALFORMED is convert(MALFORMED, kind)


@quickly
@given(
    st.sampled_from(
        [
            "CS",
            "DA",
            "DS",
            "FD",
            "IS",
            "LO",
            "PN",
            "SH",
            "SQ",
            "TM",
            "UI",
            "UL",
            "UN",
            "US",
            "UT",
            "OB",
            "AT",
        ]
    ),
    st.sampled_from(
        [
            "Rows",
            "StudyDate",
            "StudyTime",
            "PixelSpacing",
            "PatientName",
            "ImageType",
            "SliceThickness",
        ]
    ),
    st.binary(max_size=40),
)
def test_any_bytes_in_any_vr_give_a_value_of_the_column(
    vr: str, keyword: str, value: bytes
) -> None:
    """Whatever pydicom reads of an element stands in its column, or is MALFORMED."""
    try:
        found = read(keyword, value, vr)
    except Exception:  # noqa: BLE001  pydicom raises of any class; the reader counts it
        return
    kind = arrow_type(keyword)
    converted = convert(found, kind)
    if converted is not MALFORMED:
        assert 1 == len(pa.array([converted], kind))


@pytest.mark.parametrize(
    ("text", "vr", "expected"),
    [
        (" 00123 ", "LO", "00123"),
        (" 00123 ", "SH", "00123"),
        (" AXIAL ", "CS", "AXIAL"),
        (" see below ", "LT", " see below"),
        (" see below ", "UT", " see below"),
        (" x ", None, " x"),
        ("Doe^Jane^^^", "PN", "Doe^Jane"),
        ("^Jane^", "PN", "^Jane"),
        ("Doe^Jane^=^^=", "PN", "Doe^Jane"),
        ("=山田^太郎^ =", "PN", "=山田^太郎"),
        ("^^^^", "PN", None),
        ("P1\0\x7f", "LO", "P1"),
        ("\0\0P1", "LO", "P1"),
        ("a\\ b ", "LO", "a\\b"),
    ],
)
def test_text_stands_in_its_plain_form(text: str, vr: str | None, expected: str | None) -> None:
    """What the VR calls insignificant is gone, what it does not stays (PS3.5 table 6.2-1)."""
    value = MultiValue(str, text.split("\\")) if "\\" in text else text
    assert expected == convert(value, TEXT, vr)
    again = convert(value, TEXT, vr)
    assert again == convert(again, TEXT, vr)


@given(
    st.text(st.sampled_from(" \0^=aB"), max_size=12),
    st.sampled_from(("PN", "LO", "CS", "LT", "UI", None)),
)
def test_a_plain_form_is_that_of_the_rule_and_stays(text: str, vr: str | None) -> None:
    """It is what an independent reading of the rule says, and the plain form of itself."""
    found = plain_text(text, vr)
    assert plain(text, vr or "LT") == found
    assert found == plain_text(found, vr)
    assert "\0" not in found


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("2.5\\2.5", NUMBERS, [2.5, 2.5]),
        ("5", INTEGER, 5),
        (" 007 ", INTEGER, 7),
        ("5.0", INTEGER, 5),
        ("9007199254740993", INTEGER, 9007199254740993),
        ("1e3", NUMBER, 1000.0),
        ("5.5", INTEGER, MALFORMED),
        ("1_000", NUMBER, MALFORMED),
        ("inf", NUMBER, MALFORMED),
        ("0x10", INTEGER, MALFORMED),
        ("1e999999999", INTEGER, MALFORMED),
        ("9" * 60_000, INTEGER, MALFORMED),
    ],
)
def test_numbers_that_stand_as_text(text: str, kind: pa.DataType, expected: Any) -> None:
    """They are numbers where there is no doubt, and malformed where there is."""
    assert expected == convert(text, kind)
