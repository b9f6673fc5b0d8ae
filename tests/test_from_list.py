"""A run over a list of files is the run over these files, and what the list lacks is gone."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from source.making import instance, zip_of
from support import crawl, published, rows
from test_incremental import OPTIONS, changes, counts

from dcmdask import crawl as public_crawl
from dcmdask.catalog.catalog import Catalog
from dcmdask.config import RunOptions
from dcmdask.errors import ShrinkError, SourceError, UsageError
from dcmdask.execution.plan import plan
from dcmdask.listing.listing import choose
from dcmdask.synthetic import write_synthetic


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give patients in folders, in zips, and files at the top."""
    folder = tmp_path / "exports"
    write_synthetic(folder / "site", patients=1, slices=4)
    write_synthetic(folder / "zips", patients=1, slices=3, seed=1, archives="zip")
    (folder / "top.zip").write_bytes(zip_of({"1": instance(1), "2": instance(2)}))
    (folder / "notes.txt").write_text("not DICOM")
    return folder


def names_of(source: Path) -> list[str]:
    """Give the paths of all files, relative."""
    found = (path for path in source.rglob("*") if path.is_file())
    return sorted(path.relative_to(source).as_posix() for path in found)


def write_list(path: Path, names: list[Any], seed: int = 0) -> str:
    """Write a list in some order, with lines that stand twice."""
    lines = [str(name) for name in [*names, *names[::3]]]
    random.Random(seed).shuffle(lines)
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


@pytest.mark.parametrize("partition_size", [1, 7, 4096])
def test_a_list_of_all_files_gives_the_catalog_of_a_walk(
    source: Path, tmp_path: Path, partition_size: int
) -> None:
    """Byte for byte, and a run with the other way of listing finds nothing new."""
    walked, listed = tmp_path / "walked", tmp_path / "listed"
    crawl(source, walked, **OPTIONS)
    place = write_list(tmp_path / "list", names_of(source))
    options = {**OPTIONS, "partition_size": partition_size}
    catalog = crawl(source, listed, from_list=place, **options)
    assert published(walked) == published(listed)
    assert rows(walked).equals(rows(listed))
    assert counts(Catalog(walked)) == counts(catalog)
    count = len(names_of(source))
    assert (0, 0, 0, count) == changes(crawl(source, listed, **OPTIONS))
    write_list(tmp_path / "list", names_of(source), seed=7)
    again = crawl(source, walked, from_list=place, **options)
    assert (0, 0, 0, count) == changes(again)


def test_what_a_list_lacks_is_gone_and_what_is_not_there_failed(
    source: Path, tmp_path: Path
) -> None:
    """The next list adds files and drops others, as if they had come and gone."""
    out, names = tmp_path / "out", names_of(source)
    place = write_list(tmp_path / "list", names[:-3])
    crawl(source, out, from_list=place, **OPTIONS)
    write_list(tmp_path / "list", [*names[2:], "site/none.dcm"])
    again = crawl(source, out, from_list=place, **OPTIONS)
    assert (4, 0, 2, len(names) - 5) == changes(again)
    kinds = {row["path"]: (row["kind"], row["stage"]) for row in again.failures.to_pylist()}
    assert ("vanished", "list") == kinds["site/none.dcm"]


def test_a_list_without_a_source(source: Path, tmp_path: Path) -> None:
    """Its folder is that of all files; OUT has to be named, as that folder may be another next time."""
    place = write_list(tmp_path / "list", [source / name for name in names_of(source)])
    crawl(source, tmp_path / "walked", **OPTIONS)
    crawl([], tmp_path / "listed", from_list=place, **OPTIONS)
    assert published(tmp_path / "walked") == published(tmp_path / "listed")
    public_crawl(
        [], tmp_path / "public", from_list=place, workers=1, merge_all=True, export_json=True
    )
    assert published(tmp_path / "walked") == published(tmp_path / "public")
    with pytest.raises(UsageError, match="say where the catalog goes with --out"):
        plan([], RunOptions(from_list=place), tmp_path)
    with pytest.raises(UsageError, match="its list would name what has been moved"):
        RunOptions(from_list=place, move_top_level_zips=True)


