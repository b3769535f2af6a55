"""The field report is what lint finds in trl's templates today, each finding confirmed by transformers."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest

from support import ROOT

PAGE = ROOT / "docs" / "evidence" / "field-report.md"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    pytest.importorskip("transformers")
    spec = importlib.util.spec_from_file_location("make_field_report", ROOT / "tools" / "make_field_report.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks for its module there.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.upstream
def test_the_field_report_is_up_to_date_and_every_error_is_confirmed(tool: ModuleType) -> None:
    assert PAGE.read_text(encoding="utf-8") == tool.page(), "python tools/make_field_report.py writes it anew"


@pytest.mark.upstream
def test_what_transformers_does_not_show_is_not_reported(tool: ModuleType) -> None:
    """A mask that begins where the prompt ends confirms nothing."""
    source = (
        "{% for m in messages %}{% if m.role == 'assistant' %}<|im_start|>{% generation %}{{ m.content }}<|im_end|>"
        "{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>"
        "{% endif %}"
    )
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]
    transformers = tool.Transformers()
    lawful = transformers.see(source, {"messages": messages})
    assert (lawful.prompt, lawful.trained) == ("Hi<|im_start|>", "Yes<|im_end|>")
    assert not tool.prompt_is_trained(lawful, None)
    assert not tool.prompt_is_no_prefix(lawful, None)
    planted = source.replace("<|im_start|>{% generation %}", "{% generation %}<|im_start|>")
    assert tool.prompt_is_trained(transformers.see(planted, {"messages": messages}), None)
    planted = source.replace("%}<|im_start|>{% endif", "%}<|im_start|>x{% endif")
    assert tool.prompt_is_no_prefix(transformers.see(planted, {"messages": messages}), None)
