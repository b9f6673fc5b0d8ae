"""Names of members: whatever bytes they are, every member is an instance under a name that is text."""

from __future__ import annotations

import io
import re
import struct
import tomllib
import warnings
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from source.making import Reading, instance, manifest_of, read_file, read_rows, tar_of, zip_of
from support import examples

from dcmdask.source.archives import zip_directory, zip_names

UTF8 = 0x800
UNIX, WINDOWS = 3, 0


@dataclass(frozen=True)
class Raw:
    """A member of a zip as its bytes have it."""

    name: bytes
    content: bytes
    flags: int = 0
    system: int = UNIX
    extra: bytes = b""
    local_flags: int | None = None
    local_name: bytes | None = None


def raw_zip(members: Iterable[Raw]) -> bytes:
    """Give a zip made by hand: nothing is checked, nothing is made of names."""
    data, entries, count = b"", b"", 0
    for one in members:
        count += 1
        checksum, size = zlib.crc32(one.content), len(one.content)
        sizes = (0, 0, 0, checksum, size, size)
        flags = one.flags if one.local_flags is None else one.local_flags
        name = one.name if one.local_name is None else one.local_name
        entries += struct.pack(
            "<4sBB5H3L5H2L", b"PK\1\2", 20, one.system, 20, one.flags, *sizes[:3],
            checksum, size, size, len(one.name), len(one.extra), 0, 0, 0, 0, len(data),
        ) + one.name + one.extra  # fmt: skip
        data += struct.pack("<4s5H3L2H", b"PK\3\4", 20, flags, *sizes, len(name), 0) + name
        data += one.content
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(entries), len(data), 0)
    return data + entries + end


def unicode_path(raw: bytes, name: bytes, version: int = 1) -> bytes:
    """Give the extra field of Info-ZIP that has a name in UTF-8."""
    data = struct.pack("<BL", version, zlib.crc32(raw)) + name
    return struct.pack("<2H", 0x7075, len(data)) + data


def names_of(reading: Reading) -> list[str]:
    """Give the names of the members that are instances."""
    return [path.partition("!")[2] for path in reading.paths]


def misread(reading: Reading, contents: dict[str, bytes]) -> list[str]:
    """Give the URLs that do not give the bytes of their instance, by SOPInstanceUID."""
    wrong = []
    for row in reading.instances:
        with fsspec.open(row["url"]) as stream:
            if stream.read() != contents[row["SOPInstanceUID"]]:
                wrong.append(row["url"])
    return wrong


def by_uid(members: Iterable[bytes]) -> dict[str, bytes]:
    """Give contents made by `instance`, in order from 1, by SOPInstanceUID."""
    return {f"1.2.3.4.{number}": content for number, content in enumerate(members, 1)}


def check(tmp_path: Path, members: list[Raw]) -> Reading:
    """Read a zip; see that every member is an instance whose URL opens it."""
    reading = read_file(tmp_path / "in", "a.zip", raw_zip(members))
    assert {} == reading.kinds
    assert len(members) == len(reading.instances)
    assert [] == misread(reading, by_uid(one.content for one in members))
    return reading


def test_a_name_that_is_marked_as_utf8_and_is_none_costs_nothing_but_itself(tmp_path: Path) -> None:
    """All members of the zip are there; that one has its bytes in its name."""
    members = [
        Raw("P/Mü.dcm".encode(), instance(1), UTF8),
        Raw(b"P/M\xfc.dcm", instance(2), UTF8),
        Raw(b"P/3.dcm", instance(3)),
    ]
    reading = check(tmp_path, members)
    assert ["P/3.dcm", "P/M\\xfc.dcm", "P/Mü.dcm"] == names_of(reading)


def test_names_that_all_can_be_utf8_are(tmp_path: Path) -> None:
    """So writes macOS, without a mark."""
    names = ["P/Müller.dcm", "P/日本.dcm", "P/plain.dcm"]
    members = [Raw(name.encode(), instance(n)) for n, name in enumerate(names, 1)]
    reading = check(tmp_path, members)
    assert sorted(names) == names_of(reading)
    # As zipfile has it, so that it opens without dcmdask.
    stored = "P/Müller.dcm".encode().decode("cp437")
    assert f"zip://{stored}::file://{tmp_path}/in/a.zip" in {r["url"] for r in reading.instances}


