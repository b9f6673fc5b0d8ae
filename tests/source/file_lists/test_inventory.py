"""A list of files instead of a walk: every format, the same entries in whatever order they stand."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import os
import random
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import examples

from dcmdask.config import AS_USUAL
from dcmdask.errors import UsageError
from dcmdask.listing.listing import open_roots
from dcmdask.source.entries import Entry, Root
from dcmdask.source.file_lists import inventory, lines
from dcmdask.source.file_lists.inventory import Inventory
from dcmdask.source.folders.local import list_root
from dcmdask.source.source_listing import Asked
from dcmdask.types import Kind

NOON = 1_714_564_800_000_000
"""2024-05-01T12:00:00Z."""

# As S3 Inventory writes it: every value in quotes, no header, keys URL-encoded.
CSV = (
    '"scans","P1/1.dcm","512","2024-05-01T12:00:00.000Z","0cc175b9c0f1b6a831c399e269772661"\n'
    '"scans","P1/a+b%2Bc%C3%A4.dcm","7","2024-05-01T12:00:00.250Z","92eb5ffee6ae2fec3ad71c777531578f-2"\n'
    '"scans","top.zip","100","2024-05-01T12:00:00.000Z","4a8a08f09d37b73795649038408b5f33"\n'
)
VERSIONS = (
    '"scans","P1/1.dcm","v2","true","false","512","2024-05-01T12:00:00.000Z","aa"\n'
    '"scans","P1/1.dcm","v1","false","false","500","2023-05-01T12:00:00.000Z","bb"\n'
    '"scans","P1/2.dcm","v9","true","true","","2024-05-01T12:00:00.000Z",""\n'
    '"scans","P1/2.dcm","v8","false","false","9","2024-04-01T12:00:00.000Z","cc"\n'
)
BUCKET = [
    Entry("P1/1.dcm", b"P1/1.dcm", "P1", 512, NOON, etag='"0cc175b9c0f1b6a831c399e269772661"'),
    Entry(
        "P1/a b+c\u00e4.dcm",
        "P1/a b+c\u00e4.dcm".encode(),
        "P1",
        7,
        NOON + 250_000,
        etag='"92eb5ffee6ae2fec3ad71c777531578f-2"',
    ),
    Entry("top.zip", b"top.zip", "top", 100, NOON, etag='"4a8a08f09d37b73795649038408b5f33"'),
]


def read(
    place: Path | str, roots: list[Root] | None = None, **options: Any
) -> tuple[list[Root], list[list[Entry]], int]:
    """Give the roots of a list, the entries of each, and how many lines were passed over."""
    with closing(Inventory(str(place), roots or [], AS_USUAL)) as found:
        entries = [list(found.list_root(root, Asked(**options))) for root in found.roots]
        return found.roots, entries, found.passed_over


def a_list(folder: Path, content: bytes | str) -> Path:
    """Write a list."""
    path = folder / "list"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def files(folder: Path) -> Path:
    """Write files of two cases and at the top."""
    for name in ("P1/1.dcm", "P1/sub/2.dcm", "P2/3", "top.dcm", "P9.zip", "\u00e4 b,c.dcm"):
        path = folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        os.utime(path, ns=(10**18, 10**18 + 123_456_789))
    return folder / "in"


def walked(folder: Path) -> list[Entry]:
    """Give what a walk lists, in order of locations."""
    (root,) = open_roots([str(folder)])
    return sorted(list_root(root), key=lambda entry: entry.location)


# -- formats ---------------------------------------------------------------------------------------


def parquet(entries: list[dict[str, Any]], schema: pa.Schema | None = None) -> bytes:
    """Give a Parquet file."""
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(entries, schema), stream)
    return stream.getvalue()


# https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory.html
S3_PARQUET = pa.schema(
    [
        pa.field("bucket", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        ("version_id", pa.string()),
        ("is_latest", pa.bool_()),
        ("is_delete_marker", pa.bool_()),
        ("size", pa.int64()),
        ("last_modified_date", pa.timestamp("ms")),
        ("e_tag", pa.string()),
        ("storage_class", pa.string()),
    ]
)


def s3_parquet() -> bytes:
    """Give the objects of `CSV` as S3 Inventory writes them to Parquet: keys as they are."""
    noon = dt.datetime(2024, 5, 1, 12)  # noqa: DTZ001 - as in Parquet, UTC without saying so
    rows = [
        {
            "bucket": "scans",
            "key": entry.path,
            "is_latest": True,
            "is_delete_marker": False,
            "size": entry.size,
            "last_modified_date": noon + dt.timedelta(microseconds=(entry.modified or 0) - NOON),
            "e_tag": (entry.etag or "").strip('"'),
            "storage_class": "STANDARD",
        }
        for entry in BUCKET
    ]
    gone = {**rows[0], "key": "P1/gone", "is_delete_marker": True, "size": None}
    old = {**rows[0], "is_latest": False, "size": 3}
    return parquet([*rows, gone, old], S3_PARQUET)


FORMATS: dict[str, Callable[[], bytes]] = {
    "csv": CSV.encode,
    "csv.gz": lambda: gzip.compress(CSV.encode()),
    "csv with a header": lambda: b"Bucket,Key,Size,LastModifiedDate,ETag\n" + CSV.encode(),
    "csv with another header": (
        "e_tag,storage,SIZE,last_modified,url\n"
        + "".join(
            f'"{(e.etag or "").replace(chr(34), chr(34) * 2)}",x,{e.size},'
            f"{dt.datetime.fromtimestamp((e.modified or 0) / 1e6, dt.UTC).isoformat()},"
            f"s3://scans/{e.path}\n"
            for e in BUCKET
        )
    ).encode,
    "parquet": s3_parquet,
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_of_an_inventory_gives_the_same(tmp_path: Path, name: str) -> None:
    """Columns are found by name or by S3's own order; a bucket is a root."""
    roots, (entries,), _ = read(a_list(tmp_path, FORMATS[name]()))
    assert [Root("s3://scans", "scans")] == roots
    assert BUCKET == entries


