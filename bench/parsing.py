"""Read back completions that templates render: how many come back as the message, are refused, or come back otherwise.

    python bench/parsing.py [--corpus hub trl] [--names TEXT…] [--exact] [--show] [--json FILE] [--transformers]
                            [--llama-cpp DRIVER] [--conversations]

For each template, assistant messages are rendered after a question: answers, reasoning, calls with arguments of every
JSON type, markup and line breaks in them, parallel calls, text beside calls. The text after the prompt is parsed with
``completion=True``. A message whose content, trace or calls the template drops is left out. Where the template writes a
turn otherwise than its prompt begins it, the text from the first difference on is parsed, and counted apart.

Nothing of the parser is used to judge: the message that was rendered is compared with the one that was parsed. White
space at the ends of texts does not count, since many templates cut it.

``--conversations`` renders small conversations instead (turns, a system message, reasoning, tool loops, parallel calls,
documents) with and without generation prompt, and parses the whole texts.

``--llama-cpp`` and ``--transformers`` read the same completions with llama.cpp's derivation and with transformers'
``parse_response``, by the response template that trl ships for a template and by the one that chattmpl derives.
llama.cpp also checks the GBNF grammar of each template: it accepts the completions, and none whose last call is cut
off. ``bench/llama_cpp.sh`` builds the driver.
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

from parsing_conversations import outcomes
from parsing_others import (
    LlamaCpp,
    Reader,
    Reading,
    cut_off,
    derived_response_template,
    reading,
    shipped_response_template,
    transformers_reader,
)

from chattmpl import Rendering, Template
from chattmpl.errors import ChatTmplError, NotRepresentable
from chattmpl.parse.formats import find_formats
from chattmpl.parse.gbnf import gbnf
from chattmpl.parse.turn_grammar import turn_grammar
from chattmpl.probing import TemplateFacts
from chattmpl.probing.corpus import ASK, CLOCK, Message, with_trace
from chattmpl.probing.prober import before_split_token
from chattmpl.source import common_length
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
        others: the outcomes of other readers, by name.
        seconds: processor time.
    """

    name: str
    format: str = ""
    outcomes: Counter[str] = field(default_factory=Counter)
    shown: list[tuple[str, str]] = field(default_factory=list)
    others: dict[str, Counter[str]] = field(default_factory=dict)
    seconds: float = 0.0


