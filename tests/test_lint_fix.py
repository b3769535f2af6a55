"""Fixes: each mends its planted defect, leaves every text as it was, and is written as the file was written."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment

from chattmpl import Template
from chattmpl.errors import UsageError
from chattmpl.lint.fix import edited, fix
from chattmpl.lint.rule import Rule, chosen, rules
from chattmpl.lint.runner import lint
from chattmpl.source import Source
from chattmpl.syntax.edits import Edit
from chattmpl.template.resolver import TemplateSource
from chattmpl.template.writer import plan_in_place
from support import ROOT
from support.command import run_here
from support.fetched import trl_templates
from support.small_tokenizers import lint_tokenizer

FOLDER = ROOT / "tests" / "rules"
WITH_FIX = [code for code, rule in rules().items() if rule.fixable()]

AFTER_STOP = """{%- for message in messages -%}
{%- if message.role == 'assistant' -%}
    {{- '<|im_start|>assistant\\n' -}}
    {%- generation -%}
        {{- message.content + '<|im_end|>\\n' -}}
    {%- endgeneration -%}
{%- else -%}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""
MENDED = AFTER_STOP.replace(
    """'<|im_end|>\\n' -}}
    {%- endgeneration -%}
""",
    """'<|im_end|>' }}
    {%- endgeneration -%}
    {{- '\\n' -}}
""",
)


def fixture(code: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / f"{code}.toml").read_text(encoding="utf-8"))


def found(source: str) -> TemplateSource:
    return TemplateSource(Source(source, "x.jinja"))


def fixed(source: str, *select: str) -> str:
    return fix(found(source), chosen(select)).found.source.text


@pytest.mark.parametrize("code", WITH_FIX)
def test_a_fix_makes_of_the_planted_defect_what_its_fixture_says(code: str) -> None:
    given = fixture(code)
    assert "fixed" in given, f"tests/rules/{code}.toml needs the text that the fix makes"
    tokenizer = lint_tokenizer(given["tokenizer"]) if "tokenizer" in given else None
    # The rule on unused comments looks at what all others found.
    select = [] if code == "CT003" else [code]
    mended = fix(found(given["planted"]), chosen(select), tokenizer)
    assert mended.found.source.text == given["fixed"]
    assert code in {finding.code for finding in mended.fixed}
    assert code not in {finding.code for finding in mended.left}


@pytest.mark.parametrize("code", WITH_FIX)
def test_a_fixed_template_is_as_its_fix_left_it_when_it_is_fixed_again(code: str) -> None:
    select = [] if code == "CT003" else [code]
    assert fix(found(fixture(code)["fixed"]), chosen(select)).fixed == []


@pytest.mark.parametrize("code", sorted(set(rules()) - set(WITH_FIX)))
def test_a_fixture_has_a_fixed_text_only_where_its_rule_has_a_fix(code: str) -> None:
    assert "fixed" not in fixture(code)


def test_a_fix_moves_the_end_of_the_tag_and_changes_no_text() -> None:
    assert fixed(AFTER_STOP, "CT110") == MENDED
    conversation = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]
    before, after = (Template.from_source(text).render(conversation) for text in (AFTER_STOP, MENDED))
    assert after.text == before.text
    assert [after.text[start:end] for start, end in after.generated] == ["Yes<|im_end|>"]


def test_a_fix_splits_a_text_between_tags() -> None:
    turns = "{% if m.role == 'user' %}U:{{ m.content }} {% else %}A:{% generation %}{{ m.content }}</s> "
    source = f"{{% for m in messages %}}{turns}{{% endgeneration %}}{{% endif %}}{{% endfor %}}"
    source += "{% if add_generation_prompt %}A:{% endif %}"
    assert fixed(source, "CT110") == source.replace("</s> {% endgeneration %}", "</s>{%- endgeneration -%}{{ ' ' }}")


