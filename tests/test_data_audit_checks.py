"""Each kind of finding: planted data that it must find, with exact counts, and twins that it must leave alone."""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from chattmpl import Template
from support.extras import need
from support.small_tokenizers import byte_level_bpe, tokenizers_without_bytes, with_control

need("numpy", "pyarrow", "yaml", "zstandard")

import chattmpl.data.audit.checks  # noqa: E402
from chattmpl.data.audit import GROUPS, SECTIONS, AuditReport, all_checks, audit, check_named  # noqa: E402
from chattmpl.data.audit.check import chosen  # noqa: E402
from chattmpl.diagnostic import DataDiagnostic  # noqa: E402

pytestmark = pytest.mark.data

Row = dict[str, Any]

MASKED = "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}"
NEWLINE = MASKED + "{{ m.content }}<|im_end|>\n{% endgeneration %}{% else %}{{ m.content }}<|im_end|>\n{% endif %}"
NEWLINE += "{% endfor %}"
UNTRAINED = NEWLINE.replace("<|im_end|>\n{% endgeneration %}", "{% endgeneration %}<|im_end|>\n")
STOPLESS = NEWLINE.replace("<|im_end|>\n{% endgeneration %}", "\n{% endgeneration %}")
UNMASKED = NEWLINE.replace("{% generation %}", "").replace("{% endgeneration %}", "")
DEFAULTING = (
    "{% if messages[0].role != 'system' or not messages[0].content %}<|im_start|>system\n"
    "You are a helpful machine.<|im_end|>\n{% endif %}"
) + NEWLINE.replace("<|im_end|>\n{% endgeneration %}", "<|im_end|>{% endgeneration %}")
DEAF = NEWLINE.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}")
BOS = "{{ '<s>' }}{% for m in messages %}{{ m.content }}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"


def talk(*contents: Any, system: Any = ..., **more: Any) -> Row:
    """A conversation of user and assistant; an answer with reasoning is a pair."""
    messages: list[Row] = [] if system is ... else [{"role": "system", "content": system}]
    for number, content in enumerate(contents):
        if number % 2 == 0:
            messages.append({"role": "user", "content": content})
        elif isinstance(content, tuple):
            messages.append({"role": "assistant", "reasoning_content": content[0], "content": content[1]})
        else:
            messages.append({"role": "assistant", "content": content})
    return {"messages": messages, **more}


def asking(mode: Any, *contents: Any) -> Row:
    return talk(*contents, chat_template_kwargs={"enable_thinking": mode})


def numbered(count: int, answer: Any = "yes", words: int = 1, first: int = 0) -> list[Row]:
    return [talk(f"number {first + number} " + "word " * words, answer) for number in range(count)]


def calling(name: str = "f", arguments: Any = None, **call: Any) -> Row:
    function = {"name": name, "arguments": {} if arguments is None else arguments}
    return {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": function, **call}]}


def tools(*messages: Row, declared: Sequence[str] = ("f",)) -> Row:
    given = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in declared]
    return {"messages": [{"role": "user", "content": "go"}, *messages], "tools": given}


RESULT = {"role": "tool", "content": "42"}
DONE = {"role": "assistant", "content": "done"}


@dataclass(frozen=True)
class Case:
    """Rows with a defect, and how many rows have it; twins without."""

    bad: Any
    good: Any
    count: int = 1
    key: str | None = None
    template: str = "hybrid"
    good_template: str | None = None
    amount: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    good_options: dict[str, Any] | None = None
    severity: str | None = None


