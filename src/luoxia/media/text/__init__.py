"""Text: read, tokenized, written with a label and compared."""
