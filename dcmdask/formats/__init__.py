"""One file a format: table in, bytes out."""
