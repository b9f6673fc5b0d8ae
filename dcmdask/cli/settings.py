"""Settings of ``run`` from the command line, the environment and a TOML file, in this order."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from dcmdask.config import RunOptions
from dcmdask.errors import UsageError
from dcmdask.option import Option, options_of
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
    return click.option(
        *names, envvar=f"DCMDASK_{words.upper()}", **{"show_default": True, **settings}
    )


def run_options(command: str, *, last: Sequence[str] = ()) -> Callable[[Command], Command]:
    """Declare the options of a run that a command takes.

    Parameters
    ----------
    command : str
        Its name.
    last : sequence of str
        Names of options that its help names behind the others, in this order.
    """
    taken = [one for one in options_of(RunOptions) if command == "run" or command in one.also]
    taken.sort(key=lambda one: last.index(one.name) + 1 if one.name in last else 0)

    def declare(function: Command) -> Command:
        # As decorators stand: the last is called first.
        for one in reversed(taken):
            function = _click_option(one, one.also.get(command) or one.words)(function)
        return function

    return declare


def _click_option(one: Option, words: str) -> Callable[[Command], Command]:
    """Return click's declaration of an option."""
    kinds: dict[str, dict[str, Any]] = {
        "str": {"type": click.Choice(one.choices) if one.choices else str, "default": one.default},
        "int": {"type": int, "default": one.default},
        "float": {"type": float, "default": one.default},
        "bool": {"is_flag": True},
        "bool | str": {"cls": WordedSwitch, "words": one.choices},
        "tuple[str, ...]": {"multiple": True},
    }
    names = [one.flag, *([f"-{one.letter}"] if one.letter else [])]
    kind = kinds[one.type.removesuffix(" | None")]
    if one.metavar:
        kind["metavar"] = one.metavar
    return option(*names, help=words, show_default=not one.secret, **kind)


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


_ON = ("1", "true", "t", "yes", "y", "on")
_OFF = ("", "0", "false", "f", "no", "n", "off")
"""What a switch may be in the environment."""


class WordedSwitch(click.Option):
    """A switch that may be given a word, and is the first of its words without.

    Parameters
    ----------
    words : sequence of str
        What it may be given.
    """

    def __init__(self, names: Sequence[str], *, words: Sequence[str], **settings: Any) -> None:
        super().__init__(names, metavar=f"[{'|'.join(words)}]", callback=self._meant, **settings)
        self.words = tuple(words)

    def _meant(
        self, context: click.Context, _parameter: click.Parameter, word: str | None
    ) -> bool | str:
        """Return the word that is meant; False for none."""
        said = (word or "").lower()
        if said in _OFF:
            return False
        if said not in (*_ON, *self.words):
            words = f"{word!r} is not one of {', '.join(map(repr, self.words))}"
            raise click.BadParameter(words, context, self)
        return self.words[0] if said in _ON else said


class RunCommand(click.Command):
    """A command with switches that may be given a word."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Take a switch by itself for its first word: what stands behind it may be a source."""
        switches = [one for one in self.params if isinstance(one, WordedSwitch)]
        words = {name: one.words for one in switches for name in one.opts}
        own, rest = args, []
        if "--" in args:
            own, rest = args[: args.index("--")], args[args.index("--") :]
        given = [
            f"{word}={words[word][0]}" if word in words and after not in words[word] else word
            for word, after in zip(own, [*own, ""][1:], strict=True)
        ]
        return super().parse_args(context, [*given, *rest])


def said_storage_options() -> tuple[str, ...]:
    """Return the storage options of this command as the next one needs them, without secrets.

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
    """Return the name of an option as it is written: ``json`` for ``--json``."""
    return max(parameter.opts, key=len).lstrip("-")


def _checked(value: Any, parameter: click.Option, where: str) -> Any:
    """Return a value of a TOML file as click wants it; click itself would make 2 of 2.5."""
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
    if isinstance(parameter, WordedSwitch):
        if not isinstance(value, bool) and value not in parameter.words:
            raise UsageError(where, f"write true, false or one of {', '.join(parameter.words)}")
        return value
    if parameter.is_flag:
        fitting, remedy = (bool,), "true or false"
    if not isinstance(value, fitting) or isinstance(value, bool) != parameter.is_flag:
        raise UsageError(where, f"write {remedy}")
    return value
