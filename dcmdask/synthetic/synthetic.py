"""Takes a size and a seed; gives a linked synthetic DICOM data set, as folders or as archives.

Every patient has one study of up to eight series that refer to each other as a hospital's do:
RTDOSE to RTPLAN to RTSTRUCT to CT, SEG to MR, SR to SEG, PT and CT by their frame of reference. The
same arguments give the same bytes, on any day and in any process.

It is fast because pydicom encodes each *kind* of instance once a call. All that differs between two
instances of a kind has a fixed width, so every further one is the template with bytes replaced.
Two means serve:

- *fields*, at offsets that pydicom's own reader gives: name, position, instance number, pixels;
- *tokens*, wherever they stand, also deep in sequences: the 24 digits that all UIDs of a patient
  share, and the date of the study. So every reference of an object follows its patient.

One core writes 24,000 CT files of 10 kB a second to ext4, and 30,000 to a file system in memory.
For some minutes after many files were deleted, ext4 makes new ones ten times slower: measure on a
disk where nothing was just cleared away.
"""

import gzip
import hashlib
import io
import math
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from itertools import chain, count, pairwise, zip_longest
from pathlib import Path
from types import MappingProxyType
from typing import IO, Final, TypeAlias

from pydicom.datadict import keyword_for_tag, private_dictionary_VM, private_dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import (
    UID,
    ComprehensiveSRStorage,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    RTDoseStorage,
    RTPlanStorage,
    RTStructureSetStorage,
    SegmentationStorage,
)

__all__ = ["MODALITIES", "Synthesis", "write_synthetic"]

MODALITIES: tuple[str, ...] = ("CT", "PT", "MR", "SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "SR")

_SYNTAXES: Final = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
_SLICED: Final = ("CT", "PT", "MR")
"""The modalities of one instance a slice; the others have one instance a series."""

_NEEDS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "SEG": ("MR", "CT"),
        "RTSTRUCT": ("CT",),
        "RTPLAN": ("RTSTRUCT",),
        "RTDOSE": ("RTPLAN",),
        "SR": ("SEG", "CT"),
    }
)
"""What a modality refers to: the first of these that is written."""

_SOP_CLASSES: Final[Mapping[str, UID]] = MappingProxyType(
    {
        "CT": CTImageStorage,
        "PT": PositronEmissionTomographyImageStorage,
        "MR": MRImageStorage,
        "SEG": SegmentationStorage,
        "RTSTRUCT": RTStructureSetStorage,
        "RTPLAN": RTPlanStorage,
        "RTDOSE": RTDoseStorage,
        "SR": ComprehensiveSRStorage,
    }
)
_MAX_SLICES: Final = 65_535
"""ImageIndex and NumberOfSlices of PT are 16 bits wide."""
_MAX_MATRIX: Final = 4_096
_DESCRIBED: Final = 50
"""At most so many slices are contoured, and so many frames segmented: files stay small."""
_REPORT_EVERY: Final = 256

_Values: TypeAlias = Mapping[str, object]
"""Keywords and values of a dataset; a list of mappings is a sequence."""
_Member: TypeAlias = tuple[str, bytes]
"""Name, with slashes, and content."""
_Report: TypeAlias = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Synthesis:
    """What was written."""

    patients: int
    studies: int
    series: int
    instances: int
    files: int
    """Files that lie in `out`; an archive is one."""
    bytes: int
    """Their sizes, summed."""


def write_synthetic(
    out: Path,
    *,
    patients: int = 3,
    slices: int = 20,
    seed: int = 0,
    archives: str = "none",
    modalities: Sequence[str] = MODALITIES,
    matrix: int = 64,
    transfer_syntax: str = ExplicitVRLittleEndian,
    vendor_elements: int = 0,
    report: _Report | None = None,
) -> Synthesis:
    """Write a linked synthetic data set below `out`, the same bytes for the same arguments.

    Parameters
    ----------
    out
        A folder that is empty or does not exist yet.
    patients
        How many patients, of one study each.
    slices
        How many instances each CT, PT and MR series has.
    seed
        Another seed gives other UIDs, dates, ages and scanner settings.
    archives
        ``"none"`` for a folder a patient; ``"zip"``, ``"tar"`` or ``"tar.gz"`` for an archive a
        patient, with the same objects as members.
    modalities
        Which of `MODALITIES` to write. RTSTRUCT needs CT, RTPLAN needs RTSTRUCT, RTDOSE needs
        RTPLAN, SEG needs MR or CT, SR needs SEG or CT.
    matrix
        Rows, and columns, of CT, PT, MR and SEG.
    transfer_syntax
        The UID of explicit or implicit VR little endian, explicit VR big endian, or deflated.
    vendor_elements
        How many private elements each CT and MR slice has besides, in the groups and with the
        creators a scanner of GE writes; the elements that reserve the blocks come on top.
    report
        Called now and then, and at the end, with the number of instances written so far.

    Returns
    -------
    Synthesis
        How much was written.

    Raises
    ------
    ValueError
        An argument that cannot be served; the message says what to write instead.
    """
    out = Path(out)
    _check_sizes(patients, slices, matrix, vendor_elements)
    _check_choices(archives, modalities, transfer_syntax)
    _check_out(out)
    plan = _Plan(
        patients=patients,
        slices=slices,
        seed=seed,
        modalities=tuple(modality for modality in MODALITIES if modality in modalities),
        matrix=matrix,
        syntax=UID(transfer_syntax),
        vendor_elements=vendor_elements,
    )
    out.mkdir(parents=True, exist_ok=True)
    files, size = _write_patients(out, plan, archives, report or (lambda _: None))
    return Synthesis(
        patients=patients,
        studies=patients,
        series=patients * len(plan.modalities),
        instances=plan.instances(),
        files=files,
        bytes=size,
    )


# Arguments


def _check_sizes(patients: int, slices: int, matrix: int, vendor_elements: int) -> None:
    limits = (
        ("patients", patients, 1, 10**9),
        ("slices", slices, 1, _MAX_SLICES),
        ("matrix", matrix, 1, _MAX_MATRIX),
        ("vendor_elements", vendor_elements, 0, _max_vendor_elements()),
    )
    for name, value, least, most in limits:
        if not least <= value <= most:
            message = f"{name} is {value}: write a number from {least} to {most}"
            raise ValueError(message)


def _check_choices(archives: str, modalities: Sequence[str], transfer_syntax: str) -> None:
    if archives not in _ARCHIVES:
        message = f"archives is {archives!r}: write one of {', '.join(_ARCHIVES)}"
        raise ValueError(message)
    if transfer_syntax not in _SYNTAXES:
        known = ", ".join(f"{syntax} ({syntax.name})" for syntax in _SYNTAXES)
        message = f"transfer_syntax is {transfer_syntax!r}: write one of {known}"
        raise ValueError(message)
    if isinstance(modalities, str) or not modalities:
        message = f"modalities is {modalities!r}: write a list of some of {', '.join(MODALITIES)}"
        raise ValueError(message)
    for modality in modalities:
        _check_modality(modality, modalities)


def _check_modality(modality: str, modalities: Sequence[str]) -> None:
    if modality not in MODALITIES:
        message = f"modality {modality!r} is unknown: write some of {', '.join(MODALITIES)}"
        raise ValueError(message)
    needs = _NEEDS.get(modality, ())
    if needs and not any(need in modalities for need in needs):
        message = f"{modality} refers to {' or '.join(needs)}: add {needs[0]} to modalities"
        raise ValueError(message)


