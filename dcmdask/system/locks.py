"""Take the lock of a file, which the system lets go of when its process dies."""

from __future__ import annotations

from filelock import BaseFileLock, Timeout

from dcmdask.errors import OutputError
from dcmdask.system.writing import output_error


def take(lock: BaseFileLock, place: str, remedy: str, *, patience: float = 0) -> bool:
    """Take a lock; tell whether it was to be had.

    Parameters
    ----------
    lock : filelock.BaseFileLock
        Not taken yet.
    place : str
        What it guards, as it is named where it fails.
    remedy : str
        What helps where the file system knows no locks.
    patience : float
        Seconds to wait for another process that has it.

    Raises
    ------
    OutputError
        There can be no lock.
    """
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        # Before OSError, of which it is one.
        return False
    except NotImplementedError as error:
        raise OutputError(place, "its file system knows no locks", remedy) from error
    except OSError as error:
        raise output_error(place, error) from error
    return True
