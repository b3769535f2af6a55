"""Compilation of a template's source into a program that renders conversations, and into plain Jinja for engines."""
