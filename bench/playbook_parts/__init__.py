"""The parts of the playbook: comparisons, their runs, the store of results, and the page."""
