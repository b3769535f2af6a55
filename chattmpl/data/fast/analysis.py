"""Static analysis of a template before it is compiled to Python: its constructs, and the kinds of its names."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from jinja2 import nodes

from chattmpl.data.fast.markers import MARKERS, Unsupported

GROWING_METHODS = frozenset({"replace", "join", "format"})
"""Methods of strings whose result may be much longer than the string."""
TEXT_METHODS = frozenset(name for name in vars(str) if name[0] != "_") - {
    *("format_map", "encode", "maketrans", "translate", "center", "ljust", "rjust", "zfill", "expandtabs"),
}
"""Methods of strings that are compiled, all but those of `GROWING_METHODS` to direct calls."""
FROM_RIGHT = frozenset({"rfind", "rindex", "rsplit", "rpartition"})
"""Methods that take the product of the lengths of the string and the argument in the worst case."""
DICT_METHODS = frozenset({"items", "keys", "values", "get"})
FUNCTIONS = frozenset({"raise_exception", "strftime_now", "namespace", "range", "dict"})

_UNSUPPORTED: tuple[type[nodes.Node], ...] = (
    *(nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport, nodes.Block, nodes.CallBlock, nodes.FilterBlock),
    *(nodes.OverlayScope, nodes.ScopedEvalContextModifier, nodes.EvalContextModifier),
)
_IMPLICIT = frozenset({"caller", "kwargs", "varargs"})
"""Names that Jinja2 defines in macros that use them."""

_SMALL_MACRO = 200
"""Maximum number of values that a macro may create that does not count what it does."""

_CREATING = (nodes.Add, nodes.Filter, nodes.Call, nodes.Slice, nodes.List, nodes.Tuple, nodes.Dict, nodes.Compare)
"""Expressions that may create a value, or read a whole one."""
_TRIVIAL = 1 / 8
"""The cost of any other node, which takes constant time."""

_Stores = list[tuple[str, nodes.Node | None]]


@dataclass
class TemplateNames:
    """Kinds of the names in a template.

    Attributes:
        namespaces: names whose value is always a namespace compiled to a dict, with the keys that it always has.
        dicts: ids of the calls that make these.
        messages: names whose value is always a list of messages.
        work: number of values that a call of each macro may create, without loops; 1 for those that count it.
        counted: macros that count what they do: recursive and large ones.
        pass_through: macros that return their first argument unchanged if it is a string.
        pure: macros whose output depends on their arguments alone, apart from the variables listed for each.
    """

    macros: dict[str, nodes.Macro]
    namespaces: dict[str, frozenset[str]] = field(default_factory=dict)
    dicts: set[int] = field(default_factory=set)
    messages: set[str] = field(default_factory=set)
    work: dict[str, int] = field(default_factory=dict)
    counted: set[str] = field(default_factory=set)
    pass_through: set[str] = field(default_factory=set)
    pure: dict[str, frozenset[str]] = field(default_factory=dict)

    def work_of(self, body: Sequence[nodes.Node]) -> int:
        """Return the number of values that one pass over statements may create, without the bodies of loops."""
        found = 0.0
        ahead = [*body]
        while ahead:
            node = ahead.pop()
            if isinstance(node, nodes.If):
                branches = (node.body, *(branch.body for branch in node.elif_), node.else_)
                found += max(map(self.work_of, branches))
                ahead += (node.test, *(branch.test for branch in node.elif_))
            elif isinstance(node, nodes.For):
                ahead += (node.iter, *node.else_)
            elif not isinstance(node, nodes.Macro):
                if isinstance(node, (nodes.Output, nodes.Concat)):
                    found += sum(constant_text(part) is None for part in node.nodes)
                elif isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name):
                    found += self.work.get(node.node.name, 1)
                else:
                    found += 1 if isinstance(node, _CREATING) else _TRIVIAL
                ahead += node.iter_child_nodes()
        return math.ceil(found)

    def is_messages(self, node: nodes.Node | None) -> bool:
        """Return true if an expression is a list of messages or a slice of one."""
        if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
            return self.is_messages(node.node)
        return isinstance(node, nodes.Name) and node.name in self.messages


def analyze(tree: nodes.Template) -> TemplateNames:
    """Analyze a template; raise `Unsupported` if it uses something that is not compiled."""
    if next(tree.find_all(_UNSUPPORTED), None) is not None:
        raise Unsupported("the template has blocks that are not compiled")
    names = TemplateNames(_find_macros(tree))
    _classify_macros(names)
    _check_functions(tree, names)
    for attribute in tree.find_all(nodes.Getattr):
        if attribute.attr.startswith("_"):
            raise Unsupported("the template uses private attributes")
    for loop in tree.find_all(nodes.For):
        _check_loop(loop, names)
    stores = list(_stores(tree))
    _find_namespaces(tree, names, stores)
    _find_messages(names, stores)
    _find_pure(tree, names)
    return names


def _find_macros(tree: nodes.Template) -> dict[str, nodes.Macro]:
    macros: dict[str, nodes.Macro] = {}
    global_macros = {id(node) for node in _unscoped(tree.body)}
    for macro in tree.find_all(nodes.Macro):
        if macro.name in macros or id(macro) not in global_macros:
            raise Unsupported(f"the macro {macro.name} is defined twice or inside another scope")
        own = {argument.name for argument in macro.args}
        if any(name.name in _IMPLICIT - own for name in macro.find_all(nodes.Name)):
            raise Unsupported("a macro accepts any arguments")
        if own & {name.name for default in macro.defaults for name in _names(default)}:
            raise Unsupported("a default of a macro's argument is another argument")
        macros[macro.name] = macro
    return macros


def _unscoped(body: Sequence[nodes.Node]) -> Iterator[nodes.Node]:
    """Yield the statements of a template outside of macros and blocks, those in branches and loops included."""
    for node in body:
        yield node
        if isinstance(node, nodes.If):
            for branch in (node.body, node.elif_, node.else_):
                yield from _unscoped(branch)
        elif isinstance(node, nodes.For):
            yield from _unscoped(node.body)


def _names(node: nodes.Node) -> Iterator[nodes.Name]:
    if isinstance(node, nodes.Name):
        yield node
    yield from node.find_all(nodes.Name)


def _classify_macros(names: TemplateNames) -> None:
    for name, macro in names.macros.items():
        work = names.work_of(macro.body)
        unknown = {called.name for called in macro.find_all(nodes.Name)} & names.macros.keys() - names.work.keys()
        if unknown or work > _SMALL_MACRO:
            names.counted.add(name)
            work = 1
        names.work[name] = work
        if _passes_through(macro):
            names.pass_through.add(name)


def _passes_through(macro: nodes.Macro) -> bool:
    if len(macro.body) != 1 or not macro.args or not isinstance(macro.body[0], nodes.If):
        return False
    test, body, first = macro.body[0].test, macro.body[0].body, nodes.Name(macro.args[0].name, "load")
    if not isinstance(test, nodes.Test) or test.name != "string" or test.node != first:
        return False
    return len(body) == 1 and isinstance(body[0], nodes.Output) and body[0].nodes == [first]


def _find_pure(tree: nodes.Template, names: TemplateNames) -> None:
    inside = {id(name) for macro in names.macros.values() for name in _names(macro)}
    changing = {name.name for name in tree.find_all(nodes.Name) if name.ctx == "store" and id(name) not in inside}
    changing.add("strftime_now")
    read: dict[str, set[str]] = {}
    for macro in names.macros.values():
        seen = {name.name for name in _names(macro) if name.ctx == "load"}
        seen |= {reference.name for reference in macro.find_all(nodes.NSRef)}
        seen -= {argument.name for argument in macro.args}
        if not seen & changing and not any(use.name == "random" for use in macro.find_all(nodes.Filter)):
            read[macro.name] = seen
    while impure := [name for name, seen in read.items() if seen & names.macros.keys() - read.keys()]:
        for name in impure:
            del read[name]
    for name in read:
        called, ahead = set[str](), {name}
        while ahead:
            called |= ahead
            ahead = {other for macro in ahead for other in read[macro] & read.keys()} - called
        names.pure[name] = frozenset(set[str]().union(*(read[macro] for macro in called)) - read.keys() - FUNCTIONS)


def _check_functions(tree: nodes.Template, names: TemplateNames) -> None:
    functions = names.macros.keys() | FUNCTIONS
    if functions & {name.name for name in tree.find_all(nodes.Name) if name.ctx in ("store", "param")}:
        raise Unsupported("the template assigns to the name of a function")
    fine = {id(call.node) for call in tree.find_all(nodes.Call)}
    fine |= {id(test.node) for test in tree.find_all(nodes.Test) if is_function_test(test)}
    for name in tree.find_all(nodes.Name):
        if name.ctx == "load" and name.name in functions and id(name) not in fine:
            raise Unsupported("the template uses a function as a value")


def is_function_test(test: nodes.Test) -> bool:
    """Return true for ``strftime_now is defined`` and the like."""
    named = isinstance(test.node, nodes.Name) and test.node.name in FUNCTIONS
    return named and test.name in ("defined", "undefined")


def _check_loop(loop: nodes.For, names: TemplateNames) -> None:
    if loop.recursive:
        raise Unsupported("a loop is recursive")
    if loop.test is None:
        return
    # Jinja2 evaluates the condition for each item in its turn, the compiled loop may do so earlier.
    changed = {reference.name for node in loop.body for reference in nodes.Scope([node]).find_all(nodes.NSRef)}
    if {name.name for name in _names(loop.test)} & (changed | names.macros.keys()):
        raise Unsupported("the condition of a loop may change while it runs")


def _stores(tree: nodes.Template) -> Iterator[tuple[str, nodes.Node | None]]:
    """Yield each name that is assigned, with its value; None if that is not from a plain ``set``."""
    plain = {id(node.target): node.node for node in tree.find_all(nodes.Assign) if isinstance(node.target, nodes.Name)}
    for name in tree.find_all(nodes.Name):
        if name.ctx in ("store", "param"):
            yield name.name, plain.get(id(name))


def _find_namespaces(tree: nodes.Template, names: TemplateNames, stores: _Stores) -> None:
    """Find the namespaces that can be dicts: names that have no other values, and of which only attributes are used."""
    accesses = [use.node for use in tree.find_all(nodes.Getattr) if not hasattr(dict, use.attr)]
    accesses += [use.node for use in tree.find_all(nodes.Test) if use.name in ("defined", "undefined")]
    fine = {id(node) for node in accesses}
    other = {name.name for name in tree.find_all(nodes.Name) if name.ctx == "load" and id(name) not in fine}
    other |= {space.name for space in tree.find_all(nodes.NSRef) if hasattr(dict, space.attr)}
    made: dict[str, list[nodes.Call]] = {}
    for name, node in stores:
        if isinstance(node, nodes.Call) and _is_namespace(node) and not node.args:
            made.setdefault(name, []).append(node)
        else:
            other.add(name)
    for name in made.keys() - other:
        names.namespaces[name] = frozenset.intersection(
            *(frozenset(pair.key for pair in call.kwargs) for call in made[name])
        )
        names.dicts.update(map(id, made[name]))


def _is_namespace(call: nodes.Call) -> bool:
    return isinstance(call.node, nodes.Name) and call.node.name == "namespace"


def _find_messages(names: TemplateNames, stores: _Stores) -> None:
    """Find the names of messages: ``messages``, and variables to which slices of it are assigned."""
    names.messages = {"messages"} | {name for name, _ in stores}
    while True:
        wrong = {name for name, node in stores if not names.is_messages(node)} & names.messages
        if not wrong:
            return
        names.messages -= wrong


# -- single nodes


def flatten_concat(parts: Sequence[nodes.Node]) -> Iterator[nodes.Node]:
    """Yield the parts of a concatenation, nested concatenations flattened."""
    for part in parts:
        if isinstance(part, nodes.Concat):
            yield from flatten_concat(part.nodes)
        else:
            yield part


def constant_text(node: nodes.Node) -> str | None:
    """Return the text that a node always gives; None if there is none."""
    if isinstance(node, nodes.TemplateData):
        return node.data
    if isinstance(node, nodes.Const) and isinstance(node.value, str):
        return node.value
    if isinstance(node, nodes.Name):
        return MARKERS.get(node.name)
    return None


def is_number(node: nodes.Node) -> bool:
    """Return true if a value is surely a small number, or an operation with it an error."""
    if isinstance(node, nodes.Const):
        return type(node.value) in (int, float) and abs(node.value) < 1 << 64
    if isinstance(node, nodes.Getattr):
        return isinstance(node.node, nodes.Name) and node.node.name == "loop" and node.attr.startswith(("index", "rev"))
    if isinstance(node, nodes.CondExpr):
        return node.expr2 is not None and is_number(node.expr1) and is_number(node.expr2)
    return isinstance(node, nodes.Filter) and node.name in ("length", "count")


def may_grow(node: nodes.Node | None, names: TemplateNames) -> bool:
    """Return true if a value may be larger than all others: put together from some, and not measured yet."""
    if node is None or isinstance(node, (nodes.Compare, nodes.Test, nodes.Not, nodes.Name)):
        return False
    if isinstance(node, (nodes.Add, nodes.Sub)):
        return not (is_number(node.left) or is_number(node.right))
    if isinstance(node, (nodes.List, nodes.Tuple, nodes.Dict)):
        return next(node.find_all((nodes.Name, nodes.Getattr)), None) is not None
    if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name in {*names.macros, "dict"}:
        return True
    return isinstance(node, nodes.Concat) or any(may_grow(child, names) for child in node.iter_child_nodes())


def appended(node: nodes.Node) -> list[nodes.List]:
    """Return the lists that are appended to a value, of ``value + [a] + [b]``; none for any other expression."""
    found: list[nodes.List] = []
    while isinstance(node, nodes.Add) and isinstance(node.right, nodes.List):
        found.append(node.right)
        node = node.left
    return found if isinstance(node, (nodes.Name, nodes.Getattr)) else []


def uses_loop_variable(node: nodes.For) -> bool:
    """Return true if the body of a loop reads an attribute of ``loop``."""
    body = nodes.Scope(node.body)
    return any(isinstance(use.node, nodes.Name) and use.node.name == "loop" for use in body.find_all(nodes.Getattr))


def without_empty_default(node: nodes.Node) -> nodes.Expr | None:
    """Return the x of ``x or []``, over which a loop need not run if it is empty."""
    if isinstance(node, nodes.Or) and isinstance(node.right, nodes.List) and not node.right.items:
        return node.left
    return None


def truth_values(tree: nodes.Node) -> set[int]:
    """Return the ids of the nodes of which only the truth value matters."""
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
