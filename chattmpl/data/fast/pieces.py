"""The pieces that a template is made of, and the Python for them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from jinja2 import nodes

from chattmpl.data.fast.markers import CLOSE, OPEN, RESERVED

MARKERS = {f"{RESERVED}open": OPEN, f"{RESERVED}close": CLOSE}
"""What the lowered template writes where a generated span opens and closes, by name."""

_APPEND = re.compile(r"( *)(\w+)\.append\((f?'.*')\)")


def shorter(source: str) -> str:
    """The same source with what is appended line by line appended together."""
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


def flattened(parts: Sequence[nodes.Node]) -> Iterator[nodes.Node]:
    """Parts that are put together, and the parts of those that are put together themselves."""
    for part in parts:
        if isinstance(part, nodes.Concat):
            yield from flattened(part.nodes)
        else:
            yield part


def constant(node: nodes.Node) -> str | None:
    """The text that a part always is."""
    if isinstance(node, nodes.TemplateData):
        return node.data
    if isinstance(node, nodes.Const) and isinstance(node.value, str):
        return node.value
    if isinstance(node, nodes.Name):
        return MARKERS.get(node.name)
    return None


def quoted(text: str) -> str:
    """A text as it stands between the quotation marks of an f-string."""
    # behind a double quotation mark, repr always takes single ones
    return repr('"' + text)[2:-1].replace("{", "{{").replace("}", "}}")


def counts(node: nodes.For) -> bool:
    """Whether a loop asks for its index or its length."""
    body = nodes.Scope(node.body)
    return any(isinstance(use.node, nodes.Name) and use.node.name == "loop" for use in body.find_all(nodes.Getattr))