def test_old_versions_and_delete_markers_are_passed_over_and_counted(tmp_path: Path) -> None:
    """What is listed is what a listing of the bucket would give."""
    _, (entries,), passed = read(a_list(tmp_path, VERSIONS))
    assert [("P1/1.dcm", 512, '"aa"')] == [(e.path, e.size, e.etag) for e in entries]
    assert 3 == passed
    assert 2 == read(a_list(tmp_path, s3_parquet()))[2]


def test_folders_of_a_bucket_are_passed_over(tmp_path: Path) -> None:
    """What a console makes to show a folder is no file; an object with such a name is."""
    _, (entries,), passed = read(a_list(tmp_path, '"b","P1/","0"\n"b","P1/x","1"\n'))
    assert (["P1/x"], 1) == ([entry.path for entry in entries], passed)


@pytest.mark.parametrize("layout", ["CSV", "Parquet"])
@pytest.mark.parametrize("where", ["as in the bucket", "beside it", "in data"])
def test_a_manifest_of_s3_inventory_names_the_files_to_read(
    tmp_path: Path, layout: str, where: str
) -> None:
    """Copied with or without its folders, it leads to its data."""
    key = f"inventories/scans/daily/data/1-2-3.{'csv.gz' if layout == 'CSV' else 'parquet'}"
    manifest = tmp_path / "inventories/scans/daily/2024-05-02T00-00Z/manifest.json"
    manifest.parent.mkdir(parents=True)
    data = {
        "as in the bucket": tmp_path / key,
        "beside it": manifest.parent / Path(key).name,
        "in data": manifest.parent / "data" / Path(key).name,
    }[where]
    data.parent.mkdir(parents=True, exist_ok=True)
    data.write_bytes(gzip.compress(CSV.encode()) if layout == "CSV" else s3_parquet())
    said = {
        "sourceBucket": "scans",
        "destinationBucket": "arn:aws:s3:::reports",
        "version": "2016-11-30",
        "creationTimestamp": "1714608000000",
        "fileFormat": layout,
        "fileSchema": "Bucket, Key, Size, LastModifiedDate, ETag"
        if layout == "CSV"
        else "message s3.inventory { required binary bucket (UTF8); }",
        "files": [{"key": key, "size": data.stat().st_size, "MD5checksum": "x"}],
    }
    manifest.write_text(json.dumps(said, indent=1))
    _, (entries,), _ = read(manifest)
    assert BUCKET == entries


