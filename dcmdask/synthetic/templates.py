"""Take a plan and a modality; give one instance as bytes, and where in them its fields stand.

pydicom encodes each *kind* of instance once a data set. All that differs between two instances of a
kind has a fixed width, so every further one is the template with bytes replaced. Two means serve:

- *fields*, at offsets that pydicom's own reader gives: name, position, instance number, pixels;
- *tokens*, wherever they stand, also deep in sequences: the 24 digits that all UIDs of a patient
  share, and the date of the study. So every reference of an object follows its patient.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import UID

from dcmdask.synthetic.modalities import SOP_CLASSES
from dcmdask.synthetic.objects.registry import BUILDERS
from dcmdask.synthetic.objects.values import Values, common
from dcmdask.synthetic.plan import Plan
from dcmdask.synthetic.uids import BEFORE_TOKEN, STUDY_UID, TOKEN, instance_uid
from dcmdask.synthetic.vendor import VENDOR_MODALITIES, add_vendor_elements

UIDS: Final = ("MediaStorageSOPInstanceUID", "SOPInstanceUID")
"""The fields that hold the UID of the instance."""

_UNDEFINED: Final = ("BeamSequence", "PerFrameFunctionalGroupsSequence", "ROIContourSequence")
"""Written with undefined lengths, as many writers do: a reader cannot jump over these."""

_IMPLEMENTATION_UID: Final = "2.25.190446044310846735219530612290451926370"


@dataclass(frozen=True, slots=True)
class Template:
    """A file of one kind of instance, and where its fields stand."""

    file: bytes
    """Preamble, file meta information and dataset, never deflated."""
    dataset_at: int
    fields: Mapping[str, slice]
    """Keyword to the place of the value in `file`, padding included."""


def make_template(plan: Plan, modality: str) -> Template:
    """Encode one instance of `modality` with pydicom."""
    dataset = _make_dataset({**common(plan, modality), **BUILDERS[modality](plan)})
    if modality in VENDOR_MODALITIES:
        add_vendor_elements(dataset, plan.vendor_elements)
    _leave_lengths_undefined(dataset)
    meta = _encode_meta(SOP_CLASSES[modality], instance_uid(modality), plan.syntax)
    body = DicomBytesIO()
    body.is_implicit_VR = plan.syntax.is_implicit_VR
    body.is_little_endian = plan.syntax.is_little_endian
    write_dataset(body, dataset)
    return Template(
        file=meta + body.getvalue(),
        dataset_at=len(meta),
        fields=_find_fields(meta, body.getvalue(), plan.syntax),
    )


def _make_dataset(values: Values) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, _make_value(value))
    return dataset


def _make_value(value: object) -> object:
    if isinstance(value, list):
        return [_make_dataset(item) if isinstance(item, Mapping) else item for item in value]
    return value


def _leave_lengths_undefined(dataset: Dataset) -> None:
    for keyword in _UNDEFINED:
        if keyword in dataset:
            dataset[keyword].is_undefined_length = True
            for item in dataset[keyword].value:
                item.is_undefined_length_sequence_item = True


def _encode_meta(sop_class: UID, sop_instance: str, syntax: UID) -> bytes:
    """Return preamble and file meta information (PS3.10, 7.1)."""
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


def _find_fields(meta: bytes, body: bytes, syntax: UID) -> dict[str, slice]:
    """Return the places in ``meta + body`` of the file meta's UID and of all elements at the top."""
    dataset = read_dataset(io.BytesIO(body), syntax.is_implicit_VR, syntax.is_little_endian)
    at = meta.index(TOKEN.encode()) - len(BEFORE_TOKEN)
    fields = {UIDS[0]: slice(at, at + len(STUDY_UID))}
    for tag in tuple(dataset.keys()):
        raw: object = dataset.get_item(tag)
        if isinstance(raw, RawDataElement):
            start = len(meta) + raw.value_tell
            fields[keyword_for_tag(tag)] = slice(start, start + raw.length)
    return fields


def fit_all(template: Template, values: Mapping[str, str]) -> dict[str, bytes]:
    """Return values as bytes, each as wide as its field in the template."""
    return {keyword: _fit(value, template.fields[keyword]) for keyword, value in values.items()}


def _fit(value: str, place: slice) -> bytes:
    """Pad a value with spaces to the width of its field (PS3.5, 6.2)."""
    width = place.stop - place.start
    if len(value) > width:
        message = f"{value!r} is wider than its field of {width} bytes in the template"
        raise AssertionError(message)
    return value.encode("ascii").ljust(width)
