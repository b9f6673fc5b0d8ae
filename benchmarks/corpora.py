"""Take a kind of corpus and how many files; write them, in folders or in zips.

No file is encoded by pydicom: one template a series or a real file is, and every further file is its
bytes with others of the same length put in. Pixel data are a hole at the end of the file, which
takes no room; in zips they are noise that deflates to some 200 kB, as those of a scanner do, or, in
the small ones, are not there.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import random
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
)

from dcmdask.header.reader import quiet_pydicom
from dcmdask.synthetic import write_synthetic

KINDS: Final = ("ge", "plain", "real")
SLICES: Final = 200
"""Files of a series."""

SAMPLES: Final = Path(__file__).parent.parent.parent / "shared" / "data"
"""Where real files are looked for unless told otherwise."""

_MATRIX: Final = 512
SMALL_MATRIX: Final = 192
"""Rows and columns of a slice that deflates to less than 32 kB."""

LARGE_MATRIX: Final = 520
"""Of one that deflates to more than 200 kB."""

_VENDOR_ELEMENTS: Final = 100
_STUDY_SERIES: Final = 5
"""Series of a study in the small zips."""

_MOST_MEMBERS: Final = 0xFFFF
"""Of a zip whose directory is of the plain form."""

_TAIL_KEPT: Final = 64
"""Bytes kept from PixelData on: its tag and length."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """What was written.

    Attributes
    ----------
    kind : str
        One of `KINDS`, or "small".
    folder : pathlib.Path
        Holds the files and nothing else.
    instances : int
        Files, or members of its zips.
    bytes : int
        Their sizes, summed.
    """

    kind: str
    folder: Path
    instances: int
    bytes: int

    def __str__(self) -> str:
        each = self.bytes // max(1, self.instances)
        return f"{self.kind}, {self.instances:,} files of {each:,} bytes"


def add_options(parser: argparse.ArgumentParser, *, files: int, kinds: Sequence[str]) -> None:
    """Add the options that say which corpus, how large, and where."""
    parser.add_argument("--files", type=int, default=files, help=f"default {files:,}")
    parser.add_argument("--corpus", choices=kinds, default=kinds[0], help=f"default {kinds[0]}")
    add_folder(parser)
    if "real" in kinds:
        parser.add_argument(
            "--samples", type=Path, default=SAMPLES, help="real files that `real` multiplies"
        )


def add_folder(parser: argparse.ArgumentParser) -> None:
    """Add the option that says where."""
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary folder")


def write_corpus(arguments: argparse.Namespace, folder: Path, files: int | None = None) -> Corpus:
    """Write the corpus that the options of `add_options` ask for, or so many files of it."""
    kind = arguments.corpus
    if files is None:
        files = arguments.files
    if kind == "plain":
        return write_plain(folder, files)
    if kind == "ge":
        return write_ge(folder, files)
    return write_real(folder, files, arguments.samples)


def write_plain(folder: Path, files: int) -> Corpus:
    """Write synthetic CT files of about 170 elements, 100 of them private.

    Whole series only: the count is that of the files asked for, rounded down.
    """
    slices = min(SLICES, files)
    made = write_synthetic(
        folder,
        patients=files // slices,
        slices=slices,
        modalities=("CT",),
        vendor_elements=_VENDOR_ELEMENTS,
    )
    for path in list(folder.rglob("*")):
        # Some have other names, or names without an end: Med-ImageTools would not look at them.
        if path.is_file() and path.suffix != ".dcm":
            path.rename(path.with_name(f"{path.name}.dcm"))
    return Corpus("plain", folder, made.files, made.bytes)


def write_ge(folder: Path, files: int) -> Corpus:
    """Write CT files of 530 kB with the header of pydicom's `CT_small.dcm`, a scanner of GE's.

    Some 250 elements at top level, many of them private; a patient a series of 200 files.
    """
    template = _GeTemplate(_MATRIX)
    size = 0
    for name, head in template.heads(files):
        size += _write_with_hole(folder / name, head, len(head) + _pixel_bytes(_MATRIX))
    return Corpus("ge", folder, files, size)


def write_real(folder: Path, files: int, samples: Path) -> Corpus:
    """Write real files, in whole copies of the folder that holds them until there are enough.

    A copy has the same objects under UIDs of its own, references included. Files that pydicom does
    not read, or whose UID does not stand in their bytes (deflated ones), are left out. Stops in the
    middle of a copy where the count is reached.
    """
    originals = list(_read_originals(samples))
    if not originals:
        raise SystemExit(f"no DICOM file below {samples}: give a folder of some with --samples")
    known = frozenset(uid for original in originals for uid in original.uids)
    cut = [original.cut_at(known) for original in originals]
    size = 0
    for number in range(files):
        copy, which = divmod(number, len(originals))
        original = originals[which]
        content = _with_new_uids(cut[which], copy)
        path = folder / f"copy-{copy:05d}" / original.name
        size += _write_with_hole(path, content, original.size)
    return Corpus("real", folder, files, size)


def write_ge_zips(folder: Path, members: int, matrix: int = _MATRIX) -> Corpus:
    """Write the GE corpus as deflated zips, one a patient, with noise for pixel data.

    A member takes some 200 kB of its zip; with a matrix of `SMALL_MATRIX` some 30 kB.
    """
    template = _GeTemplate(matrix)
    noise = [_Noise.draw(seed, matrix) for seed in range(4)]
    archive: _Zip | None = None
    for number, (name, head) in enumerate(template.heads(members)):
        patient, _, member = name.partition("/")
        if number % SLICES == 0:
            if archive is not None:
                archive.close()
            archive = _Zip(folder / f"{patient}.zip")
        assert archive is not None
        archive.add(member, head, noise[number % len(noise)])
    if archive is not None:
        archive.close()
    size = sum(path.stat().st_size for path in folder.iterdir())
    return Corpus("ge", folder, members, size)


def write_small_zips(folder: Path, zips: int, members: int) -> Corpus:
    """Write zips of many small members: headers of CT slices, without pixels.

    A zip is a patient: 200 slices a series, 5 series a study, each with UIDs of its own. A member
    takes some 680 bytes of its zip, of which 100 are names and places; one core writes some 40,000 a
    second.

    Raises
    ------
    SystemExit
        There are more members than a zip can have.
    """
    if members > _MOST_MEMBERS:
        raise SystemExit(f"a zip has at most {_MOST_MEMBERS:,} members: ask for more zips")
    template = _SmallTemplate()
    size = 0
    for number in range(zips):
        path = folder / f"SMALL-{number:06d}.zip"
        archive = _Zip(path)
        for position, head in enumerate(template.heads(number, members)):
            series, slice_ = divmod(position, SLICES)
            # One call with the fastest level: most of the time goes into setting zlib up.
            packed = zlib.compress(head, 1, -zlib.MAX_WBITS)
            name = f"{series + 1:03d}/{slice_ + 1:06d}.dcm"
            archive.add_packed(name, [packed], zlib.crc32(head), len(head))
        archive.close()
        size += path.stat().st_size
    return Corpus("small", folder, zips * members, size)


def _write_with_hole(path: Path, content: bytes, size: int) -> int:
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.write(content)
        file.truncate(max(size, len(content)))
    return max(size, len(content))


class _GeTemplate:
    """The header of a GE CT slice up to its pixels, with places for what differs."""

    _PATIENT = "GE-888888"
    _INSTANCE = "777777"
    _HEIGHT = "-66666.50"
    # 39 digits, as a UUID gives: the first says what it is of, the last ten which one.
    _UID = "2.25.{kind}0000000000000000000000000000{number}"
    _KINDS: Final = (
        ("StudyInstanceUID", "1"),
        ("SeriesInstanceUID", "2"),
        ("FrameOfReferenceUID", "3"),
        ("SOPInstanceUID", "4"),
    )
    _NUMBER = "5555555555"

    def __init__(self, matrix: int) -> None:
        dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
        for word, kind in self._KINDS:
            setattr(dataset, word, self._UID.format(kind=kind, number=self._NUMBER))
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.PatientID = self._PATIENT
        dataset.InstanceNumber = self._INSTANCE
        dataset.ImagePositionPatient = ["-158.135803", "-179.035797", self._HEIGHT]
        dataset.Rows = dataset.Columns = matrix
        dataset.PixelData = bytes(_pixel_bytes(matrix))
        del dataset[0xFFFCFFFC]
        stream = io.BytesIO()
        dataset.save_as(stream)
        self._head = stream.getvalue()[: -_pixel_bytes(matrix)]
        tokens = [self._uid(kind, self._NUMBER) for _, kind in self._KINDS]
        tokens += [self._PATIENT.encode(), self._INSTANCE.encode(), self._HEIGHT.encode()]
        self._split = re.compile(b"(" + b"|".join(map(re.escape, tokens)) + b")")

    def _uid(self, kind: str, number: str) -> bytes:
        return self._UID.format(kind=kind, number=number).encode()

    def heads(self, files: int) -> Iterator[tuple[str, bytes]]:
        """Give name and header, pixel data's length included, of so many files."""
        pieces = self._split.split(self._head)
        for number in range(files):
            series, position = divmod(number, SLICES)
            values = {
                self._uid(kind, self._NUMBER): self._uid(
                    kind, f"{number if word == 'SOPInstanceUID' else series:010d}"
                )
                for word, kind in self._KINDS
            }
            values[self._PATIENT.encode()] = b"GE-%06d" % series
            values[self._INSTANCE.encode()] = b"%06d" % (position + 1)
            values[self._HEIGHT.encode()] = b"%09.2f" % (position * 2.5 - 250)
            head = b"".join(values.get(piece, piece) for piece in pieces)
            yield f"GE-{series:06d}/{position + 1:06d}.dcm", head


