"""`--default-charset`: text of objects that state no character set, or one that does not fit."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread, hooks
from support import crawl, encode

from dcmdask.config import RunOptions, encodings_of
from dcmdask.dicom.charset import default_charset, is_text_in
from dcmdask.dicom.functional_groups import text_of
from dcmdask.errors import UsageError
from dcmdask.header.reader import quiet_pydicom
from dcmdask.tables.privacy import pseudonym

WANG = "王^小明"
"""Of these characters' bytes in GBK none is UTF-8."""


PLACES = {"PatientName": "NAME", "SeriesDescription": "SERIES", "ProtocolName": "PROTOCOL"}


def written(text: str, encoding: str, **values: Any) -> bytes:
    """Give an instance whose name and descriptions are text in an encoding."""
    with quiet_pydicom():
        data = encode({**values, **PLACES})
    for placeholder in PLACES.values():
        content = text.encode(encoding)
        content += b" " * (len(content) % 2)
        spot = data.index(placeholder.encode())
        length = len(content).to_bytes(2, "little")
        data = data[: spot - 2] + length + content + data[spot + len(placeholder) :]
    return data


FILES = {
    "a-none": (WANG, "gbk", {}),
    "b-utf8 said, gbk meant": (WANG, "gbk", {"SpecificCharacterSet": "ISO_IR 192"}),
    "c-utf8": (WANG, "utf-8", {"SpecificCharacterSet": "ISO_IR 192"}),
    "d-latin": ("Müller^Käthe", "latin-1", {"SpecificCharacterSet": "ISO_IR 100"}),
    "e-ascii": ("Doe^Jane", "ascii", {}),
    "f-ascii said": (WANG, "gb18030", {"SpecificCharacterSet": "ISO_IR 6"}),
    "g-unknown said": (WANG, "gb18030", {"SpecificCharacterSet": "ISO_IR 999"}),
    "h-gb18030": (WANG, "gb18030", {"SpecificCharacterSet": "GB18030"}),
    "i-backslash within": ("誠^小明", "gbk", {}),
    "j-four bytes": ("\U00020000^小明", "gb18030", {}),
}
"""Text, the encoding it is written in, and what the object states."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give files of many series, the same again in a zip, and enough to be scanned as columns."""
    root = tmp_path_factory.mktemp("charsets") / "in"
    (root / "P1").mkdir(parents=True)
    with zipfile.ZipFile(root / "P2.zip", "w") as archive:
        for number, (name, (text, encoding, values)) in enumerate(FILES.items()):
            more = {"SOPInstanceUID": f"1.2.{number}", "SeriesInstanceUID": f"1.3.{number}"}
            data = written(text, encoding, **values, **more)
            (root / "P1" / name).write_bytes(data)
            archive.writestr(name, data)
    (root / "P3").mkdir()
    for number in range(100):
        more = {"SOPInstanceUID": f"1.4.{number}", "SeriesInstanceUID": "1.5"}
        (root / "P3" / f"{number:03d}").write_bytes(written(f"王{number}", "gbk", **more))
    return root


def texts(out: Path, table: str) -> dict[str, str]:
    """Give the names by series, or by path, of a table, and see that descriptions are the same."""
    catalog = crawl_tables[out]
    if table == "crawl_db":
        # Of one instance a series; its ProtocolName is read of no other.
        rows, key, word = catalog.crawl_db, "SeriesInstanceUID", "ProtocolName"
    else:
        rows, key, word = catalog.instances.to_table(), "path", "PatientName"
    found = rows.select([key, word, "SeriesDescription"]).to_pylist()
    assert [row[word] for row in found] == [row["SeriesDescription"] for row in found]
    return {row[key]: row[word] for row in found}


crawl_tables: dict[Path, Any] = {}


def test_text_is_read_in_the_default_where_it_does_not_fit(source: Path, tmp_path: Path) -> None:
    """In both readers, of files and members, in tables and in `crawl_db`; what fits is kept."""
    crawl_tables[tmp_path] = crawl(source, tmp_path, default_charset="GB18030")
    paths = texts(tmp_path, "instances")
    for name, (text, _, _) in FILES.items():
        assert (text, text) == (paths[f"P1/{name}"], paths[f"P2.zip!{name}"]), name
    assert [paths[f"P3/{n:03d}"] for n in range(100)] == [f"王{n}" for n in range(100)]
    series = texts(tmp_path, "crawl_db")
    expected = {f"1.3.{number}": text for number, (text, _, _) in enumerate(FILES.values())}
    assert {**expected, "1.5": "王0"} == series
    assert "王^小明" in (tmp_path / "cases" / "P1.csv").read_text(encoding="utf-8")


