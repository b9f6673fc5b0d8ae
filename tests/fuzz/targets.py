"""What is tried with changed files: targets that take a seed and raise where something is wrong."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from header.comparing import compare
from header.windows import SYNTAXES
from hostile import archives, headers
from source.making import bulky, instance, manifest_of, old_tar_of, read_rows, tar_of, zip_of
from support import encode

from dcmdask.dicom.windows import WINDOW
from dcmdask.errors import HeaderError
from dcmdask.extract.registry import EXTRACTORS
from dcmdask.header import deep
from dcmdask.header.deep import describe_header
from dcmdask.header.reader import quiet_pydicom
from dcmdask.synthetic import write_synthetic
from dcmdask.types import Kind, Place, Window
from fuzz.mutation import changed

_LARGEST = 200_000
_ENOUGH = 1 << 26


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to try.

    Attributes
    ----------
    name : str
        Names the files that are kept.
    make : callable
        Seed to the bytes of one file.
    check : callable
        Takes them; raises where they are not dealt with as they should be.
    """

    name: str
    make: Callable[[int], bytes]
    check: Callable[[bytes], None]


def _written(write: Callable[[Path, int], object], size: int) -> Iterator[bytes]:
    """Give the files that a function writes, as far as they are small."""
    with tempfile.TemporaryDirectory() as place:
        write(Path(place), size)
        for path in sorted(Path(place).rglob("*")):
            if path.is_file() and path.stat().st_size <= _LARGEST:
                yield path.read_bytes()


def _synthetic(folder: Path, slices: int) -> None:
    """Write linked instances of every modality."""
    write_synthetic(folder / "in", patients=1, slices=slices)


@cache
def headers_to_change() -> tuple[bytes, ...]:
    """Give headers of every modality and encoding, and the hostile ones."""
    found = [encode(syntax=syntax) for syntax in SYNTAXES]
    found += _written(_synthetic, 2)
    for write in (headers.write_lengths, headers.write_group_lengths):
        found += _written(write, 0)
    for write, size in (
        (headers.write_deep, 20),
        (headers.write_items, 20),
        (headers.write_elements, 200),
        (headers.write_values, 1000),
        (headers.write_frames, 20),
        (headers.write_contours, 20),
        (headers.write_content, 12),
    ):
        found += _written(write, size)
    return tuple(found)


@cache
def archives_to_change() -> tuple[bytes, ...]:
    """Give archives of every kind, and the hostile ones."""
    members = {"a/1.dcm": instance(1), "2.dcm": bulky(2, 20_000), "notes": b"no DICOM" * 50}
    inner = {"in.zip": zip_of(members), "in.tgz": tar_of(members, "w:gz"), "3.dcm": instance(3)}
    found = [zip_of(members), zip_of(members, zipfile.ZIP_STORED), zip_of(inner)]
    found += [zip_of(inner, zipfile.ZIP_STORED), zip_of(members, zipfile.ZIP_LZMA), tar_of(inner)]
    found += [zip_of(members, zipfile.ZIP_BZIP2), old_tar_of(members), tar_of(inner, "w:gz")]
    found += [tar_of(members, mode) for mode in ("w", "w:gz", "w:bz2", "w:xz")]
    found += [pack(instance(4)) for pack in (gzip.compress, bz2.compress, lzma.compress)]
    for write, size in (
        (archives.write_zip_counts, 0),
        (archives.write_tar_sizes, 0),
        (archives.write_odd_names, 0),
        (archives.write_matryoshka, 6),
        (archives.write_nested, 4),
        (archives.write_tar_headers, 8),
        (archives.write_zip_overlap, 3),
        (archives.write_streams, 16),
    ):
        found += _written(write, size)
    return tuple(found)


def _make_header(seed: int) -> bytes:
    return changed(headers_to_change(), seed)


def _make_archive(seed: int) -> bytes:
    """Change an archive, or what was compressed: behind the checksum nothing else gets."""
    chance = random.Random(seed)
    content = changed(archives_to_change(), seed, _LARGEST)
    if chance.random() < 0.3:
        plain = changed([tar_of({"1.dcm": instance(1), "2.dcm": instance(2)})], seed)
        return chance.choice((gzip.compress, bz2.compress, lzma.compress))(plain)
    return zip_of({"n": content, "1.dcm": instance(1)}) if chance.random() < 0.2 else content


def check_header(content: bytes) -> None:
    """Hold the scan against pydicom, and an excerpt against the whole file."""
    with quiet_pydicom():
        compare([content, encode(), content])
        for extractor in EXTRACTORS:
            with _without_excerpts():
                whole = _described(content, extractor)
            assert whole == _described(content, extractor), extractor.modality


@contextmanager
def _without_excerpts() -> Iterator[None]:
    excerpt = deep.excerpt
    deep.excerpt = lambda *_: None
    try:
        yield
    finally:
        deep.excerpt = excerpt


def _described(content: bytes, extractor: deep.Extractor) -> str:
    place = Place("", "", "", "", "", None, len(content), None)
    window = Window(place, content[:WINDOW], lambda at, size: content[at : at + size], _ENOUGH)
    try:
        return repr(describe_header(window, extractor, attributes=True))
    except HeaderError as error:
        return str(error.kind)


def check_archive(content: bytes) -> None:
    """Read a file together with others and by itself: the same rows, one for each member."""
    with tempfile.TemporaryDirectory() as place:
        Path(place, "a").write_bytes(content)
        Path(place, "b.dcm").write_bytes(instance(9))
        manifest = manifest_of(Path(place))
        together, singly = read_rows(*manifest), read_rows(*manifest, singly=True)
    assert together.accounted
    assert "b.dcm" in together.paths
    assert set(together.kinds.values()) <= set(Kind) - {Kind.UNEXPECTED}
    assert (singly.paths, singly.kinds) == (together.paths, together.kinds)


TARGETS = (
    Target("header", _make_header, check_header),
    Target("archive", _make_archive, check_archive),
)
"""All of them."""
