"""The views, the state, the guard and the workers of the playground, without a browser and without NiceGUI."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattmpl.encode import encode
from chattmpl.errors import UsageError
from chattmpl.playground.guard import RequestGuard, refusal
from chattmpl.playground.lane import JobTimeout, Lane, Superseded
from chattmpl.playground.setup import Setup, Watch, accepted, read_folder, set_up, shared, watched
from chattmpl.playground.state import AGAINST, TABS, State, Tab, from_fragment, to_fragment
from chattmpl.playground.views.inputs import conversation_of, conversation_text, fixture_names, template_of, text_of
from chattmpl.playground.worker import answer
from chattmpl.template.family import family_names
from support.command import run_here

HOSTILE = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>\"'"
OUT_OF_A_TAG = """{% for m in messages %}<|{{ m.role }}|>{% generation %}{{ m.content }}<|end|>{% endgeneration %}
{% endfor %}"""


def view(**values: Any) -> dict[str, Any]:
    return answer({"kind": "view", "state": State(**values).to_dict()})


class _Page(HTMLParser):
    """All tags and attributes, and the text, of some HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, name: str) -> list[dict[str, str | None]]:
        """The attributes of the elements that have a class."""
        return [attrs for _, attrs in self.tags if name in (attrs.get("class") or "").split()]


# -- the state in an address

_TEXTS = st.text(max_size=30)
_STATES = st.builds(
    State,
    base=st.sampled_from(["", "qwen3", "hybrid"]),
    source=st.none() | _TEXTS,
    name=_TEXTS,
    conversation=st.none() | _TEXTS,
    retention=st.none() | st.just("all"),
    target=st.sampled_from(["train", "inference"]),
    prompt=st.booleans(),
    kwargs=st.dictionaries(_TEXTS, st.none() | st.booleans() | st.integers() | _TEXTS, max_size=3),
    tab=st.sampled_from(TABS),
    against=st.sampled_from(AGAINST),
    other=_TEXTS,
)


@given(_STATES)
def test_an_address_gives_back_the_state_it_was_made_from(state: State) -> None:
    assert from_fragment("#" + to_fragment(state)) == state


def test_the_address_of_a_family_is_short() -> None:
    assert len(to_fragment(State(base="gpt_oss", tab="tokens", prompt=True))) < 100


@pytest.mark.parametrize(
    "fragment",
    ["s=", "s=!!", "s=AAAA", "elsewhere", "s=" + base64.urlsafe_b64encode(zlib.compress(b"[1]")).decode().rstrip("=")],
)
def test_an_address_that_holds_no_state_is_refused(fragment: str) -> None:
    with pytest.raises(UsageError, match=r"not hold a valid state|truncated|not an object"):
        from_fragment(fragment)


def test_an_address_that_unpacks_to_too_much_is_refused() -> None:
    bomb = base64.urlsafe_b64encode(zlib.compress(b'{"source":"' + b"a" * (8 << 20) + b'"}')).decode()
    with pytest.raises(UsageError, match="too large"):
        from_fragment("s=" + bomb)


@pytest.mark.parametrize(
    "wrong", [{"tab": "other"}, {"prompt": "yes"}, {"kwargs": []}, {"source": 3}, {"tokens": {"a": 1}}]
)
def test_a_state_of_other_types_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"invalid state: {next(iter(wrong))}="):
        State.from_dict(wrong)


# -- what an address may name


def test_an_address_does_not_start_node() -> None:
    state = State(tab="compare", against="engine", other="huggingface-jinja")
    found, left = accepted(state, Setup())
    assert (found.other, left) == ("", ["the comparison with huggingface-jinja"])
    assert accepted(replace(state, other="minijinja"), Setup())[1] == []


def test_an_address_cannot_make_the_playground_read_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.jinja"
    secret.write_text("secret")
    state = State(base=str(secret), tokenizer="/etc/passwd", against="revision", other="HEAD:secret")
    found, left = accepted(state, Setup())
    assert (found.base, found.tokenizer, found.other) == ("", "demo", "")
    assert len(left) == 3
    assert "secret" not in text_of(found)


