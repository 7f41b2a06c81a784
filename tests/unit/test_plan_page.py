"""The plan page: what it says, in which order, and that no name can do anything in it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from typing import Any

import pytest
import yaml

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog, ForeignKey, Table
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Finding
from ansible_collections.dbops.multischema.plugins.plugin_utils import plan_drawing, plan_facts, plan_page
from tests.support.html_page import Page
from tests.support.plan_documents import HOSTILE, SERVER, Draft, campus, hostile, large, refused

TAGS = {
    *("html", "head", "meta", "title", "style", "script", "body", "header", "nav", "main", "section", "footer"),
    *("h1", "h2", "h3", "h4", "p", "a", "dl", "dt", "dd", "div", "span", "code", "pre", "details", "summary"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td", "label", "input", "output", "button"),
    *("figure", "figcaption", "svg", "desc", "path", "rect", "text", "g"),
}


def page(draft: Draft) -> Page:
    return Page(plan_page.render(json.loads(json.dumps(draft.document()))))


def position(text: str, *parts: str) -> list[int]:
    found = [text.find(part) for part in parts]
    assert -1 not in found, dict(zip(parts, found))
    return found


class TestVerdict:
    def test_a_ready_plan_says_so_first(self) -> None:
        found = page(campus())
        body = found.text[found.text.index("Skip to the plan") :]
        assert body.startswith("Skip to the plan READY plan for campus, staging 46 tables (")
        assert found.by_tag["title"][0] == "READY: plan for campus on db1.example"

    def test_a_refused_plan_names_the_number_of_findings(self) -> None:
        found = page(refused())
        assert "REFUSED because of 4 findings plan for campus" in found.text
        assert "46 tables" in found.text
        assert "would move from public" in found.text
        assert "--check" not in found.part("on")
        assert "playbooks/plan.yml" in found.part("on")

    def test_one_finding_is_singular(self) -> None:
        draft = Draft(findings=[Finding("collision", "refuse", "x", "y")])
        assert "REFUSED because of 1 finding plan" in page(draft).text

    def test_an_accepted_finding_does_not_refuse(self) -> None:
        draft = campus()
        draft.findings = [Finding("collision", "refuse", "x", "y", "", True, "I know.")]
        found = page(draft)
        assert "READY plan" in found.text
        assert "1 accepted by a person" in found.text
        assert "Accepted because: I know." in found.part("accepted")
        assert "refusals" not in found.by_id

    def test_an_empty_plan_has_nothing_to_do_but_can_still_say_how_to_go_back(self) -> None:
        draft = Draft()
        draft.stay("a")
        found = page(draft)
        assert "NOTHING TO DO plan" in found.text
        assert "No table leaves public; 1 table stays in public." in found.text
        assert "rollback.yml" in found.part("back")
        assert "verify.yml" in found.part("on")
        assert "phase1" not in found.text
        assert not {"drawing", "placements", "steps"} & set(found.by_id)


class TestOrder:
    def test_what_matters_most_comes_first(self) -> None:
        text = page(refused()).html
        found = position(
            text,
            "<h1>",
            'id="refusals"',
            'id="accepted"',
            'id="warnings"',
            'id="drawing"',
            'id="crossings"',
            'id="placements"',
            'id="stays"',
            'id="steps"',
            'id="back"',
            'id="on"',
            'id="automatic"',
            "<footer>",
        )
        assert found == sorted(found)

    def test_locks_and_their_timeout_are_at_the_top(self) -> None:
        html = plan_page.render(campus().document(), lock_timeout_ms=75)
        head = " ".join(html.split("<main")[0].split())
        assert "ACCESS EXCLUSIVE on 46 relations" in head
        assert 'step <a href="#s46">46</a> takes the most, 7' in head
        assert "at most 75 ms" in head
        assert "6 in phase 1 (schemas and privileges) and 40 in phase 2 (tables)" in head

    def test_tables_without_a_view_are_announced(self) -> None:
        draft = campus()
        draft.move("bare", "tenant_kct", view=False)
        assert "46 tables leave a view under the old name until it is dropped; 1 table does not" in page(draft).text


class TestFindings:
    def test_every_refusal_says_what_why_and_what_to_write(self) -> None:
        draft = refused()
        part = page(draft).part("refusals")
        for finding in draft.plan().refusals:
            for text in (finding.object, finding.reason, finding.remedy):
                assert text in part

    def test_what_can_be_accepted_comes_with_the_yaml_to_write(self) -> None:
        found = page(hostile())
        snippet = next(text for text in found.by_tag["pre"] if text.startswith("multischema_accept"))
        entries = yaml.safe_load(snippet)["multischema_accept"]
        assert [(e["finding"], e["object"]) for e in entries] == [("collision", name) for name in HOSTILE]

    def test_what_cannot_be_accepted_says_so_and_comes_first(self) -> None:
        part = page(refused()).part("refusals")
        found = position(part, "collision cannot be accepted", "unplaced_table 2 refusals, cannot be accepted")
        assert found[1] < part.index("text_routine")
        assert "text_routine cannot" not in part

    def test_many_findings_of_one_kind_are_folded_but_all_there(self) -> None:
        draft = Draft()
        draft.findings = [Finding("unplaced_table", "refuse", f"public.t{n:03d}", "Nobody decided.") for n in range(300)]
        found = page(draft)
        assert "The same of 299 others" in found.text
        assert found.part("refusals").count("Nobody decided.") == 1
        assert all(f"public.t{n:03d}" in found.part("refusals") for n in range(300))

    def test_many_different_texts_of_one_kind_are_folded_but_all_there(self) -> None:
        draft = Draft()
        draft.findings = [Finding("collision", "refuse", f"public.t{n:03d}", f"Reason {n}.") for n in range(300)]
        found = page(draft)
        assert "288 more refusals" in found.text
        assert all(f"Reason {n}." in found.part("refusals") for n in range(300))

    def test_what_a_finding_is_about_is_named_completely(self) -> None:
        draft = Draft()
        names = tuple(f"public.t{n:03d}" for n in range(300))
        draft.findings = [Finding("view_limits", "warn", "public", "Much fails.", affects=names)]
        part = page(draft).part("warnings")
        assert "300 objects" in part
        assert all(name in part for name in names)

    def test_what_the_plan_does_by_itself_is_collapsed(self) -> None:
        part = page(campus()).html.split('id="automatic"')[1]
        assert re.search(r"<details><summary>2 matters; nothing is asked of you</summary>", part)


class TestTables:
    def test_every_table_is_listed_with_its_step(self) -> None:
        draft = campus()
        found = page(draft)
        plan = draft.plan()
        moved = [p for p in plan.placements if p.schema != "public"]
        assert found.rows("moves") == len(moved) == 46
        assert found.rows("staying") == 3
        assert {p.name for p in moved} <= set(re.findall(r"<tr><td><code>([^<]*)", found.html))
        targets = {tag[1]["href"] for tag in found.tags if tag[0] == "a"}
        assert {"#" + name for name in found.by_id} >= targets - {"#main"}

    def test_a_table_that_stays_says_why(self) -> None:
        part = page(campus()).html.split('<table id="staying">')[1]
        cells = re.findall(r"<td[^>]*>([^\n]*?)(?=<td|\n)", part[part.index("<tr><td><code>tmp_import") :])
        assert cells[:5] == ["<code>tmp_import_2023</code>", "table", "multischema_keep names tmp_*", "unknown", "120 MB"]

    def test_rows_of_a_partitioned_table_are_not_counted_twice(self) -> None:
        draft = Draft()
        draft.move("views", "tenant_kct", rows=1000, partitions=["views_1", "views_2"])
        assert "about 2,000 rows" in page(draft).text

    def test_a_size_that_nobody_measured_counts_as_nothing(self) -> None:
        draft = Draft()
        draft.move("a", "tenant_kct", size=-8192)
        draft.move("b", "tenant_kct", size=1024 * 1024)
        html = page(draft).html
        assert "2 tables (1.0 MB, " in html
        assert "-8" not in html.split("<main")[1].split('id="steps"')[0].split("<svg")[0]
        assert '<td class="r">0 B<' in html

    def test_steps_show_do_undo_and_locks_by_phase(self) -> None:
        draft = campus()
        found = page(draft)
        for number, step in enumerate(draft.plan().steps, 1):
            part = found.part(f"s{number}")
            assert all(" ".join(f"{sql};".split()) in part for sql in (*step.do, *step.undo))
            assert all(lock.object in part for lock in step.locks)
        assert "Phase 1: Schemas and privileges 6 steps" in found.part("steps")
        assert "Phase 2: Tables 40 steps" in found.part("steps")
        assert "plan.sql" not in found.part("steps")

    def test_commands_name_the_inventory_of_the_environment(self) -> None:
        part = page(campus()).part("on")
        playbook = "ansible-playbook -i inventory/staging playbooks/phase2_table_migration.yml"
        assert f"{playbook} --check --diff {playbook}" in part
        assert "--limit db1.example" in part

    def test_an_environment_is_quoted_for_the_shell(self) -> None:
        draft = replace(campus(), environment="a; rm -rf ~")
        assert "-i 'inventory/a; rm -rf ~' playbooks/" in page(draft).part("back")


class TestForeignKeys:
    def test_only_crossing_keys_are_listed_with_both_schemas(self) -> None:
        found = page(campus())
        part = found.part("drawing")
        assert "7 foreign keys will connect" in part
        row = next(row for row in found.html.split("<tr>") if "orders_users_fkey" in row)
        assert re.findall(r"<code>(.*?)</code>", row)[:3] == [
            "tenant_shop.orders",
            "tenant_shared.users",
            "orders_users_fkey",
        ]
        assert "payments_orders_fkey" not in part
        assert "enrollments_courses_fkey" not in part

    def test_a_key_of_a_table_that_stays_crosses_too(self) -> None:
        assert "tmp_import_2023_courses_fkey" in page(campus()).part("drawing")

    def test_no_crossing_key_is_said_in_words(self) -> None:
        draft = Draft()
        draft.move("a", "tenant_kct")
        draft.move("b", "tenant_kct")
        draft.key("a", "b")
        assert "None: every foreign key stays inside one schema." in page(draft).text

    def test_a_table_outside_the_plan_is_named_from_the_catalog(self) -> None:
        outside = Table(7, "legacy", "ledger", "r", "app")
        draft = Draft(catalog=Catalog(SERVER, "public", tables=(outside,)))
        draft.move("a", "tenant_kct")
        draft.keys.append(ForeignKey("a_ledger_fkey", draft.oid("a"), 7))
        draft.keys.append(ForeignKey("a_lost_fkey", draft.oid("a"), 8))
        part = page(draft).part("drawing")
        assert "legacy.ledger" in part
        assert "OID 8" in part


class TestSafety:
    def test_hostile_names_stay_text(self) -> None:
        found = page(hostile())
        assert not found.unbalanced
        assert found.stack == []
        assert {tag for tag, _ in found.tags} <= TAGS
        assert [tag for tag, _ in found.tags].count("script") == 1
        assert [tag for tag, _ in found.tags].count("svg") == 1
        for _, attributes in found.tags:
            assert not [name for name in attributes if name.startswith("on") or name in ("src", "style", "xlink:href")]
            assert (attributes.get("href") or "#").startswith("#")
            assert re.fullmatch(r"[a-z0-9 ]*", attributes.get("class") or "")

    @pytest.mark.parametrize("name", HOSTILE)
    def test_each_hostile_name_is_shown_in_full(self, name: str) -> None:
        shown = " ".join(plan_facts.visible(name).split())
        found = page(hostile())
        for part in ("refusals", "accepted", "warnings", "drawing", "moves", "automatic"):
            assert shown in found.part(part), part

    def test_hidden_characters_are_shown(self) -> None:
        html = page(hostile()).html
        assert "\u202e" not in html
        assert "\r" not in html
        assert "over⟨U+202E⟩ride" in html
        assert "two⟨LF⟩lines" in html

    def test_the_policy_allows_exactly_this_script_and_style(self) -> None:
        found = page(hostile())
        policy = next(a["content"] for t, a in found.tags if t == "meta" and "http-equiv" in a)
        assert policy is not None
        assert policy.startswith("default-src 'none'; ")
        for tag in ("script", "style"):
            [text] = found.by_tag[tag]
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"{tag}-src 'sha256-{digest}'" in policy

    def test_the_page_loads_nothing(self) -> None:
        html = page(campus()).html
        assert not re.search(r"https?:|@import|url\(|<link|<img|<iframe", html)

    def test_the_catalog_is_not_on_the_page(self) -> None:
        document = campus().document()
        assert document["catalog"] not in plan_page.render(document)


class TestAccessibility:
    def test_structure(self) -> None:
        found = page(refused())
        names = [tag for tag, _ in found.tags]
        assert [names.count(tag) for tag in ("h1", "main", "header", "footer", "nav")] == [1, 1, 1, 1, 1]
        assert all(attributes.get("scope") == "col" for tag, attributes in found.tags if tag == "th")
        ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        labels = {attributes.get("for") for tag, attributes in found.tags if tag == "label"}
        assert labels == {attributes["id"] for tag, attributes in found.tags if tag == "input"}
        for tag, attributes in found.tags:
            if tag == "section":
                assert found.part(str(attributes["aria-labelledby"]))

    def test_text_contrasts_in_light_and_dark(self) -> None:
        def luminance(colour: str) -> float:
            digits = colour * 2 if len(colour) == 3 else colour
            parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
            linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
            return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear))

        style = page(campus()).by_tag["style"][0]
        light, dark = style.split("@media(prefers-color-scheme:dark)")
        for theme in (light, dark.split("@media print")[0]):
            colours = dict(re.findall(r"--(\w+):#([0-9a-f]{3,6})", theme))
            for name, wanted in {
                "ink": 7,
                "dim": 4.5,
                "link": 4.5,
                "go": 4.5,
                "stop": 4.5,
                **dict.fromkeys([f"c{n}" for n in range(plan_drawing.PALETTE)] + ["cs", "care"], 3),
            }.items():
                for ground in ("bg", "soft"):
                    low, high = sorted((luminance(colours[name]), luminance(colours[ground])))
                    assert (high + 0.05) / (low + 0.05) >= wanted, (name, ground)


class TestSize:
    def test_thousands_of_tables_stay_small(self) -> None:
        document = json.loads(json.dumps(large(4_000).document()))
        html = plan_page.render(document)
        assert len(html) < 1.5 * len(json.dumps(document))
        found = Page(html)
        assert found.rows("moves") == 3_920
        assert found.rows("staying") == 80
        assert "The SQL of the first 200 is here; all of it is in plan.sql." in found.part("steps")
        assert [tag for tag, _ in found.tags].count("pre") < 2 * plan_page.SQL_STEPS + 10
        links: set[Any] = {attributes["href"] for tag, attributes in found.tags if tag == "a"}
        assert links <= {f"#{name}" for name in found.by_id}


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1023, "1.0 kB"), (10240, "10 kB"), (1023 * 1024, "1.0 MB"), (5 * 1024**4, "5.0 TB")],
)
def test_sizes_are_short(size: int, text: str) -> None:
    assert plan_facts.size_text(size) == text


@pytest.mark.parametrize(("rows", "text"), [(0, "0"), (999_999, "999,999"), (1_000_000, "1 million"), (17_640_000_000, "17.6 billion")])
def test_large_estimates_are_words(rows: int, text: str) -> None:
    assert plan_facts.about_text(rows) == text
