"""Take words and shapes; give the SVG that the pictures of `plot.py` are made of."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

WIDTH = 900
OURS, INK, FAINT = "#1f6feb", "#1f2328", "#d8dee4"


def page(parts: Iterable[str], height: int) -> str:
    """Give a whole picture, on white."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" font-family="sans-serif" font-size="12" fill="{INK}">'
    )
    paper = f'<rect width="{WIDTH}" height="{height}" fill="white"/>'
    return "\n".join((head, paper, *parts, "</svg>")) + "\n"


def text(
    x: float,
    y: float,
    words: str,
    *,
    size: int = 12,
    anchor: str = "start",
    weight: str = "normal",
    color: str = INK,
) -> str:
    """Give words whose line stands at a place."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'font-weight="{weight}" fill="{color}">{escape(words)}</text>'
    )
