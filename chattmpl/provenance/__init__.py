"""Strings and data that remember where each character came from."""
