# ruff: noqa: D102 — Jinja2 calls the visitors by the names of nodes
"""Expressions of templates as plain Python for plain data."""

from __future__ import annotations

from io import StringIO
from typing import Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.idtracking import VAR_LOAD_RESOLVE

from chattmpl.data.fast.analysis import (
    DICT_METHODS,
    FROM_RIGHT,
    FUNCTIONS,
    GROWING_METHODS,
    TEXT_METHODS,
    TemplateNames,
    constant_text,
    flatten_concat,
    is_function_test,
    is_number,
    may_grow,
)
from chattmpl.data.fast.markers import Unsupported

_NOT_TEXT = frozenset(name for name in TEXT_METHODS if name.startswith("is")) | {
    *("startswith", "endswith", "find", "rfind", "index", "rindex", "count"),
    *("splitlines", "split", "rsplit", "partition", "rpartition"),
}
"""Methods of strings that do not return a string."""
_TEXT_FILTERS = frozenset({"tojson", "trim", "string", "upper", "lower", "capitalize", "title", "join", "replace"})
_WITHOUT_EFFECT = [[nodes.Const], [nodes.TemplateData], [nodes.Name]]
"""Types of arguments that need not be evaluated if their value is not used."""
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
    """Generator of Python expressions.

    Attributes:
        names: kinds of the names in the template.
        loops: for each enclosing loop, by the name of ``loop``, the names of its index (i), length (n) and list (s).
        keys: for variables that hold messages, the names of keys that were looked up.
        truth_only: ids of the nodes of which only the truth value matters.
    """

    names: TemplateNames

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.loops: dict[str, dict[str, str]] = {}
        self.keys: dict[str, dict[str, str]] = {}
        self.truth_only: set[int] = set()

    def _generated(self, node: nodes.Expr, frame: Frame) -> str:
        """Return the code of an expression."""
        stream, self.stream = self.stream, StringIO()
        self.visit(node, frame)
        self.stream, code = stream, self.stream
        return code.getvalue()  # type: ignore[attr-defined,no-any-return]

    def _is_text(self, node: nodes.Node) -> bool:
        """Return true if an expression can only give a string."""
        if isinstance(node, nodes.Filter):
            return node.name in _TEXT_FILTERS
        if not isinstance(node, nodes.Call):
            return isinstance(node, nodes.Concat)
        if isinstance(node.node, nodes.Name):
            return node.node.name in self.names.macros
        return isinstance(node.node, nodes.Getattr) and node.node.attr in TEXT_METHODS - _NOT_TEXT

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("concat((")
        for part in flatten_concat([node]):
            if (constant := constant_text(part)) is not None:
                self.write(f"{constant!r}, ")
            else:
                plain = self._is_text(part)
                self.write("" if plain else "str(")
                self.visit(part, frame)
                self.write(", " if plain else "), ")
        self.write("))")

    def visit_Name(self, node: nodes.Name, frame: Frame) -> None:
        if node.ctx != "load":
            super().visit_Name(node, frame)
            return
        ref = frame.symbols.ref(node.name)
        if ref in self.loops:
            raise Unsupported("the template uses loop as a value")
        from_outside = (frame.symbols.find_load(ref) or ("",))[0] == VAR_LOAD_RESOLVE
        self.write(_truth(ref) if from_outside and id(node) in self.truth_only else ref)

    def visit_Mul(self, node: nodes.BinExpr, frame: Frame) -> None:
        """Write an operation on numbers; a string is repeated or formatted on the exact path."""
        self.write("(number(")
        self.visit(node.left, frame)
        self.write(f") {node.operator} number(")
        self.visit(node.right, frame)
        self.write("))")

    def visit_Mod(self, node: nodes.BinExpr, frame: Frame) -> None:
        if is_number(node.left):
            super().visit_Mod(node, frame)
        else:
            self.visit_Mul(node, frame)

    def visit_Pow(self, node: nodes.BinExpr, frame: Frame) -> None:
        raise Unsupported("the template uses **")

    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:
        if isinstance(node.node, nodes.Name) and node.node.name == "loop":
            names = self.loops.get(frame.symbols.ref("loop"))
            if names is None or node.attr not in _LOOP:
                raise Unsupported(f"the template uses loop.{node.attr}")
            self.write(_LOOP[node.attr].format(**names))
            return
        if hasattr(dict, node.attr):  # a method, which is supported only where it is called
            raise Unsupported(f"the template uses .{node.attr}, which is a method of dicts")
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
        """Write the lookup of a key in a value that is most likely a dict."""
        node, truth_only = access.node, id(access) in self.truth_only
        get = f".get({key!r})" if truth_only else f".get({key!r}, nothing)"
        if isinstance(node, nodes.Name):
            ref = frame.symbols.ref(node.name)
            if ref in self.keys:
                known = self.keys[ref].get(key)
                if known is not None and key != "role":
                    self.write(_truth(known) if truth_only else known)
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
        if is_function_test(node):
            self.write(str(node.name == "defined"))
            return
        if node.name not in _TESTS or not plain or isinstance(node.node, nodes.Const):
            super().visit_Test(node, frame)
            return
        before, after = _TESTS[node.name].split("{}")
        value = self._generated(node.node, frame)
        # Nearly all strings are of exactly that type, which is faster to check.
        faster = f"(type({value}) is str or " if node.name == "string" and value.isidentifier() else ""
        self.write(f"{faster}{before}{value}{after}{')' if faster else ''}")

    def visit_Filter(self, node: nodes.Filter, frame: Frame) -> None:
        plain = not (node.kwargs or node.dyn_args or node.dyn_kwargs)
        name = self.temporary_identifier()
        if plain and node.node is not None and node.name == "trim" and not node.args:
            self.write(f"({name}.strip() if type({name} := ")
            self.visit(node.node, frame)
            self.write(f") is str else {self.filters[node.name]}({name}))")
        elif plain and node.name in ("default", "d") and [*map(type, node.args)] in _WITHOUT_EFFECT:
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
        if node.expr2 is not None:
            self.visit(node.expr2, frame.soft())
        self.write(")" if node.expr2 is not None else "nothing)")

    # -- calls

    def visit_Call(self, node: nodes.Call, frame: Frame, forward_caller: bool = False) -> None:
        if node.dyn_args or node.dyn_kwargs:
            raise Unsupported("a call unpacks its arguments")
        called = node.node
        if isinstance(called, nodes.Getattr) and called.attr in TEXT_METHODS | DICT_METHODS:
            self._call_method(node, called, frame)
        elif isinstance(called, nodes.Name) and called.name in self.names.macros:
            self._call_macro(node, self.names.macros[called.name], frame)
        elif isinstance(called, nodes.Name) and id(node) in self.names.dicts:
            self.write("{")
            for pair in node.kwargs:
                self.write(f"{pair.key!r}: ")
                self.visit(pair.value, frame)
                self.write(", ")
            self.write("}")
        elif isinstance(called, nodes.Name) and called.name in FUNCTIONS:
            self.write(f"context.{called.name}")
            self._arguments(node, frame)
        else:
            raise Unsupported("the template calls an unknown function")

    def _call_method(self, node: nodes.Call, method: nodes.Getattr, frame: Frame) -> None:
        constant = all(isinstance(argument, nodes.Const) for argument in node.args)
        if method.attr in GROWING_METHODS:
            self.write("context.method(")
            self.visit(method.node, frame)
            self.write(f", {method.attr!r})")
            self._arguments(node, frame)
            return
        if method.attr in FROM_RIGHT and not constant:
            raise Unsupported(f"the argument of {method.attr} is not constant")
        kind = "str" if method.attr in TEXT_METHODS else "dict"
        name = self.temporary_identifier()
        direct = constant and not node.kwargs
        value = self._generated(method.node, frame)
        if value.isidentifier():
            name, value = value, ""
        self.write(f"({name}.{method.attr}")
        if direct:
            self._arguments(node, frame)
        self.write(
            f" if type({name}{' := ' if value else ''}{value}) is {kind} else context.method({name}, {method.attr!r})"
            + ("" if direct else ")")
        )
        self._arguments(node, frame)
        self.write(")" if direct else "")

    def _call_macro(self, node: nodes.Call, macro: nodes.Macro, frame: Frame) -> None:
        names = [argument.name for argument in macro.args]
        given = dict(zip(names, node.args, strict=False))
        given |= {pair.key: pair.value for pair in node.kwargs}
        if (
            len(node.args) > len(names)
            or len(given) < len(node.args) + len(node.kwargs)
            or not given.keys() <= {*names}
        ):
            raise Unsupported(f"the macro {macro.name} is called with arguments that it does not accept")
        if macro.name in self.names.pass_through and [*given] == names[:1]:
            name = self.temporary_identifier()
            self.write(f"({name} if type({name} := ")
            self.visit(given[names[0]], frame)
            self.write(f") is str else {frame.symbols.ref(macro.name)}({name}))")
            return
        ref = frame.symbols.ref(macro.name)
        varying = [value for value in given.values() if not all(map(constant_text, flatten_concat([value])))]
        # The variable of the tools is a global one.
        global_refs = [
            frame.symbols.ref(value.name)
            for value in varying
            if isinstance(value, nodes.Name) and frame.symbols.ref(value.name).startswith("l_0_")
        ]
        if macro.name in self.names.pure and len(varying) == 1 and global_refs:
            call = self.temporary_identifier()  # identifies the call, and so its constant arguments
            self.write(f"context.macro_text({call!r}, {global_refs[0]}, {ref}, ")
        else:
            self.write(f"{ref}(")
        for name in names:
            if name in given:
                grows = may_grow(given[name], self.names)
                self.write("weigh(" if grows else "")
                self.visit(given[name], frame)
                self.write("), " if grows else ", ")
            else:
                self.write("missing, ")
        self.write(")")

    def _arguments(self, node: nodes.Call, frame: Frame) -> None:
        self.write("(")
        for argument in (*node.args, *node.kwargs):
            self.visit(argument, frame)
            self.write(", ")
        self.write(")")


def _truth(name: str) -> str:
    """Return the truth value of a variable, without a call where it is undefined."""
    return f"({name} is not nothing and {name})"
