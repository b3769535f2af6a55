"""The pytest plugin: a test item for each template, law and conversation."""

from __future__ import annotations

import json
import re
import shutil
import signal
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from chattmpl.template.family import family_names
from support import ROOT
from support.snapshots import matches_snapshot

pytest_plugins = ["pytester"]

GOOD = """\
{% for m in messages %}
{{ '<|im_start|>' ~ m.role }}
{% if m.role == 'assistant' %}
{% generation %}{{ m.content ~ '<|im_end|>' }}{% endgeneration %}
{% else %}
{{ m.content ~ '<|im_end|>' }}
{% endif %}
{% endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant' }}
{% endif %}
"""
BAD = GOOD.replace("~ m.role }}", "~ m.role }}{% generation %}X{% endgeneration %}")
REASONING = GOOD.replace(
    "{{ m.content ~ '<|im_end|>' }}{% end", "{% reasoning %}{{ m.reasoning }}{% endreasoning %}{{ m.content }}{% end"
)
TURN = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
LAWS = ("--chattmpl-law", "sampled", "--chattmpl-law", "steady")


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with a good and a bad template, and two conversations."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("CI", raising=False)
    pytester.path.joinpath("good.jinja").write_text(GOOD)
    pytester.path.joinpath("bad.jinja").write_text(BAD)
    chats = pytester.path / "chats"
    chats.mkdir()
    chats.joinpath("turn.json").write_text(json.dumps({"messages": TURN}))
    chats.joinpath("turns.json").write_text(json.dumps({"messages": TURN + TURN}))
    return pytester


def run(project: pytest.Pytester, *arguments: str, chats: str = "chats") -> pytest.RunResult:
    """Pytest in this process, on the project's conversations."""
    return project.runpytest_inprocess(f"--chattmpl-conversations={chats}", *arguments)


def ids(project: pytest.Pytester, *arguments: str) -> list[str]:
    """The ids of what is collected."""
    result = run(project, "--collect-only", "-q", *arguments)
    return [line for line in result.outlines if "::" in line]


def text(result: pytest.RunResult) -> str:
    return "\n".join([*result.outlines, *result.errlines])


# What is collected


def test_there_is_an_item_for_each_template_law_and_conversation(project: pytest.Pytester) -> None:
    assert ids(project, "--chattmpl-templates", "*.jinja", *LAWS) == [
        f"{name}.jinja::{law}::{chat}"
        for name in ("bad", "good")
        for law in ("sampled", "steady")
        for chat in ("turn", "turns")
    ]


def test_without_conversations_those_that_ship_are_checked(project: pytest.Pytester) -> None:
    found = project.runpytest_inprocess(
        "--collect-only", "-q", "--chattmpl-templates", "good.jinja", "--chattmpl-law", "pure"
    )
    names = [line.rpartition("::")[2] for line in found.outlines if "::" in line]
    assert names == sorted(path.stem for path in (ROOT / "fixtures").glob("*.json"))


def test_conversations_of_one_file_are_told_apart_by_their_index(project: pytest.Pytester) -> None:
    lines = [json.dumps({"messages": TURN})] * 2
    project.path.joinpath("many.jsonl").write_text("\n".join(lines))
    given = ("--chattmpl-templates", "good.jinja", "--chattmpl-law", "pure", "--chattmpl-conversations", "many.jsonl")
    assert ids(project, *given)[-2:] == ["good.jinja::pure::many[0]", "good.jinja::pure::many[1]"]


def test_a_config_with_several_templates_has_their_names_in_the_ids(project: pytest.Pytester) -> None:
    named = [{"name": "default", "template": GOOD}, {"name": "tool_use", "template": GOOD}]
    project.path.joinpath("tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    assert ids(project, "--chattmpl-templates", "tokenizer_config.json", "--chattmpl-law", "pure") == [
        f"tokenizer_config.json::{name}::pure::{chat}" for name in ("default", "tool_use") for chat in ("turn", "turns")
    ]


