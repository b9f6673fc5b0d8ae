"""Which URLs of instances plain fsspec opens, where dcmdask cannot be imported."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pydicom
import pytest
from support import crawl, encode

OWN_PROTOCOLS = ("gzip", "bz2", "xz", "member")
"""As the README says: where one of them is in a URL, dcmdask opens it."""

_PROGRAM = """
import json, sys

class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "dcmdask":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Refusal())
import fsspec

def opened(url):
    try:
        with fsspec.open(url, "rb") as stream:
            return stream.read().hex()
    except (ImportError, ValueError):
        return None

print(json.dumps([opened(url) for url in json.load(sys.stdin)]))
"""

ODD_NAMES = (
    *(
        "a b",
        "hash#1",
        "per%20cent",
        "q?x",
        "star*",
        "brack[1]",
        "col:on",
        "ümlaut",
        "am&p;+=",
        "~t",
    ),
    *("{b}", "quote'\"", "new\nline", "http:x", "dot.", " lead ", "in/deep/x"),
)
ODD_MEMBERS = ("back\\slash", "two::colons", "d//x", "/abs", "./dot", "../up", "zip://x", "end:")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give instances under odd names, loose and in archives of every kind, also in one another."""
    root = tmp_path_factory.mktemp("urls") / "in"
    root.mkdir()
    numbers = iter(range(1000))

    def one() -> bytes:
        return encode({"SOPInstanceUID": f"1.2.{next(numbers)}"})

    def zipped(*members: tuple[str, bytes]) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for name, content in members:
                archive.writestr(zipfile.ZipInfo(name), content)
        return stream.getvalue()

    def tarred(*members: tuple[str, bytes]) -> bytes:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for name, content in members:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return stream.getvalue()

    for name in ODD_NAMES:
        path = root / "loose" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(one())
    for pack, kind in ((zipped, "zip"), (tarred, "tar")):
        members = [(name, one()) for name in (*ODD_NAMES, *ODD_MEMBERS)]
        (root / f"odd #%20 {kind}.{kind}").write_bytes(pack(*members))
        (root / f"{kind} without an ending").write_bytes(pack(("a", one())))
        (root / f"{kind} by another name.gz").write_bytes(pack(("a", one())))
        inner = [
            ("i.zip", zipped(("a", one()))),
            ("i.tar", tarred(("a", one()))),
            ("i.tar.gz", gzip.compress(tarred(("a", one())))),
            ("i.dcm.gz", gzip.compress(one())),
        ]
        (root / f"outer.{kind}").write_bytes(pack(*inner))
    (root / "cut.zip").write_bytes(zipped(("a", one()), ("b", one()))[:-40])
    with pytest.warns(UserWarning, match="Duplicate name"):
        (root / "twice.zip").write_bytes(zipped(("a", one()), ("a", one())))
    compressors = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
    for ending, compress in compressors.items():
        (root / f"a.dcm.{ending}").write_bytes(compress(one()))
        (root / f"a.tar.{ending}").write_bytes(compress(tarred(("a", one()))))
        (root / f"a.t{ending}").write_bytes(compress(tarred(("a", one()))))
    return root


@pytest.fixture(scope="module")
def rows(source: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Give the instances of a crawl of these."""
    instances = crawl(source, tmp_path_factory.mktemp("urls")).instances
    return instances.to_table(columns=["path", "url", "SOPInstanceUID"]).to_pylist()


def test_plain_fsspec_opens_all_but_four_protocols(rows: list[dict[str, Any]]) -> None:
    """It gives the very instance, whatever the names; or the URL says that dcmdask is needed."""
    urls = [row["url"] for row in rows]
    command = [sys.executable, "-c", _PROGRAM]
    asked = json.dumps(urls)
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    found: list[Any] = json.loads(done.stdout)
    own = [any(f"{name}://" in url for name in OWN_PROTOCOLS) for url in urls]
    assert [url for url, content in zip(urls, found, strict=True) if content is None] == [
        url for url, is_own in zip(urls, own, strict=True) if is_own
    ]
    for row, content in zip(rows, found, strict=True):
        if content is not None:
            dataset = pydicom.dcmread(io.BytesIO(bytes.fromhex(content)))
            assert row["SOPInstanceUID"] == dataset.SOPInstanceUID
    assert 90 < len(urls)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_of_plain_archives_need_nothing_of_ours(
    rows: list[dict[str, Any]], kind: str
) -> None:
    """All that a name opens has a URL of fsspec's own: archives, zips in archives, ``.tar.gz``."""
    plain = {row["path"] for row in rows if not any(f"{p}://" in row["url"] for p in OWN_PROTOCOLS)}
    odd = f"odd #%20 {kind}.{kind}!"
    assert {f"{odd}{name}" for name in ODD_NAMES} <= plain
    paths = (f"{kind} without an ending!a", f"outer.{kind}!i.zip!a")
    assert {*paths, *(f"a.tar.{ending}!a" for ending in ("gz", "bz2", "xz"))} <= plain
