"""Take what a run published; give the lines that a person can act on."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from typing import Any

from dcmdask.types import SKIPS

_WORDS = {
    "not_dicom": "not DICOM",
    "dicomdir": "DICOMDIR",
    "truncated": "truncated",
    "corrupt": "corrupt",
    "timeout": "timed out",
    "access_denied": "access denied",
    "vanished": "vanished",
    "corrupt_archive": "corrupt archive",
    "encrypted_archive": "encrypted",
    "too_large": "too large",
    "unexpected": "unexpected",
}


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Give a number and its noun.

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
        kinds = counts["modalities"].items()
        yield "  series: " + ", ".join(f"{name or 'no modality'} {n:,}" for name, n in kinds)
    yield f"  references: {counts['references']:,}, {counts['unresolved']:,} to objects not found here"
    for title, chosen in (("skipped", True), ("failed", False)):
        kinds = [(k, n) for k, n in counts["kinds"].items() if (k in SKIPS) == chosen]
        total = sum(n for _, n in kinds)
        detail = ", ".join(f"{_WORDS.get(k, k)} {n:,}" for k, n in kinds)
        yield f"  {title}: {total:,}" + (f" ({detail})" if detail else "")
    yield from _warnings(counts)


def _warnings(counts: dict[str, Any]) -> Iterator[str]:
    if counts["unidentified"]:
        yield f"  note: {counted(counts['unidentified'], 'instance')} without a study, series or SOP UID"
    if counts["malformed_values"]:
        yield f"  note: {counted(counts['malformed_values'], 'value')} could not be understood and stayed empty"
    if counts["cut_headers"]:
        yield f"  note: {counted(counts['cut_headers'], 'header')} ended in the middle of an element"
    if counts["undescribed"]:
        yield f"  note: {counted(counts['undescribed'], 'object')} could be listed but not described"
    if counts["named_paths"]:
        yield (
            f"  warning: {counted(counts['named_paths'], 'path')} hold part of a name that "
            "--desensitize hides; paths and case names are published as they are: rename the files"
        )


def closing_lines(catalog: dict[str, Any], out: str) -> Iterator[str]:
    """Say where the catalog is, how long it took, and what to do next."""
    seconds = sum(catalog["run"]["seconds"].values())
    files = catalog["counts"]["files"]
    rate = f", {files / seconds:,.0f} files/s" if seconds else ""
    yield f"catalog: {out} ({counted(files, 'file')} in {seconds:.1f} s{rate})"
    yield f"next: dcmdask show {_quoted(out)}"
    kinds = catalog["counts"]["kinds"]
    if any(kind not in SKIPS for kind in kinds):
        yield f"      dcmdask failures {_quoted(out)}"


def _quoted(path: str) -> str:
    """Give a path as a shell takes it."""
    if os.name == "posix":
        return shlex.quote(path)
    return f'"{path}"' if " " in path else path
