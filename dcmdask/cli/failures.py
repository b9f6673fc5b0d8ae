"""``dcmdask failures``: what could not be read, grouped."""

from __future__ import annotations

from collections import defaultdict

import click

from dcmdask.catalog import Catalog
from dcmdask.cli.settings import storage_option
from dcmdask.cli.summary import counted
from dcmdask.cli.terminal import one_line, say
from dcmdask.errors import UsageError
from dcmdask.types import SKIPS, Kind

_SHOWN = 10

_REMEDIES = {
    Kind.NOT_DICOM: "no DICOM by content; nothing to do",
    Kind.DICOMDIR: "directories of other files; those are listed by themselves",
    Kind.TRUNCATED: "copy them again from where they came",
    Kind.CORRUPT: "copy them again; if they stay so, their writer is at fault",
    Kind.TIMEOUT: "raise --timeout, or look at the disk they lie on",
    Kind.ACCESS_DENIED: "grant read access, then run again",
    Kind.VANISHED: "they were gone, or links that lead nowhere; run again",
    Kind.CORRUPT_ARCHIVE: "copy again what is cut off; test and repack the others",
    Kind.ENCRYPTED_ARCHIVE: "decrypt them; passwords are never asked for",
    Kind.UNREAD_ARCHIVE: "unpack them, then run again",
    Kind.TOO_LARGE: "beyond the bounds for one header or a nested archive; unpack by hand",
    Kind.UNEXPECTED: "an error of the disk or network, or a defect to report: see what it says",
}


@click.command("failures")
@click.argument("out", metavar="OUT")
@click.option("--kind", type=click.Choice([str(kind) for kind in Kind]), help="Only this kind.")
@click.option("--all", "show_all", is_flag=True, help=f"All files, not {_SHOWN} a kind.")
@click.option("--skips", is_flag=True, help="Also what was skipped as no DICOM.")
@storage_option
def command(
    out: str, kind: str | None, show_all: bool, skips: bool, storage_option: tuple[str, ...]
) -> None:
    """Show what could not be read in the run that left OUT, by kind, with the files."""
    table = Catalog(out, storage_option).failures
    if kind is not None and kind in SKIPS:
        skips = True
    groups: dict[Kind, list[tuple[str, str]]] = defaultdict(list)
    columns = (table[name].to_pylist() for name in ("kind", "path", "message"))
    for one, path, message in zip(*columns, strict=True):
        if kind is None or one == kind:
            groups[_known(one)].append((path, message))
    shown = [one for one in Kind if one in groups and (skips or one not in SKIPS)]
    if not shown:
        say("nothing failed")
    for one in shown:
        files = groups[one]
        say(f"{one}: {counted(len(files), 'file')} - {_REMEDIES[one]}")
        for path, message in files if show_all else files[:_SHOWN]:
            say(f"  {one_line(path)}: {one_line(message)}")
        if not show_all and len(files) > _SHOWN:
            say(f"  ... and {len(files) - _SHOWN:,} more: --kind {one} --all")
    left_out = sum(len(files) for one, files in groups.items() if one not in shown)
    if left_out:
        say(f"skipped as no DICOM: {left_out:,} (--skips shows them)")


def _known(kind: str) -> Kind:
    try:
        return Kind(kind)
    except ValueError as error:
        raise UsageError(
            f"kind {kind} is not known", "open it with the version that wrote it"
        ) from error
