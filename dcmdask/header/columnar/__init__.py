"""Take the first bytes of many files; give their light attributes as Arrow columns, in numpy only.

The rooms, in the way of the data: `scan` decides what is read how; `lockstep` walks all files
element by element; `layout` and `follow` pass whole stretches at once where files are laid out
alike; `columns` turns the bytes that were found into values. `state` is what they share, `elements`
what they know of DICOM.
"""

from dcmdask.header.columnar.scan import Scan, scan_windows

__all__ = ["Scan", "scan_windows"]
