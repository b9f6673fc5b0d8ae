"""DICOMweb services: what lists them, what reads of them."""
