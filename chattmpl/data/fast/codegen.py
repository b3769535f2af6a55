"""Code generator from templates to plain Python for plain data.

It extends Jinja2's code generator, which resolves the scopes of names, and replaces calls of Jinja2's runtime by plain
Python: attributes are dict keys, output is appended to a list, and an unassigned name is one undefined value.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from itertools import chain
from typing import Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.idtracking import VAR_LOAD_RESOLVE
from jinja2.nodes import EvalContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from chattmpl.data.fast.analysis import (
    DICT_METHODS,
    FUNCTIONS,
    TEXT_METHODS,
    TemplateNames,
    analyze,
    constant_text,
    flatten_concat,
    is_function_test,
    truth_values,
    uses_loop_variable,
    without_empty_default,
)
from chattmpl.data.fast.markers import MARK, MARKERS, Unsupported

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
_APPEND = re.compile(r"( *)(\w+)\.append\((f?'.*')\)")


class _Expressions(CodeGenerator):
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
        elif isinstance(called, nodes.Name) and called.name in FUNCTIONS:
            self.write(f"context.{called.name}")
            self._arguments(node, frame)
        else:
            raise Unsupported("the template calls an unknown function")

    def _call_method(self, node: nodes.Call, method: nodes.Getattr, frame: Frame) -> None:
        if method.attr == "format":  # the sandbox has its own
            self.write("context.method(")
            self.visit(method.node, frame)
            self.write(", 'format')")
            self._arguments(node, frame)
            return
        kind = "str" if method.attr in TEXT_METHODS else "dict"
        name = self.temporary_identifier()
        direct = all(isinstance(argument, nodes.Const) for argument in node.args) and not node.kwargs
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
                self.visit(given[name], frame)
                self.write(", ")
            else:
                self.write("missing, ")
        self.write(")")

    def _arguments(self, node: nodes.Call, frame: Frame) -> None:
        self.write("(")
        for argument in (*node.args, *node.kwargs):
            self.visit(argument, frame)
            self.write(", ")
        self.write(")")


class _Generator(_Expressions):
    """Generator of a function that creates the render function.

    Attributes:
        resolved: names of the variables that the template reads from outside.
        nested: number of loops and macros around the current statement.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.resolved: dict[str, str] = {}
        self.nested = 0

    def visit_Template(self, node: nodes.Template, frame: Frame | None = None) -> None:
        self.names, self.truth_only = analyze(node), truth_values(node)
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
            self._return_body(node.body, inner)
        self.nested -= 1

    def _return_body(self, body: Sequence[nodes.Node], frame: Frame) -> None:
        """Write the rest of a macro, which returns its text: directly if it is one expression, else through a list."""
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
        self.writeline(f"if type({names['s']}) is not list: {names['s']} = list({names['s']})")
        counted = uses_loop_variable(node)
        if counted or self.nested:
            self.writeline(f"{names['n']} = len({names['s']})")
        if node.else_:
            self.writeline(f"{names['none']} = True")
        if self.nested:  # a loop that is not nested is as long as its data
            self.writeline(f"if {names['n']}: context.charge({names['n']})")
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
        self.write(f" in enumerate({names['s']}):" if counted else f" in {names['s']}:")
        self.nested += 1
        with self._indented():
            self.enter_frame(inner)
            cached = self._cache_keys(node, inner)
            self.blockvisit(node.body, inner)
            if names["none"]:  # as in Jinja2, an iteration that ends with break or continue does not count
                self.writeline(f"{names['none']} = False")
            self.keys.pop(cached, None)
        self.nested -= 1

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


def _truth(name: str) -> str:
    """Return the truth value of a variable, without a call where it is undefined."""
    return f"({name} is not nothing and {name})"


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