def test_what_all_branches_end_with_is_taken_out_of_the_tag() -> None:
    source = (
        "{%- for m in messages -%}{%- if m.role == 'assistant' -%}A:{%- generation -%}"
        "{%- if m.content -%}{{- m.content + '<|im_end|>\\n' -}}{%- else -%}"
        "{%- if m.tool_calls -%}{{- 'call<|im_end|>\\n' -}}{%- else -%}{{- '<|im_end|>\\n' -}}{%- endif -%}"
        "{%- endif -%}"
        "{%- endgeneration -%}{%- else -%}{{- 'U:' + m.content + '\\n' -}}{%- endif -%}{%- endfor -%}"
        "{%- if add_generation_prompt -%}A:{%- endif -%}"
    )
    assert fixed(source, "CT110") == source.replace("<|im_end|>\\n", "<|im_end|>").replace(
        "{%- endgeneration -%}", "{%- endgeneration -%}{{- '\\n' }}"
    )


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("a{# x\u200by #}{{ x }}", "a{# xy #}{{ x }}"),
        ("a\u200bb{{ x }}", "a{{ '\\u200b' }}b{{ x }}"),
        ("{{ 'a\u202eb' ~ x }}", "{{ 'a\\u202eb' ~ x }}"),
        ("{{ 'a\x07b' ~ x }}", "{{ 'a\\x07b' ~ x }}"),
        ("{{ 'a\U000e0041b' ~ x }}", "{{ 'a\\U000e0041b' ~ x }}"),
    ],
)
def test_a_hidden_character_is_removed_from_comments_and_shown_elsewhere(source: str, made: str) -> None:
    assert fixed(source, "CT503") == made


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("{{ x | tojson(ensure_ascii=False) }}", "{{ x | tojson }}"),
        ("{{ x | tojson(ensure_ascii=false, sort_keys=False, separators=(', ', ': ')) }}", "{{ x | tojson }}"),
        ("{{ x | tojson(ensure_ascii=False, indent=2) }}", "{{ x | tojson(indent=2) }}"),
        ("{{ x | tojson(ensure_ascii=True) }}", None),
        ("{{ x | tojson(separators=(',', ':')) }}", None),
    ],
)
def test_options_of_tojson_are_dropped_where_they_say_the_default(source: str, made: str | None) -> None:
    assert fixed(source, "CT401") == (made or source)


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("{% if x %}\nA\n{% endif %}\n{{ y }}", "{% if x %}A\n{% endif %}\n{{- y }}"),
        ("{% if x %}\n\nA{% endif %}{{ y }}", "{% if x %}{{ '\\n' }}A{% endif %}{{ y }}"),
        ("A\n    {% if x %}B{% endif %}{{ y }}", "A\n{% if x %}B{% endif %}{{ y }}"),
        ("{% if x %}\n    {% if y %}\n{{ y }}{% endif %}{% endif %}", None),
        ("{# a #}\n{{ y }}\n", None),
    ],
)
def test_white_space_that_options_trim_is_made_explicit(source: str, made: str | None) -> None:
    after = fixed(source, "CT403")
    assert after != source
    assert made in (None, after)
    plain = Environment().from_string(after)
    trimmed = Environment(trim_blocks=True, lstrip_blocks=True).from_string(source)
    for values in ({"x": 1, "y": "Y"}, {"x": 0, "y": "Y"}, {"x": 1, "y": ""}):
        assert plain.render(values) == trimmed.render(values)


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("{%+ generation %}{{ x }}{% endgeneration %}", "{% generation %}{{ x }}{% endgeneration %}"),
        (
            "A\n  {%+ generation %}{{ x }}{% endgeneration %}",
            "A{{ '\\n  ' }}{% generation %}{{ x }}{% endgeneration %}",
        ),
        (
            "{% generation %}{{ x }}{% endgeneration +%}\nB",
            "{% generation %}{{ x }}{% endgeneration %}{{ '\\n' }}B",
        ),
    ],
)
def test_a_plus_sign_is_dropped_and_the_space_that_it_kept_is_written(source: str, made: str) -> None:
    assert fixed(source, "CT103") == made


def test_the_newlines_of_a_file_stay() -> None:
    source = AFTER_STOP.replace("\n", "\r\n")
    assert fixed(source, "CT110") == MENDED.replace("\n", "\r\n")


