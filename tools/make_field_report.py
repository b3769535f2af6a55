"""Write the field reports: the errors that lint finds in published templates, confirmed with transformers.

``python tools/make_field_report.py`` writes docs/evidence/field-report.md, about the templates of trl, and
docs/evidence/hub-findings.md, about those of the models that are downloaded most; a test checks that they are up to
date. Needs transformers, and pip to download the wheels that hold the templates. A finding that transformers does
not confirm is an error of chattmpl and stops the run.
"""

from __future__ import annotations

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
from support.fetched import TRL, hub_templates, trl_templates  # noqa: E402

PAGES = ROOT / "docs" / "evidence"
HUB = 100
"""Number of templates of the hub, the most downloaded first."""

DEMO = ROOT / "chattmpl" / "encode" / "demo_tokenizer.json"
WIDTH = 44
SPECIAL = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}


@dataclass(frozen=True)
class Seen:
    """The renderings of transformers for the conversation of a finding.

    Attributes:
        prompt: the messages before the answer, with the generation prompt; empty if no answer is concerned.
        unprompted: the same without the generation prompt.
        text: the whole text.
        trained: the trained part of the last turn, by the mask.
        before: the text before it.
    """

    prompt: str
    unprompted: str
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
            return Seen("", "", text, "", "")
        prompt, unprompted = (
            self._tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=asked, **settings)
            for asked in (True, False)
        )
        if "generation %}" not in template and "generation -%}" not in template:
            return Seen(prompt, unprompted, text, "", text)
        made = self._tokenizer.apply_chat_template(
            messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True, **settings
        )
        mask = made["assistant_masks"]
        end = len(mask) - mask[::-1].index(1) if 1 in mask else 0
        start = next((index + 1 for index in range(end - 1, -1, -1) if not mask[index]), 0)
        before, trained = (self._tokenizer.decode(made["input_ids"][a:b]) for a, b in ((0, start), (start, end)))
        return Seen(prompt, unprompted, text, trained, before)


def prompt_is_trained(seen: Seen, finding: TemplateDiagnostic) -> bool:
    """Return whether the mask begins before the prompt ends, within the common beginning of prompt and text."""
    rest = seen.prompt[len(seen.before) :]
    return seen.prompt.startswith(seen.before) and bool(rest) and rest[:1] == seen.trained[:1]


def prompt_is_no_prefix(seen: Seen, finding: TemplateDiagnostic) -> bool:
    """Return whether the text does not begin with the prompt."""
    return not seen.text.startswith(seen.prompt)


def calls_are_missing(seen: Seen, finding: TemplateDiagnostic) -> bool:
    """Return whether no argument of a tool call is in the text, or no name before it, as the finding says."""
    messages = _messages(finding)
    calls = [call["function"] for message in messages for call in message.get("tool_calls") or []]
    values = [str(value) for call in calls for value in dict(call["arguments"]).values()]
    if finding.kind == "nameless":
        asked = next(_text(message) for message in messages if message["role"] == "user")
        turn, found, _ = seen.text.partition(asked)[2].partition(values[0])
        return bool(found) and not any(call["name"] in turn for call in calls)
    return bool(values) and not any(value in seen.text for value in values)


def second_call_is_missing(seen: Seen, finding: TemplateDiagnostic) -> bool:
    """Return whether the text has the argument of the first of two calls in a message, but not that of the second."""
    messages = _messages(finding)
    calls = next(message["tool_calls"] for message in messages if len(message.get("tool_calls") or []) > 1)
    first, second = (next(iter(call["function"]["arguments"].values())) for call in calls[:2])
    return first in seen.text and second not in seen.text


def header_is_left_out(seen: Seen, finding: TemplateDiagnostic) -> bool:
    """Return whether there is more than white space between the prompt and the answer."""
    header, found, _ = seen.text[len(seen.prompt) :].partition(_text(_messages(finding)[-1]))
    return seen.text.startswith(seen.prompt) and bool(found) and bool(header.strip())


def prompt_is_never_written(seen: Seen, finding: TemplateDiagnostic) -> bool:
    """Return whether the prompt is the same without being requested, and an answer has a header."""
    question, answer = (_text(message) for message in _messages(finding)[-2:])
    header = seen.text.partition(question)[2].partition(answer)[0]
    return seen.prompt == seen.unprompted and "assistant" in header and not seen.prompt.endswith(header)


def prompt_is_written_unasked(seen: Seen, finding: TemplateDiagnostic) -> bool:
    """Return whether the text that was rendered without generation prompt ends as the prompt does."""
    question, answer = (_text(message) for message in _messages(finding)[-2:])
    end = seen.text.partition(answer)[2]
    return bool(end.strip()) and end == seen.prompt.partition(question)[2]


def bos_is_repeated(seen: Seen, finding: TemplateDiagnostic) -> bool:
    """Return whether the BOS token is in the text more than once."""
    return seen.text.count(SPECIAL["bos_token"]) > 1


def frames_are_equal(seen: Seen, finding: TemplateDiagnostic) -> bool:
    """Return whether the text from a question to its answer is that from the answer to the next question."""
    question, answer, other = (_text(message) for message in _messages(finding)[:3])
    before, _, rest = seen.text.partition(question)[2].partition(answer)
    return bool(rest) and before == rest.partition(other)[0]


def system_is_missing(seen: Seen, finding: TemplateDiagnostic) -> bool:
    """Return whether the system message is not in the text."""
    systems = [_text(message) for message in _messages(finding) if message["role"] == "system"]
    return bool(systems) and not any(text in seen.text for text in systems)