def test_a_manifest_in_a_format_that_is_not_read(tmp_path: Path) -> None:
    """ORC is named, with what to ask for instead."""
    path = a_list(tmp_path, json.dumps({"fileFormat": "ORC", "files": [{"key": "a"}]}))
    with pytest.raises(UsageError, match="ORC: have it written as CSV or Parquet"):
        read(path)


@pytest.mark.parametrize("name", ["list.txt", "list.csv.gz", "list.parquet", "manifest.json"])
def test_a_list_may_lie_in_a_store(tmp_path: Path, name: str) -> None:
    """It is read there, and so are the files that a manifest names."""
    import fsspec

    folder = f"inventory-{tmp_path.name}"
    content = {
        "list.txt": "".join(f"s3://scans/{entry.path}\n" for entry in BUCKET).encode(),
        "list.csv.gz": gzip.compress(CSV.encode()),
        "list.parquet": s3_parquet(),
        "manifest.json": json.dumps(
            {
                "fileFormat": "CSV",
                "fileSchema": "Bucket, Key, Size, LastModifiedDate, ETag",
                "files": [{"key": f"{folder}/data/x.csv.gz"}],
            }
        ).encode(),
    }
    store = fsspec.filesystem("memory")
    store.pipe(f"/{folder}/{name}", content[name])
    store.pipe(f"/{folder}/data/x.csv.gz", gzip.compress(CSV.encode()))
    _, (entries,), _ = read(f"memory://{folder}/{name}")
    assert [entry.path for entry in BUCKET] == [entry.path for entry in entries]
    assert name == "list.txt" or entries == BUCKET


# -- files of this machine -------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["absolute", "relative", "file URLs", "untidy", "crlf", "csv"])
def test_a_text_list_is_as_a_walk(tmp_path: Path, how: str) -> None:
    """Paths, cases, sizes and times are those that listing the source would give."""
    folder = files(tmp_path)
    names = [entry.path for entry in walked(folder)]
    content = {
        "absolute": "".join(f"{folder / name}\n" for name in names),
        "relative": "# comment\n\n" + "\n".join(names),
        "file URLs": "".join(f"{(folder / name).as_uri()}\n" for name in names),
        "untidy": "".join(f"{folder}/./P1/..//{name}\n" for name in names),
        "crlf": "\ufeff" + "".join(f"{name}\r\n" for name in names),
        "csv": "size,path\n" + "".join(f',"{name}"\n' for name in names),
    }
    roots = open_roots([str(folder)])
    found, (entries,), _ = read(a_list(tmp_path, content[how]), roots)
    assert roots == found
    assert walked(folder) == entries


def test_without_a_source_the_folder_of_all_files_is_the_root(tmp_path: Path) -> None:
    """For files of this machine it is the deepest folder that holds them all."""
    folder = files(tmp_path)
    content = "".join(f"{folder}/{entry.path}\n" for entry in walked(folder))
    assert ([Root(str(folder), "in")], [walked(folder)], 0) == read(a_list(tmp_path, content))
    roots, (entries,), _ = read(a_list(tmp_path, f"{folder}/P1/1.dcm\n{folder}/P1/sub/2.dcm\n"))
    assert [Root(str(folder / "P1"), "P1")] == roots
    assert [("1.dcm", "P1"), ("sub/2.dcm", "sub")] == [(e.path, e.case) for e in entries]