def test_what_was_given_on_the_command_line_may_be_named() -> None:
    state = State(tokenizer="mine/tokenizer.json")
    assert accepted(state, Setup(tokenizer="mine/tokenizer.json")) == (state, [])


def test_a_file_goes_into_an_address_as_its_text(tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text(OUT_OF_A_TAG)
    sent = shared(State(base=str(file)))
    assert (sent.base, sent.source, sent.name) == ("", OUT_OF_A_TAG, "mine.jinja")
    assert str(tmp_path) not in json.dumps(sent.to_dict())
    assert accepted(sent, Setup())[0] == sent


def test_a_reload_goes_on_watching_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text(OUT_OF_A_TAG)
    state = State(base=str(file))
    found, left = accepted(shared(state), Setup(template=str(file)))
    assert (found.base, found.source, left) == (str(file), None, [])


# -- the views


@pytest.mark.parametrize("family", family_names())
@pytest.mark.parametrize("tab", TABS)
def test_each_family_has_each_view(family: str, tab: str) -> None:
    made = view(base=family, tab=tab)
    assert made["ok"], made
    assert made["template_marks"]


@pytest.mark.parametrize("fixture", fixture_names())
def test_each_fixture_is_shown(fixture: str) -> None:
    made = view(base="chatml", fixture=fixture)
    assert made["ok"] or "refuses" in made["problem"]["message"], made
    assert not made["ok"] or made["conversation_marks"]


def test_all_that_is_rendered_is_shown_and_what_is_generated_is_marked() -> None:
    made = view(base="qwen3", fixture="single_turn")
    page = _Page(made["html"])
    rendering = template_of(State(base="qwen3")).render(conversation_of(State(fixture="single_turn")))
    shown = page.text[page.text.index("<|im_start|>user") :]
    for line in rendering.text.splitlines():
        assert line in shown
    origins = [attrs["data-o"] or "" for attrs in page.of("gen") if "data-o" in attrs]
    assert any(origin.startswith("messages[1].content · template line ") for origin in origins)
    assert all(origin.endswith("generated") for origin in origins)


def test_the_same_class_stands_on_a_piece_on_its_line_and_on_its_field() -> None:
    made = view(base="qwen3", fixture="single_turn")
    page = _Page(made["html"])
    text = State(fixture="single_turn")
    answer_piece = next(a for a in page.of("gen") if (a.get("data-o") or "").startswith("messages[1].content"))
    classes = set((answer_piece["class"] or "").split())
    lines = [mark for mark in made["template_marks"] if classes & set(mark["class"].split()) - {"wrote"}]
    fields = [mark for mark in made["conversation_marks"] if classes & set(mark["class"].split())]
    assert len(lines) == len(fields) == 1
    assert "wrote-made" in lines[0]["class"]
    marked = conversation_text(text)[fields[0]["from"] : fields[0]["to"]]
    assert json.loads(marked) == conversation_of(text).messages[1].content


def test_fields_are_marked_in_a_list_of_messages_and_in_sharegpt() -> None:
    listed = json.dumps([{"role": "user", "content": "Hi"}, {"role": "assistant", "reasoning": "why", "content": "Yo"}])
    made = view(base="qwen3", conversation=listed)
    marked = [listed[mark["from"] : mark["to"]] for mark in made["conversation_marks"]]
    assert {'"Hi"', '"why"', '"Yo"'} <= set(marked)
    held = conversation_text(State(fixture="sharegpt"))
    marks = view(base="qwen3", fixture="sharegpt")["conversation_marks"]
    assert len([mark for mark in marks if held[mark["from"]] == '"']) == held.count('"value"')


def test_what_is_lost_is_said_and_marked() -> None:
    made = view(source=OUT_OF_A_TAG, base="")
    assert "3 fields are lost" in made["html"]
    assert sum("lost" in mark["class"] for mark in made["conversation_marks"]) == 3


def test_for_inference_nothing_is_marked_as_generated() -> None:
    made = view(base="qwen3", target="inference")
    assert made["ok"]
    assert _Page(made["html"]).of("gen") == []
    chips = _Page(view(base="qwen3", target="inference", tab="tokens")["html"])
    assert [attrs for attrs in chips.of("tok") if "data-o" in attrs]
    assert not [attrs for attrs in chips.of("gen") if "data-o" in attrs]


def test_tokens_have_their_ids_their_mask_and_straddles() -> None:
    straddling = "{% for m in messages %}{{ m.role }}:{% generation %}{{ m.content }}{% endgeneration %}\n{% endfor %}"
    conversation = json.dumps([{"role": "user", "content": "a"}, {"role": "assistant", "content": ":) ok  "}])
    state = State(base="", source=straddling, conversation=conversation, tab="tokens")
    page = _Page(view(**state.to_dict())["html"])
    encoding = encode(template_of(state).render(json.loads(conversation)), "demo")
    chips = [attrs for attrs in page.of("tok") if (attrs.get("data-o") or "").startswith("token ")]
    assert len(chips) == len(encoding)
    trained = ["gen" in (attrs["class"] or "").split() for attrs in chips]
    assert trained == [bool(flag) for flag in encoding.assistant_masks]
    for index, attrs in enumerate(chips):
        assert f"token {index} · id {encoding.input_ids[index]} ·" in (attrs["data-o"] or "")


def test_control_tokens_of_a_message_are_shown_as_escaped() -> None:
    made = view(base="qwen3", fixture="control_tokens_in_text", tab="tokens")
    assert [attrs for attrs in _Page(made["html"]).of("escaped") if "data-o" in attrs]


def test_each_law_says_what_came_of_it_and_a_counterexample_can_be_loaded() -> None:
    untrained_stop = OUT_OF_A_TAG.replace("<|end|>{% endgeneration %}", "{% endgeneration %}<|end|>")
    made = answer({"kind": "laws", "state": State(base="", source=untrained_stop, fixture="single_turn").to_dict()})
    assert made["ok"], made
    rows = {row["name"]: row for row in made["rows"]}
    assert rows["stop"]["status"] == "broken"
    loaded = view(base="", source=untrained_stop, conversation=rows["stop"]["broken"][0]["conversation"])
    assert loaded["ok"]
    assert 'data-act="load:stop:0"' in made["html"]
    portable = answer({"kind": "laws", "state": State(base="hybrid").to_dict()})["rows"]
    assert {row["name"]: row["status"] for row in portable}["sampled"] == "holds"


def test_policies_are_compared_and_what_differs_is_marked() -> None:
    made = view(base="qwen3", tab="compare", against="retention", other="all")
    page = _Page(made["html"])
    assert page.of("ins")
    assert "2 changes of the text" in made["counts"]
    assert "No difference" in view(base="qwen3", tab="compare", other="since_last_user")["html"]


def test_templates_and_engines_are_compared() -> None:
    assert _Page(view(base="qwen3", tab="compare", against="template", other="llama3")["html"]).of("del")
    emulated = view(base="chatml", tab="compare", against="engine", other="tgi")
    assert emulated["ok"]
    assert "tgi" in emulated["html"]


def test_compare_opens_without_an_error_where_there_are_no_policies() -> None:
    made = view(base="llama3", tab="compare")
    assert "No policies to compare" in made["html"]
    assert '<code class="command" tabindex="0">chattmpl retain llama3 --policy all -o kept.jinja</code>' in made["html"]
    assert "error" not in made["html"]


def test_a_comparison_that_cannot_be_made_says_why() -> None:
    made = view(base="llama3", tab="compare", against="retention", other="all")
    assert "no retention policies" in made["html"]
    assert "unknown template" in view(tab="compare", against="template", other="--output=x")["html"]


def test_both_exports_are_shown() -> None:
    made = view(base="qwen3", tab="export")["html"]
    assert 'data-act="copy:train"' in made
    assert 'data-act="save:inference"' in made
    exports = answer({"kind": "exports", "state": State(base="qwen3").to_dict()})["exports"]
    assert "endgeneration" in exports["train"]
    assert "generation %}" not in exports["inference"]


def test_there_is_a_control_for_each_kwarg_that_is_read() -> None:
    asked = "{% if loud %}!{% endif %}{% if tone == 'kind' %}:){% endif %}"
    source = asked + "{{ date }}{% for m in messages %}{{ m.content }}{% endfor %}"
    made = answer({"kind": "analysis", "state": State(base="", source=source).to_dict()})
    kinds = {control["name"]: (control["kind"], control["values"]) for control in made["controls"]}
    assert kinds == {"loud": ("choice", [True, False]), "tone": ("choice", ["kind"]), "date": ("text", [])}


def test_lint_says_its_findings_with_their_lines() -> None:
    made = answer({"kind": "analysis", "state": State(base="", source=OUT_OF_A_TAG).to_dict()})
    assert {"CT108"} <= {problem["code"] for problem in made["problems"]}
    assert all(1 <= problem["line"] <= 2 for problem in made["problems"])


# -- what goes wrong


@pytest.mark.parametrize(
    ("values", "where", "line"),
    [
        ({"source": "a\n{% for"}, "template", 2),
        ({"source": "a\nb\n{{ raise_exception('no') }}"}, "template", 3),
        ({"conversation": '{"messages":\n [{"role": "usr"}]}'}, "conversation", 2),
        ({"conversation": "[1,"}, "conversation", 1),
        ({"conversation": ""}, "conversation", None),
        ({"base": "nothing"}, "settings", None),
        ({"fixture": "nothing"}, "settings", None),
        ({"tokenizer": "nowhere.json", "tab": "tokens"}, "settings", None),
    ],
)
def test_an_error_belongs_to_an_editor_and_a_line(values: dict[str, Any], where: str, line: int | None) -> None:
    made = view(**values)
    assert not made["ok"]
    assert (made["problem"]["where"], made["problem"]["line"]) == (where, line)


def test_a_template_that_never_ends_is_an_error() -> None:
    endless = "{% for i in range(99999) %}{% for j in range(99999) %}{% set x = j %}{% endfor %}{% endfor %}"
    made = view(base="", source=endless)
    assert "steps" in made["problem"]["message"]


@pytest.mark.parametrize("tab", TABS)
def test_nothing_hostile_becomes_markup(tab: Tab) -> None:
    conversation = json.dumps(
        [{"role": "user", "content": HOSTILE}, {"role": "assistant", "content": HOSTILE, "id": HOSTILE}]
    )
    source = HOSTILE + OUT_OF_A_TAG + "{# " + HOSTILE + " #}{{ x }}"
    state = State(
        base="", name=HOSTILE, source=source, conversation=conversation, tab=tab, kwargs={"x": HOSTILE}, other="qwen3",
        against="template",
    )  # fmt: skip
    for kind in ("view", "save", "laws"):
        made = answer({"kind": kind, "state": state.to_dict()})
        assert made["ok"], made
        page = _Page(made.get("html") or made.get("page") or "")
        assert not {"script", "img"} & {tag for tag, _ in page.tags}
        assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]


