"""DICOM's own: values, text, sequence items, functional groups, windows of a header."""
