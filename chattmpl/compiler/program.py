"""Programs: templates compiled from a source in the dialect, ready to render and to export."""

from __future__ import annotations

import bisect
import types
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from functools import cached_property, lru_cache
from traceback import clear_frames
from typing import TYPE_CHECKING, Any, TypeVar

import jinja2
from jinja2 import Template as JinjaTemplate

from chattmpl import cache
from chattmpl.bounds import bounded
from chattmpl.budget import ALLOWANCE, METER, Budget, Meter
from chattmpl.compiler.errors import render_error
from chattmpl.compiler.output import gather
from chattmpl.compiler.policies import Retention
from chattmpl.compiler.sandbox import Clock, RenderContext, TemplateEnvironment
from chattmpl.errors import BudgetError, RenderError
from chattmpl.provenance.origin import Run, Statement
from chattmpl.source import Place, Source

# A program from the cache is rendered without its syntax tree, so what reads the tree is imported when it is asked for.
if TYPE_CHECKING:
    from chattmpl.compiler.export import Target
    from chattmpl.syntax.edits import Edited
    from chattmpl.syntax.tree import Tree

_Read = TypeVar("_Read")


@dataclass(frozen=True)
class Program:
    """A template that is ready to render.

    Attributes:
        source: the author's source, with LF newlines and plain delimiters.
        retention: the policy that it was compiled with.
        code_lines: for each line of the generated code where a statement begins, the statement's offset in the source.
        has_reasoning: whether it has a reasoning tag, and so a place for a retention policy.
        has_generation: whether it has a generation tag.
    """

    source: Source
    retention: Retention
    environment: TemplateEnvironment
    template: JinjaTemplate
    code_lines: list[tuple[int, int]]
    has_reasoning: bool
    has_generation: bool

    @property
    def made_from(self) -> tuple[str, ...]:
        """Everything it was compiled from, as a key of the cache."""
        return self.source.text, *map(str, astuple(self.retention))

    @cached_property
    def syntax(self) -> Tree:
        """The syntax tree of the source."""
        from chattmpl.syntax.tree import parse

        return parse(self.source.text)

    @cached_property
    def lowered(self) -> Edited:
        """The source that was compiled, with reasoning tags lowered into conditions."""
        from chattmpl.compiler.export import lower

        return lower(self.source, self.retention)

    @cached_property
    def variables(self) -> frozenset[str]:
        """The variables that can be passed to the template."""
        return self._recall("variables", self._read_variables) - self.environment.globals.keys()

    def _read_variables(self) -> frozenset[str]:
        from chattmpl.compiler.variables import read_variables

        return read_variables(self._lowered_syntax)

    @cached_property
    def literals(self) -> tuple[str, ...]:
        """The template's own text: the text between its tags, and its string constants."""
        return self._recall("literals", self._read_literals)

    def _read_literals(self) -> tuple[str, ...]:
        from chattmpl.compiler.variables import own_text

        return tuple(own_text(self._lowered_syntax))

    def _recall(self, what: str, read: Callable[[], _Read]) -> _Read:
        """Return the result of reading the syntax tree, now or in an earlier process."""
        return cache.recall(read, what, *self.made_from)

    @cached_property
    def _lowered_syntax(self) -> Tree:
        from chattmpl.syntax.tree import parse

        return parse(self.lowered.text)

    def export(self, target: Target) -> str:
        """Return plain Jinja for other engines; see `chattmpl.compiler.export.export`."""
        from chattmpl.compiler.export import export

        if target not in self._exports:
            self._exports[target] = export(self.source, self.retention, target)
        return self._exports[target]

    @cached_property
    def _exports(self) -> dict[str, str]:
        """The exports made so far; each removal of a tag reads the whole source again."""
        return {}

    def line(self, offset: int) -> int:
        """Return the line of the source, from 1, for an offset in the compiled text."""
        return self.source.position(self.lowered.source_offset(offset))[0]

    def read_of(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the kwargs that the template reads."""
        return {name: value for name, value in kwargs.items() if name in self.variables}

    def run(self, variables: dict[str, Any], clock: Clock, budget: Budget, values: int = 0) -> tuple[str, list[Run]]:
        """Render, and return the text and its runs.

        Args:
            variables: the variables of the template.
            clock: formats the time.
            budget: bounds the render.
            values: number of values in the variables; giving each its origin takes a step.

        Raises:
            RenderError: if the template raises, with the place where it did.
        """
        allowance = ALLOWANCE.get()
        if allowance is not None:
            allowance.check()
        meter = Meter(budget)
        context = self.template.new_context(variables)
        assert isinstance(context, RenderContext)
        context.clock = clock
        context.tick = meter.tick  # type: ignore[method-assign]
        token = METER.set(meter)
        try:
            with bounded():
                meter.tick(values)
                return gather(self.template.root_render_func(context))  # type: ignore[arg-type]
        except (BudgetError, RenderError) as error:
            error.place = error.place or self._place(error)
            # Who keeps the error does not keep the values of the template.
            clear_frames(error.__traceback__)
            context.vars.clear()
            if allowance is not None:
                allowance.fail(error)
            raise
        except Exception as error:
            place = self._place(error)
            clear_frames(error.__traceback__)
            context.vars.clear()
            made = render_error(error, place, self.environment, variables)
            if allowance is not None:
                allowance.fail(made)
            raise made from error
        finally:
            METER.reset(token)
            if allowance is not None:
                allowance.take(budget.steps - max(meter.left, 0), Place(self.source, 0, 1))

    def _place(self, error: BaseException) -> Place | None:
        """Return the statement that was running, from the traceback through the generated code."""
        statement: Statement | None = getattr(error, "statement", None)
        if statement is not None:
            return self._tag_at(statement.offset)
        numbers = []
        traceback = error.__traceback__
        code = self.template.root_render_func.__code__
        while traceback is not None:
            frame = traceback.tb_frame.f_code
            # Jinja defines functions with such names in place of filters and tests that do not exist.
            if frame.co_filename == code.co_filename and not frame.co_name.startswith("t_"):
                numbers.append(_code_line(traceback))
            traceback = traceback.tb_next
        if not numbers:
            return None
        # A recursion ends at an arbitrary statement; the one that is repeated most often is the cause.
        number = Counter(numbers).most_common(1)[0][0] if isinstance(error, RecursionError) else numbers[-1]
        before = bisect.bisect_right(self.code_lines, (number, len(self.source.text))) - 1
        return self._tag_at(self.code_lines[max(before, 0)][1]) if self.code_lines else None

    def _tag_at(self, offset: int) -> Place:
        """Return the tag around an offset, or the last one before it; to Jinja an expression begins at its operator."""
        from chattmpl.syntax.items import Output, Tag

        tags = [item for item in self.syntax.flat if isinstance(item, (Tag, Output)) and item.start <= offset]
        return Place(self.source, tags[-1].start, tags[-1].end) if tags else Place(self.source, offset, offset + 1)


def _code_line(traceback: types.TracebackType) -> int:
    """Return the line of generated code, or that of the preceding instruction if Python records none."""
    if traceback.tb_lineno:
        return traceback.tb_lineno
    lines = [position[0] for position in traceback.tb_frame.f_code.co_positions()]
    known = [line for line in lines[: traceback.tb_lasti // 2 + 1] if line is not None]
    return known[-1] if known else 0


@lru_cache(maxsize=256)
def compile_program(source: Source, retention: Retention, steps: int = Budget.steps) -> Program:
    """Compile a source in the dialect.

    Raises:
        TemplateError: with the place, for anything that is wrong with the source, and if compiling it takes more
            than the number of steps.
        UsageError: for a retention policy that does not exist.
    """
    environment = TemplateEnvironment()
    made_from = ("program", jinja2.__version__, source.text, *map(str, astuple(retention)))

    def compiled() -> tuple[Any, ...]:
        from chattmpl.compiler.compilation import compile_source

        with bounded():
            return compile_source(source, retention, environment, steps)

    text, reasoning, generation, code, code_lines, statements, constants = cache.recall(compiled, *made_from)
    environment.statements[:] = [Statement(*values) for values in statements]
    environment.constants[:] = [(text, environment.statements[index]) for text, index in constants]
    template = JinjaTemplate.from_code(environment, code, environment.make_globals(None))
    return Program(source.with_text(text), retention, environment, template, code_lines, reasoning, generation)
