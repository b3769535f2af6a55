"""chattmpl: a compiler, a renderer and a proof tool for chat templates.

Every token you train on is a token the model will be asked to sample, after exactly the prompt it will see.
"""

from chattmpl.budget import Budget
from chattmpl.conversation import Conversation, Message, ToolCall
from chattmpl.errors import ChatTmplError
from chattmpl.render import Rendering, Span
from chattmpl.template import Template

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
