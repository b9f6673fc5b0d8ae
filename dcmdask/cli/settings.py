"""Settings of ``run`` from the command line, the environment and a TOML file, in this order."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from dcmdask.config import EXCEL
from dcmdask.errors import UsageError
from dcmdask.remote.credentials import redacted
from dcmdask.remote.options import is_open

_PREFIX = "DCMDASK_"
_BESIDE = ("DCMDASK_DEBUG", "DCMDASK_DATA", "DCMDASK_IMGTOOLS_PYTHON")
"""Variables that are no options: of the command line, and of the tests."""

_OF_KUBERNETES = re.compile(
    r"DCMDASK_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_\w+)?)?)"
)
"""What it sets in every pod for a service that is called dcmdask, or dcmdask-scheduler."""

Command = TypeVar("Command", bound=Callable[..., Any])


def option(*names: str, **settings: Any) -> Callable[[Command], Command]:
    """Declare an option that may also be set as ``DCMDASK_<NAME>`` or in the settings file."""
    words = names[0].lstrip("-").replace("-", "_")
    return click.option(*names, envvar=f"DCMDASK_{words.upper()}", show_default=True, **settings)


class _Whole(click.types.StringParamType):
    """A text that is one value, whatever blanks are in it: in the environment too."""

    def split_envvar_value(self, value: str) -> list[str]:
        """Return what the environment holds as one source."""
        return [value]


def data_root(command: Command) -> Command:
    """Declare ``--data-root``, the case extractor's word for a source."""
    return option(
        "--data-root",
        "-d",
        metavar="SOURCE",
        type=_Whole(),
        multiple=True,
        help="One more SOURCE. Repeatable.",
    )(command)


_FORMS: dict[str, bool | str] = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "on", "csv"), "csv"),
    **dict.fromkeys(("", "0", "false", "f", "no", "n", "off"), False),
    "xlsx": "xlsx",
}
"""What ``excel`` may be in the environment, where a switch is on or off, and means."""


def _form(context: click.Context, parameter: click.Parameter, word: str | None) -> bool | str:
    """Return what ``--excel`` is to make, if anything."""
    form = _FORMS.get((word or "").lower())
    if form is None:
        words = f"{word!r} is not one of {', '.join(map(repr, EXCEL))}"
        raise click.BadParameter(words, context, parameter)
    return form


class RunCommand(click.Command):
    """A command with ``--excel``, whose value may be left out."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Take ``--excel`` by itself for ``--excel csv``: what stands behind it may be a source."""
        own, rest = args, []
        if "--" in args:
            own, rest = args[: args.index("--")], args[args.index("--") :]
        given = [
            f"--excel={EXCEL[0]}" if word == "--excel" and after not in EXCEL else word
            for word, after in zip(own, [*own, ""][1:], strict=True)
        ]
        return super().parse_args(context, [*given, *rest])


def excel(command: Command) -> Command:
    """Declare ``--excel``."""
    return option(
        "--excel",
        metavar="[csv|xlsx]",
        callback=_form,
        help="Made for a spreadsheet: CSV whose text stays as it is (csv, if neither is said), or "
        "workbooks beside plain CSV (xlsx).",
    )(command)


def default_charset(command: Command) -> Command:
    """Declare ``--default-charset``."""
    return option(
        "--default-charset",
        metavar="NAME",
        help="Character set, e.g. GB18030, of objects that state none or a wrong one.",
    )(command)


def storage_option(command: Command) -> Command:
    """Declare ``--storage-option``. Its default is never shown: a settings file may hold secrets."""
    words = "How stores are reached: key, secret, endpoint_url, profile, anon, ... Repeatable."
    return click.option(
        "--storage-option",
        metavar="KEY=VALUE",
        multiple=True,
        envvar="DCMDASK_STORAGE_OPTION",
        help=words,
    )(command)


def said_storage_options() -> tuple[str, ...]:
    """Give the storage options of this command as the next one needs them, without secrets.

    Those of the environment are there for the next command as well.
    """
    context = click.get_current_context()
    if context.get_parameter_source("storage_option") == ParameterSource.ENVIRONMENT:
        return ()
    shown = []
    for one in context.params["storage_option"]:
        name = one.partition("=")[0]
        shown.append(redacted(one) if is_open(name) else f"{name}=...")
    return tuple(shown)


