"""Static analysis of a template before it is compiled to Python: its constructs, and the kinds of its names."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from jinja2 import nodes

from chattmpl.data.fast.markers import MARKERS, Unsupported

TEXT_METHODS = frozenset(name for name in vars(str) if name[0] != "_") - {"format_map", "encode", "maketrans"}
"""Methods of strings that are called directly, except ``format``, which the sandbox replaces."""
DICT_METHODS = frozenset({"items", "keys", "values", "get"})
FUNCTIONS = frozenset({"raise_exception", "strftime_now", "namespace", "range", "dict"})

_UNSUPPORTED: tuple[type[nodes.Node], ...] = (
    *(nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport, nodes.Block, nodes.CallBlock, nodes.FilterBlock),
    *(nodes.OverlayScope, nodes.ScopedEvalContextModifier, nodes.EvalContextModifier),
)
_IMPLICIT = frozenset({"caller", "kwargs", "varargs"})
"""Names that Jinja2 defines in macros that use them."""

_Stores = list[tuple[str, nodes.Node | None]]


@dataclass
class TemplateNames:
    """Kinds of the names in a template.

    Attributes:
        namespaces: names whose value is always a namespace, with the attributes that it always has.
        messages: names whose value is always a list of messages.
        recursive: macros that may call themselves, directly or through macros defined after them.
        pass_through: macros that return their first argument unchanged if it is a string.
        pure: macros whose output depends on their arguments alone, apart from the variables listed for each.
    """

    macros: dict[str, nodes.Macro]
    namespaces: dict[str, frozenset[str]] = field(default_factory=dict)
    messages: set[str] = field(default_factory=set)
    recursive: set[str] = field(default_factory=set)
    pass_through: set[str] = field(default_factory=set)
    pure: dict[str, frozenset[str]] = field(default_factory=dict)

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
    _check_namespaces(tree, stores)
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
    """Yield the statements of a template that are in its global scope, those in the branches of an ``if`` included."""
    for node in body:
        yield node
        if isinstance(node, nodes.If):
            for branch in (node.body, node.elif_, node.else_):
                yield from _unscoped(branch)


def _names(node: nodes.Node) -> Iterator[nodes.Name]:
    if isinstance(node, nodes.Name):
        yield node
    yield from node.find_all(nodes.Name)


def _classify_macros(names: TemplateNames) -> None:
    seen: set[str] = set()
    for name, macro in names.macros.items():
        if {called.name for called in macro.find_all(nodes.Name)} & names.macros.keys() - seen:
            names.recursive.add(name)
        seen.add(name)
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


def _check_namespaces(tree: nodes.Template, stores: _Stores) -> None:
    """Check that namespaces, which are compiled to dicts, are used only in ways that do not show the difference."""
    made = {id(node): name for name, node in stores if isinstance(node, nodes.Call) and _is_namespace(node)}
    if any(_is_namespace(call) and id(call) not in made for call in tree.find_all(nodes.Call)):
        raise Unsupported("a namespace is not assigned to a name")
    accesses = [use.node for use in tree.find_all(nodes.Getattr) if not hasattr(dict, use.attr)]
    accesses += [use.node for use in tree.find_all(nodes.Test) if use.name in ("defined", "undefined")]
    fine = {id(node) for node in accesses}
    spaces = set(made.values())
    for name in tree.find_all(nodes.Name):
        if name.ctx == "load" and name.name in spaces and id(name) not in fine:
            raise Unsupported("a namespace is used for more than its attributes")


def _stores(tree: nodes.Template) -> Iterator[tuple[str, nodes.Node | None]]:
    """Yield each name that is assigned, with its value; None if that is not from a plain ``set``."""
    plain = {id(node.target): node.node for node in tree.find_all(nodes.Assign) if isinstance(node.target, nodes.Name)}
    for name in tree.find_all(nodes.Name):
        if name.ctx in ("store", "param"):
            yield name.name, plain.get(id(name))


def _find_namespaces(tree: nodes.Template, names: TemplateNames, stores: _Stores) -> None:
    """Find the namespaces; only their attributes may be assigned, since nothing else may change."""
    for space in tree.find_all(nodes.NSRef):
        made = [node for name, node in stores if name == space.name]
        calls = [node for node in made if isinstance(node, nodes.Call) and _is_namespace(node)]
        if hasattr(dict, space.attr) or not calls or len(calls) < len(made):
            raise Unsupported("a namespace has an attribute that dicts have too, or its name has other values")
        keys = [frozenset(pair.key for pair in call.kwargs) for call in calls]
        names.namespaces[space.name] = frozenset.intersection(*keys)


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
