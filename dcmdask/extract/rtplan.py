"""RTPLAN: PS3.3 A.20 (RT Plan) and A.49 (RT Ion Plan)."""

from __future__ import annotations

from pydicom.uid import RTIonPlanStorage, RTPlanStorage

from dcmdask.extract.table import Extractor, names_instances, plain

_DOSE = "ReferencedDoseSequence"

RTPLAN = Extractor(
    modality="RTPLAN",
    sop_classes=(RTPlanStorage, RTIonPlanStorage),
    attributes=plain(
        "RTPlanLabel", "RTPlanName", "RTPlanDate", "RTPlanTime", "RTPlanGeometry", "PlanIntent"
    ),
    references=(
        *names_instances("structure_set", "ReferencedStructureSetSequence"),
        *names_instances("related_plan", "ReferencedRTPlanSequence"),
        *names_instances("dose", _DOSE),
        *names_instances("dose", "FractionGroupSequence", _DOSE),
        *names_instances("dose", "BeamSequence", _DOSE),
        *names_instances("dose", "IonBeamSequence", _DOSE),
        *names_instances("image", "BeamSequence", "ReferencedReferenceImageSequence"),
    ),
    every_instance=True,
)
