"""What is rewritten so that tags can be placed: macros at their calls, collected texts, constants in variables."""

from __future__ import annotations

import pytest

from chattmpl import Template
from chattmpl.rewrite.annotate.refusal import CannotAnnotate

_TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}, {"role": "user", "content": "Bye"}]
_PROMPT = "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"

MACRO = (
    "{%- macro turn(message, end='<|end|>') -%}\n    {{- '<|' + message.role + '|>' + message.content + end -}}\n"
    "{%- endmacro -%}\n{%- for m in messages -%}{{- turn(m) -}}{%- endfor -%}" + _PROMPT
)
NESTED = (
    "{%- macro said(text) -%}{{- text + '<|end|>' -}}{%- endmacro -%}\n"
    "{%- macro turn(message) -%}{{- '<|' + message.role + '|>' -}}{{- said(message.content) -}}{%- endmacro -%}\n"
    "{%- for message in messages -%}{{- turn(message={'role': message.role, 'content': message.content}) -}}\n"
    "{%- endfor -%}" + _PROMPT
)
SHADOWED = (
    "{%- macro turn(m) -%}{{- '<|' + m.role + '|>' + m.text + end.mark -}}{%- endmacro -%}\n"
    "{%- set end = namespace(mark='<|end|>\\n') -%}\n"
    "{%- for m in messages -%}{{- turn({'role': m.role, 'text': m.content}) -}}{%- endfor -%}" + _PROMPT
)
COLLECTED = (
    "{%- set ns = namespace(out='') -%}\n{%- for m in messages -%}\n"
    "{%- set ns.out = ns.out ~ '<|' ~ m.role ~ '|>' -%}\n{%- set ns.out = ns.out + m.content + '<|end|>' -%}\n"
    "{%- endfor -%}\n{%- if add_generation_prompt -%}{%- set ns.out = ns.out ~ '<|assistant|>' -%}{%- endif -%}\n"
    "{{- ns.out -}}"
)
ASKED = COLLECTED.replace(
    "{%- set ns.out = ns.out ~ '<|' ~", "{%- if ns.out %}{{ '' }}{%- endif -%}{%- set ns.out = ns.out ~ '<|' ~"
)
REWRITTEN = {"macro": MACRO, "nested": NESTED, "shadowed": SHADOWED, "collected": COLLECTED, "asked": ASKED}


def _annotated(source: str) -> Template:
    return Template.from_source(source, name="small.jinja").annotate(examples=12)


@pytest.mark.parametrize("name", REWRITTEN)
def test_what_is_written_elsewhere_is_written_where_its_tags_can_stand(name: str) -> None:
    before, after = Template.from_source(REWRITTEN[name]), _annotated(REWRITTEN[name])
    rendering = after.render(_TURNS)
    assert rendering.text == before.render(_TURNS).text
    assert [rendering.text[start:end] for start, end in rendering.generated] == ["Yo<|end|>"]
    assert after.proof is not None
    assert not any("does not see" in note for note in after.proof.notes)


@pytest.mark.parametrize("name", REWRITTEN)
def test_no_tag_stands_in_a_macro(name: str) -> None:
    source = _annotated(REWRITTEN[name]).source
    for macro in source.split("{%- macro")[1:]:
        assert "generation %}" not in macro.partition("endmacro")[0]


def test_a_macro_that_calls_itself_is_left_as_it_is() -> None:
    source = MACRO.replace("message.content +", "(turn(message, end) if message.never else message.content) +")
    with pytest.raises(CannotAnnotate, match="the macro 'turn' writes what is generated and what is not"):
        _annotated(source)


def test_what_is_collected_and_then_changed_is_refused_by_name() -> None:
    source = COLLECTED.replace("{{- ns.out -}}", "{%- set ns.out = ns.out | trim -%}{{- ns.out -}}")
    with pytest.raises(CannotAnnotate, match=r"the whole text is collected in 'ns\.out' and written at once"):
        _annotated(source)


def test_a_variable_that_holds_several_texts_is_no_constant() -> None:
    source = SHADOWED.replace("{%- for m in", "{%- if short -%}{%- set end.mark = '<|e|>' -%}{%- endif -%}{%- for m in")
    assert "'<|end|>\\n' }}" not in source
    with pytest.raises(CannotAnnotate):
        _annotated(source)
