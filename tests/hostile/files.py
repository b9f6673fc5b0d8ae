"""Take a folder and a size; write files and folders that are hostile as such."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hostile.blocks import body, endless_header, neighbour, part10

_NAMES = ("", ".dcm", ".zip", ".tar", ".tar.gz", ".gz", ".xz", ".bz2")


def write_sparse(folder: Path, size: int) -> None:
    """Write files of so many MiB that take no room, with and without a header, named anything."""
    # Behind a whole header two million empty elements are read: one file of it is enough.
    begins = {"zeros": (b"", _NAMES), "header": (part10(body()), _NAMES[:1])}
    for word, (begin, suffixes) in {**begins, "endless": (endless_header(), _NAMES)}.items():
        for suffix in suffixes:
            with (folder / f"{word}{suffix}").open("wb") as file:
                file.write(begin)
                file.truncate(size << 20)


def write_empty(folder: Path, size: int) -> None:
    """Write so many empty files."""
    for number in range(0, size, 10_000):
        below = folder / f"{number:07d}"
        below.mkdir()
        for one in range(number, min(size, number + 10_000)):
            os.close(os.open(below / f"{one:07d}.dcm", os.O_CREAT | os.O_WRONLY))


def write_names(folder: Path, _size: int) -> None:
    """Write instances under names that are no text, longest, or misleading."""
    names = (
        b"\xff\xfe.dcm",
        b"caf\xe9",
        b"n" * 255,
        b"\xc3\xa9" * 127,
        b"new\nline",
        b"\x1b[31mred",
        "\u202egpj.dcm".encode(),
        b" ",
        b"...",
        b"-rf",
        b"a!b.dcm",
        b"%2e%2e",
        b"::file:",
        b"CON",
        b"c:\\x",
    )
    for name in names:
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(neighbour())


def write_depth(folder: Path, size: int) -> None:
    """Make so many folders in folders, with an instance in the last: no path leads there."""
    at = os.open(folder, os.O_RDONLY)
    for _ in range(size):
        os.mkdir("deep", dir_fd=at)
        below = os.open("deep", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    with open(os.open("x.dcm", os.O_WRONLY | os.O_CREAT, dir_fd=at), "wb") as file:
        file.write(neighbour())
    os.close(at)


def write_specials(folder: Path, _size: int) -> None:
    """Make what is no file: links in circles and into nowhere, a FIFO, a socket, devices."""
    (folder / "self").symlink_to("self")
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    (folder / "nowhere").symlink_to("nothing")
    (folder / "up").symlink_to("..")
    (folder / "here").symlink_to(".")
    for device in ("zero", "null", "tty", "random"):
        (folder / device).symlink_to(f"/dev/{device}")
    os.mkfifo(folder / "fifo.dcm")
    with socket.socket(socket.AF_UNIX) as one:
        before = os.getcwd()
        # The path of a socket is short.
        os.chdir(folder)
        try:
            one.bind("socket.dcm")
        finally:
            os.chdir(before)


def write_changing(folder: Path, size: int) -> None:
    """Write so many files for `changing` to change."""
    for number in range(size):
        (folder / f"{number}.dcm").write_bytes(neighbour() + bytes(20_000))


@contextmanager
def changing(folder: Path) -> Iterator[None]:
    """Let the files of a folder grow, shrink, vanish, lose their permissions and come back."""
    paths = [path for path in sorted(folder.glob("*.dcm")) if path.stem.isdigit()]
    left = threading.Event()

    def change() -> None:
        turn = 0
        while not left.wait(0.001):
            turn += 1
            path = paths[turn % len(paths)]
            with suppress(OSError):
                if turn % 4 == 0:
                    path.unlink()
                elif turn % 4 == 1:
                    os.truncate(path, turn % 700)
                elif turn % 4 == 2:
                    path.write_bytes(neighbour() + bytes(turn % 20_000))
                else:
                    path.chmod(0o600 if turn % 8 == 3 else 0)

    changer = threading.Thread(target=change)
    changer.start()
    try:
        yield
    finally:
        left.set()
        changer.join()


def remove(folder: Path) -> None:
    """Remove a folder, also one that is deeper than any path."""
    while (deep := folder / "deep").is_dir():
        # A level is lifted out of the one above it.
        deep.rename(folder / "lifted")
        if (folder / "lifted" / "deep").exists():
            (folder / "lifted" / "deep").rename(folder / "deep")
        shutil.rmtree(folder / "lifted")
    shutil.rmtree(folder)
