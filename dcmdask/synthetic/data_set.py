"""Takes a size and a seed; gives a linked synthetic DICOM data set, as folders or as archives.

Every patient has one study of up to eight series that refer to each other as a hospital's do:
RTDOSE to RTPLAN to RTSTRUCT to CT, SEG to MR, SR to SEG, PT and CT by their frame of reference. The
same arguments give the same bytes, on any day and in any process.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final, TypeAlias

from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dcmdask.synthetic.archives import ARCHIVES, Member
from dcmdask.synthetic.instances import make_kind, make_members
from dcmdask.synthetic.modalities import MODALITIES, NEEDS
from dcmdask.synthetic.patients import make_patient
from dcmdask.synthetic.plan import Plan
from dcmdask.synthetic.vendor import max_vendor_elements

_SYNTAXES: Final = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
_MAX_SLICES: Final = 65_535
"""ImageIndex and NumberOfSlices of PT are 16 bits wide."""
_MAX_MATRIX: Final = 4_096
_REPORT_EVERY: Final = 256

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
    plan = Plan(
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


def _check_sizes(patients: int, slices: int, matrix: int, vendor_elements: int) -> None:
    limits = (
        ("patients", patients, 1, 10**9),
        ("slices", slices, 1, _MAX_SLICES),
        ("matrix", matrix, 1, _MAX_MATRIX),
        ("vendor_elements", vendor_elements, 0, max_vendor_elements()),
    )
    for name, value, least, most in limits:
        if not least <= value <= most:
            message = f"{name} is {value}: write a number from {least} to {most}"
            raise ValueError(message)


def _check_choices(archives: str, modalities: Sequence[str], transfer_syntax: str) -> None:
    if archives not in ARCHIVES:
        message = f"archives is {archives!r}: write one of {', '.join(ARCHIVES)}"
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
    needs = NEEDS.get(modality, ())
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


def _write_patients(out: Path, plan: Plan, archives: str, report: _Report) -> tuple[int, int]:
    """Write every patient; give how many files, and how many bytes."""
    kinds = [make_kind(plan, modality) for modality in plan.modalities]
    written = count(1)
    files = size = 0
    for number in range(1, plan.patients + 1):
        patient = make_patient(plan, number)
        members = _tell(make_members(kinds, patient, plan.syntax), written, report)
        base = out / patient.fields["PatientID"]
        more_files, more_size = ARCHIVES[archives](base, members)
        files += more_files
        size += more_size
    report(plan.instances())
    return files, size


def _tell(members: Iterable[Member], written: Iterator[int], report: _Report) -> Iterator[Member]:
    """Pass members on, and report now and then how many have been taken."""
    for member in members:
        yield member
        done = next(written)
        if done % _REPORT_EVERY == 0:
            report(done)
