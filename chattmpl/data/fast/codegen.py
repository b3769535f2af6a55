"""Code generator from templates to plain Python for plain data.

It extends Jinja2's code generator, which resolves the scopes of names, and replaces calls of Jinja2's runtime by plain
Python: attributes are dict keys, output is appended to a list, and an unassigned name is one undefined value.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from itertools import chain
from typing import Any

from jinja2 import nodes
from jinja2.compiler import Frame
from jinja2.nodes import EvalContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from chattmpl.data.fast.analysis import (
    FUNCTIONS,
    analyze,
    appended,
    constant_text,
    flatten_concat,
    may_grow,
    truth_values,
    uses_loop_variable,
    without_empty_default,
)
from chattmpl.data.fast.expression_code import Expressions
from chattmpl.data.fast.limits import SMALL
from chattmpl.data.fast.markers import MARK, MARKERS

_STRETCH = 2000
"""Number of expressions in a block after which they are counted."""
_APPEND = re.compile(r"( *)(\w+)\.append\((f?'.*')\)")


class _Generator(Expressions):
    """Generator of a function that creates the render function.

    Attributes:
        resolved: names of the variables that the template reads from outside.
        weighed: ids of the lists that are measured before they are appended to another.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.resolved: dict[str, str] = {}
        self.weighed: set[int] = set()

    def visit_Template(self, node: nodes.Template, frame: Frame | None = None) -> None:
        self.names, self.truth_only = analyze(node), truth_values(node)
        self.environment.own_names = FUNCTIONS | self.names.namespaces.keys()  # type: ignore[attr-defined]
        self.environment.outside_names = frozenset(chain(*self.names.pure.values()))  # type: ignore[attr-defined]
        self.writeline("def make(context, environment):")
        self.indent()
        self.writeline("nothing, getitem, getattribute = context.nothing, context.getitem, context.getattribute")
        self.writeline("missing, Undefined, concat = context.missing, context.Undefined, ''.join")
        for name in ("watch", "step", "weigh", "listed", "buffer", "joined", "number"):
            self.writeline(f"{name} = context.limits.{name}")
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
        self.stream = StringIO(_merge_appends(self.stream.getvalue()))  # type: ignore[attr-defined]

    # -- scopes: nothing of a template is visible from outside

    def enter_frame(self, frame: Frame) -> None:
        for ref, (action, name) in frame.symbols.loads.items():
            if name in FUNCTIONS or name in MARKERS or ref.endswith(MARK):
                continue  # these are not variables of the compiled code
            if action == "resolve":
                self.writeline(f"{ref} = {self._resolved(str(name))}")
            elif action == "alias":
                self.writeline(f"{ref} = {name}")
            elif action == "undefined":
                self.writeline(f"{ref} = nothing")

    def leave_frame(self, frame: Frame, with_python_scope: bool = False) -> None:
        pass

    def _resolved(self, name: str) -> str:
        """Return the variable that holds a name's value from outside the template, looked up once."""
        if name in self.names.namespaces:
            return "nothing"
        return self.resolved.setdefault(name, f"given_{len(self.resolved)}")

    def pop_assign_tracking(self, frame: Frame) -> None:
        self._assign_stack.pop()

    def visit_Assign(self, node: nodes.Assign, frame: Frame) -> None:
        if isinstance(node.target, nodes.Name) and node.target.name == MARK:
            return
        self.push_assign_tracking()
        self._check_namespaces(node.target, frame)
        self.newline(node)
        self.visit(node.target, frame)
        self.write(" = ")
        lists = appended(node.node)
        self.weighed.update(map(id, lists))
        self.visit(node.node, frame)
        if not lists and may_grow(node.node, self.names):
            for name in _targets(node.target):
                ref = frame.symbols.ref(name.name)
                if isinstance(name, nodes.NSRef):
                    is_dict = name.name in self.names.namespaces
                    ref = f"{ref}[{name.attr!r}]" if is_dict else f"getattribute({ref}, {name.attr!r})"
                self.writeline(f"if type({ref}) is not str or len({ref}) > {SMALL}: weigh({ref})")
        self.pop_assign_tracking(frame)

    def _check_namespaces(self, target: nodes.Node, frame: Frame) -> None:
        """Write the check that attributes are assigned to namespaces only, as nothing else may change."""
        for name in _targets(target):
            if isinstance(name, nodes.NSRef) and name.name not in self.names.namespaces:
                ref = frame.symbols.ref(name.name)
                self.writeline(f"if not isinstance({ref}, Namespace):")
                self.writeline(
                    "    raise TemplateRuntimeError('the template sets an attribute of a value that is no namespace')"
                )

    def visit_List(self, node: nodes.List, frame: Frame) -> None:
        weighed = id(node) in self.weighed
        self.write("weigh(" if weighed else "")
        super().visit_List(node, frame)
        self.write(")" if weighed else "")

    def buffer(self, frame: Frame) -> None:
        frame.buffer = self.temporary_identifier()
        self.writeline(f"{frame.buffer} = buffer()")

    def blockvisit(self, nodes: Iterable[nodes.Node], frame: Frame) -> None:
        """Write the statements of a block, and count their expressions if there are many."""
        self.writeline("pass")
        work = 0
        for node in nodes:
            work += self.names.work_of([node])
            if work > _STRETCH:
                self.writeline(f"step({work})")
                work = 0
            self.visit(node, frame)

    def visit_AssignBlock(self, node: nodes.AssignBlock, frame: Frame) -> None:
        block = frame.inner()
        block.symbols.analyze_node(node)
        self.push_assign_tracking()
        self.enter_frame(block)
        self.buffer(block)
        self.blockvisit(node.body, block)
        self._check_namespaces(node.target, frame)
        self.newline(node)
        self.visit(node.target, frame)
        self.write(" = ")
        if node.filter is not None:
            self.visit_Filter(node.filter, block)
        else:
            self.write(f"joined({block.buffer})")
        self.pop_assign_tracking(frame)

    # -- macros

    def visit_Macro(self, node: nodes.Macro, frame: Frame) -> None:
        inner = frame.inner()
        inner.symbols.analyze_node(node)
        refs = [inner.symbols.ref(argument.name) for argument in node.args]
        self.writeline(f"def {frame.symbols.ref(node.name)}({', '.join(refs)}):", node)
        with self._indented():
            if node.name in self.names.counted:
                self.writeline(f"step({self.names.work_of(node.body)})")
            self.enter_frame(inner)
            for index, ref in enumerate(refs):
                self.writeline(f"if {ref} is missing: {ref} = ")
                default = index - len(refs) + len(node.defaults)
                if default >= 0:
                    self.visit(node.defaults[default], inner)
                else:
                    self.write("nothing")
            self._return_body(node.body, inner)

    def _return_body(self, body: Sequence[nodes.Node], frame: Frame) -> None:
        """Write the rest of a macro, which returns its text: directly if it is one expression, else through a list."""
        silent = (nodes.Assign, nodes.AssignBlock)
        *before, last = body if body else [nodes.Output([])]
        if not all(isinstance(node, silent) for node in before) or not isinstance(last, (nodes.Output, nodes.If)):
            self.buffer(frame)
            self.blockvisit(body, frame)
            self.writeline(f"return joined({frame.buffer})")
            return
        for node in before:
            self.visit(node, frame)
        if isinstance(last, nodes.Output):
            text = self._joined(last.nodes, frame)
            self.writeline(f"return {text}")
            return
        for number, branch in enumerate((last, *last.elif_)):
            self.writeline("elif " if number else "if ", branch)
            self.visit(branch.test, frame)
            self.write(":")
            with self._indented():
                self._return_body(branch.body, frame)
        self._return_body(last.else_, frame)

    # -- output

    def visit_Output(self, node: nodes.Output, frame: Frame) -> None:
        text = self._joined(node.nodes, frame)
        if text != "''":
            self.writeline(f"{frame.buffer}.append({text})")

    def _joined(self, parts: Sequence[nodes.Node], frame: Frame) -> str:
        """Return an expression for the joined parts; parts that are not constant are written before it."""
        text: list[str] = []
        plain = ""
        only = None
        for part in flatten_concat(parts):
            if (constant := constant_text(part)) is not None:
                plain += constant
                text.append(_escape_fstring(constant))
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
        self.loops[inner.symbols.declare_parameter("loop")] = names
        inner.symbols.analyze_node(node, for_branch="body")
        if node.else_:
            otherwise.symbols.analyze_node(node, for_branch="else")
        select = self._filter_function(node, tested) if node.test else ""
        optional = None if select or node.else_ else without_empty_default(node.iter)
        self.writeline(f"{names['s']} = {select}(", node)
        self.visit(optional or node.iter, frame)
        self.write(")")
        if optional is not None:
            self.writeline(f"if {names['s']}:")
            self.indent()
        self.writeline(f"if type({names['s']}) is not list: {names['s']} = listed({names['s']})")
        counted = uses_loop_variable(node)
        if counted:
            self.writeline(f"{names['n']} = len({names['s']})")
        if node.else_:
            self.writeline(f"{names['none']} = True")
        self._loop_body(node, inner, names, counted)
        if optional is not None:
            self.outdent()
        if node.else_:
            self.writeline(f"if {names['none']}:")
            with self._indented():
                self.enter_frame(otherwise)
                self.blockvisit(node.else_, otherwise)

    def _loop_body(self, node: nodes.For, inner: Frame, names: dict[str, str], counted: bool) -> None:
        self.writeline(f"for {names['i']}, " if counted else "for ")
        self.visit(node.target, inner)
        items = f"watch({names['s']}, {self.names.work_of(node.body)})"
        self.write(f" in enumerate({items}):" if counted else f" in {items}:")
        with self._indented():
            self.enter_frame(inner)
            cached = self._cache_keys(node, inner)
            self.blockvisit(node.body, inner)
            if names["none"]:  # as in Jinja2, an iteration that ends with break or continue does not count
                self.writeline(f"{names['none']} = False")
            self.keys.pop(cached, None)

    def _cache_keys(self, node: nodes.For, frame: Frame) -> str:
        """Look up keys that are read more than once in a loop over messages; return the message's variable."""
        target = node.target
        if not isinstance(target, nodes.Name) or not self.names.is_messages(node.iter):
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

    def _filter_function(self, node: nodes.For, frame: Frame) -> str:
        """Write a generator of the items for which the condition of a loop holds; return its name."""
        assert node.test is not None
        name = self.temporary_identifier()
        frame.symbols.analyze_node(node, for_branch="test")
        self.writeline(f"def {name}(items):", node.test)
        with self._indented():
            self.enter_frame(frame)
            self.writeline("for ")
            self.visit(node.target, frame)
            self.write(
                f" in watch(items if type(items) is list else listed(items), {self.names.work_of([node.test])}):"
            )
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


