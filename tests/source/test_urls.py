"""URLs: what the tables name is what `fsspec.open` gives, byte for byte."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from source.making import (
    Reading,
    instance,
    old_tar_of,
    read_file,
    read_folder,
    tar_of,
    zip_of,
)

from dcmdask.source.archives.tar_names import TarNames

NAMES = (
    "plain.dcm",
    "in/deep/b.dcm",
    "./in/c.dcm",
    "in//d.dcm",
    "in/./e.dcm",
    "../f.dcm",
    "a space.dcm",
    " at both ends ",
    "hash#tag",
    "100%20",
    "what?",
    "st*r",
    "[brackets]",
    "{braces}",
    "ä日本.dcm",
    "colon:s",
    "file:x",
    "http:/x",
    "bang!.dcm",
    "quotes'\".dcm",
    "~",
    "$HOME",
    "&;|<>",
    "new\nline",
    "a=b,c@d+e",
    "back\\slash",
    ".hidden",
)
"""Names that a URL would write in another way, or that a shell, a glob or a chain could misread."""

CONTENT = {name: instance(number) for number, name in enumerate(NAMES, 1)}
BY_UID = {f"1.2.3.4.{number}": CONTENT[name] for number, name in enumerate(NAMES, 1)}
ONE = CONTENT["plain.dcm"]

ARCHIVES = {
    "a.zip": zip_of(CONTENT),
    "a.tar": tar_of(CONTENT),
    "a.tar.gz": tar_of(CONTENT, "w:gz"),
    "a.tgz": tar_of(CONTENT, "w:gz"),
    "a.tar.bz2": tar_of(CONTENT, "w:bz2"),
    "a.tbz2": tar_of(CONTENT, "w:bz2"),
    "a.tar.xz": tar_of(CONTENT, "w:xz"),
    "a.txz": tar_of(CONTENT, "w:xz"),
    "old.tar": old_tar_of({"plain.dcm": ONE}),
    "zip": zip_of(CONTENT),
    "tar": tar_of(CONTENT),
    "tgz": tar_of(CONTENT, "w:gz"),
    "no zip.tar": zip_of(CONTENT),
    "no tar.zip": tar_of(CONTENT),
    "no gzip.tar.gz": tar_of(CONTENT),
    "no gzip either.tar.gz": tar_of(CONTENT, "w:xz"),
    "no xz.tar.xz": tar_of(CONTENT, "w:gz"),
    "plain.dcm.gz": gzip.compress(ONE),
    "plain.dcm.bz2": bz2.compress(ONE),
    "plain.dcm.xz": lzma.compress(ONE),
    "plain gz": gzip.compress(ONE),
    "ä #%?.zip.gz": gzip.compress(zip_of(CONTENT)),
}


def _misread(reading: Reading) -> Iterator[str]:
    """Give the URLs that do not give the bytes of their instance."""
    for row in reading.instances:
        with fsspec.open(row["url"]) as stream:
            if stream.read() != BY_UID[row["SOPInstanceUID"]]:
                yield row["url"]


@pytest.mark.parametrize("name", ARCHIVES)
def test_urls_of_members_open(tmp_path: Path, name: str) -> None:
    """Every member of every kind of archive is opened by its URL, whatever both are called."""
    reading = read_file(tmp_path / "in", name, ARCHIVES[name])
    assert reading.instances
    assert {} == reading.kinds
    assert [] == list(_misread(reading))


@pytest.mark.parametrize("outer", ["o.zip", "o.tar", "o.tar.gz", "o.tgz"])
def test_urls_of_nested_members_open(tmp_path: Path, outer: str) -> None:
    """A member of an archive in an archive is opened by its URL."""
    inner = {name: archive for name, archive in ARCHIVES.items() if not name.endswith(".zip.gz")}
    make = {"o.zip": zip_of, "o.tar": tar_of}.get(outer) or (lambda m: tar_of(m, "w:gz"))
    some = {name: inner[name] for name in ("a.zip", "a.tar", "a.tar.gz", "a.tgz", "plain.dcm.gz")}
    odd = {f"in {name}#": inner[name] for name in ("no gzip.tar.gz", "tgz", "plain.dcm.xz")}
    reading = read_file(tmp_path / "in", outer, make({**some, **odd}))
    assert 4 * len(NAMES) + 2 * len(NAMES) + 2 == len(reading.instances)
    assert [] == list(_misread(reading))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows fewer characters in names")
def test_urls_of_files_open(tmp_path: Path) -> None:
    """A file is opened by its URL, and so is what lies in an archive of such a name."""
    for name in NAMES:
        if not name.startswith("."):
            for path, content in (
                (tmp_path / "in" / "files" / name, CONTENT[name]),
                (tmp_path / "in" / "gz" / f"{name}.gz", gzip.compress(CONTENT[name])),
                (tmp_path / "in" / "zip" / name, zip_of({"m": CONTENT[name]})),
                (tmp_path / "in" / "tgz" / f"{name}.tgz", tar_of({"m": CONTENT[name]}, "w:gz")),
            ):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    reading = read_folder(tmp_path / "in")
    assert 4 * sum(not name.startswith(".") for name in NAMES) == len(reading.instances)
    assert [] == list(_misread(reading))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow valid text only")
def test_files_that_no_url_can_name_are_read(tmp_path: Path) -> None:
    """A name that is no UTF-8, or that fsspec would split, costs the URL and not the instance."""
    folder = tmp_path / "in" / "::"
    folder.mkdir(parents=True)
    (folder / "a::b.dcm").write_bytes(instance(1))
    with open(os.fsencode(folder) + b"/\xff\xfe.dcm", "wb") as file:
        file.write(instance(2))
    with open(os.fsencode(folder) + b"/\xff.zip", "wb") as file:
        file.write(zip_of({"m": instance(3)}))
    reading = read_folder(tmp_path / "in")
    assert ["::/\\xff.zip!m", "::/\\xff\\xfe.dcm", "::/a::b.dcm"] == reading.paths


def test_a_tar_whose_names_are_no_text_is_read(tmp_path: Path) -> None:
    """A member whose name is no UTF-8 is an instance under an escaped name, and is opened."""
    content = tar_of({"x.dcm": ONE}, layout=0).replace(b"x.dcm", b"\xff.dcm")
    block = bytearray(content[:512])
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    reading = read_file(tmp_path / "in", "a.tar", bytes(block) + content[512:])
    assert ["a.tar!\\xff.dcm"] == reading.paths
    assert [] == list(_misread(reading))


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_members_of_one_name_in_a_tar_have_urls_of_their_own(tmp_path: Path, mode: str) -> None:
    """The name opens the last, as it is what a tar unpacks to; the others are opened where they lie."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name in ("plain.dcm", "what?", "st*r"):
            info = tarfile.TarInfo("x")
            info.size = len(CONTENT[name])
            archive.addfile(info, io.BytesIO(CONTENT[name]))
    reading = read_file(tmp_path / "in", "a.tar", stream.getvalue())
    assert [] == list(_misread(reading))
    urls = {row["SOPInstanceUID"]: row["url"].partition(":")[0] for row in reading.instances}
    last = f"1.2.3.4.{NAMES.index('st*r') + 1}"
    assert {"tar": [last], "member": 2} == {
        "tar": [uid for uid, protocol in urls.items() if protocol == "tar"],
        "member": sum(protocol == "member" for protocol in urls.values()),
    }


