"""RTDOSE: PS3.3 A.18 and C.8.8.3."""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import RTDoseStorage

from dcmdask.dicom.functional_groups import items, text_of
from dcmdask.dicom.values import TEXTS
from dcmdask.extract.table import (
    Extractor,
    computed,
    measured,
    names_frame_of_reference,
    names_instances,
    plain,
)

_OVERVIEW = "PlanOverviewSequence"
_SET, _PLAN = "ReferencedStructureSetSequence", "ReferencedRTPlanSequence"


def set_or_plan(dataset: Dataset) -> Any:
    """Return the SOP Instance UID of the first structure set that is named, else of the first plan.

    Med-ImageTools calls it ReferencedSeriesSOPUIDs, a list of one.
    """
    named = (items(dataset, word)[:1] for word in (_SET, _PLAN))
    uids = [text_of(item, "ReferencedSOPInstanceUID") for first in named for item in first]
    return next(([uid] for uid in uids if uid), None)


RTDOSE = Extractor(
    modality="RTDOSE",
    sop_classes=(RTDoseStorage,),
    attributes=(
        *plain("DoseType", "DoseUnits", "DoseSummationType", "DoseComment"),
        *measured("DoseGridScaling", "DoseUnits per stored value"),
        *computed("ReferencedSeriesSOPUIDs", TEXTS, set_or_plan, _SET, _PLAN),
    ),
    references=(
        *names_frame_of_reference(prefer="CT,MR,PT"),
        *names_instances("plan", _PLAN),
        *names_instances("structure_set", _SET),
        *names_instances("treatment_record", "ReferencedTreatmentRecordSequence"),
        *names_instances("registration", "ReferencedSpatialRegistrationSequence"),
        *names_instances("structure_set", _OVERVIEW, _SET),
        *names_instances("image", _OVERVIEW, "ReferencedImageSequence"),
    ),
    every_instance=True,
)
