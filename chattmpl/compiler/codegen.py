"""Jinja's code generator, changed to write pieces instead of strings (see `emit`).

Compared with Jinja's own: output statements yield the value with its statement; operators that make strings go through
functions that follow origins and respect the budget; loops and macros count steps; a loop over messages says which
message is being rendered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame, optimizeconst
from jinja2.optimizer import Optimizer

from chattmpl.provenance.origin import Statement
from chattmpl.syntax.lexer import Line

_Node = TypeVar("_Node", bound=nodes.Node)

_NODES_PER_STEP = 32
"""So many operations in the body of a loop or a macro count as one step."""


class PieceGenerator(CodeGenerator):
    """Writes the Python code of one template. Statements and constant pieces are put into the environment's lists."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        environment: Any = self.environment
        self.optimizer = _Optimizer(environment) if self.optimizer is not None else None
        self.statements: list[Statement] = environment.statements
        self.constants: list[tuple[str, Statement]] = environment.constants
        self.generating = 0
        self._last_offset = -1
        # Pairs of a template line, which knows its offset, and the line of code where it begins.
        environment.code_lines = self.debug_info

    def newline(self, node: nodes.Node | None = None, extra: int = 0) -> None:
        """Begin a line of code, and note where each node begins, also if several stand on one line of the template."""
        if node is not None and isinstance(node.lineno, Line) and node.lineno.offset != self._last_offset:
            self._last_offset = node.lineno.offset
            self._last_line = -1
        super().newline(node, extra)

    def write_commons(self) -> None:
        """The names that root and block functions use."""
        super().write_commons()
        self.writeline("S = environment.statements")
        self.writeline("K = environment.constants")
        self.writeline("tilde = environment.tilde")
        self.writeline("add = environment.add")
        self.writeline("mark_of = environment.mark_of")
        self.writeline("tick = context.tick")

    # -- statements

    def _statement(self, node: nodes.Node) -> int:
        line = node.lineno
        offset = line.offset if isinstance(line, Line) else 0
        self.statements.append(Statement(offset, int(line), self.generating > 0))
        return len(self.statements) - 1

    def start_write(self, frame: Frame, node: nodes.Node | None = None) -> None:
        """Begin a piece; `end_write` adds its statement."""
        super().start_write(frame, node)
        self.write("(")
        self._written = self._statement(node) if node is not None else None

    def end_write(self, frame: Frame) -> None:
        """End a piece."""
        self.write(f", S[{self._written}])" if self._written is not None else ", None)")
        super().end_write(frame)

    def simple_write(self, s: str, frame: Frame, node: nodes.Node | None = None) -> None:
        """Pass on a piece that something else wrote."""
        super().start_write(frame, node)
        self.write(f"environment.sampled({s})" if self.generating else s)
        super().end_write(frame)

    def visit_Output(self, node: nodes.Output, frame: Frame) -> None:
        """One piece for each constant and each expression."""
        hook = getattr(node, "hook", None)
        if hook is not None:
            hook(self, node, frame)
            return
        if frame.require_output_check:
            if self.has_known_extends:
                return
            self.writeline("if parent_template is None:")
            self.indent()
            self.writeline("pass")
        finalize = self._make_finalize()
        for child in node.nodes:
            try:
                constant = self._output_child_to_const(child, frame, finalize)
            except Exception:  # not constant, or an error that is better raised when it is rendered
                self._write_piece(child, frame)
            else:
                self._write_constant(str(constant), child, frame)
        if frame.require_output_check:
            self.outdent()

    def _write_piece(self, node: nodes.Expr, frame: Frame) -> None:
        statement = self._statement(node)
        self.writeline("yield (" if frame.buffer is None else f"{frame.buffer}.append((", node)
        self.visit(node, frame)
        self.write(f", S[{statement}])" + ("" if frame.buffer is None else ")"))

    def _write_constant(self, text: str, node: nodes.Node, frame: Frame) -> None:
        if not text:
            return
        self.constants.append((text, self.statements[self._statement(node)]))
        piece = f"K[{len(self.constants) - 1}]"
        self.writeline(f"yield {piece}" if frame.buffer is None else f"{frame.buffer}.append({piece})", node)

    def visit_Scope(self, node: nodes.Scope, frame: Frame) -> None:
        """A generation tag is a scope, as in transformers, but not a function, so that loops can be left from it."""
        generation = getattr(node, "generation", False)
        self.generating += generation
        super().visit_Scope(node, frame)
        self.generating -= generation

    def visit_Block(self, node: nodes.Block, frame: Frame) -> None:
        """The pieces of a block pass through `simple_write` where they must be marked as generated."""
        if not self.generating or frame.buffer is not None:
            super().visit_Block(node, frame)
            return
        context = self.derive_context(frame) if node.scoped else self.get_context_ref()
        self.writeline(f"for event in context.blocks[{node.name!r}][0]({context}):", node)
        self.indent()
        self.simple_write("event", frame)
        self.outdent()

    def macro_body(self, node: Any, frame: Frame) -> Any:
        """Macros count steps for each call, since they can call themselves."""
        node.body.insert(0, hook_node(Tick(node), node.lineno))
        return super().macro_body(node, frame)

    def visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> Any:
        """The filter of a loop counts a step for each item, since the body sees only those that pass.

        What is spread over the arguments of a call is accounted for before.
        """
        if getattr(node, "ticked", False):
            self.write("tick() or ")
        if not getattr(node, "spread", False):
            return super().visit(node, *args, **kwargs)
        self.write("environment.spread(")
        super().visit(node, *args, **kwargs)
        self.write(")")
        return None

    # -- expressions that make strings

    @optimizeconst
    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        """``a ~ b``"""
        self._call("tilde((", node.nodes, ",))", frame)

    @optimizeconst
    def visit_Add(self, node: nodes.BinExpr, frame: Frame) -> None:
        """``a + b``"""
        self._call("add(", [node.left, node.right], ")", frame)

    @optimizeconst
    def visit_Mul(self, node: nodes.BinExpr, frame: Frame) -> None:
        """``a * b``"""
        self._call("environment.multiply(", [node.left, node.right], ")", frame)

    @optimizeconst
    def visit_Mod(self, node: nodes.BinExpr, frame: Frame) -> None:
        """``a % b``"""
        self._call("environment.percent(", [node.left, node.right], ")", frame)

    @optimizeconst
    def visit_Pow(self, node: nodes.BinExpr, frame: Frame) -> None:
        """``a ** b``"""
        self._call("environment.power(", [node.left, node.right], ")", frame)

    @optimizeconst
    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:
        """Comparisons and ``in``, which may have to look at all of a value; not those with a short constant."""
        if len(node.ops) > 1 or not _is_long(node):
            super().visit_Compare(node, frame)
            return
        operand = node.ops[0]
        self._call(f"environment.compare({operand.op!r}, ", [node.expr, operand.expr], ")", frame)

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:
        """``{a: b}``: keys are hashed, for which tuples are gone through."""
        self.write("{")
        for index, pair in enumerate(node.items):
            self.write(", " if index else "")
            if isinstance(pair.key, nodes.Const):
                self.visit(pair.key, frame)
            else:
                self._call("environment.weigh(", [pair.key], ")", frame)
            self.write(": ")
            self.visit(pair.value, frame)
        self.write("}")

    def _call(self, opening: str, operands: list[nodes.Expr], closing: str, frame: Frame) -> None:
        self.write(opening)
        for index, operand in enumerate(operands):
            if index:
                self.write(", ")
            self.visit(operand, frame)
        self.write(closing)


