"""A window reads like a file, and never more than it may."""

from __future__ import annotations

import io
from contextlib import suppress

import pytest
from header.windows import Store, place_of, window_of
from hypothesis import given
from hypothesis import strategies as st

from dcmdask.errors import HeaderError
from dcmdask.types import BLOCK, MOST_READS, Kind, Window

DATA = bytes(range(256)) * 1024


@given(
    st.integers(0, 300_000),
    st.lists(st.tuples(st.integers(0, 400_000), st.integers(0, 200_000)), max_size=12),
    st.integers(1, 20_000),
)
def test_reads_equal_those_of_a_file(size: int, reads: list[tuple[int, int]], head: int) -> None:
    """Any sequence of seeks and reads gives the bytes a file gives, at the same positions."""
    data = DATA[:size]
    window, _ = window_of(data, head=head)
    file = io.BytesIO(data)
    for offset, count in reads:
        assert file.seek(offset) == window.seek(offset)
        assert file.read(count) == window.read(count)
        assert file.tell() == window.tell()


@given(
    st.integers(0, 5 * BLOCK),
    st.lists(st.tuples(st.integers(0, 8 * BLOCK), st.integers(0, 2**32)), max_size=12),
    st.booleans(),
)
def test_fetches_stay_within_the_budget(
    budget: int, reads: list[tuple[int, int]], sized: bool
) -> None:
    """Whatever is asked, no more than the budget is fetched; what goes beyond is too large."""
    window, store = window_of(DATA, head=1024, budget=budget, sized=sized)
    with suppress(HeaderError):
        for offset, count in reads:
            window.seek(offset)
            window.read(count)
    assert store.fetched <= budget


def test_a_length_that_lies_costs_only_what_is_there() -> None:
    """Reading 4 GB of a small file gives the rest of it, whether its size is known or not."""
    for sized in (True, False):
        window, _ = window_of(DATA, head=1024, budget=4 * len(DATA), sized=sized)
        window.seek(1000)
        assert DATA[1000:] == window.read(2**32 - 2)


def test_a_large_value_of_known_size_is_refused_before_it_is_fetched() -> None:
    """Where the size says that a value is there and too large, not a byte of it is fetched."""
    window, store = window_of(DATA, head=1024, budget=BLOCK)
    window.seek(1024)
    with pytest.raises(HeaderError, match="too_large"):
        window.read(2 * BLOCK)
    assert [] == store.ranges


def test_what_is_skipped_is_not_fetched() -> None:
    """A seek costs nothing."""
    window, store = window_of(DATA, head=1024)
    window.seek(200_000)
    assert DATA[200_000:200_004] == window.read(4)
    assert [200_000] == [offset for offset, _ in store.ranges]


def test_small_reads_share_a_block() -> None:
    """Elements behind the head cost one fetch a block, not one a read."""
    window, store = window_of(DATA, head=1024)
    window.seek(1024)
    for _ in range(BLOCK // 8):
        window.read(8)
    assert 1 == len(store.ranges)


def test_raw_fetches_join_head_and_rest() -> None:
    """A raw range that spans the end of the head is whole."""
    window, store = window_of(DATA, head=1024)
    assert DATA[1000:2000] == window.fetch(1000, 1000)
    assert [(1024, 976)] == store.ranges


def test_raw_fetches_count_against_the_budget() -> None:
    """A stream that is inflated without end stops at the budget of what it inflates."""
    window, _ = window_of(DATA, head=1024, budget=3000)
    window.fetch(1024, 2000)
    with pytest.raises(HeaderError, match="too_large"):
        window.fetch(3024, 2000)


@pytest.mark.parametrize("head", [64, 8192])
@pytest.mark.parametrize(
    ("position", "past"), [(0, False), (99, False), (100, False), (101, True), (2**33, True)]
)
def test_past_the_end(head: int, position: int, past: bool) -> None:
    """The position behind the last byte is the end; any further one lies past it."""
    window, _ = window_of(DATA[:100], head=head, sized=False)
    window.seek(position)
    assert past == window.is_past_end()


def test_the_first_error_of_a_fetch_is_kept() -> None:
    """What stopped a read can be had again after pydicom made another error of it."""

    def fail(_offset: int, _count: int) -> bytes:
        raise HeaderError(Kind.VANISHED, "gone")

    window = Window(place_of(), b"abc", fail, 1000)
    window.raise_error()
    with pytest.raises(HeaderError, match="vanished"):
        window.read(10)
    with pytest.raises(HeaderError, match="vanished"):
        window.raise_error()


def test_reads_without_end_are_too_large() -> None:
    """A header of nothing but tiny elements is given up; a new pass may read again."""
    window = Window(place_of(), b"\0" * 8, Store(b"").fetch, 1000)
    for _ in range(MOST_READS):
        window.read(0)
    with pytest.raises(HeaderError, match="too_large"):
        window.read(0)
    window.rewind()
    assert b"\0" == window.read(1)


def test_a_second_pass_over_a_window_starts_anew() -> None:
    """Also behind its end."""
    window, _ = window_of(b"abc")
    assert b"abc" == window.read(10)
    window.rewind()
    assert (0, b"abc") == (window.tell(), window.read(10))


@pytest.mark.parametrize("move", [(-1, 0), (-9, 1)])
def test_no_position_before_the_start(move: tuple[int, int]) -> None:
    """A seek before the start is an error, as for any file."""
    window, _ = window_of(b"abc")
    with pytest.raises(ValueError, match="negative"):
        window.seek(*move)


def test_a_window_is_not_read_to_its_end() -> None:
    """Nothing reads a whole file by accident."""
    window, _ = window_of(b"abc")
    with pytest.raises(OSError, match="end"):
        window.read()
    with pytest.raises(OSError, match="end"):
        window.seek(0, 2)