def check_sources(sources: tuple[str, ...], from_list: str | None) -> None:
    """Raise click's own error where nothing says what to list."""
    if not sources and from_list is None:
        raise click.UsageError("Missing argument 'SOURCE...'", click.get_current_context())


def read_config(context: click.Context, _parameter: click.Parameter, path: Path | None) -> None:
    """Take a settings file as defaults: keys are option names, with ``-`` or ``_``.

    Raises
    ------
    UsageError
        The file cannot be read, is no TOML, or holds a key that is no option.
    """
    if path is None:
        return
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"--config {path}: {reason}", "name a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--config {path} is no TOML", "write lines such as: workers = 4"
        ) from error
    known = {
        _longest(parameter): parameter
        for parameter in context.command.params
        if isinstance(parameter, click.Option) and parameter.name != "config"
    }
    settings: dict[str, Any] = {}
    for key, value in content.items():
        parameter = known.get(key.replace("_", "-"))
        if parameter is None:
            remedy = meant(key.replace("_", "-"), known) or f"use one of {', '.join(sorted(known))}"
            raise UsageError(f"--config {path}: {key} is no setting", remedy)
        settings[str(parameter.name)] = _checked(value, parameter, f"--config {path}: {key}")
    context.default_map = {**(context.default_map or {}), **settings}


def meant(name: str, known: Iterable[str], prefix: str = "") -> str | None:
    """Return the question after the setting that is nearest to a name; None where none is near.

    Examples
    --------
    >>> meant("DCMDASK_WORKER", ["DCMDASK_WORKERS", "DCMDASK_OUT"], "DCMDASK_")
    'did you mean DCMDASK_WORKERS?'
    """
    names = sorted(one.removeprefix(prefix) for one in known)
    near = difflib.get_close_matches(name.removeprefix(prefix), names, 1)
    return f"did you mean {prefix}{near[0]}?" if near else None


def check_environment(commands: Callable[[], Iterable[click.Command]]) -> None:
    """Refuse a variable of the environment that looks like a setting and is none.

    Parameters
    ----------
    commands : callable
        Gives all commands: asked only where a variable is not known without them, and no further
        than until all are known.

    Raises
    ------
    UsageError
        Names the first one, and the setting that is nearest to it.
    """
    unknown = sorted(
        name
        for name in os.environ
        if name.startswith(_PREFIX) and name not in _BESIDE and not _OF_KUBERNETES.fullmatch(name)
    )
    if not unknown:
        return
    known: set[str] = set()
    for command in commands():
        known.update(str(one.envvar) for one in command.params if one.envvar)
        if known.issuperset(unknown):
            return
    for name in unknown:
        if name not in known:
            nearest = meant(name, known, _PREFIX) or "see: dcmdask run --help; or unset it"
            raise UsageError(f"{name} is no setting", nearest)


def _longest(parameter: click.Option) -> str:
    """Give the name of an option as it is written: ``json`` for ``--json``."""
    return max(parameter.opts, key=len).lstrip("-")


def _checked(value: Any, parameter: click.Option, where: str) -> Any:
    """Give a value of a TOML file as click wants it; click itself would make 2 of 2.5."""
    if parameter.multiple:
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise UsageError(where, 'write a list of texts such as ["*.dcm"]')
        return tuple(words)
    kinds: dict[type, tuple[tuple[type, ...], str]] = {
        click.types.IntParamType: ((int,), "a whole number"),
        click.types.FloatParamType: ((int, float), "a number"),
    }
    fitting, remedy = kinds.get(type(parameter.type), ((str,), "a text in quotes"))
    if parameter.name == "excel":
        if not isinstance(value, bool) and value not in EXCEL:
            raise UsageError(where, f"write true, false or one of {', '.join(EXCEL)}")
        return value
    if parameter.is_flag:
        fitting, remedy = (bool,), "true or false"
    if not isinstance(value, fitting) or isinstance(value, bool) != parameter.is_flag:
        raise UsageError(where, f"write {remedy}")
    return value
