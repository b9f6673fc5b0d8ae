"""The page for users of the case extractor: its commands run as they stand, to seed A's rows."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest
from cli.conftest import Command
from support import encode

from dcmdask.cli.plan import command as plan_command
from dcmdask.cli.run import command as run_command

PAGES = {
    language: (files("dcmdask") / "guides" / f"case-extractor.{language}.md").read_text("utf-8")
    for language in ("en", "zh")
}
OURS = "python -m dcmdask "
CATALOG, MAP = "data/catalog", "data/output_csv/case_projectid_map.json"


def lines(page: str) -> list[str]:
    """Give the PowerShell lines of a page."""
    blocks = re.findall(r"```powershell\n(.*?)```", page, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def words(line: str) -> list[str]:
    """Give the arguments of a PowerShell line; a backslash is no escape there, and no separator here."""
    found = re.findall(r'"[^"]*"|\'[^\']*\'|\S+', line.removeprefix(OURS))
    return [word.strip("\"'").replace("\\", "/") for word in found]


def test_both_pages_say_the_same_commands() -> None:
    """In the same order, and each page leads to the other."""
    assert lines(PAGES["en"]) == lines(PAGES["zh"])
    assert "case-extractor.zh.md" in PAGES["en"]
    assert "case-extractor.en.md" in PAGES["zh"]


def test_every_line_is_ours_but_the_installation() -> None:
    """One line installs, as PowerShell 5 has it: `;` between commands, no `&&`."""
    install, copy, *others = lines(PAGES["en"])
    assert install.startswith("py -m venv .venv; .\\.venv\\Scripts\\Activate.ps1; pip install")
    assert copy == f"New-Item -ItemType Directory -Force {CATALOG}; Copy-Item {MAP} {CATALOG}"
    assert all(line.startswith(OURS) for line in others)
    assert not [line for line in others if re.search(r"[;&|`$]", line)]


HEAD = (
    "ProjectID,FileName,PatientName,PatientID,StudyDate,PatientBirthDate,PatientAge,PatientSex,"
    "StudyInstanceUID,SeriesInstanceUID,Modality,Manufacturer,Rows,Columns,ImageCount,SeriesCount\r\n"
)
ROWS = HEAD + (
    "3,Case_A.dir,王^小明,00123,20040826,19800502,24,F,1.2.3.2,1.2.3.3,CT,ACME,512,512,3,2\r\n"
    "4,Case_B.dir,Doe^Jane,B1,20040826,,,M,1.2.3.2,1.2.3.3,MR,,256,256,1,1\r\n"
    "4,scan.zip,Doe^Jane,B2,20040826,,,M,1.2.3.2,1.2.3.3,MR,,256,256,2,2\r\n"
    "5,dicom_5807164.zip,Roe^Richard,Z1,20040826,,2,,1.2.3.2,1.2.3.3,PT,,128,128,2,1\r\n"
)
"""A folder case, one that is both, and a zip case, numbered after those of an older map."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder as the case extractor has it, with its map, and what its users crawl."""
    folder = tmp_path_factory.mktemp("extractor")
    cases = folder / "data" / "dicom_cases"
    day = {"StudyDate": "20040826"}
    gbk = encode({**day, "PatientID": "00123", "PatientName": "NAME", "PatientAge": "024Y"})
    name = "王^小明".encode("gbk")
    name += b" " * (len(name) % 2)
    spot = gbk.index(b"PN\x04\x00NAME")
    gbk = gbk[: spot + 2] + len(name).to_bytes(2, "little") + name + gbk[spot + 8 :]
    more = {"PatientBirthDate": "19800502", "PatientSex": "F", "Manufacturer": "ACME"}
    whole = encode({**day, **more, "Rows": 512, "Columns": 512, "SOPInstanceUID": "1.2.9"})
    (cases / "Case_A" / "series").mkdir(parents=True)
    empty = encode({"PatientName": "", "PatientID": None, "Rows": None, "Columns": None})
    (cases / "Case_A" / "1.dcm").write_bytes(empty)
    (cases / "Case_A" / "2.dcm").write_bytes(
        gbk.replace(b"US\x02\x00\x04\x00", b"US\x02\x00\x00\x02")
    )
    other = whole.replace(b"1.2.3.3\0", b"1.2.3.8\0")
    (cases / "Case_A" / "series" / "3.dcm").write_bytes(other)
    (cases / "Case_A" / "readme.txt").write_text("no DICOM")
    mr = {**day, "Modality": "MR", "PatientSex": "M", "Rows": 256, "Columns": 256}
    (cases / "Case_B").mkdir()
    (cases / "Case_B" / "IM1").write_bytes(encode({**mr, "PatientID": "B1"}))
    with zipfile.ZipFile(cases / "Case_B" / "scan.zip", "w") as archive:
        archive.writestr("b", encode({**mr, "PatientID": "B3", "SeriesInstanceUID": "1.2.3.9"}))
        archive.writestr("a", encode({**mr, "PatientID": "B2", "SOPInstanceUID": "1.2.8"}))
        archive.writestr("readme.txt", "no DICOM")
    pet = {**day, "Modality": "PT", "PatientName": "Roe^Richard", "PatientID": "Z1"}
    pet |= {"PatientAge": "030M", "Rows": 128, "Columns": 128}
    with zipfile.ZipFile(cases / "dicom_5807164.zip", "w") as archive:
        for number in (1, 2):
            archive.writestr(f"{number}.dcm", encode({**pet, "SOPInstanceUID": f"1.2.{number}"}))
    (folder / MAP).parent.mkdir()
    (folder / MAP).write_text('{"gone": 2, "Case_A": 3}')
    return folder


