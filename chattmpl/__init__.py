"""chattmpl: a compiler, a renderer and a proof tool for chat templates.

Every token you train on is a token the model will be asked to sample, after exactly the prompt it will see.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chattmpl.budget import Budget
    from chattmpl.conversation.models import Conversation, Message, ToolCall
    from chattmpl.errors import ChatTmplError
    from chattmpl.template.rendering import Rendering, Span
    from chattmpl.template.template import Template

__version__ = "0.1.0"

__all__ = [
    "Budget",
    "ChatTmplError",
    "Conversation",
    "Message",
    "Rendering",
    "Span",
    "Template",
    "ToolCall",
    "__version__",
]

_MODULES = {
    "Budget": "budget",
    "ChatTmplError": "errors",
    "Conversation": "conversation.models",
    "Message": "conversation.models",
    "Rendering": "template.rendering",
    "Span": "template.rendering",
    "Template": "template.template",
    "ToolCall": "conversation.models",
}


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first asked for: a plugin or ``--help`` should not wait for Jinja."""
    if name not in _MODULES:
        raise AttributeError(f"module 'chattmpl' has no attribute {name!r}")
    value = getattr(import_module(f"chattmpl.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
