"""Engines other than Jinja2 that serve chat templates."""
