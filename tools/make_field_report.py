"""Write docs/evidence/field-report.md: the errors that lint finds in the templates of trl, confirmed with transformers.

``python tools/make_field_report.py`` writes the page; ``--check`` checks that it is up to date. Needs transformers,
and pip to download trl's wheel. A finding that transformers does not confirm is an error of chattmpl and stops the run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from chattmpl.diagnostic import TemplateDiagnostic  # noqa: E402
from chattmpl.lint.rule import rules  # noqa: E402
from chattmpl.lint.runner import lint  # noqa: E402
from chattmpl.source import Source  # noqa: E402
from chattmpl.template.resolver import TemplateSource  # noqa: E402
from support.fetched import TRL, trl_templates  # noqa: E402

PAGE = ROOT / "docs" / "evidence" / "field-report.md"
DEMO = ROOT / "chattmpl" / "encode" / "demo_tokenizer.json"
WIDTH = 44
SPECIAL = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}


@dataclass(frozen=True)
class Seen:
    """The renderings of transformers for the conversation of a finding.

    Attributes:
        prompt: the messages before the answer, with the generation prompt; empty if no answer is concerned.
        text: the whole text.
        trained: the trained part of the last turn, by the mask.
        before: the text before it.
    """

    prompt: str
    text: str
    trained: str
    before: str


class Transformers:
    """`apply_chat_template` of transformers, with the small tokenizer that ships with chattmpl."""

    def __init__(self) -> None:
        import transformers

        self.version = ".".join(transformers.__version__.split(".")[:2])
        self._tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(DEMO), **SPECIAL)

    def see(self, template: str, conversation: dict[str, Any], kwargs: dict[str, Any] | None = None) -> Seen:
        """Render a conversation whose last message is the answer in question."""
        messages, tools = conversation["messages"], conversation.get("tools") or None
        settings: dict[str, Any] = {"chat_template": template, "tools": tools, **(kwargs or {})}
        text = self._tokenizer.apply_chat_template(messages, tokenize=False, **settings)
        if messages[-1]["role"] != "assistant":
            return Seen("", text, "", "")
        prompt = self._tokenizer.apply_chat_template(
            messages[:-1], tokenize=False, add_generation_prompt=True, **settings
        )
        if "generation %}" not in template and "generation -%}" not in template:
            return Seen(prompt, text, "", text)
        made = self._tokenizer.apply_chat_template(
            messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True, **settings
        )
        mask = made["assistant_masks"]
        end = len(mask) - mask[::-1].index(1) if 1 in mask else 0
        start = next((index + 1 for index in range(end - 1, -1, -1) if not mask[index]), 0)
        before, trained = (self._tokenizer.decode(made["input_ids"][a:b]) for a, b in ((0, start), (start, end)))
        return Seen(prompt, text, trained, before)


def prompt_is_trained(seen: Seen, finding: TemplateDiagnostic) -> bool:
    """Return whether the mask begins before the prompt ends, within the common beginning of prompt and text."""
    rest = seen.prompt[len(seen.before) :]
    return seen.prompt.startswith(seen.before) and bool(rest) and rest[:1] == seen.trained[:1]


def prompt_is_no_prefix(seen: Seen, finding: TemplateDiagnostic) -> bool:
    """Return whether the text does not begin with the prompt."""
    return not seen.text.startswith(seen.prompt)


def calls_are_missing(seen: Seen, finding: TemplateDiagnostic) -> bool:
    """Return whether no argument of a tool call is in the text."""
    messages = (finding.counterexample or {})["conversation"]["messages"]
    calls = [call["function"] for message in messages for call in message.get("tool_calls") or []]
    values = [str(value) for call in calls for value in dict(call["arguments"]).values()]
    return bool(values) and not any(value in seen.text for value in values)


def second_call_is_missing(seen: Seen, finding: TemplateDiagnostic) -> bool:
    """Return whether the text has the argument of the first of two calls in a message, but not that of the second."""
    messages = (finding.counterexample or {})["conversation"]["messages"]
    calls = next(message["tool_calls"] for message in messages if len(message.get("tool_calls") or []) > 1)
    first, second = (next(iter(call["function"]["arguments"].values())) for call in calls[:2])
    return first in seen.text and second not in seen.text


def header_is_left_out(seen: Seen, finding: TemplateDiagnostic) -> bool:
    """Return whether there is more than white space between the prompt and the answer."""
    messages = (finding.counterexample or {})["conversation"]["messages"]
    answer = messages[-1]["content"]
    header, found, _ = seen.text[len(seen.prompt) :].partition(answer)
    return seen.text.startswith(seen.prompt) and bool(found) and bool(header.strip())


Check = Callable[[Seen, TemplateDiagnostic], bool]
CAUSES: dict[str, tuple[str, str, Check]] = {
    "CT109": (
        "Text of the prompt is trained",
        "The loss covers text that the generation prompt supplies, so the model is trained to write what it is never "
        "asked to write. If the prompt opens a think block and the trained text opens it again, a model that has "
        "learnt this opens it twice.",
        prompt_is_trained,
    ),
    "CT202": (
        "The generation prompt is empty after a tool result",
        "After the result of a tool, `add_generation_prompt` adds nothing, but in training the answer that follows has "
        "a header. At inference the model has to write the header itself.",
        header_is_left_out,
    ),
    "CT203": (
        "The prompt is not a prefix of the training text",
        "The model is trained to answer after a different text than the one that it is asked to continue. An answer "
        "after the real prompt was never seen in training.",
        prompt_is_no_prefix,
    ),
    "CT303": (
        "Tool calls are dropped",
        "A message with `tool_calls`, the format of every dataset and API, becomes an empty turn: the model is trained "
        "to give an empty answer to a question that needs a tool.",
        calls_are_missing,
    ),
    "CT307": (
        "The second of two parallel tool calls is dropped",
        "Only the first call of a message is rendered, but both results are. The model sees the result of a call that "
        "was never made.",
        second_call_is_missing,
    ),
}
"""For each rule with error-level findings: a heading, the consequence, and the check without chattmpl."""

_OF_TEXT = ("CT303", "CT307")
"""Rules about the text after the question, not about the end of the prompt."""


def _kwargs(finding: TemplateDiagnostic) -> dict[str, Any]:
    """Return the kwargs with which a finding was made."""
    return dict(finding.mode)


@dataclass(frozen=True)
class Entry:
    """A confirmed finding."""

    name: str
    finding: TemplateDiagnostic
    seen: Seen


def entries(transformers: Transformers, templates: dict[str, str]) -> Iterator[Entry]:
    """Yield the error-level findings, each confirmed.

    Raises:
        SystemExit: for a finding that is not confirmed, or whose rule has no check.
    """
    for name, source in templates.items():
        for finding in lint(TemplateSource(Source(source, name))):
            if finding.severity != "error":
                continue
            if finding.code not in CAUSES:
                raise SystemExit(f"{finding.place}: {finding.code} has no check in CAUSES: write one")
            if finding.counterexample is None:
                raise SystemExit(f"{finding.place}: {finding.code} has no counterexample to check")
            seen = transformers.see(source, finding.counterexample["conversation"], _kwargs(finding))
            if not CAUSES[finding.code][2](seen, finding):
                raise SystemExit(f"{finding.place}: transformers does not confirm {finding.code} {finding.message}")
            yield Entry(name, finding, seen)


def page() -> str:
    """Return the text of the report."""
    transformers, templates = Transformers(), trl_templates()
    found = sorted(entries(transformers, templates), key=lambda entry: entry.finding.code)
    concerned = {entry.name for entry in found}
    training = {name for name in templates if name.endswith("_training")}
    parts = [
        "# Field report: the templates that trl ships",
        f"Every error that `chattmpl lint` finds in the {len(templates)} templates of trl {TRL}: {len(found)} findings "
        f"in {len(concerned)} templates, {len(concerned & training)} of which are among the {len(training)} training "
        f"templates. Each was confirmed with `apply_chat_template` of transformers {transformers.version}: by the mask "
        "that it returns, or by the text that it renders with and without the generation prompt. Warnings and notes "
        "are left out.",
        "This page is generated by `python tools/make_field_report.py`, which stops at a finding that transformers "
        "does not confirm; a test fails if the page is out of date.",
        _summary(found),
        _HOW,
    ]
    for code, group in groupby(found, key=lambda entry: entry.finding.code):
        parts += _section(code, list(group))
    return "\n\n".join(parts) + "\n"


_HOW = """## How to reproduce a finding

