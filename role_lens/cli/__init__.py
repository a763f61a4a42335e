"""The command line: `role-lens`."""