def test_the_list_may_be_an_inventory_of_files(source: Path, tmp_path: Path) -> None:
    """Sizes and times that it gives are not looked up: an unchanged list reads nothing."""
    out, place = tmp_path / "out", tmp_path / "list.csv"
    lines = ["location,size,last_modified_date"]
    for name in names_of(source):
        path = source / name
        lines.append(f'"{path}",{path.stat().st_size},2024-05-01T12:00:00Z')
    place.write_text("\n".join(lines))
    first = crawl(source, out, from_list=str(place), **OPTIONS)
    for name in names_of(source):
        os.utime(source / name, (1, 1))
    again = crawl(source, out, from_list=str(place), **OPTIONS)
    assert (0, 0, 0, first.run["counts"]["files"]) == changes(again)


def test_an_empty_list_empties_a_catalog_if_that_is_meant(source: Path, tmp_path: Path) -> None:
    """Nothing is listed, so nothing is there; by itself it is taken for a mistake."""
    out, place = tmp_path / "out", tmp_path / "list"
    crawl(source, out, **OPTIONS)
    before = published(out)
    place.write_text("")
    with pytest.raises(ShrinkError, match=r"list names no file; --allow-shrink accepts it"):
        crawl(source, out, from_list=str(place), **OPTIONS)
    assert before == published(out)
    catalog = crawl(source, out, from_list=str(place), allow_shrink=True, **OPTIONS)
    assert (0, 0, len(names_of(source)), 0) == changes(catalog)
    assert 0 == catalog.run["counts"]["instances"]
    with pytest.raises(SourceError, match=r"list names no file; nothing was published"):
        crawl(source, tmp_path / "other", from_list=str(place), **OPTIONS)
    assert not (tmp_path / "other").exists()


# -- lists from elsewhere --------------------------------------------------------------------------

FOREIGN = {
    "semicolons": b"path;size\nsite/a.dcm;%d\nnotes.txt;8\n",
    "Excel in Europe": b'\xef\xbb\xbf"Path";"Bytes"\r\n"site/a.dcm";"10,5"\r\nnotes.txt;1\r\n',
    "Excel's own line": b"sep=;\r\nPath;Other\r\nsite/a.dcm;x\r\nnotes.txt;y\r\n",
    "tabs": b"size\tlocation\n%d\tsite/a.dcm\n8\tnotes.txt\n",
    "backslashes": b"site\\a.dcm\r\nnotes.txt\r\n",
    "a column of backslashes": b"path,size\nsite\\a.dcm,%d\nnotes.txt,8\n",
    "carriage returns": b"site/a.dcm\r\nnotes.txt\r\n",
    "a mark": b"\xef\xbb\xbfsite/a.dcm\nnotes.txt\n",
    "PowerShell": "\ufeffsite/a.dcm\r\nnotes.txt\r\n".encode("utf-16-le"),
    "big endian": "\ufeffsite/a.dcm\r\nnotes.txt\r\n".encode("utf-16-be"),
    "without a mark": "site/a.dcm\r\nnotes.txt\r\n".encode("utf-16-le"),
    "a table in UTF-16": "\ufeffpath\tsize\r\nsite/a.dcm\t\r\nnotes.txt\t8".encode("utf-16-le"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_lists_of_other_systems_are_read(tmp_path: Path, name: str) -> None:
    """Spreadsheets, Windows and PowerShell write them; the paths they mean are there."""
    source, place = tmp_path / "in", tmp_path / "list"
    (source / "site").mkdir(parents=True)
    (source / "site" / "a.dcm").write_bytes(instance())
    (source / "notes.txt").write_text("no DICOM")
    text = FOREIGN[name]
    place.write_bytes(text % len(instance()) if b"%d" in text else text)
    with choose([str(source)], RunOptions(from_list=str(place))) as chosen:
        entries = list(chosen.inventory.list_root(chosen.roots[0]))
    assert [("notes.txt", 8), ("site/a.dcm", len(instance()))] == [
        (entry.path, entry.size) for entry in entries
    ]


NOT_UNDERSTOOD = {
    "unknown columns": (
        "filename,bytes\nsite/a.dcm,10\n",
        "line 1: its columns filename, bytes are not known: name one of them path, url or key",
    ),
    "unknown columns behind a remark": (
        "# made today\nFile;Size\nsite/a.dcm;10\n",
        "line 2: its columns File, Size are not known: name one of them path",
    ),
    "no header": (
        "site/a.dcm;10\nnotes.txt;8\n",
        "line 1: its columns have no names: give it a header such as path;size",
    ),
    "another machine's": (
        "C:\\data\\site\\a.dcm\n",
        r"line 1: C:\data\site\a.dcm is not there, with slashes for its backslashes neither: write",
    ),
    "folders": ("site\n", "it names nothing but folders: list their files, or give them as"),
    "half a pair": (
        "\ufeffsite/a.dcm\n".encode("utf-16-le")[:-1],
        "it is damaged (UnicodeDecodeError): write it again",
    ),
}


@pytest.mark.parametrize("name", NOT_UNDERSTOOD)
def test_a_list_that_is_not_understood_says_what_it_saw(tmp_path: Path, name: str) -> None:
    """With what is known; nothing of it is taken for a file that is not there."""
    source, place, out = tmp_path / "in", tmp_path / "list", tmp_path / "out"
    (source / "site").mkdir(parents=True)
    (source / "site" / "a.dcm").write_bytes(instance())
    (source / "notes.txt").write_text("no DICOM")
    text, words = NOT_UNDERSTOOD[name]
    place.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError) as caught:
        crawl(source, out, from_list=str(place), **OPTIONS)
    assert f"--from-list {place}" in str(caught.value)
    assert words in str(caught.value)
    assert not out.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="names of POSIX")
