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
from dcmdask.catalog import Catalog
from dcmdask.config import RunOptions
from dcmdask.errors import UsageError
from dcmdask.planning import plan
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


def test_an_empty_list_empties_a_catalog(source: Path, tmp_path: Path) -> None:
    """Nothing is listed, so nothing is there."""
    out, place = tmp_path / "out", tmp_path / "list"
    crawl(source, out, **OPTIONS)
    place.write_text("")
    catalog = crawl(source, out, from_list=str(place), **OPTIONS)
    assert (0, 0, len(names_of(source)), 0) == changes(catalog)
    assert 0 == catalog.run["counts"]["instances"]


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
