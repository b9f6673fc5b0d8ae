"""``dcmdask run``: the crawl."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from dcmdask.cli.display import watching
from dcmdask.cli.settings import (
    RunCommand,
    check_sources,
    data_root,
    option,
    read_config,
    run_options,
    said_storage_options,
)
from dcmdask.cli.summary import closing_lines, summary_lines
from dcmdask.cli.terminal import complain, one_line, say
from dcmdask.config import RunOptions
from dcmdask.execution.supervisor import start_reader
from dcmdask.remote.address import is_url
from dcmdask.source.entries import OUTPUTS

STRICT = 3


@click.command("run", cls=RunCommand)
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@data_root
@run_options("run")
@option("--strict", is_flag=True, help="Exit with 3 if any file failed.")
@option("--quiet", "-q", is_flag=True, help="No progress, no summary.")
@option(
    "--log-file",
    "--log",
    type=click.Path(path_type=Path),
    help="Write progress and summary there; its folder is made.",
)
@option("--json", "as_json", is_flag=True, help="Print catalog.json instead of the summary.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="DCMDASK_CONFIG",
    is_eager=True,
    expose_value=False,
    callback=read_config,
    help="TOML file of these settings, e.g. workers = 4.",
)
def command(
    sources: tuple[str, ...],
    data_root: tuple[str, ...],
    strict: bool,
    quiet: bool,
    log_file: Path | None,
    as_json: bool,
    **settings: Any,
) -> int:
    """Crawl SOURCEs, folders, files and archives, and publish their catalog in OUT.

    Where OUT holds a catalog, only files that are new or have changed (by path, size and time) are
    read, and those that are gone are dropped. A run that was ended, in whatever way, goes on where
    it stopped when the same command is given again.

    Every DICOM object is found by its content, in folders and in zip, tar, tar.gz, tar.bz2, tar.xz
    and gz files, which are read in place. Settings may also come from the environment
    (DCMDASK_WORKERS=4) or a file (--config); the command line outranks both.

    A folder that cannot be listed costs nothing: what the catalog knows below it stays as it was.
    Where most of what it knows would be gone, nothing is published unless --allow-shrink says so.

    \b
    Exit codes:
      0    the catalog is published
      1    it could not be: the same command will fail again
      2    wrong usage
      3    published, and some file failed (--strict)
      4    not published: most of what OUT knows would be gone (--allow-shrink)
      75   a store, the scheduler or its workers are gone: the same command goes on
      130  interrupted, 143 by SIGTERM: the same command goes on
    """  # noqa: D301 - click's own mark: these lines stay as they are
    sources = (*sources, *data_root)
    check_sources(sources, settings["from_list"])
    options = RunOptions(**settings)
    with watching(quiet=quiet or as_json, log_file=log_file) as watch:
        if options.scheduler is None and (options.full or not _may_be_known(sources, options.out)):
            # It loads while this process does.
            start_reader()
        from dcmdask.execution.pipeline import run

        catalog = run(sources, options, watch)
    out = catalog.pop("out")
    # A catalog on this machine is shown without them.
    needed = said_storage_options() if is_url(out) else ()
    lines = [*summary_lines(catalog), *closing_lines(catalog, out, needed)]
    if log_file is not None:
        try:
            with open(log_file, "a", encoding="utf-8", errors="backslashreplace") as stream:
                stream.writelines(f"{one_line(line)}\n" for line in lines)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            complain(f"log file {log_file}: {reason}; the catalog is published all the same")
    if as_json:
        # ASCII: whatever the encoding of stdout, this stays JSON.
        say(json.dumps({**catalog, "out": out}, indent=2))
    elif not quiet:
        say("\n".join(lines))
    return STRICT if strict and catalog["counts"]["failures"] else 0


def _may_be_known(sources: tuple[str, ...], out: str | None) -> bool:
    """Tell, at no cost, whether a catalog may be there: a night may have nothing to read."""
    if out is None and len(sources) == 1:
        folder, name = os.path.split(os.path.abspath(sources[0]))
        out = os.path.join(folder, OUTPUTS, name)
    return out is not None and (is_url(out) or os.path.exists(os.path.join(out, "catalog.json")))
