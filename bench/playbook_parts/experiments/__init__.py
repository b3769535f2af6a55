"""The comparisons, one per module, as `EXPERIMENT`; modules are found by themselves."""