def test_the_page_runs_from_top_to_bottom(
    project: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every line does what it says, and the last ones give the rows that the case extractor's rules do."""
    monkeypatch.chdir(project)
    out = project / CATALOG
    out.mkdir()
    shutil.copy(project / MAP, out)
    for line in lines(PAGES["en"])[2:]:
        done = command(*words(line))
        assert done.code == 0, (line, done.err)
    assert (project / "logs" / "extractor.log").read_text().count("\ncatalog: ") == 1
    assert (project / "data" / "dicom_cases" / "dicom_5807164" / "dicom_5807164.zip").exists()
    for path in (project / MAP, out / "projectid_map.json"):
        numbers = json.loads(path.read_text())
        assert numbers == {"gone": 2, "Case_A": 3, "Case_B": 4, "dicom_5807164": 5}
    merged = project / "data" / "merged"
    names = sorted(path.name for path in merged.glob("*.csv"))
    assert names == ["all_cases_desensitized.csv", "all_cases_original.csv", "index.csv"]
    assert not (merged / "cases").exists()
    hidden = (project / "data" / "hidden" / "all_cases.csv").read_text(encoding="utf-8")
    assert "Roe^Richard" not in hidden
    assert hidden.count("hash:") == 4
    # The last but one made workbooks beside plain CSV, the last one CSV for a spreadsheet.
    content = (out / "all_cases.csv").read_bytes().decode("utf-8-sig")
    assert content == ROWS.replace(",00123,", ",'00123,")


def test_seed_a_has_its_rows(
    project: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One zip case, one folder case, both: as literal text, whoever names the source in which way."""
    monkeypatch.chdir(project)
    numbers = tmp_path / "map.json"
    numbers.write_text('{"gone": 2, "Case_A": 3}')
    for source in (["-d", "data/dicom_cases"], ["data/dicom_cases"]):
        more = ["--projectid-map", numbers, "--merge-all", "--export-json", "-t", "60", "-q"]
        done = command("run", *source, "-o", tmp_path / "out", "--default-charset", "gbk", *more)
        assert (done.code, done.out, done.err) == (0, "", "")
        for name in ("all_cases", "all_cases_original"):
            assert ROWS == (tmp_path / "out" / f"{name}.csv").read_bytes().decode()
    single = (tmp_path / "out" / "cases" / "Case_B.csv").read_bytes().decode()
    assert HEAD + "".join(line for line in ROWS.splitlines(True) if line[:2] == "4,") == single
    records = json.loads((tmp_path / "out" / "cases" / "Case_A.json").read_text("utf-8"))
    assert [(row["ImageCount"], row["SeriesCount"]) for row in records] == [(3, 2)]


# -- its words on the command line -----------------------------------------------------------------


def test_data_roots_are_sources(tmp_path: Path, source: Path, command: Command) -> None:
    """Repeatable, beside arguments, in `plan` and `run`; in the environment and a settings file."""
    (tmp_path / "two" / "P9").mkdir(parents=True)
    (tmp_path / "two" / "P9" / "9").write_bytes(encode())
    out = ("-o", tmp_path / "out")
    for name in ("plan", "run"):
        both = command(name, "-d", source, "--data-root", tmp_path / "two", *out)
        assert both.code == 0
        mixed = command(name, source, "-d", tmp_path / "two", *out)
        assert mixed.code == 0
    assert "new" not in mixed.out.replace("0 new", "")
    assert json.loads((tmp_path / "out" / "projectid_map.json").read_text()).keys() == {
        *("P1", "P2", "P9")
    }


def test_a_data_root_may_be_a_setting(
    tmp_path: Path, source: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in the environment, blanks and all; any number in a file."""
    place = source.rename(tmp_path / "with a blank")
    monkeypatch.setenv("DCMDASK_DATA_ROOT", str(place))
    assert command("run", "-o", tmp_path / "out").code == 0
    monkeypatch.delenv("DCMDASK_DATA_ROOT")
    (tmp_path / "s.toml").write_text(f'data-root = ["{place}"]\n')
    assert command("run", "--config", tmp_path / "s.toml", "-o", tmp_path / "out").code == 0
    assert "Missing argument 'SOURCE...'" in command("run", "-o", tmp_path / "out").err


def test_excel_is_a_switch_and_has_a_value(tmp_path: Path, source: Path, command: Command) -> None:
    """`--excel` before a source is `csv`, and the source stays one."""
    place = ("-o", tmp_path / "out", "-q")
    for given in (["--excel", source], [source, "--excel"], ["--excel", "csv", source]):
        assert command("run", *given, *place).code == 0
        assert (tmp_path / "out" / "index.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    for given in (["--excel", "xlsx", source], [source, "--excel=xlsx"]):
        assert command("run", *given, *place).code == 0
        assert (tmp_path / "out" / "index.xlsx").exists()
        assert not (tmp_path / "out" / "index.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert command("run", source, *place).code == 0
    assert not (tmp_path / "out" / "index.xlsx").exists()
    wrong = command("run", source, "--excel=ods")
    assert (2, True) == (wrong.code, "'ods' is not one of 'csv', 'xlsx'" in wrong.line)


def test_a_character_set_that_nobody_knows_is_wrong_usage(source: Path, command: Command) -> None:
    """Exit 2 and one line with names that are some, in `run` and `plan`."""
    for name in ("run", "plan"):
        done = command(name, source, "--default-charset", "GB18031")
        assert done.code == 2
        assert "--default-charset GB18031: write a term of DICOM such as GB18030" in done.line


def test_help_names_the_words_of_the_case_extractor() -> None:
    """Both commands know `-d` and `-o`; `run` also `-t` and `--log`."""
    known = {opt for one in run_command.params for opt in one.opts}
    assert {"-d", "--data-root", "-o", "--out", "-t", "--timeout", "--log", "--log-file"} <= known
    assert {"-d", "-o", "--default-charset"} <= {o for one in plan_command.params for o in one.opts}
