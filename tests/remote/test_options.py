"""Storage options as users write them: one protocol's, checked, without their values in messages."""

from __future__ import annotations

import pytest

from dcmdask.config import RemoteOptions, RunOptions
from dcmdask.errors import UsageError
from dcmdask.remote.options import as_bool, known_only, options_of


def test_options_are_for_one_protocol_or_for_all() -> None:
    """The later one counts; what is written for another protocol is left out."""
    given = [("key", "a"), ("gs:token", "x"), ("s3:key", "b"), ("s3:region", "eu"), ("anon", "no")]
    assert {"key": "b", "region": "eu", "anon": "no"} == options_of("s3", given)
    assert {"key": "a", "token": "x", "anon": "no"} == options_of("gs", given)


@pytest.mark.parametrize("word", ["true", "True", "1", "yes", "ON"])
def test_switches_are_on(word: str) -> None:
    """In any of the ways that people write it."""
    assert as_bool("anon", word)


@pytest.mark.parametrize("word", ["false", "FALSE", "0", "no", "off"])
def test_switches_are_off(word: str) -> None:
    """In any of the ways that people write it."""
    assert not as_bool("anon", word)


@pytest.mark.parametrize("word", ["", "maybe", "None", "2"])
def test_what_is_no_switch_is_refused(word: str) -> None:
    """With what to write instead."""
    with pytest.raises(UsageError, match="write true or false"):
        as_bool("anon", word)


def test_names_are_known_or_refused() -> None:
    """Other usual names are taken; the value of an unknown one is not said."""
    aliases = {"username": "key"}
    assert {"key": "a"} == known_only("s3", {"username": "a"}, ("key",), aliases)
    with pytest.raises(UsageError) as caught:
        known_only("s3", {"secrte": "HIDDEN"}, ("key", "secret"), aliases)
    assert "--storage-option secrte for s3: use one of key, secret" == str(caught.value)


def test_values_may_hold_anything() -> None:
    """The first sign of equality ends the name."""
    settings = RunOptions(storage_option=("secret=a=b==", "endpoint_url=http://h:1/?x=y"))
    assert (("secret", "a=b=="), ("endpoint_url", "http://h:1/?x=y")) == settings.remote.storage


def test_secrets_are_not_shown() -> None:
    """Neither of what a run was told nor of what reaches a store."""
    settings = RunOptions(storage_option=("secret=HIDDEN",))
    assert "HIDDEN" not in repr(settings) + repr(settings.remote)
    assert "HIDDEN" not in str(settings.settings())


def test_a_stall_is_cut_before_the_reader_is() -> None:
    """Whoever watches over a reading process waits longer than a read is tried."""
    assert 10 == RunOptions().remote.stall == RemoteOptions().stall
    assert 2 == RunOptions(read_timeout=8).remote.stall
