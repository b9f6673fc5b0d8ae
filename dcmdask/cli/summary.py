"""Take what a run published; give the lines that a person can act on."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator
from typing import Any

from dcmdask.cli.terminal import cut, one_line
from dcmdask.types import SKIPS, Note

_NAMED = 3
"""Files that a line names."""

_WORDS = {
    "not_dicom": "not DICOM",
    "dicomdir": "DICOMDIR",
    "not_entered": "not entered",
    "truncated": "truncated",
    "corrupt": "corrupt",
    "timeout": "timed out",
    "access_denied": "access denied",
    "vanished": "vanished",
    "corrupt_archive": "corrupt archive",
    "encrypted_archive": "encrypted",
    "unread_archive": "archive not read",
    "too_large": "too large",
    "unexpected": "unexpected",
}


_HIDDEN = (
    "PatientName, also where other attributes hold it; as they are: PatientID, dates, institution, "
    "UIDs, paths, case names"
)
_MODALITIES = 40
_MODALITY = 16  # characters of a code (CS, PS3.5 6.2)


_GUESSED = {
    Note.NUL_IN_TEXT: "NUL in a text",
    Note.CHARACTER_SET: "unknown character set",
    Note.INVALID_VR: "invalid VR",
    Note.STRAY_DELIMITER: "stray delimiter",
    Note.OUT_OF_ORDER: "out of order",
    Note.WRONG_LENGTH: "wrong length",
}
"""Notes that say that an instance was read, though its bytes are not as the standard has them."""


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return a number and its noun.

    Examples
    --------
    >>> counted(1, "series", "series"), counted(1200, "file")
    ('1 series', '1,200 files')
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def summary_lines(catalog: dict[str, Any]) -> Iterator[str]:
    """Say what was found, what was not read, and what needs a look.

    Parameters
    ----------
    catalog : dict
        Content of ``catalog.json``.
    """
    counts = catalog["counts"]
    yield (
        f"{counted(counts['instances'], 'instance')} in "
        f"{counted(counts['series'], 'series', 'series')}, "
        f"{counted(counts['studies'], 'study', 'studies')}, "
        f"{counted(counts['patients'], 'patient')}; {counted(counts['cases'], 'case')}"
    )
    if counts["modalities"]:
        yield f"  series: {_modalities(counts['modalities'])}"
    yield f"  references: {counts['references']:,}, {counts['unresolved']:,} to objects not found here"
    for title, chosen in (("skipped", True), ("failed", False)):
        kinds = [(k, n) for k, n in counts["kinds"].items() if (k in SKIPS) == chosen]
        total = sum(n for _, n in kinds)
        detail = ", ".join(f"{_WORDS.get(k, k)} {n:,}" for k, n in kinds)
        yield f"  {title}: {total:,}" + (f" ({detail})" if detail else "")
    yield from _warnings(counts)
    yield from _history_lines(catalog["run"])


def _modalities(counts: dict[str, int]) -> str:
    """Return how many series there are of each; of damaged files each may say another one."""
    shown = list(counts.items())[:_MODALITIES]
    words = [f"{cut(name, _MODALITY) or 'no modality'} {n:,}" for name, n in shown]
    others = len(counts) - len(shown)
    return ", ".join(words) + (f" and {others:,} more" if others else "")


def _warnings(counts: dict[str, Any]) -> Iterator[str]:
    noted, rows = counts.get("noted", {}), counts.get("notes", {})
    if count := noted.get(Note.UNIDENTIFIED):
        yield f"  note: {counted(count, 'instance')} without a study, series or SOP UID"
    if count := rows.get(Note.NOT_UNDERSTOOD):
        held = counted(noted[Note.NOT_UNDERSTOOD], "instance")
        yield f"  note: {counted(count, 'value')} of {held} could not be understood and stayed empty"
    if count := noted.get(Note.CUT):
        yield f"  note: {counted(count, 'header')} ended in the middle of an element"
    if count := noted.get(Note.NOT_DESCRIBED):
        yield f"  note: {counted(count, 'object')} could be listed but not described"
    if count := rows.get(Note.NAME_IN_TEXT):
        held = counted(noted[Note.NAME_IN_TEXT], "instance")
        yield (
            f"  warning: {counted(count, 'value')} of {held} may hold part of a name; what cannot "
            "be told for sure is published as it is"
        )
    if count := noted.get(Note.WITHHELD):
        yield (
            f"  warning: {counted(count, 'instance')} without texts: a name that may stand there "
            "could not be read again"
        )
    if count := noted.get(Note.NAME_IN_PATH):
        yield (
            f"  warning: {counted(count, 'path')} hold part of a name that "
            "--desensitize hides; paths and case names are published as they are: rename the files"
        )
    if guesses := [f"{words} {noted[one]:,}" for one, words in _GUESSED.items() if one in noted]:
        yield f"  note: read although not as the standard has it: {', '.join(guesses)}"
    if noted:
        yield "  note: dcmdask failures OUT --notes names the files"


def changed_words(changes: dict[str, int]) -> str:
    """Say how a listing differs from what a catalog knows.

    Examples
    --------
    >>> changed_words({"new": 3, "changed": 0, "gone": 1, "same": 1200})
    '3 new, 0 changed, 1 gone, 1,200 unchanged'
    >>> changed_words({"new": 0, "changed": 0, "gone": 0, "same": 7, "kept": 29})
    '0 new, 0 changed, 0 gone, 7 unchanged, 29 kept'
    """
    words = {"new": "new", "changed": "changed", "gone": "gone", "same": "unchanged"}
    said = [f"{changes[name]:,} {word}" for name, word in words.items()]
    if kept := changes.get("kept"):
        said.append(f"{kept:,} kept")
    return ", ".join(said)


def kept_words(files: int) -> str:
    """Say how many files stay in a catalog although they could not be listed.

    Examples
    --------
    >>> kept_words(1)
    '1 file lies where nothing could be listed, and stays as it was'
    """
    verbs = ("lies", "stays as it was") if files == 1 else ("lie", "stay as they were")
    return f"{counted(files, 'file')} {verbs[0]} where nothing could be listed, and {verbs[1]}"


def resumed_words(files: int) -> str:
    """Say how many files a run has read that did not come to its end.

    Examples
    --------
    >>> resumed_words(1)
    '1 file was read before an earlier run was ended'
    """
    verb = "was" if files == 1 else "were"
    return f"{counted(files, 'file')} {verb} read before an earlier run was ended"


def named(names: Iterable[str]) -> str:
    """Name some files, and say how many more there are.

    Examples
    --------
    >>> named(["b", "a"]), named(str(number) for number in range(5))
    ('a, b', '0, 1, 2 and 2 more')
    """
    found = sorted(map(one_line, names))
    more = len(found) - _NAMED
    return ", ".join(found[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _history_lines(run: dict[str, Any]) -> Iterator[str]:
    """Say what earlier runs into the same folder had to do with this one."""
    changes = run["changes"]
    if run["after"] is not None:
        yield f"  note: {run['after']}, had ended without publishing"
    if missing := run.get("missing"):
        yield f"  note: removed since they were published: {named(missing)}"
    if moved := run.get("set_aside"):
        place = run["set_aside_in"]
        yield f"  note: moved to {place}, as no run wrote it or it was changed: {named(moved)}"
    if run["read_anew"] is not None:
        yield f"  all was read again: {run['read_anew']}"
    elif changes["same"] or changes["changed"] or changes["gone"]:
        yield f"  files: {changed_words(changes)}"
    if kept := changes.get("kept"):
        yield f"  note: {kept_words(kept)}"
    if changes["resumed"]:
        yield f"  {resumed_words(changes['resumed'])}"


def closing_lines(
    catalog: dict[str, Any], out: str, storage_option: Iterable[str] = ()
) -> Iterator[str]:
    """Say where the catalog is, how long it took, and what to do next."""
    words = [out, *(word for one in storage_option for word in ("--storage-option", one))]
    place = one_line(" ".join(map(_quoted, words)))
    seconds = sum(catalog["run"]["seconds"].values())
    files = catalog["counts"]["files"]
    rate = f", {files / seconds:,.0f} files/s" if seconds else ""
    out = one_line(out)
    yield f"catalog: {out} ({counted(files, 'file')} in {seconds:.1f} s{rate})"
    if folder := catalog.get("folder"):
        yield f"files: {out}/{folder}"
    if catalog["settings"]["desensitize"]:
        yield f"hidden: {_HIDDEN}"
    yield f"next: dcmdask show {place}"
    kinds = catalog["counts"]["kinds"]
    if any(kind not in SKIPS for kind in kinds):
        yield f"      dcmdask failures {place}"
    if catalog["counts"].get("noted"):
        yield f"      dcmdask failures {place} --notes"


def _quoted(path: str) -> str:
    """Return a path as a shell takes it."""
    if os.name == "posix":
        return shlex.quote(path)
    return f'"{path}"' if " " in path else path
