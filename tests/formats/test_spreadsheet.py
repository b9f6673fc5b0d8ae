"""Tables for a spreadsheet: what LibreOffice makes of them, and what stands in workbooks."""
# ruff: noqa: RUF001 - digits and signs of full width are meant

from __future__ import annotations

import csv
import datetime as dt
import shutil
import subprocess
import sys
from pathlib import Path

import openpyxl
import psutil
import pyarrow as pa
import pytest
from support import crawl, encode

import dcmdask.formats.xlsx
from dcmdask.assemble.outputs import wanted_outputs
from dcmdask.assemble.rows import CASE_ROWS
from dcmdask.assemble.work import Work
from dcmdask.config import RunOptions
from dcmdask.errors import OutputError, UsageError
from dcmdask.formats.csv import render_header, render_lines
from dcmdask.formats.spreadsheet import is_taken_for_more
from dcmdask.formats.xlsx import Workbook, check_library
from dcmdask.publish.staging import Staging
from dcmdask.state.parts import Parts

# -- which texts are protected -------------------------------------------------------------------

TAKEN = [
    *("00123", "0", "1234567890123456", "123456789012", "1.50", "1,5", "1E5", "2e-3", "3d4", " 5"),
    *("5 ", "50%", "$5", "€3", "(5)", "8-", "½", "１２", "3-4", "1/2/2004", "2004-08-26", "12:30"),
    *("5 PM", "9a", "1.2.3", "100.200.300.400", "MAR5", "5-Mai", "dez 12", "TRUE", "wahr", "真"),
    *("2004年8月26日", "上午8点", "=1+1", "+1", "-1", "@A1", "\t1", "＝1", "'00123", "12A"),
]
LEFT = [
    *("", "12345", "20040826", "SYN-0001", "P1", "A00123", "Doe^Jane", "CT", "M", "E", "1.dcm"),
    *("1.2.840.10008.5.1.4.1.1.2", "2.25.169265978708923761575379300010000000000", "ACME 3000x"),
    *("scan.zip", "P1.dir", "exports/P1/ct", "CT;SEG", "山田^太郎", "1.2.3.4", "Head 5 mm axial"),
]


def test_what_would_not_stay_is_known() -> None:
    """Leading zeros, many digits, what looks like a date in some language; and nothing else."""
    texts = pa.array([*TAKEN[:1], *TAKEN[2:], *LEFT, "0"])
    expected = [True] * (len(TAKEN) - 1) + [False] * (len(LEFT) + 1)
    assert expected == is_taken_for_more(texts).to_pylist()


# -- LibreOffice -----------------------------------------------------------------------------------

SOFFICE = shutil.which("soffice")
OFFICE = pytest.mark.skipif(SOFFICE is None, reason="no LibreOffice: install libreoffice-calc")
UTF8 = "Text - txt - csv (StarCalc):44,34,76,1"


def office(folder: Path, *words: str) -> None:
    """Run LibreOffice as if somebody opened a file and saved it."""
    profile = (folder / "profile").as_uri()
    command = [str(SOFFICE), f"-env:UserInstallation={profile}", "--headless", *words]
    subprocess.run(command, check=True, capture_output=True, timeout=150)


def cells(path: Path) -> list[list[str]]:
    """Give the cells of a CSV file."""
    with open(path, newline="", encoding="utf-8-sig") as stream:
        return list(csv.reader(stream))


