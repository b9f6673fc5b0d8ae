"""Take a list of files (text, CSV, Parquet, S3 Inventory); give its lines, one by one.

What a file holds decides how it is read, not its name. Nothing is kept: a list may have many millions
of lines.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any, NamedTuple, cast
from urllib.parse import unquote_plus

import pyarrow as pa
import pyarrow.parquet as pq

from dcmdask.config import RemoteOptions
from dcmdask.errors import HeaderError, UsageError
from dcmdask.remote.address import Address, is_url, local_path, url_of
from dcmdask.remote.credentials import parted, public_url, storage_of, with_query
from dcmdask.remote.remote import open_remote
from dcmdask.source.file_lists.dialect import encoding_of, header_of, said_separator, split

_PARQUET = b"PAR1"
_GZIP = b"\x1f\x8b"
_DAMAGE = (
    EOFError,
    zlib.error,
    gzip.BadGzipFile,
    pa.ArrowInvalid,
    csv.Error,
    UnicodeError,  # of a text in UTF-16 that was cut
)
_BLOCK = 4 * 1024 * 1024
_ROWS = 10_000
_LARGEST_MANIFEST = 64 * 1024 * 1024
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_NAMES = {
    "bucket": "bucket",
    "key": "key",
    "url": "url",
    "path": "path",
    "location": "location",
    "size": "size",
    "lastmodified": "modified",
    "lastmodifieddate": "modified",
    "modified": "modified",
    "etag": "etag",
    "islatest": "is_latest",
    "isdeletemarker": "is_delete_marker",
}
"""Columns that are understood, in lower case and without what is no letter."""

_PLACES = ("key", "url", "location", "path")
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory.html
_PLAIN_SCHEMA = ("bucket", "key", "size", "modified", "etag")
_VERSIONS = ("bucket", "key", "", "is_latest", "is_delete_marker", "size", "modified", "etag")
_WORDS = {"true": True, "false": False}


class Line(NamedTuple):
    """One line of a list.

    Attributes
    ----------
    place : str
        A path, or a URL; bytes that are no UTF-8 are surrogates.
    size, modified, etag : int, int, str or None
        What the list says: bytes, microseconds since 1970, entity tag.
    is_current : bool
        Whether the object is there: no delete marker, no version that another has followed.
    where : str
        What the line is called where something is wrong with it.
    is_plain : bool
        Whether the place is all that the line is: of a text, not of a table.
    """

    place: str
    size: int | None
    modified: int | None
    etag: str | None
    is_current: bool
    where: str
    is_plain: bool = False


def read_lines(place: str, remote: RemoteOptions) -> Iterator[Line]:
    """Yield the lines of a list.

    Parameters
    ----------
    place : str
        Path or URL of a text with one path or URL a line, a CSV (also with semicolons or tabs, in
        UTF-16, or gzip-compressed), a Parquet file, or a ``manifest.json`` of S3 Inventory.
    remote : RemoteOptions
        How a URL is reached.

    Raises
    ------
    UsageError
        It cannot be read, or not understood: it names file and line.
    """
    with _told(place), _opened(place, remote) as stream:
        # Only looked at: a list may come through a pipe.
        if stream.peek(len(_PARQUET)).startswith(_PARQUET):
            yield from _read_parquet(place, stream)
            return
        with closing(_inflated(stream)) as content:
            manifest = _manifest_of(content)
            if manifest is None:
                with _texts(content) as texts:
                    yield from _read_text(place, texts)
                return
    for name in _data_files(place, manifest):
        yield from _read_data(name, manifest, remote)


# -- opening ---------------------------------------------------------------------------------------


@contextmanager
def _told(place: str) -> Iterator[None]:
    """Say what is wrong with a list in one line."""
    shown = public_url(place)
    try:
        yield
    except _DAMAGE as error:
        words = f"--from-list {shown}: it is damaged ({type(error).__name__})"
        raise UsageError(words, "write it again") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"--from-list {shown}: {reason}", "name a list of files") from error
    except HeaderError as error:
        raise UsageError(f"--from-list {shown}: {error.message}", "check the URL") from error


def _opened(place: str, remote: RemoteOptions) -> io.BufferedReader:
    if is_url(place):
        return io.BufferedReader(_RemoteFile(place, remote), _BLOCK)
    return open(os.path.expanduser(local_path(place)), "rb")


def _inflated(stream: io.BufferedReader) -> io.BufferedReader:
    """Return what a stream holds, inflated if it is a gzip."""
    if not stream.peek(len(_GZIP)).startswith(_GZIP):
        return stream
    return io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(fileobj=stream)), _BLOCK)


class _RemoteFile(io.RawIOBase):
    """A key of a container as a file."""

    def __init__(self, url: str, options: RemoteOptions) -> None:
        super().__init__()
        found = parted(url)
        address = Address.parse(found.url)
        pairs = (one.partition("=") for one in storage_of(found._replace(query="")))
        storage = (*options.storage, *((name, value) for name, _, value in pairs))
        self._remote = open_remote(address.root, replace(options, storage=storage))
        key = with_query(address.key, found.query) if found.query else address.key
        self._listed = self._remote.head(key)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        start = {0: 0, 1: self._at, 2: self._listed.size or 0}[whence]
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        stop = self._at + len(buffer)
        if self._listed.size is not None:
            stop = min(stop, self._listed.size)
        found = self._remote.get(self._listed.key, self._at, stop, self._listed.etag)
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)


# -- text, CSV -------------------------------------------------------------------------------------


def _texts(stream: io.BufferedReader) -> io.TextIOWrapper:
    # A name may hold a carriage return, and bytes that are no text: in UTF-16, half a pair.
    encoding = encoding_of(stream.peek(4)[:4])
    errors = "surrogateescape" if encoding == "utf-8-sig" else "surrogatepass"
    return io.TextIOWrapper(stream, encoding, errors, newline="\n")


def _read_text(place: str, texts: io.TextIOWrapper) -> Iterator[Line]:
    """Yield the lines of a text: a CSV if the first one is a header, or a row of S3 Inventory."""
    lines = enumerate(texts, 1)
    said = ((number, line) for number, line in lines if _is_said(line) and not said_separator(line))
    number, line = next(said, (0, ""))
    if not number:
        return
    rest = (line for _, line in lines)
    header = header_of(line, lambda name: _name(name) in _PLACES)
    if header is not None:
        separator, found = header
        names: Sequence[str] = [_name(name) for name in found]
        yield from _read_rows(place, csv.reader(rest, delimiter=separator), names, number)
    elif line.startswith('"'):
        names = _inventory_schema(place, split(line, ","), number)
        rows = csv.reader(_behind(line, rest))
        yield from _read_rows(place, rows, names, number - 1)
    else:
        for further, text in enumerate(_behind(line, rest), number):
            if _is_said(text):
                where = f"line {further}"
                yield Line(
                    _path(text), None, None, None, is_current=True, where=where, is_plain=True
                )


def _behind(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _is_said(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("#")


def _path(line: str) -> str:
    return line.removesuffix("\n").removesuffix("\r")


def _name(column: str) -> str:
    """Return the name that a column has here; nothing for one that is passed over."""
    return _NAMES.get(re.sub("[^a-z]", "", column.lower()), "")


def _inventory_schema(place: str, row: list[str], number: int) -> Sequence[str]:
    """Return the columns of a CSV without a header: S3 Inventory writes its own in this order."""
    if len(row) > 4 and {row[3].lower(), row[4].lower()} <= {*_WORDS}:
        return _VERSIONS
    said = (*row, "", "", "")
    if len(row) > 1 and (not said[2] or said[2].isdigit()) and not re.match("[^0-9]", said[3]):
        return _PLAIN_SCHEMA
    words = f"--from-list {public_url(place)}, line {number}: its columns are not known"
    raise UsageError(words, "give it a header such as bucket,key,size,last_modified_date,e_tag")


def _read_rows(
    place: str, rows: Any, names: Sequence[str], before: int, *, encoded: bool = True
) -> Iterator[Line]:
    """Yield the lines of a CSV, whose rows begin behind so many others."""
    for row in rows:
        if row:
            said = {name: value for name, value in zip(names, row, strict=False) if name}
            where = f"line {before + rows.line_num}"
            yield _line(place, said, where, _decoded if encoded else str)


def _decoded(key: str) -> str:
    # A plus stands for a space, one of the name itself is written %2B.
    return unquote_plus(key, errors="surrogateescape")


# -- Parquet ---------------------------------------------------------------------------------------


def _read_parquet(place: str, stream: io.BufferedReader) -> Iterator[Line]:
    with pq.ParquetFile(stream) as file:
        schema = file.schema_arrow.names
        chosen = {name: _name(name) for name in schema if _name(name)}
        if not any(name in _PLACES for name in chosen.values()):
            raise UsageError(
                f"--from-list {public_url(place)}: it has none of the columns key, url, location, path",
                "name one so",
            )
        number = 0
        for batch in file.iter_batches(_ROWS, columns=list(chosen)):
            for row in batch.to_pylist():
                number += 1
                said = {chosen[name]: value for name, value in row.items() if value is not None}
                yield _line(place, said, f"row {number}", _text)


def _text(value: Any) -> str:
    return os.fsdecode(value) if isinstance(value, bytes) else str(value)


# -- a row -----------------------------------------------------------------------------------------


def _line(place: str, said: Mapping[str, Any], where: str, key_of: Callable[[Any], str]) -> Line:
    try:
        return Line(
            _place(said, key_of),
            _size(said.get("size")),
            _when(said.get("modified")),
            _etag(said),
            _flag(said.get("is_latest"), usual=True)
            and not _flag(said.get("is_delete_marker"), usual=False),
            where,
        )
    except ValueError as error:
        words = f"--from-list {public_url(place)}, {where}: {error}"
        raise UsageError(words, "correct that line") from error


def _place(said: Mapping[str, Any], key_of: Callable[[Any], str]) -> str:
    if said.get("key"):
        key = key_of(said["key"])
        return url_of(f"s3://{said['bucket']}", key) if said.get("bucket") else key
    for name in _PLACES[1:]:
        if said.get(name):
            return _text(said[name])
    raise ValueError("it names no file")


def _size(value: Any) -> int | None:
    if value in (None, ""):
        return None
    try:
        size = int(value)
    except (TypeError, ValueError) as error:
        raise ValueError("its size is no number of bytes") from error
    if not 0 <= size < 1 << 63:
        raise ValueError("its size is no number of bytes")
    return size


def _when(value: Any) -> int | None:
    if value in (None, ""):
        return None
    try:
        when = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
        if when.tzinfo is None:
            when = when.replace(tzinfo=dt.UTC)
        return int((when - _EPOCH) // _MICROSECOND)
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError("its time is none such as 2024-05-01T12:00:00Z") from error


def _etag(said: Mapping[str, Any]) -> str | None:
    """Return the entity tag as the store itself gives it: S3 Inventory leaves out the quotes."""
    etag = said.get("etag")
    if not etag:
        return None
    text = str(etag)
    return text if '"' in text or not said.get("bucket") else f'"{text}"'


def _flag(value: Any, *, usual: bool) -> bool:
    if value in (None, ""):
        return usual
    if isinstance(value, bool):
        return value
    if str(value).lower() not in _WORDS:
        raise ValueError("it says neither true nor false where it should")
    return _WORDS[str(value).lower()]


# -- S3 Inventory ----------------------------------------------------------------------------------


def _manifest_of(stream: io.BufferedReader) -> dict[str, Any] | None:
    """Return the content of a ``manifest.json``; None for all else, to be read from its start."""
    if not stream.peek(1).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return None
    try:
        found = json.loads(stream.read(_LARGEST_MANIFEST))
    except ValueError:
        found = None
    stream.seek(0)
    return found if isinstance(found, dict) and {"files", "fileFormat"} <= found.keys() else None


def _data_files(place: str, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield the places of the files that a manifest names."""
    try:
        keys = [str(file["key"]) for file in manifest["files"]]
    except (TypeError, KeyError) as error:
        words = f"--from-list {public_url(place)}: it names no data files"
        raise UsageError(words, "name a manifest.json of S3 Inventory") from error
    bucket = str(manifest.get("destinationBucket", "")).rpartition(":")[2]
    for key in keys:
        if is_url(place):
            yield url_of(Address.parse(place).root, key)
        else:
            yield _beside(local_path(place), key) or url_of(f"s3://{bucket}", key)