Block = npt.NDArray[np.uint8]


class _SmallTemplate:
    """The header of a CT slice without pixels, with places for what differs.

    All headers of a zip are one array, a row each: what differs is put in by column.
    """

    _PATIENT = "SMALL-888888"
    _SERIES = "4444"
    _INSTANCE = "777777"
    _HEIGHT = "-66666.50"
    # 38 digits: the first says what it is of, the last twenty which one.
    _UID = "2.25.{kind}00000000000000000{number}"
    _NUMBER = "55555555555555555555"
    _KINDS: Final = (
        ("StudyInstanceUID", "1"),
        ("SeriesInstanceUID", "2"),
        ("FrameOfReferenceUID", "3"),
        ("SOPInstanceUID", "4"),
    )

    # Odd: times this, modulo 2^64, no two numbers become one, and neighbours are far apart. UIDs in
    # the order of the files would be sorted already.
    _SCATTER = np.uint64(0x9E3779B97F4A7C15)

    def __init__(self) -> None:
        dataset = self._dataset()
        stream = io.BytesIO()
        dataset.save_as(stream, enforce_file_format=True)
        self._head = np.frombuffer(stream.getvalue(), np.uint8)
        heights = b"".join(b"%09.2f" % (place * 2.5 - 250) for place in range(SLICES))
        self._heights = np.frombuffer(heights, np.uint8).reshape(SLICES, -1)

    def heads(self, number: int, members: int) -> Iterator[bytes]:
        """Give the headers of so many slices of the patient of a zip."""
        block = np.tile(self._head, (members, 1))
        position = np.arange(members, dtype=np.uint64)
        series, place = np.divmod(position, np.uint64(SLICES))
        patient = np.full(members, number, np.uint64)
        all_series = -(-members // SLICES)
        all_studies = -(-all_series // _STUDY_SERIES)
        study = patient * np.uint64(all_studies) + series // np.uint64(_STUDY_SERIES)
        which = {
            "StudyInstanceUID": study,
            "SeriesInstanceUID": patient * np.uint64(all_series) + series,
            "FrameOfReferenceUID": study,
            "SOPInstanceUID": patient * np.uint64(members) + position,
        }
        for word, kind in self._KINDS:
            scattered = _digits(which[word] * self._SCATTER, len(self._NUMBER))
            self._put(block, self._uid(kind), scattered)
        self._put(block, self._PATIENT, _digits(patient, 6))
        self._put(block, self._SERIES, _digits(series + np.uint64(1), len(self._SERIES)))
        self._put(block, self._INSTANCE, _digits(place + np.uint64(1), len(self._INSTANCE)))
        self._put(block, self._HEIGHT, self._heights[place])
        return (row.tobytes() for row in block)

    def _put(self, block: Block, token: str, values: Block) -> None:
        """Put values where a token ends, wherever it stands."""
        for found in re.finditer(re.escape(token).encode(), self._head.tobytes()):
            block[:, found.end() - values.shape[1] : found.end()] = values

    def _uid(self, kind: str) -> str:
        return self._UID.format(kind=kind, number=self._NUMBER)

    def _dataset(self) -> Dataset:
        dataset = Dataset()
        for word, value in _SMALL_HEADER.items():
            setattr(dataset, word, value)
        for word, kind in self._KINDS:
            setattr(dataset, word, self._uid(kind))
        dataset.PatientID = self._PATIENT
        dataset.SeriesNumber = self._SERIES
        dataset.InstanceNumber = self._INSTANCE
        dataset.ImagePositionPatient = ["-158.135803", "-179.035797", self._HEIGHT]
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        return dataset


_SMALL_HEADER: Final = {
    "SpecificCharacterSet": "ISO_IR 100",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "SOPClassUID": CTImageStorage,
    "StudyDate": "20200229",
    "SeriesDate": "20200229",
    "StudyTime": "101500",
    "AccessionNumber": "A-4711",
    "Modality": "CT",
    "Manufacturer": "Benchmark",
    "StudyDescription": "Thorax and abdomen",
    "SeriesDescription": "Thorax 2.5 mm",
    "ManufacturerModelName": "Small",
    "PatientName": "Small^Header",
    "PatientBirthDate": "19500101",
    "PatientSex": "O",
    "BodyPartExamined": "CHEST",
    "SliceThickness": "2.5",
    "KVP": "120",
    "ConvolutionKernel": "STANDARD",
    "PatientPosition": "HFS",
    "StudyID": "1",
    "AcquisitionNumber": "1",
    "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "Rows": _MATRIX,
    "Columns": _MATRIX,
    "PixelSpacing": ["0.661468", "0.661468"],
    "BitsAllocated": 16,
    "RescaleIntercept": "-1024",
    "RescaleSlope": "1",
}


def _digits(numbers: npt.NDArray[np.uint64], width: int) -> Block:
    """Give the last so many decimal digits of numbers, as ASCII: a row each."""
    powers = np.uint64(10) ** np.arange(width - 1, -1, -1, dtype=np.uint64)
    return (numbers[:, None] // powers % np.uint64(10) + np.uint64(48)).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class _Original:
    """One real file, up to its pixel data.

    Attributes
    ----------
    name : str
        Path in the folder of samples.
    head : bytes
        What its copies begin with.
    size : int
        Bytes of the file.
    uids : tuple of bytes
        Of its study, series and instance, as far as there.
    """

    name: str
    head: bytes
    size: int
    uids: tuple[bytes, ...]

    def cut_at(self, known: frozenset[bytes]) -> list[bytes]:
        """Split the head at every known UID: other bytes at even, UIDs at odd places."""
        spans = []
        for run in re.finditer(rb"[0-9.]{8,65}", self.head):
            text = run.group()
            # The byte behind a UID may be the first of the next tag, and look like a digit.
            uid = next((some for some in (text, text[:-1]) if some in known), None)
            if uid is not None:
                spans += [run.start(), run.start() + len(uid)]
        ends = [0, *spans, len(self.head)]
        return [self.head[begin:end] for begin, end in pairwise(ends)]


def _read_originals(samples: Path) -> Iterator[_Original]:
    for path in sorted(path for path in samples.rglob("*") if path.is_file()):
        original = None
        # Whatever pydicom has to say of it: it is no sample.
        with suppress(Exception), quiet_pydicom():
            original = _read_original(path, path.relative_to(samples).as_posix())
        if original is not None:
            yield original


def _read_original(path: Path, name: str) -> _Original | None:
    """Read one file; None if its UID cannot be replaced."""
    words = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    with path.open("rb") as file:
        dataset = pydicom.dcmread(file, stop_before_pixels=True)
        end = file.tell() + _TAIL_KEPT
        file.seek(0)
        head = file.read(end)
    uids = tuple(str(dataset.get(word) or "").encode() for word in words)
    deflated = dataset.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
    if deflated or not uids[-1] or uids[-1] not in head:
        return None
    return _Original(name, head, path.stat().st_size, tuple(filter(None, uids)))


def _with_new_uids(pieces: Sequence[bytes], copy: int) -> bytes:
    """Put a head together, with the UIDs of a copy at the odd places."""
    return b"".join(
        _new_uid(piece, copy) if number % 2 else piece for number, piece in enumerate(pieces)
    )


def _new_uid(uid: bytes, copy: int) -> bytes:
    """Give the UID that stands for another in a copy: as long, with dots at the same places.

    The first two components stay as they are: which they may be is laid down.
    """
    if copy == 0:
        return uid
    root, _, rest = uid.partition(b".")
    second, _, rest = rest.partition(b".")
    digits = str(int(hashlib.sha256(b"%d %s" % (copy, uid)).hexdigest(), 16)).encode().zfill(78)
    drawn = iter(digits)
    fresh = b".".join(
        # A component begins with no zero, unless it is one.
        bytes(48 + (next(drawn) % 9 + 1 if at == 0 else next(drawn) % 10) for at in range(len(old)))
        for old in rest.split(b".")
    )
    return b".".join((root, second, fresh))


@dataclass(frozen=True, slots=True)
class _Noise:
    """Pixels as a scanner's are to a compressor, and what they deflate to."""

    plain: bytes
    deflated: bytes

    @classmethod
    def draw(cls, seed: int, matrix: int) -> _Noise:
        """Draw pixels of four bits and a half, which deflate to some three eighths."""
        generator = random.Random(seed)  # noqa: S311 (noise)
        low = generator.choices(range(24), k=matrix * matrix)
        plain = struct.pack(f"<{len(low)}H", *low)
        return cls(plain, _deflate(plain, zlib.Z_FINISH))


def _pixel_bytes(matrix: int) -> int:
    return matrix * matrix * 2


def _deflate(content: bytes, ending: int) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush(ending)


class _Zip:
    """A zip of members that were deflated before.

    `zipfile` would deflate the pixels of every member anew, which would take most of a benchmark's
    time, and takes longer for the directory's entry of a small member than zlib for its content.
    """

    _LOCAL = struct.Struct("<4s5H3I2H")
    _CENTRAL = struct.Struct("<4s6H3I5H2I")
    _END = struct.Struct("<4s4H2IH")
    _VERSION = 20
    _DEFLATED = 8
    _TIME, _DAY = 0, 33  # 1980-01-01

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        self._entries: list[bytes] = []

    def add(self, name: str, head: bytes, noise: _Noise) -> None:
        """Add a member of a header and pixels.

        A stream that is flushed in full goes on with any other: both are deflated apart.
        """
        packed = _deflate(head, zlib.Z_FULL_FLUSH)
        crc = zlib.crc32(noise.plain, zlib.crc32(head))
        self.add_packed(name, [packed, noise.deflated], crc, len(head) + len(noise.plain))

    def add_packed(self, name: str, packed: Sequence[bytes], crc: int, size: int) -> None:
        """Add a member whose content, of this CRC and size, was deflated."""
        facts = (
            self._DEFLATED,
            self._TIME,
            self._DAY,
            crc,
            sum(map(len, packed)),
            size,
            len(name),
            0,
        )
        at = self._file.tell()
        # After the versions, no flags; after the facts, nothing special.
        self._entries.append(
            self._CENTRAL.pack(b"PK\1\2", self._VERSION, self._VERSION, 0, *facts, 0, 0, 0, 0, at)
            + name.encode()
        )
        local = self._LOCAL.pack(b"PK\3\4", self._VERSION, 0, *facts)
        self._file.writelines((local, name.encode(), *packed))

    def close(self) -> None:
        """Write the directory."""
        at = self._file.tell()
        directory = b"".join(self._entries)
        count = len(self._entries)
        end = self._END.pack(b"PK\5\6", 0, 0, count, count, len(directory), at, 0)
        self._file.writelines((directory, end))
        self._file.close()
