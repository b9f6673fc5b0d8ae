"""Take a folder and a size; write headers that lie, nest, repeat or inflate."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from hostile.blocks import (
    DEFLATED,
    IMPLICIT,
    ITEM,
    UNDEFINED,
    body,
    element,
    endless_header,
    items,
    nested,
    part10,
    runs,
    zeros,
)

_WANTED, _UNWANTED = 0x00081115, 0x00400275
"""A sequence that describing follows, and one that nobody asks for."""

_LENGTHS = (0xFFFFFFFF, 0xFFFFFFFE, 0x80000000, 0x7FFFFFFF, 0x7FFFFFFE, 0x10001, 0xFFFF, 3, 1)
_LONG_TEXT = b"9" * 60_000


def write_lengths(folder: Path, _size: int) -> None:
    """Write headers with one length that lies, in every kind of place."""
    for length in _LENGTHS:
        item = element(_WANTED, b"SQ", ITEM + struct.pack("<L", length), 8)
        contents = {
            "unwanted": body({0x00091001: element(0x00091001, b"UN", b"abcd", length)}),
            "sequence": body({_WANTED: element(_WANTED, b"SQ", b"", length)}),
            "item": body({_WANTED: item}),
            "wanted": body({0x00081030: element(0x00081030, b"UT", b"abcd", length)}),
            "short": body({0x00100010: element(0x00100010, b"PN", b"Doe^", length & 0xFFFF)}),
            "first": element(0x00080005, b"UN", b"abcd", length) + body(),
            "pixels": body() + element(0x7FE00010, b"OW", b"", length),
        }
        for name, dataset in contents.items():
            (folder / f"{name} {length:x}.dcm").write_bytes(part10(dataset))
        tags = {0x00100010: element(0x00100010, b"PN", b"Doe^", length, implicit=True)}
        content = part10(body(tags, implicit=True), IMPLICIT)
        (folder / f"implicit {length:x}.dcm").write_bytes(content)


def write_group_lengths(folder: Path, _size: int) -> None:
    """Write headers whose meta group says another length than it has."""
    for length in (0, 1, 7, 200, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF):
        (folder / f"{length:x}.dcm").write_bytes(part10(body(), group_length=length))


def write_deep(folder: Path, size: int) -> None:
    """Write sequences nested so deep, of both kinds of length, wanted and not."""
    for word, tag in (("wanted", _WANTED), ("unwanted", _UNWANTED), ("private", 0x00091010)):
        for how, undefined in (("open", True), ("closed", False)):
            for implicit in (False, True):
                deep = nested(tag, size, undefined=undefined, implicit=implicit)
                content = body({tag: deep}, implicit=implicit)
                name = f"{word} {how}{' implicit' * implicit}.dcm"
                (folder / name).write_bytes(
                    part10(content, IMPLICIT if implicit else b"1.2.840.10008.1.2.1")
                )


def write_items(folder: Path, size: int) -> None:
    """Write sequences of so many empty items, wanted and not."""
    for word, tag in (("wanted", _WANTED), ("unwanted", _UNWANTED)):
        (folder / f"{word}.dcm").write_bytes(part10(body({tag: items(tag, b"", size)})))
    tag = _WANTED
    content = ITEM + bytes(4)
    closed = element(tag, b"SQ", content * size)
    (folder / "closed.dcm").write_bytes(part10(body({tag: closed})))


def write_elements(folder: Path, size: int) -> None:
    """Write a header of so many private elements of two bytes."""
    one = element(0x00091001, b"US", b"\1\0")
    with (folder / "private.dcm").open("wb") as file:
        file.write(part10(element(0x00080016, b"UI", b"1.2\0")))
        for piece in runs(one, size):
            file.write(piece)
        file.write(element(0x00100020, b"LO", b"P1"))


def write_values(folder: Path, size: int) -> None:
    """Write values that are too long: text of so many bytes, numbers and UIDs of 60 kB."""
    text = b"A" * size
    long = {
        "description UT": element(0x00081030, b"UT", text),
        "description UN": element(0x00081030, b"UN", text),
        "charset UN": element(0x00080005, b"UN", text),
        "manufacturer UT": element(0x00080070, b"UT", text),
        "spacing": element(0x00280030, b"DS", _LONG_TEXT),
        "spacing many": element(0x00280030, b"DS", b"1\\" * 30_000),
        "number": element(0x00200011, b"IS", _LONG_TEXT),
        "uid": element(0x0020000E, b"UI", b"1." * 30_000),
        "names": element(0x00100010, b"PN", b"a^" * 30_000),
        "name parts": element(0x00100010, b"PN", b"a=" * 30_000),
        "charset": element(0x00080005, b"CS", b"ISO 2022 IR 87\\" * 4_000),
        "date": element(0x00080020, b"DA", _LONG_TEXT),
        "age": element(0x00101010, b"AS", _LONG_TEXT),
        "type": element(0x00080008, b"CS", b"A\\" * 30_000),
        "frames": element(0x00280008, b"IS", b"2147483648"),
    }
    for name, one in long.items():
        tag = int.from_bytes(one[:2], "little") << 16 | int.from_bytes(one[2:4], "little")
        (folder / f"{name}.dcm").write_bytes(part10(body({tag: one})))
    one = element(0x00081030, b"LO", text, implicit=True)
    content = part10(body({0x00081030: one}, implicit=True), IMPLICIT)
    (folder / "description implicit.dcm").write_bytes(content)


def write_frames(folder: Path, size: int) -> None:
    """Write per-frame groups of so many frames, and a number of frames that no file has."""
    frame = element(0x00209113, b"SQ", ITEM + struct.pack("<L", 0), 8)
    enhanced = {
        0x00080016: element(0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.66.4"),
        0x00080060: element(0x00080060, b"CS", b"SEG "),
        0x00280008: element(0x00280008, b"IS", b"2147483647"),
        0x52009230: items(0x52009230, frame, size),
    }
    (folder / "frames.dcm").write_bytes(part10(body(enhanced)))
    one = element(0x52009229, b"SQ", ITEM + struct.pack("<L", UNDEFINED) + frame * 2, UNDEFINED)
    (folder / "cut.dcm").write_bytes(part10(body({**enhanced, 0x52009229: one, 0x52009230: b""})))


def write_deflated(folder: Path, size: int) -> None:
    """Write deflated datasets that inflate to so many MiB before they say who they are, or are cut."""
    head = element(0x00080016, b"UI", b"1.2\0") + element(0x00080018, b"UI", b"1.2.3.4.1\0")
    bombs = {
        "value": head + element(0x00090010, b"UN", b"", 0xFFFFFFF0),
        "elements": head,
        "wanted": head + element(0x00081030, b"UT", b"", 0xFFFFFFF0),
        "items": head + element(_WANTED, b"SQ", b"", UNDEFINED),
    }
    for name, begin in bombs.items():
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        start = packer.compress(begin) + packer.flush(zlib.Z_FULL_FLUSH)
        (folder / f"{name}.dcm").write_bytes(part10(start + zeros("deflate", size), DEFLATED))
    whole = zlib.compressobj(9, zlib.DEFLATED, -15)
    content = whole.compress(body()) + whole.flush()
    (folder / "cut.dcm").write_bytes(part10(content[: len(content) // 2], DEFLATED))
    (folder / "rubbish.dcm").write_bytes(part10(b"\xff" * 1000, DEFLATED))


def write_contours(folder: Path, size: int) -> None:
    """Write a structure set that names nothing before its so many contours."""
    contour = element(0x30060042, b"CS", b"CLOSED_PLANAR ") + element(
        0x30060050, b"DS", b"1\\2\\3 "
    )
    region = items(0x30060040, contour, size)
    holder = ITEM + struct.pack("<L", UNDEFINED) + region + b"\xfe\xff\x0d\xe0\0\0\0\0"
    content = {
        0x00080016: element(0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.481.3\0"),
        0x00080060: element(0x00080060, b"CS", b"RTSTRUCT"),
        0x00280010: b"",
        0x00280011: b"",
        0x30060039: element(0x30060039, b"SQ", holder + b"\xfe\xff\xdd\xe0\0\0\0\0", UNDEFINED),
    }
    (folder / "contours.dcm").write_bytes(part10(body(content)))


def write_content(folder: Path, size: int) -> None:
    """Write structured reports whose content is nested so deep, or so wide."""
    report = {
        0x00080016: element(0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.88.33"),
        0x00080060: element(0x00080060, b"CS", b"SR"),
        0x00280010: b"",
        0x00280011: b"",
    }
    contents = {
        "open": nested(0x0040A730, size, undefined=True),
        "closed": nested(0x0040A730, size, undefined=False),
        "wide": items(0x0040A730, element(0x0040A010, b"CS", b"CONTAINS"), size * 10),
    }
    for name, content in contents.items():
        (folder / f"{name}.dcm").write_bytes(part10(body({**report, 0x0040A730: content})))


def write_endless(folder: Path, size: int) -> None:
    """Write a sparse file of so many MiB whose header claims 4 GiB before it says who it is."""
    with (folder / "endless.dcm").open("wb") as file:
        file.write(endless_header())
        file.truncate(size << 20)
