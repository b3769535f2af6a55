"""What a template can do, found by rendering small conversations: roles, tools, reasoning, modes, prompts, masks."""

from chattmpl.capabilities.inspector import inspect_template
from chattmpl.capabilities.record import Capabilities

__all__ = ["Capabilities", "inspect_template"]
