"""The parts of the playbook: what is compared, how it is run and stored, and how the page is written."""
