"""Conversations: their models, and the files and records that hold them."""