def _check_out(out: Path) -> None:
    if out.exists() and not out.is_dir():
        message = f"out is a file, {out}: write the name of a new or an empty folder"
        raise ValueError(message)
    if out.exists() and any(out.iterdir()):
        message = f"out is not empty, {out}: write the name of a new or an empty folder"
        raise ValueError(message)


# Patients


_TOKEN: Final = "908172635405142332415069"  # noqa: S105  no secret
"""24 digits that stand for the patient in all UIDs of a template."""
_DATE: Final = "19000228"
"""Stands for the date of the study in a template; no real date here is as old."""


@dataclass(frozen=True, slots=True)
class _Patient:
    """One patient, and the choices made for the study."""

    number: int
    token: str
    """24 digits in all UIDs, drawn from seed and number."""
    study_date: str
    fields: Mapping[str, str]
    """Keyword to value; elements at the top of every object."""
    choice: int
    """Picks among `_VARIED`."""


def _draw(seed: int, number: int, what: str, below: int) -> int:
    """Draw one of 0 to `below` - 1, the same in every process and version of Python."""
    digest = hashlib.sha256(f"dcmdask {seed} {number} {what}".encode()).digest()
    return int.from_bytes(digest, "big") % below


def _make_patient(plan: "_Plan", number: int) -> _Patient:
    """Draw patient `number`, counted from 1."""

    def draw(what: str, below: int) -> int:
        return _draw(plan.seed, number, what, below)

    study = date(2012, 1, 2) + timedelta(days=draw("study", 12 * 365))
    birth = study - timedelta(days=19 * 366 + draw("birth", 66 * 365))
    age = study.year - birth.year - ((study.month, study.day) < (birth.month, birth.day))
    fields = {
        "PatientName": f"Synthetic^Patient {plan.digits(number)}",
        "PatientID": f"SYN-{plan.digits(number)}",
        "PatientBirthDate": f"{birth:%Y%m%d}",
        "PatientSex": "FM"[draw("sex", 2)],
        "PatientAge": f"{age:03d}Y",
        "PatientSize": f"1.{50 + draw('size', 45)}",
        "PatientWeight": f"{45 + draw('weight', 65)}.{draw('tenths', 10)}",
        "AccessionNumber": f"A{draw('accession', 10**9):09d}",
        "StudyID": f"{1000 + draw('study id', 9000)}",
    }
    return _Patient(
        number=number,
        token=f"{draw('token', 10**24):024d}",
        study_date=f"{study:%Y%m%d}",
        fields=fields,
        choice=draw("choice", 12),
    )


def _widest_fields(plan: "_Plan") -> dict[str, str]:
    """Give values as wide as `_make_patient` may draw, for the template."""
    return {
        "PatientName": f"Synthetic^Patient {plan.digits(0)}",
        "PatientID": f"SYN-{plan.digits(0)}",
        "PatientBirthDate": "19010101",
        "PatientSex": "O",
        "PatientAge": "000Y",
        "PatientSize": "0.00",
        "PatientWeight": "000.0",
        "AccessionNumber": "A000000000",
        "StudyID": "0000",
    }


_STUDY: Final = 1
_DIMENSIONS: Final = 2
_VENDOR: Final = 3
_FRAMES: Final = 10
_SERIES: Final = 100
_INSTANCES: Final = 200
"""Kinds of things that have a UID; frames, series and instances add the place in MODALITIES."""


def _uid(kind: int, number: int = 0, token: str = _TOKEN) -> str:
    """Give a UID of 44 characters, an even number, which needs no padding (PS3.5, 9.1 and B.2).

    What follows ``2.25.`` is one number below 2**128, as a UUID is: 39 digits, the first is 1.
    """
    return f"2.25.1{token}{kind:04d}{number:010d}"


def _instance_kind(modality: str) -> int:
    return _INSTANCES + MODALITIES.index(modality)


# What is written for all patients alike


@dataclass(frozen=True, slots=True)
class _Geometry:
    """Where the slices of a modality lie."""

    field_of_view: float
    """mm"""
    first: int
    """z of the first slice, µm"""
    spacing: int
    """from a slice to the next, µm"""

    def z(self, number: int) -> str:
        """Give the z of slice `number`, counted from 1, in mm."""
        return f"{(self.first + (number - 1) * self.spacing) / 1000:.3f}"

    def place(self, matrix: int, z: str) -> str:
        """Give ImagePositionPatient, the middle of the first pixel, of a slice at `z`."""
        corner = (self.field_of_view / matrix - self.field_of_view) / 2
        return f"{corner:.3f}\\{corner:.3f}\\{z}"

    def pixel_spacing(self, matrix: int) -> list[str]:
        """Give PixelSpacing in mm."""
        return [f"{self.field_of_view / matrix:.6g}"] * 2

    def step(self) -> str:
        """Give the spacing in mm."""
        return f"{self.spacing / 1000:.3f}"


_GEOMETRY: Final[Mapping[str, _Geometry]] = MappingProxyType(
    {
        "CT": _Geometry(field_of_view=500.0, first=-500_000, spacing=2_500),
        "PT": _Geometry(field_of_view=700.0, first=-500_000, spacing=3_270),
        "MR": _Geometry(field_of_view=240.0, first=-60_000, spacing=3_000),
    }
)
_AXIAL: Final = "1\\0\\0\\0\\1\\0"


@dataclass(frozen=True, slots=True)
class _Plan:
    """The arguments, checked, and what follows from them for the template of every kind."""

    patients: int
    slices: int
    seed: int
    modalities: tuple[str, ...]
    matrix: int
    syntax: UID
    vendor_elements: int

    def digits(self, number: int) -> str:
        """Give a patient's number as text of one width for all patients."""
        return f"{number:0{max(4, len(str(self.patients)))}d}"

    def count(self, modality: str) -> int:
        """Give how many instances a series of `modality` has."""
        return self.slices if modality in _SLICED else 1

    def target(self, modality: str) -> str:
        """Give the modality that `modality` refers to."""
        return next(need for need in _NEEDS[modality] if need in self.modalities)

    def instances(self) -> int:
        """Give how many instances are written in all."""
        return self.patients * sum(self.count(modality) for modality in self.modalities)

    def references(self, modality: str) -> list[_Values]:
        """Give the items that refer to all instances of `modality`."""
        return [_reference(modality, number + 1) for number in range(self.count(modality))]

    def middle(self, most: int) -> range:
        """Give the numbers of at most `most` slices in the middle."""
        kept = min(self.slices, most)
        first = (self.slices - kept) // 2 + 1
        return range(first, first + kept)

    def pack(self, letter: str, values: Sequence[int]) -> bytes:
        """Give numbers as bytes in the byte order of the transfer syntax; as `struct.pack`."""
        order = "<" if self.syntax.is_little_endian else ">"
        return struct.pack(f"{order}{len(values)}{letter}", *values)


def _series_uid(modality: str) -> str:
    return _uid(_SERIES + MODALITIES.index(modality))


def _frame_uid(modality: str) -> str:
    """Give the FrameOfReferenceUID: MR has its own, PT shares that of CT."""
    return _uid(_FRAMES + MODALITIES.index("MR" if modality == "MR" else "CT"))


def _reference(modality: str, number: int = 1) -> _Values:
    """Give the item that refers to instance `number` of `modality`."""
    return {
        "ReferencedSOPClassUID": _SOP_CLASSES[modality],
        "ReferencedSOPInstanceUID": _uid(_instance_kind(modality), number),
    }