def test_without_a_source_every_bucket_is_a_root(tmp_path: Path) -> None:
    """And files of this machine are another."""
    folder = files(tmp_path)
    content = f"s3://b/x\ngs://a/y/z\n{folder}/top.dcm\ns3a://b/a\n"
    roots, entries, _ = read(a_list(tmp_path, content))
    assert [str(folder), "gs://a", "s3://b"] == [root.path for root in roots]
    assert [["top.dcm"], ["y/z"], ["a", "x"]] == [[e.path for e in one] for one in entries]
    assert (None, None, None) == (entries[2][0].size, entries[2][0].modified, entries[2][0].etag)


def test_lines_are_those_of_their_source(tmp_path: Path) -> None:
    """Several sources, one of them a prefix of a bucket, one a file, share a list."""
    folder = files(tmp_path)
    roots = [
        Root(str(folder), "in", ("top.dcm",)),
        Root(str(folder / "P1"), "P1"),
        Root("s3://b/exports", "exports"),
    ]
    content = f"{folder}/P1/1.dcm\n{folder}/top.dcm\ns3://b/exports/P1/x\n"
    _, entries, _ = read(a_list(tmp_path, content), roots)
    assert [["top.dcm"], ["1.dcm"], ["P1/x"]] == [[e.path for e in one] for one in entries]
    assert b"exports/P1/x" == entries[2][0].location
    relative = a_list(tmp_path, "P1/x\n")
    assert entries[2] == read(relative, roots[2:])[1][0]


@pytest.mark.skipif(sys.platform == "win32", reason="links of POSIX")
def test_a_list_may_name_what_a_link_leads_to(tmp_path: Path) -> None:
    """A source that is a link holds what lies in its target."""
    folder = files(tmp_path)
    (tmp_path / "link").symlink_to("in")
    roots = open_roots([str(tmp_path / "link")])
    _, (entries,), _ = read(a_list(tmp_path, f"{folder}/P2/3\n"), roots)
    assert [os.fsencode(tmp_path / "link/P2/3")] == [entry.location for entry in entries]


def test_what_is_listed_and_not_there_is_a_failure(tmp_path: Path) -> None:
    """So is what is no file; what the list says of a file is taken for true."""
    folder = files(tmp_path)
    content = "path,size,last_modified\nnone,,\nP1,,\nP2/3,99,2024-05-01T12:00:00Z\nP2/3/x,,\n"
    _, (entries,), _ = read(a_list(tmp_path, content), open_roots([str(folder)]))
    told = {e.path: (e.kind, e.size, e.modified) for e in entries if e.path != "P1"}
    assert {
        "P2/3": (None, 99, NOON),
        "P2/3/x": (Kind.VANISHED, None, None),
        "none": (Kind.VANISHED, None, None),
    } == told
    assert Kind.NOT_DICOM == next(e.kind for e in entries if e.path == "P1")


def test_outputs_and_what_is_not_wanted_are_left_out(tmp_path: Path) -> None:
    """A catalog among what is listed is one row, as in a walk; a name alone makes none."""
    names = ["P1/a.dcm", "P1/out/.dcmdask/lock", "P1/out/cases/x.dcm", "P1/out2/b.dcm"]
    names += [".imgtools/x/i.dcm", "own/index.dcm", "P1/c.txt", "P2/.dcmdask/y.dcm", "z.dcm"]
    names += [".dcmdask/lock", "@eaDir/e.dcm"]
    for output in ("P1/out", "."):
        folder = tmp_path / output / ".dcmdask"
        folder.mkdir(parents=True)
        (folder / "unfinished.json").write_text('{"reading": "')
    root = Root(str(tmp_path), "in")
    _, (entries,), _ = read(
        a_list(tmp_path, "\n".join(names)),
        [root],
        leave_out=frozenset({os.path.realpath(tmp_path / "own")}),
        wanted=lambda path: path.endswith(".dcm"),
    )
    told = {entry.path: entry.kind == Kind.NOT_ENTERED for entry in entries}
    assert {
        ".dcmdask": True,
        ".imgtools/x/i.dcm": False,
        "@eaDir/e.dcm": False,
        "P1/a.dcm": False,
        "P1/out": True,
        "P1/out2/b.dcm": False,
        "P2/.dcmdask/y.dcm": False,
        "z.dcm": False,
    } == told
    assert len(told) == len(entries)


