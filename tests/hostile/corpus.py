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
    Entry("zip bomb", archives.write_zip_bomb, 256, 1 << 16, _of()),
    Entry("zip overlap", archives.write_zip_overlap, 200, 65_535, _of()),
    Entry("streams", archives.write_streams, 256, 10 << 10, _of()),
    Entry("tar bomb", archives.write_tar_bomb, 512, 1 << 20, _of()),
    Entry("layers", archives.write_layers, 1024, 1 << 20, _of()),
    Entry("dictionary", archives.write_dictionary, 256, 1536, _of()),
    Entry("zip counts", archives.write_zip_counts, 0, 0, _of()),
    Entry("zip directory", archives.write_zip_directory, 2_000, 20_000, _of()),
    Entry("zip many", archives.write_zip_many, 66_000, 1_000_000, _of()),
    Entry("zip names", archives.write_zip_names, 300, 65_535, _of()),
    Entry("tar sizes", archives.write_tar_sizes, 0, 0, _of()),
    Entry("tar many", archives.write_tar_many, 20_000, 1_000_000, _of()),
    Entry("tar headers", archives.write_tar_headers, 4_000, 2_000_000, _of()),
    Entry("tar same", archives.write_endless_tar, 8, 4_000, _of()),
    Entry("gzip name", archives.write_gzip_name, 1, 1_000, _of()),
    Entry("nested", archives.write_nested, 50, 1_000, _of()),
    Entry("matryoshka", archives.write_matryoshka, 20, 50, _of()),
    Entry("nested large", archives.write_nested_large, 100, 2_000, _of()),
    Entry("member names", archives.write_odd_names, 0, 0, _of()),
    Entry("lengths", headers.write_lengths, 0, 0, _of()),
    Entry("group lengths", headers.write_group_lengths, 0, 0, _of()),
    Entry("deep", headers.write_deep, 10_000, 1_000_000, _of()),
    Entry("items", headers.write_items, 100_000, 10_000_000, _of()),
    Entry("elements", headers.write_elements, 300_000, 10_000_000, _of()),
    Entry("values", headers.write_values, 8 << 20, 64 << 20, _of()),
    Entry("frames", headers.write_frames, 50_000, 1_000_000, _of()),
    Entry("deflated", headers.write_deflated, 256, 10 << 10, _of()),
    Entry("contours", headers.write_contours, 20_000, 1_000_000, _of()),
    Entry("content", headers.write_content, 10_000, 1_000_000, _of()),
    Entry("endless", headers.write_endless, 100_000, 100_000, _of()),
    Entry("sparse", files.write_sparse, 100_000, 100_000, _of()),
    Entry("empty", files.write_empty, 5_000, 1_000_000, _of()),
    Entry("file names", files.write_names, 0, 0, _of()),
    Entry("folders", files.write_depth, 1_100, 3_000, _of()),
    Entry("specials", files.write_specials, 0, 0, _of()),
    Entry("changing", files.write_changing, 300, 20_000, _of(), certain=False, while_running=files.changing),
)
"""Every entry, one run each."""
