"""The drawing on the plan page: where every box, line and word goes. The template turns it into SVG.

Left, the source schema; right, one box per target with its tables, largest first; arrows as thick as the number of
tables; on the right edge, foreign keys that will cross a border. A tree of partitions is one line. All coordinates are
in the units of the viewBox, and all text in it is monospace, so that its width is known without a browser.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ansible_collections.dbops.multischema.plugins.plugin_utils.plan_facts import (
    Crossing,
    Document,
    count_text,
    crossings,
    kind_text,
    schema_order,
    size_text,
    source_schema,
    visible,
)

PALETTE = 8  # colours c0 to c7 of the style sheet; `cs` is the source schema
TABLES = 60  # lines in the whole drawing; beyond, every box shows its largest
SCHEMAS = 16  # boxes; beyond, the smallest schemas share one
LANES = 6  # pairs of schemas whose foreign keys are drawn

WIDTH, SOURCE_WIDTH, TARGET_X, LANE = 870.0, 132.0, 236.0, 26.0
CHAR, SMALL_CHAR, TITLE_CHAR = 7.3, 6.5, 8.0  # advance of one cell at 12, 10.5 and 13 px, rounded up
ROW, HEAD, PAD, BETWEEN = 17.0, 46.0, 10.0, 12.0


@dataclass(frozen=True)
class Entry:
    """One line of a box: a table, or a tree of tables that moves as one."""

    name: str
    note: str
    size: int

    @property
    def size_text(self) -> str:
        """The size for people."""
        return size_text(self.size)


@dataclass(frozen=True)
class Line:
    """An entry with its place. ``full`` is the name where ``name`` had to be shortened."""

    x: float
    y: float
    right: float
    name: str
    note: str
    note_x: float
    size: str
    full: str


@dataclass(frozen=True)
class Box:
    """A schema. ``colour`` is a class of the style sheet."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    name: str
    full: str
    subtitle: str
    lines: tuple[Line, ...]
    more: str = ""

    @property
    def middle(self) -> float:
        """Height of the centre."""
        return self.y + self.height / 2


@dataclass(frozen=True)
class Flow:
    """An arrow from the source to a box, with what it carries."""

    y: float
    half: float
    colour: str
    tables: str
    size: str


@dataclass(frozen=True)
class Lane:
    """The foreign keys from one schema to another."""

    path: str
    head: str
    x: float
    y: float
    colour: str
    number: str
    half: float
    title: str


@dataclass(frozen=True)
class Drawing:
    """Everything that the template draws."""

    width: float
    height: float
    foot: Box
    source_width: float
    source: tuple[str, str, str]
    boxes: tuple[Box, ...]
    flows: tuple[Flow, ...]
    lanes: tuple[Lane, ...]
    complete: bool
    undrawn_pairs: int