def test_a_single_compressed_file_is_a_file_system_of_one_file(tmp_path: Path) -> None:
    """What is registered with fsspec lists, describes and opens its one file, to read only."""
    path = tmp_path / "scan.dcm.gz"
    path.write_bytes(gzip.compress(ONE))
    system, name = fsspec.url_to_fs(f"gzip://scan.dcm::file://{path}")
    assert [name] == system.ls(name, detail=False)
    assert {"name": "scan.dcm", "type": "file", "size": None} == system.info(name)
    assert ONE == system.cat_file(name)
    with pytest.raises(ValueError, match="can only be read"):
        system.open(name, "wb")


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=12))
def test_urls_of_members_of_one_name_keep_their_order(names: list[str]) -> None:
    """Until all names are known, what stands for a URL is where in order the URL will be."""
    tar = TarNames("file:///a.tar", "file:///a.tar")
    given_ = []
    for number, name in enumerate(names):
        info = tarfile.TarInfo(name)
        info.offset = 512 * 5**number
        given_.append((name, tar.url_of(info)))
    renamed = tar.renamed()
    assert len(names) == len({url for _, url in given_})
    for one in set(names):
        own = [url for name, url in given_ if name == one]
        assert own == sorted(own)
        final = [renamed.get(url, url) for url in own]
        assert final == sorted(final)
        assert f"tar://{one}::file:///a.tar" == final[-1]
