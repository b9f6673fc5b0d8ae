"""Seed A from end to end: every rule of the case extractor, on the text of the files it writes."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from support import crawl, encode

from dcmdask.catalog.catalog import Catalog
from dcmdask.config import RunOptions
from dcmdask.errors import LockedError, OutputError, ProjectIdMapError, UsageError
from dcmdask.publish.folder_store import FolderStore

HEAD = (
    "ProjectID,FileName,PatientName,PatientID,StudyDate,PatientBirthDate,PatientAge,PatientSex,"
    "StudyInstanceUID,SeriesInstanceUID,Modality,Manufacturer,Rows,Columns,ImageCount,SeriesCount"
    "\r\n"
)
HEAD_BY_FILE = HEAD.replace(",FileName,", ",Folder,FileName,")
PLAIN = "1.2.3.2,1.2.3.3,CT,,4,4,,\r\n"
"""How the row of a loose file of `support.encode` ends."""
ONE = "1.2.3.2,1.2.3.3,CT,,4,4,1,1\r\n"
"""How the row of a case or archive ends that is one such file."""


def put(path: Path, **values: Any) -> Path:
    """Write one instance."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(values))
    return path


def pack(path: Path, **members: dict[str, Any] | bytes) -> Path:
    """Write a zip of instances, in the order given; ``__`` in a name stands for ``/``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            data = content if isinstance(content, bytes) else encode(content)
            archive.writestr(name.replace("__", "/"), data)
    return path


def text(path: Path) -> str:
    """Give a file's text with its line ends as they are."""
    return path.read_bytes().decode()


def tree(folder: Path) -> list[str]:
    """List the files of a folder."""
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def tables_for_people(out: Path) -> list[str]:
    """List what seed A has written."""
    return [name for name in tree(out) if name.startswith(("cases/", "all_cases"))]


# -- cases, rows, columns ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a source with a case of every kind."""
    root = tmp_path_factory.mktemp("seed") / "exports"
    put(
        root / "P1" / "ct" / "1.dcm",
        PatientName="Doe^Jane",
        PatientID="007",
        StudyDate="20040826",
        PatientBirthDate="19800502",
        PatientAge="024Y",
        PatientSex="F",
        StudyInstanceUID="1.2.826.1",
        SeriesInstanceUID="1.2.826.1.1",
        Modality="MR",
        Manufacturer="ACME",
        Rows=512,
        Columns=256,
    )
    put(root / "P1" / "ct" / "deep" / "IM2", SOPInstanceUID="1.2.826.2")
    put(root / "P1" / "0" / "z.dcm", PatientName=None, PatientID=None, Rows=None, Columns=None)
    (root / "P1" / "notes.txt").write_text("not DICOM")
    pack(
        root / "P2" / "scan.zip",
        # Not in order of paths: b/ must not win.
        b__1={"PatientID": "B", "Manufacturer": "of b/1", "SeriesInstanceUID": "1.2.826.9"},
        a__2={"PatientID": "A2", "PatientAge": "048M", "PatientSex": "M", "Rows": 2},
        a__1={"PatientName": "", "PatientID": None, "Rows": None, "StudyDate": "20040826"},
        readme=b"not DICOM",
    )
    (root / "P2" / "old").mkdir()
    with tarfile.open(root / "P2" / "old" / "tape.tar.gz", "w:gz") as archive:
        data = encode({"SOPInstanceUID": "1.2.826.5"})
        info = tarfile.TarInfo("IM1")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    put(root / "P2" / "loose.dcm")
    pack(root / "P3.ZIP", one={}, two={"SOPInstanceUID": "1.2.826.7"})
    put(root / "top.dcm")
    put(root / "a.dcm", SOPInstanceUID="1.2.826.8")
    (root / "empty").mkdir()
    (root / "papers").mkdir()
    (root / "papers" / "letter.pdf").write_bytes(b"%PDF-1.7")
    (root / "torn.zip").write_bytes(b"PK\x03\x04 and no more")
    return root


@pytest.fixture(scope="module")
def out(exports: Path) -> Path:
    """Give the catalog of `exports`, with all that seed A may add to it."""
    return crawl(exports, exports.parent / "out", merge_all=True, export_json=True).out


CASES = {
    "P1": (
        # 0/z.dcm comes first, and says less.
        "1,P1.dir,Doe^Jane,007,20040826,19800502,24,F,1.2.3.2,1.2.3.3,CT,ACME,512,256,3,2\r\n"
    ),
    "P2": (
        f"2,P2.dir,Doe^Jane,P1,,,,,{ONE}"
        "2,scan.zip,Doe^Jane,A2,20040826,,4,M,1.2.3.2,1.2.3.3,CT,of b/1,2,4,3,2\r\n"
        "2,tape.tar.gz,Doe^Jane,P1,,,,,1.2.3.2,1.2.3.3,CT,,4,4,1,1\r\n"
    ),
    "P3": "3,P3.ZIP,Doe^Jane,P1,,,,,1.2.3.2,1.2.3.3,CT,,4,4,2,1\r\n",
    "empty": "",
    "exports": "5,exports.dir,Doe^Jane,P1,,,,,1.2.3.2,1.2.3.3,CT,,4,4,2,1\r\n",
    "papers": "",
    "torn": "",
}
"""The rows of every case, in order of ProjectID, which is that of names."""

