"""Bytes to values: the light attributes, deep metadata, references."""
