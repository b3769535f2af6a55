"""Other engines: their drivers, and ``chattmpl engines``, which finds the constructs that they render differently."""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from chattmpl import Conversation, Template
from chattmpl.compare.cases import RenderCase, cases, engine_probes, named_conversations
from chattmpl.compare.code import Code
from chattmpl.compare.engine_differences import ENGINE_DIFFERENCES
from chattmpl.compare.explain import reached, reference
from chattmpl.compare.portability import EngineReport, compare, served
from chattmpl.engine import (
    HUGGINGFACE,
    MINIJINJA,
    NODE_FOLDER,
    Engine,
    HuggingfaceJinja,
    Minijinja,
    Missing,
    Tgi,
    node_folder,
)
from chattmpl.engine import engines as all_engines
from chattmpl.errors import BudgetError, ChatTmplError, RenderError, UsageError
from support import ROOT, engines
from support import engines as real
from support.command import Outcome, run_here
from support.snapshots import matches_snapshot

MESSAGES = [{"role": "user", "content": "<é> & 日本"}, {"role": "assistant", "content": "ok"}]


@pytest.fixture(params=engines.EACH)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    yield from engines.opened(request.param)


def test_an_engine_renders_messages_as_they_are(engine: Engine) -> None:
    source = "{% for m in messages %}[{{ m.role }}|{{ m['content'] }}]{% endfor %}"
    assert engine.render(source, {"messages": MESSAGES}) == "[user|<é> & 日本][assistant|ok]"


def test_an_engine_trims_blocks_as_transformers_does(engine: Engine) -> None:
    assert engine.render("a\n  {% if true %}\n  b\n  {% endif %}\nc\n", {}) == "a\n  b\nc"


def test_an_engine_writes_json_as_transformers_does(engine: Engine) -> None:
    assert engine.render("{{ m | tojson }}", {"m": MESSAGES[0]}) == '{"role": "user", "content": "<é> & 日本"}'
    assert engine.render("{{ x | tojson(indent=2) }}", {"x": {"a": [1]}}) == '{\n  "a": [\n    1\n  ]\n}'


def test_an_engine_knows_pythons_string_and_dict_methods(engine: Engine) -> None:
    source = "{{ ' a-b '.strip().split('-')[1] }}{% for k, v in d.items() %}{{ k }}{{ v }}{% endfor %}"
    assert engine.render(source, {"d": {"x": 1}}) == "bx1"


def test_an_engine_reads_the_clock_that_it_was_given(engine: Engine) -> None:
    assert engine.render("{{ strftime_now('%Y-%m-%d %H:%M') }}", {}) == "2025-07-10 12:00"


def test_what_a_template_refuses_is_an_error_with_its_words(engine: Engine) -> None:
    with pytest.raises(RenderError, match="no system role"):
        engine.render("{{ raise_exception('no system role') }}", {})


def test_a_syntax_error_is_an_error_of_one_line(engine: Engine) -> None:
    with pytest.raises(RenderError, match=re.escape(engine.name)) as caught:
        engine.render("{% if %}", {})
    assert "\n" not in caught.value.message


def test_an_engine_goes_on_after_an_error(engine: Engine) -> None:
    with pytest.raises(RenderError, match=re.escape(engine.name)):
        engine.render("{% for %}", {})
    assert engine.render("{{ a }}", {"a": "fine"}) == "fine"


@pytest.mark.upstream
@pytest.mark.parametrize("option", ["ensure_ascii=False", "separators=(',', ':')", "sort_keys=True"])
def test_an_option_that_minijinjas_own_tojson_refuses_is_refused(option: str) -> None:
    with pytest.raises(RenderError, match=f"unknown keyword argument '{option.partition('=')[0]}'"):
        engines.minijinja().render(f"{{{{ x | tojson({option}) }}}}", {"x": {"a": 1}})


@pytest.mark.upstream
def test_the_text_of_minijinjas_own_tojson_is_told_from_that_of_a_host() -> None:
    engine = engines.minijinja()
    variables = {"x": {"a": "it's <b>"}}
    assert engine.render("{{ x | tojson }}", variables) == """{"a": "it's <b>"}"""
    assert engine.render_unhosted("{{ x | tojson }}", variables) == r"""{"a": "it\u0027s \u003cb\u003e"}"""
    assert engine.render_unhosted("{{ x.a }}", variables) == "it's <b>"


