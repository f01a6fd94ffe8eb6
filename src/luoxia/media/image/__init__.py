"""Images: read, written with a label, shown and compared."""
