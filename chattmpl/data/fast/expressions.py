# ruff: noqa: D102 — Jinja2 calls the visitors by the names of nodes
"""Expressions of a template as plain Python."""

from __future__ import annotations

from io import StringIO
from typing import Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.idtracking import VAR_LOAD_RESOLVE

from chattmpl.data.fast.compilable import DICT_METHODS, FUNCTIONS, TEXT_METHODS, Names
from chattmpl.data.fast.markers import Unfit
from chattmpl.data.fast.pieces import constant, flattened

_GROWS = frozenset({"splitlines", "split", "rsplit", "partition", "rpartition"})
"""Methods of texts that give no text, and none of those that tell something of one."""
_TELLS = frozenset(name for name in TEXT_METHODS if name.startswith("is")) | {
    *("startswith", "endswith", "find", "rfind", "index", "rindex", "count"),
    *_GROWS,
}
_TEXT_FILTERS = frozenset({"tojson", "trim", "string", "upper", "lower", "capitalize", "title", "join", "replace"})
_STILL = (nodes.Const, nodes.TemplateData, nodes.Name)
"""What can be left out where it is not needed, for it does nothing but stand for a value."""
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
    "mapping": "isinstance({}, dict)",
    "none": "(({}) is None)",
    "true": "(({}) is True)",
    "false": "(({}) is False)",
    "defined": "(not isinstance({}, Undefined))",
    "undefined": "isinstance({}, Undefined)",
}