def test_one_name_that_is_no_utf8_says_that_they_are_of_a_code_page(tmp_path: Path) -> None:
    """Then one that could be is none either."""
    members = [Raw(b"M\x81ller.dcm", instance(1)), Raw("ü.dcm".encode(), instance(2))]
    assert sorted(["Müller.dcm", "├╝.dcm"]) == names_of(check(tmp_path, members))


def test_the_field_of_a_name_wins_where_it_is_of_this_name(tmp_path: Path) -> None:
    """Info-ZIP writes it beside a name in a code page; an old one belongs to another name."""
    raw = b"M\x81ller.dcm"
    members = [
        Raw(raw, instance(1), extra=unicode_path(raw, "Müller ☢.dcm".encode())),
        Raw(b"2.dcm", instance(2), extra=unicode_path(b"other", b"wrong.dcm")),
    ]
    assert ["2.dcm", "Müller ☢.dcm"] == names_of(check(tmp_path, members))


@pytest.mark.parametrize(
    "extra",
    [
        unicode_path(b"2.dcm", b"\xff\xfe"),
        unicode_path(b"2.dcm", b"new.dcm", version=9),
        b"\x75\x70\x02\x00ab",
        b"UT\x50\x00abc",
        b"UT",
    ],
    ids=["no UTF-8", "of a later version", "too short", "longer than all", "cut"],
)
def test_an_extra_field_that_is_damaged_costs_no_zip(tmp_path: Path, extra: bytes) -> None:
    """What it says is nothing that is needed."""
    members = [Raw(b"1.dcm", instance(1)), Raw(b"2.dcm", instance(2), extra=extra)]
    assert ["1.dcm", "2.dcm"] == names_of(check(tmp_path, members))


def test_backslashes_of_windows_make_folders(tmp_path: Path) -> None:
    """As PowerShell 5 and old .NET write them; elsewhere a backslash is part of a name."""
    members = [
        Raw(b"P\\CT\\1.dcm", instance(1), system=WINDOWS),
        Raw(b"back\\slash.dcm", instance(2), system=UNIX),
        Raw(b"P/\x95\\.dcm", instance(3), system=WINDOWS),
    ]
    reading = check(tmp_path, members)
    assert ["P/CT/1.dcm", "P/ò\\.dcm", "back\\slash.dcm"] == names_of(reading)
    folders = {
        row["SOPInstanceUID"]: (row["folder"], row["file_name"]) for row in reading.instances
    }
    assert ("in/a.zip!P/CT", "1.dcm") == folders["1.2.3.4.1"]
    urls = {row["SOPInstanceUID"]: row["url"] for row in reading.instances}
    assert f"zip://P\\CT\\1.dcm::file://{tmp_path}/in/a.zip" == urls["1.2.3.4.1"]


def test_an_empty_folder_of_windows_is_no_member(tmp_path: Path) -> None:
    """Its name ends with a backslash."""
    content = raw_zip([Raw(b"P\\empty\\", b"", system=WINDOWS), Raw(b"1", instance(1))])
    reading = read_file(tmp_path / "in", "a.zip", content)
    assert (["1"], {}) == (names_of(reading), reading.kinds)


def test_of_two_members_of_one_name_each_has_a_url_of_its_own(tmp_path: Path) -> None:
    """The last is what its name opens, and what a zip unpacks to; the first is opened where it lies."""
    members = [Raw(b"same.dcm", instance(n)) for n in (1, 2, 3)]
    reading = check(tmp_path, members)
    urls = {row["SOPInstanceUID"]: row["url"] for row in reading.instances}
    where = f"::file://{tmp_path}/in/a.zip"
    assert f"zip://same.dcm{where}" == urls["1.2.3.4.3"]
    assert f"member://000000000000/same.dcm{where}" == urls["1.2.3.4.1"]
    assert 3 == len(set(urls.values()))


