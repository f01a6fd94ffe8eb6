"""A sentence into its counterpart in another language."""
