"""Lint as a whole: how rules are found, how findings are silenced, known and grouped, and where templates come from."""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import chattmpl.lint.rules
from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.errors import ChatTmplError, TemplateError, UsageError
from chattmpl.lint.baseline import without_known, write_baseline
from chattmpl.lint.context import LintContext
from chattmpl.lint.rule import GROUPS, Rule, chosen, rule_named, rules
from chattmpl.lint.runner import lint
from chattmpl.lint.settings import LintSettings, read_settings
from chattmpl.source import Place, Source
from chattmpl.template.family import family_names
from chattmpl.template.resolver import TemplateSource, find_templates
from support import ROOT

CLOCK = "{{- strftime_now('%Y') -}}"
LOOP = "{%- for m in messages -%}{{- m.role ~ m.content -}}{%- endfor -%}"


def codes(source: str, *select: str) -> list[str]:
    return [found.code for found in lint(TemplateSource(Source(source, "x.jinja")), chosen(select))]


class Named(Rule):
    """A rule."""

    code = "CT199"
    name = "named"
    severity = "info"

    def check(self, subject: LintContext) -> Iterator[TemplateDiagnostic]:
        raise RuntimeError("it cannot")


def test_there_are_at_least_thirty_five_rules_in_every_group() -> None:
    assert len(rules()) >= 35
    assert {code[:3] for code in rules()} == {f"CT{group}" for group in range(8)}


def test_codes_and_names_of_rules_are_unique_and_of_a_group() -> None:
    modules = [module.name for module in pkgutil.iter_modules(chattmpl.lint.rules.__path__)]
    assert len(rules()) == len({rule.name for rule in rules().values()}) == len(modules)
    assert all(code[:3] in GROUPS and code[3:].isdigit() and len(code) == 5 for code in rules())


def test_rules_are_chosen_by_codes_and_groups() -> None:
    assert {rule.code[:3] for rule in chosen(["CT1"])} == {"CT1"}
    assert [rule.code for rule in chosen(["CT404", "ct101"])] == ["CT101", "CT404"]
    assert "CT404" not in {rule.code for rule in chosen(ignore=["CT404"])}


def test_a_rule_that_does_not_exist_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match="there is no rule 'CT4004'") as error:
        chosen(["CT4004"])
    assert error.value.hint == "did you mean 'CT404'?"
    with pytest.raises(UsageError, match="there is no rule 'no-stop'"):
        rule_named("no-stop")


def test_a_rule_is_found_by_its_name() -> None:
    assert rule_named("No-Stop-Token").code == "CT114"


def test_a_diagnostic_has_the_keys_of_the_public_surface() -> None:
    place = Place(Source("ab\ncd", "x.jinja"), 4, 5)
    plain = TemplateDiagnostic(code="CT404", severity="warning", place=place, message="what", hint="how")
    assert plain.to_dict() == {
        "code": "CT404",
        "severity": "warning",
        "file": "x.jinja",
        "line": 2,
        "column": 2,
        "message": "what",
        "hint": "how",
    }
    lawful = replace(plain, law="steady", counterexample={"text": "t"})
    assert lawful.to_dict() == {**plain.to_dict(), "law": "steady", "counterexample": {"text": "t"}}


def test_a_comment_silences_its_line() -> None:
    assert codes(f"{CLOCK}{{# chattmpl: ignore CT404 the date is wanted #}}", "CT404") == []


def test_a_comment_on_a_line_of_its_own_silences_the_next_one() -> None:
    assert codes(f"{{#- chattmpl: ignore CT404 the date is wanted -#}}\n{CLOCK}", "CT404", "CT003") == []
    assert codes(f"{{#- chattmpl: ignore CT404 the date is wanted -#}}\n{LOOP}\n{CLOCK}", "CT404") == ["CT404"]


def test_a_comment_can_silence_a_group_in_the_whole_file() -> None:
    assert codes(f"{{#- chattmpl: ignore-file CT4 we serve with vLLM -#}}\n{LOOP}\n{CLOCK}", "CT4") == []


def test_a_comment_without_a_reason_silences_nothing() -> None:
    assert sorted(codes(f"{CLOCK}{{# chattmpl: ignore CT404 #}}", "CT404", "CT002")) == ["CT002", "CT404"]


@pytest.mark.parametrize("said", ["ignore everything", "ignore", "silence CT404 please"])
def test_a_comment_that_cannot_be_obeyed_is_reported(said: str) -> None:
    assert codes(f"{{# chattmpl: {said} #}}{LOOP}", "CT002") == ["CT002"]


def test_a_comment_about_a_rule_that_did_not_run_is_not_called_unused() -> None:
    source = f"{{# chattmpl: ignore CT101 it only serves #}}{LOOP}"
    assert codes(source, "CT003", "CT404") == []
    assert codes(source, "CT003", "CT101") == []
    assert codes(source.replace("CT101", "CT404"), "CT003", "CT404") == ["CT003"]


