"""The benchmarks run, at their smallest size, so that they cannot rot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def printed(name: str, *arguments: str) -> str:
    """Run one benchmark; give what it prints."""
    command = [sys.executable, str(BENCHMARKS / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_scan_is_timed_against_its_floor_and_pydicom() -> None:
    """All sides read twenty files, and the scan accepts each of them."""
    text = printed("scan.py", "--files", "20")
    assert "20 files, 20 accepted" in text
    assert ["floor", "scan", "pydicom"] == [
        line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")
    ][1:]


@pytest.mark.imgtools
def test_a_run_is_timed_against_med_imagetools() -> None:
    """Both sides index forty files."""
    python = os.environ.get("DCMDASK_IMGTOOLS_PYTHON")
    if not python:
        pytest.skip("set DCMDASK_IMGTOOLS_PYTHON to a Python that has med-imagetools")
    text = printed("run_against_imgtools.py", "--files", "40", "--rounds", "1", "--python", python)
    assert "40 instances in our catalog" in text