def test_outputs_in_a_bucket_are_left_out(tmp_path: Path) -> None:
    """By the names of what runs leave, and the output itself by its URL."""
    names = ["in/a.dcm", "in/P/.dcmdask/unfinished.json", "in/P/.dcmdask/x.dcm", "in/out/index.csv"]
    names += ["in/P/catalog-0123456789abcdef/index.csv", "in/outer/b.dcm"]
    _, (entries,), _ = read(
        a_list(tmp_path, "\n".join(f"s3://bucket/{name}" for name in names)),
        leave_out=frozenset({"s3://bucket/in/out"}),
    )
    assert [
        ("in/P", "in", Kind.NOT_ENTERED),
        ("in/P/.dcmdask/x.dcm", "in", None),
        ("in/a.dcm", "in", None),
        ("in/outer/b.dcm", "in", None),
    ] == sorted((entry.path, entry.case, entry.kind) for entry in entries)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow valid text only")
def test_names_that_are_no_text_are_listed(tmp_path: Path) -> None:
    """A list as `find` writes it, bytes as they are."""
    (tmp_path / "in").mkdir()
    name = os.fsencode(tmp_path / "in") + b"/\xff\r"
    with open(name, "wb"):
        pass
    _, (entries,), _ = read(a_list(tmp_path, name + b"\n\n"), open_roots([str(tmp_path / "in")]))
    # The carriage return is taken for the end of a line of another system.
    assert [(name[:-1], "\\xff", Kind.VANISHED)] == [(e.location, e.path, e.kind) for e in entries]


