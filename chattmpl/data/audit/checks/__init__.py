"""The kinds of findings, one a module."""
