"""``dcmdask synth``: a synthetic data set."""

from __future__ import annotations

import time
from pathlib import Path

import click

from dcmdask.cli.summary import counted
from dcmdask.cli.terminal import say
from dcmdask.errors import OutputError, UsageError
from dcmdask.synthetic import MODALITIES, write_synthetic

_MEGA = 1_000_000


@click.command("synth")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT")
@click.option("--patients", type=int, default=3, show_default=True, help="How many.")
@click.option("--slices", type=int, default=20, show_default=True, help="Instances of CT, PT, MR.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, other data.")
@click.option(
    "--archives",
    type=click.Choice(["none", "zip", "tar", "tar.gz"]),
    default="none",
    show_default=True,
    help="Folders, or one archive a patient.",
)
@click.option(
    "--modalities",
    default=",".join(MODALITIES),
    show_default=True,
    help="Which, separated by commas.",
)
@click.option("--matrix", type=int, default=64, show_default=True, help="Rows and columns.")
@click.option(
    "--vendor-elements",
    type=int,
    default=0,
    show_default=True,
    help="Private elements in every slice, as scanners write them.",
)
def command(
    out: Path,
    patients: int,
    slices: int,
    seed: int,
    archives: str,
    modalities: str,
    matrix: int,
    vendor_elements: int,
) -> None:
    """Write a synthetic data set to OUT: linked patients, each with a study of eight modalities.

    The same arguments write the same bytes. Nothing in it belongs to a person.
    """
    begun = time.perf_counter()
    names = tuple(name.strip().upper() for name in modalities.split(",") if name.strip())
    try:
        made = write_synthetic(
            out,
            patients=patients,
            slices=slices,
            seed=seed,
            archives=archives,
            modalities=names,
            matrix=matrix,
            vendor_elements=vendor_elements,
        )
    except ValueError as error:
        raise UsageError(str(error), "see: dcmdask synth --help") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputError(str(out), reason, "choose another OUT") from error
    say(
        f"{counted(made.instances, 'instance')} of {counted(made.patients, 'patient')} in "
        f"{counted(made.files, 'file')}, {made.bytes / _MEGA:,.1f} MB, "
        f"{time.perf_counter() - begun:.1f} s: {out}"
    )
