"""Diagnostics on the command line, and in each of their formats."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from chattmpl.diagnostic import DataDiagnostic, TemplateDiagnostic
from chattmpl.lint.rule import chosen, rules
from chattmpl.lint.runner import lint
from chattmpl.report import diagnostics as report
from chattmpl.report.diagnostics import repeated
from chattmpl.report.lines import write_lines
from chattmpl.source import Place, Source
from chattmpl.template.resolver import TemplateSource
from support.command import run_here
from support.fetched import sarif_schema
from support.snapshots import matches_snapshot

BAD = """{%- for message in messages -%}
{%- generation -%}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}
{%- endgeneration -%}
{%- endfor -%}
{{- strftime_now('%Y') -}}
"""
GOOD = "{%- for message in messages -%}{{- message.content -}}{%- endfor -%}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.jinja").write_text(BAD)
    (tmp_path / "good.jinja").write_text(GOOD)
    return tmp_path


@pytest.mark.parametrize("form", ["text", "json", "github", "sarif"])
@pytest.mark.usefixtures("here")
def test_findings_are_told_in_every_format(form: str) -> None:
    done = run_here(["lint", "bad.jinja", "--select", "CT108,CT404,CT201", "--format", form])
    assert (done.code, done.err) == (1, "")
    matches_snapshot(f"lint_{form}.txt", done.out.replace(_version(), "VERSION"))


def _version() -> str:
    from chattmpl import __version__

    return __version__


@pytest.mark.usefixtures("here")
def test_a_terminal_gets_the_excerpt_and_the_hint_too() -> None:
    done = run_here(["lint", "bad.jinja", "--select", "CT404", "--format", "rich"])
    assert done.code == 1
    assert "bad.jinja:6:5: warning CT404: strftime_now reads the wall clock" in done.out
    assert "^^^^^^^^^^^^" in done.out
    assert "hint: " in done.out


@pytest.mark.usefixtures("here")
def test_notes_do_not_fail_and_nothing_found_is_said() -> None:
    done = run_here(["lint", "good.jinja", "--select", "CT101"])
    assert done.code == 0
    assert "1 note" in done.out
    assert run_here(["lint", "good.jinja", "--select", "CT404"]).out == "no findings\n"


@pytest.mark.usefixtures("here")
def test_exit_zero_reports_and_does_not_fail() -> None:
    done = run_here(["lint", "bad.jinja", "--exit-zero"])
    assert done.code == 0
    assert "CT108" in done.out


def test_a_written_baseline_is_used_without_being_named(here: Path) -> None:
    written = run_here(["lint", "bad.jinja", "--write-baseline"])
    assert written.code == 0
    assert "known findings to .chattmpl-baseline.json" in written.err
    assert run_here(["lint", "bad.jinja"]).out == "no findings\n"
    (here / "bad.jinja").write_text(BAD + "{{- messages[0].__class__ -}}")
    again = run_here(["lint", "bad.jinja", "--format", "json"])
    assert "CT501" in {item["code"] for item in json.loads(again.out)}


def test_the_project_may_ignore_rules(here: Path) -> None:
    (here / "pyproject.toml").write_text('[tool.chattmpl.lint]\nignore = ["CT1"]\n')
    found = json.loads(run_here(["lint", "bad.jinja", "--format", "json"]).out)
    assert found
    assert not [item for item in found if item["code"].startswith("CT1")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lint"], "no path given"),
        (["lint", "absent.jinja"], "there is no file or folder absent.jinja"),
        (["lint", "good.jinja", "--select", "CT999"], "there is no rule 'CT999'"),
        (["lint", "good.jinja", "--baseline", "absent.json"], "there is no baseline absent.json"),
        (["rule", "CT999"], "there is no rule 'CT999'"),
    ],
)
@pytest.mark.usefixtures("here")
def test_wrong_usage_is_one_clear_message(arguments: list[str], said: str) -> None:
    done = run_here(arguments)
    assert done.code == 2
    assert done.err.startswith(f"error: {said}")
    assert "hint: " in done.err


@pytest.mark.usefixtures("here")
def test_rules_on_tokens_run_where_a_tokenizer_is_given() -> None:
    Path("odd.jinja").write_text("{{ '<|no_such_token|>' }}")
    assert "CT601" not in run_here(["lint", "odd.jinja"]).out
    assert "CT601" in run_here(["lint", "odd.jinja", "--tokenizer", "demo"]).out


def test_a_rule_is_explained_by_its_docstring() -> None:
    done = run_here(["rule", "ct109"])
    assert done.code == 0
    assert done.out.startswith("# CT109 prompt-generated (error)\n\n" + rules()["CT109"].documentation())


def test_all_rules_are_listed_under_their_groups() -> None:
    listed = run_here(["rule"]).out
    assert all(f"  {code} " in listed for code in rules())


def test_sarif_names_each_rule_once_and_points_at_it() -> None:
    found = lint(TemplateSource(Source(BAD, "a b.jinja")), chosen())
    made = json.loads(report.sarif(found, rules(), "1"))
    assert made["version"] == "2.1.0"
    (run,) = made["runs"]
    named = run["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in named}) == len(named)
    assert [named[result["ruleIndex"]]["id"] for result in run["results"]] == [item.code for item in found]
    uris = {result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in run["results"]}
    assert uris == {"a%20b.jinja"}


@pytest.mark.usefixtures("here")
def test_broken_laws_are_told_in_the_formats_of_lint() -> None:
    check = ["check", "bad.jinja", "--law", "pure", "--format"]
    annotated = run_here([*check, "github"])
    assert annotated.code == 1
    assert annotated.out.startswith("::error file=bad.jinja,line=3,col=")
    assert ",title=pure::" in annotated.out
    (run,) = json.loads(run_here([*check, "sarif"]).out)["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["pure"]
    assert {result["ruleId"] for result in run["results"]} == {"pure"}


@pytest.mark.upstream
@pytest.mark.usefixtures("here")
def test_sarif_of_broken_laws_is_as_its_schema_says() -> None:
    import jsonschema

    made = json.loads(run_here(["check", "bad.jinja", "--format", "sarif"]).out)
    assert made["runs"][0]["results"]
    jsonschema.Draft4Validator(sarif_schema()).validate(made)


@pytest.mark.upstream
@pytest.mark.parametrize("name", ["a b.jinja", "m/tokenizer_config.json:chat_template[tool_use]", "C:\\x\\é.jinja"])
def test_sarif_is_as_its_schema_says(name: str) -> None:
    import jsonschema

    schema = sarif_schema()
    jsonschema.Draft4Validator.check_schema(schema)
    validator = jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker())
    found = lint(TemplateSource(Source(BAD, name)), chosen()) + lint(TemplateSource(Source("{% if %}", name)))
    assert {item.severity for item in found} == {"error", "warning", "info"}
    for diagnostics in ([], found):
        made = json.loads(report.sarif(diagnostics, rules()))
        assert [error.message for error in validator.iter_errors(made)] == []
    made["runs"][0]["results"][0]["level"] = "grave"
    assert not validator.is_valid(made)


def test_annotations_of_a_template_inside_a_config_point_at_the_config(here: Path) -> None:
    named = [{"name": "default", "template": "{{ 1 }}"}, {"name": "tool_use", "template": f"\n{BAD}"}]
    (here / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}), encoding="utf-8")
    done = run_here(["lint", "tokenizer_config.json", "--select", "CT404", "--format", "github"])
    assert done.out.startswith("::warning file=tokenizer_config.json,line=1,col=1,title=CT404::")
    made = json.loads(run_here(["lint", "tokenizer_config.json", "--select", "CT404", "--format", "sarif"]).out)
    (place,) = made["runs"][0]["results"][0]["locations"]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "tokenizer_config.json"


def test_a_template_whose_name_looks_like_a_part_of_a_file_is_a_file() -> None:
    found = lint(TemplateSource(Source(BAD, "m/x:chat_template")), chosen(["CT404"]))
    assert report.github(found).startswith("::warning file=m/x%3Achat_template,line=")


def test_what_a_terminal_would_obey_is_shown_by_its_number(capsys: pytest.CaptureFixture[str]) -> None:
    found = lint(TemplateSource(Source("{{- '\x1b[2J' ~ strftime_now('%Y') -}}", "x\x1b.jinja")), chosen(["CT404"]))
    for form in ("json", "github", "sarif"):
        assert "\x1b" not in report.document(form, found, rules())
    for form in ("text", "rich"):
        write_lines(report.lines(found), form)
    printed = capsys.readouterr().out
    assert printed.count("\\u001b") + printed.count("U+001B") > 2
    assert "\x1b" not in printed


# -- many equal findings

MANY = "".join("a\u200bb\n" for _ in range(3000))


@pytest.mark.parametrize("form", ["text", "json", "sarif", "github"])
def test_thousands_of_equal_findings_are_reported_as_one_with_their_number(tmp_path: Path, form: str) -> None:
    path = tmp_path / "many.jinja"
    path.write_text(MANY, encoding="utf-8")
    done = run_here(["lint", str(path), "--select", "CT503", "--format", form])
    assert done.code == 1
    assert len(done.out) < 6000
    if form == "json":
        (found,) = json.loads(done.out)
        assert (found["line"], found["occurrences"]) == (1, 3000)
        assert [place["line"] for place in found["places"]] == [1, 2, 3, 4, 5]
    elif form == "sarif":
        (result,) = json.loads(done.out)["runs"][0]["results"]
        assert result["occurrenceCount"] == 3000
        lines = [place["physicalLocation"]["region"]["startLine"] for place in result["relatedLocations"]]
        assert lines == [2, 3, 4, 5, 6]
    else:
        assert "and 2,999 more in lines 2, 3, 4, 5, 6, …" in done.out
    if form == "text":
        assert "3,000 warnings; --fix may fix 3000" in done.out


def test_a_few_equal_findings_are_reported_one_by_one_and_all_are_fixed(tmp_path: Path) -> None:
    path = tmp_path / "few.jinja"
    path.write_text("a\u200bb\n" * 10, encoding="utf-8")
    done = run_here(["lint", str(path), "--select", "CT503", "--format", "json"])
    assert [found["line"] for found in json.loads(done.out)] == list(range(1, 11))
    assert all("occurrences" not in found for found in json.loads(done.out))


def test_findings_that_differ_only_in_an_index_are_equal_and_files_are_not() -> None:
    def finding(number: int, file: str) -> TemplateDiagnostic:
        place = Place.of_line(Source("a\n" * 99, file), number + 1)
        data = {"path": f"messages[{number}].content"}
        return TemplateDiagnostic(
            code="CT999", severity="error", message=f"message {number}", hint="h", place=place, data=data
        )

    found = [finding(number, file) for number in range(20) for file in ("a.jinja", "b.jinja")]
    assert [len(one.others) for one in repeated(found)] == [19, 19]
    rows = DataDiagnostic(
        code="AU9", severity="error", message="m", hint="h", name="n", key="k", count=1, share=1, amount=1, examples=()
    )
    different = [replace(rows, message=f"the key k{number} is unknown") for number in range(20)]
    assert len(repeated(different)) == 20