def test_a_baseline_knows_findings_though_lines_move(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    before = lint(TemplateSource(Source(CLOCK, "x.jinja")), chosen(["CT404"]))
    assert write_baseline(path, before) == 1
    moved = lint(TemplateSource(Source(f"\n\n{CLOCK}", "x.jinja")), chosen(["CT404"]))
    assert moved[0].place.line == 3
    assert without_known(path, moved) == []
    elsewhere = lint(TemplateSource(Source(CLOCK, "y.jinja")), chosen(["CT404"]))
    assert without_known(path, elsewhere) == elsewhere


def test_a_baseline_knows_how_many_there_were(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    finding = lint(TemplateSource(Source(CLOCK, "x.jinja")), chosen(["CT404"]))
    write_baseline(path, finding)
    assert without_known(path, finding * 2) == finding


@pytest.mark.parametrize("text", ["[]", "{", '{"version": 2, "known": []}'])
def test_a_file_that_is_no_baseline_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="baseline"):
        without_known(path, [])


def test_findings_of_one_rule_on_one_line_are_one() -> None:
    assert codes("{{ messages[0].__class__ }}{{ messages[0].__doc__ }}", "CT501") == ["CT501"]
    assert codes("{{ messages[0].__class__ }}\n{{ messages[0].__doc__ }}", "CT501") == ["CT501", "CT501"]


def test_a_template_that_does_not_compile_has_that_finding_alone() -> None:
    assert codes("{% for %}") == ["CT001"]


def test_a_template_that_raises_is_not_evaluated_and_never_fine() -> None:
    found = lint(TemplateSource(Source("{{ raise_exception('no') }}", "x.jinja")), chosen(["CT004", "CT3"]))
    assert [(item.code, item.severity) for item in found] == [("CT004", "warning")]
    found = lint(TemplateSource(Source(f"{LOOP}{{{{ messages[0].x.y }}}}", "x.jinja")))
    raised = [item for item in found if item.code == "CT004"]
    assert [item.severity for item in raised] == ["warning"]
    assert "a question and an answer" in raised[0].message


def test_a_rule_that_fails_is_reported_and_the_others_go_on() -> None:
    everything = [Named(), *chosen(["CT404", "CT004"])]
    found = lint(TemplateSource(Source(CLOCK, "x.jinja")), everything)
    assert sorted(item.code for item in found) == ["CT004", "CT404"]
    assert "bug in chattmpl: RuntimeError: it cannot" in next(item.message for item in found if item.code == "CT004")


def test_a_folder_has_its_templates(tmp_path: Path) -> None:
    for name in ("a.jinja", "deep/b.jinja", "deep/c.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(LOOP)
    assert [Path(item.source.name).name for item in find_templates([str(tmp_path)])] == ["a.jinja", "b.jinja"]
    assert [Path(item.source.name).name for item in find_templates([str(tmp_path / "*.jinja")])] == ["a.jinja"]
    twice = [str(tmp_path / "a.jinja"), str(tmp_path)]
    assert len(list(find_templates(twice))) == 2


def test_a_config_has_all_its_named_templates(tmp_path: Path) -> None:
    named = [{"name": "default", "template": LOOP}, {"name": "tool_use", "template": CLOCK}]
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": named, "bos_token": "<s>"}))
    for path in (config, tmp_path):
        found = list(find_templates([str(path)]))
        assert [item.source.text for item in found] == [LOOP, CLOCK]
        assert found[0].tokens == {"bos_token": "<s>"}


def test_a_model_directory_has_its_additional_templates(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text(LOOP)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>"}))
    extra = tmp_path / "additional_chat_templates"
    extra.mkdir()
    (extra / "rag.jinja").write_text(CLOCK)
    found = list(find_templates([str(tmp_path)]))
    assert [(item.source.text, item.tokens) for item in found] == [
        (LOOP, {"eos_token": "</s>"}),
        (CLOCK, {"eos_token": "</s>"}),
    ]


def test_a_family_is_found_by_name_by_folder_and_by_its_template() -> None:
    ways = ["qwen3", str(ROOT / "templates" / "qwen3"), str(ROOT / "templates" / "qwen3" / "template.jinja")]
    assert [item.family.name for way in ways for item in find_templates([way]) if item.family] == ["qwen3"] * 3


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("nothing.jinja", "there is no file or folder nothing.jinja"),
        ("no*.jinja", r"no file matches no\*.jinja"),
        (".", "there is no template in the folder"),
    ],
)
def test_a_path_with_nothing_to_lint_is_an_error(
    path: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=problem):
        list(find_templates([path]))


def test_a_config_without_a_template_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer_config.json"
    path.write_text("{}")
    with pytest.raises(TemplateError, match="no chat template"):
        list(find_templates([str(path)]))


def test_settings_are_those_of_the_nearest_project_file(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.chattmpl.lint]\nignore = ["CT4"]\nbaseline = "known.json"\n')
    inner = tmp_path / "inner"
    inner.mkdir()
    assert read_settings(inner) == LintSettings(ignore=("CT4",), baseline=str(tmp_path / "known.json"), folder=tmp_path)


@pytest.mark.parametrize("line", ['ignor = ["CT4"]', 'ignore = "CT4"', "baseline = 3"])
def test_settings_that_are_none_are_an_error(tmp_path: Path, line: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.chattmpl.lint]\n{line}\n")
    with pytest.raises(ChatTmplError, match="pyproject"):
        read_settings(tmp_path)


@pytest.mark.parametrize("family", family_names())
def test_a_shipped_family_has_no_error_that_it_does_not_declare(family: str) -> None:
    found = [item for one in find_templates([family]) for item in lint(one)]
    assert [(item.code, item.message) for item in found if item.severity == "error"] == []
    assert [item.message for item in found if "bug in chattmpl" in item.message] == []


def test_what_a_family_declares_is_told_in_its_words() -> None:
    found = [item for one in find_templates(["smollm3"]) for item in lint(one, chosen(["CT303"]))]
    assert [item.severity for item in found] == ["info"]
    assert found[0].hint.startswith("smollm3 declares it: The template has no rendering of tool calls")