def test_several_policies_are_part_of_the_ids(project: pytest.Pytester) -> None:
    project.path.joinpath("thinks.jinja").write_text(REASONING)
    given = ("--chattmpl-retention", "all", "--chattmpl-retention", "none", "--chattmpl-law", "pure")
    assert ids(project, "--chattmpl-templates", "thinks.jinja", "--chattmpl-templates", "good.jinja", *given) == [
        *(f"thinks.jinja::{policy}::pure::{chat}" for policy in ("all", "none") for chat in ("turn", "turns")),
        *(f"good.jinja::pure::{chat}" for chat in ("turn", "turns")),
    ]


def test_the_configuration_says_the_same_as_the_options_wherever_pytest_is_called(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        chattmpl_templates = ["good.jinja", "hybrid"]
        chattmpl_conversations = ["chats/turn.json"]
        chattmpl_laws = ["pure", "inert"]
        chattmpl_tokenizer = "demo"
        """
    )
    project.mkdir("elsewhere")
    monkeypatch.chdir(project.path / "elsewhere")
    result = project.runpytest_inprocess("-v")
    result.assert_outcomes(passed=4)
    assert "hybrid::inert::turn PASSED" in text(result)


def test_who_asks_for_certain_tests_gets_no_templates(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\nchattmpl_templates = good.jinja\nchattmpl_laws = pure")
    test = project.makepyfile("def test_own(): pass")
    run(project).assert_outcomes(passed=3)
    run(project, test.name).assert_outcomes(passed=1)
    run(project, "good.jinja").assert_outcomes(passed=2)
    run(project, ".").assert_outcomes(passed=3)
    run(project, "chats").assert_outcomes()


def test_one_item_is_run_by_its_id(project: pytest.Pytester) -> None:
    result = run(project, "--chattmpl-templates", "*.jinja", *LAWS, "bad.jinja::steady::turns", "-v")
    result.assert_outcomes(passed=1)
    assert "bad.jinja::steady::turns PASSED" in text(result)


def test_k_and_m_select_items_by_their_names_and_their_marker(project: pytest.Pytester) -> None:
    project.makepyfile("def test_own(): pass")
    given = ("--chattmpl-templates", "*.jinja", *LAWS)
    run(project, *given, "-k", "good and steady").assert_outcomes(passed=2, deselected=7)
    run(project, *given, "-m", "not chattmpl").assert_outcomes(passed=1, deselected=8)


def test_lf_runs_what_failed(project: pytest.Pytester) -> None:
    given = ("--chattmpl-templates", "*.jinja", *LAWS)
    run(project, *given).assert_outcomes(passed=6, failed=2)
    run(project, *given, "--lf").assert_outcomes(failed=2, deselected=6)


def test_workers_run_the_same_items_with_the_same_outcomes(project: pytest.Pytester) -> None:
    given = ("--chattmpl-templates", "*.jinja", "-v", "--chattmpl-conversations", "chats")
    one = project.runpytest_subprocess(*given)
    two = project.runpytest_subprocess(*given, "-n", "2")
    pattern = re.compile(r"(PASSED|FAILED|SKIPPED|XFAIL)[^:]*?(\w+\.jinja\S+)|^(\w+\.jinja\S+) (PASSED|FAILED|XFAIL)")
    found = [sorted(set(re.findall(r"\w+\.jinja::\S+", text(result)))) for result in (one, two)]
    assert pattern.search(text(two))
    assert found[0] == found[1]
    assert one.parseoutcomes() == two.parseoutcomes()
    assert one.parseoutcomes()["failed"] > 0


def test_without_the_plugin_there_is_nothing_of_it(project: pytest.Pytester) -> None:
    project.makepyfile("def test_own(): pass")
    result = project.runpytest_inprocess("-p", "no:chattmpl")
    result.assert_outcomes(passed=1)
    refused = project.runpytest_subprocess("-p", "no:chattmpl", "--chattmpl-templates", "good.jinja")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR


# What is said


def test_a_good_template_passes(project: pytest.Pytester) -> None:
    result = run(project, "--chattmpl-templates", "good.jinja", *LAWS, "--chattmpl-law", "pure")
    result.assert_outcomes(passed=6)


def test_a_failure_shows_the_counterexample_and_no_traceback(project: pytest.Pytester) -> None:
    result = run(project, "--chattmpl-templates", "bad.jinja", "--chattmpl-law", "sampled")
    result.assert_outcomes(failed=2)
    lines = result.outlines
    start = next(index for index, line in enumerate(lines) if "FAILURES" in line)
    shown = "\n".join(lines[start:-1]) + "\n"
    assert "Traceback" not in shown
    assert ".py" not in shown
    matches_snapshot("pytest_failure.txt", shown)


def test_one_cause_is_shown_whole_once(project: pytest.Pytester) -> None:
    shown = text(run(project, "--chattmpl-templates", "bad.jinja", "--chattmpl-law", "sampled"))
    assert shown.count("the smallest conversation that shows it") == 1
    assert shown.count("the same cause as in bad.jinja::sampled::turn") == 1


def test_templates_are_rendered_under_the_bounds_of_a_process(project: pytest.Pytester) -> None:
    project.makeconftest(
        "import signal\ndef pytest_sessionfinish(): print('during', signal.getitimer(signal.ITIMER_REAL)[1])\n"
    )
    result = run(project, "--chattmpl-templates=good.jinja", *LAWS)
    result.stdout.fnmatch_lines(["*during 1.0*"])
    assert signal.getitimer(signal.ITIMER_REAL)[1] == 0


def test_a_law_that_does_not_apply_is_skipped_and_says_why_once(project: pytest.Pytester) -> None:
    result = run(project, "--chattmpl-templates", "good.jinja", "--chattmpl-law", "single-bos", "-ra")
    result.assert_outcomes(skipped=2)
    assert "SKIPPED [2] good.jinja: does not apply: no bos_token is known" in result.outlines


def test_a_law_that_cannot_be_evaluated_here_never_passes(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\nchattmpl_laws = pure boundary".replace(" boundary", "\n    boundary"))
    given = ("--chattmpl-templates", "good.jinja")
    result = run(project, *given, "-ra")
    result.assert_outcomes(passed=2, xfailed=1)
    assert "XFAIL good.jinja::boundary - not evaluated: it needs a tokenizer" in result.outlines
    assert "boundary was not evaluated: it needs a tokenizer; --chattmpl-tokenizer names one" in result.outlines
    run(project, *given, "--runxfail").assert_outcomes(passed=2, failed=1)
    run(project, *given, "--chattmpl-tokenizer", "demo").assert_outcomes(passed=4)


def test_a_law_that_cannot_be_evaluated_on_a_conversation_never_passes(project: pytest.Pytester) -> None:
    strict = "{% if messages | length == 3 %}{{ raise_exception('three') }}{% endif %}" + GOOD
    project.path.joinpath("strict.jinja").write_text(strict)
    result = run(project, "--chattmpl-templates", "strict.jinja", "--chattmpl-law", "prefix", "-ra")
    result.assert_outcomes(skipped=1, xfailed=1)
    assert "XFAIL strict.jinja::prefix::turns - not evaluated:" in text(result)


def test_a_template_that_renders_no_conversation_fails(project: pytest.Pytester) -> None:
    project.path.joinpath("never.jinja").write_text("{{ raise_exception('never') }}")
    result = run(project, "--chattmpl-templates", "never.jinja", "--chattmpl-law", "pure")
    result.assert_outcomes(failed=2)
    assert "the template renders none of the 2 conversations" in text(result)


def test_a_template_that_does_not_compile_is_one_error_with_a_caret(project: pytest.Pytester) -> None:
    project.path.joinpath("broken.jinja").write_text("{% for m in messages %}{{ m.content }")
    result = run(project, "--chattmpl-templates", "broken.jinja", "--chattmpl-templates", "good.jinja")
    result.assert_outcomes(errors=1)
    assert "^" in text(result)
    assert "Traceback" not in text(result)
    assert ".py:" not in text(result)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--chattmpl-templates", "none.jinja"), "there is no file or folder none.jinja"),
        (("--chattmpl-templates", "none/**/*.jinja"), "no file matches none/**/*.jinja"),
        (("--chattmpl-law", "sampeld"), "there is no law 'sampeld'\nhint: did you mean 'sampled'?"),
        (("--chattmpl-law", "inert"), "the law 'inert' cannot be evaluated: it needs a tokenizer"),
        (("--chattmpl-retention", "all"), "no template has a {% reasoning %} block for the retention policy 'all'"),
        (("--chattmpl-retention", "al"), "there is no retention policy 'al'"),
        (("--chattmpl-conversations", "none.json"), "no conversations found at none.json"),
        (("--chattmpl-conversations", "good.jinja"), "good.jinja"),
        (("--chattmpl-conversations", "chats/turn.json"), "two conversations have the name 'turn'"),
        (("--chattmpl-tokenizer", "./none.json"), "none.json"),
    ],
)
def test_a_wrong_setting_is_one_clear_message(
    project: pytest.Pytester, arguments: tuple[str, ...], message: str
) -> None:
    result = run(project, "--chattmpl-templates", "good.jinja", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    errors = "\n".join(result.errlines)
    assert errors.startswith("ERROR: chattmpl: ")
    assert message in errors
    assert "hint: " in errors or "^" in errors
    assert "Traceback" not in errors


# Families


def test_a_template_with_a_family_beside_it_is_the_family(project: pytest.Pytester) -> None:
    shutil.copytree(ROOT / "templates" / "chatml", project.path / "ours")
    result = run(project, "--chattmpl-templates", "ours/template.jinja", "--chattmpl-law", "stop", "-v")
    result.assert_outcomes(passed=2)
    assert "ours/template.jinja::stop::turn PASSED" in text(result)


def test_a_defect_that_the_family_declares_is_an_expected_failure(project: pytest.Pytester) -> None:
    given = ("--chattmpl-templates", "gpt_oss", "--chattmpl-law", "sampled")
    call = {"function": {"name": "look", "arguments": {"at": "it"}}}
    loop = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "reasoning_content": "I look.", "tool_calls": [call]},
        {"role": "tool", "content": "seen"},
        {"role": "assistant", "reasoning_content": "I saw.", "content": "Done."},
    ]
    chats = project.path / "loop.json"
    chats.write_text(json.dumps({"messages": loop}))
    result = run(project, *given, "-ra", chats=str(chats))
    result.assert_outcomes(xfailed=1)
    assert "XFAIL gpt_oss::sampled::loop - gpt_oss declares it: The analysis of a tool call is dropped" in text(result)
    run(project, *given, "--runxfail", chats=str(chats)).assert_outcomes(failed=1)


def test_the_modes_of_a_template_are_varied_in_an_item(project: pytest.Pytester) -> None:
    source = "{% if shout is defined and shout %}{% set last = messages | length %}{{ last }}{% endif %}" + GOOD
    project.path.joinpath("modes.jinja").write_text(source)
    result = run(project, "--chattmpl-templates=modes.jinja", "--chattmpl-law=prefix")
    result.assert_outcomes(failed=1, skipped=1)
    assert 'with {"shout": true}' in text(result)


def test_this_repository_checks_every_family_with_its_own_plugin() -> None:
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "--ignore=tests"]
    done = subprocess.run(collect, cwd=ROOT, capture_output=True, text=True, check=False)
    families = {Path(line.partition("::")[0]).parent.name for line in done.stdout.splitlines() if "::sampled::" in line}
    assert families == set(family_names())


# What it costs


def test_a_run_that_does_not_use_the_plugin_imports_nothing_for_it(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import sys

        def test_own():
            loaded = set(sys.modules)
            assert not loaded & {"jinja2", "pydantic", "tokenizers", "rich", "click", "torch", "transformers"}
            own = {name for name in loaded if name.startswith("chattmpl")}
            assert own == {"chattmpl", "chattmpl.version", "chattmpl.testing", "chattmpl.testing.plugin"}
        """
    )
    given = ("-p", "no:hypothesispytest", "-p", "no:cacheprovider")
    project.runpytest_subprocess(*given).assert_outcomes(passed=1)


def test_importing_the_plugin_takes_less_than_10_ms() -> None:
    times = []
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", "import pytest; import chattmpl.testing.plugin"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        (line,) = [line for line in done.stderr.splitlines() if line.endswith(" chattmpl.testing.plugin")]
        (package,) = [line for line in done.stderr.splitlines() if line.endswith(" chattmpl")]
        times.append(sum(int(part.split("|")[1]) for part in (line, package)) / 1_000)
    assert statistics.median(times) < 10
