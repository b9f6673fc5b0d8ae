"""What tests share: the sample data, and instances made on the spot."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import ExplicitVRLittleEndian
from support import encode

ROOT = Path(__file__).parent.parent

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # As in the background of a shell: what the tests start would ignore an interrupt as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def data() -> Path:
    """Give the sample data: DCMDASK_DATA, by default ``../shared/data`` beside the checkout."""
    path = Path(os.environ.get("DCMDASK_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no sample data at {path}: set DCMDASK_DATA")
    return path


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write one instance under the test's folder: ``write("in/a.dcm", PatientID="7")``."""

    def write_instance(name: str, syntax: str = ExplicitVRLittleEndian, **values: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(values, syntax=syntax))
        return path

    return write_instance
