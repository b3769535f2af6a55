"""Compilation of a source in the dialect to Python code."""

from __future__ import annotations

from typing import Any

from jinja2.exceptions import TemplateSyntaxError

from chattmpl.budget import METER, Budget, Meter
from chattmpl.compiler.codegen import add_hooks
from chattmpl.compiler.dialect import checked_tree, plain_source
from chattmpl.compiler.errors import python_error, syntax_error
from chattmpl.compiler.export import lower
from chattmpl.compiler.policies import Retention
from chattmpl.compiler.sandbox import TemplateEnvironment
from chattmpl.errors import TemplateError
from chattmpl.source import Place, Source
from chattmpl.syntax.lexer import Line
from chattmpl.syntax.tree import Tree

_LONGEST = 500_000
"""Maximum length of a template in characters, ten times that of the longest template of a real model."""

_COMPILING = Budget(steps=100_000, characters=1 << 14)


def compile_source(given: Source, retention: Retention, environment: TemplateEnvironment) -> tuple[Any, ...]:
    """Compile a source to the values from which `chattmpl.compiler.program.compile_program` makes a program.

    They can be cached.

    Raises:
        TemplateError: with the place, for anything that is wrong with the source.
    """
    if len(given.text) > _LONGEST:
        message = f"the template has {len(given.text):,} characters; more than {_LONGEST:,} are not compiled"
        raise TemplateError(message, place=Place(given, 0, 1), hint="this is hardly a chat template")
    source = plain_source(given)
    parsed = checked_tree(source)
    lowered = lower(source, retention)
    # Constants are folded now, unless they are large: then each render computes them within its own budget.
    token = METER.set(Meter(_COMPILING))
    try:
        tree = add_hooks(environment.parse(lowered.text))
        # The file name distinguishes the template's frames from all others in a traceback.
        code = environment.compile(tree, filename="<chat template>")
    except TemplateSyntaxError as error:
        if isinstance(error.lineno, Line):
            error.lineno = Line(int(error.lineno), lowered.source_offset(error.lineno.offset))
        raise syntax_error(error, source, environment, parsed.tags) from None
    except (RecursionError, MemoryError, SyntaxError) as error:
        raise python_error(error, source, parsed.tags) from None
    finally:
        METER.reset(token)
    _check_generation(source, parsed)
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


def _check_generation(source: Source, tree: Tree) -> None:
    """Refuse a generation tag in a macro that is never called, where it marks nothing."""
    for block in tree.blocks("generation"):
        for macro in block.blocks:
            if macro.name != "macro" or macro.opening.target is None:
                continue
            name = macro.opening.target.text
            if not any(use.name == name and use is not macro.opening.target for use in tree.variables):
                raise TemplateError(
                    f"{{% generation %}} in the macro {name!r}, which is never called",
                    place=Place(source, block.opening.start, block.opening.end),
                    hint=f"call it where the turn is rendered, {{{{ {name}(…) }}}}, or remove the macro",
                )