PLAIN = [talk("a", "b")]
CASES: dict[str, list[Case]] = {
    "AU101": [
        Case(PLAIN, PLAIN, template=UNMASKED, good_template=NEWLINE),
        Case([talk("a"), talk("a", "b")], [talk("a", "b")]),
        Case(
            [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "train": False}]}],
            [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "train": True}]}],
        ),
    ],
    "AU102": [
        Case(numbered(3), numbered(3), 3, "text after", NEWLINE, "hybrid"),
        Case(PLAIN, PLAIN, 1, "untrained", UNTRAINED, DEFAULTING),
        Case(PLAIN, PLAIN, 1, "none", STOPLESS, DEFAULTING),
    ],
    "AU103": [
        Case([talk("a", "b " * 60)], [talk("a " * 60, "b")], options={"max_length": 60}),
        Case([talk("a", "b " * 60)], [talk("a", "b " * 60)], options={"max_length": 60}, good_options={}),
    ],
    "AU104": [Case([*PLAIN, talk("a", "b " * 60)], PLAIN, options={"max_length": 60})],
    "AU105": [Case([talk("a " * 60, "b")], [talk("a", "b " * 60)], options={"max_length": 60})],
    "AU106": [Case([talk("a", "\n\nb")], PLAIN, template=DEFAULTING, amount=1)],
    "AU107": [Case([talk("a", "b", "c")], PLAIN, key="user")],
    "AU108": [
        Case([talk("a", ""), talk("a", None), talk("a", (" why", " "))], PLAIN, 3),
        Case([talk("a", [])], [tools(calling())]),
    ],
    "AU109": [
        Case([{"messages": [{"role": "asistant", "content": "a"}]}, {"text": "a"}], PLAIN, 2, "conversation"),
        Case([talk("a\ud800", "b")], PLAIN, 1, "encode"),
    ],
    "AU110": [
        Case(
            [{"messages": [{"role": "user", "content": "a", "train": True}, DONE]}],
            [{"messages": [{"role": "user", "content": "a", "train": False}, {**DONE, "train": True}]}],
            key="train",
        ),
        Case([talk("a", "b", loss_mask=[1, 1])], [talk("a", "b", loss_mask=[0, 1])], key="loss_mask"),
    ],
    "AU111": [
        Case([talk("a", "b", "c", "d")], PLAIN, 1, "stop", "gpt_oss"),
        Case([talk("a", ("why", "b"), "c", ("how", "d"))], [talk("a", ("why", "b"))], 1, "text", "qwen3", amount=1),
        Case([talk("a", "b", "c", "d")], [talk("a", "b", "c", "d")], 1, "text", "qwen3", "chatml"),
    ],
    "AU201": [
        Case([talk("a", "b", system=None)], [talk("a", "b", system="c")], key="None"),
        Case([talk("a", "b", system="")], PLAIN, key="empty"),
        Case([talk("a", "b", system=" \n")], PLAIN, key="only white space"),
        Case([talk("a", "b", system="None")], [talk("a", "b", system="None of it")], key="the word None"),
    ],
    "AU202": [
        Case(
            [talk("a", "b", chat_template_kwargs={"custom_instructions": None})],
            [talk("a", "b", chat_template_kwargs={"custom_instructions": "c"})],
            key="None",
        ),
        Case([talk("a", "b", chat_template_kwargs={"custom_instructions": ""})], PLAIN, key="empty"),
    ],
    "AU203": [
        Case([talk("a", "b")], [talk("a", "b", system="c")], 1, "absent", DEFAULTING, severity="info"),
        Case([talk("a", "b", system=None)], PLAIN, 1, "empty", DEFAULTING, "hybrid"),
        Case([talk("a", "b", system="c")], PLAIN, 1, "dropped", DEAF, severity="error"),
        Case(
            [talk("a", "b", system="c", chat_template_kwargs={"custom_instructions": "d"})],
            [talk("a", "b", chat_template_kwargs={"custom_instructions": "d"})],
            key="custom_instructions",
            template="smollm3",
        ),
    ],
    "AU204": [
        Case([tools(DONE)], [talk("go", "done")], 1, "tools[].function.name", NEWLINE),
        Case(
            [{"messages": [{"role": "user", "name": "Ann", "content": "a"}, DONE]}],
            [{"messages": [{"role": "user", "name": "Ann", "content": "a"}, DONE]}],
            1,
            "messages[].name",
            NEWLINE,
            "hybrid",
        ),
    ],
    "AU205": [
        Case(
            [talk("a", "b", enable_thinking=False, source="x"), talk("a", "b", custom_instructions=None)],
            [asking(False, "a", "b")],
            key="enable_thinking",
        ),
    ],
    "AU206": [
        Case(
            [talk("a", "b", persona="a grumpy cook"), talk("a", "c", persona="pirate")],
            [talk("a", "b", system="a grumpy cook", source="cooks of the world", id="7f", score=0.5, tags=["x"])],
            2,
            "persona",
        ),
        Case([talk("a", "b", facts=[{"tide": "high"}])], [talk("a", "b", documents=[{"text": "high"}])], key="facts"),
        Case([talk("a", "b", prompt="not a")], [talk("a", "b", prompt="a")], key="prompt"),
    ],
    "AU207": [
        Case([talk("<image>a", "b", images=["a.png"])], [talk("a", "b", images=[])], key="images"),
        Case([talk([{"type": "image"}, {"type": "text", "text": "a"}], "b")], PLAIN, key="image", template=NEWLINE),
    ],
    "AU208": [
        Case([talk([{"type": "text", "text": "a"}], "b")], PLAIN, template=NEWLINE),
        Case(
            [talk([{"type": "text", "text": "a"}], "b")],
            [talk([{"type": "text", "text": "a"}], "b")],
            1,
            None,
            NEWLINE,
            "hybrid",
        ),
    ],
    "AU209": [
        Case([talk("a", "b", sys_prompt="be brief")], [talk("a", "b")], key="sys_prompt"),
        Case([{"messages": [{"role": "user", "value": "a"}, DONE]}], [talk("a", "b")], key="role+value"),
    ],
    "AU301": [
        Case([asking(False, "a", ("r", "b"))], [asking(False, "a", "b"), asking(True, "a", ("r", "b"))]),
        Case([talk("a /no_think", "<think>r</think>b")], [talk("a /no_think", "<think>\n\n</think>b")]),
        Case([talk("a", ("r", "b"), "c", ("r", "d"), system="x /no_think")], [talk("a", ("r", "b"))], amount=2),
    ],
    "AU302": [
        Case([asking(True, "a", "b")], [asking(True, "a", ("r", "b"))], key="asked"),
        Case([talk("a /think", "b")], [talk("a /think or not", "b", system="/no_think")], key="asked"),
        Case([talk("a", "b")], [talk("a", ("r", "b"))], key="by default", severity="info"),
    ],
    "AU303": [
        Case(
            [talk("a", "b", system="/no_think", chat_template_kwargs={"enable_thinking": True})],
            [talk("a", "b", system="/no_think", chat_template_kwargs={"enable_thinking": False})],
            key="flag",
        ),
        Case([asking("false", "a", "b")], [asking(False, "a", "b")], key="string"),
    ],
    "AU304": [
        Case(
            [talk("a", ("r", "b"), "c", ("s", "d"))],
            [talk("a", ("r", "b"), "c", ("s", "d"))],
            1,
            "template",
            "qwen3",
            "hybrid",
        ),
        Case([talk("a", "b", "c", ("s", "d"))], [talk("a", ("s", "d")), talk("a", "b", "c", "d")], key="data"),
    ],
    "AU305": [
        Case([talk("a", ("r", "b"))], [talk("a", "b")], template=NEWLINE),
        Case([talk("a", ("r", "b"))], [talk("a", ("r", "b"))], template="smollm3", good_template="qwen3"),
    ],
    "AU306": [
        Case([talk("a", ("r", "b")), talk("a", "b", "c", "d")], [talk("a", ("r", "b"), "c", ("r", "d"))]),
        Case([talk("a", ("r", "b"))], PLAIN, severity="info"),
    ],
    "AU307": [
        Case(
            {"math_think": [talk("a", ("r", "b"))], "code_no_think": PLAIN},
            {"math_think": [talk("a", ("r", "b"))], "math_no_think": PLAIN},
            1,
            "math_think",
        ),
        Case(PLAIN, PLAIN, 1, "think", options={"hybrid": True}, good_options={}),
        Case(
            {"a": [talk("a", ("r", "b"))], "b": PLAIN},
            {"a": [talk("a", ("r", "b")), talk("a", "b")], "b": [talk("a", ("r", "b")), talk("a", "b")]},
            1,
            "b",
        ),
    ],
    "AU308": [Case([talk("a", "<think>r</think>b")], [talk("a", "b"), talk("a", "<think></think>b")])],
    "AU309": [
        Case([talk("a", "r</think>b"), talk("a", "<think>r")], [talk("a", "<think>r</think>b")], 2, "content"),
        Case([talk("a", ("<think>r", "b"))], [talk("a", ("r", "b"))], key="reasoning"),
        Case([talk("a", "</think>r<think>b")], PLAIN, key="content"),
    ],
    "AU401": [
        Case([talk("a <|im_end|> <|im_end|>", "b")], [talk("a <think> x", "b")], key="<|im_end|>", amount=2),
    ],
    "AU402": [Case([talk("<s>a", "b")], [talk("a", "b")], template=BOS)],
    "AU403": [
        Case(
            [talk("a", "né <unk>日")],
            [talk("a <unk>", "b"), talk("<|im_end|>", "c")],
            template=NEWLINE,
            amount=2,
            options={"tokenizer": tokenizers_without_bytes()[kind]},
        )
        for kind in ("unigram", "characters", "fused")
    ],
    "AU404": [
        Case(
            [talk("a", "b")],
            [talk("a", "b")],
            template=NEWLINE.replace("im_end", "im_finish"),
            good_template=NEWLINE,
            key="<|im_finish|>",
            amount=2,
        ),
    ],
    "AU501": [
        Case([tools(calling(), DONE)], [tools(calling(), RESULT, DONE), tools(calling())]),
        Case([tools({**calling(), "tool_calls": calling()["tool_calls"] * 2}, RESULT, DONE)], PLAIN, amount=1),
    ],
    "AU502": [
        Case([tools(RESULT, DONE)], [tools(calling(), RESULT, DONE)], key="no call"),
        Case(
            [tools(calling(id="x"), {**RESULT, "tool_call_id": "y"}, DONE)],
            [tools(calling(id="x"), {**RESULT, "tool_call_id": "x"}, DONE)],
            key="id",
        ),
    ],
    "AU503": [Case([tools(calling("g"), RESULT, DONE)], [tools(calling(), RESULT, DONE)], key="g")],
    "AU504": [
        Case([tools(calling(arguments="{x"), RESULT)], [tools(calling(arguments='{"x": 1}'), RESULT)], key="not JSON"),
        Case([tools(calling(arguments='"{}"'), RESULT)], [tools(calling(), RESULT)], key="encoded twice"),
        Case([tools(calling(arguments="[1]"), RESULT)], [tools(calling(arguments=""), RESULT)], key="no object"),
    ],
    "AU505": [
        Case(
            [tools(calling(arguments='{"x": 1}'), RESULT, DONE)],
            [tools(calling(arguments={"x": 1}), RESULT, DONE)],
            template="llama3",
        ),
        Case(
            [tools(calling(arguments='{"x": 1}'), RESULT, DONE)],
            [tools(calling(arguments='{"x": 1}'), RESULT, DONE)],
            template="llama3",
            good_options={"arguments": "decode"},
        ),
    ],
    "AU506": [
        Case(
            [tools(calling(), {"role": "tool", "content": {"t": 3}}, DONE)],
            [tools(calling(), {"role": "tool", "content": '{"t": 3}'}, DONE)],
            template=NEWLINE,
        ),
    ],
    "AU601": [
        Case(
            {"short": numbered(9), "long": numbered(1, words=900)},
            {"short": numbered(9), "long": numbered(9)},
            1,
            "long",
        ),
        Case(
            {"short": numbered(9), "long": numbered(1, words=900)},
            {"short": numbered(9), "long": numbered(1, words=900)},
            9,
            "short",
            good_options={"share_ratio": 50.0},
        ),
    ],
    "AU602": [
        Case([talk("a", "b"), talk("c", "d"), talk("a", "b"), talk("a", "b")], numbered(4), 2),
        Case([talk("a", "b"), {"id": 1, **talk("a", "b"), "tools": None}], [talk("a", "b"), talk("a", "b ")]),
    ],
    "AU603": [
        Case(
            [talk("a", "b"), talk("a", "b", tools=[{"type": "function", "function": {"name": "f"}}]), talk("a", "b")],
            [talk("a", "b"), talk("a", "b")],
            template=NEWLINE,
        ),
    ],
}