# Templates


@dataclass(frozen=True, slots=True)
class _Template:
    """A file of one kind of instance, and where its fields stand."""

    file: bytes
    """Preamble, file meta information and dataset, never deflated."""
    dataset_at: int
    fields: Mapping[str, slice]
    """Keyword to the place of the value in `file`, padding included."""


def _make_template(plan: _Plan, modality: str) -> _Template:
    """Encode one instance of `modality` with pydicom."""
    dataset = _make_dataset({**_common(plan, modality), **_BUILDERS[modality](plan)})
    if modality in _VENDOR_MODALITIES:
        _add_vendor_elements(dataset, plan.vendor_elements)
    _leave_lengths_undefined(dataset)
    meta = _encode_meta(_SOP_CLASSES[modality], _uid(_instance_kind(modality)), plan.syntax)
    body = DicomBytesIO()
    body.is_implicit_VR = plan.syntax.is_implicit_VR
    body.is_little_endian = plan.syntax.is_little_endian
    write_dataset(body, dataset)
    return _Template(
        file=meta + body.getvalue(),
        dataset_at=len(meta),
        fields=_find_fields(meta, body.getvalue(), plan.syntax),
    )


def _make_dataset(values: _Values) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, _make_value(value))
    return dataset


def _make_value(value: object) -> object:
    if isinstance(value, list):
        return [_make_dataset(item) if isinstance(item, Mapping) else item for item in value]
    return value


_UNDEFINED: Final = ("BeamSequence", "PerFrameFunctionalGroupsSequence", "ROIContourSequence")
"""Written with undefined lengths, as many writers do: a reader cannot jump over these."""


def _leave_lengths_undefined(dataset: Dataset) -> None:
    for keyword in _UNDEFINED:
        if keyword in dataset:
            dataset[keyword].is_undefined_length = True
            for item in dataset[keyword].value:
                item.is_undefined_length_sequence_item = True


_IMPLEMENTATION_UID: Final = "2.25.190446044310846735219530612290451926370"


def _encode_meta(sop_class: UID, sop_instance: str, syntax: UID) -> bytes:
    """Give preamble and file meta information (PS3.10, 7.1)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = UID(sop_instance)
    meta.TransferSyntaxUID = syntax
    # Not pydicom's, which name its version: the bytes shall outlive it.
    meta.ImplementationClassUID = UID(_IMPLEMENTATION_UID)
    meta.ImplementationVersionName = "DCMDASK_SYNTH"
    encoded = DicomBytesIO()
    write_file_meta_info(encoded, meta)
    return bytes(128) + b"DICM" + encoded.getvalue()


_UIDS: Final = ("MediaStorageSOPInstanceUID", "SOPInstanceUID")


def _find_fields(meta: bytes, body: bytes, syntax: UID) -> dict[str, slice]:
    """Give the places in ``meta + body`` of the file meta's UID and of all elements at the top."""
    dataset = read_dataset(io.BytesIO(body), syntax.is_implicit_VR, syntax.is_little_endian)
    at = meta.index(_TOKEN.encode()) - len("2.25.1")
    fields = {_UIDS[0]: slice(at, at + len(_uid(0)))}
    for tag in tuple(dataset.keys()):
        raw: object = dataset.get_item(tag)
        if isinstance(raw, RawDataElement):
            start = len(meta) + raw.value_tell
            fields[keyword_for_tag(tag)] = slice(start, start + raw.length)
    return fields


# From templates to files


@dataclass(frozen=True, slots=True)
class _Kind:
    """One modality: its template, and what each instance of a series puts into it."""

    modality: str
    template: _Template
    slices: Sequence[Mapping[str, bytes]]
    """For each instance: keyword to value, as wide as the field; the same for all patients."""


def _make_kind(plan: _Plan, modality: str) -> _Kind:
    template = _make_template(plan, modality)
    slices: list[Mapping[str, bytes]] = [{}]
    if modality in _SLICED:
        pixels = _make_pixels(plan, modality)
        slices = [
            {
                **_fit_all(template, _slice_fields(plan, modality, number)),
                **({"ImageIndex": plan.pack("H", [number])} if modality == "PT" else {}),
                "PixelData": pixels[number % len(pixels)],
            }
            for number in range(1, plan.slices + 1)
        ]
    return _Kind(modality, template, slices)


def _slice_fields(plan: _Plan, modality: str, number: int) -> dict[str, str]:
    """Give the text fields in which slice `number` differs from its neighbours."""
    geometry = _GEOMETRY[modality]
    minutes, seconds = divmod(number % 3600, 60)
    fields = {
        "InstanceNumber": f"{number}",
        "ImagePositionPatient": geometry.place(plan.matrix, geometry.z(number)),
        "SliceLocation": geometry.z(number),
        "ContentTime": f"10{minutes:02d}{seconds:02d}",
    }
    if modality == "CT":
        # As a scanner modulates it along the body.
        fields["XRayTubeCurrent"] = f"{200 + round(60 * math.sin(number / 9))}"
    return fields


def _fit_all(template: _Template, values: Mapping[str, str]) -> dict[str, bytes]:
    return {keyword: _fit(value, template.fields[keyword]) for keyword, value in values.items()}


def _fit(value: str, place: slice) -> bytes:
    """Pad a value with spaces to the width of its field (PS3.5, 6.2)."""
    width = place.stop - place.start
    if len(value) > width:
        message = f"{value!r} is wider than its field of {width} bytes in the template"
        raise AssertionError(message)
    return value.encode("ascii").ljust(width)


def _write_patients(out: Path, plan: _Plan, archives: str, report: _Report) -> tuple[int, int]:
    """Write every patient; give how many files, and how many bytes."""
    kinds = [_make_kind(plan, modality) for modality in plan.modalities]
    written = count(1)
    files = size = 0
    for number in range(1, plan.patients + 1):
        patient = _make_patient(plan, number)
        members = _tell(_make_members(kinds, patient, plan.syntax), written, report)
        base = out / patient.fields["PatientID"]
        more_files, more_size = _ARCHIVES[archives](base, members)
        files += more_files
        size += more_size
    report(plan.instances())
    return files, size


def _tell(members: Iterable[_Member], written: Iterator[int], report: _Report) -> Iterator[_Member]:
    """Pass members on, and report now and then how many have been taken."""
    for member in members:
        yield member
        done = next(written)
        if done % _REPORT_EVERY == 0:
            report(done)


def _make_members(kinds: Iterable[_Kind], patient: _Patient, syntax: UID) -> Iterator[_Member]:
    """Give name and bytes of every file of a patient."""
    # Names decide nothing, and every second patient's do not even look like DICOM.
    pattern = "{0}/{0}-{1:04d}.dcm" if patient.number % 2 else "{0}/IM{1:04d}"
    for kind in kinds:
        template = _dress(kind, patient)
        files = _make_files(kind, template, patient.token)
        for number, file in enumerate(files, start=1):
            body = _deflate(file, template.dataset_at) if syntax.is_deflated else file
            yield pattern.format(kind.modality, number), body


