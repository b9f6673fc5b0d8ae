"""Take templates and a patient; give name and bytes of every file of the patient.

One core writes 24,000 CT files of 10 kB a second to ext4, and 30,000 to a file system in memory.
For some minutes after many files were deleted, ext4 makes new ones ten times slower: measure on a
disk where nothing was just cleared away.
"""

import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pydicom.uid import UID

from dcmdask.synthetic.archives import Member
from dcmdask.synthetic.geometry import GEOMETRY
from dcmdask.synthetic.modalities import SLICED
from dcmdask.synthetic.patients import DATE, Patient
from dcmdask.synthetic.pixels import make_pixels
from dcmdask.synthetic.plan import Plan
from dcmdask.synthetic.templates import UIDS, Template, fit_all, make_template
from dcmdask.synthetic.uids import TOKEN, instance_uid


@dataclass(frozen=True, slots=True)
class Kind:
    """One modality: its template, and what each instance of a series puts into it."""

    modality: str
    template: Template
    slices: Sequence[Mapping[str, bytes]]
    """For each instance: keyword to value, as wide as the field; the same for all patients."""


def make_kind(plan: Plan, modality: str) -> Kind:
    """Return what the series of a modality are written from."""
    template = make_template(plan, modality)
    slices: list[Mapping[str, bytes]] = [{}]
    if modality in SLICED:
        pixels = make_pixels(plan, modality)
        slices = [
            {
                **fit_all(template, _slice_fields(plan, modality, number)),
                **({"ImageIndex": plan.pack("H", [number])} if modality == "PT" else {}),
                "PixelData": pixels[number % len(pixels)],
            }
            for number in range(1, plan.slices + 1)
        ]
    return Kind(modality, template, slices)


def _slice_fields(plan: Plan, modality: str, number: int) -> dict[str, str]:
    """Return the text fields in which slice `number` differs from its neighbours."""
    geometry = GEOMETRY[modality]
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


def make_members(kinds: Iterable[Kind], patient: Patient, syntax: UID) -> Iterator[Member]:
    """Yield name and bytes of every file of a patient."""
    # Names decide nothing, and every second patient's do not even look like DICOM.
    pattern = "{0}/{0}-{1:04d}.dcm" if patient.number % 2 else "{0}/IM{1:04d}"
    for kind in kinds:
        template = _dress(kind, patient)
        files = _make_files(kind, template, patient.token)
        for number, file in enumerate(files, start=1):
            body = _deflate(file, template.dataset_at) if syntax.is_deflated else file
            yield pattern.format(kind.modality, number), body


def _dress(kind: Kind, patient: Patient) -> Template:
    """Return the template of a kind with everything of one patient in it."""
    template = kind.template
    # The date before the token, whose digits could look like it; drawn values after both.
    file = bytearray(template.file).replace(DATE.encode(), patient.study_date.encode())
    file = file.replace(TOKEN.encode(), patient.token.encode())
    values = {**patient.fields, **patient.settings(kind.modality)}
    for keyword, value in fit_all(template, values).items():
        file[template.fields[keyword]] = value
    return Template(bytes(file), template.dataset_at, template.fields)


def _make_files(kind: Kind, template: Template, token: str) -> Iterator[bytes]:
    """Yield the bytes of every instance of a series."""
    fields = sorted((*UIDS, *kind.slices[0]), key=lambda keyword: template.fields[keyword].start)
    pieces = _cut_file(template, fields)
    for number, values in enumerate(kind.slices, start=1):
        uid = instance_uid(kind.modality, number, token).encode()
        pieces[1::2] = [values.get(keyword, uid) for keyword in fields]
        yield b"".join(pieces)


def _cut_file(template: Template, fields: Sequence[str]) -> list[bytes]:
    """Cut a file into what stays (at even places) and its fields (at odd places)."""
    places = [template.fields[keyword] for keyword in fields]
    edges = [0, *(edge for place in places for edge in (place.start, place.stop)), None]
    return [template.file[start:stop] for start, stop in pairwise(edges)]


def _deflate(file: bytes, dataset_at: int) -> bytes:
    """Deflate the dataset, without a zlib header and padded to an even length (PS3.5, A.5)."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflater.compress(file[dataset_at:]) + deflater.flush()
    return file[:dataset_at] + deflated + b"\0" * (len(deflated) % 2)
