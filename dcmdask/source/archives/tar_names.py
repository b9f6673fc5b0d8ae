"""Take members of a tar, one after the other; give their URLs, also where two have one name.

A name opens the last member that has it, and which is the last is known at the end only. Until then
the first has the URL of the name, and every other something that stands for its own.
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.source.places import url_by_name, url_by_offset
from dcmdask.types import HeaderTables

_URLS = ("url", "source_url")


class TarNames:
    """The names of one tar.

    Parameters
    ----------
    by_name : str
        URL under which fsspec's tar finds the archive.
    by_offset : str
        URL of the archive itself.
    """

    def __init__(self, by_name: str, by_offset: str) -> None:
        self._by_name = by_name
        self._by_offset = by_offset
        # Of a name its hash: a tar may have half a million.
        self._first: dict[int, int] = {}
        self._more: dict[str, list[int]] = {}

    def url_of(self, member: tarfile.TarInfo) -> str:
        """Return the URL of the next member, for as long as no other has its name."""
        url = url_by_name("tar", member.name, self._by_name)
        if url is None:
            return self._url_at(member.offset, member.name)
        if self._first.setdefault(hash(member.name), member.offset) == member.offset:
            return url
        self._more.setdefault(member.name, []).append(member.offset)
        return _until_then(url, member.offset)

    def _url_at(self, offset: int, name: str) -> str:
        return url_by_offset(offset, name, self._by_offset)

    def renamed(self) -> dict[str, str]:
        """Return, for URLs that were given, those that are right now that all names are known."""
        found = {}
        for name, (*between, last) in self._more.items():
            url = url_by_name("tar", name, self._by_name)
            assert url is not None
            found[url] = self._url_at(self._first[hash(name)], name)
            found |= {_until_then(url, one): self._url_at(one, name) for one in between}
            found[_until_then(url, last)] = url
        return found


def _until_then(url: str, offset: int) -> str:
    """Return what stands for the URL of a further member of a name until all are known.

    In order it comes behind the URL of the first, as what the two will have does: the order decides
    which instance describes a series.
    """
    return f"{url}\x7f{offset:012}"


def with_urls(tables: HeaderTables, renamed: Mapping[str, str]) -> HeaderTables:
    """Return what was read with other URLs."""
    if not renamed:
        return tables
    tables_of = {one.name: getattr(tables, one.name) for one in fields(tables)}
    changed: dict[str, Any] = {
        name: _with_urls(table, renamed)
        for name, table in tables_of.items()
        if isinstance(table, pa.Table)
    }
    return replace(tables, **changed)


def _with_urls(table: pa.Table, renamed: Mapping[str, str]) -> pa.Table:
    old, new = (pa.array(list(side), pa.string()) for side in (renamed, renamed.values()))
    for spot, name in enumerate(table.column_names):
        if name in _URLS:
            found = pc.index_in(table[name], value_set=old).combine_chunks()
            other = pa.chunked_array([new.take(found)])
            column = pc.if_else(pc.is_valid(other), other, table[name])
            table = table.set_column(spot, table.schema.field(name), column)
    return table