def _dress(kind: _Kind, patient: _Patient) -> _Template:
    """Give the template of a kind with everything of one patient in it."""
    template = kind.template
    # The date before the token, whose digits could look like it; drawn values after both.
    file = bytearray(template.file).replace(_DATE.encode(), patient.study_date.encode())
    file = file.replace(_TOKEN.encode(), patient.token.encode())
    chosen = {
        keyword: options[patient.choice % len(options)]
        for keyword, options in _VARIED.get(kind.modality, {}).items()
    }
    for keyword, value in _fit_all(template, {**patient.fields, **chosen}).items():
        file[template.fields[keyword]] = value
    return _Template(bytes(file), template.dataset_at, template.fields)


def _make_files(kind: _Kind, template: _Template, token: str) -> Iterator[bytes]:
    """Give the bytes of every instance of a series."""
    fields = sorted((*_UIDS, *kind.slices[0]), key=lambda keyword: template.fields[keyword].start)
    pieces = _cut_file(template, fields)
    uid_kind = _instance_kind(kind.modality)
    for number, values in enumerate(kind.slices, start=1):
        uid = _uid(uid_kind, number, token).encode()
        pieces[1::2] = [values.get(keyword, uid) for keyword in fields]
        yield b"".join(pieces)


def _cut_file(template: _Template, fields: Sequence[str]) -> list[bytes]:
    """Cut a file into what stays (at even places) and its fields (at odd places)."""
    places = [template.fields[keyword] for keyword in fields]
    edges = [0, *(edge for place in places for edge in (place.start, place.stop)), None]
    return [template.file[start:stop] for start, stop in pairwise(edges)]


