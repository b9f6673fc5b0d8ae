"""Listings of containers: every key once, however long they are and in whatever order they come."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import examples

from dcmdask.config import RemoteOptions
from dcmdask.errors import HeaderError, SourceError
from dcmdask.remote.client import Level, Listed, denied
from dcmdask.remote.remote import Remote
from dcmdask.source.source_listing import Asked
from dcmdask.source.stores import object_listing
from dcmdask.source.stores.object_listing import container_root, list_container, list_keys
from dcmdask.types import Kind

PAGE = 3


class _Bucket:
    """A container whose keys are listed as S3 lists them, in any order of folders."""

    def __init__(self, names: set[str], order: int = 0) -> None:
        self.names = sorted(names, reverse=order == 1)
        self.failing = ""

    def pages(self, prefix: str) -> Iterator[list[Listed]]:
        if self.failing and prefix.startswith(self.failing):
            raise denied()
        below = [Listed(name, 1, 0, None) for name in self.names if name.startswith(prefix)]
        for start in range(0, max(len(below), 1), PAGE):
            yield below[start : start + PAGE]

    def levels(self, prefix: str) -> Iterator[Level]:
        rest = [name.removeprefix(prefix) for name in self.names if name.startswith(prefix)]
        found = [Listed(prefix + name, 1, 0, None) for name in rest if "/" not in name]
        names = dict.fromkeys(f"{prefix}{name.partition('/')[0]}/" for name in rest if "/" in name)
        for start in range(0, max(len(found), len(names), 1), PAGE):
            yield Level([*names][start : start + PAGE], found[start : start + PAGE])


def listed(container: Any, prefix: str = "") -> Counter[str]:
    """Count what a listing gives."""
    return Counter(one.key for page in list_keys(container, prefix) for one in page)


segments = st.sampled_from(["a", "b", "c", "a.b", "", "-"])
names = st.lists(segments, min_size=1, max_size=5).map("/".join)
trees = st.sets(names, max_size=60)


@settings(max_examples=examples(150))
@given(
    names=trees,
    long=st.integers(1, 30),
    order=st.integers(0, 1),
    prefix=st.sampled_from(["", "a/", "a/b/"]),
    bounds=st.sampled_from([(10_000, 50_000), (2, 50_000), (10_000, 2)]),
)
def test_every_key_is_listed_once(
    names: set[str], long: int, order: int, prefix: str, bounds: tuple[int, int]
) -> None:
    """Whatever the tree of keys, empty segments and markers of folders included."""
    settings = {"LONG": long, "_MOST_PREFIXES": bounds[0], "_MOST_FOUND": bounds[1], "_AT_ONCE": 3}
    with patch.multiple(object_listing, **settings):
        found = listed(_Bucket(names, order), prefix)
    assert Counter(name for name in names if name.startswith(prefix)) == found


@settings(max_examples=examples(60))
@given(
    names=st.sets(
        st.lists(st.sampled_from("abcd"), min_size=2, max_size=4).map("/".join), max_size=40
    ),
    long=st.integers(1, 20),
)
def test_every_file_in_memory_is_listed_once(names: set[str], long: int) -> None:
    """Through fsspec, which lists folder by folder."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    names = {f"{name}.dcm" for name in names}
    for name in names:
        files.pipe_file(f"/root/{name}", b"1")
    with patch.multiple(object_listing, LONG=long, _AT_ONCE=2):
        found = listed(Remote("memory://", RemoteOptions(requests=2)), "root/")
    assert Counter(f"root/{name}" for name in names) == found


def test_a_folder_of_many_folders_is_listed_by_many() -> None:
    """What goes wrong in one of them ends the listing: a part of it would be a wrong catalog."""
    names = {f"{a}/{b}/{c}" for a, b, c in itertools.product("abcdef", "xyz", "123456")}
    container = _Bucket(names)
    with patch.multiple(object_listing, LONG=5, _AT_ONCE=4):
        assert Counter(names) == listed(container)
        container.failing = "d/"
        with pytest.raises(HeaderError, match="the store denies access"):
            listed(container)


