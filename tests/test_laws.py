"""Each law finds its planted defect, and leaves the twin without the defect alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chattmpl import Conversation, Template
from chattmpl.conversation.files import load_conversation
from chattmpl.errors import UsageError
from chattmpl.laws import Case, Counterexample, DoesNotApply, Holds, NotEvaluated, Outcome, evaluate, laws, laws_named
from chattmpl.parse import parse
from chattmpl.report.laws import difference_lines
from chattmpl.report.lines import plain
from chattmpl.template.family import family_names, shipped_folder

FIXTURES = sorted(shipped_folder("fixtures").glob("*.json"))

GOOD = (
    "{{ bos_token }}{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\\n' }}"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content ~ '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ m.content ~ '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

CHAT = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "Goodbye."},
]

DEFECTS = [
    pytest.param(
        "sampled",
        ("{{ '<|im_start|>' ~ m.role ~ '\\n' }}{% if m.role == 'assistant' %}{% generation %}",
         "{% if m.role == 'assistant' %}{% generation %}{{ '<|im_start|>' ~ m.role ~ '\\n' }}"),
        "messages[1] trains '<|im_start|>assistant\\n', which its prompt supplies",
        id="header in the loss",
    ),
    pytest.param(
        "sampled",
        ("{{ m.content ~ '<|im_end|>' }}{% endgeneration",
         "{{ (m.content if loop.last else '(cut)') ~ '<|im_end|>' }}{% endgeneration"),
        "messages[1] is rendered differently in history than when it was sampled",
        id="history rewritten",
    ),
    pytest.param(
        "sampled",
        ("{{ '<|im_start|>assistant\\n' }}", "{{ '<|im_start|>model\\n' }}"),
        "the prompt of messages[1] is not a prefix of the rendered conversation",
        id="another header in the prompt",
    ),
    pytest.param(
        "sampled",
        ("{% if add_generation_prompt %}", "{% if false %}"),
        "'<|im_start|>assistant\\n' is between the prompt and the generated span of messages[1]",
        id="no generation prompt",
    ),
    pytest.param(
        "stop",
        ("{{ m.content ~ '<|im_end|>' }}{% endgeneration %}", "{{ m.content }}{% endgeneration %}{{ '<|im_end|>' }}"),
        "the stop token of messages[1] is not trained",
        id="stop token outside",
    ),
    pytest.param(
        "stop",
        ("'<|im_end|>' }}{% endgeneration %}", "'<|im_end|>\\n' }}{% endgeneration %}"),
        "messages[1] trains '\\n' after its stop token",
        id="newline after the stop token",
    ),
    pytest.param(
        "stop",
        ("{{ m.content ~ '<|im_end|>' }}{% endgeneration %}", "{{ m.content }}{% endgeneration %}"),
        "messages[1] ends without a stop token",
        id="no stop token",
    ),
    pytest.param(
        "pure",
        ("{% if m.role == 'assistant' %}", "{% if true %}"),
        "messages[0].content is trained, but the model does not sample it: 'Hi'",
        id="user trained",
    ),
    pytest.param(
        "pure",
        ("{% generation %}{{ m.content ~", "{{ m.content }}{% generation %}{{ ''  ~"),
        "messages[1].content is rendered outside the generated span: 'Hello!'",
        id="answer not trained",
    ),
    pytest.param(
        "prefix",
        ("{{ m.content ~ '<|im_end|>' }}{% endif", "{{ (m.content if loop.last else '') ~ '<|im_end|>' }}{% endif"),
        "the prompt of messages[3] does not begin with messages[1] as it was sampled",
        id="history rewritten",
    ),
    pytest.param(
        "lossless",
        ("{{ m.content ~ '<|im_end|>' }}{% endif", "{{ '<|im_end|>' }}{% endif"),
        "messages[0] (user) is not rendered",
        id="user dropped",
    ),
    pytest.param(
        "steady",
        ("{{ bos_token }}", "{{ bos_token ~ strftime_now('%d %b %Y') }}"),
        "another time of day changes the text",
        id="clock",
    ),
    pytest.param(
        "steady",
        ("{{ '\\n' }}{% endfor", "{{ '\\n' ~ (m.keys() | first) }}{% endfor"),
        "the order of the keys in a message changes the text",
        id="key order",
    ),
    pytest.param(
        "single-bos",
        ("{{ bos_token }}", "{{ bos_token ~ bos_token }}"),
        "'<s>' is written 2 times",
        id="two",
    ),
    pytest.param("single-bos", ("{{ bos_token }}", ""), "'<s>' is never written", id="none"),
]  # fmt: skip


def outcome(law: str, source: str, messages: Any = CHAT, tokenizer: Any = "demo") -> Outcome:
    template = Template.from_source(source, tokens={"bos_token": "<s>", "eos_token": "<|im_end|>"})
    return evaluate(laws()[law], Case(template, messages, tokenizer=tokenizer))


@pytest.mark.parametrize("law", [name for name in laws() if name not in ("portable", "roundtrip")])
def test_a_good_template_obeys_the_law(law: str) -> None:
    assert outcome(law, GOOD) == Holds()


@pytest.mark.parametrize(("law", "change", "message"), DEFECTS)
def test_a_planted_defect_is_found(law: str, change: tuple[str, str], message: str) -> None:
    assert change[0] in GOOD
    found = outcome(law, GOOD.replace(*change))
    assert isinstance(found, Counterexample)
    assert found.law == law
    assert found.message == message


def test_a_token_across_the_edge_of_a_span_breaks_boundary() -> None:
    source = (
        "{% for m in messages %}{{ m.role ~ ': ' }}"
        "{% generation %}{{ m.content }}{% endgeneration %}{{ '\\n' }}{% endfor %}"
    )
    found = outcome("boundary", source, [{"role": "assistant", "content": "the answer"}])
    twin = outcome(
        "boundary", source.replace("': '", "'<|im_start|>'"), [{"role": "assistant", "content": "the answer"}]
    )
    assert isinstance(found, Counterexample)
    assert found.message == "the token ' the' straddles the start of a generated span"
    assert twin == Holds()


def test_a_parser_that_loses_a_message_breaks_roundtrip(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(*arguments: Any, **given: Any) -> Conversation:
        parsed = parse(*arguments, **given)
        return parsed.with_messages(parsed.messages[:-1])

    law, case = laws()["roundtrip"], Case(Template.load("chatml"), CHAT)
    assert evaluate(law, case) == Holds()
    monkeypatch.setattr("chattmpl.laws.roundtrip.parse", forgetful)
    found = evaluate(law, case)
    assert isinstance(found, Counterexample)
    assert found.message == "the parsed conversation renders to a different text"


_ANSWERED = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
_JOINS_SYSTEM = (
    "{% for m in messages if m.role == 'system' %}{{ m.content }}{% endfor %}"
    "{% for m in messages if m.role != 'system' %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.mark.parametrize(
    ("messages", "holds"),
    [
        pytest.param([{"role": "user", "content": "a"}, {"role": "system", "content": "s"}], None, id="asked once"),
        pytest.param([*_ANSWERED, {"role": "user", "content": "c"}], True, id="a question"),
        pytest.param([*_ANSWERED, {"role": "system", "content": "s"}], False, id="the front changes after sampling"),
    ],
)
def test_prefix_is_checked_between_points_where_the_model_samples(messages: Any, holds: bool | None) -> None:
    found = outcome("prefix", _JOINS_SYSTEM, messages)
    expected = {None: DoesNotApply, True: Holds, False: Counterexample}[holds]
    assert isinstance(found, expected)


def test_results_that_share_a_turn_keep_the_law_prefix() -> None:
    call = {"id": "call00001", "type": "function", "function": {"name": "f", "arguments": {}}}
    results = [{"role": "tool", "content": content} for content in "xy"]
    messages = [_ANSWERED[0], {"role": "assistant", "content": "", "tool_calls": [call, call]}, *results, _ANSWERED[1]]
    assert evaluate(laws()["prefix"], Case(Template.load("chatml"), {"messages": messages})) == Holds()


@pytest.mark.parametrize(
    ("messages", "applies"),
    [
        pytest.param([{"role": "assistant", "content": "a"}], False, id="the assistant speaks first"),
        pytest.param([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], True, id="an answer"),
    ],
)
def test_roundtrip_asks_for_no_parse_of_a_turn_without_a_question(messages: Any, applies: bool) -> None:
    found = evaluate(laws()["roundtrip"], Case(Template.load("chatml"), {"messages": messages}))
    assert isinstance(found, Holds if applies else DoesNotApply)


def test_roundtrip_holds_for_any_template_whose_turns_are_marked() -> None:
    assert isinstance(outcome("roundtrip", GOOD), Holds)
    unmarked = "{% for m in messages %}{{ m.content }}{% endfor %}"
    assert isinstance(outcome("roundtrip", unmarked), DoesNotApply)


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_hybrid_obeys_every_law_on_every_fixture(path: Path) -> None:
    case = Case(Template.load("hybrid"), load_conversation(path), tokenizer="demo")
    for law in laws().values():
        found = evaluate(law, case)
        assert isinstance(found, (Holds, DoesNotApply, NotEvaluated)), law.name
        assert law.name == "portable" or not isinstance(found, NotEvaluated), law.name


def test_a_difference_is_shown_where_it_begins_with_both_texts() -> None:
    found = outcome("sampled", GOOD.replace("{{ '<|im_start|>assistant\\n' }}", "{{ '<|im_start|>model\\n' }}"))
    assert isinstance(found, Counterexample)
    assert found.expected is not None
    assert found.got is not None
    assert found.difference is not None
    assert found.expected[: found.difference] == found.got[: found.difference]
    assert found.expected[found.difference :].startswith("model")
    expected, got, caret = plain(difference_lines(found)).splitlines()
    assert [expected.split()[0], got.split()[0], caret.strip()] == ["expected", "got", "^"]
    assert expected[caret.index("^") :].startswith("model")
    assert found.place is not None


def test_a_law_that_needs_a_tokenizer_is_not_evaluated_without_one() -> None:
    assert isinstance(outcome("boundary", GOOD, tokenizer=None), NotEvaluated)
    assert isinstance(outcome("inert", GOOD, tokenizer=None), NotEvaluated)


def test_a_law_says_why_it_does_not_apply() -> None:
    assert outcome("sampled", GOOD, CHAT[:1]) == DoesNotApply("there is no assistant message")
    refused = outcome("sampled", "{{ raise_exception('no') }}")
    assert isinstance(refused, DoesNotApply)
    assert "refuses this conversation: no" in refused.why


def test_an_unknown_law_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match="did you mean 'sampled'"):
        laws_named(["sampeld"])


@pytest.mark.parametrize("law", list(laws()))
def test_a_law_says_in_its_docstring_what_it_demands(law: str) -> None:
    text = type(laws()[law]).__doc__
    assert text is not None
    assert text.count("\n") > 2


@pytest.mark.parametrize("name", family_names())
@pytest.mark.parametrize("law", ["stop", "boundary", "inert"])
def test_every_family_obeys_the_laws_that_no_upstream_breaks(name: str, law: str) -> None:
    for path in FIXTURES:
        case = Case(Template.load(name), load_conversation(path), tokenizer="demo")
        assert isinstance(evaluate(laws()[law], case), (Holds, DoesNotApply)), path.name