def _deflate(file: bytes, dataset_at: int) -> bytes:
    """Deflate the dataset, without a zlib header and padded to an even length (PS3.5, A.5)."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflater.compress(file[dataset_at:]) + deflater.flush()
    return file[:dataset_at] + deflated + b"\0" * (len(deflated) % 2)


# Where files go: each takes the path of a patient without suffix, gives how many files and bytes


def _write_folder(base: Path, members: Iterable[_Member]) -> tuple[int, int]:
    files = size = 0
    made = set()
    for name, content in members:
        folder, _, last = name.partition("/")
        if folder not in made:
            (base / folder).mkdir(parents=True)
            made.add(folder)
        with open(f"{base}/{folder}/{last}", "wb") as file:
            size += file.write(content)
        files += 1
    return files, size


def _write_zip(base: Path, members: Iterable[_Member]) -> tuple[int, int]:
    path = base.with_name(f"{base.name}.zip")
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            member = zipfile.ZipInfo(name)  # its time is 1980-01-01
            member.compress_type = zipfile.ZIP_DEFLATED
            member.create_system = _UNIX
            member.external_attr = _MODE << 16
            archive.writestr(member, content)
    return 1, path.stat().st_size


_UNIX: Final = 3
_MODE: Final = 0o644


def _write_tar(base: Path, members: Iterable[_Member]) -> tuple[int, int]:
    path = base.with_name(f"{base.name}.tar")
    with path.open("wb") as file:
        _fill_tar(file, members)
    return 1, path.stat().st_size


def _write_tar_gz(base: Path, members: Iterable[_Member]) -> tuple[int, int]:
    path = base.with_name(f"{base.name}.tar.gz")
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed,
    ):
        _fill_tar(packed, members)
    return 1, path.stat().st_size


def _fill_tar(file: IO[bytes] | gzip.GzipFile, members: Iterable[_Member]) -> None:
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)  # of time 0, user 0, group 0
            member.size = len(content)
            member.mode = _MODE
            archive.addfile(member, io.BytesIO(content))


_ARCHIVES: Final[Mapping[str, Callable[[Path, Iterable[_Member]], tuple[int, int]]]] = (
    MappingProxyType(
        {"none": _write_folder, "zip": _write_zip, "tar": _write_tar, "tar.gz": _write_tar_gz}
    )
)


# Pixels


_TEXTURES: Final = 16
"""So many images a modality; slices take turns."""
_TEXTURE_STEP: Final = 1_009
"""How far the noise moves from an image to the next; prime, so that no two are the same."""


@dataclass(frozen=True, slots=True)
class _Signal:
    """Stored values outside and inside of the body."""

    air: int
    body: int
    noise: int


_SIGNALS: Final[Mapping[str, _Signal]] = MappingProxyType(
    {
        "CT": _Signal(air=24, body=1_040, noise=60),
        "PT": _Signal(air=0, body=2_000, noise=250),
        "MR": _Signal(air=3, body=400, noise=90),
    }
)


def _make_pixels(plan: _Plan, modality: str) -> list[bytes]:
    """Give the pixels of noisy discs of several sizes, 16 bits each."""
    signal = _SIGNALS[modality]
    size = plan.matrix**2
    noise = hashlib.shake_256(f"dcmdask {plan.seed} {modality}".encode()).digest(size)
    body = plan.pack("H", [signal.body + value % signal.noise for value in noise])
    body += body[: 2 * plan.matrix]
    air = plan.pack("H", [signal.air] * plan.matrix)
    return [
        b"".join(
            air[: 2 * start] + body[2 * start + shift : 2 * stop + shift] + air[2 * stop :]
            for row, (start, stop) in enumerate(_make_disc(plan.matrix, 0.30 + texture % 8 / 50))
            for shift in [2 * ((row * plan.matrix + texture * _TEXTURE_STEP) % size)]
        )
        for texture in range(min(_TEXTURES, plan.slices))
    ]


def _make_disc(matrix: int, radius: float, middle: float = 0.5) -> list[tuple[int, int]]:
    """Give first column and the one after the last of each row of a disc, in parts of the width."""
    return [
        (
            max(0, math.floor(middle * matrix) - half),
            min(matrix, math.floor(middle * matrix) + half),
        )
        for row in range(matrix)
        for half in [math.isqrt(max(0, int((radius * matrix) ** 2 - (row - matrix / 2) ** 2)))]
    ]


def _pack_bits(bits: str) -> bytes:
    """Pack zeros and ones, the first into the lowest bit (PS3.5, 8.1.1), to an even length."""
    size = -(-len(bits) // 8)
    return int(bits[::-1], 2).to_bytes(size + size % 2, "little")


# What each kind of instance holds. Tables of values; PS3.3 is cited where the module is no image's.


def _code(value: str, scheme: str, meaning: str) -> list[_Values]:
    """Give a code sequence of one item."""
    return [{"CodeValue": value, "CodingSchemeDesignator": scheme, "CodeMeaning": meaning}]


_VARIED: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = MappingProxyType(
    {
        "CT": {
            "StationName": ("CT01", "CT02"),
            "KVP": ("120", "100", "140"),
            "ExposureTime": ("500", "700", "1000"),
            "ConvolutionKernel": ("STANDARD", "SOFT", "BONE", "LUNG"),
            "ContrastBolusAgent": ("Iohexol", "Iodixanol", "Iopamidol"),
        },
        "PT": {
            "StationName": ("PT01", "PT02"),
            "ActualFrameDuration": ("120000", "180000"),
            "ConvolutionKernel": ("XYZ Gauss4.00", "XYZ Gauss5.00", "XYZ Gauss6.40"),
        },
        "MR": {
            "StationName": ("MR01", "MR02"),
            "MagneticFieldStrength": ("1.5", "3"),
            "ImagingFrequency": ("63.868", "127.736"),
            "EchoTime": ("2.104", "3.42", "1.9"),
            "FlipAngle": ("12", "15", "8"),
        },
    }
)
"""Settings that differ from patient to patient: one of each, padded to the widest."""


def _common(plan: _Plan, modality: str) -> dict[str, object]:
    """Give patient, study, series, equipment and SOP common modules (PS3.3, C.7 and C.12)."""
    index = MODALITIES.index(modality)
    varied = _VARIED.get(modality, {})
    return {
        "SpecificCharacterSet": "ISO_IR 100",
        "InstanceCreationDate": _DATE,
        "InstanceCreationTime": f"{11 + index:02d}4500",
        "SOPClassUID": _SOP_CLASSES[modality],
        "SOPInstanceUID": _uid(_instance_kind(modality)),
        "StudyDate": _DATE,
        "SeriesDate": _DATE,
        "ContentDate": _DATE,
        "StudyTime": "095500",
        "SeriesTime": f"{10 + index:02d}0000",
        "ContentTime": f"{10 + index:02d}3000",
        "Modality": modality,
        "Manufacturer": "SYNTHETIC SYSTEMS",
        "InstitutionName": "Synthetic Hospital",
        "ReferringPhysicianName": "Referrer^Synthetic",
        "StudyDescription": "Synthetic oncology study",
        "SeriesDescription": f"Synthetic {modality}",
        "OperatorsName": "Operator^Synthetic",
        "ManufacturerModelName": f"Synthetic {modality} 1",
        **_widest_fields(plan),
        "PatientIdentityRemoved": "YES",
        "DeidentificationMethod": "Made by dcmdask: no such patient exists",
        "DeviceSerialNumber": f"{1000 + index}",
        "SoftwareVersions": "dcmdask.synthetic.synthetic",
        "StudyInstanceUID": _uid(_STUDY),
        "SeriesInstanceUID": _series_uid(modality),
        "SeriesNumber": f"{index + 1}",
        "InstanceNumber": "1",
        **{keyword: max(options, key=len) for keyword, options in varied.items()},
    }


def _image(plan: _Plan, modality: str) -> dict[str, object]:
    """Give what CT, PT and MR have in common (PS3.3, C.7.4 and C.7.6).

    The values in which slices differ are as wide as they may get.
    """
    geometry = _GEOMETRY[modality]
    return {
        "InstanceNumber": "9" * 6,
        "ImagePositionPatient": geometry.place(plan.matrix, "-" + "9" * 6 + ".999"),
        "SliceLocation": "-" + "9" * 6 + ".999",
        "AcquisitionDate": _DATE,
        "AcquisitionTime": f"{10 + MODALITIES.index(modality):02d}0210",
        "BodyPartExamined": "CHEST",
        "ProtocolName": f"Synthetic {modality} protocol",
        "PatientPosition": "HFS",
        "AcquisitionNumber": "1",
        "ImageOrientationPatient": _AXIAL,
        "FrameOfReferenceUID": _frame_uid(modality),
        "PositionReferenceIndicator": "SN",
        "SliceThickness": geometry.step(),
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": plan.matrix,
        "Columns": plan.matrix,
        "PixelSpacing": geometry.pixel_spacing(plan.matrix),
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "LossyImageCompression": "00",
        "PixelData": bytes(2 * plan.matrix**2),
    }


def _build_ct(plan: _Plan) -> dict[str, object]:
    """Give a CT image (PS3.3, A.3)."""
    return _image(plan, "CT") | {
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "SeriesDescription": "Synthetic CT chest with contrast",
        "ContrastBolusRoute": "IV",
        "ContrastBolusVolume": "100",
        "ContrastFlowRate": "2.5",
        "ScanOptions": "HELICAL MODE",
        "DataCollectionDiameter": "500",
        "ReconstructionDiameter": "500",
        "DistanceSourceToDetector": "949.147",
        "DistanceSourceToPatient": "541",
        "GantryDetectorTilt": "0",
        "TableHeight": "151.4",
        "RotationDirection": "CW",
        "XRayTubeCurrent": "9999",
        "Exposure": "12",
        "FilterType": "BODY FILTER",
        "GeneratorPower": "30000",
        "FocalSpots": "1.2",
        "RevolutionTime": 0.5,
        "SingleCollimationWidth": 0.625,
        "TotalCollimationWidth": 40.0,
        "TableSpeed": 110.0,
        "TableFeedPerRotation": 55.0,
        "SpiralPitchFactor": 1.375,
        "ExposureModulationType": "XYZ_EC",
        "EstimatedDoseSaving": 20.0,
        "CTDIvol": 9.81,
        "CTDIPhantomTypeCodeSequence": _code("113691", "DCM", "IEC Body Dosimetry Phantom"),
        "TemporalPositionIndex": 1,
        "PixelRepresentation": 1,
        "PixelPaddingValue": -2000,
        "WindowCenter": "40",
        "WindowWidth": "400",
        "RescaleIntercept": "-1024",
        "RescaleSlope": "1",
        "RescaleType": "HU",
        "RequestedProcedureDescription": "CT chest with contrast",
        "PerformedProcedureStepStartDate": _DATE,
        "PerformedProcedureStepStartTime": "100000",
        "PerformedProcedureStepID": "PPS1",
        "PerformedProcedureStepDescription": "CT chest with contrast",
    }


def _build_pt(plan: _Plan) -> dict[str, object]:
    """Give a PET image (PS3.3, A.21)."""
    return _image(plan, "PT") | {
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "SeriesDescription": "Synthetic PET attenuation corrected",
        "SeriesType": ["STATIC", "IMAGE"],
        "Units": "BQML",
        "CountsSource": "EMISSION",
        "NumberOfSlices": plan.slices,
        "ImageIndex": 1,
        "CorrectedImage": ["DECY", "ATTN", "SCAT", "DTIM", "RANSNG", "NORM"],
        "RandomsCorrectionMethod": "SING",
        "AttenuationCorrectionMethod": "CT-derived 511 keV attenuation map",
        "ScatterCorrectionMethod": "Model Based",
        "DecayCorrection": "START",
        "ReconstructionMethod": "3D Iterative 2 iterations 24 subsets",
        "ReconstructionDiameter": "700",
        "DetectorLinesOfResponseUsed": "ALL",
        "CollimatorType": "NONE",
        "AcquisitionStartCondition": "MANUAL",
        "AcquisitionTerminationCondition": "TIME",
        "TypeOfDetectorMotion": "NONE",
        "EnergyWindowRangeSequence": [
            {"EnergyWindowLowerLimit": "425", "EnergyWindowUpperLimit": "650"}
        ],
        "RadiopharmaceuticalInformationSequence": [
            {
                "Radiopharmaceutical": "Fluorodeoxyglucose",
                "RadiopharmaceuticalStartTime": "085900.00",
                "RadiopharmaceuticalStartDateTime": f"{_DATE}085900.00",
                "RadionuclideTotalDose": "370000000",
                "RadionuclideHalfLife": "6586.2",
                "RadionuclidePositronFraction": "0.967",
                "RadionuclideCodeSequence": _code("77004003", "SCT", "^18^Fluorine"),
                "RadiopharmaceuticalCodeSequence": _code(
                    "35321007", "SCT", "Fluorodeoxyglucose F^18^"
                ),
            }
        ],
        "PatientOrientationCodeSequence": [
            {
                **_code("102538003", "SCT", "recumbent")[0],
                "PatientOrientationModifierCodeSequence": _code("40199007", "SCT", "supine"),
            }
        ],
        "PatientGantryRelationshipCodeSequence": _code("102540008", "SCT", "headfirst"),
        "FrameReferenceTime": "60000",
        "DecayFactor": "1.00632",
        "DoseCalibrationFactor": "1",
        "ScatterFractionFactor": "0.31",
        "DeadTimeFactor": "1.02",
        "SliceSensitivityFactor": "1",
        "WindowCenter": "8000",
        "WindowWidth": "16000",
        "RescaleIntercept": "0",
        "RescaleSlope": "4.25",
    }


def _build_mr(plan: _Plan) -> dict[str, object]:
    """Give an MR image (PS3.3, A.4)."""
    return _image(plan, "MR") | {
        "ImageType": ["ORIGINAL", "PRIMARY", "OTHER"],
        "SeriesDescription": "Synthetic MR T1 axial",
        "BodyPartExamined": "LIVER",
        "ScanningSequence": "GR",
        "SequenceVariant": ["SS", "SP", "SK"],
        "ScanOptions": ["FAST_GEMS", "FS"],
        "MRAcquisitionType": "3D",
        "SequenceName": "LAVA",
        "AngioFlag": "N",
        "RepetitionTime": "4.428",
        "InversionTime": "5",
        "NumberOfAverages": "1",
        "ImagedNucleus": "1H",
        "EchoNumbers": "1",
        "SpacingBetweenSlices": _GEOMETRY["MR"].step(),
        "NumberOfPhaseEncodingSteps": "192",
        "EchoTrainLength": "1",
        "PercentSampling": "75",
        "PercentPhaseFieldOfView": "100",
        "PixelBandwidth": "488.281",
        "ReconstructionDiameter": "240",
        "ReceiveCoilName": "12Ch Body",
        "TransmitCoilName": "Body",
        "AcquisitionMatrix": [0, 256, 192, 0],
        "InPlanePhaseEncodingDirection": "ROW",
        "VariableFlipAngleFlag": "N",
        "SAR": "1.482",
        "dBdt": "0",
        "ContrastBolusAgent": "Gadobutrol",
        "ImagesInAcquisition": f"{plan.slices}",
        "TemporalPositionIdentifier": "1",
        "NumberOfTemporalPositions": "1",
        "WindowCenter": "250",
        "WindowWidth": "500",
    }


def _build_seg(plan: _Plan) -> dict[str, object]:
    """Give a segmentation of two segments (PS3.3, A.51)."""
    source = plan.target("SEG")
    geometry = _GEOMETRY[source]
    numbers = plan.middle(_DESCRIBED // len(_SEGMENTS))
    frames = [(segment, number) for segment in _SEGMENTS for number in numbers]
    return {
        "ImageType": ["DERIVED", "PRIMARY"],
        "SeriesDescription": f"Synthetic segmentation of {source}",
        "ContentLabel": "SEGMENTATION",
        "ContentDescription": "Two organs",
        "ContentCreatorName": "Reader^Synthetic",
        "FrameOfReferenceUID": _frame_uid(source),
        "PositionReferenceIndicator": "",
        "SegmentationType": "BINARY",
        "SegmentSequence": [_make_segment(number) for number in _SEGMENTS],
        "ReferencedSeriesSequence": [_series_with(plan, source, "ReferencedInstanceSequence")],
        "DimensionOrganizationSequence": [{"DimensionOrganizationUID": _uid(_DIMENSIONS)}],
        "DimensionIndexSequence": [
            _make_dimension(_SEGMENT_NUMBER, _SEGMENT_IDENTIFICATION, "Segment"),
            _make_dimension(_IMAGE_POSITION, _PLANE_POSITION, "Position"),
        ],
        "SharedFunctionalGroupsSequence": [
            {
                "PixelMeasuresSequence": [
                    {
                        "SliceThickness": geometry.step(),
                        "SpacingBetweenSlices": geometry.step(),
                        "PixelSpacing": geometry.pixel_spacing(plan.matrix),
                    }
                ],
                "PlaneOrientationSequence": [{"ImageOrientationPatient": _AXIAL}],
            }
        ],
        "PerFrameFunctionalGroupsSequence": [
            _make_frame(plan, source, segment, number, number - numbers.start + 1)
            for segment, number in frames
        ],
        "NumberOfFrames": f"{len(frames)}",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": plan.matrix,
        "Columns": plan.matrix,
        "BitsAllocated": 1,
        "BitsStored": 1,
        "HighBit": 0,
        "PixelRepresentation": 0,
        "LossyImageCompression": "00",
        "PixelData": _pack_bits(
            "".join(
                "0" * start + "1" * (stop - start) + "0" * (plan.matrix - stop)
                for segment, number in frames
                for region in [_SEGMENTS[segment]]
                for start, stop in _make_disc(
                    plan.matrix, region.radius + number % 7 / 100, region.middle
                )
            )
        ),
    }


@dataclass(frozen=True, slots=True)
class _Region:
    """An organ, outlined in SEG or RTSTRUCT."""

    label: str
    kind: str
    """RTROIInterpretedType"""
    code: str
    """of the organ, in SNOMED CT"""
    meaning: str
    middle: float
    """x, in parts of the width of the image"""
    radius: float
    color: tuple[int, int, int]


_SEGMENTS: Final[Mapping[int, _Region]] = MappingProxyType(
    {
        1: _Region("Liver", "ORGAN", "10200004", "Liver", 0.3, 0.12, (221, 130, 101)),
        2: _Region("Spleen", "ORGAN", "78961009", "Spleen", 0.7, 0.08, (157, 108, 162)),
    }
)
_ROIS: Final[Mapping[int, _Region]] = MappingProxyType(
    {
        1: _Region("BODY", "EXTERNAL", "38266002", "Entire body", 0.5, 0.44, (0, 255, 0)),
        2: _Region("GTV", "GTV", "39607008", "Lung", 0.65, 0.05, (255, 0, 0)),
    }
)
_SEGMENT_NUMBER: Final = 0x0062_000B
_SEGMENT_IDENTIFICATION: Final = 0x0062_000A
_IMAGE_POSITION: Final = 0x0020_0032
_PLANE_POSITION: Final = 0x0020_9113


def _make_segment(number: int) -> _Values:
    region = _SEGMENTS[number]
    return {
        "SegmentNumber": number,
        "SegmentLabel": region.label,
        "SegmentDescription": f"{region.meaning}, a disc in each slice",
        "SegmentAlgorithmType": "MANUAL",
        "SegmentedPropertyCategoryCodeSequence": _code("123037004", "SCT", "Anatomical Structure"),
        "SegmentedPropertyTypeCodeSequence": _code(region.code, "SCT", region.meaning),
        "RecommendedDisplayCIELabValue": [34885, 53485, 50171],
    }


def _make_dimension(pointer: int, group: int, label: str) -> _Values:
    return {
        "DimensionOrganizationUID": _uid(_DIMENSIONS),
        "DimensionIndexPointer": pointer,
        "FunctionalGroupPointer": group,
        "DimensionDescriptionLabel": label,
    }


def _make_frame(plan: _Plan, source: str, segment: int, number: int, position: int) -> _Values:
    """Give the functional groups of the frame of `segment` that lies on slice `number`."""
    geometry = _GEOMETRY[source]
    image = {
        **_reference(source, number),
        "SpatialLocationsPreserved": "YES",
        "PurposeOfReferenceCodeSequence": _code(
            "121322", "DCM", "Source image for image processing operation"
        ),
    }
    return {
        "DerivationImageSequence": [
            {
                "DerivationCodeSequence": _code("113076", "DCM", "Segmentation"),
                "SourceImageSequence": [image],
            }
        ],
        "FrameContentSequence": [{"DimensionIndexValues": [segment, position]}],
        "PlanePositionSequence": [
            {"ImagePositionPatient": geometry.place(plan.matrix, geometry.z(number))}
        ],
        "SegmentIdentificationSequence": [{"ReferencedSegmentNumber": segment}],
    }


def _series_with(plan: _Plan, modality: str, instances: str) -> _Values:
    """Give the item that refers to a series; `instances` is the keyword of its list."""
    return {"SeriesInstanceUID": _series_uid(modality), instances: plan.references(modality)}


def _build_rtstruct(plan: _Plan) -> dict[str, object]:
    """Give a structure set of two ROIs (PS3.3, A.19)."""
    numbers = plan.middle(_DESCRIBED // len(_ROIS))
    return {
        "SeriesDescription": "Synthetic structures",
        "FrameOfReferenceUID": _frame_uid("CT"),
        "PositionReferenceIndicator": "",
        "StructureSetLabel": "SYNTHETIC",
        "StructureSetName": "Body and target",
        "StructureSetDate": _DATE,
        "StructureSetTime": "143000",
        "ReferencedFrameOfReferenceSequence": [
            {
                "FrameOfReferenceUID": _frame_uid("CT"),
                "RTReferencedStudySequence": [
                    {
                        "ReferencedSOPClassUID": _DETACHED_STUDY,
                        "ReferencedSOPInstanceUID": _uid(_STUDY),
                        "RTReferencedSeriesSequence": [
                            _series_with(plan, "CT", "ContourImageSequence")
                        ],
                    }
                ],
            }
        ],
        "StructureSetROISequence": [
            {
                "ROINumber": f"{number}",
                "ReferencedFrameOfReferenceUID": _frame_uid("CT"),
                "ROIName": roi.label,
                "ROIGenerationAlgorithm": "MANUAL",
            }
            for number, roi in _ROIS.items()
        ],
        "ROIContourSequence": [
            {
                "ROIDisplayColor": [f"{part}" for part in roi.color],
                "ContourSequence": [_make_contour(roi, number) for number in numbers],
                "ReferencedROINumber": f"{roi_number}",
            }
            for roi_number, roi in _ROIS.items()
        ],
        "RTROIObservationsSequence": [
            {
                "ObservationNumber": f"{number}",
                "ReferencedROINumber": f"{number}",
                "RTROIIdentificationCodeSequence": _code(roi.code, "SCT", roi.meaning),
                "RTROIInterpretedType": roi.kind,
                "ROIInterpreter": "",
            }
            for number, roi in _ROIS.items()
        ],
        "ApprovalStatus": "UNAPPROVED",
    }


_DETACHED_STUDY: Final = "1.2.840.10008.3.1.2.3.1"
"""Retired, and what most structure sets still say of their study."""
_CORNERS: Final = 16


def _make_contour(roi: _Region, number: int) -> _Values:
    """Give the outline of an ROI on CT slice `number`."""
    geometry = _GEOMETRY["CT"]
    x = (roi.middle - 0.5) * geometry.field_of_view
    radius = roi.radius * geometry.field_of_view
    angles = [2 * math.pi * corner / _CORNERS for corner in range(_CORNERS)]
    points = [
        (
            f"{x + radius * math.cos(angle):.2f}",
            f"{radius * math.sin(angle):.2f}",
            geometry.z(number),
        )
        for angle in angles
    ]
    return {
        "ContourImageSequence": [_reference("CT", number)],
        "ContourGeometricType": "CLOSED_PLANAR",
        "NumberOfContourPoints": f"{_CORNERS}",
        "ContourData": list(chain.from_iterable(points)),
    }


def _build_rtplan(plan: _Plan) -> dict[str, object]:
    """Give a plan of two beams (PS3.3, A.20)."""
    del plan  # the same for every size
    return {
        "SeriesDescription": "Synthetic plan",
        "FrameOfReferenceUID": _frame_uid("CT"),
        "PositionReferenceIndicator": "",
        "RTPlanLabel": "SYNTHETIC",
        "RTPlanName": "Two opposed beams",
        "RTPlanDate": _DATE,
        "RTPlanTime": "151500",
        "PlanIntent": "CURATIVE",
        "RTPlanGeometry": "PATIENT",
        "DoseReferenceSequence": [
            {
                "DoseReferenceNumber": "1",
                "DoseReferenceStructureType": "SITE",
                "DoseReferenceDescription": "GTV",
                "DoseReferenceType": "TARGET",
                "TargetPrescriptionDose": "60",
            }
        ],
        "FractionGroupSequence": [
            {
                "FractionGroupNumber": "1",
                "NumberOfFractionsPlanned": "30",
                "NumberOfBeams": f"{len(_BEAMS)}",
                "NumberOfBrachyApplicationSetups": "0",
                "ReferencedBeamSequence": [
                    {"BeamDose": "1", "BeamMeterset": "110.5", "ReferencedBeamNumber": f"{number}"}
                    for number in _BEAMS
                ],
            }
        ],
        "BeamSequence": [_make_beam(number, angle) for number, angle in _BEAMS.items()],
        "PatientSetupSequence": [{"PatientPosition": "HFS", "PatientSetupNumber": "1"}],
        "ReferencedStructureSetSequence": [_reference("RTSTRUCT")],
        "ApprovalStatus": "UNAPPROVED",
    }


_BEAMS: Final[Mapping[int, int]] = MappingProxyType({1: 0, 2: 180})
"""Number to angle of the gantry, degrees"""


def _make_beam(number: int, angle: int) -> _Values:
    first = {
        "ControlPointIndex": "0",
        "NominalBeamEnergy": "6",
        "DoseRateSet": "600",
        "BeamLimitingDevicePositionSequence": [
            {"RTBeamLimitingDeviceType": device, "LeafJawPositions": ["-50", "50"]}
            for device in _JAWS
        ],
        "GantryAngle": f"{angle}",
        "GantryRotationDirection": "NONE",
        "BeamLimitingDeviceAngle": "0",
        "BeamLimitingDeviceRotationDirection": "NONE",
        "PatientSupportAngle": "0",
        "PatientSupportRotationDirection": "NONE",
        "IsocenterPosition": ["0", "0", _GEOMETRY["CT"].z(1)],
        "CumulativeMetersetWeight": "0",
    }
    return {
        "TreatmentMachineName": "SYNTHETIC",
        "PrimaryDosimeterUnit": "MU",
        "SourceAxisDistance": "1000",
        "BeamLimitingDeviceSequence": [
            {"RTBeamLimitingDeviceType": device, "NumberOfLeafJawPairs": "1"} for device in _JAWS
        ],
        "BeamNumber": f"{number}",
        "BeamName": f"Beam {number}",
        "BeamType": "STATIC",
        "RadiationType": "PHOTON",
        "TreatmentDeliveryType": "TREATMENT",
        "NumberOfWedges": "0",
        "NumberOfCompensators": "0",
        "NumberOfBoli": "0",
        "NumberOfBlocks": "0",
        "FinalCumulativeMetersetWeight": "1",
        "NumberOfControlPoints": "2",
        "ControlPointSequence": [
            first,
            {"ControlPointIndex": "1", "CumulativeMetersetWeight": "1"},
        ],
        "ReferencedPatientSetupNumber": "1",
    }


_JAWS: Final = ("X", "Y")
_DOSE_MATRIX: Final = 16
_DOSE_SPACING: Final = 12.5
"""mm"""


def _build_rtdose(plan: _Plan) -> dict[str, object]:
    """Give the dose of the plan on a coarse grid (PS3.3, A.18)."""
    geometry = _GEOMETRY["CT"]
    numbers = plan.middle(_DESCRIBED)
    corner = (1 - _DOSE_MATRIX) * _DOSE_SPACING / 2
    return {
        "SeriesDescription": "Synthetic dose",
        "FrameOfReferenceUID": _frame_uid("CT"),
        "PositionReferenceIndicator": "",
        "ImagePositionPatient": [f"{corner}", f"{corner}", geometry.z(numbers.start)],
        "ImageOrientationPatient": _AXIAL,
        "SliceThickness": geometry.step(),
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "NumberOfFrames": f"{len(numbers)}",
        "FrameIncrementPointer": 0x3004_000C,
        "Rows": _DOSE_MATRIX,
        "Columns": _DOSE_MATRIX,
        "PixelSpacing": [f"{_DOSE_SPACING}"] * 2,
        "BitsAllocated": 32,
        "BitsStored": 32,
        "HighBit": 31,
        "PixelRepresentation": 0,
        "DoseUnits": "GY",
        "DoseType": "PHYSICAL",
        "DoseSummationType": "PLAN",
        "GridFrameOffsetVector": [
            f"{index * geometry.spacing / 1000}" for index in range(len(numbers))
        ],
        "DoseGridScaling": "0.0001",
        "TissueHeterogeneityCorrection": "IMAGE",
        "ReferencedRTPlanSequence": [_reference("RTPLAN")],
        "PixelData": plan.pack(
            "I",
            [
                max(0, 600_000 - 4_000 * ((row - _DOSE_MATRIX // 2) ** 2 + abs(column - 8)) - frame)
                for frame in range(len(numbers))
                for row in range(_DOSE_MATRIX)
                for column in range(_DOSE_MATRIX)
            ],
        ),
    }


def _build_sr(plan: _Plan) -> dict[str, object]:
    """Give a report with one measurement (PS3.3, A.35.3)."""
    subject = plan.target("SR")
    evidence = [subject, plan.target("SEG")] if subject == "SEG" else [subject]
    segment = {"ReferencedSegmentNumber": 1} if subject == "SEG" else {}
    return {
        "SeriesDescription": "Synthetic measurements",
        "ReferencedPerformedProcedureStepSequence": [],
        "PerformedProcedureCodeSequence": [],
        "CompletionFlag": "COMPLETE",
        "VerificationFlag": "UNVERIFIED",
        "CurrentRequestedProcedureEvidenceSequence": [
            {
                "StudyInstanceUID": _uid(_STUDY),
                "ReferencedSeriesSequence": [
                    _series_with(plan, modality, "ReferencedSOPSequence") for modality in evidence
                ],
            }
        ],
        "ValueType": "CONTAINER",
        "ConceptNameCodeSequence": _code("126000", "DCM", "Imaging Measurement Report"),
        "ContinuityOfContent": "SEPARATE",
        "ContentSequence": [
            {
                "RelationshipType": "CONTAINS",
                "ValueType": "TEXT",
                "ConceptNameCodeSequence": _code("121106", "DCM", "Comment"),
                "TextValue": "Synthetic: measured on no patient.",
            },
            {
                "RelationshipType": "CONTAINS",
                "ValueType": "NUM",
                "ConceptNameCodeSequence": _code("118565006", "SCT", "Volume"),
                "MeasuredValueSequence": [
                    {
                        "NumericValue": "1523.5",
                        "MeasurementUnitsCodeSequence": _code("cm3", "UCUM", "cubic centimeter"),
                    }
                ],
            },
            {
                "RelationshipType": "CONTAINS",
                "ValueType": "IMAGE",
                "ConceptNameCodeSequence": _code("260753009", "SCT", "Source"),
                "ReferencedSOPSequence": [{**_reference(subject), **segment}],
            },
        ],
    }


_BUILDERS: Final[Mapping[str, Callable[[_Plan], dict[str, object]]]] = MappingProxyType(
    {
        "CT": _build_ct,
        "PT": _build_pt,
        "MR": _build_mr,
        "SEG": _build_seg,
        "RTSTRUCT": _build_rtstruct,
        "RTPLAN": _build_rtplan,
        "RTDOSE": _build_rtdose,
        "SR": _build_sr,
    }
)


# Private elements


_VENDOR_MODALITIES: Final = ("CT", "MR")
_VENDOR_CREATORS: Final = (
    (0x0009, "GEMS_IDEN_01"),
    (0x0019, "GEMS_ACQU_01"),
    (0x0021, "GEMS_RELA_01"),
    (0x0027, "GEMS_IMAG_01"),
    (0x0043, "GEMS_PARM_01"),
)
_BLOCKS: Final = range(0x10, 0x100)
"""The blocks that a group can reserve (PS3.5, 7.8.1)."""


@dataclass(frozen=True, slots=True)
class _VendorElement:
    """An element of the private dictionary."""

    group: int
    creator: str
    offset: int
    """The last two digits of its tag."""
    vr: str
    values: int
    """The least multiplicity."""


@cache
def _list_vendor_elements() -> tuple[_VendorElement, ...]:
    """Give what GE's creators define, the groups in turn, so that few elements reach them all."""
    groups = (_list_of_creator(group, creator) for group, creator in _VENDOR_CREATORS)
    turns = zip_longest(*groups)
    return tuple(element for turn in turns for element in turn if element is not None)