def test_carriage_returns_are_folded_where_that_is_the_fix() -> None:
    assert fixed(AFTER_STOP.replace("\n", "\r\n"), "CT407") == AFTER_STOP


def test_edits_are_made_at_their_place_where_carriage_returns_are_mixed() -> None:
    made = edited(found("a\r\nb\nc\r\nd"), [Edit(4, 5, "C\n")])
    assert made is not None
    assert made.source.text == "a\r\nb\nC\r\n\r\nd"


def test_edits_that_overlap_are_not_made() -> None:
    assert edited(found("abc"), [Edit(0, 2, ""), Edit(1, 3, "")]) is None


class _Drops(Rule):
    """A rule whose fix changes a text."""

    code, name, severity = "CT198", "drops", "warning"
    message, hint = "what", "how"

    def check(self, subject: Any) -> Any:
        if "DROP" in subject.source.text:
            yield self.finding(subject.at(subject.source.text.index("DROP"), 4))

    def fix(self, subject: Any, finding: Any) -> Any:
        yield [Edit(finding.place.start, finding.place.end, "")]


def _with_rule(monkeypatch: pytest.MonkeyPatch, rule: Rule) -> None:
    known = {**rules(), rule.code: rule}
    for module in ("chattmpl.lint.fix", "chattmpl.lint.runner"):
        monkeypatch.setattr(f"{module}.rules", lambda: known)


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("{{ messages[0].content }}DROP", True),
        ("{{ messages[0].content }}{# DROP #}", False),
        ("{{ messages[0].content }}{% if enable_drop %}DROP{% endif %}", True),
        ("{{ messages[0].content }}{% if add_generation_prompt %}DROP{% endif %}", True),
        ("{{ messages[0].content }}{% if messages[-1].role == 'tool' %}DROP{% endif %}", True),
        ("{{ messages[0].content }}{% if false %}DROP{% endif %}", False),
    ],
)
def test_a_fix_that_changes_a_text_is_not_made(source: str, kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_rule(monkeypatch, _Drops())
    mended = fix(found(source), [_Drops()])
    assert mended.found.source.text == (source if kept else source.replace("DROP", ""))
    assert [finding.code for finding in mended.left] == (["CT198"] if kept else [])


class _Shifts(_Drops):
    """A rule whose fix takes a generation tag away, which it must not."""

    def fix(self, subject: Any, finding: Any) -> Any:
        text = subject.source.text
        yield [
            Edit(text.index(tag), text.index(tag) + len(tag), "")
            for tag in ("{# DROP #}", "{% generation %}", "{% endgeneration %}")
        ]


def test_a_fix_that_changes_what_is_generated_is_not_made_unless_it_means_to(monkeypatch: pytest.MonkeyPatch) -> None:
    _with_rule(monkeypatch, _Shifts())
    source = "{# DROP #}{% generation %}{{ messages[0].content }}{% endgeneration %}"
    assert fix(found(source), [_Shifts()]).fixed == []


class _Breaks(_Drops):
    """A rule whose fix leaves no template."""

    def fix(self, subject: Any, finding: Any) -> Any:
        yield "{% if %}"


def test_a_fix_that_does_not_compile_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    _with_rule(monkeypatch, _Breaks())
    assert fix(found("{# DROP #}{{ messages[0].content }}"), [_Breaks()]).fixed == []


def test_a_silenced_finding_is_not_fixed() -> None:
    source = AFTER_STOP.replace(
        "message.content + '<|im_end|>\\n' -}}\n    {%- endg",
        "message.content + '<|im_end|>\\n' -}}{#- chattmpl: ignore CT110 we want it -#}\n    {%- endg",
    )
    assert fix(found(source), chosen(["CT1"])).fixed == []


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.jinja").write_text(AFTER_STOP, encoding="utf-8")
    return tmp_path


def test_findings_that_may_be_fixed_are_marked(here: Path) -> None:
    done = run_here(["lint", "bad.jinja", "--select", "CT110"])
    assert "[fixable]" in done.out
    assert done.out.endswith("1 warning; --fix may fix 1\n")
    (item,) = json.loads(run_here(["lint", "bad.jinja", "--select", "CT110", "--format", "json"]).out)
    assert item["fixable"] is True


def test_fix_writes_the_file_and_says_what_it_did(here: Path) -> None:
    (here / "bad.jinja").chmod(0o640)
    done = run_here(["lint", "bad.jinja", "--select", "CT110,CT101", "--fix"])
    assert (done.code, done.out) == (0, "no findings\n")
    assert "bad.jinja:5:31: fixed CT110: " in done.err
    assert done.err.endswith("1 fixed, 0 left\n")
    assert (here / "bad.jinja").read_text(encoding="utf-8") == MENDED
    assert (here / "bad.jinja").stat().st_mode & 0o777 == 0o640
    assert [path.name for path in here.iterdir()] == ["bad.jinja"]


def test_what_cannot_be_fixed_is_reported_and_fails(here: Path) -> None:
    (here / "bad.jinja").write_text("{{- strftime_now('%Y') -}}\n" + AFTER_STOP)
    done = run_here(["lint", "bad.jinja", "--select", "CT110,CT404", "--fix"])
    assert done.code == 1
    assert "CT404" in done.out
    assert "CT110" not in done.out
    assert "1 fixed, 1 left" in done.err


def test_diff_shows_the_change_and_writes_nothing(here: Path) -> None:
    done = run_here(["lint", "bad.jinja", "--select", "CT110", "--diff"])
    assert done.code == 1
    assert "+    {{- '\\n' -}}\n" in done.out
    assert "would fix CT110" in done.err
    assert (here / "bad.jinja").read_text() == AFTER_STOP
    (here / "bad.jinja").write_text(MENDED)
    assert run_here(["lint", "bad.jinja", "--select", "CT110", "--diff"]).code == 0


def test_what_the_baseline_knows_is_not_fixed(here: Path) -> None:
    run_here(["lint", "bad.jinja", "--write-baseline"])
    done = run_here(["lint", "bad.jinja", "--fix"])
    assert "0 fixed, 0 left" in done.err
    assert (here / "bad.jinja").read_text() == AFTER_STOP


def test_of_a_config_the_template_that_is_meant_is_fixed(here: Path) -> None:
    config = here / "tokenizer_config.json"
    named = [{"name": "default", "template": MENDED}, {"name": "tool_use", "template": AFTER_STOP}]
    config.write_text('{\n    "chat_template": ' + json.dumps(named) + ',\n    "eos_token": "<|im_end|>"\n}\n')
    done = run_here(["lint", "tokenizer_config.json", "--select", "CT110", "--fix"])
    assert done.code == 0
    written = json.loads(config.read_text())
    assert [item["template"] for item in written["chat_template"]] == [MENDED, MENDED]
    assert config.read_text().endswith(',\n    "eos_token": "<|im_end|>"\n}\n')


def test_a_shipped_family_that_is_only_named_is_not_written() -> None:
    with pytest.raises(UsageError, match=r"x\.jinja is no file"):
        plan_in_place(found("a"), "b")


def test_a_gguf_file_is_refused_by_name() -> None:
    path = Path("m/model.gguf")
    inside = TemplateSource(Source("a", f"{path}:tokenizer.chat_template"), path=path)
    with pytest.raises(UsageError, match=r"m/model\.gguf is a GGUF file, which is not written"):
        plan_in_place(inside, "b")


def test_a_file_that_changed_in_the_meantime_is_not_written(here: Path) -> None:
    path = here / "bad.jinja"
    old = TemplateSource(Source("what was read", str(path)), path=path)
    with pytest.raises(UsageError, match=r"bad\.jinja has changed in the meantime"):
        plan_in_place(old, "b")


@pytest.mark.upstream
@pytest.mark.parametrize("name", ["qwen3_training", "gemma_training", "smolvlm_training", "qwen3_6_training"])
def test_a_training_template_of_trl_is_mended_and_writes_the_same(name: str) -> None:
    source = trl_templates()[name]
    mended = fix(found(source), chosen(["CT1"]))
    assert "CT110" in {item.code for item in mended.fixed}
    assert "CT110" not in {item.code for item in lint(mended.found)}
    assert len(mended.left) < len(lint(found(source), chosen(["CT1"])))
