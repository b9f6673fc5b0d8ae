"""The same input gives the same catalog, however the work was cut and whoever did it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import crawl, examples, published, rows

from dcmdask.synthetic import write_synthetic

OPTIONS = {"merge_all": True, "export_json": True}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give folders, a zip and a tar.gz of linked patients, and a file that is no DICOM."""
    folder = tmp_path_factory.mktemp("determinism") / "exports"
    write_synthetic(folder / "site", patients=3, slices=5)
    for number, archives in enumerate(("zip", "tar.gz")):
        write_synthetic(folder / archives, patients=2, slices=4, seed=number + 1, archives=archives)
    (folder / "notes.txt").write_text("not DICOM")
    return folder


@pytest.fixture(scope="module")
def undisturbed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the catalog that all others must equal: in this process, in one partition."""
    out = tmp_path_factory.mktemp("undisturbed")
    crawl(source, out, partition_size=100_000, **OPTIONS)
    return out


@pytest.mark.parametrize(("workers", "below"), [(1, 0), (2, 0), (2, 50)])
def test_a_cluster_gives_the_same_bytes(
    source: Path,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
    below: int,
) -> None:
    """One worker or two, from the start or half way: every file is byte for byte the same."""
    monkeypatch.setattr("dcmdask.listing.listing._REPORT_EVERY", 10)
    monkeypatch.setattr("dcmdask.state.manifest.PIECE_ROWS", 10)
    crawl(source, tmp_path, workers=workers, in_process_below=below, partition_size=7, **OPTIONS)
    assert published(undisturbed) == published(tmp_path)
    assert rows(undisturbed).equals(rows(tmp_path))


@pytest.mark.parametrize("seed", ["0", "1", "4711"])
def test_the_hash_seed_decides_nothing(
    source: Path, undisturbed: Path, tmp_path: Path, seed: str
) -> None:
    """Whatever the order of sets and dictionaries, the files are the same."""
    command = [sys.executable, "-m", "dcmdask", "run", str(source), "--out", str(tmp_path)]
    flags = ["--merge-all", "--export-json", "--quiet", "--partition-size", "20"]
    subprocess.run(command + flags, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
    assert published(undisturbed) == published(tmp_path)


@settings(max_examples=examples(8), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(partition_size=st.integers(1, 120))
def test_the_cut_decides_nothing(
    source: Path,
    undisturbed: Path,
    tmp_path_factory: pytest.TempPathFactory,
    partition_size: int,
) -> None:
    """Partitions of any size give the same files and the same instances."""
    out = tmp_path_factory.mktemp("cut")
    crawl(source, out, partition_size=partition_size, **OPTIONS)
    assert published(undisturbed) == published(out)
    assert rows(undisturbed).equals(rows(out))


@pytest.mark.data
def test_the_sample_data_gives_the_same_bytes(data: Path, tmp_path: Path) -> None:
    """On real files too, with their duplicates and oddities, the cut decides nothing."""
    crawl(data, tmp_path / "whole", partition_size=100_000, **OPTIONS)
    crawl(data, tmp_path / "cut", partition_size=83, workers=2, in_process_below=0, **OPTIONS)
    assert published(tmp_path / "whole") == published(tmp_path / "cut")
    assert rows(tmp_path / "whole").equals(rows(tmp_path / "cut"))
