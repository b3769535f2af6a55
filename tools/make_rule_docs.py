"""Write the pages docs/reference/rules/*.md from the documentation of the rules. Run it after changing a rule."""

from __future__ import annotations

import re
from pathlib import Path

from chattmpl.lint.rule import GROUPS, Rule, rules

FOLDER = Path(__file__).parents[1] / "docs" / "reference" / "rules"
_INTRODUCTION = """# Rules

`chattmpl lint PATH…` checks templates against these rules. Errors break training or serving. Errors and warnings end
with exit code 1, notes (`info`) do not. `chattmpl rule CT109` prints the documentation of a rule.

A comment silences a finding on its line, or on the next line if it is alone on its line. A reason is required.
`ignore-file` applies to the whole template.

```jinja
{# chattmpl: ignore CT203 the prompt has a date, the training text does not #}
```

`--select` and `--ignore` take codes and prefixes of codes (`CT1` is a group). `--write-baseline` stores the current
findings; later runs report only new ones. Settings in `pyproject.toml`:

```toml
[tool.chattmpl.lint]
ignore = ["CT403", "CT312"]
baseline = ".chattmpl-baseline.json"
```

If the template raises an exception on a conversation that a rule renders, the rule is not evaluated with it, and CT004
reports this: a rule that was not evaluated may hide a defect.
"""


def pages() -> dict[str, str]:
    """Return the text of each page by file name."""
    made = {f"{group.lower()}.md": _page(group) for group in GROUPS}
    made["index.md"] = "\n".join([_INTRODUCTION, *(_table(group) for group in GROUPS)])
    return made


def _of(group: str) -> list[Rule]:
    return [rule for code, rule in rules().items() if code.startswith(group)]


def _table(group: str) -> str:
    rows = [
        f"| [{rule.code}]({group.lower()}.md#{_anchor(rule)}) | {rule.name} | {rule.severity} | {_summary(rule)} |"
        for rule in _of(group)
    ]
    head = ["| code | name | severity | what it finds |", "| --- | --- | --- | --- |"]
    return "\n".join([f"## {group}: {GROUPS[group].lower()}", "", *head, *rows, ""])


def _summary(rule: Rule) -> str:
    return rule.documentation().partition("\n")[0]


def _anchor(rule: Rule) -> str:
    return f"{rule.code.lower()}-{rule.name}"


def _page(group: str) -> str:
    parts = [f"# {group}: {GROUPS[group].lower()}\n"]
    for rule in _of(group):
        facts = f"*{rule.severity}*" + (f" · breaks the law `{rule.law}`" if rule.law else "")
        facts += " · needs a tokenizer" if rule.needs_tokenizer else ""
        facts += " · `--fix` can fix it" if rule.fixable() else ""
        documentation = re.sub(r"^## ", "### ", rule.documentation(), flags=re.MULTILINE)
        parts.append(f"## {rule.code} {rule.name}\n\n{facts}\n\n{documentation}\n")
    return "\n".join(parts)


def main() -> None:
    """Write all pages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
