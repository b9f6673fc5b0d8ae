"""``dcmdask demo``: the main job on data it makes itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from dcmdask.catalog.catalog import Catalog
from dcmdask.cli.display import watching
from dcmdask.cli.show import Form, print_trees
from dcmdask.cli.summary import closing_lines, summary_lines
from dcmdask.cli.terminal import room, say
from dcmdask.config import RunOptions
from dcmdask.errors import OutputError
from dcmdask.synthetic import write_synthetic

_MARK = ".dcmdask-demo"
_FILES = (
    ("index.csv", "one line a series and what it refers to"),
    ("crawl_db.json", "all metadata of every series, with its files"),
    ("cases/", "one CSV a case, with ProjectIDs"),
    ("all_cases.csv", "all cases in one table"),
    ("*.parquet, instances/", "the same and more, typed, for DuckDB, Polars, pandas"),
    ("catalog.json", "what was run, what came of it"),
)


@click.command("demo")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("dcmdask-demo"))
def command(folder: Path) -> None:
    """Synthesise two linked patients, crawl them, show the tree and say where the outputs are.

    Everything goes to FOLDER, by default dcmdask-demo in the current one; a demo that lies there
    is made anew.
    """
    from dcmdask.execution.pipeline import run

    folder = folder.absolute()
    source = folder / "exports"
    try:
        if folder.exists():
            if any(folder.iterdir()) and not (folder / _MARK).exists():
                raise OutputError(str(folder), "it holds something else", "name another folder")
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        (folder / _MARK).touch()
        made = write_synthetic(source, patients=2, slices=8)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputError(str(folder), reason, "name another folder") from error
    say(f"synthesised {made.instances} instances of {made.patients} patients: {source}")
    with watching(quiet=False, log_file=None) as watch:
        catalog = run([str(source)], RunOptions(merge_all=True), watch)
    out = catalog["out"]
    say("\n".join(summary_lines(catalog)))
    print_trees(Catalog(out), None, Form(whole_uids=False, cells=room()))
    for name, words in _FILES:
        say(f"  {name:<22} {words}")
    say("\n".join(closing_lines(catalog, out)))