`chattmpl lint` shows a finding in a template of the installed trl, with the line:

```sh
chattmpl lint "$(python -c 'import trl, pathlib; print(pathlib.Path(trl.__file__).parent)')/chat_templates/NAME.jinja"
```

Without chattmpl, pass the `messages` of a conversation below to any tokenizer, with the template as `chat_template`.

```python
prompt = tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
row = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
trained = [token for token, mask in zip(row["input_ids"], row["assistant_masks"]) if mask]
print(prompt)
print(tokenizer.decode(trained))
```

The trained text must begin where the prompt ends. In the tables below, ⟦…⟧ marks the text that the mask covers."""


def _summary(found: list[Entry]) -> str:
    rows = ["| problem | rule | findings | templates |", "| --- | --- | --- | --- |"]
    for code, group in groupby(found, key=lambda entry: entry.finding.code):
        listed = list(group)
        names = len({entry.name for entry in listed})
        link = f"[{code}](../reference/rules/{code[:3].lower()}.md#{code.lower()}-{rules()[code].name})"
        rows.append(f"| {CAUSES[code][0]} | {link} | {len(listed)} | {names} |")
    return "\n".join(rows)


def _section(code: str, listed: list[Entry]) -> Iterator[str]:
    title, why, _ = CAUSES[code]
    yield f"## {title}"
    yield f"{code} `{rules()[code].name}`. {why}"
    key = _conversation
    for conversation, group in groupby(sorted(listed, key=lambda entry: (key(entry), _place(entry))), key=key):
        yield f"With this conversation:\n\n```json\n{conversation}\n```"
        rows = ["| file and line | problem | end of the prompt | text |", "| --- | --- | --- | --- |"]
        rows += [_row(entry) for entry in group]
        yield "\n".join(rows)


def _place(entry: Entry) -> tuple[str, int]:
    return entry.name, entry.finding.place.line


def _conversation(entry: Entry) -> str:
    """Return the messages, one per line, with the names of the tools."""
    given = (entry.finding.counterexample or {})["conversation"]
    lines = [json.dumps(message, ensure_ascii=False) for message in given["messages"]]
    shown = ["[", *(f"  {line}{',' if at + 1 < len(lines) else ''}" for at, line in enumerate(lines)), "]"]
    shown += [f"// with {name}={json.dumps(value)}" for name, value in _kwargs(entry.finding).items()]
    if given.get("tools"):
        shown.append(f"// tools: {', '.join(tool['function']['name'] for tool in given['tools'])}")
    return "\n".join(shown)


def _row(entry: Entry) -> str:
    seen, place = entry.seen, entry.finding.place
    what = entry.finding.message.replace("|", "\\|").replace("<", "\\<")
    if entry.finding.code in _OF_TEXT:
        asked = (entry.finding.counterexample or {})["conversation"]["messages"][0]["content"]
        start = seen.text.index(asked) + len(asked)
        return f"| `{entry.name}.jinja:{place.line}` | {what} | – | …{_code(seen.text[start : start + 4 * WIDTH])}… |"
    if seen.trained:
        shown = f"…{_code(seen.before[-WIDTH // 2 :])} ⟦{_code(seen.trained[:WIDTH])}…⟧"
    else:
        shown = f"…{_code(seen.text[-WIDTH * 2 :])}"
    prompt = f"…{_code(seen.prompt[-WIDTH:])}" if seen.prompt else "–"
    return f"| `{entry.name}.jinja:{place.line}` | {what} | {prompt} | {shown} |"


def _code(text: str) -> str:
    """Return text as code in a table, with newlines as ⏎."""
    shown = text.replace("\n", "⏎").replace("`", "ˋ")
    # In a table a vertical bar ends the cell, even in code; its character reference does not.
    escaped = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("|", "&#124;")
    return f"<code>{escaped}</code>"


def main() -> int:
    """Write the page, or check with --check whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if the page is out of date")
    arguments = parser.parse_args()
    made = page()
    if not arguments.check:
        PAGE.write_text(made, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == made:
        return 0
    print(f"{PAGE.relative_to(ROOT)} is out of date: python tools/make_field_report.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
