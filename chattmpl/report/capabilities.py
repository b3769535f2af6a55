"""Reports of `chattmpl inspect`: tables for a terminal, text, Markdown and JSON.

A few templates are shown side by side with details; many templates have one row each.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chattmpl.capabilities.answers import Answer, Capabilities, State
from chattmpl.compiler.policies import POLICIES
from chattmpl.parse.formats import SERVERS
from chattmpl.printable import dumps, names, one_line, shortened, visible
from chattmpl.report.lines import escaped, markdown_table, printed

SIGNS: dict[State, str] = {"yes": "✓", "partly": "~", "no": "✗", "unknown": "?"}
LEGEND = "✓ yes   ~ partly   ✗ no   ? not evaluated   – nothing"

_STYLES: dict[State, str] = {"yes": "green", "partly": "yellow", "no": "dim", "unknown": "magenta"}


class _Row(NamedTuple):
    """A row of the table: its label, the answer that it shows, and the headings of its column in narrow tables."""

    label: str
    name: str
    heading: str = ""
    narrow: str = ""


_ROWS = (
    _Row("system message", "system", "sys", "sy"),
    _Row("  in the middle", "late_system"),
    _Row("developer message", "developer", "dev", "de"),
    _Row("must alternate", "alternation"),
    _Row("tools", "tools", "tools", "to"),
    _Row("tool calls", "tool_calls", "calls", "ca"),
    _Row("  parallel calls", "parallel_tool_calls", "many", "2c"),
    _Row("tool results", "tool_results", "res", "re"),
    _Row("reasoning", "reasoning", "reas", "th"),
    _Row("documents", "documents", "docs", "do"),
    _Row("media", "multimodal", "media", "me"),
    _Row("prefix-preserving", "prefix_preserving", "pre", "pf"),
    _Row("mask", "mask", "mask", "ma"),
)

_SHORT = {
    **{policy.name: policy.short or policy.name for policy in POLICIES.values()},
    "no reasoning": "–",
    "drops reasoning": "drops",
}
_LABEL, _NARROWEST, _LONGEST = 21, 26, 72
_WIDTH = 100
"""Width of text that is not written to a terminal."""


def write(form: str, found: Sequence[Capabilities], width: int | None = None) -> str:
    """Return the report as ``rich``, ``text``, ``markdown`` or ``json``, in a width that is by default the terminal's,
    or 100.
    """
    if form == "json":
        return dumps([item.to_dict() for item in found], indent=2) + "\n"
    if form == "markdown":
        return markdown(found)
    return printed(lambda to: print_report(to, found), form, width, _WIDTH)


def print_report(to: Console, found: Sequence[Capabilities]) -> None:
    """Print the tables, the questions that could not be evaluated, and a legend."""
    room = max((to.width - _LABEL) // _NARROWEST, 1)
    if len(found) > 2 * room:
        _print_rows(to, found)
    else:
        for start in range(0, len(found), room):
            _print_columns(to, found[start : start + room])
    _print_unknown(to, found)
    to.print(Text(LEGEND, "dim"))


# -- side by side


def _print_columns(to: Console, found: Sequence[Capabilities]) -> None:
    table = Table(box=SIMPLE_HEAD, header_style="bold", padding=(0, 1), pad_edge=False)
    table.add_column("", no_wrap=True, min_width=_LABEL - 2)
    for item in found:
        table.add_column(visible(item.name), ratio=1, overflow="fold")
    for label, cells in _cells(found):
        table.add_row(Text(label, "bold" if not label.startswith(" ") else ""), *cells)
    to.print(table)


def _cells(found: Sequence[Capabilities]) -> Iterator[tuple[str, list[Text]]]:
    """Yield the rows of the table: a label, and a cell for each template."""
    if any(item.needs for item in found):
        yield "needs", [Text(" ".join(item.needs) or "–") for item in found]
    for label, name, *_ in _ROWS:
        yield label, [_answer(item.answer(name)) for item in found]
        if name == "reasoning":
            yield "  retention", [Text(_policy(item)) for item in found]
    yield "mask covers", [Text(_covered(item)) for item in found]
    yield "modes", [Text(_modes(item)) for item in found]
    yield "other kwargs", [Text(_kwargs(item)) for item in found]
    yield "generation prompt", [Text(_prompts(item)) for item in found]
    yield "stop tokens", [Text(_listed(item.stop_tokens)) for item in found]
    yield "BOS written", [Text(visible(item.bos or "–")) for item in found]
    for engine, title in SERVERS.items():
        for kind in ("reasoning", "tool"):
            yield f"{title} {kind}", [Text(_parser(item, engine, kind)) for item in found]


def _answer(answer: Answer) -> Text:
    # The reasons why answers were not evaluated are below the table.
    note = "not evaluated" if answer.state == "unknown" else shortened(visible(answer.note), _LONGEST)
    return Text.assemble((SIGNS[answer.state], _STYLES[answer.state]), " ", note or answer.state)


def _policy(item: Capabilities) -> str:
    answer = item.answer("retention")
    policy = item.retention or "? not evaluated"
    note = answer.note if answer.note != policy else ""
    return f"{policy}: {note}" if note and item.retention else policy


def _covered(item: Capabilities) -> str:
    facts = item.answer("mask").facts
    words = {"content": "answer", "reasoning": "reasoning", "tool_calls": "calls", "stop_token": "stop token"}
    extra = {"header": "the header", "after_stop": "text after the stop token", "input": "the question"}
    covered = [word for name, word in words.items() if facts.get(name)]
    wrong = [word for name, word in extra.items() if facts.get(name)]
    return ", ".join(covered) + (f"; wrongly {', '.join(wrong)}" if wrong else "") or "–"


def _modes(item: Capabilities) -> str:
    lines = []
    for name, mode in item.modes.items():
        if mode["kind"] in ("switch", "choice"):
            values = " | ".join(dumps(value) for value in mode["values"])
            default = "" if mode["default"] is None else f" ({dumps(mode['default'])})"
            changed = dict.fromkeys(part for parts in mode["changes"].values() for part in parts)
            lines.append(f"{name}: {values}{default} → {', '.join(changed) or 'the end'}")
    return visible("\n".join(lines)) or "–"


def _kwargs(item: Capabilities) -> str:
    others = [
        f"{name} ({mode['kind']})" for name, mode in item.modes.items() if mode["kind"] not in ("switch", "choice")
    ]
    return visible(", ".join(others)) or "–"


def _prompts(item: Capabilities) -> str:
    if item.generation_prompt is None:
        return "? not evaluated"
    lines = [_quoted(item.generation_prompt)]
    lines += [f"{setting}: {_quoted(prompt)}" for setting, prompt in item.generation_prompts.items()]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return one_line(text) or "–"


def _listed(tokens: Sequence[str] | None) -> str:
    if tokens is None:
        return "? not evaluated"
    return visible(" ".join(tokens)) or "–"


def _parser(item: Capabilities, engine: str, kind: str) -> str:
    if any(unknown["what"] == "parsers" for unknown in item.not_evaluated):
        return "?"
    return str(item.parsers[engine][kind] or "–")


# -- one row each


def _print_rows(to: Console, found: Sequence[Capabilities]) -> None:
    rows = [row for row in _ROWS if row.heading]
    headings = [row.heading if to.width >= 110 else row.narrow for row in rows]
    table = Table(box=SIMPLE_HEAD, header_style="bold", padding=(0, 0), pad_edge=False, collapse_padding=True)
    table.add_column("template", overflow="fold", min_width=14)
    for heading in headings:
        table.add_column(heading, justify="center", no_wrap=True, min_width=len(heading))
    table.add_column(" retention", no_wrap=True, min_width=11)
    table.add_column(" tool parser", overflow="fold", min_width=12)
    for item in found:
        states = [item.answer(row.name).state for row in rows]
        flags = [Text(SIGNS[state], _STYLES[state]) for state in states]
        policy = _SHORT.get(item.retention or "?", item.retention or "?")
        table.add_row(
            Text(visible(item.name)), *flags, Text(f" {policy}"), Text(f" {_parser(item, next(iter(SERVERS)), 'tool')}")
        )
    to.print(table)
    labels = [row.label.strip() for row in rows]
    meanings = [f"{heading}: {label}" for heading, label in zip(headings, labels, strict=True) if heading != label]
    to.print(Text("   ".join(meanings), "dim"))


def _print_unknown(to: Console, found: Sequence[Capabilities]) -> None:
    """Print the questions that could not be evaluated, one line for each reason."""
    for item in found:
        reasons: dict[str, list[str]] = {}
        for unknown in item.not_evaluated:
            reasons.setdefault(unknown["why"], []).append(unknown["what"].replace("_", " "))
        for why, questions in reasons.items():
            to.print(Text(visible(f"? {item.name}: {names(questions)}: {why}"), "magenta"))


# -- Markdown


def markdown(found: Sequence[Capabilities]) -> str:
    """Return a table with a column for each template, and the questions that could not be evaluated."""
    heads = ["", *(visible(item.name) for item in found)]
    rows = ([label.strip(), *(cell.plain for cell in cells)] for label, cells in _cells(found))
    unknown = [
        f"- {visible(item.name)}: {line['what']}: {escaped(visible(line['why']))}"
        for item in found
        for line in item.not_evaluated
    ]
    rest = ["", "Not evaluated:", "", *unknown] if unknown else []
    return "\n".join([markdown_table(heads, rows), LEGEND, *rest]) + "\n"
