"""A report with one measurement (PS3.3, A.35.3)."""

from dcmdask.synthetic.objects.values import Values, code, reference, series_reference
from dcmdask.synthetic.plan import Plan
from dcmdask.synthetic.uids import STUDY_UID


def build_sr(plan: Plan) -> dict[str, object]:
    """Return its elements."""
    subject = plan.target("SR")
    evidence = [subject, plan.target("SEG")] if subject == "SEG" else [subject]
    return {
        "SeriesDescription": "Synthetic measurements",
        "ReferencedPerformedProcedureStepSequence": [],
        "PerformedProcedureCodeSequence": [],
        "CompletionFlag": "COMPLETE",
        "VerificationFlag": "UNVERIFIED",
        "CurrentRequestedProcedureEvidenceSequence": [
            {
                "StudyInstanceUID": STUDY_UID,
                "ReferencedSeriesSequence": [
                    series_reference(plan, modality, "ReferencedSOPSequence")
                    for modality in evidence
                ],
            }
        ],
        "ValueType": "CONTAINER",
        "ConceptNameCodeSequence": code("126000", "DCM", "Imaging Measurement Report"),
        "ContinuityOfContent": "SEPARATE",
        "ContentSequence": _make_content(subject),
    }


def _make_content(subject: str) -> list[Values]:
    """Return the items of the report: a comment, a volume, and what was measured."""
    segment = {"ReferencedSegmentNumber": 1} if subject == "SEG" else {}
    volume = {
        "NumericValue": "1523.5",
        "MeasurementUnitsCodeSequence": code("cm3", "UCUM", "cubic centimeter"),
    }
    return [
        {
            "RelationshipType": "CONTAINS",
            "ValueType": "TEXT",
            "ConceptNameCodeSequence": code("121106", "DCM", "Comment"),
            "TextValue": "Synthetic: measured on no patient.",
        },
        {
            "RelationshipType": "CONTAINS",
            "ValueType": "NUM",
            "ConceptNameCodeSequence": code("118565006", "SCT", "Volume"),
            "MeasuredValueSequence": [volume],
        },
        {
            "RelationshipType": "CONTAINS",
            "ValueType": "IMAGE",
            "ConceptNameCodeSequence": code("260753009", "SCT", "Source"),
            "ReferencedSOPSequence": [{**reference(subject), **segment}],
        },
    ]
