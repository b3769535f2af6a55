"""Generation tags for a template that has none, or has them in the wrong places: placed by tracing, and proven."""
