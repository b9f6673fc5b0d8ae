"""``dcmdask plan``: what a run would do, against the catalog that is there."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

from source.making import instance, tar_of, zip_of


def _against(text: str) -> str:
    return text.splitlines()[-1].rpartition(": ")[2]


def test_a_plan_counts_and_writes_nothing(command, source: Path, tmp_path: Path) -> None:
    """Files, bytes, archives, cases and tasks; no output is made."""
    (source / "P3.zip").write_bytes(zip_of({"a": instance(7)}))
    done = command("plan", source, "--partition-size", "4")
    assert (0, "") == (done.code, done.err)
    assert [
        "6 files, 0.0 MB",
        "  archives by name: 1; members are counted when they are read",
        "  cases: 3",
        "  tasks: 2 of about 4 files",
        f"  {tmp_path / '.imgtools' / 'in'}: no catalog there yet; a run reads everything",
    ] == done.out.splitlines()
    assert ["in"] == os.listdir(tmp_path)


def test_a_plan_compares_with_the_catalog(command, source: Path, tmp_path: Path) -> None:
    """New, changed, gone and unchanged files are told apart, archives as one file each."""
    (source / "P1" / "a.zip").write_bytes(zip_of({"x": instance(7), "y": b""}))
    (source / "P1" / "b.tar.gz").write_bytes(tar_of({"x": instance(8)}, "w:gz"))
    (source / "P1" / "c::d.dcm").write_bytes(instance(9))
    (source / "P1" / "e::f.gz").write_bytes(gzip.compress(instance(10)))
    out = tmp_path / "out"
    assert 0 == command("run", source, "--out", out, "-q").code
    assert "0 new, 0 changed, 0 gone, 9 unchanged" == _against(
        command("plan", source, "-o", out).out
    )
    (source / "P1" / "1.dcm").unlink()
    (source / "P2" / "cut.dcm").write_bytes(instance(4))
    os.utime(source / "P1" / "a.zip", (1, 1))
    (source / "P4").mkdir()
    (source / "P4" / "new").write_bytes(b"")
    assert "1 new, 2 changed, 1 gone, 6 unchanged" == _against(
        command("plan", source, "-o", out).out
    )
    chosen = command("plan", source, "-o", out, "--include", "P4/*").out
    assert "1 new, 0 changed, 9 gone, 0 unchanged" == _against(chosen)
