"""What earlier runs have read is found again by fingerprint, in whatever order files are listed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcmdask.state import previous_runs
from dcmdask.state.fingerprint import NEVER, Fingerprints, fingerprints
from dcmdask.state.parts import list_stems, read_summary, remove_others, write_part
from dcmdask.state.previous_runs import Changes, Known, write_index
from dcmdask.tables.schema import DESCRIBED, FAILURES, INSTANCES, NAMED, NOTED, READ, ROW, SEEN
from dcmdask.types import HeaderTables

File = tuple[str, int, int]
"""Path, size and time."""

READING = "digest"

NOTHING = HeaderTables(
    INSTANCES.empty_table(),
    SEEN.empty_table(),
    *(schema.append(ROW).empty_table() for schema in (DESCRIBED, NAMED, FAILURES, NOTED)),
)


def prints(files: list[File]) -> Fingerprints:
    """Give the fingerprints of files in one root and case."""
    names = [("in", path, "in", f"/in/{path}".encode()) for path, _, _ in files]
    sizes, times = [size for _, size, _ in files], [time for _, _, time in files]
    return fingerprints(names, sizes, times, [(None, None)] * len(files))


def write(folder: Path, files: list[File], *, retried: tuple[int, ...] = ()) -> str:
    """Write a part of nothing but its listing."""
    found = prints(files)
    found.facts[list(retried)] = NEVER
    columns = {name: [None] * len(files) for name in READ.names}
    columns |= {
        "path": [path for path, _, _ in files],
        "size": [size for _, size, _ in files],
        "piece": [0] * len(files),
        "pieces": [1] * len(files),
        "members": [0] * len(files),
        "containers": [0] * len(files),
        "key": found.keys[:, 0],
        "key_more": found.keys[:, 1],
        "facts": found.facts,
    }
    folder.mkdir(exist_ok=True)
    return write_part(folder, 0, NOTHING, pa.table(columns, READ), READING).part


def known_of(
    folder: Path, published: list[list[File]], unfinished: list[list[File]] | None = None
) -> Known:
    """Write parts and their indices, and give what is known by them."""
    groups = []
    for number, lists in enumerate((published, unfinished or [])):
        stems = [write(folder, files) for files in lists]
        path = folder / f"{number}.index"
        write_index(path, folder, stems)
        groups.append((path, stems) if stems else None)
    return Known(folder, READING, *groups)


FILES = st.lists(
    st.tuples(st.integers(0, 30).map(str), st.integers(0, 2), st.integers(0, 2)),
    unique_by=lambda file: file[0],
    max_size=30,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=FILES, after=FILES, cut=st.integers(1, 9), held=st.sampled_from([1, 4, 100]))
def test_a_listing_is_told_apart(
    tmp_path_factory: pytest.TempPathFactory,
    before: list[File],
    after: list[File],
    cut: int,
    held: int,
) -> None:
    """New, changed, gone and unchanged files are as a comparison of the two listings has them."""
    folder = tmp_path_factory.mktemp("known")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(previous_runs, "_HELD_ROWS", held)
        pieces = [before[start : start + cut] for start in range(0, len(before), cut)]
        found = known_of(folder, pieces)
    same = [file in before for file in after]
    looked = [found.look_up(prints(after[n : n + 7]), n) for n in range(0, len(after), 7)]
    assert same == [flag for flags in looked for flag in flags.tolist()]
    paths = {path for path, _, _ in before}
    listed = {path for path, _, _ in after}
    states = Counter(
        "same" if file in before else "changed" if file[0] in paths else "new" for file in after
    )
    expected = Changes(
        states["new"], states["changed"], len(paths - listed), states["same"], resumed=0
    )
    if before:
        assert expected == found.changes()
        kept = [found.kept(number).tolist() for number in range(len(pieces))]
        assert [[file in after for file in piece] for piece in pieces] == kept


def test_what_was_read_twice_is_kept_once(tmp_path: Path) -> None:
    """Where a published part and an unfinished one hold a file, one of them answers for it."""
    files = [("a", 1, 1), ("b", 1, 1)]
    found = known_of(tmp_path, [files], [files, [("c", 1, 1)]])
    assert [True, True, True] == found.look_up(prints([*files, ("c", 1, 1)]), 0).tolist()
    assert 3 == sum(int(found.kept(number).sum()) for number in range(3))
    assert Changes(new=1, changed=0, gone=0, same=2, resumed=1) == found.changes()


def test_a_change_that_was_read_before_the_run_was_ended(tmp_path: Path) -> None:
    """A file that changed since the catalog and was read since counts as changed and as read."""
    found = known_of(tmp_path, [[("a", 1, 1)]], [[("a", 2, 2)]])
    assert [True] == found.look_up(prints([("a", 2, 2)]), 0).tolist()
    assert Changes(new=0, changed=1, gone=0, same=0, resumed=1) == found.changes()
    assert [[False], [True]] == [found.kept(0).tolist(), found.kept(1).tolist()]


def test_what_may_have_passed_is_never_the_same(tmp_path: Path) -> None:
    """A file that hung or could not be opened is met again, and read again."""
    stem = write(tmp_path, [("a", 1, 1), ("b", 1, 1)], retried=(1,))
    write_index(tmp_path / "index", tmp_path, [stem])
    found = Known(tmp_path, READING, (tmp_path / "index", [stem]))
    assert [True, False] == found.look_up(prints([("a", 1, 1), ("b", 1, 1)]), 0).tolist()
    assert Changes(new=0, changed=1, gone=0, same=1, resumed=0) == found.changes()


def test_files_of_a_part_that_is_lost_are_new(tmp_path: Path) -> None:
    """An index outlives a part: what it names there is not known."""
    stems = [write(tmp_path, [("a", 1, 1)]), write(tmp_path, [("b", 1, 1)])]
    write_index(tmp_path / "index", tmp_path, stems)
    remove_others(tmp_path, [stems[1], "index"])
    found = Known(tmp_path, READING, (tmp_path / "index", stems))
    assert [False, True] == found.look_up(prints([("a", 1, 1), ("b", 1, 1)]), 0).tolist()


def test_positions_are_those_of_the_first_file_kept(tmp_path: Path) -> None:
    """Parts stand in the order in which the listing meets them."""
    found = known_of(tmp_path, [[("b", 1, 1)], [("a", 1, 1), ("c", 1, 1)]])
    found.look_up(prints([("x", 1, 1), ("c", 1, 1), ("a", 1, 1), ("b", 1, 1)]), 10)
    assert [13, 11] == [found.position(0), found.position(1)]


@given(
    st.lists(
        st.tuples(st.text(), st.text(), st.text(), st.binary()), min_size=2, max_size=2, unique=True
    )
)
def test_other_names_have_other_keys(names: list[tuple[str, str, str, bytes]]) -> None:
    """Whatever a root, a path, a case and a location are, others have another key."""
    if any("\0" in text for name in names for text in name[:3]):
        return  # no name on a disk has one
    first, second = fingerprints(names, [1, 1], [1, 1], [(None, None)] * 2).keys.tolist()
    assert first != second


@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(0, 2**62),
            st.none() | st.integers(-(2**62), 2**62),
            st.tuples(st.none() | st.text(), st.none() | st.text()),
        ),
        min_size=2,
        max_size=2,
        unique=True,
    )
)
def test_a_change_of_anything_is_another_fact(
    facts: list[tuple[int, int, tuple[str, str]]],
) -> None:
    """Size, time and what the listing says of a file: a change of one of them shows."""
    sizes, times, verdicts = zip(*facts, strict=True)
    names = [("in", "a", "in", b"a")] * 2
    first, second = fingerprints(names, sizes, times, verdicts).facts.tolist()
    assert first != second
    assert NEVER not in (first, second)


def test_numbers_are_the_same_on_every_machine() -> None:
    """No hash of a process is in them: the next run may be one of another machine."""
    found = fingerprints(
        [("in", "a", "in", b"/in/a")], [512], [1_700_000_000_000_000], [(None, None)]
    )
    assert [[10824808423732417441, 11240222616747914251]] == found.keys.tolist()
    assert [9612818140602692694] == found.facts.tolist()


def test_a_part_is_whole_or_none(tmp_path: Path) -> None:
    """A summary is believed as long as every file has the size and the sum that it says."""
    stem = write(tmp_path, [("a", 1, 1)])
    assert [stem] == list_stems(tmp_path)
    path = tmp_path / f"{stem}.read.arrow"
    content = path.read_bytes()
    path.write_bytes(content[:300] + b"x" + content[301:])
    assert read_summary(tmp_path, stem, READING, thorough=False) is not None
    assert read_summary(tmp_path, stem, READING, thorough=True) is None
    path.write_bytes(content + b"x")
    assert read_summary(tmp_path, stem, READING, thorough=False) is None


def test_a_part_that_was_read_otherwise_is_none(tmp_path: Path) -> None:
    """A task of a run without --desensitize that lives on is not believed by one with it."""
    stem = write(tmp_path, [("a", 1, 1)])
    assert read_summary(tmp_path, stem, "other", thorough=False) is None
