"""Take files; leave the job that the programs in `readers/` are given."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from pydicom.datadict import tag_for_keyword

from dcmdask.tables.schema import LIGHT

READERS = Path(__file__).parent / "readers"


def write_job(job: Path, paths: Iterable[Path]) -> None:
    """Write which files are to be read, and which attributes of them: the light ones."""
    attributes = []
    for word in LIGHT:
        tag = tag_for_keyword(word)
        assert tag is not None
        attributes.append([word, tag >> 16, tag & 0xFFFF])
    content = {"attributes": attributes, "paths": sorted(str(path) for path in paths)}
    job.write_text(json.dumps(content), "utf-8")
