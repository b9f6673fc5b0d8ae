"""No name is in anything that a run leaves, whoever knew it and whenever it was read."""

from __future__ import annotations

import itertools
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import RTPlanStorage, RTStructureSetStorage, SegmentationStorage
from source.making import instance, zip_of
from support import crawl, published, rows
from tables.privacy.searching import holders

from dcmdask.catalog.catalog import Catalog
from dcmdask.execution import name_search
from dcmdask.tables.privacy import pseudonym

NAME = "Doe^Jonathan^P^Dr"
FORMS = ("Jonathan Doe", "Doe Jonathan")
HASH = pseudonym(NAME)
EVERY = {"export_json": True, "merge_all": True}


def put(folder: Path, name: str, number: int, **values: Any) -> None:
    """Write an instance into a folder, of one series unless it is said otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(instance(number, **values))


def hidden(source: Path, out: Path, **options: Any) -> Catalog:
    """Crawl with `--desensitize`."""
    return crawl(source, out, desensitize=True, **EVERY, **options)


def descriptions(out: Path) -> list[str]:
    """Give the descriptions of all instances, in order of URL."""
    return rows(out)["SeriesDescription"].to_pylist()


# -- one run -----------------------------------------------------------------------------------------


def _items(keyword: str, texts: list[str]) -> list[Dataset]:
    items = []
    for text in texts:
        items.append(Dataset())
        setattr(items[-1], keyword, text)
    return items


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a source in which a name stands in the forms people write, in all texts there are."""
    root = tmp_path_factory.mktemp("usual") / "in"
    forms = ["Jonathan Doe", "Doe_Jonathan", "DoeJonathan", "Doe^Jonathan", "DOE, JONATHAN"]
    for number, form in enumerate(forms, 1):
        uids = {"StudyInstanceUID": f"1.{number}", "SeriesInstanceUID": f"1.{number}.1"}
        texts = dict.fromkeys(
            ("PatientID", "StudyDescription", "SeriesDescription", "Manufacturer"), f"CT of {form}"
        )
        more = {
            "StationName": form,
            "ProtocolName": form,
            "InstitutionName": f"For {form}",
            "SoftwareVersions": [form],
        }
        put(root / f"c{number}", "ct", number, PatientName=NAME, **uids, **texts, **more)
    plan = {"RTPlanLabel": forms[2], "RTPlanName": f"{forms[0]} 1"}
    own = {"PatientName": NAME, "StudyInstanceUID": "1.1"}
    put(
        root / "rt",
        "plan",
        11,
        SOPClassUID=RTPlanStorage,
        Modality="RTPLAN",
        SeriesInstanceUID="1.7",
        **own,
        **plan,
    )
    put(
        root / "rt",
        "structures",
        12,
        SOPClassUID=RTStructureSetStorage,
        Modality="RTSTRUCT",
        SeriesInstanceUID="1.8",
        StructureSetLabel=forms[1],
        StructureSetName=forms[4],
        StructureSetROISequence=_items("ROIName", ["GTV", forms[3], f"PTV {forms[0]}"]),
        **own,
    )
    segments = _items("SegmentLabel", ["Liver", forms[1]])
    for segment in segments:
        segment.SegmentDescription = f"by {forms[0]}"
    put(
        root / "rt",
        "segments",
        13,
        SOPClassUID=SegmentationStorage,
        Modality="SEG",
        SeriesInstanceUID="1.9",
        SegmentSequence=segments,
        ContentDescription=forms[0],
        **own,
    )
    # Names that others of the series or study have, and other groups of a name.
    put(root / "c8", "a", 14, PatientName=NAME, StudyInstanceUID="8", SeriesInstanceUID="8.1")
    nameless = {"PatientName": None, "StudyInstanceUID": "8", "SeriesDescription": forms[3]}
    put(root / "c8", "b", 15, SeriesInstanceUID="8.1", **nameless)
    put(root / "c8", "c", 16, SeriesInstanceUID="8.2", **nameless)
    groups = {"PatientName": "Doe^Jonathan=山田^太郎", "SpecificCharacterSet": "ISO_IR 192"}
    put(root / "c9", "a", 17, SeriesInstanceUID="9", SeriesDescription="頭 山田太郎", **groups)
    return root


