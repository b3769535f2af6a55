"""The view of template facts that ``chattmpl inspect`` prints."""

from chattmpl.capabilities.answers import Answer, Capabilities
from chattmpl.capabilities.table import inspect_template

__all__ = ["Answer", "Capabilities", "inspect_template"]
