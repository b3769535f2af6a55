"""Text marked as safe HTML: it escapes what is added to it, as in Jinja, and every character keeps its origin."""

from __future__ import annotations

import pytest

from chattmpl import Rendering, Template
from support.reference import transformers_render

MESSAGES = [{"role": "user", "content": "<a>&日"}]
EXPRESSIONS = (
    "m.content + ('<' | safe)",
    "('<' | safe) + m.content",
    "('<' | safe) ~ m.content",
    "m.content ~ ('<' | safe)",
    "(m.content | e) + '<'",
    "'<' + (m.content | escape)",
    "(m.content | e) + (m.content | safe)",
    "(m.content | e) | e",
    "(m.content | e) | forceescape",
    "'%s' % (m.content | e)",
    "('%s<' | safe) % m.content",
    "('%s%s' | safe) % (m.content, 1)",
    "('%s' | safe) % m.content + '<'",
    "(m.content | e) | trim",
    "(m.content | e) | replace('a', '<')",
    "(m.content | e) | tojson",
    "[m.content | e, '<'] | join",
    "('<' | e).join([m.content, m.content])",
    "(m.content | e).upper()",
    "(m.content | safe)[1:]",
    "(m.content | safe) * 2",
    "m | string | e",
)


def render(expression: str) -> Rendering:
    return Template.from_source(f"{{% for m in messages %}}{{{{ {expression} }}}}{{% endfor %}}").render(MESSAGES)


@pytest.mark.upstream
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_markup_is_what_it_is_in_transformers(expression: str) -> None:
    rendering = render(expression)
    assert rendering.text == transformers_render(rendering.template.source, MESSAGES)[0]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_no_character_of_a_field_passes_for_the_templates_own_text(expression: str) -> None:
    rendering = render(expression)
    for span in rendering.spans:
        assert "日" not in rendering.text[span.start : span.end] or not span.literal


@pytest.mark.parametrize("expression", EXPRESSIONS[:9])
def test_what_is_added_to_markup_keeps_its_origin(expression: str) -> None:
    rendering = render(expression)
    of_content = "".join(rendering.text[s.start : s.end] for s in rendering.spans if s.field == "content")
    template_text = "".join(rendering.text[s.start : s.end] for s in rendering.spans if s.literal)
    assert of_content.startswith(("<a>&日", "&lt;a&gt;&amp;日", "&amp;lt;"))
    assert template_text in ("", "<", "&lt;")
    assert len(of_content) + len(template_text) == len(rendering.text)
    assert rendering.lost == ()