@pytest.fixture
def memory() -> Iterator[Any]:
    """Give fsspec's files in memory, none of them there."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


OPTIONS = RemoteOptions(requests=2)


def test_catalogs_and_server_folders_are_named_and_not_listed(memory: Any) -> None:
    """One row a prefix, whatever lies below it; the output itself is not spoken of."""
    for name in (
        "in/a.dcm",
        "in/P/b.dcm",
        "in/P/.imgtools/c.dcm",
        "in/P/.dcmdask/d.dcm",
        "in/Q/catalog-0123456789abcdef/e.dcm",
        "in/out/index.csv",
        "in/outer/f.dcm",
        "in/P/old/.dcmdask/parts/0000000000-01234567.read.arrow",
        "in/P/old/.dcmdask/parts/0000000000-01234567.json",
        "in/P/old/catalog-0123456789abcdef/cases/P1.csv",
        "in/P/old/catalog-0123456789abcdef/crawl-cache.json",
        "in/P/old/catalog-0123456789abcdef/cases/P1.xlsx",
        "in/P/old/catalog-0123456789abcdef/all_cases.xlsx",
        "in/.imgtools/in/.dcmdask/state-0123456789abcdef.json",
        "in/.dcmdask/unfinished.json",
        "in/R/@eaDir/a.dcm/SYNO",
        "in/R/@eaDir/b.dcm/SYNO",
        "in/#recycle/x.dcm",
    ):
        memory.pipe_file(f"/{name}", b"1")
    root = container_root("memory://in", OPTIONS)
    cases: set[str] = set()
    options: Any = {"leave_out": frozenset({"memory://in/out"}), "found_case": cases.add}
    found = list(
        list_container(root, OPTIONS, Asked(wanted=lambda path: path != "P/b.dcm", **options))
    )
    read = ["P/.dcmdask/d.dcm", "P/.imgtools/c.dcm", "Q/catalog-0123456789abcdef/e.dcm"]
    assert [*read, "a.dcm", "outer/f.dcm"] == sorted(one.path for one in found if not one.kind)
    catalog, server = "a catalog of dcmdask", "a folder of the file server"
    assert [
        ("#recycle", b"in/#recycle", None, server),
        (".dcmdask", b"in/.dcmdask", None, catalog),
        (".imgtools/in", b"in/.imgtools/in", None, catalog),
        ("P/old", b"in/P/old", "P", catalog),
        ("R/@eaDir", b"in/R/@eaDir", "R", server),
    ] == sorted(
        (one.path, one.location, one.case, str(one.message).partition(":")[0])
        for one in found
        if one.kind == Kind.NOT_ENTERED
    )
    assert {"P", "Q", "R", "in", "outer"} == cases
    entered = list_container(root, OPTIONS, Asked(server_folders=True, **options))
    assert {"#recycle/x.dcm", "R/@eaDir/a.dcm/SYNO"} < {one.path for one in entered}


def test_one_object_is_a_source(memory: Any) -> None:
    """Its folder is the root, and nothing beside it is listed."""
    for name in ("in/P/a.dcm", "in/P/b.dcm", "top.zip"):
        memory.pipe_file(f"/{name}", b"123")
    root = container_root("memory://in/P/a.dcm", OPTIONS)
    assert ("memory://in/P", "P", ("a.dcm",)) == (root.path, root.name, root.only)
    assert ["a.dcm"] == [one.path for one in list_container(root, OPTIONS)]
    root = container_root("memory://top.zip", OPTIONS)
    assert [("top.zip", "top", 3)] == [
        (one.path, one.case, one.size) for one in list_container(root, OPTIONS)
    ]


def test_a_source_that_is_not_there_is_refused(memory: Any) -> None:
    """Before anything is read."""
    memory.pipe_file("/in/a.dcm", b"1")
    for url in ("memory://inn", "memory://in/a.dcm/b", "memory://in/a"):
        with pytest.raises(SourceError, match="no such object, and none below it"):
            container_root(url, OPTIONS)
