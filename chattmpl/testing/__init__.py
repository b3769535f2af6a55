"""The pytest plugin. Only `plugin` is imported in runs that check no templates."""
