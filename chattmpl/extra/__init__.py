"""What needs heavy or optional packages. Nothing here is imported before it is asked for."""
