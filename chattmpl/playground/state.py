"""What the playground shows, as one value: it can be put into an address, and found again."""

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
"""The longest state that is unpacked: a few bytes of an address can stand for any number of them."""

_KEY = "s="


@dataclass(frozen=True)
class State:
    """All that a view is made from.

    Attributes:
        base: the family, file or model directory that the template was taken from; empty for a pasted one.
        source: the text of the template, where it is not that of ``base``.
        name: what a pasted template is called.
        tokens: special tokens of a pasted template.
        fixture: the conversation that the text was taken from.
        conversation: the text of the conversation, where it is not that of ``fixture``.
        retention: the policy; None for the template's own.
        target: what is looked at: ``train`` shows what is generated, ``inference`` what an engine gets.
        prompt: end with the generation prompt.
        kwargs: template kwargs that were set.
        tokenizer: what tokens are shown of; empty for none.
        tab: which view is in front.
        against: what the comparison changes.
        other: what it changes it to.
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
        """The state as JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, given: Any) -> State:
        """The state that an object holds; what it lacks is as in a new one.

        Raises:
            UsageError: if it is not such an object.
        """
        if not isinstance(given, dict):
            raise UsageError("the state is not an object")
        known = {item.name for item in fields(cls)}
        values = {name: value for name, value in given.items() if name in known}
        for name, value in values.items():
            if not _fits(name, value):
                raise UsageError(f"the state has {name}={value!r:.60}", hint="open the playground without it")
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
    """The state as what stands behind the ``#`` of an address: it is short, and never sent to a server."""
    usual = State().to_dict()
    held = {name: value for name, value in state.to_dict().items() if value != usual[name]}
    packed = zlib.compress(json.dumps(held, ensure_ascii=False, separators=(",", ":")).encode(), 9)
    return _KEY + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def from_fragment(fragment: str) -> State:
    """The state of an address.

    Args:
        fragment: what stands behind the ``#``, or with it.

    Raises:
        UsageError: if it holds no state.
    """
    text = fragment.removeprefix("#").removeprefix(_KEY)
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(packed, MOST_BYTES)
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise UsageError("the address holds too much, or is cut off", hint="open the playground without it")
        return State.from_dict(json.loads(data))
    except (binascii.Error, zlib.error, ValueError, RecursionError):
        hint = "copy it whole, or open the playground without it"
        raise UsageError("the address holds no state that can be read", hint=hint) from None
