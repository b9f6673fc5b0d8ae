"""Lists of files, taken in place of a walk."""
