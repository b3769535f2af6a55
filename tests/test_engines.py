"""The drivers of the other engines, on templates of one line."""

from __future__ import annotations

import datetime as dt
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chattmpl.engines.drivers import Engine, huggingface_jinja_engine, minijinja_engine
from chattmpl.errors import RenderError, UsageError
from support import engines

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
def test_minijinja_takes_the_options_of_tojson_from_transformers() -> None:
    source = "{{ x | tojson(ensure_ascii=true, separators=(',', ':'), sort_keys=true) }}"
    assert engines.minijinja().render(source, {"x": {"b": "é", "a": 1}}) == '{"a":1,"b":"\\u00e9"}'


@pytest.mark.upstream
def test_a_clock_may_be_something_that_tells_the_time() -> None:
    days = iter([dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 2)])
    engine = minijinja_engine(clock=lambda: next(days))
    assert [engine.render("{{ strftime_now('%d') }}", {}) for _ in range(2)] == ["01", "02"]


@pytest.mark.node
def test_a_render_without_end_is_stopped_and_the_next_one_works() -> None:
    ready = engines.huggingface_jinja()
    ready.close()
    package = Path(ready._command[-1])  # type: ignore[attr-defined]
    engine = huggingface_jinja_engine(package.parents[2], timeout=1.0)
    loops = "{% for a in range(100000) %}" * 3 + "{% endfor %}" * 3
    with pytest.raises(RenderError, match="more than 1 seconds"):
        engine.render(loops, {})
    assert engine.render("fine", {}) == "fine"
    engine.close()


@pytest.mark.node
def test_a_context_that_is_not_json_is_named() -> None:
    with pytest.raises(RenderError, match="not JSON"):
        engines.huggingface_jinja().render("{{ a }}", {"a": object()})


def test_a_missing_minijinja_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minijinja", None)
    with pytest.raises(UsageError, match=r"pip install 'chattmpl\[engines\]'"):
        minijinja_engine()


def test_a_missing_node_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(UsageError, match="node, which is not on PATH"):
        huggingface_jinja_engine(tmp_path)


def test_a_missing_npm_package_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(UsageError, match="npm install --prefix"):
        huggingface_jinja_engine(tmp_path)