def _beside(place: str, key: str) -> str | None:
    """Find a data file that was copied with its manifest: as it lay in the bucket, or beside it."""
    folder = os.path.dirname(os.path.abspath(os.path.expanduser(place)))
    holders = [folder]
    while (parent := os.path.dirname(holders[-1])) != holders[-1]:
        holders.append(parent)
    name = key.rpartition("/")[2]
    nearby = [os.path.join(folder, *way, name) for way in ((), ("data",), ("..", "data"))]
    choices = [*(os.path.join(holder, *key.split("/")) for holder in holders), *nearby]
    return next((choice for choice in choices if os.path.isfile(choice)), None)


def _read_data(place: str, manifest: Mapping[str, Any], remote: RemoteOptions) -> Iterator[Line]:
    layout = str(manifest["fileFormat"]).lower()
    if layout not in ("csv", "parquet"):
        words = f"--from-list: S3 Inventory in the format {manifest['fileFormat']}"
        raise UsageError(words, "have it written as CSV or Parquet")
    with _told(place), _opened(place, remote) as stream:
        if layout == "parquet":
            yield from _read_parquet(place, stream)
            return
        names = [_name(name) for name in str(manifest.get("fileSchema", "")).split(",")]
        with closing(_inflated(stream)) as content, _texts(content) as texts:
            yield from _read_rows(place, csv.reader(texts), names, 0)
