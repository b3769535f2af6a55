"""Comparisons of two templates, and of one template in several engines."""
