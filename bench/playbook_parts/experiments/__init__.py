"""The comparisons, one a module, each with its EXPERIMENT. There is no list to add one to."""
