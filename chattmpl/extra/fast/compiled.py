"""A renderer without provenance that compiles a template to plain Python, for plain data.

Jinja2 compiles templates for any object and any name, and asks its sandbox about each attribute. Here rows are dicts,
lists and texts that came from JSON, so most attributes are keys and most calls are methods of texts, which the compiler
writes down as such. What it does not know to be harmless it does not compile, and another renderer is taken.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.compiler import CodeGenerator, Frame, MacroRef
from jinja2.ext import loopcontrols
from jinja2.runtime import Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.utils import missing

from chattmpl.extra.fast.jinja import Refused, ToJson, first_line, refuse
from chattmpl.extra.fast.lowering import CLOSE, OPEN, RESERVED, Unfit

_STEPS = 2_000_000
"""Turns of all loops of one row together, as a bound on templates that would not end."""

_TEXT_METHODS = frozenset(name for name in vars(str) if name[0] != "_") - {
    "format",
    "format_map",
    "encode",
    "maketrans",
}
"""Methods of texts; of those that are left out the sandbox has its own, or they give what is no text."""
_DICT_METHODS = frozenset({"items", "keys", "values", "get"})
_FUNCTIONS = frozenset({"raise_exception", "strftime_now", "namespace", "range", "dict"})
_LOOP: dict[str, str] = {
    "index": "({i} + 1)",
    "index0": "{i}",
    "revindex": "({n} - {i})",
    "revindex0": "({n} - 1 - {i})",
    "first": "({i} == 0)",
    "last": "({i} == {n} - 1)",
    "length": "{n}",
    "previtem": "({s}[{i} - 1] if {i} else nothing)",
    "nextitem": "({s}[{i} + 1] if {i} + 1 < {n} else nothing)",
}
_TESTS: dict[str, str] = {
    "string": "isinstance({}, str)",
    "none": "(({}) is None)",
    "true": "(({}) is True)",
    "false": "(({}) is False)",
    "defined": "(not isinstance({}, Undefined))",
    "undefined": "isinstance({}, Undefined)",
}
_UNKNOWN: tuple[type[nodes.Node], ...] = (
    *(nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport, nodes.Block, nodes.CallBlock, nodes.FilterBlock),
    *(nodes.OverlayScope, nodes.ScopedEvalContextModifier, nodes.EvalContextModifier),
)


class _Generator(CodeGenerator):
    """Writes Python for a template that `_check` lets pass."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.loops: dict[str, dict[str, str]] = {}
        self.macros: dict[str, nodes.Macro] = {}

    def visit_Template(self, node: nodes.Template, frame: Frame | None = None) -> None:
        self.macros = _check(node)
        super().visit_Template(node, frame)

    def write_commons(self) -> None:
        super().write_commons()
        self.writeline("nothing, getitem, getattribute = context.nothing, context.getitem, context.getattribute")

    # -- scopes: nothing of a template is seen from outside

    def enter_frame(self, frame: Frame) -> None:
        loads = frame.symbols.loads
        for ref in [ref for ref, (_, name) in loads.items() if name in _FUNCTIONS]:
            del loads[ref]  # calls know where these are
        super().enter_frame(frame)

    def pop_assign_tracking(self, frame: Frame) -> None:
        self._assign_stack.pop()

    def visit_Macro(self, node: nodes.Macro, frame: Frame) -> None:
        reference, inner = self.macro_body(node, frame)[::-1]
        if reference.accesses_caller or reference.accesses_kwargs or reference.accesses_varargs:
            raise Unfit("a macro takes any arguments")
        self.writeline(f"{frame.symbols.ref(node.name)} = ")
        self.macro_def(reference, inner)

    def macro_def(self, macro_ref: MacroRef, frame: Frame) -> None:
        self.write("macro")

    def visit_Assign(self, node: nodes.Assign, frame: Frame) -> None:
        self.push_assign_tracking()
        self.newline(node)
        self.visit(node.target, frame)
        self.write(" = ")
        self.visit(node.node, frame)
        self.pop_assign_tracking(frame)

    # -- expressions

    def visit_Name(self, node: nodes.Name, frame: Frame) -> None:
        if node.ctx != "load":
            super().visit_Name(node, frame)
            return
        ref = frame.symbols.ref(node.name)
        if ref in self.loops:
            raise Unfit("the template hands a loop on")
        load = frame.symbols.find_load(ref)
        if load is not None and load[0] == "param" and not self.parameter_is_undeclared(ref):
            self.write(ref)
        else:
            self.write(f"(nothing if {ref} is missing else {ref})")

    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:
        if isinstance(node.node, nodes.Name) and node.node.name == "loop":
            names = self.loops.get(frame.symbols.ref("loop"))
            if names is None or node.attr not in _LOOP:
                raise Unfit(f"the template uses loop.{node.attr}")
            self.write(_LOOP[node.attr].format(**names))
            return
        if hasattr(dict, node.attr):  # a method, which only calls have use for
            raise Unfit(f"the template uses .{node.attr}, which dicts have as a method")
        self._key(node.node, node.attr, "getattribute", frame)

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        if isinstance(node.arg, nodes.Slice):
            super().visit_Getitem(node, frame)
        elif (
            isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str) and not hasattr(dict, node.arg.value)
        ):
            self._key(node.node, node.arg.value, "getitem", frame)
        else:
            self.write("getitem(")
            self.visit(node.node, frame)
            self.write(", ")
            self.visit(node.arg, frame)
            self.write(")")

    def _key(self, node: nodes.Expr, key: str, otherwise: str, frame: Frame) -> None:
        """A key of what is most likely a dict."""
        name = self.temporary_identifier()
        self.write(f"({name}.get({key!r}, nothing) if type({name} := ")
        self.visit(node, frame)
        self.write(f") is dict else {otherwise}({name}, {key!r}))")

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("concat((")
        for part in node.nodes:
            plain = isinstance(part, nodes.Const) and isinstance(part.value, str)
            self.write("" if plain else "str(")
            self.visit(part, frame)
            self.write(", " if plain else "), ")
        self.write("))")

    def visit_Test(self, node: nodes.Test, frame: Frame) -> None:
        if node.name not in _TESTS or node.args or node.kwargs or node.dyn_args or node.dyn_kwargs:
            super().visit_Test(node, frame)
            return
        before, after = _TESTS[node.name].split("{}")
        self.write(before)
        self.visit(node.node, frame)
        self.write(after)

    def visit_Call(self, node: nodes.Call, frame: Frame, forward_caller: bool = False) -> None:
        if node.dyn_args or node.dyn_kwargs:
            raise Unfit("a call unpacks its arguments")
        what = node.node
        if isinstance(what, nodes.Getattr) and what.attr in _TEXT_METHODS | _DICT_METHODS:
            kind = "str" if what.attr in _TEXT_METHODS else "dict"
            name = self.temporary_identifier()
            self.write(f"({name}.{what.attr} if type({name} := ")
            self.visit(what.node, frame)
            self.write(f") is {kind} else context.method({name}, {what.attr!r}))(")
            self._arguments(node, frame)
        elif isinstance(what, nodes.Name) and what.name in self.macros:
            self._call_macro(node, self.macros[what.name], frame)
        elif isinstance(what, nodes.Name) and what.name in _FUNCTIONS:
            self.write(f"context.{what.name}(")
            self._arguments(node, frame)
        else:
            raise Unfit("the template calls what is no known function")

    def _arguments(self, node: nodes.Call, frame: Frame) -> None:
        for argument in (*node.args, *node.kwargs):
            self.visit(argument, frame)
            self.write(", ")
        self.write(")")

    def _call_macro(self, node: nodes.Call, macro: nodes.Macro, frame: Frame) -> None:
        names = [argument.name for argument in macro.args]
        given = dict(zip(names, node.args, strict=False))
        given |= {pair.key: pair.value for pair in node.kwargs}
        if (
            len(node.args) > len(names)
            or len(given) < len(node.args) + len(node.kwargs)
            or not given.keys() <= {*names}
        ):
            raise Unfit(f"the macro {macro.name} is called with other arguments than it takes")
        self.write(f"{frame.symbols.ref(macro.name)}(")
        for name in names:
            if name in given:
                self.visit(given[name], frame)
                self.write(", ")
            else:
                self.write("missing, ")
        self.write(")")

    # -- loops

    def visit_For(self, node: nodes.For, frame: Frame) -> None:
        inner, tested, otherwise = frame.inner(), frame.inner(), frame.inner()
        inner.loop_frame = True
        names = {key: self.temporary_identifier() for key in ("i", "n", "s")}
        inner_loop = inner.symbols.declare_parameter("loop")
        self.loops[inner_loop] = names
        inner.symbols.analyze_node(node, for_branch="body")
        if node.else_:
            otherwise.symbols.analyze_node(node, for_branch="else")
        chosen = self._chooser(node, tested) if node.test else ""
        self.writeline(f"{names['s']} = list({chosen}(", node)
        self.visit(node.iter, frame)
        self.write("))")
        self.writeline(f"{names['n']} = len({names['s']})")
        self.writeline(f"context.charge({names['n']})")
        self.writeline(f"for {names['i']}, ")
        self.visit(node.target, inner)
        self.write(f" in enumerate({names['s']}):")
        with self._indented():
            self.enter_frame(inner)
            self.blockvisit(node.body, inner)
        self.leave_frame(inner)
        if node.else_:
            self.writeline(f"if not {names['n']}:")
            with self._indented():
                self.enter_frame(otherwise)
                self.blockvisit(node.else_, otherwise)
                self.leave_frame(otherwise)

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


