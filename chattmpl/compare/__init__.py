"""Comparisons: two templates with one engine, and one template with several engines."""
