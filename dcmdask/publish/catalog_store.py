"""What a run wants of its output, be it a folder or a prefix of a store: one class fulfils it for each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self

from dcmdask.own_names import UNFINISHED
from dcmdask.publish.output import Output, State, is_of_use, known_of, state_of, token_of
from dcmdask.publish.staging import Staging
from dcmdask.state.folder import Folder
from dcmdask.state.parts import list_stems, remove_others
from dcmdask.state.previous_runs import Known


class CatalogStore(Staging, ABC):
    """The output of a run: parts, staging, publishing, and that nobody else writes there.

    Parameters
    ----------
    staging : pathlib.Path
        A folder of this machine for what this run alone needs.
    output : Output
        What earlier runs have left there.

    Attributes
    ----------
    place : str
        The folder or URL, for people.
    output : Output
        As given.
    parts : Folder
        Where parts are kept.
    promises_numbers : bool
        Whether ProjectIDs are kept in a file that is written before anything is published.
    interrupted : str or None
        What is known of a run that ended without a word.
    read_anew : str or None
        Why nothing of the catalog in OUT is of use, where there is one.
    missing : list of str
        Published files that somebody has removed.
    rewritten : set of str
        Published files that Med-ImageTools wrote anew.
    set_aside : list of str
        What was not ours and was moved elsewhere.
    set_aside_in : str or None
        Where to.

    Notes
    -----
    Use it as a context: entering keeps others from writing, refuses an output in which a name is taken
    that the run would replace, and undoes what an earlier run left half published; leaving drops the
    staging area. Parts stay.
    """

    promises_numbers: bool

    def __init__(self, staging: Path, output: Output) -> None:
        super().__init__(staging)
        self.output = output
        self.place = output.place
        self.parts: Folder = output.parts
        self.interrupted: str | None = None
        self.read_anew: str | None = None
        self.missing: list[str] = []
        self.set_aside: list[str] = []

    @property
    def rewritten(self) -> set[str]:  # noqa: D102 - above
        return set()

    @property
    @abstractmethod
    def set_aside_in(self) -> str | None: ...  # noqa: D102

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(self, _kind: object, _error: object, _trace: object) -> None: ...

    def known(self, reading: str, *, full: bool) -> Known:
        """Give what earlier runs have read that is of use to this one, and remember its settings.

        Parameters
        ----------
        reading : str
            Digest of the settings that decide what is read of a file.
        full : bool
            Whether to know nothing of what is published: all is read again. What a full run that
            was ended has read is known all the same.
        """
        token = token_of(self.output.catalog())
        if not is_of_use(self.output, token, reading, full=full):
            self._forget_unfinished()
        self._keep(UNFINISHED, {"reading": reading, "full": full, "after": token})
        # What a task was writing when its run was ended, and nobody will end.
        remove_others(self.parts, list_stems(self.parts))
        known, self.read_anew, _ = known_of(self.output, reading, full=full, scratch=self.staging)
        return known

    def _forget_unfinished(self) -> None:
        """Throw away what a run that was ended has read."""
        state = state_of(self.output, token_of(self.output.catalog()))
        remove_others(self.parts, [] if state is None else state.parts)

    @abstractmethod
    def _keep(self, name: str, said: dict[str, Any]) -> None:
        """Write a file that this run or the next one reads, whole or not at all."""

    @abstractmethod
    def numbers(self) -> Path:
        """Give the path of the map of ProjectIDs, or of a copy of it."""

    @abstractmethod
    def seed_map(self) -> Path:
        """Give the path of the map that the case extractor has left, or of a copy of it."""

    @abstractmethod
    def reading(self) -> dict[str, Any]:
        """Give what reading a partition must know of the output: options of `ReadOptions`."""

    @abstractmethod
    def took(self, stem: str) -> None:
        """Take a part for one of this run."""

    @abstractmethod
    def publish(self, catalog: dict[str, Any], state: State) -> dict[str, Any]:
        """Put in place what is prepared, ``catalog.json`` last; give its content."""

    @abstractmethod
    def confirm(self, catalog: dict[str, Any], state: State) -> None:
        """Keep the catalog that is there, with what this run says of itself."""