def test_names_that_differ_in_their_marks_are_one_name(tmp_path: Path) -> None:
    """Zipfile makes the same text of both, and opens the last."""
    members = [Raw(b"\x81.dcm", instance(1)), Raw("ü.dcm".encode(), instance(2), UTF8)]
    assert 2 == len({row["url"] for row in check(tmp_path, members).instances})


@pytest.mark.parametrize(
    "member",
    [
        Raw("ü.dcm".encode(), instance(1), UTF8, local_flags=0),
        Raw("ü.dcm".encode(), instance(1), 0, local_flags=UTF8),
        Raw(b"\xfc.dcm", instance(1), 0, local_flags=UTF8),
        Raw(b"P/1.dcm", instance(1), local_name=b"P\\1.dcm"),
    ],
)
def test_headers_that_differ_in_how_they_say_a_name_are_of_one_member(
    tmp_path: Path, member: Raw
) -> None:
    """Zipfile takes them for two."""
    content = raw_zip([member])
    reading = read_file(tmp_path / "in", "a.zip", content)
    assert (1, {}) == (len(reading.instances), reading.kinds)


def test_a_header_of_another_name_is_that_of_another_member(tmp_path: Path) -> None:
    """What lies there is not what the directory names."""
    content = raw_zip([Raw(b"1.dcm", instance(1), local_name=b"2.dcm")])
    assert ["corrupt_archive"] == list(read_file(tmp_path / "in", "a.zip", content).kinds.values())


@pytest.mark.parametrize("name", ["a::b.dcm", "/absolute.dcm", "ends:", "zip://x", "::"])
@pytest.mark.parametrize("make", [zip_of, tar_of], ids=["zip", "tar"])
def test_a_name_that_no_url_can_hold_is_opened_by_its_place(
    tmp_path: Path, name: str, make: object
) -> None:
    """Fsspec would split it, or strip it."""
    content = make({name: instance(1), "other": instance(2)})  # type: ignore[operator]
    reading = read_file(tmp_path / "in", "a", content)
    assert 2 == len(reading.instances)
    assert [] == misread(reading, by_uid([instance(1), instance(2)]))


def test_a_member_of_a_compressed_tar_is_opened_by_its_place(tmp_path: Path) -> None:
    """Where the tar is plain or compressed makes no difference, nor whether it lies in a zip."""
    packed = tar_of({"a::b": instance(1), "/c": instance(2)}, "w:xz")
    reading = read_file(tmp_path / "in", "o.zip", zip_of({"n.txz": packed}))
    assert 2 == len(reading.instances)
    assert [] == misread(reading, by_uid([instance(1), instance(2)]))


_NAME = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [b"same", b"P/1.dcm", b"P\\1.dcm", b"a::b", b"/x", b"\xfc", b"a\0b", b"x/", b":"]
    ),
    st.text(max_size=6).map(lambda text: text.encode("utf-8", "surrogatepass")),
)
_MEMBER = st.tuples(
    _NAME,
    st.sampled_from([0, UTF8]),
    st.sampled_from([UNIX, WINDOWS, 10]),
    st.one_of(st.just(b""), st.binary(max_size=12), _NAME.map(lambda n: unicode_path(n, n))),
)


