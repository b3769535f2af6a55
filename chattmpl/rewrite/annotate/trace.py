"""Traces from characters to the parts of a source that wrote them, by a template compiled with split outputs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from jinja2 import Template as JinjaTemplate
from jinja2 import nodes

from chattmpl.bounds import bounded
from chattmpl.budget import METER, Meter
from chattmpl.compiler.codegen import add_hooks
from chattmpl.compiler.sandbox import RenderContext, TemplateEnvironment
from chattmpl.probing.corpus import CLOCK
from chattmpl.provenance.containers import InputTracer
from chattmpl.provenance.origin import TurnMark
from chattmpl.provenance.serialization import to_text
from chattmpl.provenance.text import runs_of
from chattmpl.source import Source
from chattmpl.syntax.items import Output
from chattmpl.syntax.lexer import Line
from chattmpl.syntax.tree import Tree
from chattmpl.template.template import Template


@dataclass(frozen=True)
class WrittenRange:
    """A text that a part wrote at once.

    Attributes:
        start, end: half-open range in the rendered text, in characters.
        part: offset of the part in the source.
    """

    start: int
    end: int
    part: int


@dataclass(frozen=True)
class Trace:
    """A rendered text, and the parts that wrote it.

    Attributes:
        outer: ranges by the part of an output at the root of the template.
        inner: ranges by the part that wrote the characters first, which may be in a macro or in a captured block.
    """

    text: str
    outer: list[WrittenRange]
    inner: list[WrittenRange]


class Tracer:
    """A template whose outputs are split into their operands.

    Args:
        template: the template to trace.
        bold: split sums too whose operands may be numbers.

    Attributes:
        tree: the syntax tree of its source.
    """

    def __init__(self, template: Template, *, bold: bool = True) -> None:
        self._template = template
        self._bold = bold
        program = template.program
        self.source: Source = program.source
        self._environment = TemplateEnvironment()
        self.tree: Tree = program.syntax
        token = METER.set(Meter(template.budget))
        try:
            with bounded():
                tree = self._environment.parse(program.lowered.text)
                self._split_outputs(tree)
                code = self._environment.compile(add_hooks(tree), filename="<chat template>")
        finally:
            METER.reset(token)
        globals_ = self._environment.make_globals(None)
        self._compiled = JinjaTemplate.from_code(self._environment, code, globals_)

    def _split_outputs(self, tree: nodes.Template) -> None:
        outputs = iter([item for item in self.tree.items if isinstance(item, Output)])
        lowered = self._template.program.lowered
        for node in list(tree.find_all(nodes.Output)):
            children: list[nodes.Expr] = []
            for child in node.nodes:
                if isinstance(child, nodes.TemplateData):
                    line = child.lineno
                    offset = line.offset if isinstance(line, Line) else 0
                    child.lineno = Line(int(line), lowered.source_offset(offset))
                    children.append(child)
                    continue
                children += _split(child, next(outputs), self._bold)
            node.nodes = children

    def trace(self, conversation: Any, kwargs: dict[str, Any]) -> Trace:
        """Render a conversation and trace which part wrote what.

        Raises:
            Exception: whatever the template raises.
        """
        template = self._template
        variables = template.variables(conversation, False, kwargs, InputTracer())
        meter = Meter(template.budget)
        context = self._compiled.new_context(variables)
        assert isinstance(context, RenderContext)
        context.clock = lambda: CLOCK
        context.tick = meter.tick  # type: ignore[method-assign]
        token = METER.set(meter)
        try:
            with bounded():
                return _collect(self._compiled.root_render_func(context))
        finally:
            METER.reset(token)


def _collect(pieces: Iterable[Any]) -> Trace:
    texts: list[str] = []
    outer: list[WrittenRange] = []
    inner: list[WrittenRange] = []
    position = 0
    for value, statement in pieces:
        if isinstance(value, TurnMark):
            continue
        text = value if isinstance(value, str) else to_text(value)
        part = statement.offset if statement is not None else -1
        outer.append(WrittenRange(position, position + len(text), part))
        for length, _, writer in runs_of(text):
            if length:
                inner.append(WrittenRange(position, position + length, part if writer is None else writer.offset))
                position += length
        texts.append(text)
    return Trace("".join(texts), outer, inner)


def _split(node: nodes.Expr, output: Output, bold: bool) -> list[nodes.Expr]:
    """Return the operands of an output, each with its offset as line number."""
    operands, parts = list(_operands(node)), output.operands
    joins_text = any(isinstance(operand, nodes.Const) and isinstance(operand.value, str) for operand in operands)
    if len(operands) != len(parts) or not (bold or joins_text or _has_tilde(node)):
        operands = [node]
    for operand, part in zip(operands, parts, strict=False):
        start = parts[0].start if len(operands) == 1 else part.start
        operand.lineno = Line(int(operand.lineno), start)
    return operands


def _operands(node: nodes.Expr) -> Iterator[nodes.Expr]:
    if isinstance(node, nodes.Concat):
        for operand in node.nodes:
            yield from _operands(operand)
    elif isinstance(node, nodes.Add):
        yield from _operands(node.left)
        yield from _operands(node.right)
    else:
        yield node


def _has_tilde(node: nodes.Expr) -> bool:
    return isinstance(node, nodes.Concat) or (
        isinstance(node, nodes.Add) and (_has_tilde(node.left) or _has_tilde(node.right))
    )
