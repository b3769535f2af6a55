"""Reports of renderings: pictures, the terminal, the HTML page and JSON."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from chattmpl import Rendering, Template
from chattmpl.conversation.files import load_conversation
from chattmpl.printable import dumps
from chattmpl.report.lines import console
from chattmpl.report.page import PAGE_END, page_start, section
from chattmpl.report.picture import Picture, losses, picture
from chattmpl.report.terminal import print_picture
from chattmpl.report.writers import record
from chattmpl.template.family import family_names
from support import ROOT
from support.snapshots import matches_snapshot

MINI = (
    "<s>{% for m in messages %}<|{{ m.role }}|>"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|end|>{% endgeneration %}"
    "{% else %}{{ m.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


TALK = [{"role": "user", "content": "Hi <|end|>"}, {"role": "assistant", "content": "Ho"}]


def _rendering(messages: Any = TALK, source: str = MINI, **kwargs: Any) -> Rendering:
    return Template.from_source(source, name="mini").render(messages, **kwargs)


def _text(shown: Picture) -> str:
    return "".join(piece.text for frame in shown.frames for piece in frame.pieces)


def test_each_turn_has_a_frame_and_so_has_the_text_outside_of_turns() -> None:
    shown = picture(_rendering(add_generation_prompt=True), generation_prompt=True)
    assert [(frame.turn, frame.title) for frame in shown.frames] == [
        (None, "before the first turn"),
        (0, "0 user"),
        (1, "1 assistant"),
        (None, "generation prompt"),
    ]


def test_a_turn_with_a_part_of_another_message_says_so() -> None:
    source = (
        "{% for m in messages if m.role != 'system' %}{{ messages[0].content }}{{ m.content }}"
        "{% generation %}{% endgeneration %}{% endfor %}"
    )
    system = [{"role": "system", "content": "S"}, {"role": "user", "name": "Ann", "content": "U"}]
    assert picture(_rendering(system, source)).frames[0].title == "1 user Ann, with 0 system"


@pytest.mark.parametrize("family", family_names())
@pytest.mark.parametrize("fixture", ["reasoning", "unicode", "control_tokens_in_text", "whitespace"])
def test_the_pieces_are_the_text(family: str, fixture: str) -> None:
    conversation = load_conversation(ROOT / "fixtures" / f"{fixture}.json")
    rendering = Template.load(family).render(conversation)
    assert _text(picture(rendering)) == rendering.text
    encoding = rendering.encode("demo")
    shown = picture(rendering, encoding)
    assert _text(shown) == rendering.text
    assert sum(frame.tokens or 0 for frame in shown.frames) == len(encoding)
    assert sum(frame.trained or 0 for frame in shown.frames) == sum(encoding.assistant_masks)


@given(st.text(), st.text())
def test_the_pieces_are_the_text_whatever_it_is(question: str, answer: str) -> None:
    rendering = _rendering([{"role": "user", "content": question}, {"role": "assistant", "content": answer}])
    encoding = rendering.encode("demo")
    pieces = [piece for frame in picture(rendering, encoding).frames for piece in frame.pieces]
    assert "".join(piece.text for piece in pieces) == rendering.text
    assert {token for piece in pieces for token in piece.tokens} == set(range(len(encoding)))
    for piece in pieces:
        assert piece.trained == any(encoding.assistant_masks[token] for token in piece.tokens)


def test_only_the_templates_own_control_tokens_are_shown_as_such() -> None:
    pieces = [piece for frame in picture(_rendering()).frames for piece in frame.pieces]
    controls = [(piece.text, piece.span.turn) for piece in pieces if piece.kind == "control"]
    assert controls == [
        ("<s>", None), ("<|", 0), ("user", 0), ("|>", 0), ("<|end|>", 0),
        ("<|", 1), ("assistant", 1), ("|>", 1), ("<|end|>", 1),
    ]  # fmt: skip
    assert ("Hi <|end|>", "field") in [(piece.text, piece.kind) for piece in pieces]


def test_an_escaped_control_token_is_called_out() -> None:
    rendering = Template.load("qwen3").render([{"role": "user", "content": "<|im_end|>"}, TALK[1]])
    shown = picture(rendering, rendering.encode("demo"))
    escaped = "".join(piece.text for frame in shown.frames for piece in frame.pieces if piece.escaped)
    assert escaped == "<|im_end|>"
    assert shown.warnings == (
        (
            "1 control token in messages was encoded as ordinary text",
            ('"<|im_end|>" in messages[0].content',),
        ),
    )


def test_a_token_across_an_edge_is_called_out() -> None:
    source = (
        "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }} wea"
        "{% else %}{% generation %}{{ m.content }}{% endgeneration %}{% endif %}{% endfor %}"
    )
    rendering = _rendering([{"role": "user", "content": "The"}, {"role": "assistant", "content": "ther"}], source)
    shown = picture(rendering, rendering.encode("demo"))
    assert shown.warnings[0] == (
        "1 token straddles an edge",
        ('token 1 " weather" straddles the start of a generated span of turn 1',),
    )
    straddling = "".join(piece.text for frame in shown.frames for piece in frame.pieces if piece.straddles)
    assert straddling == " weather"


def test_a_template_without_generation_tags_is_called_out() -> None:
    shown = picture(_rendering(source="{% for m in messages %}{{ m.content }}{% endfor %}"))
    assert [headline for headline, _ in shown.warnings] == ["nothing is generated"]
    assert picture(_rendering()).warnings == ()


def test_a_mask_without_any_token_is_called_out() -> None:
    rendering = _rendering([TALK[0], {**TALK[1], "train": False}])
    shown = picture(rendering, rendering.encode("demo", control_tokens="allow"))
    assert [headline for headline, _ in shown.warnings] == ["nothing is trained"]


def test_a_loss_says_what_is_gone_and_why() -> None:
    talk = [
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": "2", "reasoning_content": "Because."},
        {"role": "tool", "content": "3", "tool_call_id": "call_1", "mood": "odd"},
        {"role": "user", "content": "4"},
    ]
    found = {loss.path: (loss.held, loss.why) for loss in losses(Template.load("qwen3").render(talk))}
    held, why = found["messages[1].reasoning_content"]
    assert held == '"Because."'
    assert why == "the retention policy 'since_last_user' drops it; --retention all keeps it"
    held, why = found["messages[2].tool_call_id"]
    assert held == '"call_1"'
    assert why is not None
    assert why.startswith("qwen3 declares it: ")
    assert found["messages[2].mood"] == ('"odd"', None)


def test_a_limit_of_one_role_explains_no_loss_of_another() -> None:
    talk = [{"role": "developer", "content": "D"}, {"role": "user", "content": "U", "colour": "red"}]
    why = {loss.path: loss.why for loss in losses(Template.load("qwen3").render(talk))}
    assert "no developer turn" in str(why["messages[0].content"])
    assert why["messages[1].colour"] is None


MARKUP = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp; \x1b[31m"


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
    return page_start("conv.json") + section(shown) + PAGE_END


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
    matches_snapshot("page.html", page_start("conv.json") + section(shown) + PAGE_END)


def test_the_page_is_well_formed_and_holds_the_text() -> None:
    # With tokens the joiners inside emoji stand alone, and are shown by their numbers.
    for name, tokenizer in (("tool_call", "demo"), ("unicode", None), ("whitespace", "demo"), ("alpaca", "demo")):
        page = _Page(_page(_fixture(name), tokenizer=tokenizer))
        assert page.open == []
        assert page.text == Template.load("qwen3").render(_fixture(name)).text


def test_a_conversation_cannot_put_elements_into_the_page() -> None:
    talk = [
        {"role": "user", "name": MARKUP, "content": MARKUP, MARKUP: MARKUP},
        {"role": "assistant", "content": MARKUP, "tool_calls": [{"function": {"name": MARKUP, "arguments": {}}}]},
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


HOSTILE = [
    {"role": "system", "content": "\x1b[31mred\x1b[0m \x9b5m \u202eevil\u202c \u200bzero\ttab  \nnext   \n"},
    {"role": "user", "name": "x\x1b]0;title\x07", "content": "<|im_end|>\r\n👩‍🚀 日本語" + "の文章" * 30},
    {"role": "assistant", "content": "[bold]no markup[/bold] :smile: café ☕️"},
]


TURNS = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}"
    "{% else %}{{ m.content }}{% endif %}{% endfor %}"
)


def _picture(messages: Any, template: str = "qwen3", tokenizer: str | None = None, **options: Any) -> Picture:
    rendering = Template.load(template).render(messages)
    encoding = None if tokenizer is None else rendering.encode(tokenizer, **options)
    return picture(rendering, encoding, name="conv.json", tokenizer=tokenizer)


def _printed(shown: Picture, width: int = 80) -> str:
    file = io.StringIO()
    print_picture(console(file, width=width), shown)
    return file.getvalue()


def _coloured(shown: Picture, **options: Any) -> str:
    file = io.StringIO()
    print_picture(Console(file=file, width=80, force_terminal=True, markup=False, highlight=False, **options), shown)
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_a_conversation_with_tools(width: int) -> None:
    matches_snapshot(f"terminal_tools_{width}.txt", _printed(_picture(_fixture("tool_call")), width))


@pytest.mark.parametrize("width", [80, 120])
def test_tokens_and_the_mask_on_them(width: int) -> None:
    shown = _picture(_fixture("multi_turn_reasoning"), tokenizer="demo")
    matches_snapshot(f"terminal_tokens_{width}.txt", _printed(shown, width))


def test_hostile_texts() -> None:
    matches_snapshot("terminal_hostile.txt", _printed(_picture(HOSTILE)))
    matches_snapshot("terminal_hostile_tokens.txt", _printed(_picture(HOSTILE, tokenizer="demo")))


def test_a_choice_of_mask_shows_what_is_generated_and_not_trained() -> None:
    shown = _picture(_fixture("reasoning"), tokenizer="demo", mask="no-reasoning")
    matches_snapshot("terminal_mask.txt", _printed(shown))


@pytest.mark.parametrize(("straddle", "sign"), [("include", "! "), ("exclude", "┊ ")])
def test_where_the_mask_and_the_generated_span_differ_the_margin_says_so(straddle: Any, sign: str) -> None:
    source = "{% for m in messages %}wea{% generation %}ther{% endgeneration %}{% endfor %}"
    rendering = Template.from_source(source).render([{"role": "assistant", "content": ""}])
    printed = _printed(picture(rendering, rendering.encode("demo", straddle=straddle), tokenizer="demo"))
    assert f"│ {sign}" in printed
    assert "straddles an edge" in printed


def test_the_margin_is_exact_where_the_model_begins_in_the_middle_of_a_line() -> None:
    rendering = Template.from_source(TURNS).render(
        [{"role": "user", "content": "Q: 1+1? A: "}, {"role": "assistant", "content": "2\n3"}]
    )
    lines = _printed(picture(rendering)).splitlines()
    assert [line[:6] for line in lines if re.match(r"│ [▌ ]", line)] == ["│   Q:", "│ ▌ 2↵", "│ ▌ 3 "]


def test_what_a_terminal_would_act_on_is_never_sent_to_it() -> None:
    for shown in (_picture(HOSTILE), _picture(HOSTILE, tokenizer="demo")):
        printed = re.sub(r"\x1b\[[\d;]*m", "", _coloured(shown, color_system="truecolor"))
        assert not re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", printed)


def test_colours_tell_generated_text_and_without_them_the_margin_still_does() -> None:
    shown = _picture(_fixture("single_turn"))
    assert "\x1b[38;2;220;252;231;48;2;20;83;45m" in _coloured(shown, color_system="truecolor")
    without = _coloured(shown, color_system="truecolor", no_color=True)
    assert not re.findall(r"\x1b\[[\d;]*\b[345]8;", without)
    assert "▌" in re.sub(r"\x1b\[[\d;]*m", "", without)


def test_tokens_are_told_apart_by_colours_or_else_by_lines() -> None:
    shown = _picture(_fixture("single_turn"), tokenizer="demo")
    assert "▏" not in _coloured(shown, color_system="truecolor")
    assert "▏" in _coloured(shown, color_system="truecolor", no_color=True)


@pytest.mark.parametrize("width", [20, 40, 80, 120])
@pytest.mark.parametrize("tokenizer", [None, "demo"])
def test_no_line_is_wider_than_the_terminal(width: int, tokenizer: str | None) -> None:
    for name in ("tool_call", "unicode", "whitespace", "control_tokens_in_text"):
        for line in _printed(_picture(_fixture(name), tokenizer=tokenizer), width).splitlines():
            assert cell_len(line) <= width


@given(st.text(min_size=1, max_size=200))
def test_every_frame_is_as_wide_as_the_terminal_whatever_is_in_it(text: str) -> None:
    rendering = Template.from_source(TURNS).render([{"role": "assistant", "content": text}])
    for line in _printed(picture(rendering)).splitlines():
        if line[0] in "╭│╰":
            assert cell_len(line) == 80


def test_many_losses_are_counted_rather_than_listed() -> None:
    talk = [{"role": "user", "content": "x", **{f"key{index}": "v" for index in range(30)}}]
    assert "and 10 more, listed by --format json" in _printed(_picture(talk))


def test_a_rendering_has_exactly_the_keys_that_are_promised() -> None:
    talk = [{"role": "user", "content": "Hi <|im_end|>"}, {"role": "assistant", "content": "Ho"}]
    rendering = Template.load("qwen3").render(talk)
    assert list(record(rendering)) == ["text", "spans", "generated", "lost"]
    encoded = record(rendering, rendering.encode("demo"))
    assert list(encoded)[4:] == ["input_ids", "assistant_masks", "straddles", "escaped"]
    assert encoded["escaped"][0]["text"] == "<|im_end|>"
    assert json.loads(dumps(encoded)) == encoded
