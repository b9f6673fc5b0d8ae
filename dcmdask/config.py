"""The settings of a run: built once at the edge, checked there, passed on as they are."""

from __future__ import annotations

import codecs
import fnmatch
import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Any

from dcmdask.errors import UsageError
from dcmdask.option import (
    Option,
    above_zero,
    at_least,
    documented,
    option,
    options_of,
    part_of_one,
)

LAYOUTS = ("native", "imgtools", "cases", "all")
CASE_ROWS = ("case", "file")
EXCEL = ("csv", "xlsx")

FOLLOW_LINKS = ("inside", "all", "none")
"""Which links in a source are followed: those that do not lead out of it, all, none."""

REQUESTS = 256
"""Reads of a store under way at a time."""

JOIN_GAP = 64 * 1024
"""Bytes between two ranges of an archive below which they are read as one."""

STALL = 10.0
"""Seconds after which a read of a store of which nothing comes is cut."""


@dataclass(frozen=True, slots=True)
class RemoteOptions:
    """How places that are no files of this machine are reached.

    Attributes
    ----------
    storage : tuple of (str, str)
        Storage options as they were written: secrets are among them, and none is shown.
    requests : int
        Reads and writes that one process has under way at a time.
    join_gap : int
        Bytes between two ranges below which they are read as one.
    stall : float
        Seconds after which a read of which nothing comes is cut and tried again.
    """

    storage: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    requests: int = REQUESTS
    join_gap: int = JOIN_GAP
    stall: float = STALL


AS_USUAL = RemoteOptions()
"""Without any setting."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What a worker must know to read a partition.

    Attributes
    ----------
    roots : tuple of str
        Names of the source roots, by number.
    parts : str
        Folder that parts go to, or its URL.
    desensitize : bool
        Whether PatientName leaves the worker only as a pseudonym.
    timeout : float
        Seconds that a task may take.
    read_timeout : float
        Seconds that a file may go without anything being read of it.
    settings : str
        Digest of the settings that decide what is read of a file.
    charset : str
        Encodings to read text in where what an object states does not fit it, joined by ``+``.
    containers : tuple of (str or None)
        URLs of the containers of the roots, by number; None for a folder of this machine.
    remote : RemoteOptions
        How they are reached, and the parts where they go to a store.
    mirror : str
        Folder of the machine that the run is on, for what it reads of parts that are in a store.
    """

    roots: tuple[str, ...]
    parts: str
    desensitize: bool
    timeout: float
    read_timeout: float
    settings: str
    charset: str = ""
    containers: tuple[str | None, ...] = ()
    remote: RemoteOptions = AS_USUAL
    mirror: str = ""


def _pairs(option: Option, pairs: tuple[str, ...]) -> None:
    if not all("=" in pair for pair in pairs):
        # Without what it holds: it may be a secret.
        raise UsageError(f"{option.flag} without =", f"write {option.metavar}")


def _needs_modes(option: Option, asked: bool) -> None:
    if asked and os.name != "posix":
        remedy = "say who may read OUT by the permissions of its folder"
        raise UsageError(f"{option.flag} where files have no modes", remedy)


def _encodings(charset: str | None) -> str | None:
    """Return the encodings of a character set as one text; None where there is none."""
    return "+".join(encodings_of(charset)) if charset else None


def _known_charset(_option: Option, charset: str | None) -> None:
    _encodings(charset)


