"""Rows by the law: each trained token stands after what the model sees at inference."""

from __future__ import annotations

import datetime as dt
import warnings
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer

from chattmpl import Conversation, Template
from chattmpl.budget import Budget
from chattmpl.compiler.policies import POLICIES
from chattmpl.conversation.files import load_conversation
from chattmpl.errors import ChatTmplError, RenderError
from chattmpl.template.family import family_names, shipped_folder
from support.extras import need
from support.small_tokenizers import byte_level_bpe

need("numpy")

import numpy as np  # noqa: E402

from chattmpl.data.encoder import Encoder, Rejection, Row, TemplateWarning  # noqa: E402
from chattmpl.data.exact_path import ExactPath  # noqa: E402

pytestmark = [pytest.mark.data, pytest.mark.filterwarnings("ignore::chattmpl.data.encoder.UnreadDataWarning")]

CLOCK = dt.datetime(2025, 1, 2, 3, 4, 5)
THINKING = [
    {"role": "user", "content": "1+1?"},
    {"role": "assistant", "content": "2", "reasoning_content": "one and one"},
    {"role": "user", "content": "2+2?"},
    {"role": "assistant", "content": "4", "reasoning_content": "two and two"},
    {"role": "user", "content": "3+3?"},
    {"role": "assistant", "content": "6", "reasoning_content": "three and three"},
]


def templates() -> list[tuple[str, str | None]]:
    reasoning = [name for name in family_names() if Template.load(name).program.has_reasoning]
    plain = [(name, None) for name in family_names() if name not in reasoning]
    return [*plain, *((name, policy) for name in reasoning for policy in POLICIES)]


@cache
def conversations() -> list[tuple[str, Conversation]]:
    shipped = [(path.stem, load_conversation(path)) for path in sorted(shipped_folder("fixtures").glob("*.json"))]
    return [*shipped, ("thinking", Conversation.coerce(THINKING))]


def made(family: str, policy: str | None, **options: Any) -> tuple[Template, Encoder]:
    template = Template.load(family, retention=policy)
    return template, Encoder(template, "demo", fast="off", clock=CLOCK, **options)


