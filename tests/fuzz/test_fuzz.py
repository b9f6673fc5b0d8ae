"""The targets of the fuzzing command, for a bounded number of seeds."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import examples

from fuzz.census import SAME, UNEXPLAINED, count, headers_of
from fuzz.mutation import changed
from fuzz.targets import TARGETS, Target, headers_to_change


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32 - 1))
def test_what_is_changed_is_dealt_with(target: Target, seed: int) -> None:
    """Whatever was changed in a header or an archive, it is read as it should be."""
    target.check(target.make(seed))


@pytest.mark.parametrize("begin", [0, 1_000_000])
def test_changed_headers_are_what_pydicom_reads_or_are_noted(begin: int) -> None:
    """Of some hundred changed headers none differs from pydicom's reading without being named."""
    files = headers_to_change()
    found = count(changed(files, seed) for seed in range(begin, begin + 250))
    assert 0 == found[UNEXPLAINED]
    assert found[SAME] > 50


@pytest.mark.data
def test_changed_real_headers_are_what_pydicom_reads_or_are_noted(data: Path) -> None:
    """The same of headers that scanners wrote."""
    files = headers_of(data / "pydicom")
    found = count(changed(files, seed) for seed in range(400))
    assert 0 == found[UNEXPLAINED]
    assert found[SAME] > 200
