"""Which rows are read again and which are blamed, however reading is lost: no process, no file."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from dcmdask.execution.isolation import Loss, Search, Span, Why
from dcmdask.types import ELSEWHERE, NO_ROW, Kind

_KINDS = {
    Why.HUNG: Kind.TIMEOUT,
    Why.LATE: Kind.TIMEOUT,
    Why.DIED: Kind.UNEXPECTED,
    Why.RAISED: Kind.UNEXPECTED,
    Why.NO_MEMORY: Kind.TOO_LARGE,
}


@dataclass
class _Reader:
    """Reads rows in order, as a child process does; what happens at each is known beforehand.

    Attributes
    ----------
    faults : dict
        Row to what it does, and where that shows: as it is opened (0), when files are read singly
        (1), at no row (2), or behind the last row (3).
    seconds, most : int
        What a row takes, and what reading may take.
    accidents : set
        Numbers of the readings in which somebody kills the process.
    """

    faults: dict[int, tuple[Why, int]]
    seconds: int = 0
    most: int = 1
    accidents: set[int] = field(default_factory=set)
    readings: int = 0
    read: Counter[int] = field(default_factory=Counter)
    landed: list[int] = field(default_factory=list)

    def lose(self, search: Search, span: Span) -> Loss | None:
        """Read a span; give how it was lost."""
        self.readings += 1
        left_out = {span.start + row for row in search.blames(span)}
        rows = [row for row in range(span.start, span.stop) if row not in left_out]
        for number, row in enumerate(rows):
            self.read[row] += 1
            if (number + 1) * self.seconds > self.most:
                return _loss(Why.LATE, row)
            if number == len(rows) // 2 and self.readings in self.accidents:
                return _loss(Why.DIED, row)
            if row in self.faults and self.faults[row][1] in ((0, 1) if span.singly else (0,)):
                return _loss(self.faults[row][0], row)
        for row in rows:
            if row in self.faults:
                why, shows = self.faults[row]
                return _loss(why, ELSEWHERE if shows == 3 else NO_ROW)
        self.landed += range(span.start, span.stop)
        return None

    def read_all(self, rows: int) -> Search:
        """Read a partition."""
        search = Search(rows)
        while (span := search.next()) is not None:
            loss = self.lose(search, span) if search.is_open(span) else None
            if not search.is_open(span):
                self.landed += range(span.start, span.stop)
            elif loss is None:
                search.succeed(span)
            else:
                search.lose(span, loss)
        return search


def _loss(why: Why, row: int) -> Loss:
    return Loss(why, _KINDS[why], str(why), row)


_FAULTS = st.dictionaries(
    st.integers(0, 39),
    st.tuples(st.sampled_from([Why.DIED, Why.RAISED, Why.NO_MEMORY]), st.integers(0, 3)),
)


@given(rows=st.integers(1, 40), faults=_FAULTS)
def test_exactly_the_rows_at_fault_are_blamed(
    rows: int, faults: dict[int, tuple[Why, int]]
) -> None:
    """Whatever they do and wherever it shows, and every row lands once, in order."""
    reader = _Reader(faults)
    search = reader.read_all(rows)
    wrong = {row: _KINDS[why] for row, (why, _) in faults.items() if row < rows}
    assert wrong == {row: kind for row, (kind, _) in search.left_out.items()}
    assert list(range(rows)) == reader.landed


@given(rows=st.integers(1, 60), hanging=st.sets(st.integers(0, 59), max_size=7))
def test_files_that_hang_are_blamed_at_first_sight(rows: int, hanging: set[int]) -> None:
    """Each is waited for once."""
    reader = _Reader(dict.fromkeys(hanging, (Why.HUNG, 0)))
    search = reader.read_all(rows)
    assert {row for row in hanging if row < rows} == set(search.left_out)
    assert all(reader.read[row] == 1 for row in search.left_out)
    assert list(range(rows)) == reader.landed


@given(accidents=st.sets(st.integers(1, 20), max_size=8), rows=st.integers(1, 64))
def test_somebody_who_kills_readers_costs_no_file(accidents: set[int], rows: int) -> None:
    """A file is blamed only if its process dies twice while it reads that file."""
    apart = {number for number in accidents if not accidents & {number - 1, number - 2}}
    reader = _Reader({}, accidents=apart)
    assert {} == reader.read_all(rows).left_out
    assert list(range(rows)) == reader.landed


@given(rows=st.integers(1, 300), seconds=st.integers(1, 10), most=st.integers(10, 60))
def test_a_partition_that_is_only_slow_is_read_in_pieces(
    rows: int, seconds: int, most: int
) -> None:
    """Where no single file takes all the time of a task, none is blamed."""
    reader = _Reader({}, seconds=seconds, most=most)
    assert {} == reader.read_all(rows).left_out
    assert list(range(rows)) == reader.landed


def test_one_file_that_takes_all_the_time_is_blamed() -> None:
    """An archive that goes on and on is ended with its task, and recorded as such."""
    search = _Reader({}, seconds=5, most=4).read_all(1)
    assert {0: (Kind.TIMEOUT, f"{Why.LATE} while reading it")} == search.left_out


def test_hundreds_of_files_that_kill_cost_little_more_than_each_a_restart() -> None:
    """Every row is read a few times, however many there are."""
    for shows in (0, 1):
        faults = dict.fromkeys(range(5, 4096, 10), (Why.DIED, shows))
        reader = _Reader(faults)
        search = reader.read_all(4096)
        assert set(faults) == set(search.left_out)
        assert reader.read.total() < 4096 * 4
        assert reader.readings < 5 * len(faults)


def test_a_disk_on_which_every_file_hangs_is_not_waited_for() -> None:
    """Eight in a row are enough; the next partition begins with half of that, and little patience."""
    search = Search(4096)
    waited = _wait(search, set(range(4096)))
    assert [60.0] * 4 + [6.0] * 4 == waited
    assert 4096 == len(search.left_out)
    following = Search(4096, search.hung)
    assert [6.0] * 4 == _wait(following, set(range(4096)))


def test_a_disk_on_which_some_files_hang_is_read_as_far_as_it_goes() -> None:
    """Among files that are read, 64 that hang are looked for; what lies behind them is not tried."""
    search = Search(4096)
    waited = _wait(search, set(range(0, 4096, 10)))
    assert [60.0] * 8 + [6.0] * 56 == waited
    assert {Kind.TIMEOUT} == {kind for kind, _ in search.left_out.values()}
    assert 64 + 4096 - 631 == len(search.left_out)


def _wait(search: Search, hanging: set[int]) -> list[float]:
    """Give the seconds that each file that hung was waited for."""
    waited = []
    reader = _Reader(dict.fromkeys(hanging, (Why.HUNG, 0)))
    while (span := search.next()) is not None:
        if not search.is_open(span):
            continue
        patience = search.patience(60)
        loss = reader.lose(search, span)
        if loss is None:
            search.succeed(span)
        else:
            waited.append(patience)
            search.lose(span, loss)
    return waited
