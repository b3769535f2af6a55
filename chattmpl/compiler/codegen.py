"""Jinja's code generator, changed to write pieces instead of strings (see `chattmpl.compiler.output`).

It differs from Jinja's as follows: output statements yield each value with its statement; operators that make strings
call functions that track origins and respect the budget; loops and macros count steps; a loop over messages reports
the message being rendered.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame, optimizeconst
from jinja2.optimizer import Optimizer

from chattmpl.provenance.origin import Statement
from chattmpl.syntax.lexer import Line

_NODES_PER_STEP = 32
"""Number of nodes in the body of a loop or a macro that count as one step."""

_STEPS_PER_PART = 4
"""Steps of compiling a node again because it is inside a loop, a macro or a block."""

_NAMES_PER_STEP = 4
"""Number of pairs of a condition and a variable that take one step to compile."""


def _operation(function: str) -> Callable[[Any, nodes.BinExpr, Frame], None]:
    """Return the method that writes a binary operation as a call of a function."""

    @optimizeconst
    def visit(self: "PieceGenerator", node: nodes.BinExpr, frame: Frame) -> None:
        self._call(f"{function}(", [node.left, node.right], ")", frame)

    return visit


class PieceGenerator(CodeGenerator):
    """Generator of the Python code of one template; appends its statements and constants to the environment's lists."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        environment: Any = self.environment
        self.optimizer = _Optimizer(environment) if self.optimizer is not None else None
        self.statements: list[Statement] = environment.statements
        self.constants: list[tuple[str, Statement]] = environment.constants
        self.generating = 0
        self._last_offset = -1
        # Pairs of a template line, which has its offset, and the line of code that it starts at.
        environment.code_lines = self.debug_info

    def newline(self, node: nodes.Node | None = None, extra: int = 0) -> None:
        """Begin a line of code, and record where each node begins, even if several share a line of the template."""
        if node is not None and isinstance(node.lineno, Line) and node.lineno.offset != self._last_offset:
            self._last_offset = node.lineno.offset
            self._last_line = -1
        super().newline(node, extra)

    def write_commons(self) -> None:
        """Write the names that root and block functions use."""
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
        """Yield a piece that is already complete, such as one from a block."""
        super().start_write(frame, node)
        self.write(f"environment.sampled({s})" if self.generating else s)
        super().end_write(frame)

    def visit_Output(self, node: nodes.Output, frame: Frame) -> None:
        """Write one piece for each constant and each expression."""
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
            except Exception:  # not constant, or an error that must be raised at render time
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
        """Write a scope; a generation tag is one, and not a function as in transformers, so ``break`` works in it."""
        generation = getattr(node, "generation", False)
        self.generating += generation
        super().visit_Scope(node, frame)
        self.generating -= generation

    def visit_Block(self, node: nodes.Block, frame: Frame) -> None:
        """Write the pieces of a block, through `simple_write` if they must be marked as generated."""
        if not self.generating or frame.buffer is not None:
            super().visit_Block(node, frame)
            return
        context = self.derive_context(frame) if node.scoped else self.get_context_ref()
        self.writeline(f"for event in context.blocks[{node.name!r}][0]({context}):", node)
        self.indent()
        self.simple_write("event", frame)
        self.outdent()

    def macro_body(self, node: Any, frame: Frame) -> Any:
        """Write the body of a macro, which counts steps for each call because macros can recurse."""
        node.body.insert(0, hook_node(Tick(node.size), node.lineno))
        return super().macro_body(node, frame)

    def visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> Any:
        """Write a node.

        The filter of a loop counts a step for each item, because the body runs only for those that pass. An iterable
        unpacked into the arguments of a call is charged to the budget first.
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
        """Write ``a ~ b``."""
        self._call("tilde((", node.nodes, ",))", frame)

    visit_Add = _operation("add")
    visit_Mul = _operation("environment.multiply")
    visit_Mod = _operation("environment.percent")
    visit_Pow = _operation("environment.power")
    visit_Sub = _operation("environment.subtract")

    @optimizeconst
    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:
        """Write ``a < b``, ``a in b`` or a chain of them, through the budget if one may have to read all of a value."""
        if all(_is_short(*operands) for operands in _comparisons(node)):
            super().visit_Compare(node, frame)
            return
        left: nodes.Expr | str = node.expr
        self.write("(")
        for index, operand in enumerate(node.ops):
            self.write(" and " if index else "")
            self.write(f"environment.compare({operand.op!r}, ")
            if isinstance(left, str):
                self.write(left)
            else:
                self.visit(left, frame)
            self.write(", ")
            if index < len(node.ops) - 1:
                # Each operand of a chain is computed once.
                left = self.temporary_identifier()
                self.write(f"({left} := ")
                self.visit(operand.expr, frame)
                self.write("))")
            else:
                self.visit(operand.expr, frame)
                self.write(")")
        self.write(")")

    @optimizeconst
    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        """Write ``a[b]``; a slice goes through the budget, which Jinja's code does not."""
        if not isinstance(node.arg, nodes.Slice):
            super().visit_Getitem(node, frame)
            return
        self.write("environment.slice(")
        self.visit(node.node, frame)
        for bound in (node.arg.start, node.arg.stop, node.arg.step):
            self.write(", ")
            if bound is None:
                self.write("None")
            else:
                self.visit(bound, frame)
        self.write(")")

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:
        """Write ``{a: b}``; keys that are not constant are charged, because hashing a tuple reads all of it."""
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
    """Jinja's optimizer, but each operand is folded once instead of once for each operation around it."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._done: dict[int, nodes.Node] = {}

    def visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> Any:
        """Return the node with its constant parts computed."""
        if id(node) not in self._done:
            made = super().visit(node, *args, **kwargs)
            self._done[id(made)] = made
            return made
        return node


# -- hooks: code between the template's statements


def hook_node(hook: Any, line: int, *children: nodes.Expr) -> nodes.Output:
    """Return a node that writes code by calling ``hook(generator, node, frame)``."""
    node = nodes.Output(list(children), lineno=line)
    node.hook = hook  # type: ignore[attr-defined]
    return node


class Tick:
    """Hook that counts the steps of one run of a body: one, and another for every `_NODES_PER_STEP` nodes in it."""

    def __init__(self, size: int) -> None:
        self.steps = 1 + size // _NODES_PER_STEP

    def __call__(self, generator: PieceGenerator, node: nodes.Output, frame: Frame) -> None:
        """Write the call that counts the steps."""
        generator.writeline(f"tick({self.steps})")


def _comparisons(node: nodes.Compare) -> Iterator[tuple[nodes.Expr, str, nodes.Expr]]:
    """Yield the comparisons of a chain: left side, operator and right side."""
    left = node.expr
    for operand in node.ops:
        yield left, operand.op, operand.expr
        left = operand.expr


def _is_short(left: nodes.Expr, operator: str, right: nodes.Expr) -> bool:
    """Return whether a comparison reads no more than a constant of the source."""
    if operator not in ("in", "notin"):
        return isinstance(left, nodes.Const) or isinstance(right, nodes.Const)
    return isinstance(right, nodes.Const) or (
        isinstance(right, (nodes.List, nodes.Tuple)) and all(isinstance(item, nodes.Const) for item in right.items)
    )


@dataclass
class TurnHooks:
    """Hooks around and in one loop that report the message being rendered, if the loop's variable holds one.

    Attributes:
        recursive: whether the loop is recursive.
        turned: the Python variable that is not None after a loop over messages.
    """

    recursive: bool
    turned: str = ""

    def before(self, generator: PieceGenerator, node: nodes.Output, frame: Frame) -> None:
        """Write the initial value of `turned`: no message has been reported."""
        self.turned = generator.temporary_identifier()
        generator.writeline(f"{self.turned} = None")

    def inside(self, generator: PieceGenerator, node: nodes.Output, frame: Frame) -> None:
        """Write the code that reports the message of an iteration."""
        mark = generator.temporary_identifier()
        if self.recursive:  # the body is a function
            generator.writeline(f"nonlocal {self.turned}")
        generator.writeline(f"{mark} = ")
        self._mark(generator, node, frame)
        generator.writeline(f"{self.turned} = {mark} or {self.turned}")
        self._say(generator, frame, mark)

    def after(self, generator: PieceGenerator, node: nodes.Output, frame: Frame) -> None:
        """Write the code that restores the message after the loop: that of the enclosing loop, or none."""
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
        """Write the mark of a variable's value or, for a list and an index, of that item."""
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
    """Replacement for a node's ``find_all``, for a tree that was already traversed.

    Attributes:
        everything: all nodes of the tree, in source order.
        start, end: the range of the node's descendants in it.
    """

    everything: list[nodes.Node]
    start: int
    end: int

    def __call__(self, kinds: Any) -> Iterator[Any]:
        """Yield the nodes of these kinds."""
        return (node for node in islice(self.everything, self.start, self.end) if isinstance(node, kinds))