def runs(sample: Row) -> list[tuple[int, int]]:
    """Return the trained runs of a row, in tokens."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], sample.mask, [0]]).astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def rows_of(encoder: Encoder, conversation: Any) -> list[Row]:
    [found] = encoder.encode_rows([conversation])
    assert isinstance(found, list), found
    return found


def trained_turns(template: Template, conversation: Conversation, rows: list[Row]) -> list[int]:
    """For each trained run the turn of the conversation whose prompt is all that stands before it."""
    prompts = {}
    for index, message in enumerate(conversation.messages):
        if message.role == "assistant":
            head = conversation.with_messages(conversation.messages[:index])
            prompt = template.render(head, add_generation_prompt=True, clock=CLOCK)
            prompts[tuple(prompt.encode("demo").input_ids)] = index
    found = []
    for sample in rows:
        for start, _ in runs(sample):
            before = tuple(sample.input_ids[:start].tolist())
            assert before in prompts, f"no prompt is what stands before token {start}"
            found.append(prompts[before])
    return found


def refuses(template: Template, conversation: Conversation, end: int) -> bool:
    try:
        template.render(conversation.with_messages(conversation.messages[:end]), clock=CLOCK)
    except ChatTmplError:
        return True
    return False


@pytest.mark.parametrize(("family", "policy"), templates())
def test_what_stands_before_a_trained_token_is_a_prompt_at_inference_under_every_policy(
    family: str, policy: str | None
) -> None:
    template, encoder = made(family, policy)
    checked = 0
    for name, conversation in conversations():
        turns = [i for i, m in enumerate(conversation.messages) if m.role == "assistant" and m.trained is not False]
        [rows] = encoder.encode_rows([conversation])
        if isinstance(rows, Rejection) and rows.message.endswith(".tool_calls"):
            assert family == "smollm3"  # renders no calls
            continue
        if isinstance(rows, Rejection):
            # The template refuses the whole, or the shorter conversations that a turn needs.
            ends = [*(turn + 1 for turn in turns), len(conversation.messages)]
            assert any(refuses(template, conversation, end) for end in ends), (name, rows)
            continue
        assert sorted(trained_turns(template, conversation, rows)) == turns, name
        checked += len(turns)
    assert checked > 15


def test_where_history_is_as_it_was_sampled_the_one_row_is_the_plain_one() -> None:
    _, encoder = made("qwen3", "all")
    [plain] = encoder.encode_many([THINKING])
    rows = rows_of(encoder, THINKING)
    assert isinstance(plain, Row)
    [sample] = rows
    assert sample.input_ids.tolist() == plain.input_ids.tolist()
    assert sample.mask.tolist() == plain.mask.tolist()


def test_a_policy_that_drops_reasoning_gives_a_row_for_each_turn_whose_reasoning_is_dropped() -> None:
    _, encoder = made("qwen3", "since_last_user")
    rows = rows_of(encoder, THINKING)
    assert [len(runs(sample)) for sample in rows] == [1, 1, 1]


def test_turns_of_one_tool_loop_share_a_row_because_their_reasoning_is_kept() -> None:
    loop: list[dict[str, Any]] = [
        {"role": "user", "content": "weather?"},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "ask",
            "tool_calls": [{"function": {"name": "get", "arguments": {"city": "Rome"}}}],
        },
        {"role": "tool", "content": "sunny"},
        {"role": "assistant", "content": "Sunny.", "reasoning_content": "tell"},
    ]
    _, encoder = made("qwen3", "since_last_user")
    rows = rows_of(encoder, [*THINKING[:2], *loop])
    assert [len(runs(sample)) for sample in rows] == [1, 2]


def test_a_message_of_the_user_at_the_end_does_not_take_the_last_answer_its_reasoning() -> None:
    template, encoder = made("qwen3", "since_last_user")
    messages = [*THINKING[:2], {"role": "user", "content": "thanks"}]
    rows = rows_of(encoder, messages)
    assert trained_turns(template, Conversation.coerce(messages), rows) == [1]
    [sample] = rows
    alone = encoder.encode_many([THINKING[:2]])[0]
    assert isinstance(alone, Row)
    assert sample.input_ids.tolist() == alone.input_ids.tolist()


def test_a_message_of_the_user_at_the_end_stays_where_it_changes_nothing() -> None:
    _, encoder = made("qwen3", "all")
    messages = [*THINKING[:4], {"role": "user", "content": "thanks"}]
    plain = encoder.encode_many([messages])[0]
    rows = rows_of(encoder, messages)
    assert isinstance(plain, Row)
    assert [sample.input_ids.tolist() for sample in rows] == [plain.input_ids.tolist()]


def test_turns_that_are_not_to_be_trained_get_no_row() -> None:
    messages = [{**m, "train": False} if i == 1 else m for i, m in enumerate(THINKING)]
    template, encoder = made("qwen3", "since_last_user")
    rows = rows_of(encoder, messages)
    assert trained_turns(template, Conversation.coerce(messages), rows) == [3, 5]


@pytest.mark.parametrize(("mask", "turns"), [("last", [5]), ("flags", [3]), ("all", [1, 3, 5])])
def test_the_choice_of_mask_chooses_the_turns(mask: str, turns: list[int]) -> None:
    messages = [{**m, "weight": 1.0} if i == 3 else m for i, m in enumerate(THINKING)]
    template, encoder = made("qwen3", "since_last_user", mask=mask)
    rows = rows_of(encoder, messages)
    assert trained_turns(template, Conversation.coerce(messages), rows) == turns


def test_a_mask_without_reasoning_leaves_the_prompt_and_trains_the_rest_of_the_turn() -> None:
    _, plain = made("qwen3", "since_last_user")
    _, encoder = made("qwen3", "since_last_user", mask="no-reasoning")
    full = rows_of(plain, THINKING)
    bare = rows_of(encoder, THINKING)
    assert [sample.input_ids.tolist() for sample in bare] == [sample.input_ids.tolist() for sample in full]
    assert all(0 < less.trained < more.trained for less, more in zip(bare, full, strict=True))


def test_a_row_that_is_too_long_goes_without_its_last_turns() -> None:
    template, encoder = made("qwen3", "all")
    whole = encoder.encode_many([THINKING])[0]
    assert isinstance(whole, Row)
    rows, too_long = encoder.fitting_rows(THINKING, len(whole) - 1)
    assert too_long == [5]
    assert trained_turns(template, Conversation.coerce(THINKING), rows) == [1, 3]


def test_the_turns_of_a_long_row_are_left_out_in_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = untagged(HEADER + PROMPT, fast="off")
    talk = [{"role": ("user", "assistant")[index % 2], "content": f"text {index}"} for index in range(40)]
    lengths = [len(row) for end in range(2, 41, 2) for row in rows_of(encoder, talk[:end])]
    planned: list[Any] = []
    renderings = ExactPath.renderings

    def counted(*given: Any) -> Any:
        planned.append(given)
        return renderings(*given)

    monkeypatch.setattr(ExactPath, "renderings", counted)
    for turns in (1, 7, 19):
        planned.clear()
        rows, too_long = encoder.fitting_rows(talk, lengths[turns - 1])
        assert [len(row) for row in rows] == [lengths[turns - 1]]
        assert too_long == [*range(2 * turns + 1, 40, 2)]
        assert len(planned) == 2


@pytest.mark.parametrize("fast", ["require", "off"])
def test_a_conversation_of_too_many_turns_is_rejected_with_what_to_do(
    fast: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chattmpl.data.sampled_rows._CHARACTERS", 1 << 20)
    template = Template.from_source(HEADER + PROMPT, budget=Budget(steps=20_000))
    encoder = Encoder(template, tokenizer(), fast=fast)
    talk = [{"role": ("user", "assistant")[index % 2], "content": "x" * 600} for index in range(100)]
    few = talk[:4]
    found = encoder.encode_rows([few, *[talk] * 6, few])
    assert [isinstance(each, Rejection) for each in found] == [False, *[True] * 6, False]
    assert "the prompts of its 50 answers take more than" in str(found[1])
    assert "chattmpl annotate" in str(found[1])


def test_a_conversation_that_the_template_refuses_is_refused_with_the_reason() -> None:
    template, encoder = made("gemma3", None)
    twice = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}, {"role": "assistant", "content": "c"}]
    with pytest.raises(RenderError, match="Gemma 3 wants the user and the model in turn") as raised:
        template.render(twice)
    [rejected] = encoder.encode_many([twice])
    assert isinstance(rejected, Rejection)
    assert raised.value.message in rejected.message


def test_rows_stand_in_the_order_of_their_turns() -> None:
    _, encoder = made("qwen3", "last")
    rows = rows_of(encoder, THINKING)
    assert all(len(first) < len(second) for first, second in pairwise(rows))


# -- templates without valid tags

HEADER = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
PROMPT = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
NEXT_ROLE = (
    "{% for m in messages %}<|{{ 'observation' if m.role == 'tool' else m.role }}|>\n{{ m.content }}"
    "{% for c in m.tool_calls or [] %}\n<tool_call>{{ c.function.name }}{{ c.function.arguments|tojson }}</tool_call>"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
DROPS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.reasoning_content and loop.last %}<think>{{ m.reasoning_content }}</think>{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}" + PROMPT
)
NO_STOP = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
TAGGED = HEADER.replace(
    "{{ m.content }}<|im_end|>\n",
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>{{ '\n' }}{% endgeneration %}{% else %}"
    "{{ m.content }}<|im_end|>{{ '\n' }}{% endif %}",
)
TOKENS = ["<|im_start|>", "<|im_end|>", "<|user|>", "<|assistant|>", "<|observation|>", "<|eos|>", "<|system|>"]


@cache
def tokenizer() -> Tokenizer:
    made = byte_level_bpe()
    made.add_special_tokens([AddedToken(token, normalized=False) for token in TOKENS])
    return made


def untagged(source: str, **options: Any) -> Encoder:
    template = Template.from_source(source, tokens={"eos_token": "<|eos|>"})
    return Encoder(template, tokenizer(), **options)


def decoded(row: Row, start: int, end: int) -> str:
    return tokenizer().decode(row.input_ids[start:end].tolist(), skip_special_tokens=False)


def sampled(encoder: Encoder, messages: list[dict[str, Any]]) -> list[list[str]]:
    """Return the trained texts of each row."""
    return [[decoded(row, start, end) for start, end in runs(row)] for row in rows_of(encoder, messages)]


@pytest.mark.parametrize("fast", ["require", "off"])
@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        (HEADER + PROMPT, [["2<|im_end|>", "4<|im_end|>", "6<|im_end|>"]]),
        (NEXT_ROLE, [["2<|user|>", "4<|user|>", "6<|user|>"]]),
        (NO_STOP, [["2\n\n<|eos|>"], ["4\n\n<|eos|>"], ["6\n\n<|eos|>"]]),
        (
            DROPS,
            [
                ["<think>one and one</think>2<|im_end|>"],
                ["<think>two and two</think>4<|im_end|>"],
                ["<think>three and three</think>6<|im_end|>"],
            ],
        ),
    ],
    ids=["end-of-turn", "next-role", "no-stop", "drops-reasoning"],
)
def test_a_template_without_tags_trains_what_is_sampled(fast: Any, source: str, wanted: list[list[str]]) -> None:
    encoder = untagged(source, fast=fast)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TemplateWarning)
        assert sampled(encoder, THINKING) == wanted


def test_a_template_that_reads_what_no_conversation_decides_is_checked_without_it() -> None:
    source = HEADER.replace("<|im_end|>", "{% if not (loop.last and continue_final_message) %}<|im_end|>{% endif %}")
    talk = [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}]
    assert sampled(untagged(source + PROMPT, fast="require"), talk) == [["2<|im_end|>"]]


def test_calls_end_with_the_marker_of_tool_results_where_that_stops_the_model() -> None:
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}
    loop: list[dict[str, Any]] = [THINKING[0], call, {"role": "tool", "content": "r"}, THINKING[1]]
    encoder = untagged(NEXT_ROLE, fast="off")
    with pytest.warns(TemplateWarning, match=r"without a stop token, so <\|user\|> or <\|observation\|> is appended"):
        assert sampled(encoder, loop) == [['<tool_call>f{"a": 1}</tool_call><|observation|>', "2<|user|>"]]
    assert sampled(encoder, loop[:2]) == [['<tool_call>f{"a": 1}</tool_call><|observation|>']]


def test_tags_that_mark_more_than_is_sampled_are_named_and_not_used() -> None:
    wanted = [["2<|im_end|>", "4<|im_end|>", "6<|im_end|>"]]
    with pytest.warns(TemplateWarning, match='are not used, since they mark "↵" after the stop token'):
        assert sampled(untagged(TAGGED + PROMPT), THINKING) == wanted
    obeyed = sampled(untagged(TAGGED + PROMPT, mask_from="tags"), THINKING)
    assert obeyed[0][-1] == "6<|im_end|>\n"


@pytest.mark.parametrize("fast", ["require", "off"])
def test_a_prompt_that_opens_a_trace_is_continued_where_history_writes_none(fast: Any) -> None:
    encoder = untagged(HEADER + PROMPT.replace("assistant\n", "assistant\n<think>\n"), fast=fast)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TemplateWarning)
        rows = sampled(encoder, THINKING)
    ends = [f"{m['reasoning_content']}\n</think>\n\n{m['content']}<|im_end|>" for m in THINKING[1::2]]
    assert rows == [[end] for end in ends]
    assert_law(encoder, Conversation.coerce(THINKING))
    [note] = [str(one.message) for one in caught if "does not continue its generation prompt" in str(one.message)]
    assert "Answer apricot<|im_end|>" in note
    assert not encoder.report().exact or fast == "off"


@pytest.mark.parametrize("fast", ["require", "off"])
def test_a_prompt_that_closes_a_trace_is_continued_without_one(fast: Any) -> None:
    closed = PROMPT.replace("assistant\n", "assistant\n<think></think>")
    encoder = untagged(HEADER + closed, fast=fast)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TemplateWarning)
        assert sampled(encoder, THINKING) == [["2<|im_end|>"], ["4<|im_end|>"], ["6<|im_end|>"]]
        shown = HEADER.replace("{{ m.content }}", "{{ m.reasoning_content or '' }}{{ m.content }}")
        [rejected] = untagged(shown + closed, fast="off").encode_rows([THINKING])
    assert isinstance(rejected, Rejection)
    assert "enable_thinking" in str(rejected.hint)


@pytest.mark.parametrize("fast", ["require", "off"])
def test_a_trace_that_opens_in_the_middle_of_a_turn_is_continued(fast: Any) -> None:
    source = (
        "{% set ns = namespace(open=false) %}{% for m in messages %}{% if m.role == 'tool' %}[{{ m.content }}]"
        "{% else %}{% if not ns.open %}<|im_start|>{{ m.role }}\n{% endif %}{{ m.content }}"
        "{% for c in m.tool_calls or [] %}<call>{{ c.function.name }}{{ c.function.arguments|tojson }}</call>"
        "{% endfor %}{% set ns.open = m.tool_calls %}"
        "{% if not ns.open %}<|im_end|>\n{% else %}<|observation|>{% endif %}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{% if not ns.open %}<|im_start|>assistant\n{% endif %}<think>\n"
        "{% endif %}"
    )
    call = {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    calls: dict[str, Any] = {"role": "assistant", "content": "", "tool_calls": [call]}
    result: dict[str, Any] = {"role": "tool", "content": "2"}
    talk = [{"role": "user", "content": "1"}, calls, result, calls, result, {"role": "assistant", "content": "3"}]
    encoder = untagged(source, fast=fast)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TemplateWarning)
        text = '\n</think>\n\n<call>f{"a": 1}</call><|observation|>'
        assert sampled(encoder, talk) == [[text], [text], ["\n</think>\n\n3<|im_end|>"]]


CALL = {"type": "function", "function": {"name": "find", "arguments": {"a": 1}}}
WITHOUT_HEADER = (
    "{% for m in messages %}{% if not m.tool_calls %}<|im_start|>{{ m.role }}\n{% endif %}{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function|tojson }}</tool_call>{% endfor %}<|im_end|>\n"
    "{% endfor %}" + PROMPT
)
IN_MODE = "{% if mode %}TEXT{% endif %}"


@pytest.mark.parametrize("fast", ["auto", "off"])
@pytest.mark.parametrize(
    ("source", "answer", "wanted"),
    [
        (
            HEADER + PROMPT.replace("<|im_start|>", IN_MODE.replace("TEXT", "/think ") + "<|im_start|>"),
            {},
            "2<|im_end|>",
        ),
        (HEADER + PROMPT.replace("<|im_start|>", "{{ '' if mode else '<|im_start|>' }}"), {}, "2<|im_end|>"),
        (
            WITHOUT_HEADER,
            {"tool_calls": [CALL]},
            '2<tool_call>{"name": "find", "arguments": {"a": 1}}</tool_call><|im_end|>',
        ),
        (HEADER + PROMPT + IN_MODE.replace("TEXT", "<think>\n\n</think>\n"), {}, "2<|im_end|>"),
    ],
    ids=["longer-prompt", "shorter-prompt", "no-header", "prompt-without-being-asked"],
)
def test_an_answer_continues_a_prompt_with_another_header(
    fast: Any, source: str, answer: dict[str, Any], wanted: str
) -> None:
    talk = [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2", **answer}]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TemplateWarning)
        encoder = untagged(source, fast=fast)
        [rows] = encoder.encode_rows([{"messages": talk, "chat_template_kwargs": {"mode": True}}])
    assert not isinstance(rows, Rejection), rows
    assert [[decoded(row, start, end) for start, end in runs(row)] for row in rows] == [[wanted]]


def test_an_answer_does_not_continue_a_prompt_that_opens_something_else() -> None:
    opened = "{% for m in messages %}{{ m.content }}<|im_end|>\n{% endfor %}" + PROMPT.replace("assistant\n", "plan")
    [rejected] = untagged(opened, fast="off").encode_rows([THINKING])
    assert isinstance(rejected, Rejection)
    assert "does not begin with its prompt" in rejected.message


def test_an_answer_that_contradicts_its_prompt_rejects_the_conversation_with_both_texts() -> None:
    other = HEADER + PROMPT.replace("assistant", "bot")
    [rejected] = untagged(other, fast="off").encode_rows([THINKING])
    assert isinstance(rejected, Rejection)
    assert 'messages[1] does not begin with its prompt, which has "bot↵" where the turn has "assistant↵2<|im_end|>' in (
        rejected.message
    )


@pytest.mark.parametrize("fast", ["auto", "off"])
def test_a_completion_that_is_not_read_back_as_its_message_is_refused(fast: Any) -> None:
    # Without a generation prompt, the model would sample the header of the next message; "." makes history differ.
    source = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}."
    [rejected] = untagged(source, fast=fast).encode_rows([THINKING])
    assert isinstance(rejected, Rejection)
    assert "does not begin with its prompt" in rejected.message


@pytest.mark.parametrize("fast", ["auto", "off"])
def test_answers_are_continued_where_only_calls_are_not_read_back(fast: Any) -> None:
    call = "{% for c in m.tool_calls or [] %}<|im_start|>{{ c.function.name }} {{ c.function.arguments }}{% endfor %}"
    call += "{% if m.tool_calls %}<|im_end|><|im_start|>assistant{% endif %}"
    closed = PROMPT.replace("assistant\n", "assistant\n<think></think>")
    encoder = untagged(HEADER.replace("{{ m.content }}", "{{ m.content }}" + call) + closed, fast=fast)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TemplateWarning)
        assert sampled(encoder, THINKING) == [["2<|im_end|>"], ["4<|im_end|>"], ["6<|im_end|>"]]
        called = [{"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}]
        talk = [{"role": "user", "content": "1"}, {"role": "assistant", "content": "", "tool_calls": called}]
        [rejected] = encoder.encode_rows([talk])
    assert isinstance(rejected, Rejection)
    assert "does not begin with its prompt" in rejected.message


def test_an_answer_of_which_nothing_is_rendered_rejects_the_conversation() -> None:
    parts = HEADER.replace("{{ m.content }}", "{% for part in m.content if part.text %}{{ part.text }}{% endfor %}")
    encoder = untagged(parts + PROMPT, fast="off")
    [rejected] = encoder.encode_rows([THINKING])
    assert isinstance(rejected, Rejection)
    assert rejected.message == "the template renders nothing of messages[1].content"
    assert "list of parts" in str(rejected.hint)


@pytest.mark.parametrize("fast", ["auto", "off"])
def test_calls_of_which_nothing_is_rendered_reject_the_conversation(fast: Any) -> None:
    for content in ("", "I call find."):
        calls: dict[str, Any] = {"role": "assistant", "content": content, "tool_calls": [CALL]}
        talk: list[dict[str, Any]] = [{"role": "user", "content": "1"}, calls]
        [rejected] = untagged(HEADER + PROMPT, fast=fast).encode_rows([talk])
        assert isinstance(rejected, Rejection)
        assert rejected.message == "the template renders nothing of messages[1].tool_calls"
    calling = HEADER.replace("{{ m.content }}", "{{ m.content }}{{ m.tool_calls[0].function.name if m.tool_calls }}")
    encoder = untagged(calling + PROMPT, fast=fast)
    assert sampled(encoder, talk) == [["I call find.find<|im_end|>"]]
    assert fast == "off" or not encoder.report().exact


def test_tags_of_a_template_whose_turns_end_with_the_next_marker_are_valid() -> None:
    marked = "{% generation %}{{ m.content }}{% if not loop.last %}<|user|>{% endif %}{% endgeneration %}"
    source = (
        "{% for m in messages %}{% if m.role == 'assistant' %}<|assistant|>\n" + marked + "{% elif loop.first %}"
        "<|user|>\n{{ m.content }}{% else %}\n{{ m.content }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert sampled(untagged(source), THINKING) == [["2<|user|>", "4<|user|>", "6<|user|>"]]
    assert not [each for each in caught if "are not used" in str(each.message)]


@pytest.mark.parametrize("fast", ["auto", "off"])
def test_reasoning_that_only_some_answers_lose_rejects_the_conversation(fast: Any) -> None:
    first = (
        "{% if loop.index == 2 %}<think></think>{% elif m.reasoning_content %}<think>{{ m.reasoning_content }}</think>"
    )
    encoder = untagged(HEADER.replace("{{ m.content }}", first + "{% endif %}{{ m.content }}") + PROMPT, fast=fast)
    [rejected] = encoder.encode_rows([THINKING])
    assert isinstance(rejected, Rejection)
    assert "the reasoning of messages[3] and nothing of that of messages[1]" in rejected.message
    never = untagged(HEADER + PROMPT, fast=fast)
    assert sampled(never, THINKING) == [["2<|im_end|>", "4<|im_end|>", "6<|im_end|>"]]


@pytest.mark.parametrize("content", ["4", "<|", "two", " two\nthree"])
def test_the_fast_path_leaves_an_answer_that_may_be_lost_to_the_exact_path(content: str) -> None:
    hidden = HEADER.replace("{{ m.content }}", "{% if m.role == 'user' %}{{ m.content }}{% else %}4<|end{% endif %}")
    talk = [{"role": "user", "content": "x"}, {"role": "assistant", "content": content}]
    for template, lost in ((hidden, True), (HEADER, False)):
        for fast in ("auto", "off"):
            [found] = untagged(template + PROMPT, fast=fast).encode_rows([talk])
            assert isinstance(found, Rejection) is lost


@pytest.mark.parametrize("fast", ["require", "off"])
def test_a_blank_answer_of_which_the_template_strips_all_is_not_lost(fast: Any) -> None:
    encoder = untagged(HEADER.replace("m.content", "m.content.strip()") + PROMPT, fast=fast)
    talk = [{"role": "user", "content": "x"}, {"role": "assistant", "content": " \n"}]
    assert sampled(encoder, talk) == [["<|im_end|>"]]


def test_tokens_that_merge_across_an_edge_give_later_answers_rows_of_their_own() -> None:
    # " is" is one token, so that the second prompt has other tokens where the first one ends.
    source = "{% for m in messages %}<|im_start|>{{ m.role }}: {{ m.content }}<|im_end|>{% endfor %}"
    source += "{% if add_generation_prompt %}<|im_start|>assistant: {% endif %}"
    roles = ["user", "assistant", "user", "assistant"]
    talk = [{"role": role, "content": text} for role, text in zip(roles, ["x", "is", "y", "no"], strict=True)]
    for fast in ("require", "off"):
        encoder = untagged(source, fast=fast)
        assert sampled(encoder, talk) == [["is<|im_end|>"], ["no<|im_end|>"]]
        assert_law(encoder, Conversation.coerce(talk))


def assert_law(encoder: Encoder, conversation: Conversation) -> None:
    """Assert that the ids before each trained run are those of its prompt, and that each answer is trained once."""
    prompts = {}
    for index, message in enumerate(conversation.messages):
        if message.role == "assistant":
            head = conversation.with_messages(conversation.messages[:index])
            text = encoder.template.render(head, add_generation_prompt=True).text
            prompts[tuple(tokenizer().encode(text, add_special_tokens=False).ids)] = index
    found = []
    for row in rows_of(encoder, conversation):
        for start, end in runs(row):
            found.append(prompts[tuple(row.input_ids[:start].tolist())])
            assert decoded(row, start, end).endswith(tuple(TOKENS))
    assert sorted(found) == sorted(prompts.values())


_WORDS = st.sampled_from(["", "is", " the", "ok ok", "\n", "\n\nit", "日本語 😀", "user:", "2+2=4", "x" * 9])


@pytest.mark.parametrize("fast", ["auto", "off"])
@pytest.mark.parametrize("source", [HEADER + PROMPT, NEXT_ROLE, NO_STOP, DROPS])
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_row_obeys_the_law_and_the_rows_train_every_answer_once(fast: Any, source: str, data: Any) -> None:
    text = st.lists(_WORDS, min_size=1, max_size=3).map("".join)
    messages = []
    for _ in range(data.draw(st.integers(1, 4))):
        answer = {"role": "assistant", "content": data.draw(text), "reasoning_content": data.draw(text)}
        messages += [{"role": "user", "content": data.draw(text)}, answer]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TemplateWarning)
        assert_law(shared(source, fast), Conversation.coerce(messages))


@cache
def shared(source: str, fast: Any) -> Encoder:
    return untagged(source, fast=fast)


@pytest.mark.filterwarnings("ignore::chattmpl.data.encoder.TemplateWarning")
def test_tags_in_a_macro_do_not_keep_planned_rows_from_the_fast_path() -> None:
    tagged = "{% generation %}{{ m.content }}<|im_end|>\n{% endgeneration %}"
    source = HEADER.replace("{{ m.content }}<|im_end|>\n", "{{ said(m) }}")
    macro = f"{{% macro said(m) %}}{tagged}{{% endmacro %}}"
    rows = [sampled(untagged(macro + source + PROMPT, fast=fast), THINKING) for fast in ("require", "off")]
    assert rows[0] == rows[1] == [["2<|im_end|>", "4<|im_end|>", "6<|im_end|>"]]


def test_a_template_that_reads_how_its_text_ends_has_a_fast_path() -> None:
    source = HEADER + PROMPT.replace("add_generation_prompt", "add_generation_prompt and not continue_final_message")
    assert sampled(untagged(source, fast="require"), THINKING) == [["2<|im_end|>", "4<|im_end|>", "6<|im_end|>"]]
