"""Templates that can be written as plain Python: those that use nothing but what is known to be harmless."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from jinja2 import nodes

from chattmpl.data.fast.markers import Unfit

TEXT_METHODS = frozenset(name for name in vars(str) if name[0] != "_") - {
    "format",
    "format_map",
    "encode",
    "maketrans",
}
"""Methods of texts; of those that are left out the sandbox has its own, or they give what is no text."""
DICT_METHODS = frozenset({"items", "keys", "values", "get"})
FUNCTIONS = frozenset({"raise_exception", "strftime_now", "namespace", "range", "dict"})
_UNKNOWN: tuple[type[nodes.Node], ...] = (
    *(nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport, nodes.Block, nodes.CallBlock, nodes.FilterBlock),
    *(nodes.OverlayScope, nodes.ScopedEvalContextModifier, nodes.EvalContextModifier),
)
_SPECIAL = frozenset({"caller", "kwargs", "varargs"})


@dataclass
class Names:
    """What the names in a template are known to be.

    Attributes:
        macros: the macros.
        namespaces: names that are never anything but a namespace, with the names that it has from the start.
        messages: names that are never anything but a list of messages.
        recursive: macros that call themselves, or those that stand behind them.
        passing: macros that give their first argument back as it is, if it is a text.
        pure: macros that write the same of the same arguments, with the variables that must be the same for that.
    """

    macros: dict[str, nodes.Macro]
    namespaces: dict[str, frozenset[str]] = field(default_factory=dict)
    messages: set[str] = field(default_factory=set)
    recursive: set[str] = field(default_factory=set)
    passing: set[str] = field(default_factory=set)
    pure: dict[str, frozenset[str]] = field(default_factory=dict)

    def of_messages(self, node: nodes.Node | None) -> bool:
        """Whether an expression is messages, or a part of them."""
        if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
            return self.of_messages(node.node)
        return isinstance(node, nodes.Name) and node.name in self.messages


def check(tree: nodes.Template) -> Names:
    """What is known of a template that can be compiled.

    Raises:
        Unfit: for any other.
    """
    if next(tree.find_all(_UNKNOWN), None) is not None:
        raise Unfit("the template has blocks that are not compiled")
    names = Names(_macros(tree))
    _find_kinds(names)
    _check_functions(tree, names)
    for attribute in tree.find_all(nodes.Getattr):
        if attribute.attr.startswith("_"):
            raise Unfit("the template uses private attributes")
    for loop in tree.find_all(nodes.For):
        _check_loop(loop, names)
    stores = list(_stores(tree))
    _check_namespaces(tree, stores)
    _find_namespaces(tree, names, stores)
    _find_messages(names, stores)
    _find_pure(tree, names)
    return names


def _macros(tree: nodes.Template) -> dict[str, nodes.Macro]:
    macros: dict[str, nodes.Macro] = {}
    for macro in tree.find_all(nodes.Macro):
        if macro.name in macros or macro not in tree.body:
            raise Unfit(f"the macro {macro.name} is defined in more than one way")
        own = {argument.name for argument in macro.args}
        if any(name.name in _SPECIAL - own for name in macro.find_all(nodes.Name)):
            raise Unfit("a macro takes any arguments")
        if own & {name.name for default in macro.defaults for name in _names(default)}:
            raise Unfit("an argument of a macro is another one by default")
        macros[macro.name] = macro
    return macros


def _names(node: nodes.Node) -> Iterator[nodes.Name]:
    if isinstance(node, nodes.Name):
        yield node
    yield from node.find_all(nodes.Name)


def _find_kinds(names: Names) -> None:
    seen: set[str] = set()
    for name, macro in names.macros.items():
        if {called.name for called in macro.find_all(nodes.Name)} & names.macros.keys() - seen:
            names.recursive.add(name)
        seen.add(name)
        if _passes(macro):
            names.passing.add(name)


def _passes(macro: nodes.Macro) -> bool:
    if len(macro.body) != 1 or not macro.args or not isinstance(macro.body[0], nodes.If):
        return False
    asked, body, first = macro.body[0].test, macro.body[0].body, nodes.Name(macro.args[0].name, "load")
    if not isinstance(asked, nodes.Test) or asked.name != "string" or asked.node != first:
        return False
    return len(body) == 1 and isinstance(body[0], nodes.Output) and body[0].nodes == [first]


def _find_pure(tree: nodes.Template, names: Names) -> None:
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


def _check_functions(tree: nodes.Template, names: Names) -> None:
    functions = names.macros.keys() | FUNCTIONS
    if functions & {name.name for name in tree.find_all(nodes.Name) if name.ctx in ("store", "param")}:
        raise Unfit("the template gives a function's name to something else")
    called = {id(call.node) for call in tree.find_all(nodes.Call)}
    for name in tree.find_all(nodes.Name):
        if name.ctx == "load" and name.name in functions and id(name) not in called:
            raise Unfit("the template hands a function on")


def _check_loop(loop: nodes.For, names: Names) -> None:
    if loop.recursive:
        raise Unfit("a loop is recursive")
    if loop.test is None:
        return
    # Jinja2 asks the condition of each item when its turn has come.
    changed = {reference.name for node in loop.body for reference in nodes.Scope([node]).find_all(nodes.NSRef)}
    if {name.name for name in _names(loop.test)} & (changed | names.macros.keys()):
        raise Unfit("the condition of a loop may change while it runs")


def _check_namespaces(tree: nodes.Template, stores: list[tuple[str, nodes.Node | None]]) -> None:
    """Namespaces are dicts here, so that nothing may be done with them but what looks the same."""
    made = {id(node): name for name, node in stores if isinstance(node, nodes.Call) and _is_namespace(node)}
    if any(_is_namespace(call) and id(call) not in made for call in tree.find_all(nodes.Call)):
        raise Unfit("a namespace is made where it gets no name")
    accesses = [use.node for use in tree.find_all(nodes.Getattr) if not hasattr(dict, use.attr)]
    accesses += [use.node for use in tree.find_all(nodes.Test) if use.name in ("defined", "undefined")]
    fine = {id(node) for node in accesses}
    spaces = set(made.values())
    for name in tree.find_all(nodes.Name):
        if name.ctx == "load" and name.name in spaces and id(name) not in fine:
            raise Unfit("a namespace is used for more than its attributes")


def _stores(tree: nodes.Template) -> Iterator[tuple[str, nodes.Node | None]]:
    """Each name that something is given to, with what it is given; None where that is not told by a plain ``set``."""
    plain = {id(node.target): node.node for node in tree.find_all(nodes.Assign) if isinstance(node.target, nodes.Name)}
    for name in tree.find_all(nodes.Name):
        if name.ctx in ("store", "param"):
            yield name.name, plain.get(id(name))


def _find_namespaces(tree: nodes.Template, names: Names, stores: list[tuple[str, nodes.Node | None]]) -> None:
    """Finds the namespaces; nothing else may be assigned to by attribute, for it would change."""
    for space in tree.find_all(nodes.NSRef):
        made = [node for name, node in stores if name == space.name]
        calls = [node for node in made if isinstance(node, nodes.Call) and _is_namespace(node)]
        if hasattr(dict, space.attr) or not calls or len(calls) < len(made):
            raise Unfit("a namespace has a name that dicts have too, or is not always one")
        keys = [frozenset(pair.key for pair in call.kwargs) for call in calls]
        names.namespaces[space.name] = frozenset.intersection(*keys)


def _is_namespace(call: nodes.Call) -> bool:
    return isinstance(call.node, nodes.Name) and call.node.name == "namespace"


def _find_messages(names: Names, stores: list[tuple[str, nodes.Node | None]]) -> None:
    """Finds the names of messages, which are ``messages`` and what is made of it by slices."""
    names.messages = {"messages"} | {name for name, _ in stores}
    while True:
        wrong = {name for name, node in stores if not names.of_messages(node)} & names.messages
        if not wrong:
            return
        names.messages -= wrong
