r"""GBNF grammars of assistant turns: the notation of llama.cpp, which xgrammar reads too.

A grammar accepts what the template renders after its generation prompt, with or without the stop token:

    root ::= text-0 "\n<tool_call>\n" json-call-1 "\n</tool_call>" ("<|im_end|>")?

GBNF has no negation, so text that must not contain markup is a finite automaton, one rule for each state.

Source of the format: ``grammars/README.md`` and ``src/llama-grammar.cpp`` of llama.cpp.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chattmpl.errors import UsageError
from chattmpl.parse.forms import OPTIONAL, Arguments, Calls, Form, JsonCall, Slot
from chattmpl.parse.turn_grammar import TurnGrammar, turn_grammar
from chattmpl.parse.values import KEY, TYPES, JsonType, Members, Notation, Written
from chattmpl.probing.facts import placeholders_in, with_placeholders
from chattmpl.template.special_tokens import CONTROL
from chattmpl.template.template import Template

FormParts = tuple[str | Slot | Calls, ...]

_LIBRARY = {
    "ws": r"[ \t\n\r]*",
    "json-value": 'json-object | json-array | json-string | json-number | "true" | "false" | "null"',
    "json-object": '"{" (ws json-pair (ws "," ws json-pair)*)? ws "}"',
    "json-pair": 'json-string ws ":" ws json-value',
    "json-array": '"[" (ws json-value (ws "," ws json-value)*)? ws "]"',
    "json-string": r'"\"" json-char* "\""',
    "json-char": r'[^"\\\x00-\x1f] | "\\" (["\\/bfnrt] | "u" hex hex hex hex)',
    "hex": "[0-9a-fA-F]",
    "json-number": '"-"? ("0" | [1-9] [0-9]*) ("." [0-9]+)? ([eE] [-+]? [0-9]+)?',
    "json-boolean": '"true" | "false"',
    "json-null": '"null"',
    "python-value": "python-object | python-array | python-string | json-number | python-boolean | python-null",
    "python-object": '"{" (ws python-pair (ws "," ws python-pair)*)? ws "}"',
    "python-pair": 'python-string ws ":" ws python-value',
    "python-array": '"[" (ws python-value (ws "," ws python-value)*)? ws "]"',
    "python-string": r'''"'" ([^'\\\n] | "\\" [^\n])* "'" | "\"" ([^"\\\n] | "\\" [^\n])* "\""''',
    "python-number": "json-number",
    "python-boolean": '"True" | "False"',
    "python-null": '"None"',
    "name": r"""[^ \t\n\r{}()\[\]<>"',|]+""",
}
"""Rules that do not depend on the template, and the rules that they use."""

SHORT = 2
"""Characters of a text, such as ``")``, that is too short to be kept out of text that it ends."""

_SPACE = " \t\n\r"
_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _.,:;/<>(){}|=+*'")


def gbnf(template: Template, **kwargs: Any) -> str:
    """Return the GBNF grammar of the turns that follow a generation prompt of the template.

    Args:
        template: the template.
        kwargs: template kwargs, such as ``enable_thinking``, which decide what the generation prompt supplies.

    Raises:
        UsageError: no grammar can be derived, or the template writes a kind of turn that GBNF cannot express.
    """
    grammars = completion_grammars(template, kwargs)
    rules = Rules()
    turns = [rules.turn(grammar, *variant) for grammar in grammars for variant in variants(grammar)]
    if not turns:
        raise UsageError(f"{template.name} has no GBNF grammar: none of its turns continues the generation prompt")
    return rules.text("|".join(f" {turn} " for turn in dict.fromkeys(turns)).strip())


