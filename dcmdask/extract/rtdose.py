"""RTDOSE: PS3.3 A.18 and C.8.8.3."""

from __future__ import annotations

from pydicom.uid import RTDoseStorage

from dcmdask.extract.table import (
    Extractor,
    measured,
    names_frame_of_reference,
    names_instances,
    plain,
)

_OVERVIEW = "PlanOverviewSequence"

RTDOSE = Extractor(
    modality="RTDOSE",
    sop_classes=(RTDoseStorage,),
    attributes=(
        *plain("DoseType", "DoseUnits", "DoseSummationType", "DoseComment"),
        *measured("DoseGridScaling", "DoseUnits per stored value"),
    ),
    references=(
        *names_frame_of_reference(prefer="CT,MR,PT"),
        *names_instances("plan", "ReferencedRTPlanSequence"),
        *names_instances("structure_set", "ReferencedStructureSetSequence"),
        *names_instances("treatment_record", "ReferencedTreatmentRecordSequence"),
        *names_instances("registration", "ReferencedSpatialRegistrationSequence"),
        *names_instances("structure_set", _OVERVIEW, "ReferencedStructureSetSequence"),
        *names_instances("image", _OVERVIEW, "ReferencedImageSequence"),
    ),
    every_instance=True,
)