def test_no_form_of_a_name_is_in_anything_that_a_run_leaves(usual: Path, tmp_path: Path) -> None:
    """Every byte of OUT is looked through, tables unpacked; without the switch it is all there."""
    catalog = hidden(usual, tmp_path / "out")
    assert [] == holders(tmp_path / "out", *FORMS, "山田太郎", "太郎山田")
    table = catalog.crawl_db
    (structures,) = (row for row in table.to_pylist() if row["Modality"] == "RTSTRUCT")
    assert ["GTV", HASH, f"PTV {HASH}"] == structures["ROINames"]
    assert (HASH, HASH) == (structures["StructureSetLabel"], structures["StructureSetName"])
    assert f"CT of {HASH}" in table["PatientID"].to_pylist()
    assert {"note": 0} == {"note": catalog.notes.num_rows}
    crawl(usual, tmp_path / "plain", **EVERY)
    assert len(holders(tmp_path / "plain", *FORMS)) > 10


def test_words_that_may_be_of_a_name_are_noted(command_line: Any, tmp_path: Path) -> None:
    """File and column are named, never the value; the summary says how many and how to see them."""
    put(tmp_path / "in" / "a", "1", 1, PatientName=NAME, SeriesDescription="CT Doe", PatientID="7")
    put(tmp_path / "in" / "a", "2", 2, PatientName=NAME, PatientID="JONATHAN7", StationName="DOE 1")
    code, printed = command_line("run", tmp_path / "in", "--out", tmp_path / "out", "--desensitize")
    assert 0 == code
    (line,) = (one for one in printed.splitlines() if "may hold part" in one)
    assert "  warning: 2 values of 2 instances may hold part of a name" in line
    assert "PatientID, dates, institution, UIDs, paths, case names" in printed
    notes = Catalog(tmp_path / "out").notes.to_pylist()
    assert [("a/1", "SeriesDescription"), ("a/2", "PatientID")] == sorted(
        (note["path"], note["attribute"]) for note in notes if note["note"] == "name_in_text"
    )
    code, printed = command_line("failures", tmp_path / "out", "--notes")
    assert (0, True) == (code, "a/1: SeriesDescription" in printed)
    assert not [word for word in ("Doe", "DOE", "JONATHAN") if word in printed]


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Give what runs a command: its exit code, and what it printed."""
    from dcmdask.cli.main import main

    def run(*args: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["dcmdask", *map(str, args)])
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0), capsys.readouterr().out

    return run


# -- names that other parts know ---------------------------------------------------------------------


def scattered(root: Path) -> None:
    """Write series whose names are known in some places and not in others."""
    put(root / "a", "1", 1, PatientName=None, SeriesDescription="Doe^Jonathan")
    put(root / "b", "2", 2, PatientName=NAME, SeriesDescription="of Jane Roe")
    put(root / "c", "3", 3, PatientName="Roe^Jane", SeriesDescription="CT DoeJonathan, Jane Roe")
    put(root / "d", "4", 4, PatientName=None, SeriesInstanceUID="7.7", PatientID="ROE_JANE")
    put(root / "e", "5", 5, PatientName="X^Y", StudyInstanceUID="7", SeriesInstanceUID="7.1")
    both = instance(6, PatientName=None, SeriesDescription="Jonathan Doe")
    alone = instance(7, StudyInstanceUID="6", SeriesInstanceUID="6.1", PatientName=None)
    (root / "f.zip").write_bytes(zip_of({"x/1": both, "x/2": alone}))


def test_names_that_other_partitions_know_are_hidden(tmp_path: Path) -> None:
    """However the work is cut, the same bytes come out, and no name is in them."""
    scattered(tmp_path / "in")
    for number, size in enumerate((4096, 1, 2)):
        out = tmp_path / f"out{number}"
        catalog = hidden(tmp_path / "in", out, partition_size=size)
        assert [] == holders(out, *FORMS, "Jane Roe", "Roe Jane")
        assert rows(tmp_path / "out0").equals(rows(out))
        assert published(tmp_path / "out0") == published(out)
        assert 7 == catalog.run["counts"]["instances"]
    roe = pseudonym("Roe^Jane")
    expected = [HASH, f"of {roe}", f"CT {HASH}, {roe}", None, None, HASH, None]
    assert expected == descriptions(tmp_path / "out0")
    assert roe in rows(tmp_path / "out0")["PatientID"].to_pylist()


def test_nights_on_which_names_come_and_go(tmp_path: Path) -> None:
    """After every night the catalog is that of a run over everything, whatever was known before."""
    source, out = tmp_path / "in", tmp_path / "out"
    scattered(tmp_path / "all")
    chosen = random.Random(5)
    names = sorted(path.name for path in (tmp_path / "all").iterdir())
    for night in range(4):
        shutil.rmtree(source, ignore_errors=True)
        source.mkdir()
        for name in names if night == 2 else chosen.sample(names, 4):
            origin = tmp_path / "all" / name
            copy = shutil.copytree if origin.is_dir() else shutil.copy2
            copy(origin, source / name)
        hidden(source, out, partition_size=chosen.choice([1, 3, 4096]))
        whole = tmp_path / f"whole{night}"
        hidden(source, whole)
        assert rows(whole).equals(rows(out))
        same = {name: content for name, content in published(out).items() if "map" not in name}
        fresh = {name: content for name, content in published(whole).items() if "map" not in name}
        assert sorted(same) == sorted(fresh)
        assert same["failures.parquet"] == fresh["failures.parquet"]
        assert same["crawl_db.parquet"] == fresh["crawl_db.parquet"]
        assert same["notes.parquet"] == fresh["notes.parquet"]


def test_a_night_without_news_reads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was searched once is neither read nor looked at again, and the catalog stays as it is."""
    scattered(tmp_path / "in")
    hidden(tmp_path / "in", tmp_path / "out", partition_size=1)
    before = published(tmp_path / "out")
    monkeypatch.delattr(name_search, "unsearched")
    again = hidden(tmp_path / "in", tmp_path / "out", partition_size=1)
    assert before == published(tmp_path / "out")
    assert (0, 6) == (again.run["run"]["changes"]["new"], again.run["run"]["changes"]["same"])


