"""Settings of ``run`` from the command line, the environment and a TOML file, in this order."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from dcmdask.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])


def option(*names: str, **settings: Any) -> Callable[[Command], Command]:
    """Declare an option that may also be set as ``DCMDASK_<NAME>`` or in the settings file."""
    words = names[0].lstrip("-").replace("-", "_")
    return click.option(*names, envvar=f"DCMDASK_{words.upper()}", show_default=True, **settings)


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
    known = {parameter.name for parameter in context.command.params} - {"config", "sources", None}
    settings = {name.replace("-", "_"): value for name, value in content.items()}
    for name in settings:
        if name not in known:
            options = ", ".join(sorted(str(word) for word in known))
            raise UsageError(f"--config {path}: {name} is no setting", f"use one of {options}")
    context.default_map = {**(context.default_map or {}), **settings}
