"""Take the name of a peer; give a Python that has it, in an environment of its own."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

CACHE = Path(__file__).parent / ".peers"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the option that names Pythons which have peers already."""
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="PEER=PATH",
        help="a Python that has a peer already, e.g. pydicom=/usr/bin/python3; repeatable",
    )


def python_of(peer: str, arguments: argparse.Namespace) -> Path:
    """Give the Python of a peer: the one that the options of `add_options` name, or its own."""
    for given in arguments.python:
        name, _, path = given.partition("=")
        if name == peer:
            return Path(path)
    return python_with(peer)


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
        # Not among the results, which may go into a file.
        print(f"installing {requirement} into {folder}", file=sys.stderr, flush=True)
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
