"""Facts about a template, found by rendering small conversations."""

from chattmpl.probing.facts import TemplateFacts, facts_of

__all__ = ["TemplateFacts", "facts_of"]
