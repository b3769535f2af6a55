"""Templates whose treatment of earlier reasoning is changed, and a file with one."""

from __future__ import annotations

from pathlib import Path

import pytest

LAST = """{%- for m in messages -%}
{{- '<|im_start|>' + m.role + '\\n' -}}
{%- if m.reasoning_content and loop.last -%}
{{- '<think>\\n' + m.reasoning_content + '\\n</think>\\n\\n' -}}
{%- endif -%}
{{- m.content + '<|im_end|>\\n' -}}
{%- endfor -%}
"""
ALL = LAST.replace(" and loop.last", "")
WITHOUT = "{%- for m in messages -%}{{- m.role + m.content + '<|im_end|>' -}}{%- endfor -%}"
ALWAYS_PRINTED = WITHOUT.replace("{{- m.role", "{{- (m.reasoning_content or '') + m.role")


def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with `LAST` in a folder, which becomes the working directory."""
    monkeypatch.chdir(folder)
    path = Path("upstream.jinja")
    path.write_text(LAST, encoding="utf-8")
    return path
