"""The drawing on the plan page: where every box, line and word goes. The template turns it into SVG.

Left, the source schema; right, one box per target with its tables, largest first; arrows as thick as the number of
tables; on the right edge, foreign keys that will cross a border. A tree of partitions is one line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from ansible_collections.dbops.multischema.plugins.plugin_utils.plan_facts import (
    Document,
    count_text,
    crossings,
    kind_text,
    known_bytes,
    schema_order,
    size_text,
    source_schema,
    visible,
)
from ansible_collections.dbops.multischema.plugins.plugin_utils.plan_shapes import (
    CHAR,
    SMALL_CHAR,
    TITLE_CHAR,
    Box,
    Drawing,
    Entry,
    Flow,
    Lane,
    Line,
    cells,
    shorten,
)

PALETTE = 8  # colours c0 to c7 of the style sheet; `cs` is the source schema
TABLES = 60  # lines in the whole drawing; beyond, every box shows its largest
SCHEMAS = 16  # boxes; beyond, the smallest schemas share one
LANES = 6  # pairs of schemas whose foreign keys are drawn

WIDTH, SOURCE_WIDTH, TARGET_X, LANE = 870.0, 132.0, 236.0, 26.0
ROW, HEAD, PAD, BETWEEN, GUTTER = 17.0, 46.0, 10.0, 12.0, 22.0


def colours(document: Document) -> dict[str, str]:
    """The colour of every schema, the source included."""
    found = {name: f"c{number % PALETTE}" for number, name in enumerate(schema_order(document))}
    return {**found, source_schema(document): "cs"}


def _note(members: list[str]) -> str:
    if len(members) == 1:
        return "" if members[0] == "table" else members[0].replace(" table", "")
    partitions = sum(1 for kind in members[1:] if kind.startswith("partition"))  # a partition may be partitioned itself
    others = len(members) - 1 - partitions
    notes = [f"+{count_text(partitions, 'partition')}"] if partitions else []
    return " ".join([*notes, *([f"+{count_text(others, 'member')}"] if others else [])])


def entries(document: Document) -> dict[str, list[Entry]]:
    """Per schema the lines of its box, largest first. Tables of one step are one line, named after its first member."""
    roots = {s["id"]: s["members"][0]["oid"] for s in document["steps"] if s["members"]}
    groups: dict[object, list[tuple[str, str, str, int]]] = {}
    for p in document["placements"]:
        row = (p["schema"], visible(p["name"]), kind_text(p["kind"]), known_bytes(p))
        group = groups.setdefault(p["step"] or p["oid"], [])
        group.insert(0 if roots.get(p["step"]) == p["oid"] else len(group), row)
    found: dict[str, list[Entry]] = {}
    for rows in groups.values():
        entry = Entry(rows[0][1], _note([row[2] for row in rows]), sum(row[3] for row in rows))
        found.setdefault(rows[0][0], []).append(entry)
    for group_entries in found.values():
        group_entries.sort(key=lambda e: (-e.size, e.name))
    return found


def _note_width(entry: Entry) -> float:
    return (cells(entry.note) + 1) * SMALL_CHAR if entry.note else 0.0


def _size_width(found: Iterable[Entry]) -> float:
    return max(cells(e.size_text) for e in found) * SMALL_CHAR + 8


def _columns(shown: list[Entry], inner: float) -> list[tuple[float, list[Entry]]]:
    """Split entries into as many columns, each with its width, as fit without cutting a name; at worst into one."""
    for number in (3, 2):
        if len(shown) < number:
            continue
        rows = -(-len(shown) // number)
        columns = [shown[i : i + rows] for i in range(0, len(shown), rows)]
        widths = [max(cells(e.name) * CHAR + _note_width(e) for e in c) + _size_width(c) for c in columns]
        spare = inner - sum(widths) - GUTTER * (len(columns) - 1)
        if spare >= 0:
            return [(width + spare / len(columns), column) for width, column in zip(widths, columns)]
    return [(inner, shown)]


def _lines(shown: list[Entry], x: float, y: float, width: float) -> tuple[Line, ...]:
    if not shown:
        return ()
    lines, left = [], x + PAD
    for column_width, column in _columns(shown, width - 2 * PAD):
        for row, entry in enumerate(column):
            name = shorten(entry.name, int((column_width - _size_width(column) - _note_width(entry)) / CHAR + 0.001))
            lines.append(
                Line(
                    x=left,
                    y=y + row * ROW,
                    right=left + column_width,
                    name=name,
                    note=entry.note,
                    note_x=left + cells(name) * CHAR + SMALL_CHAR,
                    size=entry.size_text,
                    full=entry.name if name != entry.name else "",
                )
            )
        left += column_width + GUTTER
    return tuple(lines)


def _box(name: str, subtitle: str, colour: str, found: list[Entry], *, limit: int, x: float, y: float, width: float) -> Box:
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


def _lane(child: Box, parent: Box, ys: tuple[float, float], *, number: int, count: int, taken: list[float]) -> Lane:
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
        _lane(
            boxes[child],
            boxes[parent],
            (places[number, 0], places[number, 1]),
            number=number,
            count=count,
            taken=taken,
        )
        for number, ((child, parent), count) in enumerate(ordered)
    )


def _subtitle(tables: int, size: int) -> str:
    return f"{count_text(tables, 'table')}, {size_text(size)}"


def _drawn(document: Document, counts: Mapping[str, int]) -> list[str]:
    """The schemas that get a box of their own: the fullest ones, in their order."""
    names = schema_order(document)
    if len(names) <= SCHEMAS:
        return names
    fullest = set(sorted(names, key=lambda name: -counts[name])[: SCHEMAS - 1])
    return [name for name in names if name in fullest]


def draw(document: Document) -> Drawing:
    """Lay the plan out.

    :param document: the content of ``plan.json``.
    :returns: a drawing that is complete for up to ``TABLES`` lines and shows the largest beyond that.
    """
    source, palette, found = source_schema(document), colours(document), entries(document)
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for p in document["placements"]:
        counts[p["schema"]] += 1
        sizes[p["schema"]] += known_bytes(p)
    drawn = _drawn(document, counts)
    rest = [name for name in schema_order(document) if name not in drawn]
    total = sum(len(lines) for lines in found.values())
    limit = total if total <= TABLES else max(3, TABLES // (len(drawn) + 1))

    all_pairs = Counter((c.child_schema, c.parent_schema) for c in crossings(document)).most_common()
    pairs = [pair for pair in all_pairs if {*pair[0]} <= {*drawn, source}][:LANES]
    right = WIDTH - (14 + len(pairs) * LANE if pairs else 1)

    # One box per schema; those that find no place share the last, without lines of their own.
    targets = [(name, palette[name], counts[name], sizes[name], found.get(name, [])) for name in drawn]
    if rest:
        shared = (sum(counts[name] for name in rest), sum(sizes[name] for name in rest))
        targets.append((f"{len(rest):,} more schemas", "cs", *shared, []))
    most = max([1, *(target[2] for target in targets)])
    boxes, flows, y = [], [], 1.0
    for name, colour, tables, size, lines in targets:
        subtitle = _subtitle(tables, size)
        box = _box(name, subtitle, colour, lines, limit=limit, x=TARGET_X, y=y, width=right - TARGET_X)
        boxes.append(box)
        y += box.height + BETWEEN
        if tables:
            half = 1.0 + 8.0 * tables / most
            flows.append(Flow(box.middle, half, colour, count_text(tables, "table"), size_text(size)))
    subtitle = _subtitle(counts[source], sizes[source])
    stay = found.get(source, [])
    foot = _box(f"stays in {source}", subtitle, "cs", stay, limit=limit, x=1.0, y=y, width=right - 1)
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
        lanes=_lanes(pairs, {**dict(zip(drawn, boxes)), source: foot}),
        complete=limit == total and not rest,
        undrawn_pairs=len(all_pairs) - len(pairs),
    )