class Bench:
    """The completions of one template, rendered and parsed."""

    def __init__(self, name: str, source: str, exact: bool) -> None:
        self.facts = TemplateFacts(Template.from_source(source, name=name))
        self.template = Template.from_source(source, name=name, tokens=self.facts.template.tokens)
        self.exact = exact
        self.row = Row(name)
        self.completions: dict[str, Reading] = {}

    def run(self) -> Row:
        """Parse the completions."""
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

    def run_conversations(self) -> Row:
        """Parse whole conversations."""
        started = time.process_time()
        formats = find_formats(self.facts)
        self.row.format = " + ".join(each.name for each in (formats.calls, formats.reasoning) if each) or "other"
        for name, outcome, text, why in outcomes(self.template, self.facts):
            self.row.outcomes[outcome] += 1
            if why:
                self.row.shown.append((text, f"{name}: {outcome}: {why}"))
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
        given = reading(case.content, case.trace, [(_NAME, each) for each in case.calls])
        if not contradicted:
            self.completions[text] = given
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
        calls = [(call.function.name, call.function.arguments) for call in parsed.tool_calls or []]
        found = reading(str(parsed.content or ""), parsed.reasoning_content, calls)
        if found == given:
            return f"read{suffix}"
        again = self._rendered([ASK, parsed.dump()])
        if again is not None and again.text == made.text:
            return f"another message of the same text{suffix}"
        self.row.shown.append((text, f"read as {found}"))
        return f"wrong{suffix}"

    def compare(self, transformers: bool, llama_cpp: LlamaCpp | None) -> None:
        """Read the completions with other readers, and check the grammar that chattmpl exports."""
        prompt = self._rendered([ASK], prompt=True)
        if prompt is None or not self.completions:
            return
        tools = self.tools.get("tools", [])
        readers: dict[str, Reader] = {}
        if transformers and not self.facts.traces.kwargs:  # A response template is that of the default mode.
            for name, response in (
                ("transformers, trl's response template", shipped_response_template(self.template.source)),
                ("transformers, chattmpl's response template", derived_response_template(self.template)),
            ):
                if response is not None:
                    readers[name] = transformers_reader(response, prompt.text, tools)
        if llama_cpp is not None:
            self._check_grammar(llama_cpp)
            read_by_it = llama_cpp.reader(self.template, ASK["content"], prompt.text, tools)
            if read_by_it is None:
                self.row.others["llama.cpp, in another mode"] = Counter({"not compared": len(self.completions)})
            else:
                readers["llama.cpp"] = read_by_it
        for name, read in readers.items():
            # llama.cpp never sees stop tokens.
            texts = [self._without_stop(text) if name == "llama.cpp" else text for text in self.completions]
            counts = self.row.others.setdefault(name, Counter())
            for text, given, found in zip(texts, self.completions.values(), read(texts), strict=True):
                left_out = found is not None and given.calls and not found.calls and "chattmpl" in name
                outcome = "read" if found == given else "calls left out" if left_out else "wrong"
                counts["refused" if found is None else outcome] += 1
                if found not in (given, None) and not left_out:
                    self.row.shown.append((text, f"{name} reads it as {found}"))

    def _check_grammar(self, llama_cpp: LlamaCpp) -> None:
        try:
            grammar = gbnf(self.template, **self.facts.traces.kwargs)
            openers = turn_grammar(self.template, self.facts.traces.kwargs).openers
        except ChatTmplError:
            return
        texts = {self._without_stop(text): bool(given.calls) for text, given in self.completions.items()}
        called = [text for text, calls in texts.items() if calls][:4]
        made = [cut for text in called for opener in openers[:1] for cut in cut_off(text, opener)]
        answer = llama_cpp.ask(grammar=grammar, texts=[*texts, *made]).get("accepts")
        counts = self.row.others.setdefault("GBNF in llama.cpp", Counter())
        if answer is None:
            counts["grammars not read"] += 1
            return
        expected = [True] * len(texts) + [False] * len(made)
        for text, accepted, wanted in zip([*texts, *made], answer, expected, strict=True):
            counts[f"{'' if wanted else 'mutants '}{'accepted' if accepted else 'rejected'}"] += 1
            if accepted is not wanted:
                self.row.shown.append((text, f"GBNF {'accepts' if accepted else 'rejects'} this"))

    def _without_stop(self, text: str) -> str:
        """Return a completion without the stop token at its end."""
        for stop in self.facts.stop_tokens or ():
            if text.rstrip().endswith(stop):
                return text.rstrip().removesuffix(stop)
        return text


def main() -> None:
    """Parse the arguments, run, and print a table by format."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", nargs="+", choices=CORPORA, default=["hub"])
    parser.add_argument("--names", nargs="+", default=[], help="only templates whose name contains one of these texts")
    parser.add_argument("--exact", action="store_true", help="parse exactly, not as servers do")
    parser.add_argument("--show", action="store_true", help="print each text that does not come back")
    parser.add_argument("--json", type=Path, help="write the result of each template to a file")
    parser.add_argument("--conversations", action="store_true", help="parse whole conversations, not completions")
    parser.add_argument("--transformers", action="store_true", help="read the same completions with parse_response")
    parser.add_argument("--llama-cpp", type=Path, metavar="DRIVER", help="read them with llama.cpp too")
    options = parser.parse_args()
    llama_cpp = LlamaCpp(options.llama_cpp) if options.llama_cpp else None
    rows: list[Row] = []
    for corpus in options.corpus:
        for name, source in sorted(CORPORA[corpus]().items()):
            if options.names and not any(text in name for text in options.names):
                continue
            try:
                bench = Bench(name, source, options.exact)
            except ChatTmplError:
                continue
            if options.conversations:
                rows.append(bench.run_conversations())
                continue
            rows.append(bench.run())
            bench.compare(options.transformers, llama_cpp)
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
    others: dict[str, Counter[str]] = {}
    for row in rows:
        for name, counts in row.others.items():
            others.setdefault(name, Counter({"templates": 0})).update({"templates": 1, **counts})
    for name, counts in others.items():
        print(f"{counts.pop('templates'):4} templates, {name}: {_counts(counts)}")
    print(f"{len(rows):4} templates: {_counts(total)}; {sum(row.seconds for row in rows):.0f} s of processor time")
    if options.json:
        data = [
            {"name": row.name, "format": row.format, "outcomes": row.outcomes, "others": row.others, "shown": row.shown}
            for row in rows
        ]
        options.json.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _counts(counts: Counter[str]) -> str:
    return ", ".join(
        f"{number} {name}" for name, number in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


if __name__ == "__main__":
    main()
