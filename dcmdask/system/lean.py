"""Keep out of a process of our own what libraries would load and nothing in it needs."""

from __future__ import annotations

import importlib.abc
import os
import sys

_DOWNLOADS = "pydicom.data.download"


class _WithoutNeedless(importlib.abc.MetaPathFinder):
    """Finds that there is no pandas, and for pydicom's examples no requests."""

    def find_spec(self, name: str, *_where: object) -> None:
        if name == "pandas" or (name == "requests" and _is_loading(_DOWNLOADS)):
            raise ModuleNotFoundError(name)


def _is_loading(module: str) -> bool:
    spec = getattr(sys.modules.get(module), "__spec__", None)
    return getattr(spec, "_initializing", False)


def be_lean() -> None:
    """Load less in a process of our own: to be called before numpy, Arrow and pydicom are loaded.

    Arrow looks for pandas with the first array it makes: a fifth of a second, and forty megabytes.
    pydicom looks for requests, where it is installed, to download its examples: 0.08 s; clients of
    stores that need requests find it. numpy starts a thread a core for linear algebra: there is none.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if not any(isinstance(finder, _WithoutNeedless) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WithoutNeedless())
