"""Rows that are more than may be held come back by ranges of a key, none lost, in order."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from dcmdask.assemble.spill import Key, Shelf, Stream, cut, sort_text

TEXT = st.none() | st.text(st.sampled_from("\0\1\2ab\U0010ffff"), max_size=3)
ROWS = st.lists(st.tuples(TEXT, TEXT), max_size=40)
SCHEMA = pa.schema([("a", pa.string()), ("b", pa.string()), ("number", pa.int64())])
KEY = Key.by("a", "b")


def table(rows: list[tuple[str | None, str | None]]) -> pa.Table:
    """Give rows with their numbers."""
    columns = [[a for a, _ in rows], [b for _, b in rows], list(range(len(rows)))]
    return pa.table(columns, schema=SCHEMA)


def rank(text: str | None) -> tuple[bool, bytes]:
    """Give what Arrow sorts text by: null last, bytes of UTF-8."""
    return (text is None, (text or "").encode())


@given(ROWS)
def test_one_text_sorts_as_several(rows: list[tuple[str | None, str | None]]) -> None:
    """Column before column, null last, whatever stands in them."""
    texts = sort_text(*table(rows).select(["a", "b"]).columns).to_pylist()
    ranked = [(rank(a), rank(b)) for a, b in rows]
    for text, own in zip(texts, ranked, strict=True):
        for other, its in zip(texts, ranked, strict=True):
            assert (own < its) == (text.encode() < other.encode())


@given(ROWS, ROWS, st.integers(1, 12), st.integers(1, 5))
def test_ranges_hold_every_row_once(
    rows: list[tuple[str | None, str | None]],
    heavy: list[tuple[str | None, str | None]],
    most: int,
    piece: int,
) -> None:
    """Of both kinds of rows; ranges are in order, and none outgrows its bound but by one key."""
    pieces = pa.Table.from_batches(table(rows).to_batches(max_chunksize=piece), SCHEMA)
    streams = {"light": Stream.of(pieces), "heavy": Stream.of(table(heavy), weight=3)}
    with tempfile.TemporaryDirectory() as folder:
        ranges = cut(streams, KEY, most, Path(folder) / "new")
        tables = [{name: stream.table() for name, stream in one.items()} for one in ranges]
    held = [set(KEY.of(pa.concat_tables(one.values())).to_pylist()) for one in tables]
    for number, keys in enumerate(held[1:]):
        assert max(held[number]) < min(keys)
    for one, keys in zip(tables, held, strict=True):
        weight = one["light"].num_rows + 3 * one["heavy"].num_rows
        assert weight <= most or len(keys) == 1
    for name, own in (("light", rows), ("heavy", heavy)):
        found = pa.concat_tables(one[name] for one in tables).sort_by("number")
        assert table(own).equals(found.combine_chunks())


def test_what_is_light_is_not_written(tmp_path: Path) -> None:
    """One range of all rows, and a shelf that has room, touch no disk."""
    rows = table([("a", "b"), ("b", None)])
    shelf = Shelf(tmp_path / "shelf", SCHEMA, 2)
    stream = shelf.put(rows)
    assert [{"own": stream}] == cut({"own": stream}, KEY, 2, tmp_path / "cut")
    assert not list(tmp_path.iterdir())


def test_a_shelf_gives_back_what_was_put(tmp_path: Path) -> None:
    """Held or written, in order; some columns, or those rows that have a value."""
    shelf = Shelf(tmp_path / "shelf", SCHEMA, 2)
    pieces = [table([("a", "b"), ("b", None)]), table([(None, "c")] * 2), table([])]
    kept = [shelf.put(piece) for piece in pieces]
    assert pieces == [stream.table() for stream in kept]
    stream = shelf.stream()
    assert (4, pa.concat_tables(pieces)) == (stream.rows, stream.table())
    assert [0, 0, 1] == stream.only("number").having("b").table()["number"].to_pylist()
    assert ["a", "b", None, None] == stream.only("a").renamed("x").table()["x"].to_pylist()
