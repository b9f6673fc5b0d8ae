"""ProjectIDs: what a map may hold, that no number is given twice, and that runs may share a map."""

from __future__ import annotations

import errno
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import crawl, encode

from dcmdask.config import RunOptions
from dcmdask.errors import OutputError, ProjectIdMapError
from dcmdask.execution.pipeline import run
from dcmdask.publish.projectids import (
    LARGEST,
    Numbers,
    assign_project_ids,
    give_numbers,
    greatest_beside,
    read_numbers,
)
from dcmdask.types import Progress

NONE = Numbers.of({})


def given_to(cases: list[str], known: dict[str, int], greatest: int = 0) -> dict[str, int]:
    """Give the numbers of some cases and of those that are known."""
    return assign_project_ids(cases, Numbers.of(known, greatest)).of_case


@pytest.mark.parametrize(
    ("cases", "known", "expected"),
    [
        ([], {}, {}),
        (["c", "a", "b"], {}, {"a": 1, "b": 2, "c": 3}),
        (["P10", "P2"], {}, {"P10": 1, "P2": 2}),
        (["a", "b"], {"b": 1}, {"b": 1, "a": 2}),
        (["a", "b", "c"], {"gone": 2, "b": 4}, {"gone": 2, "b": 4, "a": 5, "c": 6}),
        (["a", "a"], {}, {"a": 1}),
        (["é", "z", "Z"], {}, {"Z": 1, "z": 2, "é": 3}),
    ],
)
def test_new_cases_get_the_numbers_after_the_greatest(
    cases: list[str], known: dict[str, int], expected: dict[str, int]
) -> None:
    """New ones in sorted order of name, from 1; gaps are not filled, known ones keep theirs."""
    assert expected == given_to(cases, known)


def test_a_number_that_was_struck_out_is_not_given_again() -> None:
    """The greatest number ever given counts, whether a case still has it or not."""
    assert given_to(["a", "b"], {"a": 1}, greatest=7) == {"a": 1, "b": 8}


_KNOWN = st.dictionaries(st.text(max_size=3), st.integers(1, 40), max_size=8).map(
    lambda found: {name: number for number, name in {v: k for k, v in found.items()}.items()}
)
_STEPS = st.lists(
    st.tuples(st.sets(st.text("abc", max_size=2)), st.sets(st.text("abc", max_size=2))), max_size=6
)


@given(_STEPS, _KNOWN)
def test_no_number_is_given_twice(
    steps: list[tuple[set[str], set[str]]], known: dict[str, int]
) -> None:
    """Whatever cases come, and are struck out of the map, over any number of runs."""
    numbers = Numbers.of(known)
    everyone = {number: [name] for name, number in known.items()}
    for come, struck in steps:
        after = assign_project_ids(come, numbers)
        assert numbers.of_case.items() <= after.of_case.items()
        new = {name: n for name, n in after.of_case.items() if name not in numbers.of_case}
        assert sorted(new) == sorted(new, key=new.__getitem__)
        for name, number in new.items():
            everyone.setdefault(number, []).append(name)
        left = {name: n for name, n in after.of_case.items() if name not in struck}
        numbers = Numbers.of(left, after.greatest)
    assert [] == [names for names in everyone.values() if len(names) > 1]


# -- what a map may hold ---------------------------------------------------------------------------


def test_an_absent_map_is_empty(tmp_path: Path) -> None:
    """The first run has no map."""
    assert read_numbers(tmp_path / "none.json") == NONE


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"{}", {}),
        (b'{"a": 1, "b": 9007199254740992}', {"a": 1, "b": 9007199254740992}),
        ('{"山田": 3}'.encode(), {"山田": 3}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
    ],
)
def test_a_map_is_read(tmp_path: Path, content: bytes, expected: dict[str, int]) -> None:
    """Any UTF-8 JSON object of numbers, also one that an editor gave a BOM."""
    path = tmp_path / "map.json"
    path.write_bytes(content)
    assert Numbers.of(expected) == read_numbers(path)


BAD_MAPS = {
    b"": "it is no JSON",
    b'{"a": 1': "it is no JSON",
    b'\xff\xfe{\x00"\x00': "it is no JSON",
    b"[" * 100_000: "it is no JSON",
    b'{"a": ' + b"9" * 5_000 + b"}": "it is no JSON",
    b'["a"]': "it is no JSON object",
    b"7": "it is no JSON object",
    b'{"a": "1"}': "a number in it is no positive integer",
    b'{"a": 1.0}': "a number in it is no positive integer",
    b'{"a": true}': "a number in it is no positive integer",
    b'{"a": null}': "a number in it is no positive integer",
    b'{"a": {"b": 1}}': "a number in it is no positive integer",
    b'{"a": 0}': "a number in it is no positive integer",
    b'{"a": -3}': "a number in it is no positive integer",
    b'{"a": 9007199254740993}': "a number in it is too large",
    b'{"a": 1, "b": 1}': "two cases in it have one number",
    b'{"a": 1, "a": 2}': "a case stands in it twice",
}