def test_what_cannot_be_searched_is_withheld(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the file that bears the name has gone since it was read, no text is published."""
    source, out = tmp_path / "in", tmp_path / "out"
    put(source / "a", "1", 1, PatientName=None, SeriesDescription="Doe^Jonathan", PatientID="DOE")
    put(source / "b", "2", 2, PatientName=NAME, SeriesDescription="head")
    content, modified = (source / "b" / "2").read_bytes(), (source / "b" / "2").stat().st_mtime_ns
    written = name_search.write_search

    def gone(*args: Any) -> Any:
        for partition in written(*args):
            (source / "b" / "2").unlink(missing_ok=True)
            yield partition

    with monkeypatch.context() as patch:
        patch.setattr(name_search, "write_search", gone)
        catalog = hidden(source, out, partition_size=1)
    assert [] == holders(out, *FORMS)
    assert [None, "head"] == descriptions(out)
    assert [None, "P1"] == rows(out)["PatientID"].to_pylist()
    assert {"withheld": 1} == catalog.run["counts"]["noted"]
    # It is there again, as it was: the next night all is as it should be.
    (source / "b" / "2").write_bytes(content)
    os.utime(source / "b" / "2", ns=(modified, modified))
    hidden(source, out, partition_size=1)
    assert [HASH, "head"] == descriptions(out)
    assert [] == holders(out, *FORMS)


@pytest.mark.parametrize("size", [4, 4096])
def test_a_uid_that_many_patients_have_costs_no_search(tmp_path: Path, size: int) -> None:
    """What has more names than a series of one patient hides in each instance its own only."""
    letters = "bcdfghjklmnpqrstvwxz"
    for number, (first, second) in enumerate(itertools.product(letters[:5], letters[5:9]), 1):
        name = f"{first * 4}^{second * 4}"
        text = f"{second * 4} {first * 4}, bbbb hhhh"
        put(
            tmp_path / "in" / f"{number:02d}", "1", number, PatientName=name, SeriesDescription=text
        )
    hidden(tmp_path / "in", tmp_path / "out", partition_size=size)
    found = descriptions(tmp_path / "out")
    assert 20 == sum(text.startswith("hash:") for text in found)
    # Of those that are no bbbb themselves.
    assert 16 == sum(text.endswith(", bbbb hhhh") for text in found)
