"""Compilation of a source in the dialect to Python code."""

from collections import Counter
from typing import Any

from jinja2.exceptions import TemplateSyntaxError

from chattmpl.budget import METER, Budget, Meter
from chattmpl.compiler.codegen import add_hooks
from chattmpl.compiler.dialect import checked_tree, plain_source
from chattmpl.compiler.errors import python_error, syntax_error
from chattmpl.compiler.export import lower
from chattmpl.compiler.policies import Retention
from chattmpl.compiler.sandbox import TemplateEnvironment
from chattmpl.errors import Reason, TemplateError
from chattmpl.source import Place, Source
from chattmpl.syntax.lexer import Line, iter_tokens, tokens
from chattmpl.syntax.tree import Tree

_LONGEST = 500_000
"""Maximum length of a template in characters, ten times that of the longest template of a real model."""

_FOLDING = Budget(steps=100_000, characters=1 << 14)
"""The budget for computing constants while compiling."""

_STEPS_PER_TOKEN = 16
"""Steps of compiling one token, so that a step takes about as long as one of a render."""


def compile_source(
    given: Source, retention: Retention, environment: TemplateEnvironment, steps: int
) -> tuple[Any, ...]:
    """Compile a source to the values from which `chattmpl.compiler.program.compile_program` makes a program.

    They can be cached.

    Raises:
        TemplateError: with the place, for anything that is wrong with the source, and if compiling it takes more
            than the number of steps.
    """
    if len(given.text) > _LONGEST:
        message = f"the template has {len(given.text):,} characters; more than {_LONGEST:,} are not compiled"
        raise TemplateError(message, place=Place(given, 0, 1), hint="this is hardly a chat template")
    source = plain_source(given)
    account = _Account(source, steps)
    account.charge_tokens()
    parsed = checked_tree(source)
    lowered = lower(source, retention)
    # Constants are folded now, unless they are large: then each render computes them within its own budget.
    token = METER.set(Meter(_FOLDING))
    try:
        tree = add_hooks(environment.parse(lowered.text), account.charge)
        # The file name distinguishes the template's frames from all others in a traceback.
        code = environment.compile(tree, filename="<chat template>")
        _check_generation(source, parsed)
    except TemplateSyntaxError as error:
        if isinstance(error.lineno, Line):
            error.lineno = Line(int(error.lineno), lowered.source_offset(error.lineno.offset))
        raise syntax_error(error, source, environment, parsed.tags) from None
    except (RecursionError, MemoryError, SyntaxError) as error:
        raise python_error(error, source, parsed.tags) from None
    finally:
        METER.reset(token)
    offsets = [lowered.source_offset(statement.offset) for statement in environment.statements]
    statements = [
        (offset, source.position(offset)[0], statement.generated)
        for offset, statement in zip(offsets, environment.statements, strict=True)
    ]
    index = {id(statement): number for number, statement in enumerate(environment.statements)}
    # A constant computed while compiling may be a traced string, which cannot be cached.
    constants = [(str.__getitem__(text, slice(None)), index[id(at)]) for text, at in environment.constants]
    code_lines = [
        (code_line, lowered.source_offset(line.offset))
        for line, code_line in environment.code_lines
        if isinstance(line, Line)
    ]
    flags = (bool(parsed.blocks("reasoning")), bool(parsed.blocks("generation")))
    return source.text, *flags, code, code_lines, statements, constants


class _Account:
    """The steps that are left for compiling a source."""

    def __init__(self, source: Source, steps: int) -> None:
        self._source, self._steps, self._left = source, steps, steps
        self._read: list[tuple[int, str, str]] = []

    def charge(self, steps: int, excess: str) -> None:
        """Charge steps; ``excess`` says what the template has too much of if they exceed the budget."""
        self._left -= steps
        if self._left < 0:
            raise TemplateError(
                f"the template takes more than {self._steps:,} steps to compile: {excess}",
                place=self._longest(),
                hint="if you trust the template, load it with a larger budget=Budget(steps=…)",
                reason=Reason.STEPS,
            )

    def charge_tokens(self) -> None:
        """Charge for all tokens, for each of which most stages take time."""
        text, most = self._source.text, self._left // _STEPS_PER_TOKEN
        count = 0
        try:
            # A text with more characters may have too many tokens, and is not read further than that.
            for token in iter_tokens(text) if len(text) > most else tokens(text):
                self._read.append(token)
                count += token[1] != "whitespace"
                if count > most:
                    break
        except TemplateSyntaxError as error:
            raise syntax_error(error, self._source) from None
        found = f"{count:,}" if count <= most else f"more than {most:,}"
        self.charge(_STEPS_PER_TOKEN * count, f"it has {found} tokens")

    def _longest(self) -> Place:
        """Return the place of the longest tag or output that was read, which may have no end."""
        longest, start = (0, 1), None
        for offset, kind, value in self._read:
            if kind in ("variable_begin", "block_begin"):
                start = offset
            if start is not None:
                longest = max(longest, (start, offset + len(value)), key=lambda place: place[1] - place[0])
            if kind in ("variable_end", "block_end"):
                start = None
        return Place(self._source, *longest)


def _check_generation(source: Source, tree: Tree) -> None:
    """Refuse a generation tag in a macro that is never called, where it marks nothing."""
    blocks = tree.blocks("generation")
    # Only a template with such a tag has all of its expressions parsed here.
    uses = Counter(name.name for name in tree.variables) if blocks else Counter()
    for block in blocks:
        for macro in block.blocks:
            if macro.name != "macro" or macro.opening.target is None:
                continue
            name = macro.opening.target.text
            if uses[name] < 2:  # its definition
                raise TemplateError(
                    f"{{% generation %}} in the macro {name!r}, which is never called",
                    place=Place(source, block.opening.start, block.opening.end),
                    hint=f"call it where the turn is rendered, {{{{ {name}(…) }}}}, or remove the macro",
                )
