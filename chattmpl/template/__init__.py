"""Templates: found, compiled, rendered and saved."""
