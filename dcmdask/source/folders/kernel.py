"""Which folders of this machine hold no files of a disk: what the system says of itself, and devices.

A walk that gets into them comes to no good end: ``/proc/self/root`` is the whole machine again.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

_KINDS = frozenset(
    {
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "devtmpfs",
        "efivarfs",
        "fusectl",
        "hugetlbfs",
        "mqueue",
        "nsfs",
        "proc",
        "pstore",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "sysfs",
        "tracefs",
    }
)
_USUAL = ("/proc", "/sys", "/dev")
_ESCAPED = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class KernelFolders:
    """Where such folders are.

    Attributes
    ----------
    paths : frozenset of str
        Their real paths.
    devices : frozenset of int
        What ``st_dev`` is of all that lies in them.
    """

    paths: frozenset[str]
    devices: frozenset[int]


def kernel_folders(mounts: str = "/proc/self/mountinfo") -> KernelFolders:
    """Return the folders of this machine that hold no files of a disk.

    Parameters
    ----------
    mounts : str
        Linux's list of mounts (proc(5)); where there is none, the usual places are looked at.
    """
    try:
        with open(mounts, "rb") as stream:
            found = [_mount(line) for line in stream]
    except OSError:
        return _usual()
    chosen = [mount[:2] for mount in found if mount is not None and _is_kernels(*mount)]
    return KernelFolders(
        frozenset(path for path, _ in chosen), frozenset(device for _, device in chosen)
    )


def _is_kernels(path: str, _device: int, kind: str) -> bool:
    # In a container /dev is a tmpfs; /dev/shm below it is another one, and may hold anything.
    return kind in _KINDS or path == "/dev"


def _mount(line: bytes) -> tuple[str, int, str] | None:
    """Return path, device and kind of a mount; None for a line that is none."""
    fields = line.split()
    try:
        major, minor = map(int, fields[2].split(b":"))
        path = _ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), fields[4])
        kind = fields[fields.index(b"-", 6) + 1]
        return os.fsdecode(path), os.makedev(major, minor), os.fsdecode(kind)
    except (IndexError, ValueError, OverflowError):
        return None


def _usual() -> KernelFolders:
    paths = [path for path in _USUAL if os.name == "posix" and os.path.ismount(path)]
    devices = []
    for path in paths:
        try:
            devices.append(os.stat(path).st_dev)
        except OSError:
            continue
    return KernelFolders(frozenset(paths), frozenset(devices))