def run(data: Any, template: str, options: dict[str, Any], *select: str) -> AuditReport:
    loaded = Template.load(template) if template.isidentifier() else Template.from_source(template)
    # Templates with planted defects are obeyed.
    obeyed = {"tokenizer": "demo", "select": select, "fast": "off", "straddle": "include", "mask_from": "tags"}
    return audit(data, loaded, **{**obeyed, **options})


def found(report: AuditReport, case: Case) -> list[DataDiagnostic]:
    return [one for one in report if case.key is None or one.key == case.key]


ALL = [pytest.param(code, case, id=f"{code}-{number}") for code in CASES for number, case in enumerate(CASES[code])]


@pytest.mark.parametrize(("code", "case"), ALL)
def test_a_kind_finds_its_planted_defect_and_counts_it(code: str, case: Case) -> None:
    one, *more = found(run(case.bad, case.template, case.options, code), case)
    assert more == []
    assert (one.code, one.count) == (code, case.count)
    assert one.message
    assert "{" not in one.message
    assert one.severity == (case.severity or check_named(code).severity)
    assert case.amount is None or one.amount == case.amount
    rows = sum(map(len, case.bad.values())) if isinstance(case.bad, dict) else len(case.bad)
    assert one.share == round(case.count / rows, 6)
    assert sum(one.sources.values()) in (0, case.count)


