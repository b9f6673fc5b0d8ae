"""What is published stands in one list, which decides names, layouts and what rows go where."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import crawl, encode

import dcmdask.assemble.outputs
import dcmdask.assemble.prepare
from dcmdask.assemble import rows
from dcmdask.assemble.outputs import OUTPUTS, PUBLISHED, names_written
from dcmdask.assemble.work import Output
from dcmdask.assemble.writers import parquet, text
from dcmdask.config import RunOptions
from dcmdask.formats.json import render_records
from dcmdask.formats.text import Lines, joined
from dcmdask.source.folders.not_entered import _PUBLISHED
from dcmdask.synthetic import write_synthetic
from dcmdask.tables.schema import INSTANCES

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give linked patients, an instance without UIDs, one of a strange time and two that are none."""
    folder = tmp_path_factory.mktemp("outputs") / "in"
    write_synthetic(folder, patients=2, slices=3)
    without = {"SeriesInstanceUID": None, "SOPInstanceUID": None, "PatientID": "P9"}
    (folder / "a.dcm").write_bytes(encode(without))
    for name in ("x.dcm", "y.dcm"):
        (folder / name).write_bytes(b"\0" * 128 + b"DICM and no more")
    return folder


def render_json_lines(table: pa.Table, columns: Sequence[str]) -> Lines:
    """Give a JSON object a line: the format that is added here."""
    parts: list[Any] = []
    for name in columns:
        values = [json.dumps(str(value)) for value in table[name].to_pylist()]
        parts += [f'{", " if parts else "{"}"{name}": ', pa.array(values, pa.large_string())]
    return Lines.of(joined(*parts, "}\n"))


def records(path: Path) -> list[dict[str, str]]:
    """Give the lines of a file of the format that is added here."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def as_texts(table: pa.Table) -> list[dict[str, str]]:
    """Give what these lines are to be of a table."""
    return [{name: str(value) for name, value in row.items()} for row in table.to_pylist()]


ADDED = (
    Output("series.jsonl", rows.SERIES, text(render_json_lines)),
    Output("references.jsonl", rows.REFERENCES, text(render_json_lines)),
    Output("failures.jsonl", rows.FAILURES, text(render_json_lines)),
    Output("notes.jsonl", rows.NOTES, text(render_json_lines)),
    Output("cases.jsonl", rows.CASES, text(render_json_lines)),
)
"""Lines for the list."""


@pytest.mark.parametrize("largest", [3, 131_072])
def test_a_format_is_one_function_and_one_line(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    """It is published with the rows of its table, range by range or at once, and counts as ours."""
    monkeypatch.setattr(dcmdask.assemble.outputs, "OUTPUTS", (*OUTPUTS, *ADDED))
    monkeypatch.setattr(dcmdask.assemble.prepare, "LARGEST_RANGE", largest)
    catalog = crawl(source, tmp_path, layout="native")
    assert (catalog.out / "series.jsonl").is_file()
    tables = {
        "series.jsonl": catalog.crawl_db,
        "references.jsonl": catalog.references,
        "failures.jsonl": catalog.failures,
        "notes.jsonl": catalog.notes,
        "cases.jsonl": catalog.cases,
    }
    for name, table in tables.items():
        assert table.num_rows
        assert as_texts(table) == records(catalog.out / name)
    assert tables.keys() <= names_written(RunOptions(layout="native"))
    # The next run takes them for its own, and goes without what is no longer listed.
    monkeypatch.undo()
    again = crawl(source, tmp_path, layout="native", full=True)
    assert not [path for path in again.out.iterdir() if path.suffix == ".jsonl"]


@pytest.mark.parametrize("largest", [3, 131_072])
def test_instances_and_case_rows_can_be_written(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    """With the columns asked for: of instances no others are read; case rows also with pseudonyms."""
    columns = ("path", "Modality", "PixelSpacing")
    case_columns = ("ProjectID", "PatientName")
    added = (
        Output("instances.jsonl", rows.INSTANCES, text(render_json_lines), columns=columns),
        Output("sorted.parquet", rows.INSTANCES, parquet),
        Output("rows.jsonl", rows.CASE_ROWS, text(render_json_lines), columns=case_columns),
        Output(
            "hidden.jsonl", rows.HIDDEN_CASE_ROWS, text(render_json_lines), columns=case_columns
        ),
    )
    monkeypatch.setattr(dcmdask.assemble.outputs, "OUTPUTS", (*OUTPUTS, *added))
    monkeypatch.setattr(dcmdask.assemble.prepare, "LARGEST_RANGE", largest)
    catalog = crawl(source, tmp_path)
    instances = catalog.instances.to_table().sort_by("url")
    assert as_texts(instances.select(columns)) == records(catalog.out / "instances.jsonl")
    whole = pq.read_table(catalog.out / "sorted.parquet")
    assert INSTANCES.names == whole.column_names
    assert instances.cast(INSTANCES).equals(whole)
    shown, hidden = (records(catalog.out / name) for name in ("rows.jsonl", "hidden.jsonl"))
    assert [row["ProjectID"] for row in shown] == [row["ProjectID"] for row in hidden]
    assert catalog.cases.num_rows == len(shown)
    assert "Doe^Jane" in {row["PatientName"] for row in shown}
    assert "Doe^Jane" not in {row["PatientName"] for row in hidden}


def test_what_several_outputs_render_alike_is_rendered_once() -> None:
    """A piece remembers what was made of it, of these columns."""
    calls: list[Sequence[str]] = []

    def render(table: pa.Table, columns: Sequence[str]) -> Lines:
        calls.append(columns)
        return render_records(table, columns)

    piece = rows.Piece(pa.table({"a": [1], "b": [2]}))
    found = [piece.rendered(render, columns) for columns in (("a",), ("b",), ("a",))]
    assert [("a",), ("b",)] == calls
    assert [b'{"a": 1},\n', b'{"b": 2},\n'] == [bytes(one.content) for one in found[:2]]
    assert found[0] is found[2]


def test_each_layout_has_its_outputs() -> None:
    """What a layout writes follows from the list, and so do workbooks and tables of all cases."""
    tables = {name for name in PUBLISHED if name.endswith(".parquet")} | {"instances"}
    imgtools = {"index.csv", "crawl_db.json", "crawl-cache.json", "sop_map.json"}
    assert tables == names_written(RunOptions(layout="native"))
    assert tables | imgtools == names_written(RunOptions(layout="imgtools"))
    assert tables | {"cases"} == names_written(RunOptions(layout="cases"))
    assert tables | imgtools | {"cases"} == names_written(RunOptions())
    merged = names_written(RunOptions(layout="cases", only_merged=True, excel="xlsx"))
    every = {f"all_cases_{mark}" for mark in ("original", "desensitized")}
    assert {f"{name}.{end}" for name in every for end in ("csv", "xlsx")} == merged - tables


def test_no_two_outputs_are_one_file() -> None:
    """A name stands once in the list, but for the folder of cases, which two kinds of rows fill."""
    names = [name for output in OUTPUTS for name in output.names if name != "cases"]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name not in ("instances", "cases")])
def test_what_is_published_is_known(name: str) -> None:
    """The README names it, and a listing of a bucket takes it for a catalog's."""
    known = [re.escape(one).replace(r"\*", ".*") for one in re.findall(r"`([\w*.-]+)`", README)]
    # "A workbook beside each" names those.
    said = name.replace(".xlsx", ".csv")
    assert any(re.fullmatch(one, said) for one in known), name
    assert _PUBLISHED.fullmatch(name)
