"""What follows from the declaration of an option, beside the command line."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from dcmdask.config import RunOptions
from dcmdask.errors import UsageError
from dcmdask.option import above_zero, documented, option, options_of


@documented
@dataclass(frozen=True, slots=True)
class OneMore(RunOptions):
    """The options, and one that decides what is read."""

    rest: float = option(
        0.0,
        "Hours of rest.",
        told=False,
        unit="hours",
        reading=lambda hours: hours or None,
    )
    sleep: float = option(8.0, "Hours of sleep.", told=True, unit="hours", check=above_zero)


def test_what_is_read_is_decided_by_what_decided_it_before() -> None:
    """Where this changes, all that catalogs know is read again."""
    assert {"desensitize": False} == RunOptions(timeout=1, layout="native", workers=3).reading()
    other = RunOptions(desensitize=True, default_charset=r"ISO_IR 100\cp936")
    assert {"desensitize": True, "default_charset": "latin_1+gbk"} == other.reading()


def test_an_option_more_reads_nothing_again_where_it_is_not_used() -> None:
    """What was read before there was the option stays known."""
    assert RunOptions().reading() == OneMore().reading()
    assert {"desensitize": False, "rest": 2.0} == OneMore(rest=2.0).reading()


def test_the_catalog_tells_what_decides_what_it_holds() -> None:
    """And nothing that decides how it is made."""
    told = OneMore(rest=1.0, sleep=7.0, include=("a",)).settings()
    assert {**RunOptions().settings(), "sleep": 7.0, "include": ["a"]} == told
    assert OneMore(rest=1.0).digest() == OneMore().digest() != OneMore(sleep=7.0).digest()


def test_a_check_names_the_option_and_its_unit() -> None:
    """The line is made of what is declared."""
    with pytest.raises(UsageError, match=r"^--sleep 0: give a number of hours above 0$"):
        OneMore(sleep=0)


def test_the_docstring_lists_every_option() -> None:
    """Who calls from Python reads there what the help says."""
    text = str(OneMore.__doc__)
    assert "\nsleep : float, in hours, default 8.0\n    Hours of sleep.\n" in text
    assert "\nexcel : bool | {'csv', 'xlsx'}, default False\n" in str(RunOptions.__doc__)
    for one in options_of(RunOptions):
        assert f"\n{one.name} : " in str(RunOptions.__doc__)