@pytest.mark.parametrize(("code", "case"), ALL)
def test_a_kind_leaves_the_twin_alone(code: str, case: Case) -> None:
    options = case.options if case.good_options is None else case.good_options
    assert found(run(case.good, case.good_template or case.template, options, code), case) == []


@pytest.mark.parametrize(
    ("template", "code", "rows"),
    [
        ("gpt_oss", "AU111", [talk("a", "b", "c", "d")]),
        ("qwen3", "AU111", [talk("a", ("why", "b"), "c", ("how", "d"))]),
        ("qwen3", "AU304", [talk("a", ("why", "b"), "c", ("how", "d"))]),
        ("qwen3", "AU305", [talk("a", ("why", "b"), "c", "d")]),
    ],
)
def test_what_rows_of_their_own_repair_is_found_only_without_them(template: str, code: str, rows: list[Row]) -> None:
    assert not list(run(rows, template, {"mask_from": "law"}, code))
    for options in ({"mask_from": "tags"}, {"mask_from": "law", "rows": "one"}):
        assert run(rows, template, options, code).count(code) == 1


def test_a_finding_that_several_rows_of_a_conversation_share_is_counted_once() -> None:
    rows = [talk("a <|im_end|>", ("why", "b"), "c <|im_end|> <|im_end|>", ("how", "d"))]
    (finding,) = run(rows, "qwen3", {"mask_from": "law"}, "AU401")
    assert (finding.count, finding.amount) == (1, 3)


