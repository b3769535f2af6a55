"""Another retention policy for any template: the conditions that decide about traces are found, changed and proven."""
