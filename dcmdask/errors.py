"""Take what went wrong and give one line that says what, where and what to do.

The tree::

    DcmdaskError                 base: one line for a person, exit code 1
    ├── UsageError               wrong words on the command line or in a settings file; exit code 2
    ├── SourceError              a source that is missing, cannot be listed, or holds nothing
    ├── StoreError               a bucket or server that cannot be used as it is named
    │   └── StoreDownError       one that does not answer; exit code 75
    ├── OutputError              an output folder that cannot be written; a disk that is full
    │   ├── OutputDownError      one that is not to be written at the moment; exit code 75
    │   └── LockedError          another run writes there now
    ├── ShrinkError              a run whose catalog would lose most of the one before; exit code 4
    ├── CatalogError             a folder that holds no catalog, or a damaged one
    ├── ProjectIdMapError        a ProjectID map that is not what it should be
    ├── InvariantError           files listed and files accounted for differ: a defect, never published
    ├── ClusterError             a Dask scheduler or worker that cannot be used
    │   ├── SchedulerGoneError   a scheduler or all workers that are not there; exit code 75
    │   └── ReaderLostError      a reading process that cannot be kept alive, whatever it reads;
    │                            exit code 75
    └── ReaderError              what nobody foresaw while a partition was read; never ends a run

    HeaderError                  one file or member gives no instance; becomes a row of ``failures``

No message carries a value read from a DICOM file: paths and kinds only.
"""

from __future__ import annotations

from typing import Any

GOES_ON = 75
"""Exit code where the same command goes on as soon as what is down is back: EX_TEMPFAIL of
sysexits.h, by which batch systems and Kubernetes jobs know what to start again."""


def _revive(kind: type[Exception], args: tuple[Any, ...], state: dict[str, Any]) -> Exception:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class _TravellingError(Exception):
    """An error that survives pickling, whatever its constructor wants: workers send them home."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (_revive, (type(self), self.args, self.__dict__))


class DcmdaskError(_TravellingError):
    """Base of every error that ends a command with one line.

    Attributes
    ----------
    exit_code : int
        What the command line returns for it.
    """

    exit_code = 1


class UsageError(DcmdaskError):
    """The caller asked for something that cannot be meant.

    Parameters
    ----------
    problem : str
        What is wrong, with the value.
    remedy : str
        What to write instead.
    """

    exit_code = 2

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}: {remedy}")
        self.problem = problem
        self.remedy = remedy


class _PlaceError(DcmdaskError):
    """An error about one place, with its reason and its remedy."""

    noun = "place"

    def __init__(self, place: str, reason: str, remedy: str) -> None:
        super().__init__(f"{self.noun} {place}: {reason}; {remedy}")
        self.place = place
        self.reason = reason
        self.remedy = remedy


class SourceError(_PlaceError):
    """A source cannot be listed."""

    noun = "source"


class StoreError(_PlaceError):
    """A bucket or a server cannot be used, whatever is asked of it."""

    noun = "store"


class StoreDownError(StoreError):
    """A bucket or a server does not answer: the same command goes on when it does."""

    exit_code = GOES_ON


class OutputError(_PlaceError):
    """The output folder cannot be written."""

    noun = "output"


class OutputDownError(OutputError):
    """The output is there and cannot be written at the moment: the same command goes on later."""

    exit_code = GOES_ON


class LockedError(OutputError):
    """Another run holds the output folder."""


class ShrinkError(DcmdaskError):
    """A run would publish a catalog that has lost most of the one before, or most of what it lists.

    Parameters
    ----------
    out : str
        The output.
    seen : str
        What the run has seen.
    """

    exit_code = 4

    def __init__(self, out: str, seen: str) -> None:
        super().__init__(f"nothing was published in {out}: {seen}; --allow-shrink accepts it")
        self.out = out
        self.seen = seen


class CatalogError(_PlaceError):
    """A folder holds no catalog, or one that cannot be read."""

    noun = "catalog"


class ProjectIdMapError(_PlaceError):
    """A ProjectID map is not a JSON object of case names and distinct positive integers."""

    noun = "ProjectID map"


class InvariantError(DcmdaskError):
    """Files and members listed differ from instances plus failures.

    Parameters
    ----------
    listed, instances, failures : int
        The three counts.
    """

    def __init__(self, listed: int, instances: int, failures: int) -> None:
        super().__init__(
            f"{listed} files and members were listed but {instances} instances and {failures} "
            "failures were found: nothing was published; please report this as a defect"
        )
        self.listed = listed
        self.instances = instances
        self.failures = failures


class ClusterError(DcmdaskError):
    """A Dask cluster could not be reached or gave up on a task."""


class SchedulerGoneError(ClusterError):
    """A scheduler does not answer, or has no workers: the same command goes on when they are there."""

    exit_code = GOES_ON


class ReaderLostError(ClusterError):
    """No reading process can be kept alive here, whatever it is asked to read.

    Parameters
    ----------
    how : str
        How the last one was lost.
    """

    exit_code = GOES_ON

    def __init__(self, how: str) -> None:
        super().__init__(
            f"no reading process stays alive ({how}): free memory and processes on that machine; "
            "the same command goes on where it stopped"
        )
        self.how = how


class ReaderError(DcmdaskError):
    """Reading a partition met an error that nobody foresaw: its supervisor looks for the file.

    Parameters
    ----------
    where : str
        Class and place of the error, without its words.
    no_memory : bool
        Whether there was not the memory for it.
    """

    def __init__(self, where: str, *, no_memory: bool = False) -> None:
        super().__init__(f"the reader failed: {where}")
        self.where = where
        self.no_memory = no_memory


class HeaderError(_TravellingError):
    """One file or member gives no instance.

    Parameters
    ----------
    kind : str
        One of `dcmdask.types.Kind`.
    message : str
        Why, in words that carry no value of the file.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message