def completion_grammars(template: Template, kwargs: Mapping[str, Any]) -> list[TurnGrammar]:
    """Return the grammars of the turns after a question and after a tool result.

    Raises:
        UsageError: a kind of turn is not described, or it contains a special token that is not known.
    """
    filled = with_placeholders(template)
    unknown = placeholders_in(filled)
    found = [turn_grammar(filled, kwargs)]
    with contextlib.suppress(UsageError):  # It renders no tool results.
        found.append(turn_grammar(filled, kwargs, after_result=True))
    if not any(form.fields for form in found[0].forms):
        raise UsageError(f"{template.name} has no grammar: it renders no part of an answer")
    for grammar in found:
        if grammar.underived:
            raise UsageError(
                f"{template.name} has no grammar of all its turns: {grammar.underived[0]}",
                hint="servers without a grammar can use the parsers that chattmpl inspect names",
            )
        for form in grammar.forms:
            token = next((token for token in unknown if any(token in text for text in form.texts)), None)
            if token is not None:
                raise UsageError(
                    f"{template.name} has no grammar: the text of {token.strip('<|>')!r} is unknown",
                    hint="load the template from its model directory, which holds its special tokens",
                )
    return [replace(grammar, forms=tuple(_without(form, unknown) for form in grammar.forms)) for grammar in found]


def _without(form: Form, unknown: Iterable[str]) -> Form:
    """Return a form without a stop token that is not known."""
    return replace(form, ending="", stop="") if form.stop in set(unknown) else form


def variants(grammar: TurnGrammar) -> Iterator[tuple[FormParts, str]]:
    """Yield the parts of each form after the generation prompt, and its stop token.

    Where the template begins its own turns otherwise, these are the forms that are composed of their parts.
    """
    for forms in (grammar.forms, grammar.composed):
        found = [(parts, form.stop) for form in forms for parts in _after(form.parts, grammar.supplied, grammar)]
        if found:
            yield from found
            return


def _after(parts: FormParts, head: str, grammar: TurnGrammar) -> Iterator[FormParts]:
    """Yield each remainder of the parts of a form after the text that the prompt supplies."""
    if not head:
        yield parts
        return
    if not parts:
        return
    part, rest = parts[0], parts[1:]
    if isinstance(part, str):
        if head.startswith(part):
            yield from _after(rest, head[len(part) :], grammar)
        elif part.startswith(head):
            yield (part[len(head) :], *rest)
    elif isinstance(part, Calls):
        if part.opens.startswith(head):
            yield (replace(part, opens=part.opens[len(head) :]), *rest)
        elif part.start.startswith(head):  # It supplies the first text of the first call too.
            shared = part.separator + str(part.call[0])
            yield (replace(part, opens=part.start[len(head) :], call=part.call[1:], separator=shared), *rest)
    else:
        yield from _after(rest, head, grammar)
        following = _start(rest)
        if following and (place := head.find(following)) > 0:
            yield from _after(rest, head[place:], grammar)
        elif not any(token in head for token in grammar.tokens):
            yield parts


def _start(parts: Sequence[str | Slot | Calls]) -> str:
    """Return the text with which parts begin; empty if it is not fixed."""
    first = parts[0] if parts else ""
    return first if isinstance(first, str) else first.start if isinstance(first, Calls) else ""