# -- saving, watching, the command line


@pytest.mark.parametrize("tab", TABS)
def test_a_saved_page_needs_nothing_from_elsewhere(tab: Tab) -> None:
    made = answer({"kind": "save", "state": State(base="qwen3", tab=tab, fixture="single_turn").to_dict()})
    page = _Page(made["page"])
    assert "script" not in {tag for tag, _ in page.tags}
    assert not [attrs for _, attrs in page.tags if "src" in attrs or "href" in attrs]
    assert "default-src 'none'" in made["page"]
    assert text_of(State(base="qwen3")).strip() in page.text


def test_a_file_is_seen_to_change(tmp_path: Path) -> None:
    file = tmp_path / "t.jinja"
    file.write_text("a")
    watch = Watch(file)
    assert not watch.changed()
    file.write_text("ab")
    assert watch.changed()
    assert not watch.changed()
    file.unlink()
    assert not watch.changed()
    file.write_text("abc")
    assert watch.changed()
    assert watched(str(file)) == file
    assert watched("qwen3") is None


def test_conversations_of_a_folder_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one.json").write_text('[{"role": "user", "content": "Hi"}]')
    (tmp_path / "two.jsonl").write_text('[{"role": "user", "content": "A"}]\n[{"role": "user", "content": "B"}]\n')
    (tmp_path / "other.txt").write_text("no")
    assert list(read_folder(tmp_path)) == ["one.json", "two.jsonl[0]", "two.jsonl[1]"]
    setup = set_up("qwen3", str(tmp_path), None)
    assert setup.first().fixture == "one.json"
    monkeypatch.setattr("chattmpl.playground.setup.MOST_CONVERSATIONS", 1)
    said: list[str] = []
    assert list(read_folder(tmp_path, said.append)) == ["one.json", "two.jsonl"]
    assert said == [f"note: {tmp_path / 'two.jsonl'} has more conversations; the first 1 are listed"]
    with pytest.raises(UsageError, match="no conversations"):
        read_folder(_made(tmp_path / "empty"))
    with pytest.raises(UsageError, match="no conversations found at"):
        read_folder(tmp_path / "nowhere")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_without_the_extra_the_command_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nicegui", None)
    outcome = run_here(["playground", "--no-browser"])
    assert outcome.code == 2
    assert outcome.err.splitlines() == [
        "error: chattmpl playground requires packages that are not installed: nicegui",
        "hint: pip install 'chattmpl[playground]'",
    ]


