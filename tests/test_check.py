"""``chattmpl check``: the laws over many conversations, one small counterexample for each cause."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chattmpl import Template
from chattmpl.cli import main
from chattmpl.laws import Case, Counterexample, evaluate, laws, laws_named
from chattmpl.laws.checker import LawReport, check, settings_to_check, to_check
from chattmpl.laws.root_causes import RootCause, grouped
from chattmpl.laws.shrink import is_ordinary, shrink
from chattmpl.probing import facts_of
from chattmpl.probing.shapes import generated_conversations, shipped_conversations
from chattmpl.template.family import family_names
from chattmpl.template.resolver import find_template
from support.snapshots import matches_snapshot

BAD = (
    "{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\\n' }}{% generation %}{{ m.content }}"
    "{% endgeneration %}{{ '<|im_end|>\\n' }}{% endfor %}"
)


def test_a_law_that_is_broken_in_many_conversations_is_one_finding() -> None:
    report = check(Template.from_source(BAD), laws_named(["pure"]), shipped_conversations())
    assert len(report.findings) == 1


def test_the_counterexample_is_the_smallest_that_still_shows_it() -> None:
    (finding,) = check(Template.from_source(BAD), laws_named(["pure"]), shipped_conversations()).findings
    messages = finding.shown.conversation.dump()["messages"]
    assert len(messages) == 1
    assert len(messages[0]["content"]) == 1


def test_shrinking_keeps_the_cause() -> None:
    template = Template.from_source(REWRITES)
    law = laws()["prefix"]
    case = next(
        case
        for case in (Case(template, c) for c in shipped_conversations())
        if isinstance(evaluate(law, case), Counterexample)
    )
    found = evaluate(law, case)
    assert isinstance(found, Counterexample)
    smallest = shrink(law, found, case)
    assert len(smallest.conversation.messages) <= len(found.conversation.messages)
    assert isinstance(evaluate(law, Case(template, smallest.conversation)), Counterexample)


def test_what_was_not_evaluated_is_never_said_to_hold() -> None:
    (verdict,) = check(Template.load("chatml"), laws_named(["boundary"]), shipped_conversations()).verdicts
    assert not verdict.evaluated
    assert verdict.holds == 0
    assert "it needs a tokenizer" in verdict.unevaluated


def test_the_declared_modes_are_varied() -> None:
    assert {"enable_thinking": False} in settings_to_check(Template.load("qwen3"))
    assert settings_to_check(Template.from_source("x")) == [{}]


def test_conversations_are_made_the_same_each_time() -> None:
    first, again = generated_conversations(8), generated_conversations(8)
    assert len(first) >= 8
    assert [c.dump() for c in first] == [c.dump() for c in again]


def test_hybrid_obeys_the_laws_on_made_conversations_too() -> None:
    chosen = laws_named(["sampled", "stop", "pure", "prefix", "lossless", "steady"])
    for verdict in check(Template.load("hybrid"), chosen, generated_conversations(40)).verdicts:
        assert verdict.broken == [], verdict.law.name
        assert verdict.holds > 10, verdict.law.name


REWRITES = (
    "{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\\n' }}"
    "{{ m.content if loop.last or m.role != 'user' else '(cut)' }}{{ '<|im_end|>\\n' }}{% endfor %}"
)
HEADER = (
    "{% for m in messages %}\n{% if m.role == 'assistant' %}\n"
    "{% generation %}{{ '<|im_start|>assistant\\n' ~ m.content ~ '<|im_end|>\\n' }}{% endgeneration %}\n"
    "{% else %}\n{{ '<|im_start|>' ~ m.role ~ '\\n' ~ m.content ~ '<|im_end|>\\n' }}{% endif %}\n{% endfor %}\n"
    "{% if add_generation_prompt %}\n{{ '<|im_start|>assistant\\n' }}{% endif %}\n"
)
"""Two defects: the header is generated, and the newline behind the stop token."""


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["check", *arguments])
    return code, capsys.readouterr().out


def test_a_lawful_template_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "hybrid", "--law", "sampled", "--law", "stop")
    assert code == 0
    assert "sampled     holds           holds for 57" in out


def test_a_broken_law_ends_with_1_and_shows_line_texts_and_conversation(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "rewrites.jinja"
    file.write_text(REWRITES)
    code, out = run(capsys, str(file), "--law", "prefix")
    assert code == 1
    assert "prefix      broken          1 finding" in out
    assert f"{file}:1:{REWRITES.index('content') + 1}: warning prefix: " in out
    assert "\n  expected  " in out
    assert "\n  got       " in out
    assert '[{"role": "user", "content": "a"},\n   {"role": ' in out


def test_json_is_one_list_of_diagnostics(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "bad.jinja"
    file.write_text(BAD)
    code, out = run(capsys, str(file), "--law", "pure", "--format", "json", "--save", str(tmp_path / "kept"))
    (found,) = json.loads(out)
    assert code == 1
    assert found["law"] == "pure"
    assert found["line"] == 1
    assert set(found) == {
        "code", "severity", "file", "line", "column", "message", "hint", "law", "counterexample", "kind", "data",
    }  # fmt: skip
    (kept,) = (tmp_path / "kept").iterdir()
    assert json.loads(kept.read_text()) == found["counterexample"]["conversation"]


def test_a_wrong_law_or_no_template_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "qwen3", "--law", "sampeld")[0] == 2
    assert run(capsys)[0] == 2


def line_of(finding: RootCause) -> int:
    assert finding.shown.place is not None
    return finding.shown.place.line


def report_of(source: str, *laws: str) -> LawReport:
    return check(Template.from_source(source), laws_named(laws or None), shipped_conversations())


def test_one_cause_that_breaks_several_laws_is_one_finding_that_names_them() -> None:
    reasoning = "{{ m.reasoning_content if loop.last and m.reasoning_content else '' }}"
    source = HEADER.replace("{% generation %}", "{{ '<|im_start|>assistant\\n' }}{% generation %}" + reasoning)
    source = source.replace("{{ '<|im_start|>assistant\\n' ~ m.content", "{{ m.content")
    found = [finding for finding in report_of(source, "sampled", "prefix", "lossless").findings if finding.also_breaks]
    assert [finding.laws for finding in found] == [("sampled", "prefix", "lossless")]
    assert "also breaks prefix, lossless" in found[0].message


def test_two_defects_are_two_findings_each_at_its_place() -> None:
    found = report_of(HEADER, "sampled", "stop", "pure", "prefix").findings
    assert [(finding.shown.law, line_of(finding)) for finding in found] == [("sampled", 3), ("stop", 3)]
    assert [finding.shown.message for finding in found] == [
        "messages[1] trains '<|im_start|>assistant\\n', which its prompt supplies",
        "messages[1] trains '\\n' after its stop token",
    ]


def test_the_same_defect_in_several_branches_is_one_finding_with_all_lines() -> None:
    twice = HEADER.replace("{% else %}", "{% elif m.role == 'tool' %}\n{{ m.content }}{% else %}").replace(
        "{% if m.role == 'assistant' %}\n",
        "{% if m.role == 'assistant' and m.tool_calls %}\n{% generation %}"
        "{{ '<|im_start|>assistant\\n' ~ m.tool_calls[0].function.name ~ '<|im_end|>' }}{% endgeneration %}\n"
        "{% elif m.role == 'assistant' %}\n",
    )
    (found,) = report_of(twice, "sampled").findings
    assert {line_of(found), *found.lines} == {3, 5}
    assert "also in line " in found.message


def test_a_field_without_a_place_is_one_finding_however_many_messages_lose_it() -> None:
    found = report_of(HEADER, "lossless").findings
    assert sorted(str(finding.shown.field) for finding in found) == [
        "documents", "messages[].name", "messages[].reasoning_content", "messages[].tool_calls",
        "messages[].tool_calls[].id", "tools",
    ]  # fmt: skip
    assert {finding.shown.field: finding.severity for finding in found}["documents"] == "info"


def test_only_notes_end_with_0(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    chat = tmp_path / "chat.json"
    ask = {"role": "user", "content": "a", "name": "Ann"}
    chat.write_text(json.dumps([{"messages": [ask, {"role": "assistant", "content": "b"}]}]))
    file = tmp_path / "plain.jinja"
    file.write_text(HEADER)
    code, out = run(capsys, str(file), "--law", "lossless", "--conversations", str(chat))
    assert code == 0
    assert "note lossless: messages[0].name (user) is not rendered" in out


def test_a_template_without_tags_is_told_that_the_mask_laws_do_not_apply() -> None:
    source = HEADER.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    for verdict in report_of(source, "sampled", "stop", "pure").verdicts:
        assert not verdict.evaluated
        assert "the template has no generation tag" in verdict.silent


def test_a_template_that_refuses_everything_is_not_evaluated_and_breaks_nothing() -> None:
    report = report_of("{{ raise_exception('no') }}", "prefix", "lossless", "steady")
    assert report.findings == []
    assert all(not verdict.evaluated and verdict.unevaluated for verdict in report.verdicts)


def test_modes_are_found_in_the_conditions_of_a_template_of_others() -> None:
    source = (
        "{% set on = thinking if thinking is defined else false %}{% if on %}T{% endif %}"
        "{% if effort == 'high' %}H{% elif effort == 'low' %}L{% endif %}"
        "{% for x in builtin %}{{ x }}{% endfor %}{{ date }}{% if unused and false %}U{% endif %}"
    )
    assert settings_to_check(Template.from_source(source)) == [
        {},
        {"effort": "high"},
        {"effort": "low"},
        {"thinking": True},
    ]


def test_a_finding_names_the_mode_only_where_it_takes_one() -> None:
    mode = HEADER.replace("{{ '<|im_start|>' ~ m.role", "{{ ('x' if terse and not loop.last else '') ~ m.role")
    found = {finding.shown.law: finding.shown.kwargs for finding in report_of(mode, "prefix", "stop").findings}
    assert found == {"prefix": {"terse": True}, "stop": {}}


def test_the_smallest_conversation_is_one_that_people_have() -> None:
    call = {"role": "assistant", "tool_calls": [1]}
    assert is_ordinary([{"role": "system"}, {"role": "user"}, call, {"role": "tool"}])
    assert not is_ordinary([{"role": "user"}, {"role": "tool"}])
    (finding,) = report_of(REWRITES, "prefix").findings
    assert is_ordinary(finding.shown.conversation.dump()["messages"])


def test_shapes_are_found_by_rendering() -> None:
    assert facts_of(Template.load("qwen3")).shape.missing() == ["developer messages", "documents"]
    assert "system messages" not in facts_of(Template.load("gemma3")).shape.missing()
    assert {"tools", "reasoning"} <= set(facts_of(Template.from_source(HEADER)).shape.missing())


def test_made_conversations_have_only_what_the_template_supports() -> None:
    some = [
        conversation.dump()
        for conversation in generated_conversations(60, facts_of(Template.from_source(HEADER)).shape)
    ]
    messages = [message for conversation in some for message in conversation["messages"]]
    assert not any("tool_calls" in message or "reasoning_content" in message for message in messages)
    assert not any(conversation.get("tools") or conversation.get("documents") for conversation in some)
    assert {message["role"] for message in messages} >= {"user", "assistant"}


def test_a_template_that_knows_only_parts_gets_parts() -> None:
    source = "{% for m in messages %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endfor %}"
    assert "lossless" in laws()
    (verdict,) = report_of(source, "lossless").verdicts
    assert not any(str(broken.field).endswith("].content") for broken in verdict.broken)


def test_under_a_policy_that_drops_traces_sampled_says_to_unroll() -> None:
    (verdict,) = check(Template.load("qwen3"), laws_named(["sampled"]), shipped_conversations()).verdicts
    assert verdict.broken == []
    assert any("unroll" in why for why in verdict.silent)


@pytest.mark.parametrize("name", family_names())
def test_no_family_breaks_a_law_without_declaring_it(name: str) -> None:
    template = Template.load(name)
    for policy in [template, template.with_retention("all")] if template.program.has_reasoning else [template]:
        report = check(policy, laws_named(None), shipped_conversations(), tokenizer="demo")
        assert [finding.message for finding in report.findings if finding.severity != "info"] == []


def test_counterexamples_without_a_common_site_stay_apart() -> None:
    assert grouped([], ["sampled"]) == []
    found = report_of(HEADER, "sampled", "stop").findings
    assert len(grouped([finding.shown for finding in found], ["stop", "sampled"])) == len(found)


def test_the_report_is_what_it_was(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("header.jinja").write_text(HEADER)
    laws_shown = [item for law in laws() if law != "portable" for item in ("--law", law)]
    code, out = run(capsys, "header.jinja", *laws_shown)
    assert code == 1
    matches_snapshot("check_text.txt", out)
    code, out = run(capsys, "header.jinja", "--law", "sampled", "--format", "json")
    matches_snapshot("check_json.txt", out)


def test_stand_ins_for_special_tokens_are_given_where_none_are_known(tmp_path: Path) -> None:
    file = tmp_path / "bos.jinja"
    file.write_text("{{ bos_token ~ bos_token }}" + HEADER)
    report = check(to_check(find_template(str(file))), laws_named(["single-bos"]), shipped_conversations())
    assert [finding.message for finding in report.findings] == ["'<|bos_token|>' is written 2 times"]
    assert check(to_check(find_template("llama3")), laws_named(["single-bos"]), shipped_conversations()).findings == []
