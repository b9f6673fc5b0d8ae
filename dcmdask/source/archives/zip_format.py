"""How a zip is written: signatures, records and flags of PKWARE's APPNOTE."""

from __future__ import annotations

import struct
from typing import Final

LOCAL_SIGNATURE: Final = b"PK\x03\x04"
LOCAL: Final = struct.Struct("<4s5H3L2H")
"""The header before a member (4.3.7)."""

BEHIND_SIGNATURE: Final = b"PK\x07\x08"
"""Begins what stands behind a member that was written as it was sent (4.3.9), and the first part of a
zip that was split (8.5.3)."""

UNSPLIT: Final = b"PK00"
"""Begins a zip that was to be split and fits into one part (8.5.4)."""

ENTRY_SIGNATURE: Final = b"PK\x01\x02"
ENTRY: Final = struct.Struct("<4s6H3L5H2L")
ENTRY_SIZE: Final = ENTRY.size
"""An entry of the directory, without what follows it (4.3.12)."""

END_SIGNATURE: Final = b"PK\x05\x06"
END: Final = struct.Struct("<4s4H2LH")
"""The end record (4.3.16)."""

END64_SIGNATURE: Final = b"PK\x06\x06"
END64: Final = struct.Struct("<4sQ2H2L4Q")
LOCATOR_SIGNATURE: Final = b"PK\x06\x07"
LOCATOR: Final = struct.Struct("<4sLQL")
"""The end record of a large zip, and what says where it is (4.3.14, 4.3.15)."""

UTF8: Final = 0x800
"""Flag of a name that is UTF-8 (4.4.4)."""

FULL: Final = 0xFFFFFFFF
"""Instead of a number that stands in the extra field of large ones."""

WIDE: Final = 0x0001
"""Extra field of numbers of 64 bits (4.5.3)."""

UNICODE_PATH: Final = 0x7075
"""Extra field of a name in UTF-8 (4.6.9)."""
