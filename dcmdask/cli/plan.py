"""``dcmdask plan``: lists only."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from dcmdask.cli.settings import check_sources, data_root, run_options
from dcmdask.cli.summary import changed_words, counted, kept_words, resumed_words
from dcmdask.cli.terminal import one_line, say
from dcmdask.config import RunOptions
from dcmdask.system import scratch

if TYPE_CHECKING:
    from dcmdask.execution.plan import Plan
    from dcmdask.listing.listing import Listing

_MEGA = 1_000_000


@click.command("plan")
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@data_root
# What is listed comes first; what else decides how much of it is read stands behind.
@run_options("plan", last=("desensitize", "default_charset", "storage_option", "full"))
def command(sources: tuple[str, ...], data_root: tuple[str, ...], **settings: Any) -> None:
    """List SOURCEs and say what a run would read, without opening a file or writing anything."""
    from dcmdask.execution.plan import plan

    sources = (*sources, *data_root)
    check_sources(sources, settings["from_list"])
    options = RunOptions(**settings)
    with scratch.folder() as folder:
        found = plan(sources, options, folder)
    _say_listing(found.listing, options.partition_size)
    _say_outcome(found)


def _say_listing(listing: Listing, partition_size: int) -> None:
    """Say what there is, and in how many tasks it would be read."""
    say(f"{counted(listing.files, 'file')}, {listing.bytes / _MEGA:,.1f} MB")
    if listing.passed_over:
        say(
            f"  passed over: {counted(listing.passed_over, 'line')} of the list "
            "(old versions, delete markers, folders)"
        )
    if listing.not_entered:
        places = counted(listing.not_entered, "folder or link", "folders and links")
        say(
            f"  not entered: {places}, each counted as a file; failures --skips names them after a run"
        )
    say(f"  archives by name: {listing.archives:,}; members are counted when they are read")
    say(f"  cases: {len(listing.cases):,}")
    say(f"  tasks: {len(listing.partitions):,} of about {counted(partition_size, 'file')}")


def _say_outcome(found: Plan) -> None:
    """Say what a run would do about the output as it is."""
    place = one_line(str(found.out))
    if found.changes is None:
        say(f"  {place}: no catalog there yet; a run reads everything")
        if found.refused:
            words = one_line(found.refused)
            say(f"  a run would end with 1 and publish nothing: {words}")
        return
    if found.read_anew is not None:
        say(f"  {place}: all is read again ({found.read_anew})")
    else:
        say(f"  against {place}: {changed_words(asdict(found.changes))}")
    if found.changes.kept:
        say(f"  {kept_words(found.changes.kept)}")
    if found.changes.resumed:
        say(f"  {resumed_words(found.changes.resumed)}")
    say(f"  a run reads {counted(found.listing.to_read, 'file')}")
    if found.refused:
        say(
            f"  it would end with 4 and publish nothing: {found.refused}; --allow-shrink accepts it"
        )
