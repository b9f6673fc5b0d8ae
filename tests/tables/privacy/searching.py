"""Looks for text in all that an output holds, as it stands and as it is packed."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dcmdask.tables.privacy.folding import fold


def texts_in(folder: Path) -> dict[str, str]:
    """Give the text of every file in a folder, tables unpacked: folded, without what parts words."""
    return {
        path.relative_to(folder).as_posix(): _plain(_text(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _text(path: Path) -> str:
    content = path.read_bytes()
    text = content.decode("utf-8", "replace") + content.decode("utf-16-le", "replace")
    if path.suffix == ".parquet":
        text += repr(pq.read_table(path).to_pylist())
    elif path.suffix == ".arrow":
        with pa.memory_map(str(path)) as source:
            text += repr(pa.ipc.open_file(source).read_all().to_pylist())
    elif path.suffix == ".json":
        text += text.encode("utf-8", "replace").decode("unicode_escape", "replace")
    return text


def _plain(text: str) -> str:
    return "".join(one for one in fold(text).text if one.isalnum())


def holders(folder: Path, *forms: str) -> list[str]:
    """List the files that hold one of some forms, whatever stands between its letters."""
    wanted = [_plain(form) for form in forms]
    found = texts_in(folder)
    return [name for name, text in found.items() if any(form in text for form in wanted)]
