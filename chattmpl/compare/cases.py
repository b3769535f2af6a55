"""The cases of a comparison: named conversations, each with and without the generation prompt, in each mode."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from chattmpl.conversation.files import load_conversation
from chattmpl.conversation.models import Conversation
from chattmpl.laws.checker import settings_to_check
from chattmpl.template.family import shipped_folder
from chattmpl.template.template import Template


@dataclass(frozen=True)
class RenderCase:
    """The inputs of one render.

    Attributes:
        name: name of the conversation.
        prompt: render with the generation prompt.
        kwargs: template kwargs in addition to those of the conversation.
    """

    name: str
    conversation: Conversation
    prompt: bool = False
    kwargs: dict[str, Any] = field(default_factory=dict)

    @property
    def variant(self) -> str:
        """The difference to other cases of the conversation, as in ``generation prompt, enable_thinking=false``."""
        import json

        settings = [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in sorted(self.kwargs.items())]
        return ", ".join((["generation prompt"] if self.prompt else []) + settings)

    def to_dict(self) -> dict[str, Any]:
        """Return the case as JSON types."""
        return {"conversation": self.name, "generation_prompt": self.prompt, "kwargs": self.kwargs}


def named_conversations(file: str = "", further: Sequence[Conversation] = ()) -> list[tuple[str, Conversation]]:
    """Return the conversations that ship with chattmpl, named by their files, and those of a further file."""
    found = [(path.stem, load_conversation(path)) for path in sorted(shipped_folder("fixtures").glob("*.json"))]
    names = [file] if len(further) == 1 else (f"{file}[{index}]" for index in range(len(further)))
    return [*found, *zip(names, further, strict=True)]


def settings_of(templates: Iterable[Template], given: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the kwargs of all renders: the modes that the templates declare, each with the given kwargs."""
    settings: list[dict[str, Any]] = []
    for template in templates:
        for mode in settings_to_check(template):
            kwargs = {**mode, **given}
            if kwargs not in settings:
                settings.append(kwargs)
    return settings


def cases(
    conversations: Iterable[tuple[str, Conversation]], settings: Iterable[dict[str, Any]]
) -> Iterator[RenderCase]:
    """Yield each conversation with each of the settings, without and with the generation prompt."""
    matrix = list(settings)
    for name, conversation in conversations:
        for kwargs in matrix:
            for prompt in (False, True):
                yield RenderCase(name, conversation, prompt, kwargs)


def _user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def _answer(content: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def _call(arguments: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "id": "call12345", "function": {"name": "f", "arguments": arguments}}


_TOOL = {
    "type": "function",
    "function": {
        "name": "f",
        "description": "Compares <a> & 'b'.",
        "parameters": {"type": "object", "properties": {"n": {"type": "number", "default": 1.0}}},
    },
}

_PROBES: dict[str, dict[str, Any]] = {
    "leading newlines": {"messages": [_user("\n\n  Hi  \n"), _answer("\n\n  Hello  \n")]},
    "unusual whitespace": {"messages": [_user("\ufeff\u001cHi\u0085"), _answer("\u001cHello\ufeff")]},
    "markup": {"messages": [_user("<b>'R' & \"D\"</b>"), _answer("<i>'1' & 2</i>")]},
    "characters outside the basic multilingual plane": {"messages": [_user("𝒳🙂 ab"), _answer("🙂𝒳 ab")]},
    "carriage returns": {"messages": [_user("one\r\ntwo\r"), _answer("three\r\nfour")]},
    "numbers in arguments": {
        "messages": [_user("Hi"), _answer("", tool_calls=[_call({"x": 1.0, "y": 1e-05, "n": 2**60})])],
        "tools": [_TOOL],
    },
    "keys that are numbers": {"messages": [_user("Hi"), _answer("", tool_calls=[_call({"b": 1, "1": 2})])]},
    "values of each type": {
        "messages": [
            _user("Hi"),
            _answer("", tool_calls=[_call({"t": True, "n": None, "l": ["it's", 1], "o": {"a": "é"}, "s": "<'&'>"})]),
        ],
        "tools": [_TOOL],
    },
}
"""Conversations with content that engines are known to render differently, and that the fixtures lack."""


def engine_probes() -> list[tuple[str, Conversation]]:
    """Return conversations with content that engines are known to render differently."""
    return [(name, Conversation.coerce(made)) for name, made in _PROBES.items()]
