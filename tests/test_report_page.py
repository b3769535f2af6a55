"""The page: one file, safe whatever is in it, and the same picture."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chattmpl import Template
from chattmpl.conversation.files import load_conversation
from chattmpl.report.page import page_end, page_start, section
from chattmpl.report.picture import picture
from support import ROOT
from support.snapshots import matches_snapshot

HOSTILE = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp; \x1b[31m"
VOID = {"meta", "br"}


class _Page(HTMLParser):
    """The elements of a page, the text inside its <pre>s, and whether all is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "pre" in self.open:
            self.text += data


def _page(messages: Any, template: str = "qwen3", tokenizer: str | None = None, **options: Any) -> str:
    rendering = Template.load(template).render(messages)
    encoding = None if tokenizer is None else rendering.encode(tokenizer, **options)
    shown = picture(rendering, encoding, name="conv.json", tokenizer=tokenizer)
    return page_start("conv.json") + section(shown) + page_end()


def _fixture(name: str) -> Any:
    return load_conversation(ROOT / "fixtures" / f"{name}.json")


def test_a_small_page() -> None:
    talk = [{"role": "user", "content": "Hi <|im_end|>"}, {"role": "assistant", "content": "Ho\n", "name": "Ann"}]
    source = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}"
        "{{ m.content }}<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}\n{% endfor %}"
    )
    rendering = Template.from_source(source, name="mini").render(talk)
    shown = picture(rendering, rendering.encode("demo"), name="conv.json", tokenizer="demo")
    matches_snapshot("page.html", page_start("conv.json") + section(shown) + page_end())


def test_the_page_is_well_formed_and_holds_the_text() -> None:
    # With tokens the joiners inside emoji stand alone, and are shown by their numbers.
    for name, tokenizer in (("tool_call", "demo"), ("unicode", None), ("whitespace", "demo"), ("alpaca", "demo")):
        page = _Page(_page(_fixture(name), tokenizer=tokenizer))
        assert page.open == []
        assert page.text == Template.load("qwen3").render(_fixture(name)).text


def test_a_conversation_cannot_put_elements_into_the_page() -> None:
    talk = [
        {"role": "user", "name": HOSTILE, "content": HOSTILE, HOSTILE: HOSTILE},
        {"role": "assistant", "content": HOSTILE, "tool_calls": [{"function": {"name": HOSTILE, "arguments": {}}}]},
    ]
    page = _page(talk, tokenizer="demo")
    tags = {tag for tag, _ in _Page(page).seen}
    assert tags <= {"html", "head", "meta", "title", "style", "body", "section", "h1", "h2", "small", "div", "span",
                    "pre", "b", "i", "ul", "li", "p", "code", "footer", "br"}  # fmt: skip
    assert "\x1b" not in page


@given(st.text(), st.text())
def test_no_text_breaks_the_page(question: str, answer: str) -> None:
    page = _Page(_page([{"role": "user", "content": question}, {"role": "assistant", "content": answer}]))
    assert page.open == []
    assert "script" not in {tag for tag, _ in page.seen}


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = _page(_fixture("tool_call"), tokenizer="demo")
    assert not re.search(r"(?:src|href)\s*=|url\(|@import|https?:", page)
    assert "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page


def test_pointing_at_a_text_tells_its_field_its_line_and_its_token() -> None:
    titles = [attributes.get("title") for tag, attributes in _Page(_page(_fixture("reasoning"))).seen if tag == "b"]
    assert "messages[0].content · template line 6" in titles
    tokens = [
        attributes.get("title")
        for tag, attributes in _Page(_page(_fixture("reasoning"), tokenizer="demo")).seen
        if tag == "b"
    ]
    assert any(re.fullmatch(r"messages\[1\].content · template line \d+\ntoken \d+\ntrained", str(t)) for t in tokens)
