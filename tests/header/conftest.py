"""What tests of headers share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dcmdask.header.reader import quiet_pydicom


@pytest.fixture
def quiet() -> Iterator[None]:
    """Read as a crawl does: pydicom warns of nothing."""
    with quiet_pydicom():
        yield
