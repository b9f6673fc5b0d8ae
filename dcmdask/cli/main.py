"""``dcmdask COMMAND``: finds the command, and turns what went wrong into one line and a code."""

from __future__ import annotations

import importlib
import os
import sys
from typing import NoReturn

import click

from dcmdask._version import __version__
from dcmdask.errors import DcmdaskError

INTERRUPTED = 130

_COMMANDS = {
    "run": "Crawl sources and publish their catalog.",
    "plan": "List sources and say what a run would do.",
    "show": "Show a catalog as a tree.",
    "failures": "Show what could not be read, by kind.",
    "synth": "Write a synthetic, linked data set.",
    "demo": "Synthesise a small data set, crawl it, and show the result.",
}


class _Commands(click.Group):
    """The commands, each imported only when it is asked for: start-up is part of every run."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module = importlib.import_module(f"dcmdask.cli.{name}")
        command: click.Command = module.command
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dcmdask")
def cli() -> None:
    """Find every DICOM object in folders and archives, headers only, and leave a catalog.

    Begin with: dcmdask demo
    """


def main() -> NoReturn:
    """Run the command line and exit: 0 done, 1 could not, 2 wrong usage, 3 strict, 130 interrupted."""
    try:
        code = cli(standalone_mode=False)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx is not None else "dcmdask"
        _say(f"{error.format_message()} See: {path} --help")
        code = 2
    except click.ClickException as error:
        _say(error.format_message())
        code = error.exit_code
    except DcmdaskError as error:
        _say(str(error))
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted: nothing was published; run the same command again")
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe had enough, as in `dcmdask show OUT | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


def _say(message: str) -> None:
    click.echo(f"dcmdask: {' '.join(message.split())}", err=True)