# -- order -----------------------------------------------------------------------------------------


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(
        st.text("abP/ .#\u00e4", min_size=1, max_size=6).filter(lambda text: text.strip("/ .#")),
        max_size=12,
    ),
    seed=st.integers(0, 99),
    held=st.sampled_from([1, 2, 5, 1000]),
)
def test_order_and_duplicates_decide_nothing(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], seed: int, held: int
) -> None:
    """Shuffled, doubled, held or not: the same entries in the same order, each once."""
    folder = tmp_path_factory.mktemp("list")
    rows = [f'"{bucket}","{name.strip("/")}","{len(name)}"\n' for name in names for bucket in "xy"]
    chooser = random.Random(seed)
    doubled = [*rows, *chooser.choices(rows, k=len(rows) // 2)] if rows else []
    chooser.shuffle(doubled)
    path = a_list(folder, "bucket,key,size\n" + "".join(rows))
    expected = read(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inventory, "HELD", held)
        patch.setattr(inventory, "_BATCH", 2)
        found = read(a_list(folder, "bucket,key,size\n" + "".join(doubled)))
    assert expected == found
    paths = [entry.path for entries in found[1] for entry in entries]
    assert 2 * len({name.strip("/") for name in names}) == len(paths)


def test_of_lines_that_disagree_the_latest_counts(tmp_path: Path) -> None:
    """Whichever comes first."""
    rows = ["s3://b/x,5,2024-05-01", "s3://b/x,9,2023-05-01", "s3://b/x,,"]
    for order in (rows, rows[::-1]):
        _, (entries,), _ = read(a_list(tmp_path, "\n".join(["url,size,last_modified", *order])))
        assert [5] == [entry.size for entry in entries]


# -- what is wrong ---------------------------------------------------------------------------------

WRONG = {
    "relative": ("/a\nb/c\n", "line 2: b/c is a relative path: name the one SOURCE"),
    "no object": ("s3://bucket\n", "line 1: s3://bucket names no object"),
    "size": ("url,size\ns3://b/x,1\ns3://b/y,big\n", "line 3: its size is no number of bytes"),
    "negative": ("url,size\ns3://b/x,-1\n", "line 2: its size is no number of bytes"),
    "time": ("# c\n\nurl,last_modified\ns3://b/x,today\n", "line 4: its time is none such as"),
    "flag": ("bucket,key,is_latest\nb,x,maybe\n", "line 2: it says neither true nor false"),
    "no place": ("url,size\n,5\n", "line 2: it names no file"),
    "quoted line end": ('url,size\n"s3://b/\nx",1\ns3://b/y,z\n', "line 4: its size"),
    "columns": ('"a","b","c"\n', "line 1: its columns are not known: give it a header"),
    "zero": ("/a\0b\n", "line 1: it names no file"),
    "gzip": (gzip.compress(CSV.encode() * 99)[:-30], "it is damaged .EOFError."),
    "parquet": (b"PAR1" + bytes(90), "it is damaged .ArrowInvalid."),
    "columns of parquet": (parquet([{"a": 1}]), "none of the columns key, url, location, path"),
    "row of parquet": (parquet([{"url": "s3://b/x", "size": -4}]), "row 1: its size is no number"),
    "manifest": ('{"fileFormat": "CSV", "files": [1]}', "it names no data files"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_understood_is_named(tmp_path: Path, name: str) -> None:
    """One line that says which file, which line, and what to do."""
    content, words = WRONG[name]
    path = a_list(tmp_path, content)
    with pytest.raises(UsageError, match=words) as caught:
        read(path)
    assert str(caught.value).startswith(f"--from-list {path}")


def test_a_line_outside_of_the_sources_is_named(tmp_path: Path) -> None:
    """Also one that leaves its source by a detour, or lies beside a file that is the source."""
    folder = files(tmp_path)
    for source, line in (
        ("in", "../x"),
        ("in", "/x"),
        ("in/P1", f"{folder}/P2/3"),
        ("in", "s3://b/x"),
    ):
        with pytest.raises(UsageError, match=r"line 1: .* lies in no SOURCE: name its SOURCE too"):
            read(a_list(tmp_path, line), open_roots([str(tmp_path / source)]))
    with pytest.raises(UsageError, match=r"line 1: P1/1\.dcm lies in no SOURCE"):
        read(a_list(tmp_path, "P1/1.dcm"), open_roots([str(folder / "top.dcm")]))


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    """The one line says so, of a file and of a key."""
    with pytest.raises(UsageError, match="No such file or directory: name a list of files"):
        read(tmp_path / "none")
    with pytest.raises(UsageError, match="check the URL"):
        read(f"memory://{tmp_path.name}-none/list")


def test_an_empty_list_is_a_crawl_of_nothing(tmp_path: Path) -> None:
    """All that was known is gone then; without a source there is no root."""
    folder = files(tmp_path)
    roots = open_roots([str(folder)])
    assert (roots, [[]], 0) == read(a_list(tmp_path, "\n# nothing\n"), roots)
    assert ([], [], 0) == read(a_list(tmp_path, b""))


def test_many_lines_are_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than so many rows at a time are in memory."""
    monkeypatch.setattr(inventory, "HELD", 100)
    monkeypatch.setattr(lines, "_ROWS", 50)
    path = a_list(tmp_path, "".join(f"s3://b/{number % 777}\n" for number in range(5_000)))
    with closing(Inventory(str(path), [], AS_USUAL)) as found:
        assert 50 == len(found._files)
        assert not found._held
        paths = [entry.path for entry in found.list_root(found.roots[0])]
    assert sorted(map(str, range(777))) == paths
