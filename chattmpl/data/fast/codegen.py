"""Writes a template as plain Python for plain data: what `chattmpl.data.fast.compiled` runs.

It goes by Jinja2's own code generator, which knows the scopes of names, and writes down in plain Python what that
leaves to its runtime: attributes are keys, what is written is appended to a list, and what a name stands for where
nothing was assigned is one undefined value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from itertools import chain
from typing import Any

from jinja2 import nodes
from jinja2.compiler import Frame
from jinja2.nodes import EvalContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from chattmpl.data.fast.compilable import FUNCTIONS, check
from chattmpl.data.fast.expressions import Expressions, asked_for_truth
from chattmpl.data.fast.markers import RESERVED
from chattmpl.data.fast.pieces import MARKERS, constant, counts, flattened, quoted, shorter

_MARK = f"{RESERVED}mark"


class _Generator(Expressions):
    """Writes Python for a template that is harmless: a function that makes the function that renders.

    Attributes:
        resolved: names of what the template reads from outside.
        nested: how many loops and macros stand around what is being written.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.resolved: dict[str, str] = {}
        self.nested = 0

    def visit_Template(self, node: nodes.Template, frame: Frame | None = None) -> None:
        self.names, self.asked = check(node), asked_for_truth(node)
        self.environment.own_names = FUNCTIONS | self.names.namespaces.keys()  # type: ignore[attr-defined]
        self.environment.outside_names = frozenset(chain(*self.names.pure.values()))  # type: ignore[attr-defined]
        self.writeline("def make(context, environment):")
        self.indent()
        self.writeline("nothing, getitem, getattribute = context.nothing, context.getitem, context.getattribute")
        self.writeline("missing, Undefined, concat = context.missing, context.Undefined, ''.join")
        self.pull_dependencies(node.body)
        self.writeline("def root(get, pieces):")
        self.indent()
        body, self.stream = self.stream, StringIO()
        root = Frame(EvalContext(self.environment, self.name))
        root.symbols.analyze_node(node)
        root.toplevel = root.rootlevel = True
        root.buffer = "pieces"
        self.enter_frame(root)
        self.blockvisit(node.body, root)
        self.stream, rest = body, self.stream
        for name, ref in self.resolved.items():
            self.writeline(f"{ref} = get({name!r}, nothing)")
        self.stream.write(rest.getvalue())  # type: ignore[attr-defined]
        self.outdent()
        self.writeline("return root")
        self.outdent()
        self.stream = StringIO(shorter(self.stream.getvalue()))  # type: ignore[attr-defined]

    # -- scopes: nothing of a template is seen from outside

    def enter_frame(self, frame: Frame) -> None:
        for ref, (action, name) in frame.symbols.loads.items():
            if name in FUNCTIONS or name in MARKERS or ref.endswith(_MARK):
                continue  # what has use for them knows where they are
            if action == "resolve":
                self.writeline(f"{ref} = {self._resolved(str(name))}")
            elif action == "alias":
                self.writeline(f"{ref} = {name}")
            elif action == "undefined":
                self.writeline(f"{ref} = nothing")

    def leave_frame(self, frame: Frame, with_python_scope: bool = False) -> None:
        pass

    def _resolved(self, name: str) -> str:
        """What a name stands for outside of the template, looked up once."""
        if name in self.names.namespaces:
            return "nothing"
        return self.resolved.setdefault(name, f"given_{len(self.resolved)}")

    def pop_assign_tracking(self, frame: Frame) -> None:
        self._assign_stack.pop()

    def visit_Assign(self, node: nodes.Assign, frame: Frame) -> None:
        if isinstance(node.target, nodes.Name) and node.target.name == _MARK:
            return
        self.push_assign_tracking()
        self.newline(node)
        self.visit(node.target, frame)
        self.write(" = ")
        self.visit(node.node, frame)
        self.pop_assign_tracking(frame)

    def visit_AssignBlock(self, node: nodes.AssignBlock, frame: Frame) -> None:
        block = frame.inner()
        block.symbols.analyze_node(node)
        self.push_assign_tracking()
        self.enter_frame(block)
        self.buffer(block)
        self.blockvisit(node.body, block)
        self.newline(node)
        self.visit(node.target, frame)
        self.write(" = ")
        if node.filter is not None:
            self.visit_Filter(node.filter, block)
        else:
            self.write(f"concat({block.buffer})")
        self.pop_assign_tracking(frame)

    # -- macros

    def visit_Macro(self, node: nodes.Macro, frame: Frame) -> None:
        inner = frame.inner()
        inner.symbols.analyze_node(node)
        refs = [inner.symbols.ref(argument.name) for argument in node.args]
        self.writeline(f"def {frame.symbols.ref(node.name)}({', '.join(refs)}):", node)
        self.nested += 1
        with self._indented():
            if node.name in self.names.recursive:
                self.writeline("context.charge(1)")
            self.enter_frame(inner)
            for index, ref in enumerate(refs):
                self.writeline(f"if {ref} is missing: {ref} = ")
                default = index - len(refs) + len(node.defaults)
                if default >= 0:
                    self.visit(node.defaults[default], inner)
                else:
                    self.write("nothing")
            self._returned(node.body, inner)
        self.nested -= 1

    def _returned(self, body: Sequence[nodes.Node], frame: Frame) -> None:
        """The rest of a macro, whose text is returned: as it is where it is one piece, else by way of a list."""
        silent = (nodes.Assign, nodes.AssignBlock)
        *before, last = body if body else [nodes.Output([])]
        if not all(isinstance(node, silent) for node in before) or not isinstance(last, (nodes.Output, nodes.If)):
            self.buffer(frame)
            self.blockvisit(body, frame)
            self.writeline(f"return concat({frame.buffer})")
            return
        for node in before:
            self.visit(node, frame)
        if isinstance(last, nodes.Output):
            text = self._pieces(last.nodes, frame)
            self.writeline(f"return {text}")
            return
        for number, branch in enumerate((last, *last.elif_)):
            self.writeline("elif " if number else "if ", branch)
            self.visit(branch.test, frame)
            self.write(":")
            with self._indented():
                self._returned(branch.body, frame)
        self._returned(last.else_, frame)

    # -- what is written

    def visit_Output(self, node: nodes.Output, frame: Frame) -> None:
        text = self._pieces(node.nodes, frame)
        if text != "''":
            self.writeline(f"{frame.buffer}.append({text})")

    def _pieces(self, parts: Sequence[nodes.Node], frame: Frame) -> str:
        """An expression for parts put together; what it is made of is written before it, where it is no constant."""
        text: list[str] = []
        plain = ""
        only = None
        for part in flattened(parts):
            if (always := constant(part)) is not None:
                plain += always
                text.append(quoted(always))
                continue
            only = self.temporary_identifier()
            self.writeline(f"{only} = ")
            self.visit(part, frame)
            text.append(f"{{{only}!s}}")
        if only is None:
            return repr(plain)
        return f"f'{''.join(text)}'"

    # -- loops

    def visit_For(self, node: nodes.For, frame: Frame) -> None:
        inner, tested, otherwise = frame.inner(), frame.inner(), frame.inner()
        names = {key: self.temporary_identifier() for key in ("i", "n", "s")}
        names["none"] = self.temporary_identifier() if node.else_ else ""
        inner_loop = inner.symbols.declare_parameter("loop")
        self.loops[inner_loop] = names
        inner.symbols.analyze_node(node, for_branch="body")
        if node.else_:
            otherwise.symbols.analyze_node(node, for_branch="else")
        chosen = self._chooser(node, tested) if node.test else ""
        perhaps = None if chosen or node.else_ else _perhaps(node.iter)
        self.writeline(f"{names['s']} = {chosen}(", node)
        self.visit(perhaps or node.iter, frame)
        self.write(")")
        if perhaps is not None:
            self.writeline(f"if {names['s']}:")
            self.indent()
        self.writeline(f"if type({names['s']}) is not list: {names['s']} = list({names['s']})")
        counted = counts(node)
        if counted or self.nested:
            self.writeline(f"{names['n']} = len({names['s']})")
        if node.else_:
            self.writeline(f"{names['none']} = True")
        if self.nested:  # a loop by itself is no longer than its data
            self.writeline(f"if {names['n']}: context.charge({names['n']})")
        self._turns(node, inner, names, counted)
        if perhaps is not None:
            self.outdent()
        if node.else_:
            self.writeline(f"if {names['none']}:")
            with self._indented():
                self.enter_frame(otherwise)
                self.blockvisit(node.else_, otherwise)

    def _turns(self, node: nodes.For, inner: Frame, names: dict[str, str], counted: bool) -> None:
        """The loop itself."""
        self.writeline(f"for {names['i']}, " if counted else "for ")
        self.visit(node.target, inner)
        self.write(f" in enumerate({names['s']}):" if counted else f" in {names['s']}:")
        self.nested += 1
        with self._indented():
            self.enter_frame(inner)
            known = self._known(node, inner)
            self.blockvisit(node.body, inner)
            if names["none"]:  # as Jinja2 has it, a turn that is broken off is none
                self.writeline(f"{names['none']} = False")
            self.keys.pop(known, None)
        self.nested -= 1

    def _known(self, node: nodes.For, frame: Frame) -> str:
        """Where a loop is over messages: looks keys up once that are asked for more than once."""
        target = node.target
        if not isinstance(target, nodes.Name) or not self.names.of_messages(node.iter):
            return ""
        body = nodes.Scope(node.body)
        if any(name.name == target.name and name.ctx != "load" for name in body.find_all(nodes.Name)):
            return ""
        ref = frame.symbols.ref(target.name)
        found: Counter[str] = Counter()
        accesses = [(use.node, use.attr) for use in body.find_all(nodes.Getattr)]
        accesses += [(use.node, getattr(use.arg, "value", "")) for use in body.find_all(nodes.Getitem)]
        for what, key in accesses:
            if isinstance(what, nodes.Name) and what.name == target.name and isinstance(key, str):
                found.update([] if hasattr(dict, key) else [key])
        self.keys[ref] = {key: self.temporary_identifier() for key, times in found.items() if times > 1}
        for key, name in self.keys[ref].items():
            self.writeline(f"{name} = {ref}[{key!r}]" if key == "role" else f"{name} = {ref}.get({key!r}, nothing)")
        return ref

    def _chooser(self, node: nodes.For, frame: Frame) -> str:
        """A function that leaves out what the loop's ``if`` leaves out."""
        assert node.test is not None
        name = self.temporary_identifier()
        frame.symbols.analyze_node(node, for_branch="test")
        self.writeline(f"def {name}(items):", node.test)
        with self._indented():
            self.enter_frame(frame)
            self.writeline("for ")
            self.visit(node.target, frame)
            self.write(" in items:")
            with self._indented():
                self.writeline("if ")
                self.visit(node.test, frame)
                self.write(":")
                with self._indented():
                    self.writeline("yield ")
                    self.visit(node.target, frame)
        return name

    @contextmanager
    def _indented(self) -> Iterator[None]:
        self.indent()
        yield
        self.outdent()


def _perhaps(node: nodes.Node) -> nodes.Expr | None:
    """What a loop is over if it is not empty: of ``x or []``, the x."""
    if isinstance(node, nodes.Or) and isinstance(node.right, nodes.List) and not node.right.items:
        return node.left
    return None


class Environment(ImmutableSandboxedEnvironment):
    """Compiles templates to a function ``make(context, environment)``, which makes the function that renders.

    Attributes:
        own_names: names that mean something to the template that was compiled last, so that no variable may have them.
        outside_names: variables that it may not have for a macro to remember what it wrote.
    """

    code_generator_class = _Generator
    own_names: frozenset[str]
    outside_names: frozenset[str]