def _charge_nothing(steps: int, excess: str) -> None:
    """Charge for a template that was compiled before."""


def add_hooks(template: nodes.Template, charge: Callable[[int, str], None] = _charge_nothing) -> nodes.Template:
    """Insert hooks into the loops and calls of a template.

    Args:
        template: the template, which is changed.
        charge: charges for what takes more time to compile than in proportion to its size: a number of steps, and a
            clause that says what takes them.
    """
    everything, sizes = _flattened(template)
    # Jinja searches for a few rare kinds of nodes and traverses the whole tree each time, and again in each loop.
    template.find_all = _Found(everything, 0, len(everything))  # type: ignore[method-assign, assignment]
    names: set[str] = set()
    conditions = nested = 0
    for place, node in enumerate(everything):
        if isinstance(node, nodes.Name):
            names.add(node.name)
        elif isinstance(node, nodes.If):
            conditions += 1
        elif isinstance(node, (nodes.For, nodes.Macro, nodes.CallBlock, nodes.Block)):
            nested += sizes[place]
            node.size = sizes[place]  # type: ignore[union-attr]
            end = place + 1 + sizes[place]
            node.find_all = _Found(everything, place + 1, end)  # type: ignore[method-assign, assignment]
        elif isinstance(node, (nodes.Call, nodes.Filter, nodes.Test)) and node.dyn_args is not None:
            node.dyn_args.spread = True  # type: ignore[attr-defined]
    # Jinja traverses each loop and macro several times, and copies its table of names for each branch of a condition.
    charge(_STEPS_PER_PART * nested, f"its loops and macros repeat {nested:,} parts, by how deeply they are nested")
    work = conditions * len(names) // _NAMES_PER_STEP
    charge(work, f"it has {conditions:,} conditions and {len(names):,} variables")
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
    """Return the names that identify a loop's message: its variable, or a list and its index; empty if there are none.

    Args:
        loop: ``{% for m in messages %}``, or ``{% for i in range(messages|length) %}`` that reads ``messages[i]``.
        around: the names of the enclosing loop; if it has any, an index only looks ahead or back from its message.
    """
    if not isinstance(loop.target, nodes.Name):
        return ()
    name = loop.target.name
    counts = isinstance(loop.iter, nodes.Call) and getattr(loop.iter.node, "name", None) == "range"
    if not counts or around:
        return (name,)
    stored = {node.name for node in loop.find_all(nodes.Name) if node.ctx == "store"}
    for node in loop.find_all(nodes.Getitem):
        if getattr(node.arg, "name", None) != name:
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
        tick = Tick(node.size)  # type: ignore[attr-defined]
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


def _flattened(root: nodes.Node) -> tuple[list[nodes.Node], list[int]]:
    """Return all nodes inside a node, in source order, and for each the number of nodes inside it."""
    found: list[nodes.Node] = []
    parents: list[int] = []
    waiting = [(child, -1) for child in reversed(children(root))]
    while waiting:
        node, parent = waiting.pop()
        waiting += [(child, len(found)) for child in reversed(children(node))]
        found.append(node)
        parents.append(parent)
    sizes = [0] * len(found)
    for place in range(len(found) - 1, 0, -1):
        if parents[place] >= 0:
            sizes[parents[place]] += 1 + sizes[place]
    return found, sizes


def children(node: nodes.Node) -> list[nodes.Node]:
    """Return the direct children of a node."""
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
    """Return the fields of a kind of node that can contain other nodes."""
    return tuple(field for field in kind.fields if field not in ("name", "attr", "data", "ctx", "op"))