@pytest.mark.upstream
def test_a_report_counts_the_renders_that_agree_only_where_the_host_replaces_tojson() -> None:
    source = "{% for m in messages %}{{ m.content | tojson }}{% endfor %}"
    quoted = [{"role": "user", "content": "it's"}]
    reports = [told(source, engines.minijinja()), told(source, engines.minijinja(), messages=quoted)]
    assert [(report.agreed, report.disagreed, report.hosted) for report in reports] == [(1, 0, 0), (1, 0, 1)]


@pytest.mark.upstream
def test_an_option_of_tojson_is_a_difference_of_minijinja() -> None:
    report = told("{% for m in messages %}{{ m | tojson(ensure_ascii=False) }}{% endfor %}", engines.minijinja())
    assert constructs(report) == [("tojson-option", "m | tojson(ensure_ascii=False)", True)]


@pytest.mark.upstream
def test_a_clock_may_be_something_that_tells_the_time() -> None:
    days = iter([dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 2)])
    engine = Minijinja(clock=lambda: next(days))
    assert [engine.render("{{ strftime_now('%d') }}", {}) for _ in range(2)] == ["01", "02"]


ENDLESS = {
    "loops": "{% for a in range(99999) %}" * 3 + "{% endfor %}" * 3,
    "strings": "{% set ns = namespace(s='ab') %}{% for a in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
}


@pytest.mark.parametrize("source", ENDLESS.values(), ids=ENDLESS)
def test_a_render_without_end_is_stopped_and_the_next_one_works(engine: Engine, source: str) -> None:
    engine._timeout = 2.0  # type: ignore[attr-defined]
    start = time.monotonic()
    with pytest.raises(RenderError, match=f"{engine.name}: "):
        engine.render(source, {})
    assert time.monotonic() - start < 30
    assert engine.render("fine", {}) == "fine"


@pytest.mark.node
def test_a_template_that_took_too_long_is_not_rendered_again() -> None:
    engine = engines.huggingface_jinja()
    engine._timeout = 1.0  # type: ignore[attr-defined]
    with pytest.raises(BudgetError, match="more than 1 seconds"):
        engine.render(ENDLESS["loops"], {})
    start = time.monotonic()
    with pytest.raises(BudgetError, match="more than 1 seconds"):
        engine.render(ENDLESS["loops"], {"another": "conversation"})
    assert time.monotonic() - start < 0.5
    report = told(ENDLESS["loops"], engine)
    assert (report.overrun is not None, report.agreed) == (True, 0)
    engine.close()


def test_an_engine_gets_a_copy_of_the_messages(engine: Engine) -> None:
    messages = [{"role": "user", "content": "x"}]
    with contextlib.suppress(RenderError):
        engine.render("{{ messages[0].update({'content': 'EVIL'}) }}{{ messages.append(1) }}", {"messages": messages})
    assert messages == [{"role": "user", "content": "x"}]


_ORPHAN = """
import sys
from pathlib import Path
from support import ROOT, engines
engine = engines.{name}()
engine.render("x", {{}})
print(engine._process.pid, flush=True)
engine._timeout = 600
engine.render({source!r}, {{}})
"""


@pytest.mark.parametrize("name", ["minijinja", "huggingface_jinja"])
@pytest.mark.upstream
@pytest.mark.node
def test_the_process_of_an_engine_dies_with_ours(name: str) -> None:
    program = _ORPHAN.format(name=name, source=ENDLESS["loops"].replace("99999", "100000"))
    ours = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT / "tests", stdout=subprocess.PIPE, text=True)
    assert ours.stdout is not None
    process = Path("/proc") / ours.stdout.readline().strip()
    assert process.is_dir()
    ours.kill()
    ours.communicate()
    deadline = time.monotonic() + 10
    while process.is_dir() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not process.is_dir() or (process / "stat").read_text().rsplit(") ", 1)[1][0] == "Z"


@pytest.mark.node
def test_a_context_that_is_not_json_is_named() -> None:
    with pytest.raises(RenderError, match="not JSON"):
        engines.huggingface_jinja().render("{{ a }}", {"a": object()})


