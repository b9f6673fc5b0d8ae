"""The table of hostile files: what each is, how it is made, what may come of it, what it may cost.

`small` sizes are for the suite, `full` ones for ``python benchmarks/hostile.py``. What a size counts
is said by the function that writes the files.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from hostile import archives, files, headers
from hostile.blocks import neighbour

NEIGHBOUR = "neighbour.dcm"
"""The sane instance that lies in the folder of every entry."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One kind of hostile file.

    Attributes
    ----------
    name : str
        Names the folder too.
    write : callable
        Folder and size: writes the files. Its first line says what they are.
    small, full : int
        Sizes.
    outcomes : frozenset of str
        What comes of the files: ``instance`` or kinds of failure.
    certain : bool
        Whether all of `outcomes` come, each time.
    seconds : float
        What a run of small size may take, on a slow machine.
    mebibytes : int
        What the reading process may hold at most, whatever the size.
    while_running : callable
        Folder to a context in which it is crawled.
    """

    name: str
    write: Callable[[Path, int], None]
    small: int
    full: int
    outcomes: frozenset[str]
    certain: bool = True
    seconds: float = 20.0
    mebibytes: int = 600
    while_running: Callable[[Path], AbstractContextManager[None]] = lambda _folder: nullcontext()

    @property
    def what(self) -> str:
        """What it is, in one sentence."""
        return (self.write.__doc__ or "").strip().splitlines()[0]

    def make(self, folder: Path, size: int) -> None:
        """Write the files and their neighbour."""
        folder.mkdir(parents=True)
        (folder / NEIGHBOUR).write_bytes(neighbour())
        self.write(folder, size)


def _of(*outcomes: str) -> frozenset[str]:
    return frozenset(outcomes)


CORPUS = (
    Entry("zip bomb", archives.write_zip_bomb, 256, 1 << 16, _of("too_large", "not_dicom")),
    Entry(
        "zip overlap",
        archives.write_zip_overlap,
        18,
        65_535,
        _of("corrupt_archive", "not_dicom", "too_large"),
    ),
    Entry("streams", archives.write_streams, 96, 10 << 10, _of("too_large", "not_dicom")),
    Entry("tar bomb", archives.write_tar_bomb, 128, 1 << 20, _of("not_dicom", "instance")),
    Entry("layers", archives.write_layers, 256, 10 << 10, _of("not_dicom", "too_large")),
    Entry("dictionary", archives.write_dictionary, 176, 512, _of("too_large")),
    Entry(
        "zip counts",
        archives.write_zip_counts,
        0,
        0,
        _of("corrupt_archive", "not_dicom", "instance"),
    ),
    Entry("zip directory", archives.write_zip_directory, 2_000, 20_000, _of("corrupt_archive")),
    Entry("zip many", archives.write_zip_many, 66_000, 1_000_000, _of("not_dicom")),
    Entry("zip names", archives.write_zip_names, 300, 65_535, _of("corrupt_archive")),
    Entry(
        "tar sizes", archives.write_tar_sizes, 0, 0, _of("corrupt_archive", "not_dicom", "instance")
    ),
    Entry("tar many", archives.write_tar_many, 5_000, 1_000_000, _of("not_dicom")),
    Entry(
        "tar headers",
        archives.write_tar_headers,
        2_000,
        400_000,
        _of("too_large", "corrupt_archive"),
    ),
    Entry("tar same", archives.write_endless_tar, 1, 100, _of("instance")),
    Entry("gzip name", archives.write_gzip_name, 1, 1_000, _of("instance")),
    Entry("nested", archives.write_nested, 50, 1_000, _of("too_large", "instance")),
    Entry("matryoshka", archives.write_matryoshka, 20, 50, _of("corrupt_archive")),
    Entry("nested large", archives.write_nested_large, 40, 2_000, _of("not_dicom", "instance")),
    Entry("member names", archives.write_odd_names, 0, 0, _of("instance")),
    Entry("lengths", headers.write_lengths, 0, 0, _of("truncated", "instance")),
    Entry("group lengths", headers.write_group_lengths, 0, 0, _of("instance")),
    Entry("deep", headers.write_deep, 3_000, 1_000_000, _of("instance")),
    Entry("items", headers.write_items, 20_000, 10_000_000, _of("instance")),
    Entry("elements", headers.write_elements, 100_000, 10_000_000, _of("instance")),
    Entry("values", headers.write_values, 8 << 20, 64 << 20, _of("instance")),
    Entry("frames", headers.write_frames, 20_000, 1_000_000, _of("instance")),
    Entry(
        "deflated", headers.write_deflated, 80, 10 << 10, _of("too_large", "corrupt", "instance")
    ),
    Entry("contours", headers.write_contours, 10_000, 1_000_000, _of("instance")),
    Entry("content", headers.write_content, 3_000, 1_000_000, _of("instance")),
    Entry("endless", headers.write_endless, 100_000, 100_000, _of("instance")),
    Entry(
        "sparse",
        files.write_sparse,
        100_000,
        100_000,
        _of("instance", "not_dicom", "corrupt_archive"),
    ),
    Entry("empty", files.write_empty, 5_000, 1_000_000, _of("not_dicom")),
    Entry("file names", files.write_names, 0, 0, _of("instance")),
    Entry("folders", files.write_depth, 1_100, 3_000, _of("unexpected")),
    Entry("specials", files.write_specials, 0, 0, _of("vanished", "not_entered", "not_dicom")),
    Entry(
        "changing",
        files.write_changing,
        300,
        20_000,
        _of(
            "not_dicom",
            "vanished",
            "truncated",
            "corrupt",
            "instance",
            "access_denied",
            "unexpected",
        ),
        certain=False,
        while_running=files.changing,
    ),
)
"""Every entry, one run each."""
