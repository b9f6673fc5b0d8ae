"""SR: PS3.3 A.35 and C.17.2, C.17.3."""

from __future__ import annotations

from pydicom.uid import (
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    ExtensibleSRStorage,
)

from dcmdask.extract.table import Extractor, ReferencePath, names_series, plain

_SERIES = "ReferencedSeriesSequence"

SR = Extractor(
    modality="SR",
    sop_classes=(
        BasicTextSRStorage,
        EnhancedSRStorage,
        ComprehensiveSRStorage,
        Comprehensive3DSRStorage,
        ExtensibleSRStorage,
    ),
    attributes=plain("CompletionFlag", "VerificationFlag", "ValueType"),
    references=(
        *names_series("evidence", "CurrentRequestedProcedureEvidenceSequence", _SERIES),
        *names_series("other_evidence", "PertinentOtherEvidenceSequence", _SERIES),
        *names_series("predecessor", "PredecessorDocumentsSequence", _SERIES),
        *names_series("identical_document", "IdenticalDocumentsSequence", _SERIES),
        ReferencePath(("ContentSequence",), "content", "content", fallback=True),
    ),
    every_instance=True,
    # (0040,A730) ContentSequence is asked only where no evidence stands before it.
    bulk=0x0040A730,
)
