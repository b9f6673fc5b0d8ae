"""What is read of every object, whatever its modality."""

from __future__ import annotations

from dcmdask.extract.table import measured, names_instances, names_series, plain

BASE = (
    *plain("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "Modality"),
    *plain("SOPClassUID", "SeriesNumber", "SeriesDescription", "StudyDescription"),
    *plain("BodyPartExamined"),
    *measured("DataCollectionDiameter", "mm"),
    *plain("FrameOfReferenceUID", "NumberOfSlices", "NumberOfFrames", "Rows", "Columns"),
    *measured("SliceThickness", "mm"),
    *plain("PatientPosition"),
    *measured("PixelSpacing", "mm"),
    *plain("ImageOrientationPatient"),
    *measured("ImagePositionPatient", "mm"),
    *measured("SpacingBetweenSlices", "mm"),
    *plain("RescaleType", "RescaleSlope", "RescaleIntercept"),
    *plain("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions"),
    *plain("InstitutionName", "StationName"),
    *plain("ScanType", "ScanProgressionDirection", "ScanOptions"),
    *plain("AcquisitionNumber", "ProtocolName"),
    *plain("StudyDate", "StudyTime", "SeriesDate", "SeriesTime", "ContentDate", "ContentTime"),
    *plain("AcquisitionDate", "AcquisitionTime", "InstanceCreationDate", "InstanceCreationTime"),
)
"""Base attributes: at least those of Med-ImageTools 2."""

# Common Instance Reference (PS3.3 C.12.2), General Reference (C.12.4) and Related Series (C.7.3.1).
_SERIES = "ReferencedSeriesSequence"
_OTHER_STUDIES = "StudiesContainingOtherReferencedInstancesSequence"

COMMON_REFERENCES = (
    *names_series("image", _SERIES),
    *names_series("image", _OTHER_STUDIES, _SERIES),
    *names_series("related_series", "RelatedSeriesSequence"),
    *names_instances("image", "ReferencedImageSequence"),
    *names_instances("image", "SourceImageSequence"),
    *names_instances("instance", "ReferencedInstanceSequence"),
    *names_instances("instance", "SourceInstanceSequence"),
)
"""Paths that may stand in any object."""

EVIDENCE_OF_ENHANCED_IMAGES = (
    *names_series("image", "ReferencedImageEvidenceSequence", _SERIES),
    *names_series("image", "SourceImageEvidenceSequence", _SERIES),
)
"""Enhanced CT, MR and PT (PS3.3 C.8.13.2.1)."""