class _Optimizer(Optimizer):
    """Jinja's, which folds an operand again for each operation around it; once is enough."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._done: dict[int, nodes.Node] = {}

    def visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> Any:
        """The node, with what is constant in it computed."""
        if id(node) not in self._done:
            made = super().visit(node, *args, **kwargs)
            self._done[id(made)] = made
            return made
        return node


# -- hooks: code between the template's statements


def hook_node(hook: Any, line: int, *children: nodes.Expr) -> nodes.Output:
    """A node that writes code by calling ``hook(generator, node, frame)``."""
    node = nodes.Output(list(children), lineno=line)
    node.hook = hook  # type: ignore[attr-defined]
    return node


class Tick:
    """A hook that counts the steps of one run of a body: one, and one for every so many nodes in it."""

    def __init__(self, node: nodes.Node) -> None:
        self.counted = descendants(node)
        self.steps = 1 + len(self.counted) // _NODES_PER_STEP

    def __call__(self, generator: PieceGenerator, node: nodes.Output, frame: Frame) -> None:
        """Write the code."""
        generator.writeline(f"tick({self.steps})")


def _is_long(node: nodes.Compare) -> bool:
    """Whether a comparison may have to look at much."""
    operand = node.ops[0]
    if operand.op in ("in", "notin"):
        return not isinstance(operand.expr, (nodes.List, nodes.Tuple, nodes.Const))
    return not isinstance(node.expr, nodes.Const) and not isinstance(operand.expr, nodes.Const)


@dataclass
class TurnHooks:
    """The code around and in one loop that says which message is being rendered, if the loop's variable is one.

    Attributes:
        recursive: whether the loop is recursive.
        turned: the Python variable that tells after the loop whether it was one over messages.
    """

    recursive: bool
    turned: str = ""

    def before(self, generator: PieceGenerator, node: nodes.Output, frame: Frame) -> None:
        """Nothing was said yet."""
        self.turned = generator.temporary_identifier()
        generator.writeline(f"{self.turned} = None")

    def inside(self, generator: PieceGenerator, node: nodes.Output, frame: Frame) -> None:
        """Say the message."""
        mark = generator.temporary_identifier()
        if self.recursive:  # the body is a function
            generator.writeline(f"nonlocal {self.turned}")
        generator.writeline(f"{mark} = ")
        self._mark(generator, node, frame)
        generator.writeline(f"{self.turned} = {mark} or {self.turned}")
        self._say(generator, frame, mark)

    def after(self, generator: PieceGenerator, node: nodes.Output, frame: Frame) -> None:
        """Say which message is being rendered again: that of the loop around it, or none."""
        generator.writeline(f"if {self.turned} is not None:")
        generator.indent()
        generator.writeline(f"{self.turned} = ")
        if node.nodes:
            self._mark(generator, node, frame)
            generator.write(" or ")
        generator.write("environment.no_turn")
        self._say(generator, frame, self.turned)
        generator.outdent()

    @staticmethod
    def _mark(generator: PieceGenerator, node: nodes.Output, frame: Frame) -> None:
        """The mark of what a variable holds or, of a list and an index, of what stands there."""
        generator.write("mark_of(" if len(node.nodes) == 1 else "environment.mark_at(")
        for number, name in enumerate(node.nodes):
            generator.write(", " if number else "")
            generator.visit(name, frame)
        generator.write(")")

    @staticmethod
    def _say(generator: PieceGenerator, frame: Frame, mark: str) -> None:
        generator.writeline(f"if {mark} is not None: ")
        generator.write(f"yield {mark}" if frame.buffer is None else f"{frame.buffer}.append({mark})")


@dataclass(frozen=True)
class _Found:
    """A node's ``find_all``, for a tree that was gone through already.

    Attributes:
        everything: what may be asked for.
    """

    everything: list[nodes.Node]

    def __call__(self, kinds: Any) -> Iterator[Any]:
        """The nodes of these kinds."""
        return (node for node in self.everything if isinstance(node, kinds))


def add_hooks(template: nodes.Template) -> nodes.Template:
    """Put the hooks into the loops and calls of a template."""
    everything = descendants(template)
    for call in everything:
        if isinstance(call, (nodes.Call, nodes.Filter, nodes.Test)) and call.dyn_args is not None:
            call.dyn_args.spread = True  # type: ignore[attr-defined]
    # Jinja looks for a few rare kinds of nodes, by going through all of them each time, also in each loop.
    template.find_all = _Found(everything)  # type: ignore[method-assign, assignment]
    _hook_lists(template, ())
    return template


def _hook_lists(node: nodes.Node, turn: tuple[str, ...]) -> None:
    for field in ("body", "else_"):
        statements = getattr(node, field, None)
        if isinstance(statements, list):
            setattr(node, field, _hooked(statements, turn))
    for branch in getattr(node, "elif_", []):
        _hook_lists(branch, turn)


def _turn_of(loop: nodes.For, around: tuple[str, ...]) -> tuple[str, ...]:
    """What tells in a loop which message is being rendered: its variable, or a list and the index in it.

    Args:
        loop: ``{% for m in messages %}``, or ``{% for i in range(messages|length) %}`` that looks at ``messages[i]``.
        around: what tells it in the loop around; there an index is that of what only is looked at.
    """
    if not isinstance(loop.target, nodes.Name):
        return ()
    name = loop.target.name
    counts = isinstance(loop.iter, nodes.Call) and getattr(loop.iter.node, "name", None) == "range"
    if not counts or around:
        return (name,)
    everything = descendants(loop)
    stored = {node.name for node in everything if isinstance(node, nodes.Name) and node.ctx == "store"}
    for node in everything:
        if not isinstance(node, nodes.Getitem) or getattr(node.arg, "name", None) != name:
            continue
        if isinstance(node.node, nodes.Name) and node.node.name not in stored:
            return (node.node.name, name)
    return (name,)


def _hooked(statements: list[nodes.Node], turn: tuple[str, ...]) -> list[nodes.Node]:
    hooked: list[nodes.Node] = []
    for node in statements:
        if not isinstance(node, nodes.For):
            hooked.append(node)
            _hook_lists(node, () if isinstance(node, nodes.Macro) else turn)
            continue
        target = _turn_of(node, around=turn)
        _hook_lists(node, target or turn)
        line = node.lineno
        if node.test is not None:
            node.test.ticked = True  # type: ignore[attr-defined]
        tick = Tick(node)
        node.find_all = _Found(tick.counted)  # type: ignore[method-assign, assignment]
        node.body.insert(0, hook_node(tick, line))
        if not target:
            hooked.append(node)
            continue
        hooks = TurnHooks(node.recursive)
        node.body.insert(0, hook_node(hooks.inside, line, *(nodes.Name(name, "load", lineno=line) for name in target)))
        around = [nodes.Name(name, "load", lineno=line) for name in turn]
        hooked += [hook_node(hooks.before, line), node, hook_node(hooks.after, line, *around)]
    return hooked


# -- Jinja's nodes


def descendants(node: nodes.Node) -> list[nodes.Node]:
    """Return all nodes inside of a node, in the order of the source; much faster than ``find_all`` in deep trees."""
    found: list[nodes.Node] = []
    waiting = children(node)[::-1]
    while waiting:
        node = waiting.pop()
        found.append(node)
        waiting += reversed(children(node))
    return found


def copied(node: _Node) -> _Node:
    """Return a deep copy of a node."""
    made = object.__new__(type(node))
    made.__dict__.update(node.__dict__)
    for field in _node_fields(type(node)):
        value = getattr(node, field, None)
        if type(value) is list:
            setattr(made, field, [copied(item) if isinstance(item, nodes.Node) else item for item in value])
        elif isinstance(value, nodes.Node):
            setattr(made, field, copied(value))
    return made


def children(node: nodes.Node) -> list[nodes.Node]:
    """Return the nodes directly inside of a node."""
    found: list[nodes.Node] = []
    values = node.__dict__
    for field in _node_fields(type(node)):
        value = values.get(field)
        if type(value) is list:
            found += [item for item in value if isinstance(item, nodes.Node)]
        elif isinstance(value, nodes.Node):
            found.append(value)
    return found


@cache
def _node_fields(kind: type[nodes.Node]) -> tuple[str, ...]:
    """Return the fields of a kind of node that can hold nodes."""
    return tuple(field for field in kind.fields if field not in ("name", "attr", "data", "ctx", "op"))
