"""Files of which only ranges are fetched: the bytes of the object, whatever is announced or read."""

from __future__ import annotations

import random
from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import examples

from dcmdask.errors import HeaderError
from dcmdask.remote.client import changed
from dcmdask.source.stores import ranges
from dcmdask.source.stores.ranges import RangeFile, joined

SMALL = {
    "LARGEST": 64,
    "_FIRST": 16,
    "_MOST": 256,
    "_AHEAD": 200,
    "_KEPT": 100,
    "_LARGEST_END": 64,
    "_LEAST_END": 8,
    "_END_PART": 16,
}
"""Constants of a file of a megabyte and more, for one of a kilobyte."""


class _Store:
    """A store of one object that answers when it is asked, and notes what."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.asked: list[tuple[int, int]] = []
        self.failing = False

    def begin(self, _key: str, start: int, stop: int, _etag: str | None) -> Future[bytes]:
        assert 0 <= start < stop <= len(self.content)
        self.asked.append((start, stop))
        future: Future[bytes] = Future()
        if self.failing:
            future.set_exception(changed())
        else:
            future.set_result(self.content[start:stop])
        return future


def file_over(content: bytes, gap: int = 0, told: Any = lambda _count: None) -> RangeFile:
    """Give an object as a file."""
    store: Any = _Store(content)
    return RangeFile(store, "key", len(content), None, gap, told)


def bytes_of(size: int) -> bytes:
    """Give bytes that tell where they stood."""
    return random.Random(size).randbytes(size)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make all bounds small, so that a kilobyte meets each of them."""
    for name, value in SMALL.items():
        monkeypatch.setattr(ranges, name, value)


offsets = st.integers(0, 1300)
spans = st.lists(st.tuples(offsets, st.integers(0, 300)), max_size=6)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(-1, 400)),
        st.tuples(st.just("seek"), offsets),
        st.tuples(st.just("move"), st.integers(-50, 200)),
        st.tuples(st.just("end"), st.integers(-300, 20)),
        st.tuples(st.just("hold"), st.tuples(offsets, st.integers(0, 100))),
        st.tuples(st.just("expect"), spans),
        st.tuples(st.just("stride"), st.tuples(offsets, st.integers(1, 90), st.integers(1, 12))),
    ),
    max_size=30,
)


@pytest.mark.usefixtures("small")
@settings(max_examples=examples(300), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(0, 1200), gap=st.sampled_from([0, 1, 10, 100]), steps=steps)
def test_what_is_read_are_the_bytes_of_the_object(
    size: int, gap: int, steps: list[tuple[str, Any]]
) -> None:
    """However reads, jumps and announcements follow each other, and whatever was let go of."""
    content = bytes_of(size)
    told: list[int] = []
    file = file_over(content, gap, told.append)
    at = 0
    for what, words in steps:
        if what == "read":
            expected = content[at:] if words < 0 else content[at : at + words]
            assert expected == file.read(words)
            at += len(expected)
        elif what == "seek":
            at = file.seek(words)
        elif what in ("move", "end"):
            base = at if what == "move" else size
            if base + words >= 0:
                at = file.seek(words, 1 if what == "move" else 2)
                assert base + words == at
        elif what == "hold":
            start, count = words
            file.hold(start, content[start : start + count])
        elif what == "expect":
            file.expect([(start, start + count) for start, count in words])
        elif what == "stride":
            start, step, count = words
            for spot in range(start, start + step * count, step):
                assert content[spot : spot + 5] == file.read_at(spot, 5)
            at = file.tell()
        assert at == file.tell()
    file.close()
    assert 0 == file._under_way
    assert 0 == file._kept
    assert sum(told) <= sum(stop - start for start, stop in file._remote.asked)


@given(
    spans=st.lists(st.tuples(st.integers(-50, 500), st.integers(-50, 700)), max_size=30),
    gap=st.integers(0, 100),
    size=st.integers(0, 600),
)
def test_joined_ranges_cover_what_was_wanted(
    spans: list[tuple[int, int]], gap: int, size: int
) -> None:
    """Every byte of every range that exists is in one of the joined ones; none lies outside."""
    spans.sort()
    found = list(joined(spans, gap, size))
    wanted = {at for start, stop in spans for at in range(max(start, 0), min(stop, size))}
    had = {at for start, stop in found for at in range(start, stop)}
    assert wanted <= had
    assert all(0 <= start < stop <= size for start, stop in found)
    # What is fetched for nothing lies in gaps that are as small as said.
    assert all(any(at - nearby in wanted for nearby in range(1, gap + 1)) for at in had - wanted)


def test_what_was_announced_is_asked_for_once() -> None:
    """Neighbours by one request, before anything is read."""
    file = file_over(bytes_of(1_000_000), 1000)
    file.expect([(0, 5000), (5500, 9000), (200_000, 208_000)])
    assert [(0, 9000), (200_000, 208_000)] == file._remote.asked
    file.read_at(100, 4000)
    file.read_at(6000, 1000)
    file.read_at(200_000, 8000)
    assert 2 == len(file._remote.asked)


def test_what_lies_in_equal_steps_is_fetched_ahead() -> None:
    """Few requests are waited for, and most of the bytes are never asked for."""
    step = 1_000_000
    file = file_over(bytes(50 * step))
    for number in range(50):
        assert 512 == len(file.read_at(number * step, 512))
    asked = file._remote.asked
    assert len(asked) <= 60
    assert sum(stop - start for start, stop in asked) < 0.05 * 50 * step


def test_a_file_that_is_read_on_and_on_is_fetched_in_growing_pieces() -> None:
    """Not a request for every kilobyte."""
    content = bytes_of(30_000_000)
    file = file_over(content, 64 * 1024)
    assert content == b"".join(iter(lambda: file.read(10_000), b""))
    assert len(file._remote.asked) < 30
    assert sum(stop - start for start, stop in file._remote.asked) < 1.2 * len(content)


def test_a_file_that_was_lost_gives_nothing_more() -> None:
    """Not even what follows: it may be another object's."""
    file = file_over(bytes_of(100_000))
    assert 10 == len(file.read_at(0, 10))
    file._remote.failing = True
    for offset in (50_000, 0, 60_000):
        with pytest.raises(HeaderError, match="it has changed since it was listed"):
            file.read_at(offset, 10)
    assert 2 == len(file._remote.asked)
    assert file.lost is not None
