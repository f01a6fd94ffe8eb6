"""Which class a text has."""