# -- who may ask


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"host": ["127.0.0.1:8290"]}, False),
        ({"host": ["localhost:8290"], "origin": ["http://localhost:8290"]}, False),
        ({"host": ["[::1]:8290"]}, False),
        ({"host": ["127.0.0.1:8290"], "sec-fetch-site": ["same-origin"]}, False),
        ({"host": ["127.0.0.1:8290"], "origin": ["http://evil.example"]}, True),
        ({"host": ["127.0.0.1:8290"], "origin": ["http://127.0.0.1:9999"]}, True),
        ({"host": ["127.0.0.1:8290"], "origin": ["null"]}, True),
        ({"host": ["evil.example:8290"]}, True),
        ({"host": ["127.0.0.1.evil.example:8290"]}, True),
        ({"host": ["127.0.0.1:9999"]}, True),
        ({}, True),
        ({"host": ["127.0.0.1:8290", "evil.example"]}, True),
        ({"host": ["127.0.0.1:8290"], "sec-fetch-site": ["cross-site"]}, True),
        (
            {
                "host": ["127.0.0.1:8290"],
                "sec-fetch-site": ["cross-site"],
                "sec-fetch-mode": ["navigate"],
                "sec-fetch-dest": ["document"],
            },
            False,
        ),
        (
            {
                "host": ["127.0.0.1:8290"],
                "sec-fetch-site": ["cross-site"],
                "sec-fetch-mode": ["navigate"],
                "sec-fetch-dest": ["iframe"],
            },
            True,
        ),
    ],
)
def test_only_the_pages_own_requests_are_answered(headers: dict[str, list[str]], refused: bool) -> None:
    assert (refusal(headers, 8290) is not None) is refused


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_the_guard_stands_before_pages_and_sockets(kind: str) -> None:
    async def page(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    def sent(host: str) -> list[Any]:
        messages: list[Any] = []

        async def send(message: Any) -> None:
            messages.append(message)

        scope = {"type": kind, "headers": [(b"host", host.encode())]}
        asyncio.run(RequestGuard(page, 8290)(scope, None, send))  # type: ignore[arg-type]
        return messages

    (answered,) = sent("127.0.0.1:8290")
    names = {name for name, _ in answered["headers"]}
    assert {b"content-security-policy", b"x-frame-options"} <= names
    refused = sent("evil.example:8290")
    assert refused[0]["type"] == ("websocket.close" if kind == "websocket" else "http.response.start")
    assert refused[0].get("status", 403) == 403


# -- workers


def _asked(lane: Lane, *jobs: dict[str, Any], owner: Any = None) -> list[Any]:
    """The answers to jobs that are asked for at once; errors as values."""

    async def ask() -> list[Any]:
        try:
            return list(await asyncio.gather(*(lane.ask(job, owner) for job in jobs), return_exceptions=True))
        finally:
            await lane.close()

    return asyncio.run(ask())


def test_a_worker_answers_in_a_process_of_its_own() -> None:
    (made,) = _asked(Lane(60), {"kind": "view", "state": State(base="qwen3").to_dict()})
    assert made["ok"]
    assert made["html"] == view(base="qwen3")["html"]


def test_a_worker_that_takes_too_long_is_ended_and_another_one_started() -> None:
    slow = {"kind": "laws", "state": State(base="gpt_oss").to_dict()}
    first, second = _asked(Lane(0.05), slow, {"kind": "ping"})
    assert isinstance(first, JobTimeout)
    assert second == {"ok": True}


def test_what_takes_its_time_is_done_once_before_and_not_counted() -> None:
    async def ask() -> list[Any]:
        lane = Lane(60)
        before = {"kind": "laws", "state": State(base="chatml", fixture="single_turn").to_dict()}
        try:
            await lane.ask({"kind": "ping"}, before=before)
            lane.seconds = 0.5
            return [await lane.ask({"kind": "ping"}, before=before) for _ in range(3)]
        finally:
            await lane.close()

    assert asyncio.run(ask()) == [{"ok": True}] * 3


def test_of_the_questions_of_one_page_that_wait_only_the_newest_is_answered() -> None:
    jobs = [{"kind": "view", "state": State(base="qwen3", source=f"{number}").to_dict()} for number in range(4)]
    answers = _asked(Lane(60), *jobs, owner="page")
    assert [type(made) for made in answers] == [dict, Superseded, Superseded, dict]
    assert ">3<" in answers[-1]["html"]


def test_an_impatient_worker_drops_what_its_owner_no_longer_wants_and_nothing_of_others() -> None:
    async def ask() -> list[Any]:
        lane = Lane(60, impatient=True)
        slow = {"kind": "laws", "state": State(base="qwen3", fixture="single_turn").to_dict()}
        try:
            first = asyncio.ensure_future(lane.ask(slow, "one page"))
            await asyncio.sleep(0.1)
            second = asyncio.ensure_future(lane.ask({"kind": "ping"}, "one page"))
            other = asyncio.ensure_future(lane.ask({"kind": "ping"}, "another"))
            return list(await asyncio.gather(first, second, other, return_exceptions=True))
        finally:
            await lane.close()

    first, second, other = asyncio.run(ask())
    assert isinstance(first, Superseded)
    assert second == other == {"ok": True}


def test_a_revision_of_git_is_compared(tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text(OUT_OF_A_TAG)
    who = ("-c", "user.name=n", "-c", "user.email=e@example.com", "-c", "commit.gpgsign=false")
    for command in (("init", "-q"), ("add", "."), (*who, "commit", "-q", "-m", "x")):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    state = State(base=str(file), source=OUT_OF_A_TAG.replace("<|end|>", "<|fine|>"), tab="compare", against="revision")
    made = view(**state.to_dict())
    assert made["ok"], made
    page = _Page(made["html"])
    changed = [len([attrs for attrs in page.of(name) if "data-o" in attrs]) for name in ("del", "ins")]
    assert changed == [6, 6]


def test_what_is_not_read_is_said() -> None:
    row = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}], "persona": "a cook"}
    made = view(base="chatml", conversation=json.dumps(row))
    assert "is not read; it has text or objects in 1 row" in made["html"]