def _targets(target: nodes.Node) -> Iterator[nodes.Name | nodes.NSRef]:
    """Yield the names that an assignment assigns to."""
    if isinstance(target, (nodes.Name, nodes.NSRef)):
        yield target
    for item in target.find_all((nodes.Name, nodes.NSRef)):
        assert isinstance(item, (nodes.Name, nodes.NSRef))
        yield item


def _escape_fstring(text: str) -> str:
    """Return a text as the contents of an f-string in single quotes."""
    # After a double quotation mark, repr always uses single ones.
    return repr('"' + text)[2:-1].replace("{", "{{").replace("}", "}}")


def _merge_appends(source: str) -> str:
    """Merge consecutive appends of constants into one, and drop superfluous ``pass`` statements."""
    lines: list[str] = []
    before: tuple[str, ...] = ()
    for line in source.split("\n"):
        found = _APPEND.fullmatch(line)
        if line.strip() == "pass" and lines and not lines[-1].endswith(":"):
            continue
        if found and before[:2] == found.groups()[:2]:
            before = (*before[:2], f"{before[2]} {found[3]}")
            lines[-1] = f"{before[0]}{before[1]}.append({before[2]})"
            continue
        before = found.groups() if found else ()
        lines.append(line)
    return "\n".join(lines)


class Environment(ImmutableSandboxedEnvironment):
    """Environment that compiles a template to ``make(context, environment)``, which returns the render function.

    Attributes:
        own_names: names of functions and namespaces of the last compiled template; no variable may have one of them.
        outside_names: variables that must be absent for the output of macros to be cached.
    """

    code_generator_class = _Generator
    own_names: frozenset[str]
    outside_names: frozenset[str]
