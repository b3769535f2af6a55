"""From a template's source to a program that renders conversations, and to plain Jinja for other engines."""
