"""What is there but not whole is named: file, attribute and remedy, whatever the way it was read."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from cli.conftest import Command
from header.windows import element
from support import crawl, encode, published

from dcmdask.catalog.catalog import Catalog
from dcmdask.header.notes import MESSAGES
from dcmdask.tables.schema import NOTES, VERSION
from dcmdask.types import Note

RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"


def slice_of(number: int, **values: object) -> bytes:
    """Give a CT slice of one series."""
    sop = {"SOPInstanceUID": f"1.2.3.4.{number}", "InstanceNumber": number}
    return encode({**sop, **values})


def with_value(content: bytes, keyword_tag: int, vr: str, old: bytes, new: bytes) -> bytes:
    """Put another value of any length in the place of one."""
    return content.replace(element(keyword_tag, vr, old), element(keyword_tag, vr, new))


def bad_kvp(content: bytes) -> bytes:
    """Make KVP, which is read of a series' representative only, a text."""
    return with_value(content, 0x00180060, "DS", b"120 ", b"high")


def write_source(folder: Path) -> Path:
    """Write instances that are not whole, each in another way, among some that are."""
    whole = slice_of(1, KVP="120")
    files = {
        "a/1.dcm": whole,
        "a/2.dcm": bad_kvp(slice_of(2, KVP="120")),
        "b/cut.dcm": (body := encode({"SeriesInstanceUID": "1.2.9"}))[
            : body.index(b"Doe^Jane") + 5
        ],
        "b/date.dcm": with_value(
            slice_of(3, StudyDate="20200101", SeriesInstanceUID="1.2.8"),
            0x00080020,
            "DA",
            b"20200101",
            b"00/00/00",
        ),
        "c/1.dcm": bad_kvp(slice_of(4, KVP="120", SeriesInstanceUID="1.2.7")),
        "c/2.dcm": slice_of(5, KVP="120", SeriesInstanceUID="1.2.7"),
        "d/plan.dcm": encode(
            {"SOPClassUID": RTSTRUCT, "Modality": "RTSTRUCT", "StudyInstanceUID": None}
        ),
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


EXPECTED = [
    ("b/cut.dcm", "cut", "PatientName"),
    ("b/cut.dcm", "unidentified", "SeriesInstanceUID"),
    ("b/cut.dcm", "unidentified", "StudyInstanceUID"),
    ("b/date.dcm", "not_understood", "StudyDate"),
    ("c/1.dcm", "not_understood", "KVP"),
    ("d/plan.dcm", "unidentified", "StudyInstanceUID"),
]


def odd_source(folder: Path) -> Path:
    """Write slices of one patient and series, each written in another odd way."""
    private = element(0x00290010, "LO", b"ACME") + element(0x00291010, "OB", b"x" * 20_000)
    invalid = struct.pack("<HH2sH", 0x0010, 0x0005, b"??", 4) + b"abcd"
    name, rows = b"\x10\0\x10\0PN", b"\x28\0\x10\0US"
    files = {
        "plain": slice_of(1),
        "private": slice_of(2).replace(rows, private + rows),
        "vr": slice_of(3).replace(name, invalid + name),
        "item": slice_of(4).replace(name, b"\xfe\xff\x0d\xe0\0\0\0\0" + name),
        "charset": slice_of(5, SpecificCharacterSet="ISO_IR 100").replace(b"IR 100", b"IR\x00100"),
        "padded": slice_of(6, PatientID=" P1", PatientName="Doe^Jane^^"),
        "nul": slice_of(7, PatientID="P1\0x"),
    }
    folder.mkdir()
    for word, content in files.items():
        (folder / f"{word}.dcm").write_bytes(content)
    return folder


def test_what_was_read_with_a_guess_is_there_and_named(tmp_path: Path, command: Command) -> None:
    """One patient, one series, nothing null; each guess has its file, and a line in the summary."""
    done = command("run", odd_source(tmp_path / "in"), "--out", tmp_path / "out", "--desensitize")
    assert "7 instances in 1 series, 1 study, 1 patient; 1 case" in done.out
    assert (
        "read although not as the standard has it: NUL in a text 1, unknown character set 1, "
        "invalid VR 1, stray delimiter 1, out of order 1\n"
    ) in done.out
    catalog = Catalog(tmp_path / "out")
    assert [
        ("charset.dcm", "character_set", "SpecificCharacterSet"),
        ("item.dcm", "stray_delimiter", None),
        ("nul.dcm", "nul_in_text", "PatientID"),
        ("private.dcm", "out_of_order", "Rows"),
        ("vr.dcm", "invalid_vr", None),
    ] == said(catalog)
    rows = catalog.instances.to_table().to_pylist()
    words = ("PatientID", "PatientName", "SeriesInstanceUID", "Rows", "Columns")
    assert {("P1", "hash:ff37cfdaa95116a3", "1.2.3.3", 4, 4)} == {
        tuple(row[word] for word in words) for row in rows
    }
    assert b"\0" not in b"".join(published(tmp_path / "out")[name] for name in ("index.csv",))


def said(catalog: Catalog) -> list[tuple[str, str, str | None]]:
    """Give path, note and attribute of all notes."""
    rows = catalog.notes.to_pylist()
    return [(row["path"], row["note"], row["attribute"]) for row in rows]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the source once."""
    return write_source(tmp_path_factory.mktemp("notes") / "in")


@pytest.fixture(scope="module")
def catalog(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Crawl it once."""
    return crawl(source, tmp_path_factory.mktemp("notes") / "out")


def test_each_thing_is_a_row(catalog: Catalog) -> None:
    """File, attribute and words stand in the table; a whole instance does not.

    Of what is read of a representative only, that of another instance of its series says nothing.
    """
    assert EXPECTED == said(catalog)
    rows = catalog.notes.to_pylist()
    assert {MESSAGES[Note(row["note"])] for row in rows} == {row["message"] for row in rows}
    assert "1.2.3.4.3" == next(r["SOPInstanceUID"] for r in rows if r["path"] == "b/date.dcm")


def test_the_table_is_declared(catalog: Catalog) -> None:
    """Its columns are those of the schema, whose version is written in the file."""
    schema = pq.read_schema(Path(catalog.out) / "notes.parquet")
    assert NOTES == schema.remove_metadata()
    assert str(VERSION).encode() == schema.metadata[b"dcmdask.schema_version"]


def test_counts_are_those_of_the_table(catalog: Catalog) -> None:
    """catalog.json counts the rows of each kind, and the instances that have some."""
    counts = catalog.run["counts"]
    assert {"cut": 1, "not_understood": 2, "unidentified": 3} == counts["notes"]
    assert {"cut": 1, "not_understood": 2, "unidentified": 2} == counts["noted"]


def test_every_note_has_words() -> None:
    """No kind of note is without what is said of it."""
    assert set(Note) == set(MESSAGES)


@pytest.mark.parametrize("size", [1, 3])
def test_notes_do_not_depend_on_partitions(
    source: Path, catalog: Catalog, tmp_path: Path, size: int
) -> None:
    """However files are cut into tasks, the table has the same bytes."""
    other = crawl(source, tmp_path / "out", partition_size=size)
    assert published(Path(catalog.out)) == published(Path(other.out))
    for name in ("notes", "noted"):
        assert catalog.run["counts"][name] == other.run["counts"][name]


def test_notes_follow_their_files(source: Path, tmp_path: Path) -> None:
    """What is known is carried on; what is gone or mended leaves no note; a new representative's come."""
    held = tmp_path / "in"
    shutil.copytree(source, held)
    crawl(held, tmp_path / "out", partition_size=3)
    (held / "a/1.dcm").unlink()
    (held / "b/cut.dcm").unlink()
    (held / "b/date.dcm").write_bytes(slice_of(3, SeriesInstanceUID="1.2.8"))
    after = crawl(held, tmp_path / "out", partition_size=3)
    expected = [("a/2.dcm", "not_understood", "KVP"), *EXPECTED[4:]]
    assert expected == said(after)
    fresh = crawl(held, tmp_path / "fresh")
    assert published(tmp_path / "out") == published(tmp_path / "fresh")
    assert fresh.run["counts"]["notes"] == after.run["counts"]["notes"]


def test_the_command_names_files_attributes_and_remedies(
    catalog: Catalog, command: Command
) -> None:
    """``failures --notes`` groups them; ``failures`` says that they are there."""
    done = command("failures", catalog.out, "--notes")
    assert 0 == done.code
    lines = done.out.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("not_understood: 2"))
    assert [
        "  attributes: KVP 1, StudyDate 1",
        "  b/date.dcm: StudyDate",
        "  c/1.dcm: KVP",
    ] == lines[start + 1 : start + 4]
    only = command("failures", catalog.out, "--kind", "cut").out.splitlines()
    assert "cut: 1 instance" == only[0].partition(",")[0]
    assert ["  attributes: PatientName 1", "  b/cut.dcm: PatientName"] == only[1:]
    plain = command("failures", catalog.out).out.splitlines()
    assert ["nothing failed"] == plain[:1]
    assert "(--notes shows them)" in plain[1]


def test_a_clean_crawl_has_no_notes(tmp_path: Path, command: Command) -> None:
    """The table is there and empty, and nothing points to it."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.dcm").write_bytes(encode())
    done = command("run", tmp_path / "in", "--out", tmp_path / "out")
    assert "note:" not in done.out
    assert "--notes" not in done.out
    assert 0 == Catalog(tmp_path / "out").notes.num_rows
    assert ["no notes"] == command("failures", tmp_path / "out", "--notes").out.splitlines()
