"""Strings, numbers and containers that record the origin of each character."""
