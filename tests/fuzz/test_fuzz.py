"""The targets of the fuzzing command, for a bounded number of seeds."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.targets import TARGETS, Target


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32 - 1))
def test_what_is_changed_is_dealt_with(target: Target, seed: int) -> None:
    """Whatever was changed in a header or an archive, it is read as it should be."""
    target.check(target.make(seed))