@pytest.mark.parametrize("content", BAD_MAPS, ids=range(len(BAD_MAPS)))
def test_a_bad_map_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    """What the file is not is said with its path and what to do."""
    path = tmp_path / "map.json"
    path.write_bytes(content)
    remedy = "mend the file, or name another --projectid-map"
    with pytest.raises(ProjectIdMapError) as caught:
        read_numbers(path)
    assert f"ProjectID map {path}: {BAD_MAPS[content]}; {remedy}" == str(caught.value)


def test_a_map_that_is_a_folder_is_an_error(tmp_path: Path) -> None:
    """A folder is no map, and says so before the crawl."""
    with pytest.raises(ProjectIdMapError, match="Is a directory"):
        read_numbers(tmp_path)


@pytest.mark.parametrize("content", [b"", b"one", b"-1", b"1.5", b"9" * 30, b"9007199254740993"])
def test_a_bad_memory_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    """The file beside the map holds one number: what else stands there is not passed over."""
    path = tmp_path / "map.json"
    greatest_beside(path).write_bytes(content)
    with pytest.raises(ProjectIdMapError, match=r"map\.json\.greatest: it is no positive integer"):
        read_numbers(path)


def test_the_last_number_is_said_to_be_the_last(tmp_path: Path) -> None:
    """Beyond 2^53 a number would not be the same to every reader: none is given."""
    path = tmp_path / "map.json"
    path.write_text(f'{{"a": {LARGEST}}}')
    with pytest.raises(ProjectIdMapError, match=r"map\.json: no number up to 9007199254740992"):
        give_numbers(path, ["b"], NONE)


# -- maps that are kept ----------------------------------------------------------------------------


def test_a_full_disk_leaves_the_map_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was half written goes, and one line says why."""
    path = tmp_path / "map.json"
    give_numbers(path, ["a"], NONE)
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="no space left"):
        give_numbers(path, ["b"], NONE)
    assert before == {one.name: one.read_bytes() for one in tmp_path.iterdir()}


def test_numbers_are_saved_where_they_change_and_only_there(tmp_path: Path) -> None:
    """A run without new cases writes nothing; a link to the map stays one, and its mode its own."""
    path = tmp_path / "shared" / "map.json"
    give_numbers(path, ["b", "a"], NONE)
    assert path.read_text() == '{\n  "a": 1,\n  "b": 2\n}\n'
    assert greatest_beside(path).read_text() == "2\n"
    path.chmod(0o664)
    link = tmp_path / "link.json"
    link.symlink_to(path)
    before = path.stat()
    give_numbers(link, ["b"], NONE)
    assert (before.st_mtime_ns, before.st_ino) == (path.stat().st_mtime_ns, path.stat().st_ino)
    assert give_numbers(link, ["c"], NONE).of_case == {"a": 1, "b": 2, "c": 3}
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o664


def test_runs_at_the_same_time_share_a_map(tmp_path: Path) -> None:
    """Each of many at once gets numbers that no other has, and one case has one number in all."""
    path = tmp_path / "map.json"
    wanted = [[f"case {number // 2}", f"own {number}"] for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda cases: give_numbers(path, cases, NONE).of_case, wanted))
    numbers = json.loads(path.read_text())
    assert set(numbers) == {case for cases in wanted for case in cases}
    assert sorted(numbers.values()) == list(range(1, 25))
    assert all(own.items() <= numbers.items() for own in found)


def put(root: Path, *cases: str) -> Path:
    """Write a case of one instance for each name."""
    for case in cases:
        (root / case).mkdir(parents=True)
        (root / case / "1").write_bytes(encode({"SOPInstanceUID": f"1.2.{len(case)}"}))
    return root


def numbers_of(out: Path) -> list[str]:
    """Give the first lines' cases and numbers of all case tables."""
    files = sorted((out / "cases").glob("*.csv"))
    return [f"{path.stem} {path.read_text().splitlines()[1].split(',')[0]}" for path in files]


def test_a_run_meets_what_another_has_given_meanwhile(tmp_path: Path) -> None:
    """Two runs of two outputs share a map; the second ends while the first one reads."""
    one, two = put(tmp_path / "one", "a", "both"), put(tmp_path / "two", "b", "both")
    shared = tmp_path / "map.json"

    def other(state: Progress) -> None:
        if state.stage == "read" and not shared.exists():
            crawl(two, tmp_path / "out two", projectid_map=str(shared))

    run([str(one)], RunOptions(out=str(tmp_path / "out one"), projectid_map=str(shared)), other)
    assert json.loads(shared.read_text()) == {"a": 3, "b": 1, "both": 2}
    assert numbers_of(tmp_path / "out one") == ["a 3", "both 2"]
    assert numbers_of(tmp_path / "out two") == ["b 1", "both 2"]


