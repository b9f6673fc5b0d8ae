"""The settings of a run: built once at the edge, checked there, passed on as they are."""

from __future__ import annotations

import codecs
import fnmatch
import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from typing import Any

from dcmdask.errors import UsageError

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


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Everything a run can be told.

    Attributes
    ----------
    out : str or None
        Output folder or its URL; None for ``.imgtools/<name>`` beside the one source.
    workers : int
        Worker processes on this machine; 0 for the cores it may use.
    scheduler : str or None
        Address of a running Dask cluster.
    timeout : float
        Seconds that one task may take.
    read_timeout : float
        Seconds that one file may go without anything being read of it.
    partition_size : int
        Files of one task.
    in_process_below : int
        Crawls of fewer files run in this process, without a cluster.
    desensitize, merge_all, only_merged, export_json, move_top_level_zips : bool
        Seed A's switches.
    full : bool
        Whether to read everything again; otherwise what the catalog in OUT knows is not.
    fresh : bool
        Whether to throw away what a run that was ended has read.
    allow_shrink : bool
        Whether a catalog may be published that has lost most of the one before.
    shrink_limit : float
        Part of the known instances beyond which a run that would drop them publishes nothing.
    projectid_map : str or None
        JSON file of case names and numbers; None for ``projectid_map.json`` in the output.
    layout : str
        Which files are published beside the tables: one of `LAYOUTS`.
    case_rows : str
        What a row of a case table is beside an archive: all loose files of the case, or one; one of
        `CASE_ROWS`.
    default_charset : str or None
        Character set of the text of objects that state none, or one that does not fit: a defined
        term (PS3.3 C.12.1.1.2), several joined by a backslash, or one of Python's encodings.
    excel : bool or str
        True or ``csv`` for CSV made for a spreadsheet, ``xlsx`` for workbooks beside plain CSV.
    include, exclude : tuple of str
        Globs over relative paths; a file is listed if any of the first and none of the second fits.
    from_list : str or None
        Path or URL of a list of files, instead of listing sources.
    follow_links : str
        Which links in a source are followed: one of `FOLLOW_LINKS`.
    include_server_folders : bool
        Whether folders that a file server keeps for itself (snapshots, recycle bins) are entered.
    storage_option : tuple of str
        ``KEY=VALUE``, for a protocol ``s3:KEY=VALUE``: how stores are reached. Secrets are among them.
    requests : int
        Reads and writes of stores that one process has under way at a time.
    join_gap : int
        Bytes between two ranges of an archive in a store below which they are read as one.
    replace : bool
        Whether files in OUT that no run wrote, or that were changed since, are moved to a folder
        beside them where they are in the way; otherwise such a run is refused.
    private : bool
        Whether nobody but the user may reach OUT and what is published there.
    """

    out: str | None = field(default=None, repr=False)
    workers: int = 0
    scheduler: str | None = None
    timeout: float = 300.0
    read_timeout: float = 60.0
    partition_size: int = 4096
    in_process_below: int = 1_000_000
    desensitize: bool = False
    merge_all: bool = False
    only_merged: bool = False
    export_json: bool = False
    move_top_level_zips: bool = False
    full: bool = False
    fresh: bool = False
    allow_shrink: bool = False
    shrink_limit: float = 0.5
    projectid_map: str | None = None
    layout: str = "all"
    case_rows: str = "case"
    default_charset: str | None = None
    excel: bool | str = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    from_list: str | None = field(default=None, repr=False)
    follow_links: str = "inside"
    include_server_folders: bool = False
    storage_option: tuple[str, ...] = field(default=(), repr=False)
    requests: int = REQUESTS
    join_gap: int = JOIN_GAP
    replace: bool = False
    private: bool = False

    def __post_init__(self) -> None:
        _at_least("--workers", self.workers, 0)
        _at_least("--partition-size", self.partition_size, 1)
        _at_least("--in-process-below", self.in_process_below, 0)
        _at_least("--requests", self.requests, 1)
        _at_least("--join-gap", self.join_gap, 0)
        for option in self.storage_option:
            if "=" not in option:
                # Without what it holds: it may be a secret.
                raise UsageError("--storage-option without =", "write KEY=VALUE")
        _above_zero("--timeout", self.timeout)
        _above_zero("--read-timeout", self.read_timeout)
        _part_of_one("--shrink-limit", self.shrink_limit)
        if self.move_top_level_zips and self.from_list is not None:
            words = "--move-top-level-zips with --from-list"
            raise UsageError(words, "its list would name what has been moved")
        if self.private and os.name != "posix":
            remedy = "say who may read OUT by the permissions of its folder"
            raise UsageError("--private where files have no modes", remedy)
        if isinstance(self.excel, str) and self.excel not in EXCEL:
            raise UsageError(f"--excel {self.excel}", f"write one of {', '.join(EXCEL)}")
        if self.excel == "csv":
            # One setting, whichever way it was written.
            object.__setattr__(self, "excel", True)
        if self.default_charset:
            encodings_of(self.default_charset)
        if self.layout not in LAYOUTS:
            raise UsageError(f"--layout {self.layout}", f"write one of {', '.join(LAYOUTS)}")
        if self.case_rows not in CASE_ROWS:
            words = f"write one of {', '.join(CASE_ROWS)}"
            raise UsageError(f"--case-rows {self.case_rows}", words)
        if self.follow_links not in FOLLOW_LINKS:
            words = f"--follow-links {self.follow_links}"
            raise UsageError(words, f"write one of {', '.join(FOLLOW_LINKS)}")
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
        """Give the settings that decide what the catalog holds, none that decide how it is made."""
        how = (
            "out",
            "workers",
            "scheduler",
            "timeout",
            "read_timeout",
            "partition_size",
            "in_process_below",
            "full",
            "fresh",
            "allow_shrink",
            "shrink_limit",
            "projectid_map",
            "from_list",
            "storage_option",
            "requests",
            "join_gap",
            "replace",
            "private",
        )
        settings = {name: value for name, value in asdict(self).items() if name not in how}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in settings.items()}

    def digest(self) -> str:
        """Give the digest of `settings`, for the metadata of tables."""
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
        return "+".join(encodings_of(self.default_charset)) if self.default_charset else ""

    def reading(self) -> dict[str, Any]:
        """Give the settings that decide what is read of a file: where they change, all is read."""
        default = {"default_charset": self.charset} if self.default_charset else {}
        return {"desensitize": self.desensitize, **default}

    def wanted(self) -> Globs:
        """Give the test of a relative path against the include and exclude globs."""
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
    """Give a short digest of anything that JSON can hold; the order of keys makes no difference."""
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
    """Give the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def _at_least(option: str, value: int, least: int) -> None:
    if value < least:
        raise UsageError(f"{option} {value}", f"give a whole number of at least {least}")


def _above_zero(option: str, seconds: float) -> None:
    if not seconds > 0:
        raise UsageError(f"{option} {seconds:g}", "give a number of seconds above 0")


def _part_of_one(option: str, part: float) -> None:
    if not 0 <= part <= 1:
        raise UsageError(f"{option} {part:g}", "give a part of the whole, from 0 to 1, such as 0.5")
