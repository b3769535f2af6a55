"""What is told of templates that do things in other ways than most do."""

from __future__ import annotations

from pathlib import Path

from chattmpl.capabilities import inspect_template
from chattmpl.lint.runner import lint
from chattmpl.template.resolver import TemplateSource, find_templates

_TOOLS_WITH_SYSTEM = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}"
    "{% if m.role == 'system' and tools %}{{ tools | tojson }}{% endif %}{{ '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
_NO_TOOLS = _TOOLS_WITH_SYSTEM.replace("{{ tools | tojson }}", "")
_CLOSING = (
    "{% for m in messages %}{{ '<|user|>' + m.content + '<|/user|>' if m.role == 'user'"
    " else '<|assistant|>' + m.content + '<|/assistant|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def _found(folder: Path, source: str) -> TemplateSource:
    path = folder / "styles.jinja"
    path.write_text(source, encoding="utf-8")
    (found,) = find_templates([str(path)])
    return found


def test_tools_that_are_rendered_beside_a_system_message_only_are_no_lost_tools(tmp_path: Path) -> None:
    answer = inspect_template(_found(tmp_path, _TOOLS_WITH_SYSTEM)).answer("tools")
    assert (answer.state, answer.note) == ("partly", "only with a system message")
    assert answer.facts["form"] == "JSON"
    assert inspect_template(_found(tmp_path, _NO_TOOLS)).answer("tools").state == "no"


def test_lint_tells_where_tools_are_dropped(tmp_path: Path) -> None:
    def messages(source: str) -> list[str]:
        return [one.message for one in lint(_found(tmp_path, source)) if one.code == "CT302"]

    assert messages(_TOOLS_WITH_SYSTEM) == ["tools are silently dropped if there is no system message"]
    assert messages(_NO_TOOLS) == ["tools are silently dropped"]


def test_a_closing_token_is_no_misspelling_of_the_opening_one(tmp_path: Path) -> None:
    assert not [one for one in lint(_found(tmp_path, _CLOSING)) if one.code == "CT706"]
    misspelt = _CLOSING.replace("'<|user|>' + m.content", "'<|user|>' + m.content + '<|users|>'")
    assert [one.message for one in lint(_found(tmp_path, misspelt)) if one.code == "CT706"] == [
        "<|users|> resembles <|user|>, which the template writes elsewhere"
    ]
