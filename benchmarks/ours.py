"""Take a source and a number of workers; give the command of a whole crawl, and what it left."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from timing import Side, empty_place

from dcmdask import __version__
from dcmdask.catalog.catalog import Catalog


def crawl(source: Path, base: Path, workers: int) -> Side:
    """Give the side that crawls a source with so many workers, a fresh output a round."""
    return Side(
        name(workers), lambda number: run_command(source, out_of(base, workers, number), workers)
    )


def crawl_url(url: str, base: Path, workers: int, *options: str) -> Side:
    """Give the side that crawls a URL with some options."""
    return Side(
        name(workers),
        lambda number: run_command(url, out_of(base, workers, number), workers, *options),
    )


def name(workers: int) -> str:
    """Give what a whole crawl is called in the table."""
    return f"dcmdask {__version__} run --workers {workers}"


def run_command(source: Path | str, out: Path, workers: int, *options: str) -> list[str]:
    """Give the command that crawls a source into an output, which may hold a catalog."""
    crawled = command("run", source, out, "--workers", str(workers), "--quiet")
    return [*crawled, *options]


def command(verb: str, source: Path | str, out: Path, *options: str) -> list[str]:
    """Give a command of ours about a source and an output."""
    begun = [sys.executable, "-m", "dcmdask", verb, str(source), "--out", str(out)]
    return [*begun, *options]


def out_of(base: Path, workers: int, number: int) -> Path:
    """Give the output of a round."""
    return empty_place(base, f"ours-{workers}", number)


def check(out: Path, instances: int) -> None:
    """Raise `SystemExit` unless a catalog holds so many instances."""
    found = Catalog(out).instances.count_rows()
    if found != instances:
        raise SystemExit(f"{found:,} instances in our catalog, not {instances:,}")
    print(f"\n{found:,} instances in our catalog")


def run_of(out: Path) -> dict[str, Any]:
    """Give what a catalog says of the run that made it."""
    catalog: dict[str, Any] = json.loads((out / "catalog.json").read_text("utf-8"))
    run: dict[str, Any] = catalog["run"]
    return run
