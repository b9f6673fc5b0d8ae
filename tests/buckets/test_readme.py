"""The README's commands about buckets run as they stand, and print what it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from servers import Server, fill, make_bucket, put_public

from dcmdask.synthetic import write_synthetic

README = (Path(__file__).parent.parent.parent / "README.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the commands are for a POSIX shell"
)


def session(number: int) -> list[tuple[str, str]]:
    """Give the commands of a block about buckets with what they print, but for exports."""
    block = re.findall(r"```shell-session\n(.*?)```", README, flags=re.DOTALL)[number]
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    pairs = [(part.split("\n", 1)[0], part.split("\n", 1)[1]) for part in parts]
    return [(command, shown) for command, shown in pairs if not command.startswith("export ")]


def settled(text: str, folder: Path) -> str:
    """Give an output without what differs from run to run."""
    text = text.replace(f"{folder}{os.sep}", "")
    text = re.sub(r"\d+\.\d s, \d+ files/s", "T", text)
    return re.sub(r"catalog-[0-9a-f]{16}", "catalog-NAME", text)


def run_session(number: int, folder: Path, variables: Mapping[str, str]) -> None:
    """Run the commands of a block in a folder; compare what each prints."""
    here = Path(sys.executable).parent
    path = f"{here}{os.pathsep}{os.environ['PATH']}"
    others = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    for command, shown in session(number):
        done = subprocess.run(
            command.split(),
            cwd=folder,
            env={**others, "PATH": path, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert settled(shown, folder) == settled(done.stdout, folder)


def test_a_server_of_ones_own_is_read_and_written(seaweed: Server, tmp_path: Path) -> None:
    """With endpoint and credentials in the environment, source and catalog are URLs and no more."""
    write_synthetic(tmp_path / "exports", patients=2, slices=8)
    for bucket in ("hospital", "catalogs"):
        make_bucket(seaweed, bucket)
    fill(seaweed, "hospital", tmp_path / "exports", "exports/")
    variables = {
        "AWS_ENDPOINT_URL": seaweed.url,
        "AWS_ACCESS_KEY_ID": seaweed.key,
        "AWS_SECRET_ACCESS_KEY": seaweed.secret,
    }
    run_session(0, tmp_path.resolve(), variables)


def test_public_data_need_no_credentials(moto: Server, tmp_path: Path) -> None:
    """What a bucket gives to anybody is read without asking who it is."""
    write_synthetic(tmp_path / "exports", patients=1, slices=8)
    make_bucket(moto, "idc-open-data")
    for path in (tmp_path / "exports" / "SYN-0001" / "CT").iterdir():
        put_public(moto, "idc-open-data", f"0d5b1b5b/{path.name}", path.read_bytes())
    run_session(1, tmp_path.resolve(), {"AWS_ENDPOINT_URL": moto.url})
