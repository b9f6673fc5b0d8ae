"""Bad input from end to end: nothing ends a run, everything is a row, and no message names a patient."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import random
import struct
import sys
import tarfile
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from source.making import instance, read_folder, tar_of, zip_of
from support import crawl

from dcmdask.cli.main import main
from dcmdask.types import Kind

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="links and special files of POSIX")
NAME, ID = "Zyxwvut^Qponm", "ID-83715"
WHO = {"PatientName": NAME, "PatientID": ID}
SECRETS = ("Zyxwvut", "Qponm", "83715")


def _element(tag: tuple[int, int], vr: bytes, value: bytes, length: int | None = None) -> bytes:
    size = len(value) if length is None else length
    if vr in (b"SQ", b"OB", b"OW", b"UN", b"UT"):
        return struct.pack("<HH2sHL", *tag, vr, 0, size) + value
    return struct.pack("<HH2sH", *tag, vr, size) + value


def _odd_headers() -> dict[str, bytes]:
    """Give headers that say who the patient is and are wrong somewhere."""
    good = instance(1, **WHO)
    deep = Dataset()
    for _ in range(100):
        outer = Dataset()
        outer.ReferencedSeriesSequence = Sequence([deep])
        deep = outer
    odd = {
        "no prefix": good[132:],
        "cut in the name": good[: good.index(b"Zyx") + 4],
        "cut behind the name": good[: good.index(b"Zyx") + 20],
        "cut in the last element": good[:-3],
        "wrong VR": good.replace(b"\x10\x00\x10\x00PN", b"\x10\x00\x10\x00XX"),
        "number for a name": good.replace(b"\x10\x00\x10\x00PN", b"\x10\x00\x10\x00DS"),
        "date for a name": good.replace(b"\x10\x00\x10\x00PN", b"\x10\x00\x10\x00DA"),
        "sequence for a name": good.replace(b"\x10\x00\x10\x00PN", b"\x10\x00\x10\x00SQ"),
        "tag for a name": good.replace(b"\x10\x00\x10\x00PN", b"\x10\x00\x10\x00AT"),
        "length beyond the end": good.replace(b"PN\x0e\x00", b"PN\xff\xff"),
        "name in the rows": good + _element((0x0028, 0x0030), b"DS", NAME.encode() + b" "),
        "name in an integer": good + _element((0x0028, 0x0008), b"IS", NAME.encode() + b" "),
        "name in a date": instance(2, **WHO).replace(b"P1", b"P1")
        + _element((0x0040, 0x0244), b"DA", NAME.encode() + b" "),
        "unknown charset": _with_charset(good, b"NO_SUCH_SET "),
        "charset of a name": _with_charset(good, NAME.encode() + b" "),
        "name as transfer syntax": good.replace(
            b"1.2.840.10008.1.2.1\0", NAME.encode() + b"\0" * 7
        ),
        "deep sequences": instance(3, **WHO, ReferencedStudySequence=Sequence([deep])),
        "name in the text": NAME.encode() * 50,
        "name behind zeros": bytes(200) + NAME.encode() * 50,
    }
    generator = random.Random(7)
    for number in range(60):
        changed = bytearray(good)
        for _ in range(generator.choice((1, 2, 8))):
            changed[generator.randrange(128, len(changed))] = generator.randrange(256)
        odd[f"changed {number}"] = bytes(changed)
    return odd


def _with_charset(content: bytes, charset: bytes) -> bytes:
    at = content.index(b"\x08\x00\x16\x00UI")
    return content[:at] + _element((0x0008, 0x0005), b"CS", charset) + content[at:]


def _odd_files() -> dict[str, bytes]:
    """Give files that are wrong as files."""
    good = instance(5, **WHO)
    return {
        "empty": b"",
        "one byte": b"D",
        "zeros": bytes(100_000),
        "only a prefix": bytes(128) + b"DICM",
        "preamble": bytes(132),
        "text": f"the patient {NAME}\n".encode(),
        "._apple.dcm": b"\x00\x05\x16\x07" + bytes(80),
        "cut.zip": zip_of({"a": good})[:-30],
        "no.zip": NAME.encode() * 9,
        "cut.tar": tar_of({"a": good, "b": good})[:1500],
        "cut.tar.gz": tar_of({"a": good, "b": os.urandom(5000)}, "w:gz")[:-3000],
        "cut.gz": gzip.compress(good)[:-20],
        "cut.bz2": bz2.compress(good)[:-20],
        "a.7z": b"7z\xbc\xaf\x27\x1c" + NAME.encode(),
        "nested.zip": zip_of({"a.zip": zip_of({"b.zip": zip_of({"c": good})})}),
        "secret.zip": _encrypted(zip_of({NAME: good})),
    }


def _encrypted(archive: bytes) -> bytes:
    changed = bytearray(archive)
    changed[6] |= 1
    changed[archive.index(b"PK\x01\x02") + 8] |= 1
    return bytes(changed)


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """Give a folder of bad input, with three good files among it."""
    for case, files in (("headers", _odd_headers()), ("files", _odd_files())):
        (tmp_path / "in" / case).mkdir(parents=True)
        for name, content in files.items():
            (tmp_path / "in" / case / name).write_bytes(content)
    (tmp_path / "in" / "good").mkdir()
    for number in range(3):
        (tmp_path / "in" / "good" / f"{number}").write_bytes(instance(100 + number))
    (tmp_path / "in" / "packed.zip").write_bytes(zip_of(_odd_headers()))
    (tmp_path / "in" / "packed.tar").write_bytes(tar_of(_odd_headers()))
    return tmp_path / "in"


def test_bad_input_ends_no_run(bad: Path, tmp_path: Path) -> None:
    """Whatever lies there, the good files are instances, and every file has its outcome."""
    catalog = crawl(bad, tmp_path / "out", partition_size=30)
    counts = catalog.run["counts"]
    assert counts["listed"] == catalog.instances.count_rows() + catalog.failures.num_rows
    assert 3 == sum(case == "good" for case in catalog.instances.to_table()["case"].to_pylist())
    kinds = {row["path"]: row["kind"] for row in catalog.failures.to_pylist()}
    assert Kind.UNEXPECTED not in kinds.values()
    assert {
        "files/._apple.dcm": "not_dicom",
        "files/a.7z": "unread_archive",
        "files/cut.bz2": "corrupt_archive",
        "files/cut.gz": "corrupt_archive",
        "files/cut.tar": "corrupt_archive",
        "files/cut.tar.gz": "corrupt_archive",
        "files/cut.zip": "corrupt_archive",
        "files/empty": "not_dicom",
        "files/nested.zip!a.zip!b.zip": "too_large",
        "files/no.zip": "corrupt_archive",
        "files/one byte": "not_dicom",
        "files/only a prefix": "truncated",
        "files/preamble": "not_dicom",
        f"files/secret.zip!{NAME}": "encrypted_archive",
        "files/text": "not_dicom",
        "files/zeros": "not_dicom",
    } == {
        path: kind
        for path, kind in kinds.items()
        if path.startswith("files/") and "tar!" not in path
    }


def test_packed_or_not_bad_headers_come_to_the_same(bad: Path) -> None:
    """A header in an archive is judged as one in a folder."""
    reading = read_folder(bad)
    outcomes: dict[str, set[tuple[str, str]]] = {
        "headers/": set(),
        "packed.zip!": set(),
        "packed.tar!": set(),
    }
    rows = [(row["path"], "instance") for row in reading.instances]
    for path, outcome in (*rows, *reading.kinds.items()):
        for begin, found in outcomes.items():
            if path.startswith(begin):
                found.add((path.removeprefix(begin), outcome))
    assert len(_odd_headers()) == len(outcomes["headers/"])
    assert outcomes["headers/"] == outcomes["packed.zip!"] == outcomes["packed.tar!"]


@POSIX
def test_what_a_run_says_names_no_patient(
    bad: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Neither on the terminal, nor in the log, nor in messages, nor in the catalog file."""
    (bad / "files" / "secret.zip").unlink()
    args = ["run", str(bad), "--out", str(tmp_path / "out"), "--log-file", str(tmp_path / "log")]
    monkeypatch.setattr(sys, "argv", ["dcmdask", *args, "--partition-size", "40"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert 0 == caught.value.code
    printed = capfd.readouterr()
    texts = {
        "stdout": printed.out,
        "stderr": printed.err,
        "log": (tmp_path / "log").read_text(),
        "catalog.json": (tmp_path / "out" / "catalog.json").read_text(),
    }
    from dcmdask import open_catalog

    texts["messages"] = "\n".join(open_catalog(tmp_path / "out").failures["message"].to_pylist())
    for place, text in texts.items():
        assert text
        assert not [secret for secret in SECRETS if secret in text], place


def test_what_is_said_of_a_header_names_no_patient(
    bad: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Read in this process, no library warns, logs or prints a value."""
    caplog.set_level(0)
    reading = read_folder(bad)
    printed = capfd.readouterr()
    text = printed.out + printed.err + caplog.text + "\n".join(reading.messages.values())
    assert not [secret for secret in SECRETS if secret in text]


def test_with_desensitize_no_output_holds_a_name(tmp_path: Path) -> None:
    """No table and no file holds the name, however its header was damaged."""
    (tmp_path / "in2").mkdir()
    for name in ("no prefix", "cut in the last element", "cut behind the name", "unknown charset"):
        (tmp_path / "in2" / name).write_bytes(_odd_headers()[name])
    crawl(tmp_path / "in2", tmp_path / "out", desensitize=True, export_json=True, merge_all=True)
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"Zyxwvut" not in content, path


@POSIX
@pytest.mark.timeout(60)
def test_special_files_and_links_end_no_run(tmp_path: Path) -> None:
    """A FIFO, loops, broken links, and an output in the source."""
    folder = tmp_path / "in" / "P1"
    folder.mkdir(parents=True)
    (folder / "a").write_bytes(instance())
    os.mkfifo(folder / "fifo")
    (folder / "null").symlink_to("/dev/null")
    (folder / "loop").symlink_to(tmp_path / "in")
    (folder / "self").symlink_to("self")
    (folder / "broken").symlink_to("nothing")
    for _ in range(2):
        catalog = crawl(tmp_path / "in", folder / "out")
        assert ["P1/a"] == catalog.instances.to_table()["path"].to_pylist()
        kinds = {row["path"]: row["kind"] for row in catalog.failures.to_pylist()}
        assert {
            "P1/broken": "vanished",
            "P1/fifo": "not_dicom",
            "P1/null": "not_entered",
            "P1/self": "vanished",
        } == kinds


def test_a_file_that_grows_into_an_archive_bomb_is_a_row(tmp_path: Path) -> None:
    """A tar.gz of a member of a gigabyte costs time, not memory, and its neighbours are read."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as archive:
        for name, size in (("bomb", 1 << 28), ("after", 0)):
            info = tarfile.TarInfo(name)
            content = instance() if name == "after" else b""
            info.size = size or len(content)
            archive.addfile(info, _Zeros(size) if size else io.BytesIO(content))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.tgz").write_bytes(stream.getvalue())
    reading = read_folder(tmp_path / "in")
    assert (["a.tgz!after"], {"a.tgz!bomb": "not_dicom"}) == (reading.paths, reading.kinds)


class _Zeros(io.RawIOBase):
    """So many zeros."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._left = size

    def read(self, count: int = -1) -> bytes:
        given = self._left if count < 0 else min(count, self._left)
        self._left -= given
        return bytes(given)
