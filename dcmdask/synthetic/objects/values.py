"""Keywords and values that several kinds of instance hold, and items that refer to others."""

from collections.abc import Mapping
from typing import Final, TypeAlias

from dcmdask.synthetic.geometry import AXIAL, GEOMETRY
from dcmdask.synthetic.modalities import MODALITIES, SOP_CLASSES
from dcmdask.synthetic.patients import DATE, widest_fields, widest_settings
from dcmdask.synthetic.plan import Plan
from dcmdask.synthetic.uids import STUDY_UID, frame_uid, instance_uid, series_uid

Values: TypeAlias = Mapping[str, object]
"""Keywords and values of a dataset; a list of mappings is a sequence."""

DESCRIBED: Final = 50
"""At most so many slices are contoured, and so many frames segmented: files stay small."""


def code(value: str, scheme: str, meaning: str) -> list[Values]:
    """Return a code sequence of one item."""
    return [{"CodeValue": value, "CodingSchemeDesignator": scheme, "CodeMeaning": meaning}]


def reference(modality: str, number: int = 1) -> Values:
    """Return the item that refers to instance `number` of `modality`."""
    return {
        "ReferencedSOPClassUID": SOP_CLASSES[modality],
        "ReferencedSOPInstanceUID": instance_uid(modality, number),
    }


def series_reference(plan: Plan, modality: str, instances: str) -> Values:
    """Return the item that refers to a series; `instances` is the keyword of its list."""
    references = [reference(modality, number + 1) for number in range(plan.count(modality))]
    return {"SeriesInstanceUID": series_uid(modality), instances: references}


def common(plan: Plan, modality: str) -> dict[str, object]:
    """Return patient, study, series, equipment and SOP common modules (PS3.3, C.7 and C.12)."""
    index = MODALITIES.index(modality)
    return {
        "SpecificCharacterSet": "ISO_IR 100",
        "InstanceCreationDate": DATE,
        "InstanceCreationTime": f"{11 + index:02d}4500",
        "SOPClassUID": SOP_CLASSES[modality],
        "SOPInstanceUID": instance_uid(modality),
        "StudyDate": DATE,
        "SeriesDate": DATE,
        "ContentDate": DATE,
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
        **widest_fields(plan),
        "PatientIdentityRemoved": "YES",
        "DeidentificationMethod": "Made by dcmdask: no such patient exists",
        "DeviceSerialNumber": f"{1000 + index}",
        # No module of today: the bytes outlive its name.
        "SoftwareVersions": "dcmdask.synthetic.synthetic",
        "StudyInstanceUID": STUDY_UID,
        "SeriesInstanceUID": series_uid(modality),
        "SeriesNumber": f"{index + 1}",
        "InstanceNumber": "1",
        **widest_settings(modality),
    }


def image(plan: Plan, modality: str) -> dict[str, object]:
    """Return what CT, PT and MR have in common (PS3.3, C.7.4 and C.7.6).

    The values in which slices differ are as wide as they may get.
    """
    geometry = GEOMETRY[modality]
    return {
        "InstanceNumber": "9" * 6,
        "ImagePositionPatient": geometry.place(plan.matrix, "-" + "9" * 6 + ".999"),
        "SliceLocation": "-" + "9" * 6 + ".999",
        "AcquisitionDate": DATE,
        "AcquisitionTime": f"{10 + MODALITIES.index(modality):02d}0210",
        "BodyPartExamined": "CHEST",
        "ProtocolName": f"Synthetic {modality} protocol",
        "PatientPosition": "HFS",
        "AcquisitionNumber": "1",
        "ImageOrientationPatient": AXIAL,
        "FrameOfReferenceUID": frame_uid(modality),
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
