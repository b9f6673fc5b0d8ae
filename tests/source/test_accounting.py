"""The invariant: whatever lies in a folder, files and members listed are instances and failures."""

from __future__ import annotations

import gzip
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from source.making import COMPRESSIONS, instance, manifest_of, read_rows, tar_of, zip_of
from support import examples

from dcmdask.types import Kind

Make = Callable[[bytes], bytes]

_INSTANCE = instance(1)
_NAMES = st.sampled_from(["a", "b.dcm", "c.zip", "d.tar", "e.tar.gz", "f.dcm.gz", "g/h", "./i"])
_PLAIN = st.one_of(
    st.just(_INSTANCE),
    st.just(b""),
    st.just(b"7z\xbc\xaf\x27\x1c"),
    st.binary(max_size=600),
    st.integers(1, len(_INSTANCE)).map(lambda end: _INSTANCE[:end]),
)
_METHODS = st.sampled_from(
    [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
_MODES = st.sampled_from(["w", "w:gz", "w:bz2", "w:xz"])


def _archives(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    members = st.dictionaries(_NAMES, inner, max_size=4)
    return st.one_of(
        st.builds(zip_of, members, _METHODS),
        st.builds(tar_of, members, _MODES),
        st.builds(
            lambda how, content: how(content), st.sampled_from([*COMPRESSIONS.values()]), inner
        ),
    )


@st.composite
def _damaged(draw: st.DrawFn, contents: st.SearchStrategy[bytes]) -> bytes:
    """Change some bytes, cut the end off, or leave things as they are."""
    content = bytearray(draw(contents))
    for _ in range(draw(st.integers(0, 3)) if content else 0):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content)


_FILES = st.recursive(
    _PLAIN, lambda inner: _archives(st.one_of(inner, _damaged(inner))), max_leaves=8
)


@settings(max_examples=examples(100))
@given(st.dictionaries(_NAMES.filter(lambda name: "/" not in name), _FILES, max_size=4))
def test_files_and_members_are_instances_and_failures(files: dict[str, bytes]) -> None:
    """Archives in archives, damaged and misnamed: each file and member has one outcome."""
    with tempfile.TemporaryDirectory() as place:
        for name, content in files.items():
            (Path(place) / name).write_bytes(content)
        manifest = manifest_of(Path(place))
        reading, singly = read_rows(*manifest), read_rows(*manifest, singly=True)
    assert len(files) == reading.tally.files
    assert reading.accounted
    assert set(reading.kinds.values()) <= set(Kind)
    # Many at once or one by one, it comes to the same.
    assert (singly.paths, singly.kinds) == (reading.paths, reading.kinds)


@settings(max_examples=examples(150))
@given(_damaged(_archives(st.one_of(st.just(_INSTANCE), st.just(gzip.compress(_INSTANCE))))))
def test_damage_of_an_archive_is_never_an_exception(content: bytes) -> None:
    """Any change of any byte of an archive gives rows."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "a").write_bytes(content)
        manifest = manifest_of(Path(place))
        reading, singly = read_rows(*manifest), read_rows(*manifest, singly=True)
    assert reading.accounted
    assert (singly.paths, singly.kinds) == (reading.paths, reading.kinds)