@documented
@dataclass(frozen=True, slots=True)
class RunOptions:
    """Everything a run can be told, each option declared here and nowhere else.

    The options of ``dcmdask run`` and of other commands, in the order of their help, the variables
    ``DCMDASK_<NAME>``, the keys of a settings file, their checks, and the list of attributes of this
    class follow from it.
    """

    out: str | None = option(
        None,
        "Output folder or URL. Default: .imgtools/<name> beside the source.",
        told=False,
        also={"plan": "Output of the run, a folder or URL. Default as for run."},
        letter="o",
        metavar="OUT",
        secret=True,
    )
    workers: int = option(
        0,
        "Worker processes; 0: the cores it may use.",
        told=False,
        letter="n",
        check=at_least(0),
    )
    scheduler: str | None = option(
        None,
        "Use a running Dask cluster, e.g. tls://host:8786.",
        told=False,
        metavar="ADDRESS",
    )
    timeout: float = option(
        300.0,
        "Seconds that one task may take.",
        told=False,
        letter="t",
        unit="seconds",
        check=above_zero,
    )
    read_timeout: float = option(
        60.0,
        "Seconds that one file may stand still: no byte, no member of an archive is read.",
        told=False,
        unit="seconds",
        check=above_zero,
    )
    partition_size: int = option(
        4096,
        "Files of one task.",
        told=False,
        also={"plan": None},
        unit="files",
        check=at_least(1),
    )
    in_process_below: int = option(
        1_000_000,
        "Crawls of fewer files run without a cluster, which would cost more than it brings.",
        told=False,
        unit="files",
        check=at_least(0),
    )
    storage_option: tuple[str, ...] = option(
        (),
        "How stores are reached: key, secret, endpoint_url, profile, anon, ... Repeatable.",
        told=False,
        also={"plan": None, "show": None, "failures": None},
        metavar="KEY=VALUE",
        check=_pairs,
        secret=True,
    )
    requests: int = option(
        REQUESTS,
        "Reads of a store under way at a time.",
        told=False,
        check=at_least(1),
    )
    join_gap: int = option(
        JOIN_GAP,
        "Bytes between two ranges in a store below which they are read as one.",
        told=False,
        unit="bytes",
        check=at_least(0),
    )
    full: bool = option(
        False,
        "Read everything again, also what has not changed.",
        told=False,
        also={"plan": "As for the run: all is read again."},
    )
    fresh: bool = option(
        False,
        "Throw away what a run that was ended has read.",
        told=False,
    )
    allow_shrink: bool = option(
        False,
        "Publish also where most of what the catalog in OUT knows is gone or cannot be read.",
        told=False,
    )
    shrink_limit: float = option(
        0.5,
        "Part of the known instances that may be gone without it.",
        told=False,
        check=part_of_one,
    )
    include: tuple[str, ...] = option(
        (),
        "List only paths that fit. Repeatable.",
        told=True,
        also={"plan": None},
        metavar="GLOB",
    )
    exclude: tuple[str, ...] = option(
        (),
        "Leave out paths that fit. Repeatable.",
        told=True,
        also={"plan": None},
        metavar="GLOB",
    )
    from_list: str | None = option(
        None,
        "With a text list, CSV or Parquet (S3 Inventory's columns are understood) instead of "
        "listing. What it does not name is gone. Without SOURCE its paths are absolute, or URLs.",
        told=False,
        also={"plan": "As for the run: a list of files instead of listing."},
        metavar="FILE",
        secret=True,
    )
    follow_links: str = option(
        "inside",
        "Which links in SOURCE: those that do not lead out of it, all, none. The others are listed "
        "as skips.",
        told=True,
        also={"plan": "As for the run."},
        choices=FOLLOW_LINKS,
    )
    include_server_folders: bool = option(
        False,
        "Enter snapshots, recycle bins and the like of a file server.",
        told=True,
        also={"plan": "As for the run."},
    )
    layout: str = option(
        "all",
        "Which files beside the tables.",
        told=True,
        choices=LAYOUTS,
    )
    case_rows: str = option(
        "case",
        "Loose files of a case are one row of its table, or a row each.",
        told=True,
        choices=CASE_ROWS,
    )
    merge_all: bool = option(
        False,
        "Also all_cases.csv: all cases in one table; without --desensitize its original and "
        "desensitized copies, and a desensitized one a case.",
        told=True,
    )
    only_merged: bool = option(
        False,
        "No file a case: only all_cases_*.csv.",
        told=True,
    )
    export_json: bool = option(
        False,
        "Also a JSON file a case.",
        told=True,
    )
    default_charset: str | None = option(
        None,
        "Character set, e.g. GB18030, of objects that state none or a wrong one.",
        told=True,
        also={"plan": None},
        metavar="NAME",
        check=_known_charset,
        reading=_encodings,
    )
    desensitize: bool = option(
        False,
        "PatientName becomes a hash in every output.",
        told=True,
        also={"plan": "As for the run: a change of it reads all again."},
        reading=bool,
    )
    move_top_level_zips: bool = option(
        False,
        "First move SOURCE/x.zip to SOURCE/x/x.zip.",
        told=True,
    )
    projectid_map: str | None = option(
        None,
        "JSON file of ProjectIDs. Default: in OUT.",
        told=False,
        metavar="PATH",
    )
    excel: bool | str = option(
        False,
        "Made for a spreadsheet: CSV whose text stays as it is (csv, if neither is said), or "
        "workbooks beside plain CSV (xlsx).",
        told=True,
        choices=EXCEL,
    )
    replace: bool = option(
        False,
        "First move what is in the way in OUT and no run wrote, or was changed since, to "
        "OUT/replaced-<time>. Without it such a run is refused.",
        told=False,
    )
    private: bool = option(
        False,
        "Nobody else may read OUT: folders 0700, files 0600.",
        told=False,
        check=_needs_modes,
    )

    def __post_init__(self) -> None:
        for one in options_of(type(self)):
            one.verify(getattr(self, one.name))
        if self.excel == "csv":
            # One setting, whichever way it was written.
            object.__setattr__(self, "excel", True)
        if self.move_top_level_zips and self.from_list is not None:
            words = "--move-top-level-zips with --from-list"
            raise UsageError(words, "its list would name what has been moved")
        if self.layout in ("native", "imgtools"):
            asked = {"--merge-all": self.merge_all, "--only-merged": self.only_merged}
            asked |= {"--export-json": self.export_json, "--case-rows": self.case_rows != "case"}
            for name in (name for name, is_asked in asked.items() if is_asked):
                words = f"{name} with --layout {self.layout}"
                raise UsageError(f"{words}, which has no case tables", "add --layout cases")

    @property
    def remote(self) -> RemoteOptions:
        """How stores are reached."""
        pairs = (option.partition("=") for option in self.storage_option)
        return RemoteOptions(
            tuple((name, value) for name, _, value in pairs),
            self.requests,
            self.join_gap,
            min(STALL, self.read_timeout / 4),
        )

    @property
    def worker_count(self) -> int:
        """Worker processes to start."""
        return self.workers or cores()

    def settings(self) -> dict[str, Any]:
        """Return the settings that decide what the catalog holds, not how it is made."""
        told = {one.name: getattr(self, one.name) for one in options_of(type(self)) if one.told}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in told.items()}

    def digest(self) -> str:
        """Return the digest of `settings`, for the metadata of tables."""
        return digest_of(self.settings())

    @property
    def excel_csv(self) -> bool:
        """Whether CSV is made for a spreadsheet."""
        return self.excel is True

    @property
    def workbooks(self) -> bool:
        """Whether there is a workbook beside each CSV."""
        return self.excel == "xlsx"

    @property
    def charset(self) -> str:
        """Encodings of the default character set as `ReadOptions` has them; empty for none."""
        return _encodings(self.default_charset) or ""

    def reading(self) -> dict[str, Any]:
        """Return the settings that decide what the catalog holds, not how it is made."""
        deciding = {
            one.name: one.reading(getattr(self, one.name))
            for one in options_of(type(self))
            if one.reading is not None
        }
        return {name: value for name, value in deciding.items() if value is not None}

    def wanted(self) -> Globs:
        """Return the test of a relative path against the include and exclude globs."""
        return Globs(self.include, self.exclude)