def test_nothing_is_guessed_without_the_option(source: Path, tmp_path: Path) -> None:
    """What pydicom makes of it stands there; and a run with the option reads all again."""
    crawl_tables[tmp_path] = crawl(source, tmp_path)
    paths = texts(tmp_path, "instances")
    assert WANG.encode("gbk").decode("latin-1") == paths["P1/a-none"]
    assert paths["P1/c-utf8"] == WANG
    again = crawl(source, tmp_path, default_charset="gb18030")
    assert again.run["run"]["read_anew"] == "it was read with other settings or releases"
    crawl_tables[tmp_path] = again
    assert texts(tmp_path, "instances")["P1/a-none"] == WANG
    assert crawl(source, tmp_path, default_charset="GB18030").run["run"]["read_anew"] is None


def test_names_of_other_files_are_looked_for_in_the_default(tmp_path: Path) -> None:
    """A name that another partition knows is hidden, though its bytes mean it in the default only."""
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    one_series = {"SeriesInstanceUID": "1.3"}
    nameless = written(WANG, "gbk", SOPInstanceUID="1.2.1", **one_series)
    (source / "1").write_bytes(nameless.replace(b"\x10\0\x10\0PN", b"\x10\0\x11\0PN"))
    (source / "2").write_bytes(written(WANG, "gbk", SOPInstanceUID="1.2.2", **one_series))
    catalog = crawl(
        source, out, default_charset="GB18030", desensitize=True, partition_size=1, workers=1
    )
    names = catalog.instances.to_table().sort_by("path").to_pydict()
    assert [None, pseudonym(WANG)] == names["PatientName"]
    assert [pseudonym(WANG)] * 2 == names["SeriesDescription"]


def test_a_value_that_is_remembered_is_remembered_for_its_default() -> None:
    """The same bytes mean another text in the next run of the same process."""
    with quiet_pydicom():
        content = written(WANG, "gbk")
        for _ in range(2):
            found = []
            for charset in ("", "GB18030", "cp1251"):
                with default_charset(charset):
                    dataset = dcmread(io.BytesIO(content), force=True)
                    found.append(text_of(dataset, "ProtocolName"))
            encoded = WANG.encode("gbk")
            assert [encoded.decode("latin-1"), WANG, encoded.decode("cp1251")] == found


@pytest.mark.parametrize(
    ("value", "encodings", "expected"),
    [
        (b"Wang", ["iso8859"], True),
        (WANG.encode("gbk"), ["iso8859"], False),
        (WANG.encode("gbk"), ["latin_1"], True),
        (WANG.encode("gbk"), ["UTF8"], False),
        (WANG.encode(), ["UTF8"], True),
        ("山田".encode("iso2022_jp"), ["iso8859"], False),
        ("山田".encode("iso2022_jp"), ["iso8859", "iso2022_jp"], True),
        (b"\xff\xfe", ["gb18030"], False),
        (b"\xe4", ["no such encoding"], False),
    ],
)
def test_bytes_are_text_or_not(value: bytes, encodings: list[str], expected: bool) -> None:
    """What states nothing holds ASCII only, escapes must be known, and every byte must mean some."""
    with quiet_pydicom():
        assert expected == is_text_in(value, encodings)


def test_pydicom_is_left_as_it_was() -> None:
    """A default is one thread's while it reads, and nobody's afterwards, however it ends."""
    before = hooks.hooks.raw_element_value
    with default_charset("gbk"), default_charset("UTF8+gbk"):
        assert before is not hooks.hooks.raw_element_value
    with pytest.raises(KeyError), default_charset("gbk"):
        raise KeyError
    assert before is hooks.hooks.raw_element_value


@pytest.mark.parametrize(
    ("charset", "expected"),
    [
        ("GB18030", ["GB18030"]),
        ("gb18030", ["GB18030"]),
        ("ISO_IR 192", ["UTF8"]),
        ("ISO 2022 IR 6\\ISO 2022 IR 87", ["iso8859", "iso2022_jp"]),
        ("cp1251", ["cp1251"]),
        ("big5", ["big5"]),
    ],
)
def test_names_of_dicom_and_of_python_are_known(charset: str, expected: list[str]) -> None:
    """In any letter case; several are joined as an object joins them."""
    assert expected == encodings_of(charset)


@pytest.mark.parametrize(
    "charset", ["GB18031", "utf-16", "utf-7", "base64", "rot13", "idna", "cp037", "a\0b", "GBK\\x"]
)
def test_a_name_of_nothing_is_wrong_usage(charset: str) -> None:
    """Before anything is read, with names that are some."""
    with pytest.raises(UsageError, match=r"--default-charset .*: write a term of DICOM such as"):
        RunOptions(default_charset=charset)
