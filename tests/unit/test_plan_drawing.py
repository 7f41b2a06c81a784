"""The drawing on the plan page: what is in it, and that nothing overlaps or is cut."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.dbops.multischema.plugins.plugin_utils import plan_drawing, plan_page, plan_shapes
from tests.support.html_page import Page
from tests.support.plan_documents import Draft, campus, hostile, large


def svg(draft: Draft) -> str:
    return plan_page.render(draft.document()).split("<svg", 1)[1].split("</svg>")[0]


def test_up_to_sixty_lines_every_table_is_drawn() -> None:
    draft = campus()
    drawn = svg(draft)
    for p in draft.placements:
        assert (f">{p.name}<" in drawn) != p.name.startswith("page_views_2025"), p.name
    assert "+6 partitions" in drawn
    assert "…" not in drawn


def test_beyond_that_the_largest_are_drawn_and_the_others_counted() -> None:
    drawing = plan_drawing.draw(large(600).document())
    assert not drawing.complete
    for box in drawing.boxes:
        shown = len(box.lines)
        tables = int(box.subtitle.split()[0])
        assert shown < tables
        assert box.more.startswith(f"and {tables - shown:,} more, ")
    assert sum(len(box.lines) for box in drawing.boxes) <= plan_drawing.TABLES


def test_many_schemas_share_a_box_and_no_table_is_lost() -> None:
    draft = large(600, 40)
    drawing = plan_drawing.draw(draft.document())
    assert len(drawing.boxes) == plan_drawing.SCHEMAS
    assert drawing.boxes[-1].name == "25 more schemas"
    moving = sum(1 for p in draft.placements if p.schema != "public")
    assert sum(int(flow.tables.split()[0]) for flow in drawing.flows) == moving


@pytest.mark.parametrize("draft", [campus(), large(600), large(600, 40), hostile()], ids=["campus", "large", "schemas", "hostile"])
def test_nothing_overlaps_or_leaves_the_drawing(draft: Draft) -> None:
    drawing = plan_drawing.draw(draft.document())
    boxes = (*drawing.boxes, drawing.foot)
    for above, below in zip(boxes, boxes[1:]):
        assert above.y + above.height < below.y
    for box in boxes:
        assert box.x + box.width <= drawing.width
        assert box.y + box.height <= drawing.height
        for line in box.lines:
            end = line.x + plan_shapes.cells(line.name) * plan_shapes.CHAR
            if line.note:
                assert end < line.note_x
                end = line.note_x + plan_shapes.cells(line.note) * plan_shapes.SMALL_CHAR
            assert end < line.right - plan_shapes.cells(line.size) * plan_shapes.SMALL_CHAR
            assert box.y + plan_drawing.HEAD < line.y < box.y + box.height
            assert line.right <= box.x + box.width
    assert all(lane.x + lane.half <= drawing.width for lane in drawing.lanes)


def test_the_longest_name_is_not_cut() -> None:
    draft = campus()
    draft.move("x" * 63, "tenant_kct")
    assert ">" + "x" * 63 + "<" in svg(draft)


def test_a_name_too_wide_keeps_its_full_form_in_a_title() -> None:
    name = "表" * 60
    draft = campus()
    draft.move(name, "tenant_kct")
    drawn = svg(draft)
    assert f"<title>{name}</title>" in drawn
    assert "…" in drawn


def test_lanes_count_the_keys_of_each_pair() -> None:
    drawing = plan_drawing.draw(campus().document())
    assert {lane.title for lane in drawing.lanes} == {
        "3 foreign keys from tenant_kct to tenant_shared",
        "2 foreign keys from tenant_shop to tenant_shared",
        "1 foreign key from tenant_shop to tenant_kct",
        "1 foreign key from stays in public to tenant_kct",
    }
    assert sum(int(lane.number) for lane in drawing.lanes) == 7


def test_the_drawing_has_a_text_alternative() -> None:
    found = Page(plan_page.render(campus().document()))
    svg = next(attributes for tag, attributes in found.tags if tag == "svg")
    assert svg["role"] == "img"
    for name in str(svg["aria-labelledby"]).split():
        assert found.part(name)


def test_a_partition_that_is_partitioned_itself_counts_as_a_partition() -> None:
    draft = Draft()
    draft.move("events", "tenant_kct", partitions=["events_h1", "events_h1_a", "events_h2"])
    draft.placements = [replace(p, kind="partitioned table") if p.name == "events_h1" else p for p in draft.placements]
    [entry] = plan_drawing.entries(draft.document())["tenant_kct"]
    assert (entry.name, entry.note) == ("events", "+3 partitions")