@settings(max_examples=examples(50), suppress_health_check=list(HealthCheck))
@given(st.lists(_MEMBER, min_size=1, max_size=6), st.integers(1, 3))
def test_whatever_the_bytes_of_names_every_member_is_an_instance(
    tmp_path_factory: pytest.TempPathFactory,
    members: list[tuple[bytes, int, int, bytes]],
    pieces: int,
) -> None:
    """Its path is text, its URL opens it and no other, and it is the same however the zip is cut."""
    folder = tmp_path_factory.mktemp("in")
    raws = [
        Raw(name, instance(number), flags, system, extra)
        for number, (name, flags, system, extra) in enumerate(members, 1)
    ]
    (folder / "a.zip").write_bytes(raw_zip(raws))
    name, [row] = manifest_of(folder)
    with warnings.catch_warnings():
        # Of Python 3.12 on, of an empty name in an extra field.
        warnings.simplefilter("ignore", UserWarning)
        whole = read_rows(name, [row])
        cut = read_rows(name, [{**row, "piece": n, "pieces": pieces} for n in range(pieces)])
        assert [] == misread(whole, by_uid(raw.content for raw in raws))
    files = [raw for raw in raws if not raw.name.partition(b"\0")[0].endswith(b"/")]
    damaged = [row for row in whole.failures if row["kind"] == "corrupt_archive"]
    # A name that Python 3.12 takes from an extra field may be that of a folder.
    assert damaged or len(files) >= len(whole.instances) >= len(files) - sum(b"up" in r.extra for r in raws)  # fmt: skip
    assert not [row for row in damaged if "!" not in row["path"]] or any(r.extra for r in raws)
    surrogates = re.compile("[\ud800-\udfff]")
    assert [] == [row["path"] for row in whole.instances if surrogates.search(row["path"])]
    assert sorted((r["path"], r["url"]) for r in whole.instances) == sorted(
        (r["path"], r["url"]) for r in cut.instances
    )


@given(st.lists(_MEMBER, max_size=8))
def test_a_survey_of_entries_says_what_zipfile_would(
    members: list[tuple[bytes, int, int, bytes]],
) -> None:
    """Which zips it opens, and which members their names open."""
    content = raw_zip(Raw(n, b"", flags, system, extra) for n, flags, system, extra in members)
    stop = content.rindex(b"PK\5\6")
    (start,) = struct.unpack_from("<L", content, stop + 16)
    survey = zip_names.Survey()
    if members:
        entries = content[start:stop]
        survey.add(entries, zip_directory._whole_entries(entries))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            archive = zipfile.ZipFile(io.BytesIO(content))
        except (zipfile.BadZipFile, UnicodeDecodeError):
            return
    infos = archive.infolist()
    assert zip_names.naming_of(archive) == survey.naming(0, infos)


@pytest.mark.parametrize("made_by", ["seekable", "sent"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("share", [0.3, 0.75, 0.99])
def test_members_of_a_zip_that_is_cut_off_are_read(
    tmp_path: Path, made_by: str, method: int, share: float
) -> None:
    """Those that are whole, and the zip is a failure that says what to do."""
    contents = [instance(n, ImageComments="x" * 3000) for n in range(1, 11)]
    stream: io.RawIOBase | io.BytesIO = io.BytesIO() if made_by == "seekable" else Sink()
    with zipfile.ZipFile(stream, "w", method) as archive:  # type: ignore[arg-type]
        for number, content in enumerate(contents, 1):
            archive.writestr(f"P/{number}.dcm", content)
        ends = [*[info.header_offset for info in archive.infolist()][1:], archive.start_dir]
    content = stream.getvalue()
    cut = int(len(content) * share)
    reading = read_file(tmp_path / "in", "a.zip", content[:cut])
    assert {"a.zip": "cut off: it has no directory at its end; copy it again"} == reading.messages
    assert sum(end <= cut for end in ends) == len(reading.instances)
    assert [] == misread(reading, by_uid(contents))


class Sink(io.RawIOBase):
    """What cannot seek, so that zipfile writes sizes behind the data."""

    def __init__(self) -> None:
        super().__init__()
        self._content = b""

    def writable(self) -> bool:
        """Tell that it is written."""
        return True

    def write(self, piece: bytes) -> int:
        """Keep some bytes."""
        self._content += bytes(piece)
        return len(piece)

    def getvalue(self) -> bytes:
        """Give all that was written."""
        return self._content


def test_what_is_registered_with_fsspec_is_there() -> None:
    """Each of the protocols is the one of the class that it is registered for."""
    project = Path(__file__).parents[3] / "pyproject.toml"
    declared = tomllib.loads(project.read_text())["project"]["entry-points"]["fsspec.specs"]
    for protocol, where in declared.items():
        module, _, name = where.partition(":")
        assert protocol == getattr(import_module(module), name).protocol