def text_is_missing(seen: Seen, finding: TemplateDiagnostic) -> bool:
    """Return whether a question or an answer is not in the text."""
    return any(_text(message) not in seen.text for message in _messages(finding))


def _messages(finding: TemplateDiagnostic) -> list[dict[str, Any]]:
    return list((finding.counterexample or {})["conversation"]["messages"])


def _text(message: dict[str, Any]) -> str:
    """Return the text of a message, which may be a list of parts."""
    content = message["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


Check = Callable[[Seen, TemplateDiagnostic], bool]
CAUSES: dict[str, tuple[str, str, Check]] = {
    "CT109": (
        "Text of the prompt is trained",
        "The loss covers text that the generation prompt supplies, so the model is trained to write what it is never "
        "asked to write. If the prompt opens a think block and the trained text opens it again, a model that has "
        "learnt this opens it twice.",
        prompt_is_trained,
    ),
    "CT201": (
        "There is no generation prompt",
        "`add_generation_prompt` adds nothing, although answers have a header. At inference the model has to write the "
        "header itself, and may continue as the user instead.",
        prompt_is_never_written,
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
    "CT206": (
        "The BOS token is repeated",
        "The token that says that a text begins is written in the middle of a conversation.",
        bos_is_repeated,
    ),
    "CT207": (
        "The generation prompt is written unasked",
        "The text of a conversation ends with the header of another answer, so a training row ends with an empty turn.",
        prompt_is_written_unasked,
    ),
    "CT209": (
        "Questions and answers look alike",
        "The same text separates a question from its answer and an answer from the next question.",
        frames_are_equal,
    ),
    "CT301": (
        "The system message is dropped",
        "Instructions are lost in training and in serving, and nothing reports it.",
        system_is_missing,
    ),
    "CT303": (
        "Tool calls are dropped",
        "A message with `tool_calls`, the format of every dataset and API, becomes an empty turn, or loses the name of "
        "the tool: the model is trained to call nothing.",
        calls_are_missing,
    ),
    "CT307": (
        "The second of two parallel tool calls is dropped",
        "Only the first call of a message is rendered, but both results are. The model sees the result of a call that "
        "was never made.",
        second_call_is_missing,
    ),
    "CT314": (
        "A question or an answer is dropped",
        "Text that is not rendered is neither read nor trained.",
        text_is_missing,
    ),
}
"""For each rule with error-level findings: a heading, the consequence, and the check without chattmpl."""

_OF_TEXT = ("CT206", "CT207", "CT209", "CT301", "CT303", "CT307", "CT314")
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


@dataclass(frozen=True)
class Report:
    """A page of confirmed findings.

    Attributes:
        file: name of the page.
        title: its heading.
        templates: the sources by name.
        about: the opening, with fields for numbers of findings and of templates.
        command: a command that shows a finding, or nothing.
    """

    file: str
    title: str
    templates: dict[str, str]
    about: str
    command: str = ""

    def page(self, transformers: Transformers) -> str:
        """Return the text of the page."""
        found = sorted(entries(transformers, self.templates), key=lambda entry: entry.finding.code)
        concerned = {entry.name for entry in found}
        training = {name for name in self.templates if name.endswith("_training")}
        about = self.about.format(
            all=len(self.templates),
            findings=len(found),
            concerned=len(concerned),
            training=len(training),
            trained=len(concerned & training),
        )
        parts = [
            f"# {self.title}",
            f"{about} Each was confirmed with `apply_chat_template` of transformers {transformers.version}: by the "
            "mask that it returns, or by the text that it renders with and without the generation prompt. Warnings "
            "and notes are left out.",
            "This page is generated by `python tools/make_field_report.py`, which stops at a finding that transformers "
            "does not confirm; a test fails if the page is out of date.",
            _summary(found),
            f"## How to reproduce a finding\n\n{self.command}{_HOW}",
        ]
        for code, group in groupby(found, key=lambda entry: entry.finding.code):
            parts += _section(code, list(group))
        return "\n\n".join(parts) + "\n"


def reports() -> list[Report]:
    """Return the pages."""
    hub = list(hub_templates().items())[:HUB]
    return [
        Report(
            "field-report.md",
            "Field report: the templates that trl ships",
            trl_templates(),
            f"Every error that `chattmpl lint` finds in the {{all}} templates of trl {TRL}: {{findings}} findings in "
            "{concerned} templates, {trained} of which are among the {training} training templates.",
            _COMMAND,
        ),
        Report(
            "hub-findings.md",
            f"Field report: the {HUB} most downloaded templates",
            dict(hub),
            "Every error that `chattmpl lint` finds in the templates of the {all} most downloaded models: {findings} "
            "findings in {concerned} templates.",
        ),
    ]


_COMMAND = """`chattmpl lint` shows a finding in a template of the installed trl, with the line:

```sh
chattmpl lint "$(python -c 'import trl, pathlib; print(pathlib.Path(trl.__file__).parent)')/chat_templates/NAME.jinja"
```

"""

_HOW = """Without chattmpl, pass the `messages` of a conversation below to any tokenizer, with the template as
`chat_template`.

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
        asked = next(_text(message) for message in _messages(entry.finding) if message["role"] == "user")
        shown = seen.text.partition(asked)[2] or seen.text[-4 * WIDTH :]
        return f"| `{entry.name}.jinja:{place.line}` | {what} | – | …{_code(shown[: 4 * WIDTH])}… |"
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


def main() -> None:
    """Write the pages."""
    transformers = Transformers()
    for report in reports():
        (PAGES / report.file).write_text(report.page(transformers), encoding="utf-8")


if __name__ == "__main__":
    main()