class Expressions(CodeGenerator):
    """Writes Python for the expressions of a template that is harmless.

    Attributes:
        names: what is known of the names in the template.
        loops: for the loops around what is being written the names of index, length and list, by those of ``loop``.
        keys: for variables that hold messages the names of keys that were looked up.
        asked: ids of the nodes of which only the truth is asked, which takes a call where nothing is undefined.
    """

    names: Names

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.loops: dict[str, dict[str, str]] = {}
        self.keys: dict[str, dict[str, str]] = {}
        self.asked: set[int] = set()

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
        if macro.name in self.names.passing and [*given] == names[:1]:
            name = self.temporary_identifier()
            self.write(f"({name} if type({name} := ")
            self.visit(given[names[0]], frame)
            self.write(f") is str else {frame.symbols.ref(macro.name)}({name}))")
            return
        ref = frame.symbols.ref(macro.name)
        varying = [argument for argument in given.values() if not all(map(constant, flattened([argument])))]
        names_of_tools = [
            frame.symbols.ref(argument.name)
            for argument in varying
            if isinstance(argument, nodes.Name) and frame.symbols.ref(argument.name).startswith("l_0_")
        ]  # tools are named at the top
        if macro.name in self.names.pure and len(varying) == 1 and names_of_tools:
            call = self.temporary_identifier()  # its constants are those of this call
            self.write(f"context.written_by({call!r}, {names_of_tools[0]}, {ref}, ")
        else:
            self.write(f"{ref}(")
        for name in names:
            if name in given:
                self.visit(given[name], frame)
                self.write(", ")
            else:
                self.write("missing, ")
        self.write(")")

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("concat((")
        for part in flattened([node]):
            if (always := constant(part)) is not None:
                self.write(f"{always!r}, ")
            else:
                plain = self._is_text(part)
                self.write("" if plain else "str(")
                self.visit(part, frame)
                self.write(", " if plain else "), ")
        self.write("))")

    def _written(self, node: nodes.Expr, frame: Frame) -> str:
        """What is written for an expression."""
        stream, self.stream = self.stream, StringIO()
        self.visit(node, frame)
        self.stream, piece = stream, self.stream
        return piece.getvalue()  # type: ignore[attr-defined,no-any-return]

    def _is_text(self, node: nodes.Node) -> bool:
        """Whether an expression is a text, if it is anything."""
        if isinstance(node, nodes.Filter):
            return node.name in _TEXT_FILTERS
        if not isinstance(node, nodes.Call):
            return isinstance(node, nodes.Concat)
        if isinstance(node.node, nodes.Name):
            return node.node.name in self.names.macros
        return isinstance(node.node, nodes.Getattr) and node.node.attr in TEXT_METHODS - _TELLS

    # -- expressions

    def visit_Name(self, node: nodes.Name, frame: Frame) -> None:
        if node.ctx != "load":
            super().visit_Name(node, frame)
            return
        ref = frame.symbols.ref(node.name)
        if ref in self.loops:
            raise Unfit("the template hands a loop on")
        from_outside = (frame.symbols.find_load(ref) or ("",))[0] == VAR_LOAD_RESOLVE
        self.write(_truth(ref) if from_outside and id(node) in self.asked else ref)

    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:
        if isinstance(node.node, nodes.Name) and node.node.name == "loop":
            names = self.loops.get(frame.symbols.ref("loop"))
            if names is None or node.attr not in _LOOP:
                raise Unfit(f"the template uses loop.{node.attr}")
            self.write(_LOOP[node.attr].format(**names))
            return
        if hasattr(dict, node.attr):  # a method, which only calls have use for
            raise Unfit(f"the template uses .{node.attr}, which dicts have as a method")
        self._key(node, node.attr, "getattribute", frame)

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        if isinstance(node.arg, nodes.Slice):
            super().visit_Getitem(node, frame)
            return
        key = node.arg.value if isinstance(node.arg, nodes.Const) else None
        if isinstance(key, str) and not hasattr(dict, key):
            self._key(node, key, "getitem", frame)
            return
        if key == 0 or key == -1:
            name = self.temporary_identifier()
            self.write(f"({name}[{key}] if type({name} := ")
            self.visit(node.node, frame)
            self.write(f") is list and {name} else getitem({name}, {key!r}))")
            return
        self.write("getitem(")
        self.visit(node.node, frame)
        self.write(", ")
        self.visit(node.arg, frame)
        self.write(")")

    def _key(self, access: nodes.Getattr | nodes.Getitem, key: str, otherwise: str, frame: Frame) -> None:
        """A key of what is most likely a dict."""
        node, asked = access.node, id(access) in self.asked
        get = f".get({key!r})" if asked else f".get({key!r}, nothing)"
        if isinstance(node, nodes.Name):
            ref = frame.symbols.ref(node.name)
            if ref in self.keys:
                known = self.keys[ref].get(key)
                if known is not None and key != "role":
                    self.write(_truth(known) if asked else known)
                else:  # each message has a role
                    self.write(known or (f"{ref}['role']" if key == "role" else f"{ref}{get}"))
                return
            if key in self.names.namespaces.get(node.name, ()):
                self.write(f"{ref}[{key!r}]")
                return
        name = self.temporary_identifier()
        self.write(f"({name}{get} if type({name} := ")
        self.visit(node, frame)
        self.write(f") is dict else {otherwise}({name}, {key!r}))")

    def visit_Test(self, node: nodes.Test, frame: Frame) -> None:
        plain = not (node.args or node.kwargs or node.dyn_args or node.dyn_kwargs)
        if node.name not in _TESTS or not plain or isinstance(node.node, nodes.Const):
            super().visit_Test(node, frame)
            return
        before, after = _TESTS[node.name].split("{}")
        value = self._written(node.node, frame)
        # nearly all texts are of that very type, which is seen sooner
        sooner = f"(type({value}) is str or " if node.name == "string" and value.isidentifier() else ""
        self.write(f"{sooner}{before}{value}{after}{')' if sooner else ''}")

    def visit_Filter(self, node: nodes.Filter, frame: Frame) -> None:
        plain = not (node.kwargs or node.dyn_args or node.dyn_kwargs)
        name = self.temporary_identifier()
        if plain and node.node is not None and node.name == "trim" and not node.args:
            self.write(f"({name}.strip() if type({name} := ")
            self.visit(node.node, frame)
            self.write(f") is str else {self.filters[node.name]}({name}))")
        elif plain and node.name in ("default", "d") and len(node.args) == 1 and isinstance(node.args[0], _STILL):
            assert node.node is not None
            self.write("(")
            self.visit(node.args[0], frame)
            self.write(f" if isinstance({name} := ")
            self.visit(node.node, frame)
            self.write(f", Undefined) else {name})")
        else:
            super().visit_Filter(node, frame)

    def visit_CondExpr(self, node: nodes.CondExpr, frame: Frame) -> None:
        self.write("(")
        self.visit(node.expr1, frame.soft())
        self.write(" if ")
        self.visit(node.test, frame.soft())
        self.write(" else ")
        if node.expr2 is None:
            self.write("nothing")
        else:
            self.visit(node.expr2, frame.soft())
        self.write(")")

    def visit_Call(self, node: nodes.Call, frame: Frame, forward_caller: bool = False) -> None:
        if node.dyn_args or node.dyn_kwargs:
            raise Unfit("a call unpacks its arguments")
        what = node.node
        if isinstance(what, nodes.Getattr) and what.attr in TEXT_METHODS | DICT_METHODS:
            kind = "str" if what.attr in TEXT_METHODS else "dict"
            name = self.temporary_identifier()
            direct = all(isinstance(argument, nodes.Const) for argument in node.args) and not node.kwargs
            value = self._written(what.node, frame)
            if value.isidentifier():
                name, value = value, ""
            self.write(f"({name}.{what.attr}")
            if direct:
                self._arguments(node, frame)
            self.write(
                f" if type({name}{' := ' if value else ''}{value}) is {kind} else context.method({name}, {what.attr!r})"
                + ("" if direct else ")")
            )
            self._arguments(node, frame)
            self.write(")" if direct else "")
        elif isinstance(what, nodes.Name) and what.name in self.names.macros:
            self._call_macro(node, self.names.macros[what.name], frame)
        elif isinstance(what, nodes.Name) and what.name in FUNCTIONS:
            self.write(f"context.{what.name}")
            self._arguments(node, frame)
        else:
            raise Unfit("the template calls what is no known function")

    def _arguments(self, node: nodes.Call, frame: Frame) -> None:
        self.write("(")
        for argument in (*node.args, *node.kwargs):
            self.visit(argument, frame)
            self.write(", ")
        self.write(")")


def _truth(name: str) -> str:
    """Whether what a name stands for is true, without a call where it is undefined."""
    return f"({name} is not nothing and {name})"


def asked_for_truth(tree: nodes.Node) -> set[int]:
    """The ids of the nodes of which nothing but the truth is asked."""
    found: set[int] = set()
    ahead: list[nodes.Node | None] = [node.node for node in tree.find_all(nodes.Not)]
    ahead += [node.test for node in tree.find_all(nodes.If)]
    ahead += [node.test for node in tree.find_all(nodes.CondExpr)]
    while ahead:
        node = ahead.pop()
        if isinstance(node, (nodes.And, nodes.Or)):
            ahead += (node.left, node.right)
        elif node is not None:
            found.add(id(node))
    return found