@dataclass
class Rules:
    """The rules of a grammar by name; equal rules are one."""

    bodies: dict[str, str] = field(default_factory=dict)
    names: dict[Any, str] = field(default_factory=dict)

    def text(self, root: str) -> str:
        """Return the grammar, with the general rules that it uses."""
        lines = [f"root ::= {root}", *(f"{name} ::= {body}" for name, body in self.bodies.items())]
        used: dict[str, str] = {}
        words = [word for line in lines for word in _words(line)]
        while words:
            word = words.pop()
            if word in _LIBRARY and word not in used:
                used[word] = _LIBRARY[word]
                words += _words(_LIBRARY[word])
        return "\n".join([*lines, *(f"{name} ::= {used[name]}" for name in _LIBRARY if name in used)]) + "\n"

    def _named(self, kind: str, key: Any, body: Callable[[str], str]) -> str:
        """Return the name of the rule with a key; its body is made from its name, since it may contain itself."""
        key = (kind, repr(key))
        if key not in self.names:
            name = self.names[key] = f"{kind}-{len(self.names)}"
            self.bodies[name] = ""
            self.bodies[name] = body(name)
        return self.names[key]

    # -- turns

    def turn(self, grammar: TurnGrammar, parts: FormParts, stop: str) -> str:
        """Return the alternative of a form."""
        made: list[str] = []
        for index, part in enumerate(parts):
            if isinstance(part, str):
                made += self._last_text(part) if index + 1 == len(parts) and not stop else [quoted(part)]
            elif isinstance(part, Calls):
                made.append(self._calls(part, optional_end=index + 1 == len(parts) and not stop))
            else:
                following = _start(parts[index + 1 :]).strip()
                marked = [opener for opener in grammar.openers if grammar.markup.search(opener)]
                starts = {*grammar.openers} - {*marked, following}
                own = () if grammar.markup.search(following) or len(following) <= SHORT else (following,)
                text = self.automaton({*grammar.tokens, *marked, *own}, starts, code=True, last=index + 1 == len(parts))
                # A call in JSON may begin as a document does.
                made.append(f"({text} | ws json-value ws)" if starts and not following else text)
        return _sequence(*made, f"({quoted(stop)})?" if stop else "")

    def _last_text(self, text: str) -> list[str]:
        """Return the last text of a turn; a control token at its end may be the stop token, which is not sampled."""
        last = next(reversed(list(CONTROL.finditer(text))), None)
        if last is None or text[last.end() :].strip():
            return [quoted(text)]
        return [quoted(text[: last.start()]), f"({_sequence(quoted(last[0]), quoted(text[last.end() :]))})?"]

    def _calls(self, calls: Calls, optional_end: bool) -> str:
        def body(_: str) -> str:
            parts, end = list(calls.call), calls.closes
            if optional_end and not end and not calls.many and isinstance(parts[-1], str):
                end = str(parts.pop())
            call = self._named("call", (parts, calls.closes), lambda _: self.call(parts, calls.closes))
            more = f"({_sequence(quoted(calls.separator), call)})*" if calls.many else ""
            closes = self._last_text(end) if optional_end else [quoted(end)]
            return _sequence(quoted(calls.opens), call, more, *closes)

        return self._named("calls", (calls, optional_end), body)

    def call(self, parts: Sequence[Any], closes: str) -> str:
        """Return the alternative of the parts of one call, before the text that closes all calls."""
        made: list[str] = []
        skip = False
        for index, part in enumerate(parts):
            following = parts[index + 1] if index + 1 < len(parts) else ""
            following = following if isinstance(following, str) else ""
            if skip:
                skip = False
            elif isinstance(part, str):
                made.append(quoted(part))
            elif isinstance(part, Slot):
                made.append(self._until(following, lines=False) if following else "name")
                skip = bool(following)
            elif isinstance(part, JsonCall):
                made.append(self._shape(part.shape))
            elif isinstance(part.notation, Members):
                made.append(self._members(part.notation, following + closes, ()))
            else:
                made.append(self._whole(part))
        return _sequence(*made)

    def _whole(self, part: Arguments) -> str:
        if part.notation == "json":
            return "(json-object | json-string)"
        return "json-string" if part.notation == "encoded" else "python-object"

    def _shape(self, shape: Any) -> str:
        """Return the rule of a JSON object with known keys, in their order; ids may be missing."""
        if isinstance(shape, Slot):
            kinds = {"arguments": "(json-object | json-string)", "name": "json-string", "type": "json-string"}
            return kinds.get(shape.field, "(json-string | json-number | json-null)")
        if not isinstance(shape, Mapping):
            return {True: '"true"', False: '"false"', None: '"null"'}.get(shape) or quoted(_json(shape))
        pairs: list[tuple[str, bool]] = []
        for key, inner in shape.items():
            named = "json-string" if isinstance(key, Slot) else quoted(_json(key))
            optional = isinstance(inner, Slot) and inner.field in OPTIONAL
            pairs.append((f'{named} ws ":" ws {self._shape(inner)}', optional))
        first = next((index for index, (_, optional) in enumerate(pairs) if not optional), 0)
        made = [f'({pair} ws "," ws)?' for pair, _ in pairs[:first]] + [pair for pair, _ in pairs[first : first + 1]]
        made += [f'(ws "," ws {pair}){"?" * optional}' for pair, optional in pairs[first + 1 :]]
        return " ".join(['"{" ws', *made, 'ws "}"'])

    # -- arguments that are written one by one

    def _members(self, members: Members, following: str, nested: tuple[Members, ...]) -> str:
        nested = members.nested or nested
        missing = [name for name in TYPES if name not in members.types and name != "null"]
        text = any(written.notation == "text" for written in members.types["string"])
        if missing and not text:
            raise UsageError(f"no grammar can be written: values of type {missing[0]!r} are in no known notation")

        def body(_: str) -> str:
            made = [self._member(members, before, following, nested) for before in members.befores]
            member = self._named("member", (members, following), lambda _: " | ".join(made))
            several = f"({member} ({_sequence(quoted(members.separator), member)})*)?"
            whole = _sequence(quoted(members.opens), several, quoted(members.closes))
            return whole if members.empty is None else f"{whole} | {quoted(members.empty)}"

        return self._named("members", (members, following), body)

    def _member(self, members: Members, before: str, following: str, nested: tuple[Members, ...]) -> str:
        if members.key_opens is None:
            key = quoted(before)
        else:
            key = _sequence(quoted(members.key_opens), self._until(before, lines=False) if before else "name")
        values = [
            self._value(members, name, written, following, nested)
            for name, each in members.types.items()
            for written in each
            if written.before == before
        ]
        return _sequence(key, f"({' | '.join(dict.fromkeys(values))})")

    def _value(
        self, members: Members, name: JsonType, written: Written, following: str, nested: tuple[Members, ...]
    ) -> str:
        after = self._after_value(written.after)
        if written.notation == "text":
            if len(written.after.strip()) > SHORT and KEY not in written.after:
                return self._until(written.after)
            stops = [written.after + members.separator + (members.key_opens or "")]
            stops.append(written.after + members.closes + following)
            banned = [stop for stop in stops if len(stop.strip()) > SHORT and KEY not in stop]
            return _sequence(self.automaton(banned), after)
        if written.notation == "members":
            inner = next((each for each in nested if (each.key_opens is None) == (name == "array")), None)
            if inner is None:
                raise UsageError(f"no grammar can be written: values of type {name!r} are in no known notation")
            return _sequence(self._members(inner, written.after, nested), after)
        return _sequence(_typed(name, written.notation), after)

    def _after_value(self, after: str) -> str:
        """Return the text after a value; the name in ``</city>`` may be any, since a grammar does not compare."""
        texts = after.split(KEY)
        named = [self._until(text, lines=False) if text else "name" for text in texts[1:]]
        return _sequence(quoted(texts[0]), *named)

    # -- text

    def _until(self, literal: str, lines: bool = True) -> str:
        """Return the rule of text up to the first place where a literal ends."""
        return self.automaton((), (), until=literal, lines=lines)

    def automaton(
        self,
        banned: Iterable[str],
        at_start: Iterable[str] = (),
        *,
        until: str | None = None,
        lines: bool = True,
        code: bool = False,
        last: bool = False,
    ) -> str:
        """Return the rule of text that contains no banned text, and begins with none of ``at_start``.

        Args:
            banned: texts that may not occur.
            at_start: texts that may not occur at the start, after white space.
            until: the text that ends it, which is part of it.
            lines: whether it may contain line breaks.
            code: whether Markdown code in it may contain anything.
            last: whether it ends the turn, where half a control token is one that was cut off.
        """
        texts = tuple(sorted(text for text in set(banned) if not any(b != text and b in text for b in banned)))
        starts = tuple(sorted(set(at_start)))
        key = (texts, starts, until, lines, code, last)
        return self._named("text", key, lambda name: self._states(name, *key))

    def _states(
        self,
        name: str,
        banned: tuple[str, ...],
        starts: tuple[str, ...],
        until: str | None,
        lines: bool,
        code: bool,
        last: bool,
    ) -> str:
        """Add the rules of an automaton; return the one of its first state.

        A state is the longest end of the text that begins a pattern, and the text since the start while that may begin
        one of ``starts``.
        """
        patterns = [*banned, *([until] if until else [])]
        prefixes = {text[:length] for text in patterns for length in range(len(text))}
        prefixes |= {""}
        alphabet = sorted({char for text in (*patterns, *starts) for char in text} | set("" if lines else "\n"))
        first: tuple[str, str | None] = ("", "" if starts else None)
        names = {first: name}

        def step(state: tuple[str, str | None], char: str | None) -> tuple[str, str | None] | str | None:
            """Return the next state, a name if the text ends there, or None where the text may not go on."""
            held, start = state
            if start is not None:
                start = start if char is not None and not start and char in _SPACE else f"{start}{char or KEY}"
                if start in starts:
                    return None
                start = start if any(text.startswith(start) for text in starts) else None
            if char is None:
                return "", start
            held += char
            if until and held.endswith(until):
                return ""
            if any(held.endswith(text) for text in banned):
                return None
            while held not in prefixes:
                held = held[1:]
            return None if char == "\n" and not lines and not held else (held, start)

        queue = [first]
        bodies: list[str] = []
        for state in queue:
            targets: dict[Any, list[str]] = {}
            other = step(state, None)
            apart = set(alphabet) | set(_SPACE if state[1] == "" else "")
            for char in sorted(apart):
                targets.setdefault(step(state, char), []).append(char)
            same = targets.pop(other, [])
            alternatives = [(f"[^{_class(sorted(apart - set(same)))}]" if apart - set(same) else "[^\\x00]", other)]
            alternatives += [(f"[{_class(chars)}]", target) for target, chars in targets.items() if target is not None]
            if code and (target := step(state, "`" if "`" in apart else None)) is not None:
                alternatives.append((self._code(), target))
            half = last and (len(state[0]) > 2 or state[0][1:2] in tuple("|｜/"))
            body = [] if until or half else ['""']
            for text, target in alternatives:
                if isinstance(target, tuple) and target not in names:
                    names[target] = f"{name}-{len(names)}"
                    queue.append(target)
                body.append(text if target == "" else f"{text} {names[target]}")  # type: ignore[index]
            bodies.append(" | ".join(body))
        self.bodies.update(zip(itertools.islice(names.values(), 1, None), bodies[1:], strict=True))
        return bodies[0]

    def _code(self) -> str:
        return self._named("code", (), lambda _: f'"```" {self._until("```")} | "`" [^`\\n]* "`"')


def _typed(name: JsonType, notation: Notation) -> str:
    if notation == "nothing":
        return '""'
    if notation == "encoded":
        return "json-string"
    return f"{notation}-{'number' if name == 'integer' else name}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _escaped(char: str) -> str:
    code = ord(char)
    escapes = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return escapes.get(char) or (
        f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    )


def quoted(text: str) -> str:
    """Return a text as a literal of GBNF."""
    escapes = {'"': '\\"', "\\": "\\\\"}
    return f'"{"".join(escapes.get(c) or (c if " " <= c <= "~" else _escaped(c)) for c in text)}"'


def _sequence(*items: str) -> str:
    """Return the notation of items in a sequence, without empty ones."""
    return " ".join(item for item in items if item not in ("", '""')) or '""'


def _class(chars: Iterable[str]) -> str:
    return "".join(char if char in _BARE else _escaped(char) for char in chars)


def _words(line: str) -> list[str]:
    """Return the names of rules in a line, and perhaps words of its literals."""
    return line.replace("(", " ").replace(")", " ").replace("*", " ").replace("?", " ").replace("+", " ").split()
