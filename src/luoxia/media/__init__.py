"""What samples of each kind are: how they are read, written, shown and compared."""