BY_FILE = {
    "P1": (
        "1,exports/P1/ct,1.dcm,Doe^Jane,007,20040826,19800502,24,F,"
        "1.2.826.1,1.2.826.1.1,MR,ACME,512,256,,\r\n"
        f"1,exports/P1/ct/deep,IM2,Doe^Jane,P1,,,,,{PLAIN}"
        "1,exports/P1/0,z.dcm,,,,,,,1.2.3.2,1.2.3.3,CT,,,,,\r\n"
    ),
    "P2": (
        f"2,exports/P2,loose.dcm,Doe^Jane,P1,,,,,{PLAIN}"
        "2,exports/P2,scan.zip,"
        "Doe^Jane,A2,20040826,,4,M,1.2.3.2,1.2.3.3,CT,of b/1,2,4,3,2\r\n"
        "2,exports/P2/old,tape.tar.gz,Doe^Jane,P1,,,,,1.2.3.2,1.2.3.3,CT,,4,4,1,1\r\n"
    ),
    "P3": "3,exports,P3.ZIP,Doe^Jane,P1,,,,,1.2.3.2,1.2.3.3,CT,,4,4,2,1\r\n",
    "empty": "",
    "exports": (
        f"5,exports,a.dcm,Doe^Jane,P1,,,,,{PLAIN}5,exports,top.dcm,Doe^Jane,P1,,,,,{PLAIN}"
    ),
    "papers": "",
    "torn": "",
}
"""The same with a row a loose file."""


def test_every_case_has_its_number(out: Path) -> None:
    """Subfolders, zips of the root and its loose files are cases, numbered in order of name."""
    expected = """{
  "P1": 1,
  "P2": 2,
  "P3": 3,
  "empty": 4,
  "exports": 5,
  "papers": 6,
  "torn": 7
}
"""
    assert expected == text(out / "projectid_map.json")
    assert Catalog(out).cases["case"].to_pylist() == list(CASES)
    assert Catalog(out).cases["ProjectID"].to_pylist() == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("case", CASES)
def test_a_case_table_is_as_the_rules_say(out: Path, case: str) -> None:
    """A row an archive, a row for loose files; the template's columns; without DICOM the header."""
    assert HEAD + CASES[case] == text(out / "cases" / f"{case}.csv")


def test_a_loose_file_may_be_a_row(exports: Path, tmp_path: Path) -> None:
    """`--case-rows file`: with the folder each lies in, in CSV and JSON, and no line a case."""
    options = {"merge_all": True, "export_json": True}
    found = crawl(exports, tmp_path, case_rows="file", **options).out
    for case, rows in BY_FILE.items():
        assert HEAD_BY_FILE + rows == text(found / "cases" / f"{case}.csv")
    assert HEAD_BY_FILE + "".join(BY_FILE.values()) == text(found / "all_cases.csv")
    record = json.loads(text(found / "cases" / "P2.json"))[0]
    assert list(record)[:3] == ["ProjectID", "Folder", "FileName"]
    assert record["Folder"] == "exports/P2"


def test_all_cases_are_merged(out: Path) -> None:
    """`--merge-all`: one header, then all rows by ProjectID and FileName; and two copies of it."""
    whole = HEAD + "".join(CASES.values())
    assert whole == text(out / "all_cases.csv") == text(out / "all_cases_original.csv")
    assert hidden(whole) == text(out / "all_cases_desensitized.csv")


def hidden(table: str) -> str:
    """Give a table with the name that the test instances bear as seed A hides it."""
    return table.replace("Doe^Jane", "hash:ff37cfdaa95116a3")


@pytest.mark.parametrize("case", CASES)
def test_a_case_has_a_desensitized_table_beside_it(out: Path, case: str) -> None:
    """`--merge-all`: `<case>.desensitized.csv`, in which names are hashes and all else is the same."""
    assert hidden(HEAD + CASES[case]) == text(out / "cases" / f"{case}.desensitized.csv")


def test_json_has_the_rows_of_the_csv(out: Path) -> None:
    """`--export-json`: a list of records, same keys in the same order, null for an empty cell."""
    for case in CASES:
        records = json.loads(text(out / "cases" / f"{case}.json"))
        rows = list(csv.DictReader(io.StringIO(text(out / "cases" / f"{case}.csv"), newline="")))
        assert rows == [
            {name: "" if value is None else str(value) for name, value in record.items()}
            for record in records
        ]
        assert all(list(record) == HEAD.strip().split(",") for record in records)
    expected = """[
{"ProjectID": 3, "FileName": "P3.ZIP", "PatientName": "Doe^Jane", "PatientID": "P1", \
"StudyDate": null, "PatientBirthDate": null, "PatientAge": null, "PatientSex": null, \
"StudyInstanceUID": "1.2.3.2", "SeriesInstanceUID": "1.2.3.3", "Modality": "CT", \
"Manufacturer": null, "Rows": 4, "Columns": 4, "ImageCount": 2, "SeriesCount": 1}
]
"""
    assert expected == text(out / "cases" / "P3.json")
    assert text(out / "cases" / "papers.json") == "[]\n"


