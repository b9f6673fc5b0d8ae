"""Take a plan and a number; give a patient, drawn so that every process draws the same."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType
from typing import Final

from dcmdask.synthetic.plan import Plan

DATE: Final = "19000228"
"""Stands for the date of the study in a template; no real date here is as old."""

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


@dataclass(frozen=True, slots=True)
class Patient:
    """One patient, and the choices made for the study."""

    number: int
    token: str
    """24 digits in all UIDs, drawn from seed and number."""
    study_date: str
    fields: Mapping[str, str]
    """Keyword to value; elements at the top of every object."""
    choice: int
    """Picks among the settings of the scanners."""

    def settings(self, modality: str) -> dict[str, str]:
        """Return keyword and value of the settings with which the patient was scanned."""
        varied = _VARIED.get(modality, {})
        return {key: options[self.choice % len(options)] for key, options in varied.items()}


def make_patient(plan: Plan, number: int) -> Patient:
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
    return Patient(
        number=number,
        token=f"{draw('token', 10**24):024d}",
        study_date=f"{study:%Y%m%d}",
        fields=fields,
        choice=draw("choice", 12),
    )


def _draw(seed: int, number: int, what: str, below: int) -> int:
    """Draw one of 0 to `below` - 1, the same in every process and version of Python."""
    digest = hashlib.sha256(f"dcmdask {seed} {number} {what}".encode()).digest()
    return int.from_bytes(digest, "big") % below


def widest_fields(plan: Plan) -> dict[str, str]:
    """Return values as wide as `make_patient` may draw, for the template."""
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


def widest_settings(modality: str) -> dict[str, str]:
    """Return values as wide as `Patient.settings` may choose, for the template."""
    return {key: max(options, key=len) for key, options in _VARIED.get(modality, {}).items()}
