"""What is wrong with an archive, where that is known better than by the class of an error."""

from __future__ import annotations

import tarfile
import zipfile

from dcmdask.types import Kind

_NO_DIRECTORY = "cut off: it has no directory at its end; copy it again"
_NO_END_MARK = "cut off: it ends before its end mark; copy it again"
_SPLIT = "a part of a split zip is not read: join its parts (zip -s 0 x.zip --out whole.zip)"
_ENDS_EARLY = "unexpected end of data"
"""What tarfile says where a member is shorter than its header has it; it has no class of its own."""


class ArchiveError(zipfile.BadZipFile):
    """An archive that cannot be read, with the kind and the words for it.

    Parameters
    ----------
    words : str
        What is wrong, and what to do.
    kind : Kind
        Of the failure that it becomes.
    """

    def __init__(self, words: str, kind: Kind = Kind.CORRUPT_ARCHIVE) -> None:
        super().__init__(words)
        self.words = words
        self.kind = kind


class FollowedError(EOFError):
    """A compressed stream that something else follows."""


class TarCutOffError(tarfile.ReadError):
    """A tar that ends in the middle of a header."""


def cut_off_zip() -> ArchiveError:
    """Return the error of a zip whose end is not there."""
    return ArchiveError(_NO_DIRECTORY)


def split_zip() -> ArchiveError:
    """Return the error of a zip whose other parts are other files."""
    return ArchiveError(_SPLIT, Kind.UNREAD_ARCHIVE)


def judged(noun: str, error: Exception) -> tuple[Kind, str]:
    """Return kind and words for damage: never those of the error, which may quote a value."""
    if isinstance(error, ArchiveError):
        return error.kind, error.words
    early = isinstance(error, tarfile.ReadError) and str(error) == _ENDS_EARLY
    cut = isinstance(error, (EOFError, TarCutOffError)) and not isinstance(error, FollowedError)
    if early or cut:
        return Kind.CORRUPT_ARCHIVE, _NO_END_MARK
    return Kind.CORRUPT_ARCHIVE, f"the {noun} is damaged ({type(error).__name__})"
