"""Names of sources and cases: told apart, and kept, whatever runs come in whatever order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from support import examples

from dcmdask.state.names import KnownSource, Names, known_sources

Cases = Mapping[str, Sequence[str]]


def _run(
    cases: Cases, known: Sequence[KnownSource] = ()
) -> tuple[list[str], dict[tuple[str, str], str], list[KnownSource]]:
    """Name the cases of some sources; give names of sources and cases, and what is remembered.

    It goes through JSON, as between two runs.
    """
    paths = sorted(cases)
    names = Names([(path, path.rpartition("/")[2]) for path in paths], known)
    found = {}
    for number, path in enumerate(paths):
        names.begin(number)
        found |= {(path, case): names.of_case(case) for case in cases[path]}
    said = json.dumps([source.whole() for source in names.remembered()])
    return names.of_sources, found, known_sources(json.loads(said))


A, B, C = "/siteA/data", "/siteB/data", "/other/data"


def test_two_sources_of_one_name_are_told_apart() -> None:
    """The later one, in order of paths, bears a number; so does its case of the same name."""
    sources, cases, _ = _run({A: ["P1", "P2"], B: ["P1", "P3"], C: ["P1"]})
    assert ["data", "data (2)", "data (3)"] == sources
    assert {
        (A, "P1"): "data/P1",
        (A, "P2"): "P2",
        (B, "P1"): "data/P1 (2)",
        (B, "P3"): "P3",
        (C, "P1"): "P1",
    } == cases


def test_a_source_alone_keeps_what_it_was_called() -> None:
    """Beside another one or not; so does one that comes later and would come first."""
    _, first, known = _run({B: ["P1"]})
    sources, both, known = _run({A: ["P1"], B: ["P1"]}, known)
    assert {(A, "P1"): "data/P1", **first} == both
    assert ["data (2)", "data"] == sources
    sources, alone, known = _run({A: ["P1", "P2"]}, known)
    assert (["data (2)"], "data/P1") == (sources, alone[A, "P1"])
    # And what was listed before, and is not now.
    assert {"P1": "data/P1", "P2": "P2"} == known[1].cases
    assert "data/P2" == _run({B: ["P2"]}, known)[1][B, "P2"]


def test_a_case_that_was_dropped_is_not_given_to_another_source() -> None:
    """Its number is promised for ever."""
    _, _, known = _run({A: ["P1"], B: []})
    _, _, known = _run({A: []}, known)
    assert "data/P1" == _run({B: ["P1"]}, known)[1][B, "P1"]
    assert "P1" == _run({A: ["P1"]}, known)[1][A, "P1"]


def test_sources_that_have_moved_keep_their_names() -> None:
    """None of them is known: they are called as those before, and those too, should they return."""
    _, before, known = _run({A: ["P1"], B: ["P1"]})
    sources, after, known = _run({f"/mnt{A}": ["P1"], f"/mnt{B}": ["P1"]}, known)
    assert ["data", "data (2)"] == sources
    assert list(before.values()) == list(after.values())
    again = _run({f"/mnt{A}": ["P1", "P2"]}, known)
    assert {(f"/mnt{A}", "P1"): "P1", (f"/mnt{A}", "P2"): "P2"} == again[1]
    assert before == _run({A: ["P1"], B: ["P1"]}, known)[1]
    # With the first one beside it, the second of its name is another one.
    sources, both, _ = _run({A: ["P1"], f"/mnt{A}": ["P1"]}, known)
    assert {(A, "P1"): "P1", (f"/mnt{A}", "P1"): "data/P1 (2)"} == both
    assert 2 == len(set(sources))


def test_a_path_of_every_night_is_not_remembered_for_ever() -> None:
    """A snapshot a night: what is kept does not grow with the nights."""
    known: list[KnownSource] = []
    for night in range(20):
        sources, cases, known = _run({f"/snapshots/{night:02d}/data": ["P1", "P2"]}, known)
        assert (["data"], {"P1", "P2"}) == (sources, set(cases.values()))
        assert len(known) <= 2


def test_what_is_no_memory_is_passed_over() -> None:
    """What another program, or a hand, has left there names nothing."""
    said = [None, {}, {"path": 1, "name": "a"}, {"path": "a", "name": "b", "plain": [1]}]
    assert [] == known_sources([*said, {"path": "a", "name": "b", "renamed": []}])
    assert [] == known_sources("text")
    assert [KnownSource("a", "b")] == known_sources([{"path": "a", "name": "b", "only": []}])


PATHS = ("/a/s", "/b/s", "/c/s", "/d/t", "/e/s (2)")
HISTORY = st.lists(
    st.dictionaries(
        st.sampled_from(PATHS),
        st.lists(st.sampled_from(("P", "Q", "s", "s (2)", "P (2)")), unique=True),
        min_size=1,
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=examples(150))
@given(history=HISTORY)
def test_names_are_distinct_and_stay(history: list[dict[str, list[str]]]) -> None:
    """In every run no two are alike; who had a name first has it whenever it comes again."""
    known: list[KnownSource] = []
    first: dict[str, tuple[str, str]] = {}
    named: dict[tuple[str, str], str] = {}
    for run in history:
        sources, cases, known = _run(run, known)
        assert len(sources) == len(set(sources))
        assert len(cases) == len(set(cases.values()))
        for case, name in cases.items():
            if first.get(named.get(case, "")) == case:
                assert named[case] == name
            first.setdefault(name, case)
            named[case] = name
        # The same once more changes nothing, not even what is remembered.
        assert (sources, cases, known) == _run(run, known)