def test_pandas_reads_the_tables(out: Path) -> None:
    """Counts and ages are numbers, names are text, and one call reads a case or all of them."""
    frame = pd.read_csv(out / "all_cases.csv", dtype={"PatientID": str})
    assert frame["PatientID"].dropna().tolist()[0] == "007"
    assert frame["PatientAge"].dropna().tolist() == [24, 4]
    assert frame["ImageCount"].tolist() == [3, 1, 3, 1, 2, 2]
    assert len(pd.read_csv(out / "cases" / "empty.csv")) == 0
    assert len(pd.read_json(out / "cases" / "P2.json")) == 3


def test_without_options_there_is_one_csv_a_case(exports: Path, tmp_path: Path) -> None:
    """No JSON, nothing merged, nothing hidden; and those of an earlier run are taken away."""
    written = crawl(exports, tmp_path, merge_all=True, export_json=True).out
    assert "all_cases.csv" in tree(written)
    crawl(exports, tmp_path)
    assert [f"cases/{case}.csv" for case in sorted(CASES)] == tables_for_people(written)
    assert HEAD + CASES["P2"] == text(written / "cases" / "P2.csv")


def test_a_case_may_be_folder_and_zip_at_once(tmp_path: Path) -> None:
    """`P1/` beside `P1.zip` is one case, as it is once the zip is moved into its folder."""
    put(tmp_path / "in" / "P1" / "a.dcm")
    pack(tmp_path / "in" / "P1.zip", one={"SOPInstanceUID": "1.2.826.1"})
    expected = HEAD + f"1,P1.dir,Doe^Jane,P1,,,,,{ONE}1,P1.zip,Doe^Jane,P1,,,,,{ONE}"
    for move in (False, True):
        out = crawl(tmp_path / "in", tmp_path / "out", move_top_level_zips=move).out
        assert expected == text(out / "cases" / "P1.csv")
        assert text(out / "projectid_map.json") == '{\n  "P1": 1\n}\n'
    assert tree(tmp_path / "in") == ["P1/P1.zip", "P1/a.dcm"]


# -- values --------------------------------------------------------------------------------------


def test_ages_are_whole_years(tmp_path: Path) -> None:
    """By unit; without the element from the dates; nonsense, even hostile, is empty."""
    root = tmp_path / "in"
    dates = {"PatientBirthDate": "19800502", "StudyDate": "20040501"}
    ages: dict[str, tuple[bytes | None, dict[str, str]]] = {
        "a-years": (b"063Y", dates),
        "b-no-unit": (b"0063", {}),
        "c-months": (b"030M", {}),
        "d-weeks": (b"106W", {}),
        "e-days": (b"400D", {}),
        "f-newborn": (b"003D", {}),
        "g-from-dates": (None, dates),
        "h-empty-from-dates": (b"    ", dates),
        "i-born-later": (None, {"PatientBirthDate": "20040826", "StudyDate": "20040825"}),
        "j-no-study-date": (None, {"PatientBirthDate": "19800502"}),
        "k-nonsense": (b"old!", dates),
        "l-hostile": (b"9" * 400, {}),
    }
    for name, (age, values) in ages.items():
        data = encode({**values, **({} if age is None else {"PatientAge": "000Y"})})
        if age is not None:
            # Past what a writer checks: VR, length, value.
            length = len(age).to_bytes(2, "little")
            data = data.replace(b"AS\x04\x00000Y", b"AS" + length + age)
        (root / "P1").mkdir(parents=True, exist_ok=True)
        (root / "P1" / name).write_bytes(data)
    out = crawl(root, tmp_path / "out", case_rows="file").out
    both = "20040501,19800502"
    expected = HEAD_BY_FILE + (
        f"1,in/P1,a-years,Doe^Jane,P1,{both},63,,{PLAIN}"
        f"1,in/P1,b-no-unit,Doe^Jane,P1,,,63,,{PLAIN}"
        f"1,in/P1,c-months,Doe^Jane,P1,,,2,,{PLAIN}"
        f"1,in/P1,d-weeks,Doe^Jane,P1,,,2,,{PLAIN}"
        f"1,in/P1,e-days,Doe^Jane,P1,,,1,,{PLAIN}"
        f"1,in/P1,f-newborn,Doe^Jane,P1,,,0,,{PLAIN}"
        f"1,in/P1,g-from-dates,Doe^Jane,P1,{both},23,,{PLAIN}"
        f"1,in/P1,h-empty-from-dates,Doe^Jane,P1,{both},23,,{PLAIN}"
        f"1,in/P1,i-born-later,Doe^Jane,P1,20040825,20040826,,,{PLAIN}"
        f"1,in/P1,j-no-study-date,Doe^Jane,P1,,19800502,,,{PLAIN}"
        f"1,in/P1,k-nonsense,Doe^Jane,P1,{both},,,{PLAIN}"
        f"1,in/P1,l-hostile,Doe^Jane,P1,,,,,{PLAIN}"
    )
    assert expected == text(out / "cases" / "P1.csv")


