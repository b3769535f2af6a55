"""Conversations: models, normalisation, file and record formats, hypothesis strategies."""
