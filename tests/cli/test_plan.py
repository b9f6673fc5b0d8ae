"""``dcmdask plan``: what a run would do, against the catalog that is there."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from source.making import instance, tar_of, zip_of


def _against(text: str) -> tuple[str, str]:
    """Give how the sources differ from the catalog, and what a run reads."""
    differs, reads = text.splitlines()[-2:]
    return differs.rpartition(": ")[2], reads.removeprefix("  a run reads ")


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
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert ("0 new, 0 changed, 0 gone, 9 unchanged", "0 files") == _against(
        command("plan", source, "-o", out).out
    )
    (source / "P1" / "1.dcm").unlink()
    (source / "P2" / "cut.dcm").write_bytes(instance(4))
    os.utime(source / "P1" / "a.zip", (1, 1))
    (source / "P4").mkdir()
    (source / "P4" / "new").write_bytes(b"")
    done = command("plan", source, "-o", out)
    assert [
        "9 files, 0.0 MB",
        "  archives by name: 2; members are counted when they are read",
        "  cases: 3",
        "  tasks: 1 of about 4,096 files",
        f"  against {out}: 1 new, 2 changed, 1 gone, 6 unchanged",
        "  a run reads 3 files",
    ] == done.out.splitlines()
    *chosen, refused = command("plan", source, "-o", out, "--include", "P4/*").out.splitlines()
    assert ("1 new, 0 changed, 9 gone, 0 unchanged", "1 file") == _against("\n".join(chosen))
    assert refused.startswith("  it would end with 4 and publish nothing: of 7 known instances 7 ")
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_a_plan_is_what_a_run_does(command, source: Path, tmp_path: Path) -> None:
    """The run reads so many files as were foretold, and says of them what the plan said."""
    out = tmp_path / "out"
    assert 0 == command("run", source, "--out", out, "-q").code
    (source / "P1" / "1.dcm").unlink()
    (source / "P2" / "cut.dcm").write_bytes(instance(4))
    differs, reads = _against(command("plan", source, "-o", out).out)
    assert ("0 new, 1 changed, 1 gone, 3 unchanged", "1 file") == (differs, reads)
    done = command("run", source, "--out", out)
    assert f"  files: {differs}\n" in done.out
    assert "4 files found, 3 of them known, 0 MB to read" in done.err


@pytest.mark.parametrize(
    ("flag", "why"),
    [("--full", "--full"), ("--desensitize", "it was read with other settings or releases")],
)
def test_a_plan_says_why_all_is_read_again(
    command, source: Path, tmp_path: Path, flag: str, why: str
) -> None:
    """With these switches nothing of the catalog that is there is of use."""
    out = tmp_path / "out"
    assert 0 == command("run", source, "--out", out, "-q").code
    done = command("plan", source, "-o", out, flag)
    assert [
        f"  {out}: all is read again ({why})",
        "  a run reads 5 files",
    ] == done.out.splitlines()[-2:]
    assert f"  all was read again: {why}\n" in command("run", source, "-o", out, flag).out