def test_a_map_in_the_output_of_another_run_is_shared_too(tmp_path: Path) -> None:
    """Whose map it is makes no difference: numbers of both are in it."""
    one, two = put(tmp_path / "one", "a", "both"), put(tmp_path / "two", "b", "both")
    crawl(one, tmp_path / "out")
    path = tmp_path / "out" / "projectid_map.json"
    crawl(two, tmp_path / "out two", projectid_map=str(path))
    put(tmp_path / "one", "c")
    crawl(one, tmp_path / "out")
    assert json.loads(path.read_text()) == {"a": 1, "b": 3, "both": 2, "c": 4}
    assert numbers_of(tmp_path / "out") == ["a 1", "both 2", "c 4"]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_is_struck_out_of_a_map_is_not_given_again(tmp_path: Path, elsewhere: bool) -> None:
    """A line taken out of the map by hand: its case gets a new number, and nobody the old one."""
    root = put(tmp_path / "in", "a", "b", "c")
    out = tmp_path / "out"
    path = tmp_path / "numbers.json" if elsewhere else out / "projectid_map.json"
    options = {"projectid_map": str(path)} if elsewhere else {}
    crawl(root, out, **options)
    path.write_text('{"a": 1}')
    put(root, "d")
    crawl(root, out, **options)
    assert json.loads(path.read_text()) == {"a": 1, "b": 4, "c": 5, "d": 6}
    assert numbers_of(out) == ["a 1", "b 4", "c 5", "d 6"]


def test_the_map_of_a_store_remembers_too(tmp_path: Path) -> None:
    """There it is published with the catalog, and so is the greatest number ever given."""
    root = put(tmp_path / "in", "a", "b")
    url = f"memory://{tmp_path.name}-numbers"
    catalog = crawl(root, url)
    names = ("projectid_map.json", "projectid_map.json.greatest")
    assert [catalog._output.fetch(name).read_text() for name in names] == [
        '{\n  "a": 1,\n  "b": 2\n}\n',
        "2\n",
    ]
    (root / "b").rename(tmp_path / "b")
    put(root, "c")
    catalog = crawl(root, url)
    assert json.loads(catalog._output.fetch(names[0]).read_text()) == {"a": 1, "b": 2, "c": 3}
    assert crawl(root, url).run["run"]["changes"]["new"] == 0


# -- the case extractor's own map ------------------------------------------------------------------


def test_the_map_of_the_case_extractor_is_taken_over(tmp_path: Path) -> None:
    """`case_projectid_map.json` in OUT: its numbers stay, and the file as it is."""
    root, out = put(tmp_path / "in", "a", "b"), tmp_path / "out"
    out.mkdir()
    text = '{\n  "b": 5,\n  "gone": 9\n}'
    (out / "case_projectid_map.json").write_text(text)
    crawl(root, out)
    path = out / "projectid_map.json"
    assert json.loads(path.read_text()) == {"a": 10, "b": 5, "gone": 9}
    assert (out / "case_projectid_map.json").read_text() == text
    put(root, "c")
    (out / "case_projectid_map.json").write_text("{")
    crawl(root, out)
    assert json.loads(path.read_text()) == {"a": 10, "b": 5, "c": 11, "gone": 9}


def test_a_bad_map_of_the_case_extractor_is_said(tmp_path: Path) -> None:
    """Before anything is read: the numbers in it are promised."""
    root, out = put(tmp_path / "in", "a"), tmp_path / "out"
    out.mkdir()
    (out / "case_projectid_map.json").write_text('{"a": true}')
    with pytest.raises(ProjectIdMapError, match=r"case_projectid_map\.json: a number in it"):
        crawl(root, out)


def test_the_map_of_the_case_extractor_may_be_used_as_it_is(tmp_path: Path) -> None:
    """Named with `--projectid-map` it is read and written where it lies."""
    root, out = put(tmp_path / "in", "a", "b"), tmp_path / "out"
    out.mkdir()
    path = out / "case_projectid_map.json"
    path.write_text('{"b": 5}')
    crawl(root, out, projectid_map=str(path))
    assert json.loads(path.read_text()) == {"a": 6, "b": 5}
    assert not (out / "projectid_map.json").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
def test_the_map_of_a_private_output_is_its_owners_alone(tmp_path: Path) -> None:
    """`--private`: no file of numbers, and no workbook, allows anything to others."""
    out = crawl(put(tmp_path / "in", "a"), tmp_path / "out", private=True, excel="xlsx").out
    open_to_others = [path for path in (out, *out.rglob("*")) if path.stat().st_mode & 0o077]
    assert open_to_others == []
    assert (out / "projectid_map.json.greatest").exists()
    assert (out / "cases" / "a.xlsx").exists()