def _check(tree: nodes.Template) -> dict[str, nodes.Macro]:
    """The macros of a template that can be compiled.

    Raises:
        Unfit: for any other.
    """
    if next(tree.find_all(_UNKNOWN), None) is not None:
        raise Unfit("the template has blocks that are not compiled")
    macros: dict[str, nodes.Macro] = {}
    for macro in tree.find_all(nodes.Macro):
        if macro.name in macros or macro not in tree.body:
            raise Unfit(f"the macro {macro.name} is defined in more than one way")
        macros[macro.name] = macro
    stored = {name.name for name in tree.find_all(nodes.Name) if name.ctx in ("store", "param")}
    if stored & (macros.keys() | _FUNCTIONS):
        raise Unfit("the template gives a function's name to something else")
    called = {id(call.node) for call in tree.find_all(nodes.Call)}
    for name in tree.find_all(nodes.Name):
        if name.ctx == "load" and name.name in macros.keys() | _FUNCTIONS and id(name) not in called:
            raise Unfit("the template hands a function on")
    for attribute in tree.find_all(nodes.Getattr):
        if attribute.attr.startswith("_"):
            raise Unfit("the template uses private attributes")
    for space in tree.find_all(nodes.NSRef):
        if hasattr(dict, space.attr):
            raise Unfit("a namespace has a name that dicts have too")
    if any(loop.recursive for loop in tree.find_all(nodes.For)):
        raise Unfit("a loop is recursive")
    return macros


