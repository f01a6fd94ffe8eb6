"""Which texts mean the same."""