def without_minijinja(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that minijinja is not installed."""

    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)


def test_a_missing_minijinja_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    without_minijinja(monkeypatch)
    with pytest.raises(UsageError, match=r"pip install 'chattmpl\[engines\]'"):
        Minijinja()


def test_a_missing_node_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(UsageError, match="node, which is not on PATH"):
        HuggingfaceJinja(None, tmp_path)


def test_a_missing_npm_package_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(UsageError, match="npm install --prefix"):
        HuggingfaceJinja(None, tmp_path)


LOOP = "{% for m in messages %}"


CHAT = [{"role": "user", "content": " Hi "}, {"role": "assistant", "content": "Hello"}]


class Fake(Engine):
    """Jinja2, but for what a function does to the source or to the text."""

    def __init__(
        self,
        name: str = HUGGINGFACE,
        source: Callable[[str], str] = lambda source: source,
        text: Callable[[str], str] = lambda text: text,
    ) -> None:
        self.name = name
        self._source, self._text = source, text

    def render(self, source: str, context: Mapping[str, object]) -> str:
        try:
            outcome = reference(self._source(source), context)
        except ChatTmplError as error:
            raise RenderError(f"{self.name}: {error.message}", complaint=error.complaint) from error
        if outcome.text is None:
            raise RenderError(f"{self.name}: {outcome.error}", complaint=outcome.error or "")
        return self._text(outcome.text)


def no_arguments(source: str) -> str:
    return re.sub(r"strip\([^()]+\)", "strip()", source)


def told(source: str, engine: Engine, **conversation: object) -> EngineReport:
    chat = Conversation.coerce({"messages": CHAT, **conversation})
    return compare(Template.from_source(source, name="t.jinja"), engine, [RenderCase("chat", chat)])


def constructs(report: EngineReport) -> list[tuple[str, str, bool]]:
    return [
        (f.cause.code, f.cause.place.source.text[f.cause.place.start : f.cause.place.end], f.cause.confirmed)
        for f in report.findings
    ]


def run(folder: Path, source: str, *arguments: str) -> Outcome:
    (folder / "t.jinja").write_text(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return run_here(["engines", "t.jinja", *arguments])


def test_an_engine_that_renders_the_same_agrees() -> None:
    report = told(LOOP + "{{ m.content }}{% endfor %}", Fake())
    assert (report.agreed, report.disagreed, report.findings) == (1, 0, [])


def test_an_ignored_argument_is_found_where_it_stands() -> None:
    report = told(LOOP + "{{ m.content.strip('\\n') }}{% endfor %}", Fake(source=no_arguments))
    assert constructs(report) == [("strip-characters", "strip('\\n')", True)]


def test_the_construct_is_found_behind_a_variable() -> None:
    source = LOOP + "\n{% set a = m.content.strip('\\n') %}\n{% set b = m.role.strip('x') %}\n{{ a }}\n{% endfor %}"
    report = told(source, Fake(source=no_arguments))
    assert constructs(report) == [("strip-characters", "strip('\\n')", True)]
    assert report.findings[0].cause.place.line == 2


def test_a_construct_that_makes_no_difference_is_not_blamed() -> None:
    report = told(LOOP + "{{ m.role.strip('x') }}{{ m.content }}{% endfor %}", Fake(text=str.upper))
    ((code, construct, confirmed),) = constructs(report)
    assert (code, confirmed) == ("other", False)
    assert construct in ("{{ m.role.strip('x') }}", "{{ m.content }}")


def test_causes_behind_each_other_are_all_found() -> None:
    def both(source: str) -> str:
        if "{{%" in source or "generation" in source:
            complaint = "syntax error: unknown statement generation (in t:1)"
            raise RenderError(f"minijinja: {complaint}", complaint=complaint)
        return re.sub(r"(\w+) is iterable(?! and)", "true", source)

    source = "{% if tools is iterable %}T{% endif %}" + LOOP + "{% generation %}x{% endgeneration %}{% endfor %}"
    report = told(source, Fake(MINIJINJA, source=both))
    assert [(code, sure) for code, _, sure in constructs(report)] == [
        ("none-is-iterable", True),
        ("generation-tag", True),
    ]
    assert report.disagreed == 1


def test_one_cause_in_many_cases_is_one_finding() -> None:
    template = Template.from_source(LOOP + "{{ m.content.strip('\\n') }}{% endfor %}")
    chats = [(f"chat {n}", Conversation.coerce(CHAT)) for n in range(4)]
    report = compare(template, Fake(source=no_arguments), cases(chats, [{}]))
    (finding,) = report.findings
    assert len(finding.cases) == report.disagreed == 8


def test_what_only_jinja2_refuses_is_named_with_its_place() -> None:
    report = told(LOOP + "{{ 'a' + messages }}{% endfor %}", Fake(source=lambda s: s.replace("+ messages", "")))
    assert constructs(report) == [("adds-no-string", "{{ 'a' + messages }}", True)]


def test_the_tag_that_an_engine_fails_in_is_found_without_a_line() -> None:
    source = LOOP + "{{ m.role }}{% if m.role == 'assistant' %}{{ m.content | upper }}{% endif %}{% endfor %}"
    engine = Fake(source=lambda s: s.replace("m.content | upper", "raise_exception('boom')"))
    context = {"messages": CHAT}
    with pytest.raises(RenderError, match="boom") as caught:
        engine.render(source, context)
    piece = reached(engine, Code(source), context, caught.value.complaint)
    assert piece is not None
    assert source[piece.start : piece.end] == "{{ m.content | upper }}"


def test_declared_bugs_are_no_findings() -> None:
    engine = Fake(text=lambda text: text.replace("1.0", "1"))
    report = compare(Template.load("qwen3"), engine, cases(engine_probes(), [{}]))
    assert report.findings == []
    assert any("1.0 is printed as 1" in bug.what for bug in report.declared)


def test_a_template_that_runs_away_is_not_compared() -> None:
    source = "{% for a in range(99999) %}{% for b in range(99999) %}{{ b }}{% endfor %}{% endfor %}"
    report = told(source, Fake())
    assert report.overrun is not None
    assert report.skipped == 0
    assert report.agreed == 0


# -- text-generation-inference
def test_tgi_keeps_the_white_space_around_tags() -> None:
    assert Tgi().render("a\n  {% if true %}\nb\n  {# c #}\n{% endif %}\n", {}) == "a\n  \nb\n  \n"


def test_the_tag_whose_white_space_stays_is_found() -> None:
    source = LOOP + "\n{{- m.content }}\n  {%- if m.role %}\nx\n  {%- endif %}\n{% endfor %}"
    ((code, construct, confirmed), *more) = constructs(told(source, Tgi()))
    assert (code, confirmed, more) == ("trim-blocks", True, [])
    assert construct.startswith("{%")


def test_a_template_with_signs_is_the_same_for_tgi() -> None:
    assert told("{%- for m in messages -%}\n  {{- m.content -}}\n{%- endfor -%}\n", Tgi()).disagreed == 0


def test_constructs_that_are_no_template_when_all_are_rewritten_are_rewritten_alone() -> None:
    # A raw tag with a sign is none for Jinja.
    source = (
        "{%- if messages %}\n    {{- 'Tools' }}\n    {%- for m in messages %}\n    {{- m | tojson }}\n"
        "    {%- endfor %}\n"
        "{% raw %}\n</tools>\n{% endraw %}\n{%- endif %}\n{% for m in messages %}{{ m.role }}\n{% endfor %}"
    )
    report = told(source, Tgi())
    assert report.disagreed
    assert {code for code, *_ in constructs(report)} == {"trim-blocks"}


def test_tgi_takes_only_plain_generation_tags_out() -> None:
    assert told(LOOP + "{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}", Tgi()).disagreed == 0
    report = told(LOOP + "{%- generation %}{{ m.content }}{% endgeneration %}{% endfor %}", Tgi())
    assert [code for code, _, _ in constructs(report)] == ["generation-tag"]


# -- the command
def test_a_missing_engine_is_never_said_to_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_minijinja(monkeypatch)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    done = run(tmp_path, "{%- for m in messages -%}{{ m.content }}{%- endfor -%}")
    assert done.code == 0
    assert "minijinja          not compared: the engine minijinja is not installed; pip install" in done.out
    assert "huggingface-jinja  not compared: the engine huggingface-jinja runs on node" in done.out
    assert done.out.count("agrees in all") == 1


def test_a_missing_engine_that_was_asked_for_ends_with_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_minijinja(monkeypatch)
    done = run(tmp_path, "x", "--engine", "minijinja")
    assert done.code == 2
    assert "pip install" in done.err


def test_a_misspelt_engine_gets_a_suggestion(tmp_path: Path) -> None:
    done = run(tmp_path, "x", "--engine", "minijnija")
    assert done.code == 2
    assert "did you mean 'minijinja'?" in done.err


def test_a_missing_npm_package_is_named_with_the_ways_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(NODE_FOLDER, raising=False)
    monkeypatch.chdir(tmp_path)
    (missing,) = [item for item in all_engines() if getattr(item, "name", "") == HUGGINGFACE]
    assert isinstance(missing, Missing)
    assert missing.hint.startswith("npm install --prefix")
    assert NODE_FOLDER in missing.hint


def test_the_npm_package_is_not_taken_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "node_modules" / "@huggingface" / "jinja"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"name": "@huggingface/jinja", "version": "0.5.11", "main": "index.js"}')
    (package / "index.js").write_text('require("fs").writeFileSync("RAN", ""); exports.Template = class {};')
    (tmp_path / "a").mkdir()
    monkeypatch.delenv(NODE_FOLDER, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for folder in (tmp_path, tmp_path / "a"):
        monkeypatch.chdir(folder)
        assert node_folder() == tmp_path / "cache" / "chattmpl" / "node"
        run(folder, "{{ messages }}", "--engine", "huggingface-jinja")
    assert not list(tmp_path.rglob("RAN"))
    monkeypatch.setenv(NODE_FOLDER, str(tmp_path / "other"))
    assert node_folder() == tmp_path / "other"


def test_the_text_for_people_is_as_it_was(tmp_path: Path) -> None:
    source = (
        LOOP + "\n{{- '<|' ~ m.role ~ '|>' }}\n  {%- generation %}\n{{ m.content }}\n{% endgeneration %}\n{% endfor %}"
    )
    done = run(tmp_path, source, "--engine", "tgi")
    assert done.code == 1
    matches_snapshot("engines_text.txt", done.out)


def test_json_has_the_construct_and_both_texts(tmp_path: Path) -> None:
    done = run(tmp_path, LOOP + "\n{{ m.content }}{% endfor %}", "--engine", "tgi", "--format", "json")
    found = json.loads(done.out)
    (engine,) = found["engines"]
    assert (engine["engine"], engine["compared"], engine["emulated"]) == ("tgi", True, True)
    (finding,) = engine["findings"]
    assert (finding["line"], finding["column"], finding["construct"]) == (1, 1, LOOP)
    assert finding["expected"] != finding["got"]
    assert found["renders"] == engine["agreed"] + engine["disagreed"]


def test_a_family_is_served_as_its_inference_export_and_a_file_as_it_is(tmp_path: Path) -> None:
    assert served(Template.load("qwen3")).text == Template.load("qwen3").export("inference")
    file = tmp_path / "t.jinja"
    file.write_bytes(b"{% if true %}\r\n{% generation %}x{% endgeneration %}{% endif %}")
    assert served(Template.load(file)).text == file.read_bytes().decode()
    assert "{% generation %}" not in served(Template.load(file), "inference").text


def test_facts_have_names_of_their_own() -> None:
    names = [fact.code for fact in ENGINE_DIFFERENCES]
    assert len(names) == len(set(names))


# -- the engines themselves
KNOWN = [
    ("minijinja", "{{ 'x' if tools is iterable else 'y' }}", "none-is-iterable", "tools is iterable"),
    ("minijinja", "{{ 'x' if 'a' is sequence else 'y' }}", "string-is-sequence", "'a' is sequence"),
    ("minijinja", "{% generation %}x{% endgeneration %}", "generation-tag", "{% generation %}"),
    ("minijinja", "a\r\nb{{ tools }}", "carriage-returns", "\r"),
    ("huggingface_jinja", LOOP + "{{ m.content.lstrip('\\n') }}{% endfor %}", "strip-characters", "lstrip('\\n')"),
    ("huggingface_jinja", LOOP + "{{ m | string }}{% endfor %}", "filter-of-other-type", "string"),
    ("huggingface_jinja", LOOP + "{{ true }}{% endfor %}", "printed-value", "true"),
    ("huggingface_jinja", "{% with %}a{% endwith %}", "unknown-tag", "{% with %}"),
    ("huggingface_jinja", "{%+ if true %}a{% endif %}", "plus-sign", "{%+ if true %}"),
    ("huggingface_jinja", LOOP + "{{ 'a{}'.format(m.role) }}{% endfor %}", "method", "format(m.role)"),
    ("huggingface_jinja", "{{ {1: 2}[1] }}", "number-as-key", "1"),
]


@pytest.mark.upstream
@pytest.mark.parametrize(
    ("name", "source", "code", "construct"),
    [pytest.param(*known, marks=[pytest.mark.node] if known[0] != "minijinja" else []) for known in KNOWN],
    ids=[f"{known[0]}-{known[2]}" for known in KNOWN],
)
def test_a_known_difference_of_a_real_engine_is_named(name: str, source: str, code: str, construct: str) -> None:
    engine: Engine = getattr(real, name)()
    report = told(source, engine)
    engine.close()
    assert (code, construct) in [(found, text) for found, text, _ in constructs(report)]


@pytest.mark.upstream
@pytest.mark.node
def test_no_family_disagrees_in_a_way_that_it_does_not_declare() -> None:
    for family in ("qwen3", "gemma3", "chatml"):
        for engine in (real.minijinja(), real.huggingface_jinja(), Tgi()):
            report = compare(Template.load(family), engine, cases(named_conversations(), [{}]))
            engine.close()
            assert [(f.cause.code, str(f.cause.place)) for f in report.findings] == [], (family, engine.name)