class _Environment(ImmutableSandboxedEnvironment):
    code_generator_class = _Generator


class _Context:
    """What the compiled template asks for while it renders one row."""

    left: int
    resolve_or_missing: Callable[[str], Any]

    def __init__(self, environment: _Environment, now: Callable[[], datetime]) -> None:
        self.environment, self.eval_ctx = environment, nodes.EvalContext(environment)
        self.nothing = nothing = Undefined()
        self.getattribute = environment.getattr
        self.namespace = self.dict = dict
        self.range = safe_range
        self.raise_exception = refuse
        self.strftime_now = lambda format: now().strftime(format)

        def getitem(value: Any, key: Any) -> Any:
            kind = type(value)
            if kind is list or kind is tuple or kind is str or kind is dict:
                try:
                    return value[key]
                except (TypeError, LookupError):
                    if kind is list and type(key) is int:
                        return nothing
            return environment.getitem(value, key)

        def method(value: Any, name: str) -> Any:
            if isinstance(value, (str, dict, list, tuple)):
                return environment.getattr(value, name)
            raise Refused

        self.getitem, self.method = getitem, method

    def charge(self, steps: int) -> None:
        """Counts the turns of a loop."""
        self.left -= steps
        if self.left < 0:
            raise Refused


class _Variables(dict[str, Any]):
    def __missing__(self, name: str) -> Any:
        self[name] = missing  # it will be asked for again
        return missing


class CompiledRenderer:
    """The template as Python code."""

    name = "python"

    def __init__(self, source: str, now: Callable[[], datetime]) -> None:
        environment = _Environment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        self._tojson = ToJson()
        environment.filters["tojson"] = self._tojson
        try:
            code = environment.compile(source, "chat", "<chat>")
            space: dict[str, Any] = {"environment": environment, "__file__": "<chat>"}
            exec(code, space)
            self._root = space["root"]
        except Unfit as unfit:
            raise Unfit(f"the template cannot be compiled to Python ({unfit})") from None
        except (TemplateError, SyntaxError, RecursionError) as error:
            raise Unfit(f"the template cannot be compiled to Python ({first_line(error)})") from error
        self._context, self._lock = _Context(environment, now), threading.Lock()
        self._constants = {f"{RESERVED}open": OPEN, f"{RESERVED}close": CLOSE}

    def render(self, variables: dict[str, Any]) -> str:
        """The text of one conversation."""
        if not _FUNCTIONS.isdisjoint(variables):
            raise Refused
        context = self._context
        with self._lock:
            context.left = _STEPS
            context.resolve_or_missing = _Variables(variables, **self._constants).__getitem__
            self._tojson.know(variables.get("tools"))
            return "".join(self._root(context))
