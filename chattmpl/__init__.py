"""chattmpl: a compiler, a renderer and a proof tool for chat templates.

Every token you train on is a token the model will be asked to sample, after exactly the prompt it will see.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from chattmpl.version import __version__

if TYPE_CHECKING:
    from chattmpl.api import Rendering, Template
    from chattmpl.budget import Budget
    from chattmpl.conversation.models import Conversation, Message, ToolCall
    from chattmpl.data.encoder import Encoder as Encoder
    from chattmpl.encode.encoding import Encoding
    from chattmpl.errors import (
        BudgetError,
        ChatTmplError,
        ConversationError,
        EncodeError,
        FamilyError,
        NotRepresentable,
        RenderError,
        TemplateError,
        UsageError,
    )
    from chattmpl.probing.facts import TemplateFacts
    from chattmpl.rewrite.refusal import CannotAnnotate, CannotRetain
    from chattmpl.rewrite.result import Rewrite
    from chattmpl.template.spans import Span

# `Encoder` needs the extra `data`, so it is public but not a part of ``from chattmpl import *``.
__all__ = [
    "Budget",
    "BudgetError",
    "CannotAnnotate",
    "CannotRetain",
    "ChatTmplError",
    "Conversation",
    "ConversationError",
    "EncodeError",
    "Encoding",
    "FamilyError",
    "Message",
    "NotRepresentable",
    "RenderError",
    "Rendering",
    "Rewrite",
    "Span",
    "Template",
    "TemplateError",
    "TemplateFacts",
    "ToolCall",
    "UsageError",
    "__version__",
]

_MODULES = {
    "api": ("Rendering", "Template"),
    "budget": ("Budget",),
    "conversation.models": ("Conversation", "Message", "ToolCall"),
    "data.encoder": ("Encoder",),
    "encode.encoding": ("Encoding",),
    "errors": (*(name for name in __all__ if name.endswith("Error")), "NotRepresentable"),
    "probing.facts": ("TemplateFacts",),
    "rewrite.refusal": ("CannotAnnotate", "CannotRetain"),
    "rewrite.result": ("Rewrite",),
    "template.spans": ("Span",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that the pytest plugin and ``--help`` do not wait for Jinja."""
    if name not in _HOMES:
        raise AttributeError(f"module 'chattmpl' has no attribute {name!r}")
    try:
        value: object = getattr(import_module(f"chattmpl.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        raise ImportError(f"chattmpl.{name} needs the package {error.name}: pip install 'chattmpl[data]'") from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_HOMES})