NAMES = {
    "a-utf8": {"PatientName": "山田^太郎", "SpecificCharacterSet": "ISO_IR 192"},
    "b-iso2022": {
        "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
        "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
    },
    "c-latin": {"PatientName": "Müller^Käthe", "SpecificCharacterSet": "ISO_IR 100"},
    "d-comma": {"PatientName": "Doe, Jane"},
    "e-quote": {"PatientName": 'Doe^"Jane"'},
    "f-lines": {"PatientName": "Doe\r\n^Jane"},
    "g-formula": {"PatientName": "=1+1", "PatientID": "@SUM(A1)", "Manufacturer": "-2"},
}


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a source of one case with names that are hard to write."""
    root = tmp_path_factory.mktemp("names") / "in"
    for file_name, values in NAMES.items():
        put(root / "P1" / file_name, **values)
    put(root / "P1" / "=cmd", SOPInstanceUID="1.2.826.9")
    return root


def test_names_are_written_as_they_are(named: Path, tmp_path: Path) -> None:
    """UTF-8 without BOM; commas, quotes and line ends quoted as RFC 4180 wants; JSON unescaped."""
    out = crawl(named, tmp_path, export_json=True, case_rows="file").out
    expected = HEAD_BY_FILE + (
        f"1,in/P1,=cmd,Doe^Jane,P1,,,,,{PLAIN}"
        f"1,in/P1,a-utf8,山田^太郎,P1,,,,,{PLAIN}"
        f"1,in/P1,b-iso2022,Yamada^Tarou=山田^太郎=やまだ^たろう,P1,,,,,{PLAIN}"
        f"1,in/P1,c-latin,Müller^Käthe,P1,,,,,{PLAIN}"
        f'1,in/P1,d-comma,"Doe, Jane",P1,,,,,{PLAIN}'
        f'1,in/P1,e-quote,"Doe^""Jane""",P1,,,,,{PLAIN}'
        f'1,in/P1,f-lines,"Doe\r\n^Jane",P1,,,,,{PLAIN}'
        "1,in/P1,g-formula,=1+1,@SUM(A1),,,,,1.2.3.2,1.2.3.3,CT,-2,4,4,,\r\n"
    )
    assert expected == text(out / "cases" / "P1.csv")
    frame = pd.read_csv(out / "cases" / "P1.csv")
    wanted = [str(values["PatientName"]) for values in NAMES.values()]
    assert wanted == frame["PatientName"].tolist()[1:]
    content = text(out / "cases" / "P1.json")
    assert '"PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう"' in content
    assert wanted == [record["PatientName"] for record in json.loads(content)[1:]]


def test_excel_gets_a_bom_and_no_formula(named: Path, tmp_path: Path) -> None:
    """`--excel`: text that would run has an apostrophe before it, in every CSV; JSON has not."""
    out = crawl(named, tmp_path, excel=True, merge_all=True, export_json=True, case_rows="file").out
    content = text(out / "all_cases.csv")
    assert content == text(out / "cases" / "P1.csv")
    assert content.startswith("\ufeff" + HEAD_BY_FILE)
    assert f"\r\n1,in/P1,'=cmd,Doe^Jane,P1,,,,,{PLAIN}" in content
    assert "1,in/P1,g-formula,'=1+1,'@SUM(A1),,,,,1.2.3.2,1.2.3.3,CT,'-2,4,4,,\r\n" in content
    assert text(out / "index.csv").startswith("\ufeffPatientID,")
    assert json.loads(text(out / "cases" / "P1.json"))[-1]["PatientName"] == "=1+1"
    assert list(pd.read_csv(out / "all_cases.csv").columns) == HEAD_BY_FILE.strip().split(",")


# -- merged only, desensitised -------------------------------------------------------------------

ORIGINAL_NAME = "Quuxley^Zaphoda=山田^太郎"
HIDDEN_NAME = "hash:7fab3a79e879e568"


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a source whose objects of several kinds bear one patient's name."""
    root = tmp_path_factory.mktemp("secrets") / "in"
    own = {"PatientName": ORIGINAL_NAME, "SpecificCharacterSet": "ISO_IR 192"}
    put(root / "P1" / "a", **own, SOPInstanceUID="1.2.826.1")
    put(root / "P1" / "b", **own, SOPInstanceUID="1.2.826.2", Modality="PT")
    put(root / "P1" / "c", **own, Modality="OT", SOPClassUID="1.2.840.10008.5.1.4.1.1.481.3")
    put(root / "P1" / "no name", PatientName=None, SOPInstanceUID="1.2.826.3")
    pack(root / "P2.zip", one=own)
    (root / "P3").mkdir()
    (root / "P3" / "cut").write_bytes(encode(own)[:300])
    return root