def test_edges_at_a_token_that_the_tokenizer_lacks_are_no_straddles() -> None:
    options = {"tokenizer": with_control(byte_level_bpe())}
    report = run([talk("a", "b")], NEWLINE.replace("im_end", "im_finish"), options, "AU106", "AU404")
    assert [one.code for one in report] == ["AU404"]


def test_every_kind_has_a_case() -> None:
    assert sorted(CASES) == list(all_checks())


@pytest.mark.parametrize("code", all_checks())
def test_the_docstring_of_a_kind_is_its_documentation(code: str) -> None:
    kind = all_checks()[code]
    summary, *sections = kind.documentation().split("\n\n## ")
    assert summary.endswith(".")
    assert "\n" not in summary
    assert tuple(section.partition("\n")[0] for section in sections) == SECTIONS
    assert code[:3] in GROUPS
    assert kind.hint


def test_a_kind_is_in_the_module_of_its_code_and_name() -> None:
    for kind in all_checks().values():
        module = type(kind).__module__.rpartition(".")[2]
        assert module == f"{kind.code}_{kind.name}".lower().replace("-", "_")


def test_codes_and_names_of_checks_are_unique_and_of_a_group() -> None:
    modules = list(pkgutil.iter_modules(chattmpl.data.audit.checks.__path__))
    assert len(all_checks()) == len({kind.name for kind in all_checks().values()}) == len(modules)
    assert all(code[:3] in GROUPS and code[3:].isdigit() and len(code) == 5 for code in all_checks())


def test_kinds_are_chosen_by_code_group_and_name() -> None:
    assert [kind.code for kind in chosen(["AU40"])] == ["AU401", "AU402", "AU403", "AU404"]
    assert [kind.code for kind in chosen(["duplicate", "AU4"], ["AU402", "AU403", "AU404"])] == ["AU401", "AU602"]
