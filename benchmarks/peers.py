"""Take the name of a peer; give a Python that has it, in an environment of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CACHE = Path(__file__).parent / ".peers"


def python_with(requirement: str) -> Path:
    """Install a peer into a virtual environment beside this file, once.

    Parameters
    ----------
    requirement : str
        What pip is asked for.

    Returns
    -------
    pathlib.Path
        The interpreter of that environment.
    """
    folder = CACHE / requirement.replace("=", "").replace("<", "").replace(">", "")
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    done = folder / ".installed"
    if not done.exists():
        print(f"installing {requirement} into {folder}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", requirement]
        subprocess.run(pip, check=True)
        done.touch()
    return python


def version_of(python: Path, package: str) -> str:
    """Give the version of a package in an environment."""
    program = f"import importlib.metadata as m; print(m.version({package!r}))"
    command = [str(python), "-c", program]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
