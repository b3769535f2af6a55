"""The view of a model that ``chattmpl inspect --server`` prints: what a serving engine needs, and what does not fit.

Findings about template and tokenizer are those of lint rules; what the parsers of an engine need is checked here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from chattmpl.diagnostic import Severity
from chattmpl.lint.rule import rules
from chattmpl.lint.runner import examine
from chattmpl.parse.formats import SERVERS, Format
from chattmpl.parse.server_flags import FLAGS, ServerParsers, server_parsers
from chattmpl.probing.facts import TemplateFacts
from chattmpl.template.resolver import TemplateSource

Server = Literal["vllm", "sglang", "llama.cpp"]

_BY_RULES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("template", "it compiles and writes a generation prompt on request", ("CT001", "CT201", "CT202")),
    ("stop token", "generation ends at the token that ends an answer", ("CT114", "CT605", "CT606")),
    ("control tokens", "each one is a single special token", ("CT601", "CT607")),
    ("BOS token", "it is written once, by the template or by the tokenizer", ("CT603", "CT604")),
    ("tool calls", "calls of earlier turns are rendered as they were sampled", ("CT311", "CT313", "CT317")),
)
_ENGINE = ("engine", "llama.cpp's engine renders the same text as transformers", ("CT4",))
_NEED_TOKENIZER = frozenset({"stop token", "control tokens", "BOS token"})


@dataclass(frozen=True)
class ServingCheck:
    """The result of one check.

    Attributes:
        name: what was checked.
        severity: that of the finding; None if there is nothing to fix.
        found, expected: what is there, and what should be.
        fix: what to do; empty if there is nothing to fix.
        code: the lint rule that found it; empty for checks of parsers.
    """

    name: str
    severity: Severity | None
    found: str
    expected: str
    fix: str = ""
    code: str = ""


def check_serving(
    found: TemplateSource,
    server: Server,
    tokenizer: Any = None,
    chosen: Mapping[str, str | None] | None = None,
) -> list[ServingCheck]:
    """Compare a model with the needs of an engine that serves it.

    Args:
        found: the template with the files next to it.
        server: the engine.
        tokenizer: a tokenizer from `chattmpl.encode.load_tokenizer`; without it, tokens are not checked.
        chosen: the parsers on the server's command line, by ``reasoning`` and ``tool-call``.
    """
    by_rules = [*_BY_RULES, *([_ENGINE] if server == "llama.cpp" else [])]
    wanted = tuple(code for _, _, codes in by_rules for code in codes)
    subject, findings = examine(found, [rule for rule in rules().values() if rule.code.startswith(wanted)], tokenizer)
    checks: list[ServingCheck] = []
    for name, expected, codes in by_rules:
        made = [
            ServingCheck(name, each.severity, each.message, expected, each.hint, each.code)
            for each in findings
            if each.code.startswith(codes)
        ]
        if not made and tokenizer is None and name in _NEED_TOKENIZER:
            fix = "pass a model directory with its tokenizer, or --tokenizer"
            made = [ServingCheck(name, "info", "not checked without a tokenizer", expected, fix)]
        checks += made or [ServingCheck(name, None, "as expected", expected)]
    if subject is not None and server != "llama.cpp":
        checks += _parsers(subject.facts, server, tokenizer, chosen or {})
    return checks


def _parsers(
    facts: TemplateFacts, server: str, tokenizer: Any, chosen: Mapping[str, str | None]
) -> Iterator[ServingCheck]:
    if facts.refusal is not None:
        problem = f"not checked: the template does not render a question: {facts.refusal.message}"
        yield ServingCheck(
            "parsers", "error", problem, "parsers that read what the model writes", "correct the template"
        )
        return
    for parsers in server_parsers(facts, server):
        given = chosen.get(parsers.kind)
        yield _parser(parsers, server, given)
        name = given or next(iter(parsers.names), None)
        if parsers.kind == "reasoning" and parsers.format is not None and name in parsers.names:
            if server == "vllm" and tokenizer is not None:
                yield from _marks(parsers.format, tokenizer)
            yield from _untraced_answers(parsers, name)


def _parser(parsers: ServerParsers, server: str, given: str | None) -> ServingCheck:
    """Return whether a parser reads what the template writes."""
    name, option = f"{parsers.kind} parser", f"--{parsers.kind}-parser"
    if not parsers.written:
        if given is None:
            return ServingCheck(name, None, "none chosen", "none: the template writes no " + parsers.what)
        problem = f"{given}, but the template writes no {parsers.what}"
        return ServingCheck(name, "warning", problem, "none", f"remove {option}")
    if not parsers.names:
        written = f" in the format {parsers.format.name!r}" if parsers.format else ""
        return ServingCheck(
            name,
            "warning",
            f"{given or 'none'}; the template writes {parsers.what}{written}",
            f"no parser of {SERVERS[server]} is known to read them",
            "read completions with Template.parse, or write a parser plugin",
        )
    expected, fix = " or ".join(parsers.names), FLAGS[server, parsers.kind].format(parsers.names[0])
    if given is None:
        return ServingCheck(name, "info", "none chosen", expected, fix)
    if given in parsers.names:
        return ServingCheck(name, None, given, expected)
    return ServingCheck(name, "error", given, expected, fix)


def _marks(format: Format, tokenizer: Any) -> Iterator[ServingCheck]:
    """Check that the marks of a trace are tokens, without which vLLM's reasoning parsers do not start."""
    opens, _, closes = format.outlines[0].partition("{reasoning}")
    for mark in (opens, closes):
        if mark.startswith("<") and mark.endswith(">") and mark.count("<") == 1 and not tokenizer.has_token(mark):
            problem = f"{mark} is split into {len(tokenizer.encode(mark))} tokens"
            fix = f"add {mark} to the tokenizer, or leave out --reasoning-parser"
            yield ServingCheck("reasoning tokens", "error", problem, "vLLM's parser finds the trace by its tokens", fix)


def _untraced_answers(parsers: ServerParsers, name: str) -> Iterator[ServingCheck]:
    """Check that each answer has the end of a trace, for parsers that take everything before it as reasoning."""
    if name not in parsers.misread:
        return
    fitting = next((other for other in parsers.names if other not in parsers.misread), None)
    yield ServingCheck(
        "reasoning parser",
        "warning",
        parsers.misread_answer(name),
        "each answer has the end of a trace, or another parser is chosen",
        f"--reasoning-parser {fitting}" if fitting else "send such requests to a server without --reasoning-parser",
    )


def worst(checks: Sequence[ServingCheck]) -> Severity | None:
    """Return the highest severity of checks; None if there is nothing to fix."""
    found = {check.severity for check in checks}
    return next((severity for severity in ("error", "warning", "info") if severity in found), None)
