"""``dcmdask show``: the catalog as a tree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import click
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from dcmdask.catalog import Catalog
from dcmdask.cli.settings import storage_option
from dcmdask.cli.summary import counted, summary_lines
from dcmdask.cli.terminal import one_line, say

_PATIENTS = 20
_WIDE = 4000
_SHORT = 12
_UNKNOWN = "(none)"
_INFERRED = "frame_of_reference"


@click.command("show")
@click.argument("out", metavar="OUT")
@click.option(
    "--patients", type=int, default=_PATIENTS, show_default=True, help="How many at most."
)
@click.option("--all", "show_all", is_flag=True, help="All patients.")
@click.option("--uids", is_flag=True, help="Whole UIDs instead of their last part.")
@storage_option
def command(
    out: str, patients: int, show_all: bool, uids: bool, storage_option: tuple[str, ...]
) -> None:
    """Show the catalog in OUT as a tree: patients, studies, series, and who refers to whom."""
    catalog = Catalog(out, storage_option)
    say("\n".join(summary_lines(catalog.run)))
    left_out = print_trees(catalog, None if show_all else patients, whole=uids)
    if left_out:
        say(f"... and {counted(left_out, 'patient')} more: --all")


def print_trees(catalog: Catalog, most: int | None, *, whole: bool) -> int:
    """Print the trees of some patients; give how many were left out."""
    trees, left_out = _build_trees(catalog, most, whole=whole)
    # Lines are printed whole, whatever the terminal's width: a cut UID or path helps nobody. No
    # markup: names of patients and folders are not ours to interpret.
    console = Console(markup=False, highlight=False, width=_WIDE)
    for tree in trees:
        with console.capture() as captured:
            console.print(tree)
        say("\n".join(line.rstrip() for line in captured.get().splitlines()))
    return left_out


def _build_trees(catalog: Catalog, most: int | None, *, whole: bool) -> tuple[list[Tree], int]:
    """Give a tree a patient and how many patients were left out.

    Parameters
    ----------
    catalog : Catalog
        What to show.
    most : int or None
        Patients at most; None for all.
    whole : bool
        UIDs in full.
    """
    rows = catalog.index.to_pylist()
    described = _descriptions(catalog)
    inferred = _inferred(catalog)
    patients: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        study = row["StudyInstanceUID"] or _UNKNOWN
        patients[row["PatientID"] or _UNKNOWN][study].append(row)
    chosen = sorted(patients)[:most]
    trees = []
    for patient in chosen:
        shown = (row for study in patients[patient].values() for row in study)
        labels = _labels((row["SeriesInstanceUID"] for row in shown), whole=whole)
        tree = Tree(Text(one_line(f"patient {patient}")))
        for study in sorted(patients[patient]):
            branch = tree.add(Text(one_line(f"study {_short(study, whole=whole)}")))
            for row in sorted(patients[patient][study], key=_modality_first):
                text = described.get(_key(row))
                branch.add(Text(one_line(_series_line(row, text, labels, inferred))))
        trees.append(tree)
    return trees, len(patients) - len(chosen)


def _modality_first(row: dict[str, Any]) -> tuple[str, str, int]:
    return (row["Modality"] or "", row["SeriesInstanceUID"], row["SubSeries"])


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row["StudyInstanceUID"], row["SeriesInstanceUID"], row["Modality"], row["SubSeries"])


def _descriptions(catalog: Catalog) -> dict[tuple[Any, ...], str | None]:
    names = ["StudyInstanceUID", "SeriesInstanceUID", "Modality", "SubSeries", "SeriesDescription"]
    rows = catalog.crawl_db.select(names).to_pylist()
    return {_key(row): row["SeriesDescription"] for row in rows}


def _inferred(catalog: Catalog) -> set[tuple[str, str]]:
    columns = ["SourceSeriesInstanceUID", "TargetSeriesInstanceUID", "resolution"]
    return {
        (row["SourceSeriesInstanceUID"], row["TargetSeriesInstanceUID"])
        for row in catalog.references.select(columns).to_pylist()
        if row["resolution"] == _INFERRED
    }


def _series_line(
    row: dict[str, Any],
    description: str | None,
    labels: dict[str, str],
    inferred: set[tuple[str, str]],
) -> str:
    uid = row["SeriesInstanceUID"]
    line = f"{row['Modality'] or _UNKNOWN} {labels[uid]}"
    if row["SubSeries"] != 1:
        line += f" acquisition {row['SubSeries']}"
    line += f": {counted(row['instances'], 'instance')}"
    targets = zip(row["ReferencedModality"] or [], row["ReferencedSeriesUID"] or [], strict=True)
    words = []
    for modality, target in targets:
        note = " (same frame of reference)" if (uid, target) in inferred else ""
        words.append(f"{modality} {labels.get(target, target)}{note}")
    if words:
        line += " -> " + ", ".join(words)
    if description:
        line += f"; {description}"
    return f"{line}  [{row['folder']}]"


def _labels(uids: Iterable[str], *, whole: bool) -> dict[str, str]:
    """Give every UID of a patient its end, or itself where two would look alike."""
    distinct = set(uids)
    ends = Counter(uid[-_SHORT:] for uid in distinct)
    return {
        uid: uid if whole or ends[uid[-_SHORT:]] > 1 else _short(uid, whole=False)
        for uid in distinct
    }


def _short(uid: str, *, whole: bool) -> str:
    return uid if whole or len(uid) <= _SHORT + 2 else f"..{uid[-_SHORT:]}"
