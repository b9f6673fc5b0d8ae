"""An option of a run as it is declared, once: commands, variables, settings files, checks follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from inspect import cleandoc
from typing import Any, TypeVar

from dcmdask.errors import UsageError

_Value = TypeVar("_Value")
_Class = TypeVar("_Class", bound=type[Any])
_KEY = "option"


@dataclass(frozen=True, slots=True)
class Option:
    """All that is known of an option; the parameters of `option` say what each means.

    Attributes
    ----------
    name : str
        As the field, the key of a settings file and, in capitals, the variable have it.
    type : str
        As the field is annotated.
    default : Any
        Where nobody says anything.
    """

    words: str
    told: bool
    also: Mapping[str, str | None]
    letter: str
    metavar: str | None
    unit: str
    choices: tuple[str, ...]
    check: Callable[[Option, Any], None] | None
    reading: Callable[[Any], Any] | None
    secret: bool
    name: str = ""
    type: str = ""
    default: Any = None

    @property
    def flag(self) -> str:
        """How it is written on the command line."""
        return "--" + self.name.replace("_", "-")

    def verify(self, value: Any) -> None:
        """Raise `UsageError` where a value is not one of the choices, or the check refuses it."""
        # Where a switch takes a word too, it is on or off all the same.
        switched = isinstance(self.default, bool) and isinstance(value, bool)
        if self.choices and not switched and value not in self.choices:
            raise UsageError(f"{self.flag} {value}", f"write one of {', '.join(self.choices)}")
        if self.check is not None:
            self.check(self, value)


def option(
    default: _Value,
    words: str,
    *,
    told: bool,
    also: Mapping[str, str | None] | None = None,
    letter: str = "",
    metavar: str | None = None,
    unit: str = "",
    choices: tuple[str, ...] = (),
    check: Callable[[Option, _Value], None] | None = None,
    reading: Callable[[_Value], Any] | None = None,
    secret: bool = False,
) -> _Value:
    """Return a field of a dataclass that is an option of ``dcmdask run``.

    Its name and type are those of the field. To a type checker it is its default.

    Parameters
    ----------
    default : Any
        Its value where nobody says anything.
    words : str
        What it does, for the help of the command and of the class.
    told : bool
        Whether it decides what the catalog holds, and not only how that is made: ``catalog.json``
        tells it, and the digest that tables and the next run know a run's settings by holds it.
    also : mapping of str to str or None, optional
        Other commands that take it, and what their help says of it; None for the same words.
    letter : str
        A letter that stands for it.
    metavar : str, optional
        What its help calls a value.
    unit : str
        What its numbers count.
    choices : tuple of str
        The only texts that it may be. A switch with choices may be given one, and is the first of
        them without.
    check : callable, optional
        Raises `UsageError` for a value that cannot be meant.
    reading : callable, optional
        For an option that decides what is read of a file: what of its value does, None for
        nothing. Where that changes, everything is read again, so a new option gives None where it is
        not used: what was read before there was such an option stays known.
    secret : bool
        Whether secrets may be in it: its value is never shown.
    """
    declared = Option(
        words=words,
        told=told,
        also=also or {},
        letter=letter,
        metavar=metavar,
        unit=unit,
        choices=choices,
        check=check,
        reading=reading,
        secret=secret,
    )
    return field(default=default, repr=not secret, metadata={_KEY: declared})


def options_of(declaring: type[Any]) -> tuple[Option, ...]:
    """Return the options that a dataclass declares, in their order."""
    return tuple(
        replace(one.metadata[_KEY], name=one.name, type=str(one.type), default=one.default)
        for one in fields(declaring)
    )


def documented(declaring: _Class) -> _Class:
    """Add the options that a dataclass declares to its docstring, as numpydoc has attributes."""
    lines = ["Attributes", "----------"]
    for one in options_of(declaring):
        texts = "{" + ", ".join(map(repr, one.choices)) + "}" if one.choices else "str"
        unit = f", in {one.unit}" if one.unit else ""
        kind = one.type.replace("str", texts)
        lines += [f"{one.name} : {kind}{unit}, default {one.default!r}", f"    {one.words}"]
    declaring.__doc__ = "\n".join([cleandoc(declaring.__doc__ or ""), "", *lines, ""])
    return declaring


# -- checks ----------------------------------------------------------------------------------------


def at_least(least: int) -> Callable[[Option, int], None]:
    """Return the check of a whole number that may not be smaller."""

    def check(option: Option, value: int) -> None:
        if value < least:
            words = f"give a whole number of at least {least}"
            raise UsageError(f"{option.flag} {value}", words)

    return check


def above_zero(option: Option, value: float) -> None:
    """Check that something is left of a number of something."""
    if not value > 0:
        raise UsageError(f"{option.flag} {value:g}", f"give a number of {option.unit} above 0")


def part_of_one(option: Option, value: float) -> None:
    """Check that a number is a part of a whole."""
    if not 0 <= value <= 1:
        words = "give a part of the whole, from 0 to 1, such as 0.5"
        raise UsageError(f"{option.flag} {value:g}", words)