class Globs:
    """Which paths are listed, and what of them was left out.

    Parameters
    ----------
    include, exclude : tuple of str
        A path is listed if any of the first, where there are some, and none of the second fits it.

    Attributes
    ----------
    include, exclude : tuple of str
        As given.
    left_out : int
        Paths that were asked for and are not listed.
    example : str or None
        One of them.
    """

    def __init__(self, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> None:
        self.include = include
        self.exclude = exclude
        self.left_out = 0
        self.example: str | None = None
        self._all = not (include or exclude)

    def __call__(self, path: str) -> bool:
        """Tell whether a relative path is listed."""
        if self._all:
            return True
        included = not self.include or any(fnmatch.fnmatchcase(path, g) for g in self.include)
        if included and not any(fnmatch.fnmatchcase(path, g) for g in self.exclude):
            return True
        self.left_out += 1
        self.example = self.example or path
        return False


def digest_of(value: Any) -> str:
    """Return a short digest of anything that JSON can hold; the order of keys changes nothing."""
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


_SAME_IN_ASCII = "AZaz09^= .-+"
_NO_CHARSETS = ("idna", "unicode-escape", "raw-unicode-escape")
"""Encodings of Python that are forms of other text."""


def encodings_of(charset: str) -> list[str]:
    r"""Return the names of the encodings of a character set, as pydicom has them.

    Parameters
    ----------
    charset : str
        Defined terms (PS3.3 C.12.1.1.2), joined by a backslash, or names that Python knows.

    Raises
    ------
    UsageError
        Nobody knows such a one, or ASCII is something else in it.

    Examples
    --------
    >>> encodings_of(r"ISO 2022 IR 6\ISO 2022 IR 58"), encodings_of("cp936")
    (['iso8859', 'iso_ir_58'], ['gbk'])
    """
    # pydicom takes a tenth of a second to load, which only who asks for this should pay.
    from pydicom.charset import python_encoding

    terms = {term.upper(): encoding for term, encoding in python_encoding.items()}
    found = []
    for term in map(str.strip, charset.split("\\")):
        encoding = terms.get(term.upper()) or _python_encoding(term)
        if encoding is None:
            known = "a term of DICOM such as GB18030, ISO_IR 192 or ISO_IR 100"
            words = f"write {known}, or an encoding of Python such as gbk or big5"
            raise UsageError(f"--default-charset {term}", words)
        found.append(encoding)
    return found


def _python_encoding(name: str) -> str | None:
    """Return the name of an encoding of Python in which text may be, or None."""
    try:
        own = codecs.lookup(name).name
        same = _SAME_IN_ASCII.encode("ascii").decode(own) == _SAME_IN_ASCII
    except (LookupError, ValueError):
        return None
    return own if same and own not in _NO_CHARSETS else None


def cores() -> int:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1
