"""Read back completions that templates render: how many come back as the message, are refused, or come back otherwise.

    python bench/parsing.py [--corpus hub trl] [--names TEXT…] [--exact] [--show] [--json FILE]

For each template, assistant messages are rendered after a question: answers, reasoning, calls with arguments of every
JSON type, markup and line breaks in them, parallel calls, text beside calls. The text after the prompt is parsed with
``completion=True``. A message whose content, trace or calls the template drops is left out. Where the template writes a
turn otherwise than its prompt begins it, the text from the first difference on is parsed, and counted apart.

Nothing of the parser is used to judge: the message that was rendered is compared with the one that was parsed. White
space at the ends of texts does not count, since many templates cut it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from chattmpl import Rendering, Template
from chattmpl.errors import ChatTmplError, NotRepresentable
from chattmpl.parse.formats import find_formats
from chattmpl.probing import TemplateFacts
from chattmpl.probing.corpus import ASK, CLOCK, Message, with_trace
from chattmpl.probing.prober import before_split_token, common_length
from support.fetched import hub_templates, trl_templates

CORPORA = {"hub": hub_templates, "trl": trl_templates}

_NAME = "find_walrus"
_TYPES = {
    "s": "string", "n": "integer", "x": "number", "f": "boolean", "z": "null", "l": "array", "o": "object",
}  # fmt: skip
_TOOL = {
    "type": "function",
    "function": {
        "name": _NAME,
        "description": "Finds a walrus.",
        "parameters": {"type": "object", "properties": {name: {"type": kind} for name, kind in _TYPES.items()}},
    },
}
_ARGUMENTS: tuple[dict[str, Any], ...] = (
    {},
    {"s": "plain"},
    {"s": "12"},
    {"s": "true"},
    {"s": "q\"uo'te\\ <b> é ü 日本 & \n two\n\nlines"},
    {"s": ""},
    {"s": "  spaced  "},
    {"s": "</tool_call>"},
    {"s": "line\n</parameter>\n"},
    {"n": 5},
    {"n": -7},
    {"x": 1.5},
    {"f": True},
    {"f": False},
    {"z": None},
    {"l": []},
    {"l": ["a", 1, None, True]},
    {"o": {}},
    {"o": {"k": {"d": ["e"]}}},
    {"s": "a", "n": 3, "f": True, "l": ["x"], "o": {"y": 1}},
)
_ANSWERS = ("Plain answer.", "Two\nlines\n\nand `code`", 'Ünïcödé 日本 \U0001f600 < & > {"a": 1}')
_TRACES = ("Some thought.", "Some thought.\n\nMore, with `code`.")
_IDS = ("walrusone", "walrustwo", "walrusthr")


@dataclass(frozen=True)
class Case:
    """A message, with its parts to look for in the rendering."""

    content: str
    trace: str | None
    calls: tuple[dict[str, Any], ...]


def cases() -> Iterator[Case]:
    """Yield the messages that are rendered."""
    for answer in _ANSWERS:
        yield Case(answer, None, ())
        for trace in _TRACES:
            yield Case(answer, trace, ())
    for given in _ARGUMENTS:
        yield Case("", None, (given,))
    for trace in (None, _TRACES[0]):
        for content in ("", "Let me look."):
            yield Case(content, trace, (_ARGUMENTS[-1],))
            yield Case(content, trace, (_ARGUMENTS[1], _ARGUMENTS[9]))
            yield Case(content, trace, (_ARGUMENTS[1], _ARGUMENTS[0], _ARGUMENTS[16]))


@dataclass
class Row:
    """The result for one template.

    Attributes:
        name: its file name.
        format: its formats of calls and reasoning, where known.
        outcomes: number of messages by outcome; those that the prompt contradicts end in ``, as history``.
        shown: the texts that did not come back, with the reason.
        seconds: processor time.
    """

    name: str
    format: str = ""
    outcomes: Counter[str] = field(default_factory=Counter)
    shown: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0


class _Bench:
    def __init__(self, name: str, source: str, exact: bool) -> None:
        self.facts = TemplateFacts(Template.from_source(source, name=name))
        self.template = Template.from_source(source, name=name, tokens=self.facts.template.tokens)
        self.exact = exact
        self.row = Row(name)

    def run(self) -> Row:
        started = time.process_time()
        formats = find_formats(self.facts)
        self.row.format = " + ".join(each.name for each in (formats.calls, formats.reasoning) if each) or "other"
        prompt = self._rendered([ASK], prompt=True)
        if prompt is None:
            self.row.outcomes["no prompt"] += 1
        else:
            for case in cases():
                outcome = self._outcome(case, prompt.text)
                if outcome is not None:
                    self.row.outcomes[outcome] += 1
        self.row.seconds = time.process_time() - started
        return self.row

    def _rendered(self, messages: list[Message], prompt: bool = False) -> Rendering | None:
        for tools in ([_TOOL], None):
            self.tools = {"tools": tools} if tools else {}
            try:
                return self.template.render(
                    {"messages": messages, **self.tools},
                    prompt,
                    clock=CLOCK,
                    **self.facts.traces.kwargs,
                )
            except ChatTmplError:
                continue
        return None

    def _message(self, case: Case) -> Message | None:
        form = self.facts.prober.call_form[0]
        message: Message = {"role": "assistant", "content": case.content}
        if case.calls:
            if form is None:
                return None
            message["content"] = case.content or form["content"]
            message["tool_calls"] = [
                {
                    "id": name,
                    "type": "function",
                    "function": {"name": _NAME, "arguments": json.dumps(given) if form["text"] else given},
                }
                for name, given in zip(_IDS, case.calls, strict=False)
            ]
        carrier = self.facts.traces.carrier
        if case.trace is not None:
            return with_trace(message, case.trace, carrier) if carrier in ("field", "part") else None
        return message

    def _outcome(self, case: Case, prompt: str) -> str | None:
        message = self._message(case)
        made = None if message is None else self._rendered([ASK, message])
        if made is None:
            return None
        common = common_length(made.text, prompt)
        parts = [case.trace or "", case.content, *([_NAME] * len(case.calls))]
        rest = made.text[max(0, common - len("".join(parts))) :]
        keys = [key for given in case.calls for key in given]
        if (
            any(part not in made.text for part in parts)
            or any(key not in rest for key in keys)
            or rest.count(_NAME) < len(case.calls)
        ):
            return None  # The template drops a part of it.
        contradicted = not made.text.startswith(prompt)
        start = before_split_token(made.text, common) if contradicted else len(prompt)
        suffix = ", as history" if contradicted else ""
        text = made.text[start:]
        try:
            parsed = self.template.parse(
                text, completion=True, exact=self.exact, clock=CLOCK, **self.tools, **self.facts.traces.kwargs
            ).messages[0]
        except NotRepresentable as error:
            self.row.shown.append((text, error.message))
            return f"refused{suffix}"
        except ChatTmplError as error:
            self.row.shown.append((text, error.message))
            return "no grammar"
        calls = [(call.function.name, _value(call.function.arguments)) for call in parsed.tool_calls or []]
        found = (str(parsed.content or "").strip(), (parsed.reasoning_content or "").strip(), repr(calls))
        given = (case.content.strip(), (case.trace or "").strip(), repr([(_NAME, each) for each in case.calls]))
        if found == given or (found[:2] == given[:2] and calls == [(_NAME, each) for each in case.calls]):
            return f"read{suffix}"
        again = self._rendered([ASK, parsed.dump()])
        if again is not None and again.text == made.text:
            return f"another message of the same text{suffix}"
        self.row.shown.append((text, f"read as {found}"))
        return f"wrong{suffix}"


def _value(arguments: Any) -> Any:
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def main() -> None:
    """Parse the arguments, run, and print a table by format."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", nargs="+", choices=CORPORA, default=["hub"])
    parser.add_argument("--names", nargs="+", default=[], help="only templates whose name contains one of these texts")
    parser.add_argument("--exact", action="store_true", help="parse exactly, not as servers do")
    parser.add_argument("--show", action="store_true", help="print each text that does not come back")
    parser.add_argument("--json", type=Path, help="write the result of each template to a file")
    options = parser.parse_args()
    rows: list[Row] = []
    for corpus in options.corpus:
        for name, source in sorted(CORPORA[corpus]().items()):
            if options.names and not any(text in name for text in options.names):
                continue
            try:
                bench = _Bench(name, source, options.exact)
            except ChatTmplError:
                continue
            rows.append(bench.run())
            if sys.stderr.isatty():
                print(f"\r{len(rows)} templates", end="", file=sys.stderr)
    total: Counter[str] = Counter()
    formats: dict[str, Counter[str]] = {}
    for row in rows:
        total += row.outcomes
        formats.setdefault(row.format, Counter({"templates": 0})).update({"templates": 1, **row.outcomes})
        for text, why in row.shown if options.show else ():
            print(f"{row.name}: {why}\n    {text[:300]!r}")
    for name, counts in sorted(formats.items(), key=lambda item: -item[1]["templates"]):
        print(f"{counts.pop('templates'):4} {name}: {_counts(counts)}")
    print(f"{len(rows):4} templates: {_counts(total)}; {sum(row.seconds for row in rows):.0f} s of processor time")
    if options.json:
        data = [{"name": row.name, "format": row.format, "outcomes": row.outcomes, "shown": row.shown} for row in rows]
        options.json.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _counts(counts: Counter[str]) -> str:
    return ", ".join(
        f"{number} {name}" for name, number in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


if __name__ == "__main__":
    main()
