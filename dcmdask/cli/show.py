"""``dcmdask show``: the catalog as a tree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import click
from rich.cells import cell_len

from dcmdask.catalog.catalog import Catalog
from dcmdask.cli.settings import run_options
from dcmdask.cli.summary import counted, named, summary_lines
from dcmdask.cli.terminal import can_print, cut, one_line, room, say

_PATIENTS = 20
_SHORT = 12
_UNKNOWN = "(none)"
_INFERRED = "frame_of_reference"
_COLUMNS = [
    *("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "SubSeries"),
    *(
        "SeriesDescription",
        "instance_count",
        "folders",
        "ReferencedModality",
        "ReferencedSeriesUID",
    ),
]
_GUIDES = ("├── ", "└── ", "│   ", "    ")
_PLAIN_GUIDES = ("|-- ", "`-- ", "|   ", "    ")


@click.command("show")
@click.argument("out", metavar="OUT")
@click.option(
    "--patients", type=int, default=_PATIENTS, show_default=True, help="How many at most."
)
@click.option("--all", "show_all", is_flag=True, help="All patients.")
@click.option("--uids", is_flag=True, help="Whole UIDs instead of their last part.")
@click.option("--wide", is_flag=True, help="Whole values: none is cut to a line.")
@run_options("show")
def command(
    out: str,
    patients: int,
    show_all: bool,
    uids: bool,
    wide: bool,
    storage_option: tuple[str, ...],
) -> None:
    """Show the catalog in OUT as a tree: patients, studies, series, and who refers to whom."""
    catalog = Catalog(out, storage_option)
    say("\n".join([*summary_lines(catalog.run), *_altered_lines(catalog)]))
    left_out = print_trees(catalog, None if show_all else patients, Form(uids, room(wide=wide)))
    if left_out:
        say(f"... and {counted(left_out, 'patient')} more: --all")


def _altered_lines(catalog: Catalog) -> Iterator[str]:
    """Say which published files are no longer as they were."""
    altered = catalog.altered()
    if altered.changed:
        yield f"  note: changed since it was published: {named(altered.changed)}"
    if altered.removed:
        yield f"  note: removed since it was published: {named(altered.removed)}"
    if altered.rewritten:
        names = named(altered.rewritten)
        yield f"  note: rewritten by Med-ImageTools since, until the next run: {names}"


@dataclass(frozen=True, slots=True)
class Form:
    """How values are shown.

    Attributes
    ----------
    whole_uids : bool
        In full instead of their last part.
    cells : int or None
        Of one value at most; None for any number.
    """

    whole_uids: bool
    cells: int | None

    def uid(self, uid: str) -> str:
        """Return a UID as it is shown."""
        if self.whole_uids or len(uid) <= _SHORT + 2:
            return cut(uid, self.cells)
        return one_line(f"..{uid[-_SHORT:]}")


def print_trees(catalog: Catalog, most: int | None, form: Form) -> int:
    """Print the trees of some patients; return how many were left out."""
    trees, left_out = _build_trees(catalog, most, form)
    guides = _GUIDES if can_print("".join(_GUIDES)) else _PLAIN_GUIDES
    for tree in trees:
        # A line may be longer than the terminal is wide, no value is.
        say("\n".join([tree.label, *_lines(tree.branches, guides, "")]))
    return left_out


@dataclass(frozen=True, slots=True)
class Tree:
    """A line, and what hangs on it."""

    label: str
    branches: list[Tree]


def _lines(branches: list[Tree], guides: tuple[str, str, str, str], before: str) -> Iterator[str]:
    between, last, along, behind = guides
    for number, branch in enumerate(branches, 1):
        is_last = number == len(branches)
        yield f"{before}{last if is_last else between}{branch.label}"
        yield from _lines(branch.branches, guides, before + (behind if is_last else along))


def _build_trees(catalog: Catalog, most: int | None, form: Form) -> tuple[list[Tree], int]:
    """Return a tree a patient and how many patients were left out.

    Parameters
    ----------
    catalog : Catalog
        What to show.
    most : int or None
        Patients at most; None for all.
    form : Form
        How values are shown.
    """
    rows = catalog.crawl_db.select(_COLUMNS).to_pylist()
    held = {row["SeriesInstanceUID"] for row in rows}
    inferred = _inferred(catalog)
    patients: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        study = row["StudyInstanceUID"] or _UNKNOWN
        patients[row["PatientID"] or _UNKNOWN][study].append(row)
    chosen = sorted(patients)[:most]
    trees = []
    for patient in chosen:
        shown = (row for study in patients[patient].values() for row in study)
        labels = _labels((row["SeriesInstanceUID"] for row in shown), form)
        tree = Tree(f"patient {cut(patient, form.cells)}", [])
        for study in sorted(patients[patient]):
            branch = Tree(f"study {form.uid(study)}", [])
            tree.branches.append(branch)
            for row in sorted(patients[patient][study], key=_modality_first):
                line = _series_line(row, form, labels, inferred, held)
                branch.branches.append(Tree(line, []))
        trees.append(tree)
    return trees, len(patients) - len(chosen)


def _modality_first(row: dict[str, Any]) -> tuple[str, str, int]:
    return (row["Modality"] or "", row["SeriesInstanceUID"], row["SubSeries"])


def _inferred(catalog: Catalog) -> set[tuple[str, str]]:
    columns = ["SourceSeriesInstanceUID", "TargetSeriesInstanceUID", "resolution"]
    return {
        (row["SourceSeriesInstanceUID"], row["TargetSeriesInstanceUID"])
        for row in catalog.references.select(columns).to_pylist()
        if row["resolution"] == _INFERRED
    }


def _series_line(
    row: dict[str, Any],
    form: Form,
    labels: dict[str, str],
    inferred: set[tuple[str, str]],
    held: set[str],
) -> str:
    uid = row["SeriesInstanceUID"]
    line = f"{cut(row['Modality'] or _UNKNOWN, form.cells)} {labels[uid]}"
    if row["SubSeries"] != 1:
        line += f" acquisition {row['SubSeries']}"
    line += f": {counted(row['instance_count'], 'instance')}"
    targets = zip(row["ReferencedModality"] or [], row["ReferencedSeriesUID"] or [], strict=True)
    words = []
    for modality, target in targets:
        label = labels.get(target) or cut(target, form.cells)
        if target not in held:
            words.append(f"{label} (not found here)")
            continue
        note = " (same frame of reference)" if (uid, target) in inferred else ""
        words.append(f"{cut(modality or _UNKNOWN, form.cells)} {label}{note}")
    if words:
        line += " -> " + _as_many_as_fit(words, form.cells)
    if row["SeriesDescription"]:
        line += f"; {cut(row['SeriesDescription'], form.cells)}"
    return f"{line}  [{cut(row['folders'][0], form.cells, tail=True)}]"


def _as_many_as_fit(words: list[str], cells: int | None) -> str:
    """Return words in a row, and how many more there are: a series may refer to thousands."""
    shown = len(words)
    if cells is not None:
        ends = accumulate(cell_len(word) + 2 for word in words)
        shown = max(sum(end <= cells for end in ends), 1)
    line = ", ".join(words[:shown])
    return f"{line} and {len(words) - shown:,} more" if shown < len(words) else line


def _labels(uids: Iterable[str], form: Form) -> dict[str, str]:
    """Return what every UID of a patient is shown as: its end, or all where two would look alike."""
    distinct = set(uids)
    ends = Counter(uid[-_SHORT:] for uid in distinct)
    return {
        uid: cut(uid, form.cells) if ends[uid[-_SHORT:]] > 1 else form.uid(uid) for uid in distinct
    }