ORIGINAL = HEAD + (
    f"1,P1.dir,{ORIGINAL_NAME},P1,,,,,1.2.3.2,1.2.3.3,CT,,4,4,4,1\r\n"
    f"2,P2.zip,{ORIGINAL_NAME},P1,,,,,{ONE}"
)
DESENSITIZED = ORIGINAL.replace(ORIGINAL_NAME, HIDDEN_NAME)


def gives_away(folder: Path) -> list[str]:
    """List the files that hold a part of the name: as bytes, and Parquet also decoded."""
    found = []
    for name in tree(folder):
        content = (folder / name).read_bytes()
        if name.endswith(".parquet"):
            table = pq.read_table(folder / name)
            content += repr(table.to_pylist()).encode() + repr(table.schema).encode()
        escaped = [part.encode("unicode_escape") for part in ("山田", "太郎")]
        parts = [part.encode() for part in ("Quuxley", "Zaphoda", "山田", "太郎")]
        if any(part.lower() in content.lower() for part in [*parts, *escaped]):
            found.append(name)
    return found


def kept_instances(out: Path) -> list[str]:
    """List the instances that are kept for the next run."""
    return [
        name
        for name in tree(out)
        if name.startswith(".dcmdask/parts/") and name.endswith(".parquet")
    ]


def test_only_merged_files_are_written(secrets: Path, tmp_path: Path) -> None:
    """`--only-merged`: the original and the desensitised table, no file a case, no third one."""
    for more in ({}, {"merge_all": True, "export_json": True}):
        out = crawl(secrets, tmp_path, only_merged=True, **more).out
        assert tables_for_people(out) == ["all_cases_desensitized.csv", "all_cases_original.csv"]
        assert text(out / "all_cases_original.csv") == ORIGINAL
        assert text(out / "all_cases_desensitized.csv") == DESENSITIZED


def test_only_merged_and_desensitized_writes_no_original(secrets: Path, tmp_path: Path) -> None:
    """With `--desensitize` the one merged file holds hashes, and an earlier original is gone."""
    crawl(secrets, tmp_path, only_merged=True)
    assert "all_cases_original.csv" in gives_away(tmp_path)
    out = crawl(secrets, tmp_path, only_merged=True, desensitize=True).out
    assert tables_for_people(out) == ["all_cases_desensitized.csv"]
    assert text(out / "all_cases_desensitized.csv") == DESENSITIZED
    assert gives_away(tmp_path) == []


def test_desensitize_hides_the_name_in_every_output(secrets: Path, tmp_path: Path) -> None:
    """Every file of OUT is looked through, decoded where it is compressed; staging is gone.

    So is what the run before had read, where the name is not hidden.
    """
    crawl(secrets, tmp_path, export_json=True, merge_all=True)
    assert set(gives_away(tmp_path)) == {
        "all_cases.csv",
        "all_cases_original.csv",
        *(f"cases/{case}.{suffix}" for case in ("P1", "P2") for suffix in ("csv", "json")),
        "instances/part-00000.parquet",
        *kept_instances(tmp_path),
    }
    before = kept_instances(tmp_path)
    catalog = crawl(secrets, tmp_path, desensitize=True, export_json=True, merge_all=True)
    assert gives_away(tmp_path) == []
    assert text(tmp_path / "all_cases.csv") == DESENSITIZED
    files = [f"cases/{case}.{suffix}" for case in ("P1", "P2", "P3") for suffix in ("csv", "json")]
    assert tables_for_people(tmp_path) == ["all_cases.csv", *files]
    record = json.loads(text(tmp_path / "cases" / "P2.json"))[0]
    assert record["PatientName"] == HIDDEN_NAME
    names = catalog.instances.to_table(columns=["PatientName"])["PatientName"].to_pylist()
    assert {HIDDEN_NAME, None} == set(names)
    token = catalog.run["state"]
    private = [name for name in tree(tmp_path) if name.startswith(".dcmdask/")]
    assert [name for name in private if not name.startswith(".dcmdask/parts/")] == [
        ".dcmdask/lock",
        ".dcmdask/numbers.lock",
        ".dcmdask/output.json",
        f".dcmdask/state-{token}.index",
        f".dcmdask/state-{token}.json",
    ]
    assert len(before) == len(kept_instances(tmp_path)) == 1
    assert not set(before) & set(private)


def test_a_path_that_holds_the_name_is_counted(tmp_path: Path) -> None:
    """Paths are published as they are: the run says how many hold a name that it hides."""
    put(tmp_path / "in" / "DOE_JANE" / "1")
    put(tmp_path / "in" / "P2" / "1")
    catalog = crawl(tmp_path / "in", tmp_path / "out", desensitize=True)
    assert catalog.run["counts"]["noted"] == {"name_in_path": 1}
    (tmp_path / "in").rename(tmp_path / "Doe, Jane")
    catalog = crawl(tmp_path / "Doe, Jane", tmp_path / "out", desensitize=True)
    assert catalog.run["counts"]["noted"] == {"name_in_path": 2}


