"""Names of sources and of their cases: those of two are told apart, and known ones keep theirs.

What is remembered of a source is its name and those of its cases, for ever: a later run over one of
several sources finds the numbers of its own cases, and not those of another one's of the same name.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class KnownSource:
    """What is remembered of a source.

    Attributes
    ----------
    path : str
        Of the folder, or its URL: which source it is.
    name : str
        What folders of its instances start with.
    cases : dict
        Case, as its folder or archive is called, to its name in the catalog.
    """

    path: str
    name: str
    cases: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, said: Any) -> KnownSource | None:
        """Return what was remembered, read back; None for what is nothing of the kind."""
        if not isinstance(said, dict):
            return None
        path, name = said.get("path", 0), said.get("name", 0)
        plain, renamed = said.get("plain", []), said.get("renamed", {})
        if not (isinstance(plain, list) and isinstance(renamed, dict)):
            return None
        if not all(isinstance(text, str) for text in (path, name, *plain, *renamed.values())):
            return None
        return cls(path, name, {**dict(zip(plain, plain, strict=True)), **renamed})

    def renamed(self) -> dict[str, Any]:
        """Return what distinguishes it from another source, for all to read."""
        renamed = {case: name for case, name in sorted(self.cases.items()) if case != name}
        return {"path": self.path, "name": self.name, "renamed": renamed}

    def whole(self) -> dict[str, Any]:
        """Return all that is remembered of it."""
        plain = sorted(case for case, name in self.cases.items() if case == name)
        return {**self.renamed(), "plain": plain}


def known_sources(said: Any) -> list[KnownSource]:
    """Return the sources that are remembered, read back, in order of their first runs."""
    found = map(KnownSource.of, said if isinstance(said, list) else ())
    return [source for source in found if source is not None]


class Names:
    """The names of the sources of a run, and of their cases as they are listed.

    Parameters
    ----------
    sources : sequence of (str, str)
        Path or URL, and what it would be called alone; in order of paths.
    known : sequence of KnownSource
        What earlier runs into the same output have left.

    Attributes
    ----------
    of_sources : list of str
        Their names, none like another.

    Notes
    -----
    A name that is remembered for a case of a source stays. A new case keeps its own name unless a
    case of another source has it, be that in this run or not. Where none of the sources is known,
    the output is that of a source that has moved: names are given as if nothing were remembered,
    and whoever had them before keeps them too, should he return.
    """

    def __init__(
        self, sources: Sequence[tuple[str, str]], known: Sequence[KnownSource] = ()
    ) -> None:
        self._paths = [path for path, _ in sources]
        self._plain = [plain for _, plain in sources]
        self._known = list(known)
        own = [source for source in known if source.path in set(self._paths)]
        self._have_moved = not own
        self.of_sources = self._name_sources(own)
        # Of several that are remembered under one name, the first has it in a run over all of them.
        self._kept: dict[str, Mapping[str, str]] = {}
        taken: set[str] = set()
        for source in own:
            kept = {case: name for case, name in source.cases.items() if name not in taken}
            taken.update(kept.values())
            self._kept[source.path] = kept
        self._remembered: set[str] = set() if self._have_moved else _names_of(known)
        self._given: dict[str, dict[str, str]] = {path: {} for path in self._paths}
        self._taken: set[str] = set()
        self.begin(0)

    def _name_sources(self, own: Iterable[KnownSource]) -> list[str]:
        names: dict[str, str] = {}
        for source in own:
            if source.name not in names.values():
                names[source.path] = source.name
        taken = set(names.values())
        if not self._have_moved:
            taken |= {source.name for source in self._known}
        for path, plain in zip(self._paths, self._plain, strict=True):
            if path not in names:
                names[path] = next(name for name in _numbered(plain) if name not in taken)
                taken.add(names[path])
        return [names[path] for path in self._paths]

    def begin(self, number: int) -> None:
        """Begin to name the cases of a source, by its number."""
        if self._paths:
            self._source = number
            self._now = self._given[self._paths[number]]
            self._before = self._kept.get(self._paths[number], {})

    def of_case(self, case: str) -> str:
        """Return the name that a case of this source has in the catalog."""
        name = self._now.get(case)
        if name is None:
            name = self._before.get(case)
            if name is None:
                prefixed = _numbered(f"{self._plain[self._source]}/{case}")
                choices = itertools.chain((case,), prefixed)
                held = (self._taken, self._remembered)
                name = next(one for one in choices if not any(one in names for names in held))
            self._now[case] = name
            self._taken.add(name)
        return name

    def known_case(self, case: str) -> str:
        """Return the name that a case of this source has, if it has one; else its own, not given."""
        return self._now.get(case) or self._before.get(case, case)

    def remembered(self) -> list[KnownSource]:
        """Return what is to be remembered from now on; after the end of the listing."""
        given = set(self._taken) if self._have_moved else set()
        claimed: set[str] = set()
        left = []
        for source in self._known:
            # Whoever had a name first, and whoever has it now: all others have moved on.
            cases = {
                case: name
                for case, name in source.cases.items()
                if name not in given or name not in claimed
            }
            claimed.update(source.cases.values())
            if cases or not source.cases or source.path in self._given:
                left.append(KnownSource(source.path, source.name, cases))
        found = {source.path: source for source in left}
        for path, name in zip(self._paths, self.of_sources, strict=True):
            before = found[path].cases if path in found else {}
            found[path] = KnownSource(path, name, {**before, **self._given[path]})
        return list(found.values())


def _names_of(sources: Iterable[KnownSource]) -> set[str]:
    return {name for source in sources for name in source.cases.values()}


def _numbered(name: str) -> Iterator[str]:
    """Yield a name, and then the same with a number behind it."""
    yield name
    for number in itertools.count(2):
        yield f"{name} ({number})"