def test_odd_names_are_no_tables(tmp_path: Path) -> None:
    """Commas, semicolons and backslashes belong to names that are there."""
    source, place = tmp_path / "in", tmp_path / "list"
    source.mkdir()
    names = ["scan,one", "scan;two", "a\\b.dcm", "c, d;e"]
    for name in names:
        (source / name).write_bytes(instance())
    for first in names:
        order = [first, *(name for name in names if name != first)]
        place.write_text("".join(f"{name}\n" for name in order))
        with choose([str(source)], RunOptions(from_list=str(place))) as chosen:
            entries = list(chosen.inventory.list_root(chosen.roots[0]))
        assert sorted(names) == [entry.path for entry in entries]
        assert {None} == {entry.kind for entry in entries}


def test_a_folder_among_files_is_a_row(source: Path, tmp_path: Path) -> None:
    """It says what to do with it."""
    place = write_list(tmp_path / "list", ["notes.txt", "site"])
    catalog = crawl(source, tmp_path / "out", from_list=place, **OPTIONS)
    assert 2 == catalog.run["counts"]["skips"]
    (row,) = [row for row in catalog.failures.to_pylist() if row["path"] == "site"]
    assert "a folder: list its files, or give it as SOURCE" == row["message"]


def test_a_list_of_what_is_not_there_publishes_nothing(source: Path, tmp_path: Path) -> None:
    """Neither over a catalog nor as a first one."""
    out = tmp_path / "out"
    crawl(source, out, **OPTIONS)
    before = published(out)
    place = write_list(tmp_path / "list", ["site/none.dcm", "site/nothing.dcm"])
    with pytest.raises(ShrinkError, match=r"of \d+ known instances \d+ would be gone"):
        crawl(source, out, from_list=place, **OPTIONS)
    assert before == published(out)
    with pytest.raises(SourceError, match=r"none of what --from-list \S+ names is there"):
        crawl(source, tmp_path / "other", from_list=place, **OPTIONS)


def test_lines_that_are_passed_over_are_counted(source: Path, tmp_path: Path) -> None:
    """In ``catalog.json`` and by ``plan``."""
    place = tmp_path / "list.csv"
    place.write_text("path,is_latest\nnotes.txt,true\ntop.zip,false\n")
    catalog = crawl(source, tmp_path / "out", from_list=str(place), **OPTIONS)
    assert (1, 1) == (catalog.run["passed_over"], catalog.run["counts"]["files"])
    command = [sys.executable, "-m", "dcmdask", "plan", source, "--from-list", place]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "1 file, 0.0 MB" == done.stdout.splitlines()[0]
    assert (
        "  passed over: 1 line of the list (old versions, delete markers, folders)" in done.stdout
    )


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_a_list_may_come_through_a_pipe(source: Path, tmp_path: Path) -> None:
    """As from `find`, without SOURCE, and what is wrong is one line."""
    command = [sys.executable, "-m", "dcmdask", "run", "--from-list", "/dev/stdin", "--json"]
    lines = "".join(f"{source / name}\n" for name in names_of(source))
    done = subprocess.run(
        [*command, "--out", tmp_path / "out"],
        input=lines,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(names_of(source)) == json.loads(done.stdout)["counts"]["files"]
    wrong = subprocess.run(
        [*command, "--out", tmp_path / "other"],
        input="a.dcm\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert 2 == wrong.returncode
    assert (
        "dcmdask: --from-list /dev/stdin, line 1: a.dcm is a relative path: name the one SOURCE "
        "that it is relative to\n"
    ) == wrong.stderr
    assert not (tmp_path / "other").exists()