IDS = {
    "P1": "00123",
    "P2": "1234567890123456789",
    "P3": "3-4",
    "P4": "1E5",
    "P5": "=1+1",
    "P6": "MAR5",
    "P7": "12345",
    "00042": "plain",
    "2004-08-26": "'quoted",
}
DATES = {"StudyDate": "20040826", "PatientBirthDate": "18991231"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with two catalogs of patients whose IDs are hard to keep."""
    place = tmp_path_factory.mktemp("office")
    for number, (case, patient) in enumerate(IDS.items()):
        path = place / "in" / case / "1"
        path.parent.mkdir(parents=True)
        uids = {"SOPInstanceUID": f"1.2.{number}", "SeriesInstanceUID": f"1.3.{number}"}
        path.write_bytes(encode({"PatientID": patient, **uids, **DATES}))
    crawl(place / "in", place / "csv", excel=True, merge_all=True)
    crawl(place / "in", place / "xlsx", excel="xlsx", merge_all=True)
    return place


@pytest.mark.office
@OFFICE
@pytest.mark.parametrize("language", ["", ",,1031", ",,2052"], ids=["default", "German", "Chinese"])
def test_csv_survives_being_opened_and_saved(folder: Path, language: str) -> None:
    """IDs with leading zeros or many digits, and dates: as a workbook, and as CSV again."""
    there = folder / f"saved{language}"
    names = ("all_cases", "index")
    files = [str(folder / "csv" / f"{name}.csv") for name in names]
    opened = f"--infilter={UTF8}{language}"
    office(folder, opened, "--convert-to", "xlsx", "--outdir", str(there), *files)
    books = [str(there / f"{name}.xlsx") for name in names]
    office(folder, "--convert-to", f"csv:{UTF8}", "--outdir", str(there), *books)
    for name in names:
        assert cells(folder / "csv" / f"{name}.csv") == cells(there / f"{name}.csv")
    rows = cells(there / "all_cases.csv")
    spots = [rows[0].index(word) for word in ("PatientID", "StudyDate", "PatientBirthDate")]
    found = [tuple(row[spot].removeprefix("'") for spot in spots) for row in rows[1:]]
    assert sorted((patient, *DATES.values()) for patient in IDS.values()) == sorted(found)


@pytest.mark.office
@OFFICE
def test_texts_that_are_left_survive_too(tmp_path: Path) -> None:
    """Neither what is protected nor what is not becomes something else, in any column."""
    table = pa.table({"text": [*TAKEN, *LEFT[1:]], "n": range(len(TAKEN) + len(LEFT) - 1)})
    columns = table.column_names
    content = render_lines(table, columns, excel=True).content
    (tmp_path / "texts.csv").write_bytes(render_header(columns, excel=True) + content)
    for number, language in enumerate(("1033", "1031", "2052", "1036")):
        there = tmp_path / language
        words = (f"--infilter={UTF8},,{language}", "--convert-to", f"csv:{UTF8}")
        office(tmp_path, *words, "--outdir", str(there), str(tmp_path / "texts.csv"))
        assert cells(tmp_path / "texts.csv") == cells(there / "texts.csv"), number


@pytest.mark.office
@OFFICE
def test_a_workbook_is_opened_as_it_is_meant(folder: Path) -> None:
    """IDs as they are in the object, dates as dates, beside CSV as it is without the option."""
    there = folder / "from xlsx"
    path = folder / "xlsx" / "all_cases.xlsx"
    office(folder, "--convert-to", f"csv:{UTF8}", "--outdir", str(there), str(path))
    rows = cells(there / "all_cases.csv")
    spots = [rows[0].index(word) for word in ("PatientID", "StudyDate", "PatientBirthDate")]
    found = [tuple(row[spot] for spot in spots) for row in rows[1:]]
    expected = sorted((patient, "2004-08-26", "1899-12-31") for patient in IDS.values())
    assert expected == sorted(found)


# -- workbooks -------------------------------------------------------------------------------------


def test_workbooks_lie_beside_plain_csv(folder: Path) -> None:
    """`--excel xlsx`: the index, all cases and each case; CSV has no BOM and no apostrophe."""
    found = sorted(path.relative_to(folder / "xlsx") for path in folder.glob("xlsx/**/*.xlsx"))
    tables = [path.with_suffix(".xlsx") for path in (folder / "xlsx").glob("**/*.csv")]
    assert sorted(path.relative_to(folder / "xlsx") for path in tables) == found
    assert len(found) == 4 + 2 * len(IDS)
    assert b"\n1,00042.dir,Doe^Jane,plain," in (folder / "xlsx" / "all_cases.csv").read_bytes()
    assert not (folder / "xlsx" / "index.csv").read_bytes().startswith(b"\xef\xbb\xbf")


def test_cells_are_typed(folder: Path) -> None:
    """Numbers are numbers, dates dates, IDs text; the header stays in sight and has filters."""
    sheet = openpyxl.load_workbook(folder / "xlsx" / "cases" / "P1.xlsx").active
    header, row = sheet.iter_rows()
    found = {
        name.value: (cell.value, cell.data_type) for name, cell in zip(header, row, strict=True)
    }
    assert found["ProjectID"] == (3, "n")
    assert found["PatientID"] == ("00123", "s")
    assert found["StudyDate"] == (dt.datetime(2004, 8, 26), "d")  # noqa: DTZ001 - a day
    assert found["PatientBirthDate"] == ("1899-12-31", "s")
    assert found["PatientName"] == ("Doe^Jane", "s")
    assert found["ImageCount"] == (1, "n")
    assert found["Manufacturer"] == (None, "n")
    assert (sheet.freeze_panes, sheet.auto_filter.ref) == ("A2", "A1:P2")
    assert header[0].font.bold
    hidden = openpyxl.load_workbook(folder / "xlsx" / "cases" / "P1.desensitized.xlsx").active
    assert hidden["C2"].value == "hash:ff37cfdaa95116a3"
    index = openpyxl.load_workbook(folder / "xlsx" / "index.xlsx").active
    assert [cell.value for cell in index[1]][:2] == ["PatientID", "StudyInstanceUID"]
    assert sorted(IDS.values()) == sorted(cell.value for cell in index["A"][1:])


def test_nothing_is_run(folder: Path) -> None:
    """There is no formula in a workbook, whatever an object says."""
    for path in folder.glob("xlsx/**/*.xlsx"):
        for row in openpyxl.load_workbook(path).active.iter_rows():
            assert "f" not in {cell.data_type for cell in row}


def test_the_same_rows_give_the_same_bytes(folder: Path) -> None:
    """Nothing in a workbook says when or where it was made."""
    again = crawl(folder / "in", folder / "again", excel="xlsx", only_merged=True).out
    for name in ("index", "all_cases_original", "all_cases_desensitized"):
        path = folder / "xlsx" / f"{name}.xlsx"
        assert path.read_bytes() == (again / f"{name}.xlsx").read_bytes()


def test_an_error_leaves_no_workbook_open(tmp_path: Path) -> None:
    """Neither of a case that has begun nor of all cases."""
    options = RunOptions(excel="xlsx", merge_all=True)
    outputs = wanted_outputs(options)
    work = Work(Staging(tmp_path), Parts(tmp_path, ()), {"P1": 1}, options, outputs, most=9)

    def begin() -> None:
        with work.takers(CASE_ROWS) as takers:
            takers.add(pa.Table.from_pylist([{"ProjectID": 1}], CASE_ROWS.schema))
            raise KeyError

    with pytest.raises(KeyError) as caught:
        begin()
    opened = [one.path for one in psutil.Process().open_files()]
    assert [] == [path for path in opened if path.startswith(str(tmp_path))]
    assert {"P1.csv", "P1.xlsx"} <= {one.name for one in (tmp_path / "publish/cases").iterdir()}
    del caught


def book(path: Path, table: pa.Table, pieces: int = 1) -> openpyxl.Workbook:
    """Write a table in pieces, and open it."""
    with Workbook(path, table.column_names, "t", path.parent / "scratch") as made:
        step = -(-table.num_rows // pieces) or 1
        for start in range(0, table.num_rows, step):
            made.add(table.slice(start, step))
    return openpyxl.load_workbook(path)


@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_a_long_table_goes_on_in_a_further_sheet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: int
) -> None:
    """A sheet has 1,048,576 rows at most: every sheet has its header, no row is lost."""
    monkeypatch.setattr(dcmdask.formats.xlsx, "MOST_ROWS", 4)
    opened = book(tmp_path / "t.xlsx", pa.table({"n": range(7)}), pieces)
    found = [[cell.value for cell in sheet["A"]] for sheet in opened]
    assert found == [["n", 0, 1, 2], ["n", 3, 4, 5], ["n", 6]]
    assert opened.sheetnames == ["t", "t (2)", "t (3)"]


def test_what_a_cell_cannot_hold_is_text(tmp_path: Path) -> None:
    """Numbers beyond 2^53, days before 1900, control characters, and texts that are too long."""
    table = pa.table(
        {
            "n": [2**60, -1],
            "day": [dt.date(1850, 2, 3), dt.date(1900, 1, 1)],
            "text": ["a\x00\x0b\ufffe", "x" * 40_000],
            "list": [["1.2", "1.3"], None],
        }
    )
    sheet = book(tmp_path / "t.xlsx", table).active
    first, second = ([cell.value for cell in row] for row in list(sheet.iter_rows())[1:])
    assert first == [str(2**60), "1850-02-03", "a_x0000__x000B__xFFFE_", "1.2;1.3"]
    assert second[:2] == [-1, dt.datetime(1900, 1, 1)]  # noqa: DTZ001 - a day
    assert second[2].endswith(" ... cut: the CSV has all")
    assert len(second[2]) < 32_767


def test_an_empty_table_has_its_header(tmp_path: Path) -> None:
    """A case without instances has a workbook as it has a CSV."""
    opened = book(tmp_path / "t.xlsx", pa.table({"a": pa.array([], pa.string())}))
    assert [[cell.value for cell in row] for row in opened.active.iter_rows()] == [["a"]]


def test_a_workbook_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    """With the place and what to do, as for every output."""
    (tmp_path / "t.xlsx").mkdir()
    with pytest.raises(OutputError, match=r"t\.xlsx: Is a directory; choose another --out"):
        book(tmp_path / "t.xlsx", pa.table({"a": [1]}))


def test_a_missing_library_is_said_before_the_crawl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line with the command that installs it."""
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    with pytest.raises(UsageError, match=r"XlsxWriter.*: pip install 'dcmdask\[excel\]'"):
        check_library()
    with pytest.raises(UsageError):
        crawl(tmp_path, tmp_path / "out", excel="xlsx")
    assert not (tmp_path / "out").exists()


def test_one_setting_has_two_forms() -> None:
    """`excel=True` of before is `csv`; anything else is refused."""
    assert RunOptions(excel="csv") == RunOptions(excel=True)
    assert RunOptions(excel="csv").digest() == RunOptions(excel=True).digest()
    with pytest.raises(UsageError, match="--excel ods: write one of csv, xlsx"):
        RunOptions(excel="ods")