# -- zips that are moved -------------------------------------------------------------------------


def test_zips_are_moved_into_folders(tmp_path: Path) -> None:
    """`--move-top-level-zips`: `x.zip` to `x/x.zip`; nothing is overwritten, nothing else moves."""
    root = tmp_path / "in"
    new, old = encode({"PatientID": "new"}), encode({"PatientID": "old"})
    pack(root / "x.zip", one=new)
    pack(root / "x" / "x.zip", one=old)
    pack(root / "x" / "x_1.zip", one=old)
    pack(root / "y.v2.ZIP", one=new)
    pack(root / "z.zip", one=new)
    (root / "z").write_text("a file where the folder would be")
    pack(root / "deep" / "w.zip", one=new)
    before = {name: (root / name).read_bytes() for name in tree(root)}
    catalog = crawl(root, tmp_path / "out", move_top_level_zips=True)
    after = {name: (root / name).read_bytes() for name in tree(root)}
    moved = {"x.zip": "x/x_2.zip", "y.v2.ZIP": "y.v2/y.v2.ZIP", "z.zip": "z_1/z.zip"}
    assert after == {moved.get(name, name): content for name, content in before.items()}
    assert [[str(root / a), str(root / b)] for a, b in moved.items()] == catalog.run["moved"]
    rest = "1.2.3.2,1.2.3.3,CT,,4,4,1,1\r\n"
    expected = HEAD + (
        f"3,x.zip,Doe^Jane,old,,,,,{rest}"
        f"3,x_1.zip,Doe^Jane,old,,,,,{rest}"
        f"3,x_2.zip,Doe^Jane,new,,,,,{rest}"
    )
    assert expected == text(catalog.out / "cases" / "x.csv")
    again = crawl(root, tmp_path / "out", move_top_level_zips=True)
    assert again.run["moved"] == []
    assert after == {name: (root / name).read_bytes() for name in tree(root)}


def test_without_the_option_nothing_moves(tmp_path: Path) -> None:
    """A zip in the root is its own case where it lies, with the same table."""
    pack(tmp_path / "in" / "x.zip", one={})
    out = crawl(tmp_path / "in", tmp_path / "out").out
    assert tree(tmp_path / "in") == ["x.zip"]
    before = text(out / "cases" / "x.csv")
    assert before == HEAD + "1,x.zip,Doe^Jane,P1,,,,,1.2.3.2,1.2.3.3,CT,,4,4,1,1\r\n"
    crawl(tmp_path / "in", tmp_path / "out", move_top_level_zips=True)
    assert tree(tmp_path / "in") == ["x/x.zip"]
    assert before == text(out / "cases" / "x.csv")


def test_an_archive_that_is_the_source_is_not_moved(tmp_path: Path) -> None:
    """The option is for zips in a source: one that was named itself is crawled where it lies."""
    path = pack(tmp_path / "in" / "x.zip", one={})
    catalog = crawl(path, tmp_path / "out", move_top_level_zips=True)
    assert tree(tmp_path / "in") == ["x.zip"]
    assert tables_for_people(catalog.out) == ["cases/x.csv"]
    assert catalog.instances.count_rows() == 1


def test_a_run_that_cannot_start_moves_nothing(tmp_path: Path) -> None:
    """A bad map, an OUT that another run writes to: the sources stay as they are."""
    pack(tmp_path / "in" / "x.zip", one={})
    (tmp_path / "map.json").write_text("[]")
    with pytest.raises(ProjectIdMapError):
        crawl(
            tmp_path / "in",
            tmp_path / "out",
            move_top_level_zips=True,
            projectid_map=str(tmp_path / "map.json"),
        )
    with FolderStore(tmp_path / "out"), pytest.raises(LockedError):
        crawl(tmp_path / "in", tmp_path / "out", move_top_level_zips=True)
    assert tree(tmp_path / "in") == ["x.zip"]


# -- numbers -------------------------------------------------------------------------------------


def test_numbers_stay_over_runs(tmp_path: Path) -> None:
    """New cases get the next number; a case that is gone keeps its own and gets it back."""
    root, out = tmp_path / "in", tmp_path / "out"
    for case in ("d", "b"):
        put(root / case / "1")
    crawl(root, out)
    assert json.loads(text(out / "projectid_map.json")) == {"b": 1, "d": 2}
    (root / "b").rename(tmp_path / "aside")
    put(root / "a" / "1")
    catalog = crawl(root, out, only_merged=True)
    assert text(out / "projectid_map.json") == '{\n  "a": 3,\n  "b": 1,\n  "d": 2\n}\n'
    rest = f"Doe^Jane,P1,,,,,{ONE}"
    assert text(out / "all_cases_original.csv") == HEAD + f"2,d.dir,{rest}3,a.dir,{rest}"
    assert catalog.index["ProjectID"].to_pylist() == [3]
    (tmp_path / "aside").rename(root / "b")
    put(root / "c" / "1")
    crawl(root, out)
    assert json.loads(text(out / "projectid_map.json")) == {"a": 3, "b": 1, "c": 4, "d": 2}
    assert tables_for_people(out) == [f"cases/{case}.csv" for case in "abcd"]
    assert text(out / "cases" / "b.csv") == HEAD + f"1,b.dir,{rest}"


