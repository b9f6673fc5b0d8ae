"""Trying again: pauses, what a status means, and when a store is down."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from dcmdask.config import RemoteOptions
from dcmdask.errors import HeaderError, StoreError
from dcmdask.remote import remote as room
from dcmdask.remote.client import (
    BehindEndError,
    ConflictError,
    PassingError,
    changed,
    denied,
    of_status,
    vanished,
)
from dcmdask.remote.remote import Remote
from dcmdask.remote.retry import ATTEMPTS, Health, pause_before


def test_pauses_grow_up_to_a_bound() -> None:
    """Each is any time up to twice that of the one before, so that not all come back at once."""
    bounds = [max(pause_before(attempt) for _ in range(2000)) for attempt in range(1, 12)]
    expected = [min(0.1 * 2**attempt, 10) for attempt in range(1, 12)]
    for bound, most in zip(bounds, expected, strict=True):
        assert 0.9 * most < bound <= most
    assert min(pause_before(8) for _ in range(2000)) < 0.5
    assert 15 < sum(expected[: ATTEMPTS - 1]) < 40


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, "access_denied"),
        (403, "access_denied"),
        (404, "vanished"),
        (410, "vanished"),
        (412, "vanished"),
        (400, "unexpected"),
        (301, "unexpected"),
        (0, "unexpected"),
    ],
)
def test_some_statuses_are_final(status: int, kind: str) -> None:
    """An object that is refused or gone is not asked for again."""
    error = of_status(status)
    assert isinstance(error, HeaderError)
    assert kind == error.kind


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_some_statuses_pass(status: int) -> None:
    """A store that is busy is asked again."""
    error = of_status(status)
    assert isinstance(error, PassingError)
    assert f"status {status}" == error.words


def test_some_statuses_are_answers() -> None:
    """A condition that does not hold, and a range behind the end."""
    assert isinstance(of_status(409), ConflictError)
    assert isinstance(of_status(416), BehindEndError)


class _Client:
    """Answers as it is told to, one thing after the other; the last one for ever."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.nowhere: object = vanished()
        self.asked: list[str] = []
        self.patience: list[float] = []

    def get(self, key: str, _start: int, _stop: int, _etag: object, patience: float) -> bytes:
        self.asked.append(key)
        self.patience.append(patience)
        if key == room._NOWHERE:
            answer = self.nowhere
        else:
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, bytes)
        return answer


Make = Callable[..., tuple[Remote, _Client]]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Give a container with a client that answers so, and no pauses to speak of."""
    monkeypatch.setattr(room, "pause_before", lambda _attempt: 0.001)

    def made(*answers: object, **settings: Any) -> tuple[Remote, _Client]:
        client = _Client(*answers)
        monkeypatch.setattr(room, "_client", lambda *_words: client)
        return Remote("s3://b", RemoteOptions(requests=2, **{"stall": 0.1, **settings})), client

    return made


def test_a_read_is_tried_until_it_comes(make: Make) -> None:
    """With more patience each time, up to the setting."""
    remote, client = make(PassingError("a"), PassingError("b"), b"found", stall=6.0)
    assert b"found" == remote.get("x", 0, 10)
    assert ["x", "x", "x"] == client.asked
    assert [2.5, 5.0, 6.0] == client.patience


@pytest.mark.parametrize("error", [denied(), vanished(), changed()])
def test_what_is_refused_is_not_tried_again(make: Make, error: HeaderError) -> None:
    """It would be refused again."""
    remote, client = make(error)
    with pytest.raises(HeaderError, match=error.message):
        remote.get("x", 0, 10)
    assert ["x"] == client.asked


def test_what_lies_behind_the_end_is_nothing(make: Make) -> None:
    """And of an empty range nothing is asked."""
    remote, client = make(BehindEndError())
    assert b"" == remote.get("x", 100, 110)
    assert b"" == remote.get("x", 5, 5)
    assert ["x"] == client.asked


def test_one_key_that_is_never_given_is_given_up(make: Make) -> None:
    """The store answers for another key, so it is not down."""
    remote, client = make(PassingError("status 500"))
    with pytest.raises(HeaderError) as caught:
        remote.get("x", 0, 10)
    assert f"given up after {ATTEMPTS} attempts: status 500" == caught.value.message
    assert ["x"] * ATTEMPTS + [room._NOWHERE] == client.asked
    remote.check()


def test_a_store_that_answers_nothing_is_down(make: Make) -> None:
    """All who wait for it are told, now and later, until somebody begins anew."""
    remote, client = make(PassingError("status 503"))
    client.nowhere = PassingError("status 503")
    begun = time.monotonic()
    for _ in range(2):
        with pytest.raises(StoreError, match=r"store s3://b: it does not answer \(status 503\)"):
            remote.get("x", 0, 10)
    assert 0.3 < time.monotonic() - begun < 5
    with pytest.raises(StoreError):
        remote.check()
    client.answers = [b"found"]
    remote.renew()
    assert b"found" == remote.get("x", 0, 10)
    remote.check()


def test_a_store_that_comes_back_in_time_is_not_down(make: Make) -> None:
    """The one key is given up, and nothing else is lost."""
    remote, client = make(PassingError("a"), stall=5.0)
    answers = iter([PassingError("a")] * 5 + [denied()])
    client.get = lambda key, *_words: _raise(
        next(answers) if "nowhere" in key else PassingError("a")
    )
    with pytest.raises(HeaderError, match="given up after 9 attempts: a"):
        remote.get("x", 0, 10)
    remote.check()


def _raise(error: Exception) -> bytes:
    raise error


def test_many_reads_come_each_with_its_number(make: Make) -> None:
    """Those that fail with why."""
    remote, _ = make(b"x")
    found: dict[int, object] = {}
    for future in remote.get_many([("a", 0, 1, None), ("b", 0, 0, None)], found.__setitem__):
        future.result()
    assert {0: b"x", 1: b""} == found


def test_one_slow_read_says_nothing_of_a_store() -> None:
    """Neither a few failures in a long time nor many in a short one."""
    health = Health("s3://b", 0.05)
    for _ in range(5):
        health.fail()
    time.sleep(0.06)
    assert not health.is_silent
    health.fail()
    assert health.is_silent
    health.succeed()
    for _ in range(20):
        health.fail()
    assert not health.is_silent