def _list_of_creator(group: int, creator: str) -> list[_VendorElement]:
    elements = []
    for offset in range(0x100):
        tag = group << 16 | _BLOCKS.start << 8 | offset
        try:
            vr = private_dictionary_VR(tag, creator)
            least = private_dictionary_VM(tag, creator).partition("-")[0]
        except KeyError:
            continue
        if vr in _VENDOR_VALUES:
            elements.append(_VendorElement(group, creator, offset, vr, int(least)))
    return elements


def _max_vendor_elements() -> int:
    return len(_list_vendor_elements()) * len(_BLOCKS)


_VENDOR_VALUES: Final[Mapping[str, Callable[[int], object]]] = MappingProxyType(
    {
        "CS": lambda number: f"CODE_{number}",
        "DS": lambda number: f"{number}.5",
        "FL": lambda number: number / 4,
        "IS": lambda number: f"{number}",
        "LO": lambda number: f"Synthetic {number}",
        "LT": lambda number: f"Synthetic text {number}",
        "OB": lambda number: bytes([number % 256]) * 16,
        "SH": lambda number: f"SYN {number}",
        "SL": lambda number: -number,
        "SS": lambda number: -(number % 30_000),
        "ST": lambda number: f"Synthetic text {number}",
        "UI": lambda number: _uid(_VENDOR, number),
        "UL": lambda number: number,
        "US": lambda number: number % 60_000,
    }
)
"""VR to the value of the element of some number. Elements of other VRs are not written."""


def _add_vendor_elements(dataset: Dataset, elements: int) -> None:
    """Add private elements, a block after the other, with their creators."""
    known = _list_vendor_elements()
    for number in range(elements):
        turn, index = divmod(number, len(known))
        element = known[index]
        block = _BLOCKS[turn]
        dataset.add_new(element.group << 16 | block, "LO", element.creator)
        value = _VENDOR_VALUES[element.vr](number)
        dataset.add_new(
            element.group << 16 | block << 8 | element.offset,
            element.vr,
            value if element.values == 1 else [value] * element.values,
        )
