"""Take members of a tar, one after the other; give their URLs, also where two have one name.

A name opens the last member that has it, and which is the last is known at the end only. Until then
the first has the URL of the name, every other that of its place.
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from dataclasses import fields, replace

import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.source.places import url_by_name, url_by_offset
from dcmdask.types import HeaderTables


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
        self._last: dict[str, int] = {}

    def url_of(self, member: tarfile.TarInfo) -> str:
        """Return the URL of the next member, for as long as no other has its name."""
        name = member.name
        url = url_by_name("tar", name, self._by_name)
        if url is not None:
            if self._first.setdefault(hash(name), member.offset) == member.offset:
                return url
            self._last[name] = member.offset
        return url_by_offset(member.offset, name, self._by_offset)

    def renamed(self) -> dict[str, str]:
        """Return, for URLs that were given, those that are right now that all names are known."""
        found = {}
        for name, last in self._last.items():
            url = url_by_name("tar", name, self._by_name)
            assert url is not None
            found[url] = url_by_offset(self._first[hash(name)], name, self._by_offset)
            found[url_by_offset(last, name, self._by_offset)] = url
        return found


def with_urls(tables: HeaderTables, renamed: Mapping[str, str]) -> HeaderTables:
    """Return what was read with other URLs."""
    if not renamed:
        return tables
    own = {one.name: getattr(tables, one.name) for one in fields(tables)}
    named = {
        name: _with_urls(table, renamed)
        for name, table in own.items()
        if isinstance(table, pa.Table) and "url" in table.column_names
    }
    return replace(tables, **named)


def _with_urls(table: pa.Table, renamed: Mapping[str, str]) -> pa.Table:
    old = pa.array(list(renamed), pa.string())
    spots = pc.index_in(table["url"], value_set=old)
    new = pa.array(list(renamed.values()), pa.string()).take(spots.combine_chunks())
    column = pc.if_else(pc.is_valid(spots), pa.chunked_array([new]), table["url"])
    return table.set_column(table.column_names.index("url"), "url", column)
