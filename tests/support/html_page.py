"""An HTML page as a browser would see it, for tests."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "input", "br", "hr"}
OPTIONAL_END = {"td", "th", "tr", "thead", "tbody"}
CLOSES = {"td": ("td", "th"), "th": ("td", "th"), "tr": ("td", "th", "tr"), "tbody": ("td", "th", "tr", "thead")}


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, text, and the text of each element by id."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.html = html
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.stack: list[tuple[str, str | None]] = []
        self.by_id: dict[str, list[str]] = {}
        self.by_tag: dict[str, list[str]] = {}
        self.unbalanced: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self.by_tag.setdefault(tag, []).append("")
        if tag in VOID:
            return
        while self.stack and self.stack[-1][0] in CLOSES.get(tag, ()):
            self.stack.pop()
        name = attributes.get("id")
        self.stack.append((tag, name))
        if name is not None:
            self.by_id.setdefault(name, [])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self.stack and self.stack[-1][0] != tag and self.stack[-1][0] in OPTIONAL_END:
            self.stack.pop()
        if not self.stack or self.stack[-1][0] != tag:
            self.unbalanced.append(tag)
            return
        self.stack.pop()

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1][0] in ("style", "script"):
            self.by_tag[self.stack[-1][0]][-1] += data
            return
        self.words.append(data)
        if self.stack:
            self.by_tag[self.stack[-1][0]][-1] += data
        for _, name in self.stack:
            if name is not None:
                self.by_id[name].append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def part(self, name: str) -> str:
        return " ".join("".join(self.by_id[name]).split())

    def rows(self, table: str) -> int:
        body = self.html.split(f'<table id="{table}">', 1)[1].split("<tbody>", 1)[1].split("</tbody>", 1)[0]
        return body.count("<tr")
