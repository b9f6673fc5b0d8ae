"""Runs code as a user who may not do everything, as the tests themselves may where they are root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534
_TESTS = Path(__file__).parent.parent
# All modules are loaded before: the interpreter's own files may be out of the other user's reach.
_BEGIN = """
import json, os, sys
import fsspec.implementations.local, pyarrow.dataset, pydicom.dataset, zoneinfo
import dcmdask.cli.failures, dcmdask.cli.main, dcmdask.cli.plan, dcmdask.cli.run, dcmdask.cli.show
import dcmdask.execution.pipeline, dcmdask.execution.plan, source.making
"""
_DROP = f"""
if hasattr(os, "geteuid") and os.geteuid() == 0:
    os.setgroups([])
    os.setgid({_NOBODY})
    os.setuid({_NOBODY})
"""


def run_unprivileged(code: str, *args: object, first: str = "") -> subprocess.CompletedProcess[str]:
    """Run code with arguments and give what it printed; some of it first, as who the tests run as."""
    paths = [str(_TESTS), *(path for path in sys.path if path)]
    return subprocess.run(
        [sys.executable, "-c", _BEGIN + first + _DROP + code, *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )


@contextmanager
def shared_folder() -> Iterator[Path]:
    """Give an empty folder that others may enter, unlike those of pytest, and remove it."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for path in sorted(folder.rglob("*")):
            if path.is_dir():
                path.chmod(0o755)
        shutil.rmtree(folder)
