"""``dcmdask failures``: what could not be read, or not wholly, grouped."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import click
import pyarrow as pa

from dcmdask.catalog.catalog import Catalog
from dcmdask.cli.settings import run_options
from dcmdask.cli.summary import counted
from dcmdask.cli.terminal import cut, room, say
from dcmdask.errors import UsageError
from dcmdask.types import SKIPS, Kind, Note

_SHOWN = 10

_Named = TypeVar("_Named", Kind, Note)

_REMEDIES = {
    Kind.NOT_DICOM: "no DICOM by content; nothing to do",
    Kind.DICOMDIR: "directories of other files; those are listed by themselves",
    Kind.NOT_ENTERED: "nothing in there was read; each says why, and what would read it",
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

_NOTE_REMEDIES = {
    Note.CUT: "copy them again from where they came; what stands behind the cut is missing",
    Note.NOT_UNDERSTOOD: "look at the values with pydicom or dcmdump; their writer is at fault",
    Note.NUL_IN_TEXT: "compare with what the device shows; its writer leaves rests of buffers",
    Note.CHARACTER_SET: "text beyond ASCII may be wrong; have SpecificCharacterSet corrected",
    Note.INVALID_VR: "check a few with pydicom or dcmdump; their writer is at fault",
    Note.STRAY_DELIMITER: "check a few with pydicom or dcmdump; their writer is at fault",
    Note.OUT_OF_ORDER: "nothing to do; other software may stop short of these elements",
    Note.WRONG_LENGTH: "check a few with pydicom or dcmdump; their writer is at fault",
    Note.NOT_DESCRIBED: "copy them again; if they stay so, their writer is at fault",
    Note.UNIDENTIFIED: "without a series UID they are in no series; ask for a new export",
    Note.NAME_IN_TEXT: "look at the values; leave the columns out before you share the tables",
    Note.WITHHELD: "run again once all files of their series and study can be read",
    Note.NAME_IN_PATH: "paths and case names are published as they are; rename the files",
}


@click.command("failures")
@click.argument("out", metavar="OUT")
@click.option(
    "--kind",
    type=click.Choice([str(kind) for kind in (*Kind, *Note)]),
    help="Only this kind, of failures or of notes.",
)
@click.option("--all", "show_all", is_flag=True, help=f"All files, not {_SHOWN} a kind.")
@click.option("--skips", is_flag=True, help="Also what was skipped: no DICOM, not entered.")
@click.option(
    "--notes", is_flag=True, help="Instances that are there but not whole, and what of them."
)
@click.option("--wide", is_flag=True, help="Whole paths: none is cut to a line.")
@run_options("failures")
def command(
    out: str,
    kind: str | None,
    show_all: bool,
    skips: bool,
    notes: bool,
    wide: bool,
    storage_option: tuple[str, ...],
) -> None:
    """Show what could not be read in the run that left OUT, by kind, with the files.

    With --notes: instances that are there but not whole, as where a header is cut off or a value
    could not be understood, with the files and the attributes.
    """
    catalog = Catalog(out, storage_option)
    form = _Form(show_all, room(wide=wide))
    if notes or kind in set(Note):
        _show_notes(catalog.notes, kind, form)
        return
    _show_failures(catalog.failures, kind, form, skips=skips or kind in SKIPS)
    if kind is None and (noted := catalog.run["counts"].get("noted")):
        said = ", ".join(f"{name} {count:,}" for name, count in noted.items())
        say(f"instances with notes: {said} (--notes shows them)")


@dataclass(frozen=True, slots=True)
class _Form:
    """How much is shown.

    Attributes
    ----------
    show_all : bool
        All files of a kind.
    cells : int or None
        Of one value at most; None for any number.
    """

    show_all: bool
    cells: int | None


def _show_failures(table: pa.Table, kind: str | None, form: _Form, *, skips: bool) -> None:
    groups: dict[Kind, list[tuple[str, str]]] = defaultdict(list)
    columns = (table[name].to_pylist() for name in ("kind", "path", "message"))
    for one, path, message in zip(*columns, strict=True):
        if kind is None or one == kind:
            groups[_known(Kind, one)].append((path, message))
    shown = [one for one in Kind if one in groups and (skips or one not in SKIPS)]
    if not shown:
        say("nothing failed")
    for one in shown:
        files = groups[one]
        nouns = ("folder or link", "folders and links") if one == Kind.NOT_ENTERED else ("file",)
        say(f"{one}: {counted(len(files), *nouns)} - {_REMEDIES[one]}")
        _show_files(files, f"--kind {one}", form)
    left_out = sum(len(files) for one, files in groups.items() if one not in shown)
    if left_out:
        say(f"skipped: {left_out:,} (--skips shows them)")


def _show_notes(table: pa.Table, kind: str | None, form: _Form) -> None:
    """Show notes by kind: what it means, which attributes, and what is said of each file."""
    groups: dict[Note, dict[tuple[str, str], list[str | None]]] = defaultdict(dict)
    messages: dict[Note, str] = {}
    columns = (table[name].to_pylist() for name in ("note", "url", "path", "attribute", "message"))
    for one, url, path, attribute, message in zip(*columns, strict=True):
        if kind is None or one == kind:
            note = _known(Note, one)
            groups[note].setdefault((url, path), []).append(attribute)
            messages[note] = message
    if not groups:
        say("no notes")
    for one in (one for one in Note if one in groups):
        files = groups[one]
        say(f"{one}: {counted(len(files), 'instance')}, {messages[one]} - {_NOTE_REMEDIES[one]}")
        attributes = Counter(name for names in files.values() for name in names if name)
        if attributes:
            said = ", ".join(f"{name} {n:,}" for name, n in sorted(attributes.items()))
            say(f"  attributes: {said}")
        lines = [(path, ", ".join(filter(None, names))) for (_, path), names in files.items()]
        _show_files(lines, f"--kind {one}", form)


def _show_files(files: Iterable[tuple[str, str]], only: str, form: _Form) -> None:
    """Show some files, each with what is said of it, and how to see the others."""
    listed = list(files)
    for path, words in listed if form.show_all else listed[:_SHOWN]:
        line = cut(path, form.cells, tail=True)
        say(f"  {line}: {cut(words, form.cells)}" if words else f"  {line}")
    if not form.show_all and len(listed) > _SHOWN:
        say(f"  ... and {len(listed) - _SHOWN:,} more: {only} --all")


def _known(kinds: type[_Named], kind: str) -> _Named:
    try:
        return kinds(kind)
    except ValueError as error:
        raise UsageError(
            f"kind {kind} is not known", "open it with the version that wrote it"
        ) from error