def cells(text: str) -> int:
    """Columns that a text takes in a monospace font: two for East Asian wide characters, none for combining ones."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def shorten(text: str, columns: int) -> str:
    """Cut a text to a number of columns, with an ellipsis where something is missing."""
    if cells(text) <= columns:
        return text
    taken, kept = 1, []
    for character in text:
        taken += cells(character)
        if taken > columns:
            break
        kept.append(character)
    return "".join(kept) + "…"


def colours(document: Document) -> dict[str, str]:
    """The colour of every schema, the source included."""
    found = {name: f"c{number % PALETTE}" for number, name in enumerate(schema_order(document))}
    return {**found, source_schema(document): "cs"}


def _note(members: list[str]) -> str:
    if len(members) == 1:
        return "" if members[0] == "table" else members[0].replace(" table", "")
    partitions = sum(1 for kind in members[1:] if kind == "partition")
    others = len(members) - 1 - partitions
    notes = [f"+{count_text(partitions, 'partition')}"] if partitions else []
    return " ".join([*notes, *([f"+{count_text(others, 'member')}"] if others else [])])


def entries(document: Document) -> dict[str, list[Entry]]:
    """Per schema the lines of its box, largest first. Tables of one step are one line, named after its first member."""
    roots = {s["id"]: s["members"][0]["oid"] for s in document["steps"] if s["members"]}
    groups: dict[object, list[tuple[str, str, str, int]]] = {}
    for p in document["placements"]:
        row = (p["schema"], visible(p["name"]), kind_text(p["kind"]), p["bytes_estimate"])
        group = groups.setdefault(p["step"] or p["oid"], [])
        group.insert(0 if roots.get(p["step"]) == p["oid"] else len(group), row)
    found: dict[str, list[Entry]] = {}
    for rows in groups.values():
        entry = Entry(rows[0][1], _note([row[2] for row in rows]), sum(row[3] for row in rows))
        found.setdefault(rows[0][0], []).append(entry)
    for group_entries in found.values():
        group_entries.sort(key=lambda e: (-e.size, e.name))
    return found


def _lines(shown: list[Entry], x: float, y: float, width: float) -> tuple[Line, ...]:
    """Arrange entries in as many columns as their names allow, none of them cut where one column can hold it."""
    if not shown:
        return ()
    inner, gap = width - 2 * PAD, 22.0

    def notes(entry: Entry) -> float:
        return (cells(entry.note) + 1) * SMALL_CHAR if entry.note else 0.0

    size_width = max(cells(e.size_text) for e in shown) * SMALL_CHAR + 8
    need = max(cells(e.name) * CHAR + notes(e) for e in shown) + size_width
    columns = max(1, min(3, len(shown), int((inner + gap) / (need + gap))))
    per_column = -(-len(shown) // columns)
    column_width = (inner - (columns - 1) * gap) / columns
    lines = []
    for number, entry in enumerate(shown):
        left = x + PAD + (number // per_column) * (column_width + gap)
        room = int((column_width - size_width - notes(entry)) / CHAR)
        name = shorten(entry.name, room)
        lines.append(
            Line(
                x=left,
                y=y + (number % per_column) * ROW,
                right=left + column_width,
                name=name,
                note=entry.note,
                note_x=left + cells(name) * CHAR + SMALL_CHAR,
                size=entry.size_text,
                full=entry.name if name != entry.name else "",
            )
        )
    return tuple(lines)


def _box(
    name: str, subtitle: str, colour: str, found: list[Entry], limit: int, x: float, y: float, width: float
) -> Box:
    shown = found[:limit] if len(found) > limit + 1 else found
    lines = _lines(shown, x, y + HEAD + 10, width)
    more = ""
    bottom = max((line.y for line in lines), default=y + HEAD - 10) + 4
    if len(shown) < len(found):
        hidden = found[len(shown) :]
        more = f"and {len(hidden):,} more, {size_text(sum(e.size for e in hidden))} together"
        bottom += ROW
    label = visible(name)
    short = shorten(label, int((width - 2 * PAD) / TITLE_CHAR))
    height = bottom + PAD - y
    return Box(x, y, width, height, colour, short, label, subtitle, lines, more)


def _lane(number: int, child: Box, parent: Box, ys: tuple[float, float], count: int, taken: list[float]) -> Lane:
    edge, (start, end) = child.x + child.width, ys
    x = edge + 20 + number * LANE
    turn = 6 if end > start else -6
    path = (
        f"M{edge:.0f} {start:.1f}H{x - 6:.0f}Q{x:.0f} {start:.1f} {x:.0f} {start + turn:.1f}"
        f"V{end - turn:.1f}Q{x:.0f} {end:.1f} {x - 6:.0f} {end:.1f}H{edge + 6:.0f}"
    )
    head = f"M{edge + 1:.0f} {end:.1f}l7 -4v8z"
    middle = (start + end) / 2
    while any(abs(middle - other) < 14 for other in taken) and abs(middle - end) > 20:
        middle += 7 if end > middle else -7
    taken.append(middle)
    title = f"{count_text(count, 'foreign key')} from {child.full} to {parent.full}"
    number_text = str(count) if count < 1000 else f"{count / 1000:.0f}k"
    return Lane(path, head, x, middle, child.colour, number_text, len(number_text) * SMALL_CHAR / 2 + 4, title)


def _lanes(pairs: list[tuple[tuple[str, str], int]], boxes: dict[str, Box]) -> tuple[Lane, ...]:
    """One lane per pair, short ones inside, with the ends spread over the edge of each box."""
    ordered = sorted(pairs, key=lambda pair: abs(boxes[pair[0][0]].middle - boxes[pair[0][1]].middle))
    ends: dict[str, list[tuple[float, int, int]]] = {}
    for number, ((child, parent), _) in enumerate(ordered):
        ends.setdefault(child, []).append((boxes[parent].middle, number, 0))
        ends.setdefault(parent, []).append((boxes[child].middle, number, 1))
    places: dict[tuple[int, int], float] = {}
    for schema, found in ends.items():
        box = boxes[schema]
        for rank, (_, number, end) in enumerate(sorted(found)):
            places[number, end] = box.y + box.height * (rank + 1) / (len(found) + 1)
    taken: list[float] = []
    return tuple(
        _lane(number, boxes[child], boxes[parent], (places[number, 0], places[number, 1]), count, taken)
        for number, ((child, parent), count) in enumerate(ordered)
    )


def _pairs(found: Iterable[Crossing]) -> list[tuple[tuple[str, str], int]]:
    return Counter((c.child_schema, c.parent_schema) for c in found).most_common()


def _subtitle(tables: int, size: int) -> str:
    return f"{count_text(tables, 'table')}, {size_text(size)}"


def draw(document: Document) -> Drawing:
    """Lay the plan out.

    :param document: the content of ``plan.json``.
    :returns: a drawing that is complete for up to ``TABLES`` lines and shows the largest beyond that.
    """
    source, palette, found = source_schema(document), colours(document), entries(document)
    counts = Counter(p["schema"] for p in document["placements"])
    sizes: Counter[str] = Counter()
    for p in document["placements"]:
        sizes[p["schema"]] += p["bytes_estimate"]
    names = schema_order(document)
    drawn = names if len(names) <= SCHEMAS else sorted(names, key=lambda n: -counts[n])[: SCHEMAS - 1]
    drawn = [name for name in names if name in set(drawn)]
    rest = [name for name in names if name not in set(drawn)]
    total = sum(len(found.get(name, ())) for name in [*names, source])
    limit = total if total <= TABLES else max(3, TABLES // (len(drawn) + 1))

    pairs = [pair for pair in _pairs(crossings(document)) if {*pair[0]} <= {*drawn, source}]
    all_pairs = len(_pairs(crossings(document)))
    pairs = pairs[:LANES]
    right = WIDTH - (14 + len(pairs) * LANE if pairs else 1)

    boxes, flows, y = [], [], 1.0
    most = max([counts[name] for name in drawn] + [sum(counts[name] for name in rest), 1])
    for name in drawn:
        subtitle = _subtitle(counts[name], sizes[name])
        box = _box(name, subtitle, palette[name], found.get(name, []), limit, TARGET_X, y, right - TARGET_X)
        boxes.append(box)
        y += box.height + BETWEEN
    if rest:
        subtitle = _subtitle(sum(counts[n] for n in rest), sum(sizes[n] for n in rest))
        title = f"{len(rest):,} more schemas"
        boxes.append(_box(title, subtitle, "cs", [], 0, TARGET_X, y, right - TARGET_X))
        y += boxes[-1].height + BETWEEN
    for box, number, size in zip(
        boxes,
        [*(counts[n] for n in drawn), sum(counts[n] for n in rest)],
        [*(sizes[n] for n in drawn), sum(sizes[n] for n in rest)],
    ):
        if number:
            half = 1.0 + 8.0 * number / most
            flows.append(Flow(box.middle, half, box.colour, count_text(number, "table"), size_text(size)))
    stay = found.get(source, [])
    foot = _box(f"stays in {source}", _subtitle(counts[source], sizes[source]), "cs", stay, limit, 1.0, y, right - 1)
    lanes = _lanes(pairs, {**dict(zip(drawn, boxes)), source: foot})
    return Drawing(
        width=WIDTH,
        height=foot.y + foot.height + 1,
        foot=foot,
        source_width=SOURCE_WIDTH,
        source=(
            shorten(visible(source), int((SOURCE_WIDTH - 2 * PAD) / TITLE_CHAR)),
            count_text(len(document["placements"]), "table"),
            size_text(sum(sizes.values())),
        ),
        boxes=tuple(boxes),
        flows=tuple(flows),
        lanes=lanes,
        complete=limit == total and not rest,
        undrawn_pairs=all_pairs - len(lanes),
    )
