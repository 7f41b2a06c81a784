"""Plots as SVG, drawn without a library; they follow the reader's light or dark colours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 760, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 40, 78
COLOURS = ("#8a8f98", "#2f7ed8", "#b8862b", "#2a9d5c", "#8e5bd0", "#d0564b")
_STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 14px } .grid { stroke: #d0d7de; stroke-width: 1 }
.low { text-anchor: middle } .side { text-anchor: end }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .grid { stroke: #3d444d } }
</style>"""


def _nice(value: float) -> float:
    """The next of 1, 2, 5, 10 … from there."""
    unit = 1.0
    while unit * 10 <= value:
        unit *= 10
    while unit > value:
        unit /= 10
    return next(unit * step for step in (1, 2, 5, 10) if unit * step >= value)


def _frame(title: str, label: str, top: float) -> Iterator[str]:
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
    yield f"<title>{escape(title)}</title>"
    yield _STYLE
    yield f'<text class="title" x="{LEFT}" y="20">{escape(title)}</text>'
    for part in range(5):
        y = _y(top * part / 4, top)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="side" x="{LEFT - 8}" y="{y + 4:.1f}">{top * part / 4:g}</text>'
    yield f'<text x="{LEFT - 56}" y="{TOP - 6}">{escape(label)}</text>'


def _y(value: float, top: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top)


def bars(title: str, label: str, groups: Sequence[str], series: Mapping[str, Sequence[float | None]]) -> str:
    """Groups of bars.

    :param label: of the axis, with its unit.
    :param series: a value for each group, None where there is none.
    """
    top = _nice(max(value for values in series.values() for value in values if value is not None))
    lines = list(_frame(title, label, top))
    room = (WIDTH - LEFT - RIGHT) / len(groups)
    width = room * 0.8 / len(series)
    for place, group in enumerate(groups):
        left = LEFT + room * (place + 0.1)
        for number, values in enumerate(series.values()):
            value = values[place]
            if value is None:
                continue
            x, y = left + width * number, _y(value, top)
            colour = COLOURS[number % len(COLOURS)]
            lines.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width - 2:.1f}" height="{_y(0, top) - y:.1f}" fill="{colour}"/>')
            lines.append(f'<text class="low" font-size="11" x="{x + width / 2 - 1:.1f}" y="{y - 4:.1f}">{value:.3g}</text>')
        lines.append(f'<text class="low" x="{left + room * 0.4:.1f}" y="{HEIGHT - BOTTOM + 18}">{escape(group)}</text>')
    lines.extend(_legend(list(series)))
    return "\n".join([*lines, "</svg>"]) + "\n"


def _legend(names: Sequence[str]) -> Iterator[str]:
    room = (WIDTH - LEFT - RIGHT) / 3
    for number, name in enumerate(names):
        x, y = LEFT + room * (number % 3), HEIGHT - BOTTOM + 40 + 20 * (number // 3)
        yield f'<rect x="{x:.1f}" y="{y - 10}" width="11" height="11" fill="{COLOURS[number % len(COLOURS)]}"/>'
        yield f'<text x="{x + 17:.1f}" y="{y}">{escape(name)}</text>'