def test_a_map_may_lie_anywhere(tmp_path: Path) -> None:
    """`--projectid-map`: read, continued and saved there; OUT holds no second one."""
    for case in ("a", "b", "山田"):
        put(tmp_path / "in" / case / "1")
    path = tmp_path / "numbers" / "of" / "cases.json"
    crawl(tmp_path / "in", tmp_path / "out", projectid_map=str(path))
    assert text(path) == '{\n  "a": 1,\n  "b": 2,\n  "山田": 3\n}\n'
    path.write_text('{"b": 2, "other project": 7, "a": 3}')
    out = crawl(tmp_path / "in", tmp_path / "out", projectid_map=str(path)).out
    assert json.loads(text(path)) == {"a": 3, "b": 2, "other project": 7, "山田": 8}
    assert text(out / "cases" / "山田.csv") == HEAD + f"8,山田.dir,Doe^Jane,P1,,,,,{ONE}"
    assert not (out / "projectid_map.json").exists()
    assert tree(path.parent) == [".cases.json.lock", "cases.json", "cases.json.greatest"]


def test_a_bad_map_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    """One clear error, and neither map nor catalog are touched."""
    put(tmp_path / "in" / "a" / "1")
    path = tmp_path / "map.json"
    path.write_text('{"a": "one"}')
    with pytest.raises(ProjectIdMapError, match=r"map\.json: a number in it is no positive"):
        crawl(tmp_path / "in", tmp_path / "out", projectid_map=str(path))
    assert path.read_text() == '{"a": "one"}'
    assert not (tmp_path / "out").exists()


def test_a_killed_publishing_loses_no_number(tmp_path: Path) -> None:
    """A run that was ended while it put its files in place had set the map aside: it is read."""
    root, out = tmp_path / "in", tmp_path / "out"
    put(root / "b" / "1")
    crawl(root, out)
    aside = out / ".dcmdask" / "previous"
    aside.mkdir()
    (out / ".dcmdask" / "moves.json").write_text("[]")
    for name in ("catalog.json", "projectid_map.json", "cases"):
        (out / name).rename(aside / name)
    put(root / "a" / "1")
    crawl(root, out)
    assert json.loads(text(out / "projectid_map.json")) == {"a": 2, "b": 1}


@pytest.mark.parametrize("place", ["", "cases/map.json", "catalog.json", ".dcmdask/map.json"])
def test_a_map_must_not_lie_in_what_is_replaced(tmp_path: Path, place: str) -> None:
    """Numbers are kept for ever, and these places are not."""
    put(tmp_path / "in" / "a" / "1")
    with pytest.raises(UsageError, match="lies in what a run replaces"):
        crawl(tmp_path / "in", tmp_path / "out", projectid_map=str(tmp_path / "out" / place))


def test_a_map_that_cannot_be_written_is_said_before_the_crawl(tmp_path: Path) -> None:
    """Not after hours of reading."""
    source = put(tmp_path / "in" / "a" / "1")
    with pytest.raises(OutputError, match="choose another --projectid-map"):
        crawl(tmp_path / "in", tmp_path / "out", projectid_map=str(source / "map.json"))
    assert not (tmp_path / "out").exists()


def test_another_spelling_of_the_default_map_is_the_default(tmp_path: Path) -> None:
    """`OUT/../OUT/projectid_map.json` is published with the rest."""
    put(tmp_path / "in" / "a" / "1")
    path = tmp_path / "out" / ".." / "out" / "projectid_map.json"
    out = crawl(tmp_path / "in", tmp_path / "out", projectid_map=str(path)).out
    assert json.loads(text(out / "projectid_map.json")) == {"a": 1}


def test_tables_that_a_layout_leaves_out_cannot_be_asked_for() -> None:
    """`--layout native --merge-all` would silently write no merged table."""
    with pytest.raises(UsageError, match="--merge-all with --layout native"):
        RunOptions(layout="native", merge_all=True)


# -- names of cases ------------------------------------------------------------------------------


