"""The state of a page as one value that can be stored in an address."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

from chattmpl.errors import UsageError

Tab = Literal["rendered", "tokens", "laws", "compare", "export"]
Target = Literal["train", "inference"]
Against = Literal["retention", "template", "revision", "engine"]

TABS: tuple[Tab, ...] = get_args(Tab)
AGAINST: tuple[Against, ...] = get_args(Against)

MOST_BYTES = 4 << 20
"""Limit of an unpacked state: a few bytes of an address can unpack to any number of bytes."""

_KEY = "s="


@dataclass(frozen=True)
class State:
    """Everything that a view is made from.

    Attributes:
        base: the family, file or model directory of the template; empty for a pasted template.
        source: the text of the template if it differs from that of ``base``.
        name: name of a pasted template.
        tokens: special tokens of a pasted template.
        fixture: name of the conversation.
        conversation: the text of the conversation if it differs from that of ``fixture``.
        retention: the retention policy; None for the template's own.
        target: ``train`` shows the generated spans, ``inference`` the text that an engine receives.
        prompt: end with the generation prompt.
        kwargs: the template kwargs that are set.
        tokenizer: the tokenizer whose tokens are shown; empty for none.
        tab: the selected view.
        against: the kind of difference between the two sides of a comparison.
        other: the other side of the comparison.
    """

    base: str = "hybrid"
    source: str | None = None
    name: str = "pasted.jinja"
    tokens: dict[str, str] = field(default_factory=dict)
    fixture: str = "multi_turn_reasoning"
    conversation: str | None = None
    retention: str | None = None
    target: Target = "train"
    prompt: bool = False
    kwargs: dict[str, Any] = field(default_factory=dict)
    tokenizer: str = "demo"
    tab: Tab = "rendered"
    against: Against = "retention"
    other: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the state as JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, given: Any) -> State:
        """Make a state from JSON types; missing values have their defaults.

        Raises:
            UsageError: if a value has the wrong type.
        """
        if not isinstance(given, dict):
            raise UsageError("the state is not an object", hint="open the playground without it")
        known = {item.name for item in fields(cls)}
        values = {name: value for name, value in given.items() if name in known}
        for name, value in values.items():
            if not _fits(name, value):
                raise UsageError(f"invalid state: {name}={value!r:.60}", hint="open the playground without it")
        return replace(cls(), **values)


def _fits(name: str, value: Any) -> bool:
    if name in ("source", "conversation", "retention"):
        return value is None or isinstance(value, str)
    if name == "kwargs":
        return isinstance(value, dict)
    if name == "tokens":
        return isinstance(value, dict) and all(isinstance(token, str) for token in value.values())
    if name == "prompt":
        return isinstance(value, bool)
    choices = {"target": get_args(Target), "tab": TABS, "against": AGAINST}.get(name)
    return isinstance(value, str) and (choices is None or value in choices)


def to_fragment(state: State) -> str:
    """Return the state as the fragment of an address, which is short and never sent to a server."""
    usual = State().to_dict()
    held = {name: value for name, value in state.to_dict().items() if value != usual[name]}
    packed = zlib.compress(json.dumps(held, ensure_ascii=False, separators=(",", ":")).encode(), 9)
    return _KEY + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def from_fragment(fragment: str) -> State:
    """Read the state from the fragment of an address, with or without its ``#``; raise `UsageError` if it holds no
    valid state.
    """
    text = fragment.removeprefix("#").removeprefix(_KEY)
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(packed, MOST_BYTES)
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise UsageError("the address is too large or truncated", hint="open the playground without it")
        return State.from_dict(json.loads(data))
    except (binascii.Error, zlib.error, ValueError, RecursionError):
        hint = "copy the whole address, or open the playground without it"
        raise UsageError("the address does not hold a valid state", hint=hint) from None