def test_any_case_name_has_its_file(tmp_path: Path) -> None:
    """Names no file may have on some system, alike in letter case, overlong, and no UTF-8."""
    root = tmp_path / "in"
    names = ["P1", "p1", "con", "a:b*c", " x", "=1+1", "n" * 200, "two\nlines", "P1-fbeae7c1"]
    for name in names:
        put(root / name / "1")
    odd = os.fsencode(root) + b"/\xff"
    os.mkdir(odd)
    with open(odd + b"/1", "wb") as stream:
        stream.write(encode())
    out = crawl(root, tmp_path / "out", export_json=True).out
    stems = {
        " x": "x-830a815d",
        "=1+1": "=1+1",
        "P1": "P1-227d67dc",
        "P1-fbeae7c1": "P1-fbeae7c1",
        "\\xff": "_xff-776a63db",
        "a:b*c": "a_b_c-73094f74",
        "con": "con-1143da2b",
        "n" * 200: "n" * 111 + "-1be63cc0",
        "p1": "p1-f64551fc",
        "two\nlines": "two_lines-edc8c128",
    }
    numbers = json.loads(text(out / "projectid_map.json"))
    assert numbers == {name: number for number, name in enumerate(sorted(stems), 1)}
    suffixes = (".csv", ".json")
    expected = sorted(f"cases/{stem}{suffix}" for stem in stems.values() for suffix in suffixes)
    assert expected == tables_for_people(out)
    for name, stem in stems.items():
        (row,) = csv.reader(io.StringIO(text(out / "cases" / f"{stem}.csv")[len(HEAD) :]))
        assert [str(numbers[name]), f"{name}.dir", "Doe^Jane"] == row[:3]


def test_one_case_name_in_two_sources_is_two_cases(tmp_path: Path) -> None:
    """The later source's case bears the name of its source, and has its own number and file."""
    for source in ("first", "second"):
        put(tmp_path / source / "P1" / source)
        put(tmp_path / source / f"only-{source}" / source)
    out = crawl([tmp_path / "first", tmp_path / "second"], tmp_path / "out", merge_all=True).out
    rest = f"Doe^Jane,P1,,,,,{ONE}"
    names = ("P1", "only-first", "only-second", "second/P1")
    rows = [f"{number},{name}.dir,{rest}" for number, name in enumerate(names, 1)]
    assert json.loads(text(out / "projectid_map.json")) == {
        "P1": 1,
        "only-first": 2,
        "only-second": 3,
        "second/P1": 4,
    }
    assert HEAD + "".join(rows) == text(out / "all_cases.csv")
    stems = ("P1", "only-first", "only-second", "second_P1-7ded4b2b")
    assert tables_for_people(out) == [
        *(f"all_cases{form}.csv" for form in ("", "_desensitized", "_original")),
        *(f"cases/{stem}{mark}.csv" for stem in stems for mark in ("", ".desensitized")),
    ]
    assert HEAD + rows[3] == text(out / "cases" / "second_P1-7ded4b2b.csv")


def test_a_source_that_is_an_archive_is_its_case(tmp_path: Path) -> None:
    """`run in/x.zip` gives case x, and nothing of what lies beside it."""
    pack(tmp_path / "in" / "x.zip", one={})
    put(tmp_path / "in" / "other" / "1")
    out = crawl(tmp_path / "in" / "x.zip", tmp_path / "out").out
    assert tables_for_people(out) == ["cases/x.csv"]
    row = "1,x.zip,Doe^Jane,P1,,,,,1.2.3.2,1.2.3.3,CT,,4,4,1,1\r\n"
    assert HEAD + row == text(out / "cases" / "x.csv")


# -- the command ---------------------------------------------------------------------------------


def dcmdask(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    command = [sys.executable, "-m", "dcmdask", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_takes_every_option_of_seed_a(secrets: Path, tmp_path: Path) -> None:
    """One run with all of them: exit 0, the files as promised, the name nowhere, log included."""
    source = shutil.copytree(secrets, tmp_path / "source" / "in")
    made = tmp_path / "made"
    made.mkdir()
    out, log, numbers = made / "out", made / "log.txt", made / "map.json"
    done = dcmdask(
        *("run", source, "--out", out, "--only-merged", "--merge-all", "--export-json"),
        *("--desensitize", "--move-top-level-zips", "--projectid-map", numbers),
        *("--timeout", "60", "--log-file", log),
    )
    assert done.returncode == 0
    assert text(out / "all_cases_desensitized.csv") == DESENSITIZED
    assert tables_for_people(out) == ["all_cases_desensitized.csv"]
    assert json.loads(text(numbers)) == {"P1": 1, "P2": 2, "P3": 3}
    assert gives_away(made) == []
    assert log.name in tree(made)
    assert "P2/P2.zip" in tree(source)
    for stream in (done.stdout, done.stderr):
        assert "Quuxley" not in stream
        assert "山田" not in stream


def test_the_command_says_a_bad_map_in_one_line(secrets: Path, tmp_path: Path) -> None:
    """Exit 1, one line that names the file and what to do, no traceback, no OUT."""
    path = tmp_path / "map.json"
    path.write_text("[]")
    done = dcmdask("run", secrets, "--out", tmp_path / "out", "--projectid-map", path)
    assert done.returncode == 1
    expected = (
        f"dcmdask: ProjectID map {path}: it is no JSON object; mend the file, or name another "
        "--projectid-map\n"
    )
    assert expected == done.stderr
    assert not (tmp_path / "out").exists()
